"""The size of Lambda's Kinesis event, before it is made."""

import functools
import json
from collections.abc import Iterable

from pipeline.core.events import event_item
from pipeline.core.records import StreamRecord

EVENT_BYTES = 6 * 2**20
"""What the JSON text of one event may measure: Lambda's 6 MB for a synchronous invocation."""

_FRAME = len(json.dumps({"Records": []}))
_COMMA = len(", ")


def text_size(record: StreamRecord, stream_arn: str, shard_id: str) -> int:
    """Return the bytes a record takes in an event's JSON text, its comma included.

    The text is `json.dumps`'s: its blanks and escapes make it no shorter than anyone else's. It is
    not made to be measured, which would take longer than to process the record.
    """
    key = record.partition_key
    keyed = key is not None
    return (
        _envelope_bytes(stream_arn, shard_id, keyed)
        + (_quoted_bytes(key) if key is not None else 0)
        + 2 * len(record.sequence_number)  # also in the event's id
        + _time_bytes(record.arrived_at)
        + (len(record.data) + 2) // 3 * 4
        + _COMMA
    )


@functools.lru_cache(maxsize=64)
def _envelope_bytes(stream_arn: str, shard_id: str, keyed: bool) -> int:  # noqa: FBT001 - the key of a cache
    """Return the bytes of what is the same around every record of a shard."""
    empty = StreamRecord("", "" if keyed else None, 0, b"")
    return len(json.dumps(event_item(empty, stream_arn, shard_id))) - len("0.0")


@functools.lru_cache(maxsize=256)  # records of one call often arrive in one millisecond
def _time_bytes(arrived_at: int) -> int:
    return len(repr(arrived_at / 1_000_000))


def _quoted_bytes(key: str) -> int:
    """Return the bytes of a key within its quotes."""
    if key.isascii() and key.isprintable() and '"' not in key and "\\" not in key:
        return len(key)
    return len(json.dumps(key)) - len('""')


def event_size(text_sizes: Iterable[int]) -> int:
    """Return the bytes of the JSON text of an event of records of these sizes, at least one."""
    return _FRAME + sum(text_sizes) - _COMMA
