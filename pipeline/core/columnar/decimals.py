"""How documents spell decimals: as numbers, or as strings, which Arrow reads as different types.

Read as numbers, strings would be taken too, and more of them than JSON's grammar of numbers has.
So for each key of a decimal a sample decides which it is; documents that spell it otherwise are
left to the row path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pipeline.core.types import Array, Field, Record, Scalar, Slot, Type

_SAMPLE = 8
# A key may be spelled with escapes; as a string's value, it only costs time to find one.
_ESCAPED_ASCII = rb'\\(?:u00[2-7]|/)[^"]*"\s*:'
_ESCAPED = rb'\\[^"]*"\s*:'


class Spelling:
    """How the decimals of some fields are spelled."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = fields if any(map(has_decimal, (of.type for of in fields))) else ()
        self._strings: dict[frozenset[str], re.Pattern[bytes]] = {}

    def as_numbers(self, documents: Sequence[bytes]) -> frozenset[str]:
        """Return the keys of decimals that a sample of the documents spells as numbers."""
        found: set[str] = set()
        for document in documents[:_SAMPLE] if self._fields else ():
            try:
                value = msgspec.json.decode(document)
            except (msgspec.DecodeError, RecursionError):
                continue
            found.update(_numbers_of(self._fields, value))
        return frozenset(found)

    def without_strings(
        self, documents: Sequence[bytes], indices: Sequence[int], numbers: frozenset[str]
    ) -> Sequence[int]:
        """Leave out documents that may spell one of these keys' values as a string."""
        if not numbers:
            return indices
        if numbers not in self._strings:
            keys = b"|".join(re.escape(key.encode()) for key in sorted(numbers))
            escaped = _ESCAPED_ASCII if keys.isascii() else _ESCAPED
            self._strings[numbers] = re.compile(rb'"(?:' + keys + rb')"\s*:\s*"|' + escaped)
        search = self._strings[numbers].search
        if not search(b"\n".join(documents)):
            return indices
        return [index for index in indices if not search(documents[index])]


def has_decimal(of: Type) -> bool:
    """Tell whether a type is a decimal, or one is inside of it."""
    if isinstance(of, Scalar):
        return of.kind == "decimal"
    if isinstance(of, Record):
        return any(has_decimal(part.type) for part in of.fields)
    return has_decimal(of.item.type if isinstance(of, Array) else of.value.type)


def _numbers_of(fields: Sequence[Field], value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for of in fields:
            yield from _numbers_in(of, of.key, value.get(of.key))


def _numbers_in(slot: Slot, key: str, value: Any) -> Iterator[str]:
    of = slot.type
    if isinstance(of, Record):
        yield from _numbers_of(of.fields, value)
    elif isinstance(of, Array) and isinstance(value, list):
        for item in value:
            yield from _numbers_in(of.item, key, item)
    elif isinstance(of, Scalar) and of.kind == "decimal" and isinstance(value, int | float):
        yield key
