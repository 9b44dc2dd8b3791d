"""The rules of a record's fields, vectorised on its columns. Patterns are RE2, unanchored."""

from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.jsonpath import ValuePath, Violations, path_segment, path_segments
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation
from pipeline.core.schema.types import Array, Field, FieldType, Map, Record, Rules, Type

# Exact for every limit that the schema parser accepts: below 10**309, and columns of 76 digits.
_EXACT = Context(prec=400, Emax=10**6, Emin=-(10**6))


def ruled_fields(record: Record) -> list[Field]:
    """Return the fields of a record that have a rule, themselves or at any depth."""
    return [field for field in record.fields if _ruled(field)]


def _ruled(field_type: FieldType) -> bool:
    if isinstance(field_type, Field) and field_type.rules:
        return True
    match field_type.type:
        case Record() as record:
            return bool(ruled_fields(record))
        case Array(item=inner) | Map(value=inner):
            return _ruled(inner)
        case _:
            return False


def check_fields(
    fields: Sequence[Field], columns: Sequence[pa.Array], violations: Violations
) -> None:
    """Note the rows in which a value breaks a rule; there is a column for each field."""
    for field, column in zip(fields, columns, strict=True):
        _walk(
            field,
            column,
            ValuePath(ValuePath(), range(len(column)), path_segments(field.path)),
            violations,
        )


def _walk(field_type: FieldType, array: pa.Array, where: ValuePath, violations: Violations) -> None:
    """Check the values of one field or item, and everything inside them."""
    if isinstance(field_type, Field) and field_type.rules:
        _check(field_type.rules, array, where, violations)
    match field_type.type:
        case Record() as record:
            for field in record.fields:
                inner = pc.struct_field(array, field.name)
                _walk(
                    field,
                    inner,
                    ValuePath(where, range(len(array)), path_segment(field.key)),
                    violations,
                )
        case Array(item=inner) | Map(value=inner) if _ruled(inner):
            _walk_items(field_type.type, inner, array, where, violations)
        case _:
            pass


def _walk_items(
    field_type: Type, inner: FieldType, array: pa.Array, where: ValuePath, violations: Violations
) -> None:
    """Check the items of arrays, or the values of maps."""
    if isinstance(field_type, Map):
        entry = pa.struct([pa.field("key", pa.string()), pa.field("value", inner.arrow)])
        array = array.cast(pa.list_(entry))  # Arrow knows the parents of a list's items only
    flat, parents = array.flatten(), pc.list_parent_indices(array).to_pylist()
    if isinstance(field_type, Map):
        segments = [path_segment(key) for key in pc.struct_field(flat, "key").to_pylist()]
        flat = pc.struct_field(flat, "value")
    else:
        segments = [f"[{number}]" for number in _numbers(parents)]
    _walk(inner, flat, ValuePath(where, parents, segments), violations)


def _numbers(parents: list[int]) -> Iterator[int]:
    """Each item's number in its own list, counted from 0."""
    for _, items in groupby(parents):
        yield from (number for number, _ in enumerate(items))


def _check(rules: Rules, array: pa.Array, where: ValuePath, violations: Violations) -> None:
    """Note every value that breaks a rule; null breaks none."""
    for attribute, verdict in VERDICTS.items():
        limit = getattr(rules, attribute)
        if limit is None:
            continue
        broken, violation = verdict(array, limit)
        for index in pc.indices_nonzero(broken.fill_null(False)).to_pylist():  # noqa: FBT003 - a value
            located = msgspec.structs.replace(violation, path=where.path(index))
            violations.add(where.row(index), located)


_Verdict = tuple[pa.Array, Violation]


def _minimum(array: pa.Array, minimum: Decimal) -> _Verdict:
    message = f"The number is below its minimum, {minimum}."
    return _beyond(array, minimum, pc.less), Violation(Reason.BELOW_MINIMUM, message)


def _maximum(array: pa.Array, maximum: Decimal) -> _Verdict:
    message = f"The number is above its maximum, {maximum}."
    return _beyond(array, maximum, pc.greater), Violation(Reason.ABOVE_MAXIMUM, message)


def _min_length(array: pa.Array, characters: int) -> _Verdict:
    too_short = pc.less(pc.utf8_length(array), _length(characters))
    message = f"The string is shorter than {characters} characters."
    return too_short, Violation(Reason.TOO_SHORT, message)


def _max_length(array: pa.Array, characters: int) -> _Verdict:
    too_long = pc.greater(pc.utf8_length(array), _length(characters))
    message = f"The string is longer than {characters} characters."
    return too_long, Violation(Reason.TOO_LONG, message)


def _pattern(array: pa.Array, pattern: str) -> _Verdict:
    mismatch = pc.invert(pc.match_substring_regex(array, pattern))
    message = f"The string does not match {pattern!r}."
    return mismatch, Violation(Reason.PATTERN_MISMATCH, message)


VERDICTS: dict[str, Callable[[pa.Array, Any], _Verdict]] = {
    "minimum": _minimum,
    "maximum": _maximum,
    "min_length": _min_length,
    "max_length": _max_length,
    "pattern": _pattern,
}
"""By attribute of `Rules`: which values break a limit, and the violation. The first one counts."""


def _length(limit: int) -> pa.Scalar:
    """Return a length to compare with; no string is longer than Arrow can count."""
    return pa.scalar(min(limit, 2**31 - 1), pa.int32())


def _beyond(array: pa.Array, limit: Decimal, compare: Any) -> pa.Array:
    """Compare numbers with a decimal limit, exactly.

    Arrow would compare integers with a fractional limit as doubles, and decimals of different
    scale not at all where they do not fit. So the limit is brought to the column's own grid: a
    number is beyond a limit between two steps if it is beyond the step on the limit's far side.
    """
    arrow_type = array.type
    if pa.types.is_floating(arrow_type):
        # Rounded as the values were: a float of 32 bits that is written 0.1 is more than 0.1.
        return compare(array, pa.scalar(float(limit), arrow_type))
    scale = arrow_type.scale if pa.types.is_decimal(arrow_type) else 0
    rounding = ROUND_CEILING if compare is pc.less else ROUND_FLOOR
    step = Decimal(1).scaleb(-scale)
    on_grid = limit.quantize(step, rounding=rounding, context=_EXACT)
    try:
        exact = on_grid if pa.types.is_decimal(arrow_type) else int(on_grid)
        return compare(array, pa.scalar(exact, arrow_type))
    except (pa.ArrowInvalid, OverflowError):
        # The limit is outside what the type holds: all values are on one side of it.
        all_beyond = (limit > 0) == (compare is pc.less)
        return pc.if_else(array.is_valid(), all_beyond, None)
