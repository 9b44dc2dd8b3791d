"""Sample documents: which are kept, which are skipped and why, and how they are told apart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.authoring.infer.draft import Draft, DraftOptions, draft_from
from pipeline.authoring.infer.sample import NOWHERE, Place, Sample
from pipeline.authoring.infer.split import find_key, match_in
from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import WHITESPACE, deeper_than, is_json, read_exactly
from pipeline.core.matching import Match, read_key
from pipeline.core.member_path import PATH_EXAMPLE
from pipeline.core.records import Limits


@dataclass(slots=True)
class Skipped:
    """How many documents would be dead letters whatever the draft, and where the first is."""

    count: int
    place: Place


class Samples:
    """The documents to draft from. `match_field` is the key of [match], if there is one.

    `skipped` is what is not a JSON object or is over a limit, by the reason: that would never
    become a row.
    """

    def __init__(self, match_field: str | None = None, limits: Limits | None = None) -> None:
        self.kept: list[Sample] = []
        self.skipped: dict[str, Skipped] = {}
        self.size = 0
        self._limits = limits or Limits()
        self._match_field = match_field

    @property
    def documents(self) -> int:
        """How many documents were kept."""
        return len(self.kept)

    @property
    def skipped_documents(self) -> int:
        """How many documents were skipped, for any reason."""
        return sum(skipped.count for skipped in self.skipped.values())

    def add(self, document: bytes, place: Place = NOWHERE) -> None:
        """Add one document, or skip it."""
        text = document.strip(WHITESPACE)
        why = self._why_not(text)
        if why is None:
            self.kept.append(Sample(text, place))
            self.size += len(text)
        else:
            self.skip(why, place)

    def skip(self, why: str, place: Place) -> None:
        """Count a document that would not become a row."""
        self.skipped.setdefault(why, Skipped(0, place)).count += 1

    def draft(self, name: str, options: DraftOptions | None = None) -> Draft:
        """Draft the dataset. Raises `DatasetError` where there is nothing to draft it from."""
        if not self.kept:
            raise DatasetError(self._nothing(name))
        return draft_from(name, self.kept, self._match(), options or DraftOptions(), self._limits)

    def find_key(self) -> str | None:
        """Return the key that plainly tells kinds of documents apart, if there is one."""
        return find_key(document for _, document in self.read())

    def split(self, key: str) -> list[tuple[Match | None, "Samples"]]:
        """Return the documents of each value of a key; None: those without a value to match by.

        Of the values, 1 and true are not the same.
        """
        groups: dict[str, tuple[Match | None, Samples]] = {}
        read = read_key(key)
        for sample, document in self.read():
            match = match_in(read, document)
            _, group = groups.setdefault(
                repr(match), (match, Samples(key if match else None, self._limits))
            )
            group.kept.append(sample)
        return list(groups.values())

    def read(self) -> Iterator[tuple[Sample, dict[str, Any]]]:
        """Yield the kept documents, with what they hold."""
        for sample in self.kept:
            yield sample, read_exactly(sample.text)

    def _why_not(self, text: bytes) -> str | None:
        """Say why a document would never be a row; None if it may."""
        try:
            text.decode()
        except UnicodeDecodeError:
            return "not UTF-8"
        if deeper_than(text, self._limits.depth):
            return f"nested deeper than {self._limits.depth} levels, which PIPELINE_MAX_DEPTH sets"
        if not is_json(text):
            return "not JSON"
        if len(text) > self._limits.document_bytes:
            return (
                f"over the limit of {self._limits.document_bytes:,} bytes, which "
                "PIPELINE_MAX_DOCUMENT_BYTES sets"
            )
        return None if text[:1] == b"{" else "JSON, but not an object"

    def _nothing(self, name: str) -> str:
        if not self.skipped:
            return f"There is no document to draft {name} from: the input is empty."
        listed = "; ".join(
            f"{skipped.count:,} {'is' if skipped.count == 1 else 'are'} {why}"
            + (f" (the first: {skipped.place})" if skipped.place.name else "")
            for why, skipped in self.skipped.items()
        )
        return (
            f"There is no document to draft {name} from: of {self.skipped_documents:,} texts none "
            f"is a JSON object that becomes a row: {listed}."
        )

    def _match(self) -> Match | None:
        key = self._match_field
        if key is None:
            return None
        found: dict[str, Match | None] = {}
        present, read = False, read_key(key)
        for _, document in self.read():
            present = present or key in document or Match(read, "").find(document) is not None
            match = match_in(read, document)
            found.setdefault(repr(match), match)  # repr: 1 and true are not the same
        matches = list(found.values())
        if len(matches) == 1 and matches[0] is not None:
            return matches[0]
        why = _why_no_match(key, matches, present=present)
        message = f"The documents cannot be matched by {key!r}: {why}."
        raise DatasetError(message)


def _why_no_match(key: str, matches: Iterable[Match | None], *, present: bool) -> str:
    if not present:
        return (
            f"no document has it; give a key of the outermost object, or the path of a nested one, "
            f"{PATH_EXAMPLE}"
        )
    if None in matches:
        return "it is not a string, an integer or a boolean in some of them, or is absent"
    return (
        "it has different values in them; a dataset accepts one, so give a file of one kind, or "
        f"draft a dataset for each with --split-by {key}"
    )
