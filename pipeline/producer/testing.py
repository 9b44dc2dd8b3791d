"""A stream in memory, for the tests of an application that produces; docs/producers.md has one."""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.adapters.aws.kinesis import PutRecord, RecordNotStored, Shard, Stored
from pipeline.core.errors import ArgumentRefused, StreamError
from pipeline.core.kpl import deaggregate
from pipeline.core.records import Batch, StreamRecord
from pipeline.producer.shards import md5_number

_HASH_KEYS = 2**128
_MOST_RECORDS = 500  # that one call may store
_MOST_BYTES = 10 * 2**20  # of one call
_THROTTLED = RecordNotStored(
    "ProvisionedThroughputExceededException", "Rate exceeded for shard, as the test wants it."
)


class MemoryStream:
    """A stream that keeps what is put, and that fails when it is told to. Safe to use from threads.

    `fail_with` is raised by every call while it is set; `throttled` is how many more stream records
    are refused as Kinesis refuses them when a shard is full.
    """

    def __init__(self, stream: str = "stream", shards: int = 1) -> None:
        """Open `shards` shards of equal size."""
        self.stream = stream
        self.fail_with: StreamError | None = None
        self.throttled = 0
        self._stored: list[PutRecord] = []
        self._lock = threading.Lock()
        edges = [number * _HASH_KEYS // shards for number in range(shards + 1)]
        self._shards = [
            Shard(f"shardId-{number:012}", (), edges[number], edges[number + 1] - 1, closed=False)
            for number in range(shards)
        ]

    @property
    def records(self) -> list[tuple[str, bytes]]:
        """Every record that is stored, de-aggregated: its partition key and its payload."""
        with self._lock:
            stored = tuple(
                StreamRecord(str(number), record.partition_key, 0, record.data)
                for number, record in enumerate(self._stored)
            )
        chunk, _ = deaggregate(Batch(self.stream, "0", stored))
        keys = chunk.provenance.partition_key
        return [
            (keys[unit] or "", payload)
            for unit, payload in zip(chunk.unit, chunk.payloads, strict=True)
        ]

    @property
    def documents(self) -> list[Any]:
        """The payloads of `records`, read as JSON. Raises `ValueError` for one that is not JSON."""
        return [msgspec.json.decode(payload) for _, payload in self.records]

    def list_shards(self) -> list[Shard]:
        """Return the shards."""
        return list(self._shards)

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        """Store the records, by the rules of PutRecords."""
        with self._lock:
            if self.fail_with is not None:
                raise self.fail_with
            if len(records) > _MOST_RECORDS or sum(map(_size, records)) > _MOST_BYTES:
                message = f"PutRecords of {len(records):,} records is larger than Kinesis takes."
                raise ArgumentRefused(message)
            return [self._put(record) for record in records]

    def _put(self, record: PutRecord) -> Stored | RecordNotStored:
        if self.throttled:
            self.throttled -= 1
            return _THROTTLED
        self._stored.append(record)
        explicit = record.explicit_hash_key
        number = int(explicit) if explicit else md5_number(record.partition_key)
        shard = next(shard for shard in self._shards if number <= shard.last_hash_key)
        return Stored(shard.shard_id, str(len(self._stored)))


def _size(record: PutRecord) -> int:
    return len(record.data) + len(record.partition_key.encode())
