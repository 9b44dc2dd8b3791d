"""Rows by the partitions of a table: Iceberg's transforms, computed by Arrow over columns."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.integers import INT64, to_arrow, up_to
from pipeline.core.lake_settings import LakePartition, Transform

Values = tuple[object, ...]
"""A partition's values as Iceberg counts them: days, months, hours since 1970, or the value."""
_AT = "at"


def split(
    rows: pa.Table, partition_by: Sequence[LakePartition]
) -> Iterator[tuple[Values, pa.Table]]:
    """Yield the rows of each partition, in their order."""
    if not partition_by or not rows.num_rows:
        yield (), rows
        return
    columns = [_transformed(_column(rows, each.field), each.transform) for each in partition_by]
    if all(map(_is_one_value, columns)):
        yield tuple(column[0].as_py() for column in columns), rows
        return
    names = [str(number) for number in range(len(columns))]
    keys = pa.Table.from_arrays(columns, names=names)
    numbered = keys.append_column(_AT, to_arrow(up_to(rows.num_rows, INT64)))
    found = numbered.group_by(names, use_threads=False).aggregate([(_AT, "list")])
    positions = found.column(f"{_AT}_list").combine_chunks()
    for number in range(found.num_rows):
        values = tuple(found.column(name)[number].as_py() for name in names)
        yield values, rows.take(positions[number].values)


def _is_one_value(column: pa.Array) -> bool:
    if column.null_count:
        return False
    bounds = pc.min_max(column).as_py()
    return bool(bounds["min"] == bounds["max"])


def _column(rows: pa.Table, path: str) -> pa.Array:
    first, *others = path.split(".")
    column = rows.column(first).combine_chunks()
    for name in others:
        column = pc.struct_field(column, name)
    return column


def _transformed(column: pa.Array, transform: Transform) -> pa.Array:
    if transform == "identity":
        return column.cast(pa.int32()) if pa.types.is_date(column.type) else column
    if transform == "hour":
        return _hours(column)
    if transform == "day":
        return column.cast(pa.date32()).cast(pa.int32())
    years = pc.subtract(pc.year(column), 1970)
    if transform == "year":
        return years.cast(pa.int32())
    return pc.add(pc.multiply(years, 12), pc.subtract(pc.month(column), 1)).cast(pa.int32())


def _hours(column: pa.Array) -> pa.Array:
    floored = pc.floor_temporal(column, unit="hour").cast(pa.int64())
    return pc.divide(floored, 3_600_000_000).cast(pa.int32())
