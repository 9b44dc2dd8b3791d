"""A dataset's columns as a table has them, and rows made to fit a table's columns."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import ARRIVED_AT, IDENTITY

_MOST_DIGITS = 38
_REQUIRED = frozenset(field.name for field in (*IDENTITY, ARRIVED_AT))


class DoesNotFit(Exception):
    """Rows have a column that the table lacks, or has in another type; the message names it."""


def table_schema(schema: pa.Schema) -> pa.Schema:
    """Return a dataset's columns as its table has them.

    A table has no times in milliseconds; and `fixed` is what Amazon's S3 Tables cannot compact. Of
    the fields, all are optional: a later version may have no such field, and an older had none.
    """
    return pa.schema([_field(field, required=field.name in _REQUIRED) for field in schema])


def _field(field: pa.Field, *, required: bool = False) -> pa.Field:
    return pa.field(field.name, _type(field.type), nullable=not required)


def _type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_time32(kind):
        return pa.time64("us")
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_decimal(kind):
        if kind.precision > _MOST_DIGITS:
            message = f"the table has no decimals of {kind.precision} digits"
            raise DoesNotFit(message)
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_struct(kind):
        return pa.struct([_field(field) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_field(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _field(kind.item_field))
    return kind


def small_types(schema: pa.Schema) -> pa.Schema:
    """Return a schema without large strings and lists, with its metadata: what files have."""
    return pa.schema([_small(field) for field in schema], schema.metadata)


def _small(field: pa.Field) -> pa.Field:
    kind = field.type
    if pa.types.is_large_string(kind):
        kind = pa.string()
    elif pa.types.is_large_binary(kind):
        kind = pa.binary()
    elif pa.types.is_struct(kind):
        kind = pa.struct([_small(each) for each in kind])
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = pa.list_(_small(kind.value_field))
    elif pa.types.is_map(kind):
        kind = pa.map_(_small(kind.key_field), _small(kind.item_field))
    return pa.field(field.name, kind, field.nullable, field.metadata)


def renamed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows of a data file with the names that its columns have in the table by now.

    What a column is, its id says. Columns that the table has no more are left out.
    """
    columns = {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        now = _same_field(field, list(schema))
        if now is not None:
            chunks = [_relabelled(chunk, now.type) for chunk in column.chunks]
            columns[now.name] = pa.chunked_array(chunks, None if chunks else field.type)
    return pa.table(columns) if columns else rows.select([])


def _same_field(field: pa.Field, fields: list[pa.Field]) -> pa.Field | None:
    """Return the field of the same id; of a file without ids, that of the same name."""
    number = _field_id(field)
    if number is None:
        return next((each for each in fields if each.name == field.name), None)
    return next((each for each in fields if _field_id(each) == number), None)


def _field_id(field: pa.Field) -> bytes | None:
    return (field.metadata or {}).get(b"PARQUET:field_id")


def _relabelled(array: pa.Array, kind: pa.DataType) -> pa.Array:
    have = array.type
    if pa.types.is_struct(have) and pa.types.is_struct(kind):
        parts, names = [], []
        for field, part in zip(have, array.flatten(), strict=True):
            now = _same_field(field, list(kind))
            if now is not None:
                parts.append(_relabelled(part, now.type))
                names.append(now.name)
        return pa.StructArray.from_arrays(parts, names, mask=array.is_null())
    if pa.types.is_list(have) and pa.types.is_list(kind):
        values = _relabelled(array.values, kind.value_type)
        return _with_values(array, pa.list_(have.value_field.with_type(values.type)), values)
    if pa.types.is_map(have) and pa.types.is_map(kind):
        items = _relabelled(array.items, kind.item_type)
        made = pa.map_(have.key_type, have.item_field.with_type(items.type))
        fields = [made.key_field, made.item_field]
        entries = pa.StructArray.from_arrays([array.keys, items], fields=fields)
        return _with_values(array, made, entries)
    return array


def _with_values(array: pa.Array, kind: pa.DataType, values: pa.Array) -> pa.Array:
    """Return a list or a map with other values in the places of those that it has."""
    buffers = array.buffers()[:2]
    return pa.Array.from_buffers(kind, len(array), buffers, offset=array.offset, children=[values])


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows with the columns of a table. Raises `DoesNotFit`."""
    lacking = [name for name in rows.column_names if name not in schema.names]
    if lacking:
        message = f"the table has no column {lacking[0]}"
        raise DoesNotFit(message)
    columns = []
    for field in schema:
        if field.name in rows.column_names:
            column = rows.column(field.name)
            if column.type != field.type:
                chunks = [_cast(chunk, field.type, field.name) for chunk in column.chunks]
                column = pa.chunked_array(chunks, field.type)
        else:
            column = pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(array: pa.Array, kind: pa.DataType, path: str) -> pa.Array:
    """Return an array as another type, whose values it may all have."""
    have = array.type
    if have == kind:
        return array
    if pa.types.is_struct(have) and pa.types.is_struct(kind):
        return _cast_struct(array, kind, path)
    if pa.types.is_list(have) and pa.types.is_list(kind):
        return _with_values(array, kind, _cast(array.values, kind.value_type, f"{path}[]"))
    if pa.types.is_map(have) and pa.types.is_map(kind):
        return _cast_map(array, kind, path)
    if not _widens(have, kind):
        message = f"the table's column {path} is {kind}, and its own {have}"
        raise DoesNotFit(message)
    return pc.cast(array, kind)


def _cast_struct(array: pa.StructArray, kind: pa.DataType, path: str) -> pa.Array:
    names = {field.name for field in kind}
    for field in array.type:
        if field.name not in names:
            message = f"the table has no column {path}.{field.name}"
            raise DoesNotFit(message)
    parts = []
    for field in kind:
        position = array.type.get_field_index(field.name)
        if position < 0:
            parts.append(pa.nulls(len(array), field.type))
        else:
            # Not `array.field`, which does not know of the slice that the array may be.
            part = array.flatten()[position]
            parts.append(_cast(part, field.type, f"{path}.{field.name}"))
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())


def _cast_map(array: pa.MapArray, kind: pa.DataType, path: str) -> pa.Array:
    keys = _cast(array.keys, kind.key_type, f"{path}{{}}")
    items = _cast(array.items, kind.item_type, f"{path}{{}}")
    entries = pa.StructArray.from_arrays([keys, items], fields=[kind.key_field, kind.item_field])
    return _with_values(array, kind, entries)


def _widens(have: pa.DataType, kind: pa.DataType) -> bool:
    """Tell whether every value of one type is one of the other: what Iceberg's promotions are."""
    types = pa.types
    if types.is_decimal(have) and types.is_decimal(kind):
        return bool(have.scale == kind.scale and have.precision <= kind.precision)
    if types.is_unsigned_integer(have) and have.bit_width >= kind.bit_width:
        return False
    for is_one in (types.is_integer, types.is_floating):
        if is_one(have):
            return bool(is_one(kind) and have.bit_width <= kind.bit_width)
    return any(is_one(have) and is_other(kind) for is_one, is_other in _SAME)


_SAME = (
    (pa.types.is_time, pa.types.is_time),
    (pa.types.is_fixed_size_binary, pa.types.is_binary),
)
"""What is another type in files than in a table, which has only one of the kind."""


def merged(have: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """Return the columns of a table with those of `wanted`, too, each in the wider type.

    Raises `DoesNotFit` where no type has the values of both.
    """
    fields = [_merged_field(field, _named(wanted, field.name), field.name) for field in have]
    more = [field.with_nullable(nullable=True) for field in wanted if field.name not in have.names]
    return pa.schema([*fields, *more])


def _named(fields: pa.Schema | pa.StructType, name: str) -> pa.Field | None:
    position = fields.get_field_index(name)
    return None if position < 0 else fields.field(position)


def _merged_field(have: pa.Field, wanted: pa.Field | None, path: str) -> pa.Field:
    if wanted is None:
        return have
    return pa.field(have.name, _merged_type(have.type, wanted.type, path), have.nullable)


def _merged_type(have: pa.DataType, wanted: pa.DataType, path: str) -> pa.DataType:
    if pa.types.is_struct(have) and pa.types.is_struct(wanted):
        fields = [
            _merged_field(field, _named(wanted, field.name), f"{path}.{field.name}")
            for field in have
        ]
        names = {field.name for field in have}
        return pa.struct([*fields, *(field for field in wanted if field.name not in names)])
    if pa.types.is_list(have) and pa.types.is_list(wanted):
        return pa.list_(_merged_field(have.value_field, wanted.value_field, f"{path}[]"))
    if pa.types.is_map(have) and pa.types.is_map(wanted):
        item = _merged_field(have.item_field, wanted.item_field, f"{path}{{}}")
        return pa.map_(have.key_type, item)
    if have == wanted or _widens(wanted, have):
        return have
    if _widens(have, wanted):
        return wanted
    message = f"the table's column {path} is {have}, and its own {wanted}"
    raise DoesNotFit(message)
