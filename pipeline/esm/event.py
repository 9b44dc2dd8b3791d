"""Lambda's Kinesis event: its shape, and its size before it is made."""

import json
from collections.abc import Iterable
from typing import Any

import pybase64

from pipeline.core.records import StreamRecord

EVENT_BYTES = 6 * 2**20
"""What the JSON text of one event may measure: Lambda's 6 MB for a synchronous invocation."""

_FRAME = len(json.dumps({"Records": []}))
_COMMA = len(", ")


def event_of(records: Iterable[StreamRecord], stream_arn: str, shard_id: str) -> dict[str, Any]:
    """Return the event in which Lambda delivers these records of one shard."""
    return {
        "Records": [
            _item(record, stream_arn, shard_id, pybase64.b64encode(record.data).decode())
            for record in records
        ]
    }


def text_size(record: StreamRecord, stream_arn: str, shard_id: str) -> int:
    """Return the bytes a record takes in an event's JSON text, its comma included.

    The text is `json.dumps`'s: its blanks and escapes make it no shorter than anyone else's.
    """
    envelope = len(json.dumps(_item(record, stream_arn, shard_id, "")))
    base64_length = (len(record.data) + 2) // 3 * 4
    return envelope + base64_length + _COMMA


def event_size(text_sizes: Iterable[int]) -> int:
    """Return the bytes of the JSON text of an event of records of these sizes, at least one."""
    return _FRAME + sum(text_sizes) - _COMMA


def _item(record: StreamRecord, stream_arn: str, shard_id: str, data: str) -> dict[str, Any]:
    _, partition, _, region, account, _ = stream_arn.split(":", 5)
    key = {} if record.partition_key is None else {"partitionKey": record.partition_key}
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            **key,
            "sequenceNumber": record.sequence_number,
            "data": data,
            "approximateArrivalTimestamp": record.arrived_at / 1_000_000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:{partition}:iam::{account}:role/pipeline",
        "awsRegion": region,
        "eventSourceARN": stream_arn,
    }
