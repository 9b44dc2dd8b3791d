"""The typical document and its schemas, for everything that is measured: ours and the others'.

Imports nothing, as some of the others run where the pipeline is not installed.
"""

from typing import Any

TYPICAL: list[dict[str, Any]] = [
    {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "user", "type": "long"},
    {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["view", "buy"]}},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "url", "type": "string"},
    {"name": "referrer", "type": ["null", "string"]},
    {"name": "score", "type": "double"},
    {"name": "count", "type": "int", "minimum": 0},
    {"name": "ok", "type": "boolean", "default": True},
    {"name": "device", "type": {"type": "record", "name": "D", "fields": [
        {"name": "os", "type": "string"}, {"name": "width", "type": "int"}]}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
]  # fmt: skip
"""12 fields in about 310 bytes: a record, an array, a time, a decimal, a default, a rule."""


def record(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the Avro schema of these fields."""
    return {"type": "record", "name": "Event", "fields": fields}


def arrow_fields(pa: Any) -> dict[str, Any]:
    """Return the Arrow type of each typical field, as a user of `pa`, pyarrow, would declare it."""
    return {
        "id": pa.string(),
        "at": pa.timestamp("us", tz="UTC"),
        "user": pa.int64(),
        "kind": pa.string(),
        "amount": pa.decimal128(9, 2),
        "url": pa.string(),
        "referrer": pa.string(),
        "score": pa.float64(),
        "count": pa.int32(),
        "ok": pa.bool_(),
        "device": pa.struct([("os", pa.string()), ("width", pa.int32())]),
        "tags": pa.list_(pa.string()),
    }
