"""Which shard a record goes to, and the records that wait for each shard."""

import bisect
import hashlib
import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from pipeline.adapters.aws.kinesis import PutRecord, Shard
from pipeline.core.errors import StreamRefused
from pipeline.core.kpl import pack_stream_record
from pipeline.producer.options import Options
from pipeline.producer.outcomes import Callback

_AGGREGATES_KEY = "a"
"""The partition key of all aggregates, as the KPL's: their explicit hash key goes before it."""
_LEAST_FRAME = 6
"""Bytes that an aggregate spends on a record beside its data and its keys, at least."""
_SOON = 64
"""Records to look at before an aggregate is made."""


class Record(NamedTuple):
    """A user record that waits; the first three are what `core.kpl.pack_stream_record` reads."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None
    callback: Callback | None
    put_at: float
    payload: bytes
    """What was put: `data` before compression."""
    cost: int
    """Bytes of memory."""


class Packed(NamedTuple):
    """A stream record, and the user records in it."""

    stream_record: PutRecord
    records: list[Record]
    size: int
    """Bytes that count for PutRecords: data and partition key."""


@dataclass(slots=True, eq=False)
class ShardQueue:
    """The records that wait for one shard, in order. At most one call at a time sends of them."""

    shard_id: str
    records: deque[Record] = field(default_factory=deque)
    size: int = 0
    """Bytes of the waiting records, encoded, at least: the partition keys are not counted."""
    busy: bool = False
    """Whether a call with some of its records is under way."""
    failures: int = 0
    """Calls in a row of which this shard did not store all."""
    not_before: float = 0.0
    """When to try again."""
    last_error: str = ""
    """Why the latest was not stored, in a sentence."""
    suspect: bool = False
    """A call was refused: the next sends one stream record, so that it fails no others with it."""

    def append(self, record: Record, options: Options) -> bool:
        """Add a record at the end; say whether that changes when to send.

        The first record starts the time that it waits for others, the last one ends it.
        """
        before = self.size
        self.size += len(record.data) + _LEAST_FRAME
        self.records.append(record)
        count = len(self.records)
        filled = before < options.aggregate_bytes <= self.size or count == options.aggregate_count
        return filled or count == 1

    def put_back(self, records: Sequence[Record]) -> None:
        """Return records to the front, where they came from."""
        self.records.extendleft(reversed(records))
        self.size += _size(records)

    def pop(self, count: int) -> list[Record]:
        """Take records off the front."""
        taken = [self.records.popleft() for _ in range(count)]
        self.size -= _size(taken)
        return taken

    def ready_at(self, options: Options, *, hurry: bool) -> float:
        """Return the time from which on its first records should be sent."""
        if hurry or self.failures or self.full(options):
            return self.not_before
        return max(self.not_before, self.records[0].put_at + options.linger)

    def pop_expired(self, put_until: float) -> list[Record]:
        """Take off those at the front that were put so long ago, unless a call is under way."""
        expired: list[Record] = []
        while not self.busy and self.records and self.records[0].put_at <= put_until:
            expired += self.pop(1)
        return expired

    def full(self, options: Options) -> bool:
        """Say whether there is enough for a full aggregate."""
        count = len(self.records)
        return self.size >= options.aggregate_bytes or count >= options.aggregate_count

    def pack(self, options: Options, most: int, room: int) -> list[Packed]:
        """Take stream records for one call: at most `most`, of at most `room` bytes together.

        If order is to be kept, no partition key comes in two of them, as Kinesis may store the
        second and not the first.
        """
        packed: list[Packed] = []
        keys: set[str] = set()
        while self.records and len(packed) < (1 if self.suspect else most):
            if options.ordered and self._next_has(keys):
                break
            one = self._pack_one(options)
            new = {record.partition_key for record in one.records}
            if one.size > room or (options.ordered and not keys.isdisjoint(new)):
                self.put_back(one.records)
                break
            packed.append(one)
            room -= one.size
            keys |= new
        return packed

    def _next_has(self, keys: set[str]) -> bool:
        """Say whether one of these keys comes soon: then packing would be for nothing."""
        soon = islice(self.records, _SOON) if keys else ()
        return any(record.partition_key in keys for record in soon)

    def _pack_one(self, options: Options) -> Packed:
        """Take one stream record: an aggregate, or one user record as it is."""
        limit, most = options.aggregate_bytes, options.aggregate_count
        count, data = pack_stream_record(self.records, limit, most)
        first = self.records[0]
        if count == 1:
            put = PutRecord(first.partition_key, data, first.explicit_hash_key)
        else:
            put = PutRecord(_AGGREGATES_KEY, data, str(hash_key_of(first)))
        return Packed(put, self.pop(count), len(data) + len(put.partition_key.encode()))


def _size(records: Sequence[Record]) -> int:
    # Lists, here and where records are counted: generators need twice the time.
    return sum([len(record.data) for record in records]) + _LEAST_FRAME * len(records)


def hash_key_of(record: Record) -> int:
    """Return the number that decides on a record's shard."""
    if record.explicit_hash_key is not None:
        return int(record.explicit_hash_key)
    return md5_number(record.partition_key)


def md5_number(partition_key: str) -> int:
    """Return the 128-bit number that Kinesis makes of a partition key."""
    digest = hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest)


class ShardMap:
    """The open shards of a stream, each with the records that wait for it."""

    def __init__(self, shards: Iterable[Shard], stream: str) -> None:
        """Take the open ones of these. Raises `StreamRefused` if none is."""
        self.shards = sorted(
            (shard for shard in shards if not shard.closed), key=attrgetter("last_hash_key")
        )
        if not self.shards:
            raise StreamRefused(
                f"The stream {stream!r} has no open shard; wait until it is active, or check it."
            )
        self.queues = [ShardQueue(shard.shard_id) for shard in self.shards]
        self._last_hash_keys = [shard.last_hash_key for shard in self.shards[:-1]]

    def queue_of(self, hash_key: int) -> ShardQueue:
        """Return the queue of the shard that this number falls into."""
        return self.queues[bisect.bisect_left(self._last_hash_keys, hash_key)]

    def take_over(self, old: "ShardMap", options: Options) -> None:
        """Take all that waits in another map, none of whose queues is busy.

        A partition key waits in one queue alone, so merging the queues by time keeps its order.
        """
        waiting = heapq.merge(*(queue.records for queue in old.queues), key=attrgetter("put_at"))
        for record in waiting:
            self.queue_of(hash_key_of(record)).append(record, options)
