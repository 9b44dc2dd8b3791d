"""A stream: shards of the hash range, sequence numbers, resharding, and the truth about it.

What the stream stored is the truth that the laws are held against: each stream record, its units,
and the identity of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from support import ARN, FIRST

from pipeline.core.records import StreamRecord

from .documents import Payload, Unit, by_rules

HASH_KEYS = 2**128
_STEP = 2**40  # between sequence numbers, so that they do not count the records


class Identity(NamedTuple):
    """Which document it is, everywhere."""

    source: str
    sequence_number: str
    sub: int
    document: int


@dataclass(slots=True)
class Shard:
    """One shard: the hash keys from `low` up to `high`, and its records in order.

    `parents` are the shards that this one came from; it accepts no more records once `closed`.
    """

    id: str
    low: int
    high: int
    parents: tuple[str, ...] = ()
    records: list[StreamRecord] = field(default_factory=list)
    closed: bool = False

    @property
    def source(self) -> str:
        """First part of the identity of all that comes from this shard."""
        return f"{ARN}/{self.id}"

    @property
    def short(self) -> str:
        """The id as the history shows it."""
        return f"shard {int(self.id.rpartition('-')[2])}"


class SimulatedStream:
    """Shards by id, and the units of every stream record by its source and sequence number.

    If it `has_rules`, they are those of `documents.RULES`.
    """

    def __init__(self, shards: int, *, has_rules: bool = False) -> None:
        self.has_rules = has_rules
        self.shards: dict[str, Shard] = {}
        self.units: dict[tuple[str, str], tuple[Unit, ...]] = {}
        self._last = FIRST
        limits = [number * HASH_KEYS // shards for number in range(shards + 1)]
        for low, high in pairwise(limits):
            self._open(low, high)

    def put(self, hash_key: int, payload: Payload, partition_key: str, arrived_at: int) -> str:
        """Store one stream record; return what the history calls it."""
        shard = next(shard for shard in self.open_shards if shard.low <= hash_key < shard.high)
        self._last += _STEP
        record = StreamRecord(str(self._last), partition_key, arrived_at, payload.data)
        shard.records.append(record)
        units = tuple(map(by_rules, payload.units)) if self.has_rules else payload.units
        self.units[shard.source, record.sequence_number] = units
        return f"{shard.short} {number_of(record.sequence_number)}"

    @property
    def open_shards(self) -> list[Shard]:
        """The shards that accept records; together they have all hash keys."""
        return [shard for shard in self.shards.values() if not shard.closed]

    def split(self, shard: Shard) -> list[Shard]:
        """Close a shard; its halves go on."""
        middle = (shard.low + shard.high) // 2
        shard.closed = True
        return [
            self._open(shard.low, middle, shard.id),
            self._open(middle, shard.high, shard.id),
        ]

    def merge(self, one: Shard, other: Shard) -> Shard:
        """Close two neighbours; one shard goes on with the hash keys of both."""
        one.closed = other.closed = True
        return self._open(min(one.low, other.low), max(one.high, other.high), one.id, other.id)

    def identities(self, shard: Shard, record: StreamRecord) -> Iterator[tuple[Identity, Unit]]:
        """Yield what one stream record holds."""
        number = record.sequence_number
        for unit in self.units[shard.source, number]:
            yield Identity(shard.source, number, unit.sub, unit.document), unit

    def _open(self, low: int, high: int, *parents: str) -> Shard:
        # Sequence numbers of a child are above all of its parents', as on a real stream.
        shard = Shard(f"shardId-{len(self.shards):012}", low, high, parents)
        self.shards[shard.id] = shard
        return shard


def number_of(sequence_number: str) -> str:
    """Return the short form of a sequence number: its position in the stream."""
    return str((int(sequence_number) - FIRST) // _STEP)
