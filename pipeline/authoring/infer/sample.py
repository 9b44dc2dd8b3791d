"""A sample document, and where it stands."""

from typing import NamedTuple


class Place(NamedTuple):
    """A file, an object or a record, and the byte of what it unpacks to."""

    name: str = ""
    offset: int | None = None

    def __str__(self) -> str:
        return self.name if self.offset is None else f"{self.name}, byte {self.offset:,}"


NOWHERE = Place()


class Sample(NamedTuple):
    """A document, and where it stands."""

    text: bytes
    place: Place = NOWHERE
