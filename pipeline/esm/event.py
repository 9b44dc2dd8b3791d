"""The size of Lambda's Kinesis event, before it is made."""

import json
from collections.abc import Iterable

import msgspec

from pipeline.core.events import event_item
from pipeline.core.records import StreamRecord

EVENT_BYTES = 6 * 2**20
"""What the JSON text of one event may measure: Lambda's 6 MB for a synchronous invocation."""

_FRAME = len(json.dumps({"Records": []}))
_COMMA = len(", ")


def text_size(record: StreamRecord, stream_arn: str, shard_id: str) -> int:
    """Return the bytes a record takes in an event's JSON text, its comma included.

    The text is `json.dumps`'s: its blanks and escapes make it no shorter than anyone else's.
    """
    without_data = msgspec.structs.replace(record, data=b"")
    envelope = len(json.dumps(event_item(without_data, stream_arn, shard_id)))
    base64_length = (len(record.data) + 2) // 3 * 4
    return envelope + base64_length + _COMMA


def event_size(text_sizes: Iterable[int]) -> int:
    """Return the bytes of the JSON text of an event of records of these sizes, at least one."""
    return _FRAME + sum(text_sizes) - _COMMA
