"""What lands: the handler's own objects, of batches that come as Lambda lets them come."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import msgspec

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core.dataset import Dataset
from pipeline.core.errors import StoreRefused
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.routing import Router
from pipeline.flow import Pipeline, process

ARRIVED = 1_795_000_000_000_000
DAY = 86_400_000_000
FIRST = 49590338271490256608559692538361571095921575989136588898
COUNTRIES = ("DE", "FR")

Row = tuple[str, str, int, int, int, str]
"""A row as it was sent: its identity, and its fields `n` and `country`."""


class Delivery(msgspec.Struct, frozen=True):
    """One invocation: its batch, and after how many objects the store fails, if it does."""

    batch: Batch
    kind: str
    fails_after: int | None = None


class PartialStore(MemoryStore):
    """A store that fails after so many objects."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def put(self, key: str, body: bytes) -> None:
        if self.left is not None:
            if not self.left:
                message = "The store is gone, in this history."
                raise StoreRefused(message)
            self.left -= 1
        super().put(key, body)


class Sources:
    """The records of some shards and some files, and what rows they are."""

    def __init__(self, chance: random.Random) -> None:
        self.rows: list[Row] = []
        self._random = chance
        self._number = 0
        self.batches = {
            f"arn:aws:kinesis:eu-central-1:123456789012:stream/shop/shardId-00000000000{shard}": (
                self._records(
                    f"arn:aws:kinesis:eu-central-1:123456789012:stream/shop/shardId-00000000000{shard}",
                    FIRST + shard * 16,
                    10**30,
                )
            )
            for shard in range(chance.randint(1, 2))
        }
        for number in range(chance.randint(0, 2)):
            source = f"s3://uploads/{number}.ndjson?v{number}"
            # Of a file the numbers are offsets, of any width.
            self.batches[source] = self._records(source, chance.choice([0, 5, 95]), 7)

    def _records(self, source: str, first: int, apart: int) -> list[StreamRecord]:
        records, number = [], first
        arrived = ARRIVED
        for _ in range(self._random.randint(4, 14)):
            number += self._random.randint(1, apart)
            arrived += self._random.randint(0, DAY // 4)
            documents = []
            for document in range(self._random.randint(1, 3)):
                self._number += 1
                country = self._random.choice(COUNTRIES)
                documents.append(b'{"n":%d,"country":"%s"}' % (self._number, country.encode()))
                self.rows.append((source, str(number), 0, document, self._number, country))
            records.append(StreamRecord(str(number), "a", arrived, b"\n".join(documents)))
        return records

    def deliveries(self) -> Iterator[Delivery]:
        """Yield what Lambda does until each record was stored: each source's in its order."""
        plans = [list(self._plan(source, records)) for source, records in self.batches.items()]
        late = [
            msgspec.structs.replace(each, kind="months later")
            for plan in plans
            for each in plan
            if each.fails_after is None and self._random.random() < 0.15
        ]
        while any(plans):
            plan = self._random.choice([plan for plan in plans if plan])
            yield plan.pop(0)
        yield from late

    def _plan(self, source: str, records: list[StreamRecord]) -> Iterator[Delivery]:
        chance, start = self._random, 0
        aged: list[Delivery] = []
        while start < len(records):
            count = chance.randint(1, 5)
            cut = records[start : start + count]
            kind = chance.choice(["once", "once", "again", "halves", "overlap", "partial", "aged"])
            if kind == "aged" and len(cut) > 2:
                yield self._delivery(source, cut, kind, chance.choice([None, 1]))
                hole = chance.randint(1, len(cut) - 2)
                yield self._delivery(source, cut[:hole] + cut[hole + 1 :], kind)
                aged.append(self._delivery(source, [cut[hole]], "redriven", replayed=True))
            elif kind == "halves" and len(cut) > 1:
                half = chance.randint(1, len(cut) - 1)
                yield self._delivery(source, cut, kind)
                yield self._delivery(source, cut[:half], kind)
                yield self._delivery(source, cut[half:], kind)
            elif kind == "overlap":
                yield self._delivery(source, cut, kind)
                first, last = max(0, start - 3), start + count + 3
                yield self._delivery(source, records[first:last], kind)
            elif kind == "partial":
                yield self._delivery(source, cut, kind, chance.randint(0, 2))
                for number in range(len(cut)):
                    yield self._delivery(source, cut[number : number + 1], kind)
            else:
                yield self._delivery(source, cut, kind)
                if kind == "again":
                    yield self._delivery(source, cut, kind)
            start += count
        yield from aged

    def _delivery(
        self,
        source: str,
        records: list[StreamRecord],
        kind: str,
        fails_after: int | None = None,
        *,
        replayed: bool = False,
    ) -> Delivery:
        shard = source.rpartition("/")[2]
        letters = "letters" if replayed else None
        return Delivery(Batch(source, shard, tuple(records), letters), kind, fails_after)


class Lambda:
    """Stores deliveries through the real flow."""

    def __init__(self, landing: PartialStore) -> None:
        self._landing = landing

    def invoke(self, delivery: Delivery, dataset: Dataset) -> None:
        """Store a batch, or a part of it."""
        pipeline = Pipeline(Router([dataset]), Limits(), self._landing, MemoryStore())
        self._landing.left = delivery.fails_after
        try:
            with ConcurrentWriter(remaining=lambda: math.inf, reserve=0, concurrency=1) as writer:
                process(delivery.batch, pipeline, writer, Stopwatch(lambda: 0.0))
        except StoreRefused:
            assert delivery.fails_after is not None
        finally:
            self._landing.left = None
