"""CSV: RFC 4180 with LF and a header; records flattened with dots, arrays and maps as JSON."""

import io

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.core.cells import flattened
from pipeline.core.records import Rows


def encode_csv(rows: Rows) -> bytes:
    """Encode rows as one file.

    Text is always quoted, so that null (nothing) and the empty string ("") stay apart.
    """
    columns: dict[str, pa.Array] = {}
    for field, column in zip(rows.table.schema, rows.table.combine_chunks().columns, strict=True):
        columns |= flattened(field.name, column.combine_chunks())
    sink = io.BytesIO()
    pa_csv.write_csv(pa.table(columns), sink)
    return sink.getvalue()
