"""Rows to data files, in a memory that does not grow with what is written.

Rows wait for their partition's next row group; the file it goes to grows on this machine's disk,
and is uploaded when it is large enough. So neither the rows nor the files of a commit are ever in
memory together.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.iceberg.table import TARGET_BYTES, DataFile, LakeTable, local_metadata
from pipeline.core.encode.parquet_file import worth_a_dictionary
from pipeline.core.lake.partitions import Values, split

_LONG_CHUNK: Final = 4_096  # rows
_LEVEL: Final = 1  # of zstd; 3 saves 3 % of the bytes, for a sixth more of the time


class WriterLimits(msgspec.Struct, frozen=True):
    """What is in memory, and on disk, at once; all but `group_rows` in bytes."""

    group_rows: int = 250_000
    group_bytes: int = 64 * 2**20
    waiting_bytes: int = 96 * 2**20
    file_bytes: int = TARGET_BYTES
    disk_bytes: int = 400 * 2**20
    """Lambda gives a function 512 MB of disk, unless it asks for more."""


class TableWriter:
    """The data files of one commit. To be used in a `with`, which removes what is on disk."""

    def __init__(self, table: LakeTable, commit: str, limits: WriterLimits | None = None) -> None:
        """Write files for `table` whose names begin with `commit`."""
        self.rows = 0
        self._table = table
        self._partition_by = table.partition_by
        self._commit = commit
        self._limits = limits or WriterLimits()
        self._open: dict[Values, _OpenFile] = {}
        self._waiting: dict[Values, _Waiting] = {}
        self._files: list[DataFile] = []
        self._number = 0
        self._folder = tempfile.TemporaryDirectory(prefix="pipeline-lake-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for open_file in self._open.values():
            open_file.abandon()
        self._folder.cleanup()

    def add(self, rows: pa.Table) -> None:
        """Take rows that have the table's columns."""
        self.rows += rows.num_rows
        for partition, part in split(rows, self._partition_by):
            if part.num_rows:
                self._waiting.setdefault(partition, _Waiting()).add(part)
        for partition in self._full():
            self._flush(partition)

    def _full(self) -> Iterator[Values]:
        """Yield the partitions whose rows are enough, and the largest while all are too many."""
        limits = self._limits
        for partition, waiting in list(self._waiting.items()):
            if waiting.rows >= limits.group_rows or waiting.bytes >= limits.group_bytes:
                yield partition
        while sum(waiting.bytes for waiting in self._waiting.values()) > limits.waiting_bytes:
            yield max(self._waiting, key=lambda partition: self._waiting[partition].bytes)

    def finish(self) -> list[DataFile]:
        """Upload what is left; return all files."""
        for partition in list(self._waiting):
            self._flush(partition)
        for partition in list(self._open):
            self._upload(partition)
        return self._files

    def _flush(self, partition: Values) -> None:
        """Write what waits as a row group, and upload files that are large enough."""
        rows = self._waiting.pop(partition).table()
        if partition not in self._open:
            path = Path(self._folder.name, f"{len(self._open)}-{self._number}.parquet")
            self._open[partition] = _OpenFile(path, self._number, self._table.schema, rows)
            self._number += 1
        self._open[partition].write(rows)
        if self._open[partition].bytes >= self._limits.file_bytes:
            self._upload(partition)
        while sum(each.bytes for each in self._open.values()) > self._limits.disk_bytes:
            self._upload(max(self._open, key=lambda one: self._open[one].bytes))

    def _upload(self, partition: Values) -> None:
        open_file = self._open.pop(partition)
        path = open_file.close()
        size, metadata = local_metadata(path)
        uri = self._table.new_file(f"{self._commit}-{open_file.number:05}.parquet", partition)
        self._table.io.files(uri).upload(uri, path)
        path.unlink()
        self._files.append(self._table.data_file(uri, partition, size, metadata))


class _Waiting:
    """Rows of one partition that are not written yet."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self._tables: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        self.rows += rows.num_rows
        self.bytes += rows.nbytes
        self._tables.append(rows)

    def table(self) -> pa.Table:
        rows = pa.concat_tables(self._tables)
        # Long chunks are written as fast as one, and to combine them is to copy everything.
        return rows if self.rows >= _LONG_CHUNK * len(self._tables) else rows.combine_chunks()


class _OpenFile:
    """A data file on this machine that is not whole yet; a sample tells how to encode columns."""

    def __init__(self, path: Path, number: int, schema: pa.Schema, sample: pa.Table) -> None:
        self.number = number
        self._path = path
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=worth_a_dictionary(sample),
            store_decimal_as_integer=True,
            coerce_timestamps="us",
        )

    @property
    def bytes(self) -> int:
        return self._path.stat().st_size

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=rows.num_rows)

    def close(self) -> Path:
        self._writer.close()
        return self._path

    def abandon(self) -> None:
        self._writer.close()
