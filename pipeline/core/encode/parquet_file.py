"""Parquet: zstd, microseconds, dictionaries only where values repeat."""

import json
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa

# The class behind pyarrow.parquet.ParquetWriter, which tests hold to the same bytes. To import
# pyarrow.parquet itself means every file system that Arrow knows: a tenth of a cold start.
from pyarrow._parquet import ParquetWriter

from pipeline.core.census import CENSUS
from pipeline.core.dataset import Dataset
from pipeline.core.records import Rows

_SAMPLE = 1_000  # values
PARTITION_BY = "pipeline.partition_by"
"""Of a file's metadata: the levels of its path, as JSON."""


def encode_parquet(rows: Rows, dataset: Dataset, census: bytes = b"") -> bytes:
    """Encode rows as one file, whose metadata says where they came from."""
    batch = rows.chunk.provenance.batch
    metadata = {
        **(rows.table.schema.metadata or {}),
        "pipeline.dataset": dataset.name,
        "pipeline.schema_version": str(dataset.version),
        "pipeline.schema_fingerprint": dataset.fingerprint,
        PARTITION_BY: json.dumps([column.text for column in dataset.partition_by]),
        "pipeline.rows": str(len(rows)),
        "pipeline.source": batch.source,
        "pipeline.first_sequence_number": batch.first,
        "pipeline.last_sequence_number": batch.last,
    }
    table = rows.table.combine_chunks().replace_schema_metadata(metadata)
    return _written(table, worth_a_dictionary(table), census)


def _written(
    table: pa.Table, dictionaries: list[str] | Literal[False], census: bytes = b""
) -> bytes:
    """Write a table as `pyarrow.parquet.write_table` does with what it presumes, and zstd."""
    sink = pa.BufferOutputStream()
    writer = ParquetWriter(
        sink,
        table.schema,
        version="2.6",
        compression="zstd",
        use_dictionary=dictionaries,
        write_statistics=True,
        coerce_timestamps="us",
        data_page_version="1.0",
        writer_engine_version="V2",
        use_compliant_nested_type=True,
        store_schema=True,
    )
    writer.write_table(table)
    if census:
        # Not with the rest: that is written twice, the second time within Arrow's schema.
        writer.add_key_value_metadata(pa.KeyValueMetadata({CENSUS: census}))
    writer.close()
    return bytes(sink.getvalue())


def worth_a_dictionary(table: pa.Table) -> list[str] | Literal[False]:
    """Return the paths of the columns whose values repeat, as a sample of them shows.

    A dictionary of values that do not repeat is a second copy of them, takes twice the time, and
    makes the file a quarter larger. In small files it takes longest of all, and zstd does without.
    """
    if table.num_rows < _SAMPLE:
        return False
    return [
        path
        for field, column in zip(table.schema, table.columns, strict=True)
        for path, values in _leaves(field.name, column.chunk(0).slice(0, _SAMPLE))
        if _repeat(values.slice(0, _SAMPLE))
    ]


def _repeat(values: pa.Array) -> bool:
    return bool(2 * len(values.unique()) <= len(values))


def _leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Yield the parts of a column that Parquet stores as columns of their own, by path."""
    if pa.types.is_struct(array.type):
        for field, part in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", part)
    elif pa.types.is_list(array.type):
        yield from _leaves(f"{path}.list.element", array.flatten())
    elif pa.types.is_map(array.type):
        start, end = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
        yield from _leaves(f"{path}.key_value.key", array.keys.slice(start, end - start))
        yield from _leaves(f"{path}.key_value.value", array.items.slice(start, end - start))
    else:
        yield path, array
