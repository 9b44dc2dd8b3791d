"""A Kinesis stream in memory that keeps the rules of PutRecords, and fails on request."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support import batch_of

from pipeline.adapters.aws.kinesis import PutRecord, RecordNotStored, Shard, Stored
from pipeline.core.errors import StreamError
from pipeline.core.kpl import deaggregate
from pipeline.core.magic import KPL_MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALL = 2**128


@dataclass
class Kept:
    """A stream record as the stream keeps it."""

    shard_id: str
    sequence_number: str
    record: PutRecord

    def user_records(self) -> list[tuple[str | None, bytes]]:
        """List the partition key and the payload of each user record in it."""
        if not self.record.data.startswith(KPL_MAGIC):
            return [(self.record.partition_key, self.record.data)]
        chunk, rejects = deaggregate(batch_of(self.record.data))
        assert not rejects
        keys = chunk.provenance.partition_key
        return [(keys[unit], data) for unit, data in zip(chunk.unit, chunk.payloads, strict=True)]


@dataclass
class FakeKinesis:
    """A stream that keeps Kinesis' rules; `mishap(number, records)` decides each call's fate.

    It returns a `StreamError` to raise before the records are stored, an `AfterStoring` to raise
    one after that, the records that are not stored by their index, or None.
    """

    mishap: Callable[[int, Sequence[PutRecord]], Any] = lambda _number, _records: None
    stream: str = "shop"
    shards: list[Shard] = field(default_factory=lambda: shards_of(4))
    kept: list[Kept] = field(default_factory=list)
    calls: list[list[PutRecord]] = field(default_factory=list)
    listings: int = 0
    lock: Any = field(default_factory=threading.RLock)

    def list_shards(self) -> list[Shard]:
        with self.lock:
            self.listings += 1
            return list(self.shards)

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        self._check_limits(records)
        with self.lock:
            self.calls.append(list(records))
            number = len(self.calls)
        verdict = self.mishap(number, records)
        if isinstance(verdict, StreamError):
            raise verdict
        if isinstance(verdict, AfterStoring):
            for record in records:
                self._keep(record)
            raise verdict.error
        unstored = verdict or {}
        return [unstored.get(index) or self._keep(record) for index, record in enumerate(records)]

    def _keep(self, record: PutRecord) -> Stored:
        with self.lock:
            hash_key = int(record.explicit_hash_key or md5(record.partition_key))
            (shard,) = (
                shard for shard in self.shards if not shard.closed and covers(shard, hash_key)
            )
            kept = Kept(shard.shard_id, str(len(self.kept)), record)
            self.kept.append(kept)
            return Stored(kept.shard_id, kept.sequence_number)

    def _check_limits(self, records: Sequence[PutRecord]) -> None:
        sizes = [len(record.data) + len(record.partition_key.encode()) for record in records]
        assert 1 <= len(records) <= 500
        assert sum(sizes) <= 5 * 2**20
        assert max(sizes) <= 2**20

    def split(self, index: int) -> None:
        """Close the open shard at this index, and open its two halves."""
        with self.lock:
            old = self.shards[index]
            middle = (old.first_hash_key + old.last_hash_key) // 2
            self._close(index)
            for first, last in (
                (old.first_hash_key, middle),
                (middle + 1, old.last_hash_key),
            ):
                self.shards.append(shard(len(self.shards), first, last))

    def merge(self, one: int, other: int) -> None:
        """Close two adjacent open shards, and open one in their place."""
        with self.lock:
            first, last = self.shards[one].first_hash_key, self.shards[other].last_hash_key
            self._close(one)
            self._close(other)
            self.shards.append(shard(len(self.shards), first, last))

    def _close(self, index: int) -> None:
        old = self.shards[index]
        self.shards[index] = Shard(old.shard_id, (), old.first_hash_key, old.last_hash_key, True)

    @property
    def user_records(self) -> list[tuple[str | None, bytes]]:
        """List all user records in the order in which they were stored."""
        return [record for kept in self.kept for record in kept.user_records()]

    # The producer never reads.
    def get_shard_iterator(self, *_: Any, **__: Any) -> str:
        raise NotImplementedError

    def get_records(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def describe_stream_summary(self) -> Any:
        raise NotImplementedError


@dataclass
class AfterStoring:
    """The call fails after everything is stored, as when the response is lost."""

    error: StreamError


def shard(number: int, first: int, last: int) -> Shard:
    return Shard(f"shardId-{number:012}", (), first, last, False)


def shards_of(count: int) -> list[Shard]:
    return [
        shard(number, number * ALL // count, (number + 1) * ALL // count - 1)
        for number in range(count)
    ]


def covers(shard: Shard, hash_key: int) -> bool:
    return shard.first_hash_key <= hash_key <= shard.last_hash_key


def md5(key: str) -> int:
    return int.from_bytes(hashlib.md5(key.encode()).digest())
