"""Data files written anew: merged into larger ones, or without some of their rows."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import pyarrow as pa

from pipeline.adapters.iceberg.catalogs import Conflict, LakeCatalog
from pipeline.adapters.iceberg.table import LakeTable, TableFile, load_table
from pipeline.core.lake.schemas import fitted, renamed
from pipeline.lake.writer import TableWriter, WriterLimits

SMALL_BYTES: Final = 32 * 2**20
LEAST_FILES: Final = 8
MOST_BYTES: Final = 2**30
"""Of one partition that are merged at once; what is larger is for Spark, Athena or Glue."""


class Merged(msgspec.Struct):
    """How many files became how many, and of how many partitions they changed meanwhile."""

    before: int = 0
    after: int = 0
    busy: int = 0


def rows_of(table: LakeTable, file: TableFile) -> Iterator[pa.Table]:
    """Yield the rows of a file, a row group at a time, as the table has them now."""
    for rows in table.row_groups(file.path):
        yield fitted(renamed(rows, table.schema), table.schema)


def rewrite(
    table: LakeTable,
    files: Sequence[TableFile],
    keep: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    limits: WriterLimits | None = None,
) -> int:
    """Put new files in the place of `files`, of the rows that `keep` returns; return how many.

    Raises `Conflict` where one of them is not there any more.
    """
    with TableWriter(table, f"rewritten-{uuid.uuid4().hex}", limits) as writer:
        for file in files:
            for rows in rows_of(table, file):
                writer.add(keep(rows))
        new = writer.finish()
        table.replace(files, new)
    return len(new)


def mergeable(
    table: LakeTable,
    least_files: int = LEAST_FILES,
    small_bytes: int = SMALL_BYTES,
    most_bytes: int = MOST_BYTES,
) -> list[list[TableFile]]:
    """Return the small files of each partition that has many, as many as are merged at once.

    They are merged in the version of the table that they were found in.
    """
    by_partition: dict[tuple[object, ...], list[TableFile]] = defaultdict(list)
    for file in table.files():
        if file.bytes < small_bytes and not file.is_fixed:
            by_partition[file.partition].append(file)
    found = []
    for files in by_partition.values():
        chosen, size = list[TableFile](), 0
        for file in sorted(files, key=lambda one: (one.bytes, one.path)):
            if size + file.bytes > most_bytes:
                break
            chosen.append(file)
            size += file.bytes
        if len(chosen) >= least_files:
            found.append(chosen)
    return found


def merge(catalog: LakeCatalog, name: str, least_files: int = LEAST_FILES) -> Merged:
    """Merge the small files of each partition of a table, each in a commit of its own."""
    merged, tried = Merged(), set[tuple[object, ...]]()
    while True:
        # Loaded for each: what somebody else deleted since must not come back with the rest.
        table = load_table(catalog, name)
        groups = [] if table is None else mergeable(table, least_files)
        left = [files for files in groups if files[0].partition not in tried]
        if table is None or not left:
            return merged
        tried.add(left[0][0].partition)
        try:
            merged.after += rewrite(table, left[0])
        except Conflict:
            merged.busy += 1
        else:
            merged.before += len(left[0])
