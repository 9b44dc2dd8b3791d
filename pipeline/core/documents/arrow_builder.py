"""Decoded structs to Arrow columns, level by level.

A nested value costs one list per level, not one object per value. A value that does not fit its
type is noted with its row and path, and null is stored for it; its row is dropped afterwards.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from pipeline.core.documents.jsonpath import LazySequence, ValuePath, Violations, path_segment
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation
from pipeline.core.schema.types import NO_DEFAULT, Array, FieldType, Map, Record, Scalar
from pipeline.core.schema.values import ConversionError


def columns_of(
    record: Record, structs: Sequence[Any], where: ValuePath, violations: Violations
) -> list[pa.Array]:
    """Return a column for each field of the record, as long as `structs` (none of them None)."""
    rows = range(len(structs))
    return [
        column(
            field,
            list(map(attrgetter(f"f{number}"), structs)),
            ValuePath(where, rows, path_segment(field.key)),
            violations,
        )
        for number, field in enumerate(record.fields)
    ]


def column(
    field_type: FieldType, values: list[Any], where: ValuePath, violations: Violations
) -> pa.Array:
    """Return the Arrow array of decoded values (None: null or absent) of one field or item."""
    inner = field_type.type
    if inner.json_type is msgspec.Raw:
        values = [None if value is None or bytes(value) == b"null" else value for value in values]
    if field_type.empty_is_null:
        values = [None if field_type.is_empty(value) else value for value in values]
    if field_type.default is not NO_DEFAULT:
        values = [field_type.default if value is None else value for value in values]
    elif not field_type.nullable:
        _note_missing(values, where, violations)
    build = _BUILDERS[type(inner)]
    array: pa.Array = build(inner, values, where, violations)
    return with_nullable_children(array, field_type.arrow)


def with_nullable_children(array: pa.Array, arrow: pa.DataType) -> pa.Array:
    """Return a record's array under the type of the same record with nullable children.

    A cast would refuse the nulls stored for misfits, whose rows are dropped afterwards.
    """
    if array.type == arrow:
        return array
    parts = [
        with_nullable_children(array.field(number), part.type) for number, part in enumerate(arrow)
    ]
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(parts, fields=list(arrow), mask=mask)


def _note_missing(values: list[Any], where: ValuePath, violations: Violations) -> None:
    if None not in values:
        return
    for index, value in enumerate(values):
        if value is None:
            message = "A value is required, but it is null."
            violations.add(
                where.row(index), Violation(Reason.MISSING_FIELD, message, where.path(index))
            )


def _scalars(
    scalar: Scalar, values: list[Any], where: ValuePath, violations: Violations
) -> pa.Array:
    if scalar.convert is not None:
        values = _converted(scalar.convert, values, where, violations)
    stored = pa.array(values, scalar.storage)
    return stored if scalar.storage == scalar.arrow else stored.cast(scalar.arrow)


def _converted(
    convert: Callable[[Any], Any], values: list[Any], where: ValuePath, violations: Violations
) -> list[Any]:
    converted: list[Any] = []
    for index, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except ConversionError as misfit:
            violation = Violation(misfit.reason, str(misfit), where.path(index))
            violations.add(where.row(index), violation)
            converted.append(None)
    return converted


def _records(
    record: Record, values: list[Any], where: ValuePath, violations: Violations
) -> pa.Array:
    """Build the columns of the objects that are present, then spread them over the absent ones."""
    present = [index for index, value in enumerate(values) if value is not None]
    inner = columns_of(
        record, [values[index] for index in present], ValuePath(where, present), violations
    )
    if len(present) == len(values):
        return pa.StructArray.from_arrays(inner, fields=list(record.arrow))
    number = {index: position for position, index in enumerate(present)}
    spread = pa.array([number.get(index) for index in range(len(values))], pa.int32())
    mask = pa.array([value is None for value in values])
    return pa.StructArray.from_arrays(
        [child.take(spread) for child in inner], fields=list(record.arrow), mask=mask
    )


def _lists(array: Array, values: list[Any], where: ValuePath, violations: Violations) -> pa.Array:
    items = list(chain.from_iterable(filter(None, values)))
    numbers = LazySequence(lambda: [f"[{number}]" for number in _numbers(values)])
    inside = ValuePath(where, LazySequence(lambda: _parents(values)), numbers)
    flat = column(array.item, items, inside, violations)
    return pa.ListArray.from_arrays(_offsets(values), flat, type=array.arrow)


def _maps(map_type: Map, values: list[Any], where: ValuePath, violations: Violations) -> pa.Array:
    keys = list(chain.from_iterable(filter(None, values)))
    items = list(chain.from_iterable(value.values() for value in values if value))
    segments = LazySequence(lambda: [path_segment(key) for key in keys])
    inside = ValuePath(where, LazySequence(lambda: _parents(values)), segments)
    flat = column(map_type.value, items, inside, violations)
    return pa.MapArray.from_arrays(
        _offsets(values), pa.array(keys, pa.string()), flat, type=map_type.arrow
    )


def _parents(values: list[Any]) -> list[int]:
    """For each item of all the lists: the index of its list."""
    return [index for index, value in enumerate(values) for _ in value or ()]


def _numbers(values: list[Any]) -> list[int]:
    """For each item of all the lists: its number in its list."""
    return [number for value in values for number in range(len(value or ()))]


def _offsets(values: list[Any]) -> pa.Array:
    """List offsets, with a null where the list is null."""
    if None not in values:
        return pa.array(list(accumulate(map(len, values), initial=0)), pa.int32())
    ends = list(accumulate((len(value or ()) for value in values), initial=0))
    starts = [None if value is None else start for value, start in zip(values, ends, strict=False)]
    return pa.array([*starts, ends[-1]], pa.int32())


_BUILDERS: dict[type, Callable[..., pa.Array]] = {
    Scalar: _scalars,
    Record: _records,
    Array: _lists,
    Map: _maps,
}
