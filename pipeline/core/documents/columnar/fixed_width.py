"""Columns of texts that are all of one length, as most times and identifiers are.

A place of all such texts is a stride of their bytes; to look at it takes a tenth of what it takes
to match a pattern with each.
"""

from __future__ import annotations

from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

MICROS_LOCAL: Final = len("2026-11-23T09:30:00.123456")
_SECONDS_LOCAL = len("2026-11-23T09:30:00")
_UUID_LENGTH, _DASHES, _HEX = 36, (8, 13, 18, 23), b"0123456789abcdefABCDEF"


class EvenText(msgspec.Struct, frozen=True):
    """Texts of one length in bytes, one after the other."""

    data: bytes
    length: int
    count: int

    def has(self, char: str, at: int) -> bool:
        """Tell whether each text has this character at this place."""
        return self.data[at :: self.length] == char.encode() * self.count


def fixed_width_text(column: pa.Array) -> EvenText | None:
    """Return the texts of a column, nulls left out, where all are of one length.

    As most times and identifiers are: then a place of all is a stride of their bytes, and to look
    at it takes a tenth of what a pattern takes.
    """
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    length, count = lengths["min"], len(column) - column.null_count
    if not length or length != lengths["max"]:
        return None
    ends = memoryview(column.buffers()[1]).cast("i")
    start, end = ends[column.offset], ends[column.offset + len(column)]
    if end - start != length * count:
        return None  # there is something under a null
    return EvenText(bytes(memoryview(column.buffers()[2])[start:end]), length, count)


def are_instants(text: EvenText | None, *, with_zone: bool) -> bool:
    """Tell whether Arrow's own parser, given these texts, takes only what the pattern takes.

    It also takes a space for the T, and fewer parts: those would have other lengths.
    """
    if text is None or not text.has("T", len("2026-11-23")):
        return False
    length = text.length - with_zone
    if with_zone and not text.has("Z", length):
        return False
    return length == _SECONDS_LOCAL or _SECONDS_LOCAL + 1 < length <= MICROS_LOCAL


def are_uuids(text: EvenText | None) -> bool:
    """Tell whether the texts are UUIDs of 36 characters, in either case."""
    if text is None or text.length != _UUID_LENGTH:
        return False
    dashes = all(text.has("-", at) for at in _DASHES)
    return dashes and text.data.translate(None, _HEX) == b"-" * (len(_DASHES) * text.count)
