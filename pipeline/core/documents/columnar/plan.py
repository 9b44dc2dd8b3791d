"""From what Arrow's JSON reader read to the output's columns, one column plan for each type.

A value that is null and must not be, or that does not fit its type, is a misfit of its row; the
row path looks at that document again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.arrow_builder import column, with_nullable_children
from pipeline.core.documents.columnar.decimals import has_decimal
from pipeline.core.documents.columnar.kernels import (
    Column,
    kernel_of,
    or_masks,
)
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.integers import mask_of
from pipeline.core.schema.types import (
    NO_DEFAULT,
    Array,
    Field,
    FieldType,
    Record,
    Scalar,
    Type,
)

# Makes the output's column of what was read. The mask says for which values the object around
# them is there (None: for all).
_Finish = Callable[[pa.Array, pa.Array | None], Column]


class RecordPlan(msgspec.Struct, frozen=True):
    """How to read the fields of a record: the reader's schema, and what comes after it."""

    schema: pa.Schema
    fields: tuple[Field, ...]
    columns: tuple[ColumnPlan, ...]

    def finish(self, read: Sequence[pa.Array]) -> tuple[dict[str, pa.Array], pa.Array | None]:
        """Return the columns by name, and the mask of the rows with misfits, if there are any."""
        finished: dict[str, pa.Array] = {}
        misfits: pa.Array | None = None
        for field, plan, values in zip(self.fields, self.columns, read, strict=True):
            finished[field.name], column_misfits = plan.finish(values, None)
            misfits = or_masks(misfits, column_misfits)
        return finished, misfits


def make_record_plan(fields: tuple[Field, ...], numbers: frozenset[str]) -> RecordPlan:
    """Plan the fields; `numbers` are the keys of decimals that are spelled as numbers."""
    columns = tuple(_field_plan(field, field.key, numbers) for field in fields)
    read = [(field.key, plan.read) for field, plan in zip(fields, columns, strict=True)]
    return RecordPlan(pa.schema(read), fields, columns)


def is_readable(field_type: FieldType) -> bool:
    """Whether Arrow's reader can read a field or item.

    It knows one key for each, and returns null and absence alike.

    Not maps; not decimals right inside an array, whose spelling nothing says beforehand; not what
    may be of several JSON types.
    """
    schema_type = field_type.type
    if isinstance(field_type, Field) and (field_type.aliases or field_type.distinguishes_null):
        return False
    if field_type.empty_is_null and not is_string(schema_type):
        return False
    if isinstance(schema_type, Record):
        return all(is_readable(field) for field in schema_type.fields)
    if isinstance(schema_type, Array):
        item = schema_type.item.type
        return is_readable(schema_type.item) and (isinstance(item, Record) or not has_decimal(item))
    return isinstance(schema_type, Scalar) and schema_type.kind != "any"


def is_string(schema_type: Type) -> bool:
    """Whether values of a type are JSON strings, and nothing else."""
    return isinstance(schema_type, Scalar) and schema_type.kind == "string"


class ColumnPlan(msgspec.Struct, frozen=True):
    """How one column is read: as which type, and what makes the output's column of that."""

    read: pa.DataType
    finish: _Finish


def _field_plan(field_type: FieldType, key: str, numbers: frozenset[str]) -> ColumnPlan:
    """Plan a field or an item: its type, then its default, and whether it may be null."""
    inner = _type_plan(field_type.type, key, numbers)
    default = None
    if field_type.default is not NO_DEFAULT:
        default = column(field_type, [None], ValuePath(), Violations())

    def finish(values: pa.Array, present: pa.Array | None) -> Column:
        missing = None
        if field_type.empty_is_null:
            values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
        if values.null_count and not field_type.optional:
            missing = values.is_null() if present is None else pc.and_(values.is_null(), present)
        finished, misfits = inner.finish(values, present)
        if default is not None and finished.null_count:
            finished = _filled(finished, default)
        return with_nullable_children(finished, field_type.arrow), or_masks(missing, misfits)

    return ColumnPlan(inner.read, finish)


def _type_plan(schema_type: Type, key: str, numbers: frozenset[str]) -> ColumnPlan:
    if isinstance(schema_type, Record):
        return _struct_plan(schema_type, numbers)
    if isinstance(schema_type, Array):
        return _list_plan(schema_type, key, numbers)
    if isinstance(schema_type, Scalar):
        read, kernel = kernel_of(schema_type, spelled_as_number=key in numbers)
        return ColumnPlan(read, lambda values, _: kernel(values))
    message = f"{schema_type} is read by the row path"
    raise TypeError(message)


def _struct_plan(record: Record, numbers: frozenset[str]) -> ColumnPlan:
    plans = [_field_plan(field, field.key, numbers) for field in record.fields]

    def finish(values: pa.Array, _: pa.Array | None) -> Column:
        present, absent = None, None
        if values.null_count:
            present, absent = values.is_valid(), values.is_null()
        finished = [plan.finish(values.field(n), present) for n, plan in enumerate(plans)]
        misfits = None
        for _, child_misfits in finished:
            misfits = or_masks(misfits, child_misfits)
        children = [child for child, _ in finished]
        struct = pa.StructArray.from_arrays(children, fields=list(record.arrow), mask=absent)
        return struct, misfits

    keys = [field.key for field in record.fields]
    read = pa.struct([(key, plan.read) for key, plan in zip(keys, plans, strict=True)])
    return ColumnPlan(read, finish)


def _list_plan(array: Array, key: str, numbers: frozenset[str]) -> ColumnPlan:
    item = _field_plan(array.item, key, numbers)

    def finish(values: pa.Array, _: pa.Array | None) -> Column:
        items, misfits = item.finish(values.values, None)
        mask = values.is_null() if values.null_count else None
        lists = pa.ListArray.from_arrays(values.offsets, items, type=array.arrow, mask=mask)
        if misfits is None:
            return lists, None
        parents = pc.list_parent_indices(values).filter(misfits)
        return lists, mask_of(parents.to_pylist(), len(values))

    return ColumnPlan(pa.list_(item.read), finish)


def _filled(values: pa.Array, default: pa.Array) -> pa.Array:
    """Put the default, an array of one, where there is no value; of any type."""
    if not pa.types.is_nested(values.type):
        return pc.fill_null(values, default[0])
    size = len(values)
    indices = pc.if_else(values.is_null(), size, pa.array(range(size), pa.int32()))
    return pa.concat_arrays([values, default.cast(values.type)]).take(indices)
