"""Data files written anew: merged into larger ones, or without some of their rows."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.iceberg.table import LakeTable, TableFile
from pipeline.core.lake.schemas import fitted
from pipeline.lake.writer import TableWriter, WriterLimits

SMALL_BYTES: Final = 32 * 2**20
LEAST_FILES: Final = 8
MOST_BYTES: Final = 2**30
"""Of one partition that are merged at once; what is larger is for Spark, Athena or Glue."""


def rows_of(table: LakeTable, file: TableFile) -> Iterator[pa.Table]:
    """Yield the rows of a file, a row group at a time, as the table has them now."""
    with table.io.files(file.path).open(file.path) as body:
        parquet = pq.ParquetFile(body)
        for number in range(parquet.metadata.num_row_groups):
            rows = parquet.read_row_group(number).replace_schema_metadata(None)
            yield fitted(rows, table.schema)


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
    """Return the small files of each partition that has many, as many as are merged at once."""
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
