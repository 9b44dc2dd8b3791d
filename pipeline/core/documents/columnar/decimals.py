"""How documents spell decimals: as numbers, or as strings, which Arrow reads as different types.

Where Arrow reads numbers it also accepts strings, and more of them than JSON's grammar of numbers
has; and numbers with too many digits Arrow 26 changes silently. So for each key of a decimal a
sample decides which it is, and documents in which it is anything but a plain number of so many
digits are left to the row path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from pipeline.core.schema.types import Array, Field, FieldType, Record, Scalar, Type

PLANS_KEPT = 64
"""How many ways of spelling are remembered; with twenty decimals there are a million."""
_SAMPLE = 8
# A key may be spelled with escapes for the characters it has itself. These patterns match the last
# escape in it, so that no text is searched twice; a match in a string's value only costs time.
_ESCAPED_ASCII = rb'\\(?:u00[2-7]|/)[^"\\]*+"\s*+:'
_ESCAPED = rb'\\[^"][^"\\]*+"\s*+:'
_ANY_ESCAPE = rb"\\"  # for a key that has to be spelled with escapes
_HAS_TO_BE_ESCAPED = re.compile(r'[\x00-\x1f"\\]')


class Spelling:
    """How the decimals of some fields are spelled."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(field for field in fields if has_decimal(field.type))
        self._decimals = list(_decimals_of(self._fields))
        self._nonplain = lru_cache(maxsize=PLANS_KEPT)(self._pattern)

    def as_numbers(self, documents: Sequence[bytes], indices: Sequence[int]) -> frozenset[str]:
        """Return the keys of decimals that a sample of these documents spells as numbers."""
        found: set[str] = set()
        for index in indices[:_SAMPLE] if self._fields else ():
            try:
                value = msgspec.json.decode(documents[index])
            except (msgspec.DecodeError, RecursionError):
                continue
            found.update(_numbers_of(self._fields, value))
        return frozenset(found)

    def exclude_nonplain_decimals(
        self,
        documents: Sequence[bytes],
        text: bytes,
        indices: Sequence[int],
        numbers: frozenset[str],
    ) -> Sequence[int]:
        """Leave out documents in which one of these keys may not have a plain number.

        `text` is the documents of these indices, joined: only if it has such a value at all are
        they searched one by one.
        """
        if not numbers:
            return indices
        search = self._nonplain(numbers).search
        if not search(text):
            return indices
        return [index for index in indices if not search(documents[index])]

    def _pattern(self, numbers: frozenset[str]) -> re.Pattern[bytes]:
        nonplain = [_nonplain(key, scalar) for key, scalar in self._decimals if key in numbers]
        escaped = _ESCAPED_ASCII if all(map(str.isascii, numbers)) else _ESCAPED
        if any(map(_HAS_TO_BE_ESCAPED.search, numbers)):
            escaped = _ANY_ESCAPE
        return re.compile(b"|".join([*nonplain, escaped]))


def digits_read(decimal: Scalar) -> tuple[int, int]:
    """Return how many digits before and after the point are read of a decimal's numbers."""
    digits = 38 if decimal.arrow.bit_width == 128 else 76  # noqa: PLR2004 - bits, and their digits
    whole = decimal.arrow.precision - decimal.arrow.scale
    return whole, digits - whole


def _nonplain(key: str, decimal: Scalar) -> bytes:
    """Return the pattern of the key with anything but a plain number that is read exactly."""
    whole, fraction = digits_read(decimal)
    plain = b"-?[0-9]{1,%d}" % whole if whole else b"-?0"
    if fraction:
        plain += rb"(?:\.[0-9]{1,%d})?" % fraction
    # Possessive: the white space before a plain number is not tried as a value.
    return rb'"%s"\s*+:\s*+(?!null|%s[\s,}])' % (re.escape(key.encode()), plain)


def has_decimal(schema_type: Type) -> bool:
    """Whether a type is a decimal, spelled as a number may be, or one is inside of it."""
    if isinstance(schema_type, Scalar):
        return schema_type.kind == "decimal"
    if isinstance(schema_type, Record):
        return any(has_decimal(field.type) for field in schema_type.fields)
    return has_decimal(
        schema_type.item.type if isinstance(schema_type, Array) else schema_type.value.type
    )


def _numbers_of(fields: Sequence[Field], value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for field in fields:
            yield from _numbers_in(field, field.key, value.get(field.key))


def _numbers_in(field_type: FieldType, key: str, value: Any) -> Iterator[str]:
    inner = field_type.type
    if isinstance(inner, Record):
        yield from _numbers_of(inner.fields, value)
    elif isinstance(inner, Array) and isinstance(value, list):
        for item in value:
            yield from _numbers_in(inner.item, key, item)
    elif isinstance(inner, Scalar) and has_decimal(inner) and isinstance(value, int | float):
        yield key


def _decimals_of(fields: Sequence[Field]) -> Iterator[tuple[str, Scalar]]:
    """Yield the decimals, and their keys, in fields that Arrow's reader reads."""
    for field in fields:
        inner = field.type
        while isinstance(inner, Array):
            inner = inner.item.type
        if isinstance(inner, Record):
            yield from _decimals_of(inner.fields)
        elif isinstance(inner, Scalar) and has_decimal(inner):
            yield field.key, inner
