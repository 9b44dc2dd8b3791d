"""The usual recipe: everything a document at a time, validated by fastavro, then one table."""

import io
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.validation import validate

from benchmarks.peers.deaggregate import user_records
from benchmarks.schemas import TYPICAL, arrow_fields, record

_AVRO = fastavro.parse_schema(record(TYPICAL))
_ARROW = pa.schema(list(arrow_fields(pa).items()))


def prepare(event: Any) -> Callable[[], list[bytes]]:
    return lambda: [to_parquet([read(data) for data in user_records(event)])]


def read(data: bytes) -> dict[str, Any]:
    """Parse and validate one document, whose times and decimals JSON has as text."""
    document: dict[str, Any] = json.loads(data)
    document["at"] = datetime.fromisoformat(document["at"])
    document["amount"] = Decimal(document["amount"])
    validate(document, _AVRO)
    return document


def to_parquet(documents: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pylist(documents, schema=_ARROW)
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
