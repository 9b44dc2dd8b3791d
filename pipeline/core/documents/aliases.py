"""The values of a field that documents may have under another key.

The struct has the field's own member, UNSET where the object does not have it, and one for each
alias, as it is in the text. The own key wins, then the first alias that is there.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from pipeline.core.documents.jsonpath import ValuePath, Violations, path_segment
from pipeline.core.documents.row_decoder import IS_ABSENT, IS_NULL, decode_member
from pipeline.core.records import Violation
from pipeline.core.schema.types import NO_DEFAULT, Field, member_names

_UNSET = msgspec.UNSET


def read_aliases(
    field: Field,
    number: int,
    structs: Sequence[Any],
    values: list[Any],
    where: ValuePath,
    violations: Violations,
) -> tuple[list[Any], list[str]]:
    """Fill in what is not under field `number`'s own key; return values and path segments."""
    segments = [path_segment(key) for key in field.keys]
    used = [segments[0]] * len(values)
    _, *names = member_names(number, field)
    aliased = list(zip(*(map(attrgetter(name), structs) for name in names), strict=True))
    filled = list(values)
    decoder = msgspec.json.Decoder(field.json_type)
    for index, value in enumerate(values):
        if value is not _UNSET:
            continue
        found: Any = _absent(field)
        for text, segment in zip(aliased[index], segments[1:], strict=True):
            if text is not _UNSET:
                used[index] = segment
                found = _read(field, decoder, text)
                break
        if isinstance(found, Violation):
            path = where.path(index) + used[index] + found.path
            violations.add(where.row(index), msgspec.structs.replace(found, path=path))
            found = None
        filled[index] = found
    return filled, used


def _absent(field: Field) -> Any:
    if field.default is not NO_DEFAULT:
        return field.default
    return None if field.nullable else IS_ABSENT


def _read(field: Field, decoder: msgspec.json.Decoder[Any], text: msgspec.Raw) -> Any:
    if bytes(text) == b"null":
        return None if field.optional else IS_NULL
    return decode_member(field, decoder, text)
