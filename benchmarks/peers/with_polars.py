"""polars: one read of all documents as NDJSON, under a schema."""

import io
from collections.abc import Callable
from typing import Any

import polars as pl

from benchmarks.peers.deaggregate import user_records

_SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "at": pl.String,
    "user": pl.Int64,
    "kind": pl.String,
    "amount": pl.String,
    "url": pl.String,
    "referrer": pl.String,
    "score": pl.Float64,
    "count": pl.Int32,
    "ok": pl.Boolean,
    "device": pl.Struct({"os": pl.String, "width": pl.Int32}),
    "tags": pl.List(pl.String),
}


def prepare(
    event: Any, records: Callable[[Any], list[bytes]] = user_records
) -> Callable[[], list[bytes]]:
    return lambda: [parquet_of(io.BytesIO(b"\n".join(records(event))))]


def parquet_of(documents: io.BytesIO | str) -> bytes:
    """Take documents, one a line, to a Parquet file."""
    frame = pl.read_ndjson(documents, schema=_SCHEMA).with_columns(
        pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"),
        pl.col("amount").str.to_decimal(scale=2).cast(pl.Decimal(9, 2)),
    )
    sink = io.BytesIO()
    frame.write_parquet(sink, compression="zstd", compression_level=1)
    return sink.getvalue()
