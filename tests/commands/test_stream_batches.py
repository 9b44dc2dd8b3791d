"""Streams as batches, on one in memory: all of it in order, up to now or on and on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from support import ARN

from pipeline.adapters.aws.kinesis import Received, Shard, StreamSummary
from pipeline.commands import stream_batches
from pipeline.commands.stream_batches import StreamBatches
from pipeline.core.errors import IteratorExpired, StreamMissing, StreamUnavailable
from pipeline.core.records import StreamRecord
from pipeline.local.reader import FROM_NOW, FROM_OLDEST, Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = 1_795_000_000_000_000
SECOND = 1_000_000


@dataclass
class Memory:
    """A stream in memory; `before_get` is called before each read, and may change it, or raise."""

    shards: dict[str, Shard] = field(default_factory=dict)
    records: dict[str, list[StreamRecord]] = field(default_factory=dict)
    before_get: Callable[[int], object] = lambda _call: None
    calls: int = 0
    stream: str = "shop"

    def open(self, name: str, *parents: str) -> None:
        for parent in parents:
            old = self.shards[parent]
            self.shards[parent] = Shard(parent, old.parents, 0, 1, closed=True)
        self.shards[name] = Shard(name, parents, 0, 1, closed=False)
        self.records[name] = []

    def put(self, name: str, data: bytes, arrived_at: int = NOW - SECOND) -> None:
        number = str(sum(map(len, self.records.values())))
        self.records[name].append(StreamRecord(number, "key", arrived_at, data))

    def put_records(self, records: Sequence[Any]) -> list[Any]:
        raise NotImplementedError

    def describe_stream_summary(self) -> StreamSummary:
        return StreamSummary(ARN, "ACTIVE", len(self.shards), 24)

    def list_shards(self) -> list[Shard]:
        return list(self.shards.values())

    def get_shard_iterator(self, shard_id: str, kind: str, start: str | float | None = None) -> str:
        kept = self.records[shard_id]
        match kind, start:
            case "TRIM_HORIZON", None:
                place = 0
            case "LATEST", None:
                place = len(kept)
            case "AT_TIMESTAMP", float(moment):
                place = sum(record.arrived_at < moment * 1e6 for record in kept)
            case "AFTER_SEQUENCE_NUMBER", str(number):
                place = 1 + [record.sequence_number for record in kept].index(number)
        return f"{shard_id} {place}"

    def get_records(self, iterator: str, limit: int = 10_000) -> Received:
        self.calls += 1
        self.before_get(self.calls)
        shard_id, place = iterator.split()
        kept, start = self.records[shard_id], int(place)
        records = tuple(kept[start : start + limit])
        if not records and self.shards[shard_id].closed:
            return Received((), None, 0)
        end = start + len(records)
        return Received(records, f"{shard_id} {end}", 0 if end == len(kept) else 1_000)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait, and the time stand still."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.setattr(stream_batches, "_now", lambda: NOW)
    monkeypatch.setattr("pipeline.local.reader.ShardReader.delay", 0.0)


def read(memory: Memory, start: Start = FROM_OLDEST, *, most: int | None = None) -> list[bytes]:
    """Read a stream, for ever where only so many records are wanted."""
    batches = StreamBatches(memory, start, notices.append, follow=most is not None)
    found = (record.data for batch in batches if batch for record in batch.records)
    return list(itertools.islice(found, most))


notices: list[str] = []


def test_all_that_is_there_is_read_each_shard_in_its_order() -> None:
    memory = Memory()
    memory.open("a")
    memory.open("b")
    for number in range(250):
        memory.put("a", b"a%d" % number)
    memory.put("b", b"b0")
    found = read(memory)
    assert [data for data in found if data[:1] == b"a"] == [b"a%d" % n for n in range(250)]
    assert found.count(b"b0") == 1


def test_parents_are_read_before_their_children() -> None:
    memory = Memory()
    memory.open("old")
    memory.open("older")
    memory.put("old", b"1")
    memory.put("older", b"2")
    memory.open("child", "old", "older")
    memory.put("child", b"3")
    memory.shards = dict(reversed(memory.shards.items()))
    found = read(memory)
    assert sorted(found[:2]) == [b"1", b"2"]
    assert found[2:] == [b"3"]


def test_a_stream_that_is_written_faster_than_it_is_read_has_an_end() -> None:
    memory = Memory()
    memory.open("a")
    memory.put("a", b"before")

    def write_on(_call: int) -> None:
        for _ in range(1_000):
            memory.put("a", b"after", NOW + 1)

    memory.before_get = write_on
    assert read(memory)[0] == b"before"


def test_from_now_only_what_comes_is_read_and_what_it_is_split_into() -> None:
    memory = Memory()
    memory.open("a")
    memory.open("b", "a")
    memory.put("a", b"old")
    memory.put("b", b"old")

    def arrive(call: int) -> None:
        if call == 3:
            memory.put("b", b"1", NOW)
        if call == 5:
            memory.open("c", "b")
            memory.put("c", b"2", NOW)

    memory.before_get = arrive
    assert read(memory, FROM_NOW, most=2) == [b"1", b"2"]


def test_an_iterator_that_expires_loses_nothing_of_what_came_meanwhile() -> None:
    memory = Memory()
    memory.open("a")
    memory.put("a", b"old")

    def expire(call: int) -> None:
        if call == 2:
            memory.put("a", b"1", NOW)
            raise IteratorExpired("The iterator expired.")

    memory.before_get = expire
    assert read(memory, FROM_NOW, most=1) == [b"1"]


def test_from_a_time_what_arrived_before_it_is_left_out() -> None:
    memory = Memory()
    memory.open("a")
    memory.put("a", b"early", NOW - 60 * SECOND)
    memory.put("a", b"late", NOW - 30 * SECOND)
    assert read(memory, ("AT_TIMESTAMP", NOW / 1e6 - 30)) == [b"late"]


def test_an_outage_is_waited_for_where_there_is_no_end() -> None:
    memory = Memory()
    memory.open("a")
    memory.put("a", b"1")

    def fail(call: int) -> None:
        if call < 4:
            raise StreamUnavailable("The stream 'shop' does not answer.")

    memory.before_get = fail
    assert read(memory, most=1) == [b"1"]
    assert read(memory) == [b"1"]


def test_a_stream_that_is_deleted_ends_it() -> None:
    memory = Memory()
    memory.open("a")

    def gone(_call: int) -> None:
        raise StreamMissing("There is no stream 'shop'.")

    memory.before_get = gone
    with pytest.raises(StreamMissing, match="There is no stream 'shop'"):
        read(memory, most=1)
