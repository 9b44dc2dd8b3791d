"""Decoded structs to Arrow columns, level by level.

A nested value costs one list per level, not one object per value. A value that does not fit its
type is noted with its row and path and stored as null; its row is dropped afterwards.
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
    record: Record, structs: Sequence[Any], where: ValuePath, faults: Violations
) -> list[pa.Array]:
    """Return a column for each field of the record, as long as `structs` (none of them None)."""
    rows = range(len(structs))
    return [
        column(
            field,
            list(map(attrgetter(f"f{number}"), structs)),
            ValuePath(where, rows, path_segment(field.key)),
            faults,
        )
        for number, field in enumerate(record.fields)
    ]


def column(slot: FieldType, values: list[Any], where: ValuePath, faults: Violations) -> pa.Array:
    """Return the Arrow array of decoded values (None: null or absent) of one place."""
    of = slot.type
    if of.json_type is msgspec.Raw:
        values = [None if value is None or bytes(value) == b"null" else value for value in values]
    if slot.default is not NO_DEFAULT:
        values = [slot.default if value is None else value for value in values]
    elif not slot.nullable:
        _note_missing(values, where, faults)
    build = _BUILDERS[type(of)]
    array: pa.Array = build(of, values, where, faults)
    return with_nullable_children(array, slot.arrow)


def with_nullable_children(array: pa.Array, of: pa.DataType) -> pa.Array:
    """Return a record's array under the looser type of the same record where it may be null.

    A cast would refuse the nulls that stand for misfits, whose rows are dropped afterwards.
    """
    if array.type == of:
        return array
    parts = [
        with_nullable_children(array.field(number), part.type) for number, part in enumerate(of)
    ]
    nowhere = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(parts, fields=list(of), mask=nowhere)


def _note_missing(values: list[Any], where: ValuePath, faults: Violations) -> None:
    if None not in values:
        return
    for index, value in enumerate(values):
        if value is None:
            message = "A value is required here and is null."
            faults.add(
                where.row(index), Violation(Reason.MISSING_FIELD, message, where.path(index))
            )


def _scalars(of: Scalar, values: list[Any], where: ValuePath, faults: Violations) -> pa.Array:
    if of.convert is not None:
        values = _converted(of.convert, values, where, faults)
    stored = pa.array(values, of.storage)
    return stored if of.storage == of.arrow else stored.cast(of.arrow)


def _converted(
    convert: Callable[[Any], Any], values: list[Any], where: ValuePath, faults: Violations
) -> list[Any]:
    converted: list[Any] = []
    for index, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except ConversionError as misfit:
            fault = Violation(misfit.reason, str(misfit), where.path(index))
            faults.add(where.row(index), fault)
            converted.append(None)
    return converted


def _records(of: Record, values: list[Any], where: ValuePath, faults: Violations) -> pa.Array:
    """Build the parts of the objects that are there, then spread them over those that are not."""
    present = [index for index, value in enumerate(values) if value is not None]
    inner = columns_of(of, [values[index] for index in present], ValuePath(where, present), faults)
    if len(present) == len(values):
        return pa.StructArray.from_arrays(inner, fields=list(of.arrow))
    number = {index: position for position, index in enumerate(present)}
    spread = pa.array([number.get(index) for index in range(len(values))], pa.int32())
    mask = pa.array([value is None for value in values])
    return pa.StructArray.from_arrays(
        [child.take(spread) for child in inner], fields=list(of.arrow), mask=mask
    )


def _lists(of: Array, values: list[Any], where: ValuePath, faults: Violations) -> pa.Array:
    items = list(chain.from_iterable(filter(None, values)))
    numbers = LazySequence(lambda: [f"[{number}]" for number in _numbers(values)])
    inside = ValuePath(where, LazySequence(lambda: _parents(values)), numbers)
    flat = column(of.item, items, inside, faults)
    return pa.ListArray.from_arrays(_offsets(values), flat, type=of.arrow)


def _maps(of: Map, values: list[Any], where: ValuePath, faults: Violations) -> pa.Array:
    keys = list(chain.from_iterable(filter(None, values)))
    items = list(chain.from_iterable(value.values() for value in values if value))
    segments = LazySequence(lambda: [path_segment(key) for key in keys])
    inside = ValuePath(where, LazySequence(lambda: _parents(values)), segments)
    flat = column(of.value, items, inside, faults)
    return pa.MapArray.from_arrays(
        _offsets(values), pa.array(keys, pa.string()), flat, type=of.arrow
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
