"""A table to its Hive partitions.

A row's partition is a function of the document, its arrival and its dataset's configuration
alone. Rows are grouped by the finished path, so that values which Hive writes alike (null and
the empty string) share one object instead of overwriting each other's.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import ARRIVED_AT, Dataset
from pipeline.core.documents.jsonpath import path_segments
from pipeline.core.partitioning import PartitionColumn, find_fields
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Limits, Partition, Reject, Rows, Violation

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

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


_ESCAPE = re.compile("%([0-9A-F]{2})")
# The name of null as a value, and what that looks like as a value, and so on: were the first one
# unescaped, it would be null; were the second one, it would be the first one as it stands.
_NULL_AS_VALUE = re.compile(f"%(25)*{ord(HIVE_NULL[0]):02X}{re.escape(HIVE_NULL[1:])}")


def value_in_catalog(text: str) -> str:
    """Return the value by which a catalog knows the directory `name=text`.

    No two directories have one value, or the rows of one of them would not be shown: a text that
    `escape` does not write is its own value, as is the name of null as a value.
    """
    if _NULL_AS_VALUE.fullmatch(text):
        return text
    value = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return value if escape(value) == text else text


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
    name, *inside = column.fields or (ARRIVED_AT.name,)
    source = table.column(name).combine_chunks()
    for inner in inside:
        source = pc.struct_field(source, inner)  # null where the object around it is null
    if column.zone is not None:
        source = _in_zone(source, column.zone)
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
    """The texts of a column's values, or of their year, date and so on; null where they are."""
    if part in _CLOCK:
        # Without its zone, which is UTC: Arrow would want a time zone database.
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.int64()).cast(pa.timestamp("us"))
        array = _CLOCK[part](array)
    if part == "date":
        array = array.cast(pa.date32())
    values = array.dictionary_encode()
    texts = values.dictionary.cast(pa.string())
    if part in _CLOCK:
        texts = pc.utf8_lpad(texts, 4 if part == "year" else 2, "0")
    return pa.DictionaryArray.from_arrays(values.indices, texts)


_CLOCK = {"hour": pc.hour, "month": pc.month, "year": pc.year}
_HOUR, _DAY = 3_600_000_000, 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = 2 - _EPOCH.toordinal()  # days since 1970 that have a neighbour in Python's calendar
_LAST_DAY = date.max.toordinal() - _EPOCH.toordinal() - 1


def _in_zone(array: pa.Array, zone_name: str) -> pa.Array:
    """Instants as the time that clocks in a zone show, by Python's time zone database.

    An offset is looked up once for each hour in which it does not change.
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - few datasets have zones, and it costs a start

    zone = ZoneInfo(zone_name)
    micros = array.cast(pa.int64())
    hours = pc.divide(micros, _HOUR)  # towards zero
    before = pc.less(micros, pc.multiply(hours, _HOUR))
    hours = pc.if_else(before, pc.subtract(hours, 1), hours)
    groups = hours.dictionary_encode()
    offsets = [_offset_of_hour(zone, hour) for hour in groups.dictionary.to_pylist()]
    by_hour = pa.array(offsets, pa.int64()).take(groups.indices)
    if None in offsets:
        exact = [
            None if moment is None else offset if offset is not None else _offset(zone, moment)
            for moment, offset in zip(micros.to_pylist(), by_hour.to_pylist(), strict=True)
        ]
        by_hour = pa.array(exact, pa.int64())
    return pc.add(micros, by_hour).cast(pa.timestamp("us"))


def _offset_of_hour(zone: ZoneInfo, hour: int) -> int | None:
    """A zone's offset in an hour since 1970, in microseconds; None where it changes."""
    first, last = _offset(zone, hour * _HOUR), _offset(zone, (hour + 1) * _HOUR - 1)
    return first if first == last else None


def _offset(zone: ZoneInfo, micros: int) -> int:
    """A zone's offset at an instant, in microseconds; at the calendar's ends, of a day within."""
    within = min(max(micros, _FIRST_DAY * _DAY), _LAST_DAY * _DAY)
    local = (_EPOCH + timedelta(microseconds=within)).astimezone(zone)
    offset = local.utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


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
    path = "$"
    if column.field is not None:
        fields = find_fields(column.field, dataset.record, "")
        path += "".join(path_segments(field.path) for field in fields)
    return Violation(
        Reason.PARTITION_TOO_LONG,
        f"The partition {column.name}=… would be longer than {limit} bytes.",
        path,
    )
