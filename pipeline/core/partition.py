"""A table to its Hive partitions.

A row's partition is a function of the document, its arrival and its dataset's configuration
alone. Rows are grouped by the finished path, so that values which Hive writes alike (null and
the empty string) share one object instead of overwriting each other's.
"""

import functools

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import ARRIVED_AT, Dataset, PartitionColumn
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Limits, Partition, Reject, Rows, Violation

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
# What Hive escapes in a directory's name, and NUL, which no file system accepts.
_ESCAPED = frozenset({*map(chr, range(0x20)), "\x7f", *"\"#%'*/:=?\\{[]^"})


def escape(value: str) -> str:
    """Write a partition value as Hive does; the name of null, as a value, does not become null."""
    if not value:
        return HIVE_NULL
    if value == HIVE_NULL:
        return f"%{ord(value[0]):02X}{value[1:]}"
    return "".join(f"%{ord(char):02X}" if char in _ESCAPED else char for char in value)


def split(
    rows: Rows, dataset: Dataset, limits: Limits, path_bytes: int
) -> tuple[list[Partition], list[Reject]]:
    """Cut rows into partitions, in the order of their paths; rows keep their order within.

    `path_bytes` is how much of an object's key the whole path may be. A row whose directory or
    path would be longer is a reject.
    """
    if not dataset.partition_by:
        return ([Partition("", rows)] if len(rows) else []), []
    levels = [_level(rows.table, column) for column in dataset.partition_by]
    violations: dict[int, Violation] = {}
    for level, column in zip(levels, dataset.partition_by, strict=True):
        for row in _over(level, limits.partition_bytes):
            violations.setdefault(row, _too_long(dataset, column, limits.partition_bytes))
    paths = functools.reduce(_below, levels)
    for row in _over(paths, path_bytes):
        violations.setdefault(row, _too_long(dataset, dataset.partition_by[-1], path_bytes))
    bad = sorted(violations)
    rejects = [rows.reject(row, RejectStage.PARTITION, violations[row], dataset.id) for row in bad]
    if bad:
        keep = pa.array([row not in violations for row in range(len(rows))], pa.bool_())
        paths = paths.filter(keep)
    return _grouped(rows.without(bad), paths), rejects


# Directories and paths are dictionaries: each text is made once, and rows hold its number.


def _level(table: pa.Table, column: PartitionColumn) -> pa.DictionaryArray:
    """`name=value` for each row, escaped."""
    source = table.column(column.field or ARRIVED_AT.name).combine_chunks()
    values = _texts(source, column.part)
    names = [f"{column.name}={escape(value)}" for value in values.dictionary.to_pylist()]
    names.append(f"{column.name}={HIVE_NULL}")
    indices = values.indices.fill_null(len(names) - 1)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def _below(above: pa.DictionaryArray, level: pa.DictionaryArray) -> pa.DictionaryArray:
    """Join two levels to paths, of the pairs that there are."""
    size = len(level.dictionary)
    pairs = pc.add(pc.multiply(above.indices.cast(pa.int64()), size), level.indices)
    found = pairs.dictionary_encode()
    parents, names = above.dictionary.to_pylist(), level.dictionary.to_pylist()
    paths = [
        f"{parents[pair // size]}/{names[pair % size]}" for pair in found.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(found.indices, pa.array(paths, pa.string()))


def _texts(array: pa.Array, part: str) -> pa.DictionaryArray:
    """The texts of a column's values, or of their date or hour; null where they are."""
    if part == "hour":
        # Without its zone, which is UTC: Arrow would want a time zone database.
        array = pc.hour(array.cast(pa.int64()).cast(pa.timestamp("us")))
    if part == "date":
        array = array.cast(pa.date32())
    values = array.dictionary_encode()
    texts = values.dictionary.cast(pa.string())
    if part == "hour":
        texts = pc.utf8_lpad(texts, 2, "0")
    return pa.DictionaryArray.from_arrays(values.indices, texts)


def _over(level: pa.DictionaryArray, limit: int) -> list[int]:
    """Rows whose directory or path has more bytes than the limit."""
    too_long = pc.greater(pc.binary_length(level.dictionary), limit)
    if not pc.any(too_long).as_py():
        return []
    rows: list[int] = pc.indices_nonzero(too_long.take(level.indices)).to_pylist()
    return rows


def _grouped(rows: Rows, paths: pa.DictionaryArray) -> list[Partition]:
    """One stable sort, then slices without copies."""
    if not len(rows):
        return []
    texts = paths.dictionary.to_pylist()
    used = sorted({texts[number] for number in paths.indices.unique().to_pylist()})
    if len(used) == 1:
        return [Partition(used[0], rows)]
    rank = {path: number for number, path in enumerate(used)}
    group = pa.array([rank.get(path) for path in texts], pa.int32()).take(paths.indices)
    rows = rows.take(pc.sort_indices(group))
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(group).to_pylist()}
    partitions, start = list[Partition](), 0
    for number, path in enumerate(used):
        partitions.append(Partition(path, rows.slice(start, counts[number])))
        start += counts[number]
    return partitions


def _too_long(dataset: Dataset, column: PartitionColumn, limit: int) -> Violation:
    keys = {field.name: field.key for field in dataset.record.fields}
    path = "$" if column.field is None else "$" + path_segment(keys[column.field])
    return Violation(
        Reason.PARTITION_TOO_LONG,
        f"The partition {column.name}=… would be longer than {limit} bytes.",
        path,
    )
