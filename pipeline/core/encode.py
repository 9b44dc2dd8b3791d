"""A partition to the bytes of a file: Parquet or CSV, from the same table.

Equal tables in other chunks encode to other Parquet bytes, so each column is made one chunk
first; nothing of the clock or the machine goes in.
"""

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipeline.core.cells import flattened
from pipeline.core.dataset import Dataset, Format
from pipeline.core.records import Rows

_WORTH_A_DICTIONARY = 1_000  # rows


def encode(rows: Rows, dataset: Dataset, as_format: Format) -> bytes:
    """Encode rows of a dataset as one file."""
    return _ENCODERS[as_format](rows, dataset)


def _parquet(rows: Rows, dataset: Dataset) -> bytes:
    """zstd, microseconds, and where the rows came from in the file's metadata."""
    batch = rows.chunk.positions.batch
    metadata = {
        "pipeline.dataset": dataset.name,
        "pipeline.schema_version": str(dataset.version),
        "pipeline.schema_fingerprint": dataset.fingerprint,
        "pipeline.rows": str(len(rows)),
        "pipeline.source": batch.source,
        "pipeline.first_sequence_number": batch.first,
        "pipeline.last_sequence_number": batch.last,
    }
    table = rows.table.combine_chunks().replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    # A dictionary a column is what takes longest of a small file, and zstd does without.
    pq.write_table(
        table,
        sink,
        compression="zstd",
        coerce_timestamps="us",
        use_dictionary=len(rows) >= _WORTH_A_DICTIONARY,
    )
    return bytes(sink.getvalue())


def _csv(rows: Rows, dataset: Dataset) -> bytes:
    """RFC 4180 with LF and a header; records flattened with dots, arrays and maps as JSON.

    Text is always quoted, so that null (nothing) and the empty string ("") stay apart.
    """
    del dataset
    columns: dict[str, pa.Array] = {}
    for field, column in zip(rows.table.schema, rows.table.combine_chunks().columns, strict=True):
        columns |= flattened(field.name, column.combine_chunks())
    sink = io.BytesIO()
    pa_csv.write_csv(pa.table(columns), sink)
    return sink.getvalue()


_ENCODERS: dict[Format, Callable[[Rows, Dataset], bytes]] = {"parquet": _parquet, "csv": _csv}
