"""One shard of the demo's stream: KPL aggregates, sequence numbers, and Lambda's events."""

from collections import deque
from datetime import datetime
from typing import Any

from pipeline.core.events import kinesis_event
from pipeline.core.kpl import UserRecord, pack_stream_record
from pipeline.core.records import StreamRecord

ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/shop"
_AGGREGATE_BYTES = 50_000
EVENT_BYTES = 6 * 2**20
_EVENT_RECORDS = 10_000
_ENVELOPE_BYTES = 550  # what Lambda writes around each record's data
_FIRST_SEQUENCE_NUMBER = 49_671 * 10**51
_STEP = 2**80

Event = dict[str, Any]


class Shard:
    """Takes records and cuts them into events; `full` holds those that are."""

    def __init__(self, number: int, event_bytes: int = EVENT_BYTES) -> None:
        self._longest_event = event_bytes
        self.full: list[Event] = []
        self._id = f"shardId-{number:012}"
        self._sequence_number = _FIRST_SEQUENCE_NUMBER + number * 16 + 2
        self._collected: deque[tuple[str, bytes, str | None]] = deque()
        self._collected_bytes = 0
        self._records: list[StreamRecord] = []
        self._event_bytes = 0

    def collect(self, record: UserRecord, now: datetime) -> None:
        """Put a user record into an aggregate, as the KPL does, and put that when it is large."""
        self._collected.append((record.partition_key, record.data, record.explicit_hash_key))
        self._collected_bytes += len(record.data)
        if self._collected_bytes >= _AGGREGATE_BYTES:
            self._put_aggregate(now)

    def put(self, key: str, data: bytes, now: datetime) -> None:
        """Put a stream record."""
        size = -(-len(data) // 3) * 4 + _ENVELOPE_BYTES  # base64 writes 3 bytes as 4
        if self._event_bytes + size > self._longest_event or len(self._records) == _EVENT_RECORDS:
            self._cut()
        self._sequence_number += _STEP
        arrived_at = round(now.timestamp(), 3)  # Kinesis counts milliseconds
        self._records.append(
            StreamRecord(str(self._sequence_number), key, round(arrived_at * 1_000_000), data)
        )
        self._event_bytes += size

    def finish(self, now: datetime) -> None:
        """Put the last aggregate, and cut the last event."""
        while self._collected:
            self._put_aggregate(now)
        if self._records:
            self._cut()

    def _put_aggregate(self, now: datetime) -> None:
        count, data = pack_stream_record(self._collected, _AGGREGATE_BYTES)
        packed = [self._collected.popleft() for _ in range(count)]
        self._collected_bytes -= sum(len(record_data) for _, record_data, _ in packed)
        self.put(packed[0][0] if count == 1 else "a", data, now)

    def _cut(self) -> None:
        self.full.append(kinesis_event(self._records, ARN, self._id))
        self._records, self._event_bytes = [], 0
