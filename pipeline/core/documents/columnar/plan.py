"""From what Arrow's JSON reader read to the output's columns, place by place.

A place that is null and must not be, or whose value does not fit, is a misfit of the row it is
in; the row path looks at that document again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.arrow_builder import column, with_nullable_children
from pipeline.core.documents.columnar.decimals import has_decimal
from pipeline.core.documents.columnar.kernels import Column, either, kernel_of, mask_from_indices
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.schema.types import (
    NO_DEFAULT,
    Array,
    Field,
    FieldType,
    Map,
    Record,
    Scalar,
    Type,
)

# Makes the column of what was read; the mask tells where there is something around the value
# (None: everywhere).
_Finish = Callable[[pa.Array, pa.Array | None], Column]


class Plan(msgspec.Struct, frozen=True):
    """How to read the fields of a record: the reader's schema, and what comes after it."""

    schema: pa.Schema
    fields: tuple[Field, ...]
    places: tuple[_Place, ...]

    @classmethod
    def of(cls, fields: tuple[Field, ...], numbers: frozenset[str]) -> Plan:
        """Plan; `numbers` are the keys of decimals that are spelled as numbers."""
        places = tuple(_place(of, of.key, numbers) for of in fields)
        read = [(of.key, place.read) for of, place in zip(fields, places, strict=True)]
        return cls(pa.schema(read), fields, places)

    def finish(self, read: Sequence[pa.Array]) -> tuple[dict[str, pa.Array], pa.Array | None]:
        """Return the columns by name, and the mask of the rows with misfits, if there are any."""
        columns: dict[str, pa.Array] = {}
        misfits: pa.Array | None = None
        for of, place, values in zip(self.fields, self.places, read, strict=True):
            columns[of.name], bad = place.finish(values, None)
            misfits = either(misfits, bad)
        return columns, misfits


def is_readable(of: Type) -> bool:
    """Tell whether Arrow's reader can read a type.

    Not maps; and not decimals right inside an array, whose spelling nothing tells beforehand.
    """
    if isinstance(of, Record):
        return all(is_readable(part.type) for part in of.fields)
    if isinstance(of, Array):
        item = of.item.type
        return is_readable(item) and (isinstance(item, Record) or not has_decimal(item))
    return not isinstance(of, Map)


class _Place(msgspec.Struct, frozen=True):
    """How one place is read: as which type, and what makes the output's column of that."""

    read: pa.DataType
    finish: _Finish


def _place(slot: FieldType, key: str, numbers: frozenset[str]) -> _Place:
    """Read one place. `numbers` are the keys of decimals that are spelled as numbers."""
    inner = _type(slot.type, key, numbers)
    default = None
    if slot.default is not NO_DEFAULT:
        default = column(slot, [None], ValuePath(), Violations())

    def finish(values: pa.Array, inside: pa.Array | None) -> Column:
        absent = None
        if values.null_count and not slot.optional:
            absent = values.is_null() if inside is None else pc.and_(values.is_null(), inside)
        made, misfits = inner.finish(values, inside)
        if default is not None and made.null_count:
            made = _filled(made, default)
        return with_nullable_children(made, slot.arrow), either(absent, misfits)

    return _Place(inner.read, finish)


def _type(of: Type, key: str, numbers: frozenset[str]) -> _Place:
    if isinstance(of, Record):
        return _record(of, numbers)
    if isinstance(of, Array):
        return _array(of, key, numbers)
    if isinstance(of, Scalar):
        read, kernel = kernel_of(of, spelled_as_number=key in numbers)
        return _Place(read, lambda values, _: kernel(values))
    message = f"{of} is read by the row path"
    raise TypeError(message)


def _record(of: Record, numbers: frozenset[str]) -> _Place:
    parts = [_place(part, part.key, numbers) for part in of.fields]

    def finish(values: pa.Array, _: pa.Array | None) -> Column:
        inside, nowhere = None, None
        if values.null_count:
            inside, nowhere = values.is_valid(), values.is_null()
        made = [part.finish(values.field(n), inside) for n, part in enumerate(parts)]
        misfits = None
        for _, bad in made:
            misfits = either(misfits, bad)
        columns = [built for built, _ in made]
        return pa.StructArray.from_arrays(columns, fields=list(of.arrow), mask=nowhere), misfits

    keys = [part.key for part in of.fields]
    read = pa.struct([(key, part.read) for key, part in zip(keys, parts, strict=True)])
    return _Place(read, finish)


def _array(of: Array, key: str, numbers: frozenset[str]) -> _Place:
    item = _place(of.item, key, numbers)

    def finish(values: pa.Array, _: pa.Array | None) -> Column:
        made, bad = item.finish(values.values, None)
        nowhere = values.is_null() if values.null_count else None
        lists = pa.ListArray.from_arrays(values.offsets, made, type=of.arrow, mask=nowhere)
        if bad is None:
            return lists, None
        return lists, mask_from_indices(
            pc.list_parent_indices(values).filter(bad).to_pylist(), len(values)
        )

    return _Place(pa.list_(item.read), finish)


def _filled(values: pa.Array, default: pa.Array) -> pa.Array:
    """Put the default, an array of one, where there is no value; of any type."""
    if not pa.types.is_nested(values.type):
        return pc.fill_null(values, default[0])
    size = len(values)
    where = pc.if_else(values.is_null(), size, pa.array(range(size), pa.int32()))
    return pa.concat_arrays([values, default.cast(values.type)]).take(where)
