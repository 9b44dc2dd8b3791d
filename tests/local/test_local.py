"""The runner, on a stream in memory: nothing lost, parents first, one bad shard alone."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import ARN, ORDERS, PLAIN, FaultyStore, Stored, as_json, kinesis_event, order

from pipeline.adapters.aws.kinesis import Received, Shard, StreamSummary
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.telemetry import Telemetry
from pipeline.commands import run_display
from pipeline.commands.run import _beginning, _default_state, _log, _where_it_goes_on
from pipeline.commands.run_display import display
from pipeline.core.dataset import check_together
from pipeline.core.errors import (
    ArgumentRefused,
    IteratorExpired,
    SettingsError,
    StateRefused,
    StoreRefused,
    StoreUnavailable,
    StreamError,
    StreamMissing,
    StreamRefused,
    StreamThrottled,
    StreamUnavailable,
)
from pipeline.core.events import read_failed_batch
from pipeline.core.records import StreamRecord
from pipeline.core.routing import Router
from pipeline.esm import Mapping, Raised, Returned
from pipeline.flow import Pipeline
from pipeline.local import (
    Beginning,
    Function,
    Job,
    Pace,
    Runner,
    ShardStatus,
    State,
    StreamIdentity,
    StreamStatus,
    open_state,
)
from pipeline.local.reader import ShardReader
from pipeline.local.state import Checkpoint
from pipeline.local.watch import StreamWatch
from pipeline.local.worker import ShardWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.report import Report

IDENTITY = StreamIdentity(ARN, 1_795_000_000.0)
HOUR = 3_600_000_000


# The runner waits for nothing longer than it must.
QUICK = Pace(
    read_interval=0.0, tip_interval=0.01, list_interval=0.02, restart_delay=0.0, first_pause=0.001
)


# -------------------------------------------------------------------------------- what they share


@dataclass
class FakeShard:
    shard_id: str
    parents: tuple[str, ...] = ()
    closed: bool = False
    records: list[StreamRecord] = field(default_factory=list)


class FakeKinesis:
    """A stream in memory; `mishap(call, shard id)` may raise, before each call is answered."""

    stream = "shop"
    retention = 24
    deleted = False

    def __init__(self, *shards: FakeShard) -> None:
        self.shards = {shard.shard_id: shard for shard in shards}
        self.mishap: Callable[[str, str], object] = lambda _call, _shard: None
        self.limits: list[int] = []
        self.created = IDENTITY.created
        self._numbers = iter(range(100, 10**9, 7))

    def put(self, shard_id: str, *payloads: bytes, arrived_at: int | None = None) -> None:
        moment = micros() if arrived_at is None else arrived_at
        for payload in payloads:
            record = StreamRecord(str(next(self._numbers)), "a", moment, payload)
            self.shards[shard_id].records.append(record)

    def put_records(self, records: Sequence[Any]) -> list[Any]:
        raise NotImplementedError

    def delete(self) -> None:
        """Delete the stream: nothing of it can be read or listed any more."""
        self.shards.clear()
        self.deleted = True

    def create(self, *shards: FakeShard) -> None:
        """Create another stream of the same name; sequence numbers go on, as those of Kinesis."""
        self.shards = {shard.shard_id: shard for shard in shards}
        self.created += 60.0
        self.deleted = False

    def describe_stream_summary(self) -> StreamSummary:
        self.mishap("describe", "")
        self._check_existence()
        return StreamSummary(ARN, "ACTIVE", len(self.shards), self.retention, self.created)

    def _check_existence(self) -> None:
        if self.deleted:
            raise StreamRefused("There is no such stream.")

    def list_shards(self) -> list[Shard]:
        self.mishap("list", "")
        self._check_existence()
        return [
            Shard(shard.shard_id, shard.parents, 0, 2**128 - 1, shard.closed)
            for shard in self.shards.values()
        ]

    def get_shard_iterator(
        self, shard_id: str, kind: str, position: str | float | None = None
    ) -> str:
        self.mishap("iterator", shard_id)
        if shard_id not in self.shards:
            raise StreamMissing(f"There is no {shard_id}.")
        after = -1
        if kind == "AFTER_SEQUENCE_NUMBER":
            assert isinstance(position, str)
            after = int(position)
        if kind == "AT_TIMESTAMP":
            assert isinstance(position, float)
            earlier = [
                int(record.sequence_number)
                for record in self.shards[shard_id].records
                if record.arrived_at < position * 1_000_000
            ]
            after = max(earlier, default=-1)
        return f"{shard_id} {after}"

    def get_records(self, iterator: str, limit: int = 10_000) -> Received:
        shard_id, after, *at_end = iterator.split()
        self.mishap("get", shard_id)
        self.limits.append(limit)
        if shard_id not in self.shards:
            raise StreamMissing(f"There is no {shard_id}.")
        shard = self.shards[shard_id]
        rest = [record for record in shard.records if int(record.sequence_number) > int(after)]
        records = tuple(rest[:limit])
        if not records and shard.closed:
            # As services do: at the tip of a closed shard, its end takes one more call to show.
            return Received((), None if at_end else f"{iterator} end", 0)
        last = records[-1].sequence_number if records else after
        return Received(records, f"{shard_id} {last}", 1_000 if len(rest) > limit else 0)


def micros() -> int:
    return time.time_ns() // 1_000


def orders(count: int) -> list[bytes]:
    return [as_json(order(customer={"id": number})) for number in range(1, count + 1)]


@dataclass
class Bench:
    """A runner with all that belongs to it; `notices` are the sentences for the operator."""

    kinesis: FakeKinesis
    directory: Path
    stored: Stored = field(default_factory=Stored)
    failures: MemoryStore = field(default_factory=MemoryStore)
    mapping: Mapping = field(default_factory=lambda: Mapping(batch_size=10))
    once: bool = True
    concurrency: int = 2
    timeout: float = 60.0
    restart: bool = False
    beginning: Beginning | None = None
    notices: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[Runner]:
        identity = StreamIdentity(ARN, self.kinesis.created)
        with open_state(
            self.directory, identity, restart=self.restart, beginning=self.beginning
        ) as state:
            yield Runner(self.job(state))

    def job(self, state: State) -> Job:
        return Job(
            kinesis=self.kinesis,
            retention=24,
            state=state,
            function=self.function(),
            failures=self.failures,
            mapping=self.mapping,
            concurrency=self.concurrency,
            once=self.once,
            notify=self.notices.append,
            on_stored=self.reports.append,
            pace=QUICK,
            restart=self.restart,
        )

    def function(self) -> Function:
        stores = (self.stored.output, self.stored.dead_letters)
        pipeline = Pipeline(Router(check_together([ORDERS])), PLAIN, *stores)
        return Function(pipeline, Telemetry(lambda _: None, time.time), 0.0, self.timeout)

    def run(self) -> Runner:
        with self.open() as runner:
            runner.run()
            return runner

    @contextmanager
    def running(self) -> Iterator[Runner]:
        """Run in another thread, and stop at the end of the block."""
        with self.open() as runner, ThreadPoolExecutor(1) as thread:
            running = thread.submit(runner.run)
            try:
                yield runner
            finally:
                runner.stop()
            running.result()

    @property
    def rows(self) -> int:
        """How many rows were stored so far, also while it runs."""
        return sum(report.total("rows") for report in tuple(self.reports))

    def customers(self) -> list[int]:
        """The numbers of the orders that are rows, by identity once each."""
        assert len(self.identities()) == len(set(self.identities()))
        return sorted(row["customer"]["id"] for row in self.stored.rows)

    def identities(self) -> list[tuple[str, str]]:
        return [(row["_source"], row["_sequence_number"]) for row in self.stored.rows]

    def checkpoint(self, shard_id: str) -> Checkpoint:
        """Read a checkpoint from the disk, where the runner has put it by now."""
        path = self.directory / "shards" / f"{shard_id}.json"
        if not path.exists():
            return Checkpoint(ARN, shard_id)
        return Checkpoint(**json.loads(path.read_text()))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(FakeKinesis(FakeShard("shard-0"), FakeShard("shard-1")), tmp_path / "state")


def await_(condition: Callable[[], bool]) -> None:
    """Wait for another thread; what never happens fails the test."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


# ------------------------------------------------------------------------------- what is stored


def test_every_record_of_every_shard_becomes_a_row_or_a_dead_letter(bench: Bench) -> None:
    bench.kinesis.put("shard-0", *orders(25))
    bench.kinesis.put("shard-1", *orders(3), b"no JSON")
    runner = bench.run()
    assert bench.customers() == sorted([*range(1, 26), *range(1, 4)])
    assert [letter["reason"] for letter in bench.stored.letters] == ["not_json"]
    assert runner.failed == {}
    assert runner.status.total("rows") == 28
    assert runner.status.total("dead_letters") == 1
    assert sum(report.total("documents") for report in bench.reports) == 29


def test_a_second_run_reads_only_what_is_new(bench: Bench) -> None:
    bench.kinesis.put("shard-0", *orders(5))
    bench.run()
    bench.kinesis.put("shard-0", as_json(order(customer={"id": 77})))
    runner = bench.run()
    assert runner.status.total("records") == 1
    assert 77 in bench.customers()


def test_from_the_start_all_is_read_again_with_the_same_identities(bench: Bench) -> None:
    bench.kinesis.put("shard-0", *orders(5))
    bench.run()
    bench.beginning = Beginning()
    assert bench.run().status.total("records") == 5
    assert bench.customers() == [1, 2, 3, 4, 5]
    bench.beginning = None
    assert bench.run().status.total("records") == 0


def test_from_a_time_on_only_what_arrived_then_is_read_also_of_later_shards(bench: Bench) -> None:
    """It is remembered: a shard that is split off, and a runner that is killed, begin there."""
    hour = 3_600_000_000
    start = micros() - 5 * hour
    bench.kinesis.put("shard-0", *orders(3), arrived_at=start - 1)
    bench.kinesis.put("shard-0", as_json(order(customer={"id": 71})), arrived_at=start)
    bench.beginning = Beginning(start)
    bench.run()
    assert bench.customers() == [71]
    bench.beginning = None
    bench.kinesis.put("shard-1", *orders(3), arrived_at=start - hour)  # as if it were behind
    bench.kinesis.put("shard-1", as_json(order(customer={"id": 72})), arrived_at=start + hour)
    child = FakeShard("shard-2", parents=("shard-0",))
    bench.kinesis.shards["shard-0"].closed = True
    bench.kinesis.shards["shard-2"] = child
    bench.kinesis.put("shard-2", as_json(order(customer={"id": 73})))
    (bench.directory / "shards" / "shard-1.json").unlink(missing_ok=True)
    bench.run()
    assert bench.customers() == [71, 72, 73]


def test_a_stream_that_was_created_again_is_read_from_its_oldest_record_on(bench: Bench) -> None:
    bench.beginning = Beginning(micros())
    bench.run()
    bench.kinesis.create(FakeShard("shard-0"))
    bench.kinesis.put("shard-0", *orders(2), arrived_at=micros() - 60_000_000)
    bench.beginning, bench.restart = None, True
    bench.run()
    assert bench.customers() == [1, 2]


@pytest.mark.parametrize("text", ["start", "now", "12h", "2026-11-23T09:00:00Z"])
def test_where_reading_begins_is_told(text: str, tmp_path: Path) -> None:
    identity = StreamIdentity(ARN, 1.0)
    with open_state(tmp_path, identity, beginning=_beginning(text)) as state:
        sentence = _where_it_goes_on(state, tmp_path)
        assert sentence.endswith(f"; checkpoints are in {tmp_path}")
        assert sentence.startswith(
            "from its oldest record on" if text == "start" else "from 2026-11-2"
        ) or text in {"now", "12h"}
        state.save(Checkpoint(ARN, "shard-0", "7"))
    with open_state(tmp_path, identity) as state:
        assert _where_it_goes_on(state, tmp_path) == (
            f"going on where the checkpoints in {tmp_path} say (--from start reads all again)"
        )


def test_a_beginning_that_is_not_a_time_is_told() -> None:
    assert _beginning(None) is None
    with pytest.raises(SettingsError, match="--from yesterday"):
        _beginning("yesterday")


def test_once_ends_at_the_tip_of_a_stream_that_never_stands_still(bench: Bench) -> None:
    def go_on(call: str, shard_id: str) -> None:
        if call == "get":
            assert len(bench.kinesis.limits) < 100, "it does not end"
            bench.kinesis.put(shard_id, *orders(1))

    bench.kinesis.put("shard-0", *orders(250))
    bench.kinesis.mishap = go_on
    assert bench.run().failed == {}
    assert bench.rows >= 250


def test_without_once_it_goes_on_until_it_is_stopped(bench: Bench) -> None:
    bench.once = False
    bench.kinesis.put("shard-0", *orders(3))
    with bench.running():
        await_(lambda: bench.rows == 3)
        bench.kinesis.put("shard-1", *orders(2))
        await_(lambda: bench.rows == 5)


def test_a_stop_finishes_what_is_in_the_handler_and_begins_nothing_more(bench: Bench) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold(_: int) -> None:
        inside.set()
        go_on.wait()

    bench.once, bench.concurrency = False, 1
    bench.stored.output = FaultyStore(hold)
    bench.kinesis.put("shard-0", *orders(10))
    bench.kinesis.put("shard-1", *orders(10))
    with bench.running() as runner:
        inside.wait()
        runner.stop()
        go_on.set()
    done = [
        bench.checkpoint(shard_id).sequence_number is not None
        for shard_id in ("shard-0", "shard-1")
    ]
    assert sorted(done) == [False, True]
    assert len(bench.reports) == 1


def test_no_more_batches_are_in_the_handler_than_allowed(bench: Bench) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def count(_: int) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    shards = [FakeShard(f"shard-{number}") for number in range(6)]
    bench.kinesis, bench.concurrency = FakeKinesis(*shards), 1
    # No CSV beside the Parquet, which would be stored by the same invocation at the same time.
    bench.stored.dead_letters = FaultyStore(count)
    for shard in shards:
        bench.kinesis.put(shard.shard_id, *[b"no JSON"] * 30)
    bench.run()
    assert len(bench.stored.letters) == 6 * 30
    assert most == 1


# -------------------------------------------------------------------------------- parents first


def test_parents_are_drained_before_their_children_through_splits_and_merges(
    bench: Bench,
) -> None:
    bench.kinesis = FakeKinesis(
        FakeShard("merged", ("left", "right")),
        FakeShard("left", ("root",), closed=True),
        FakeShard("right", ("root",), closed=True),
        FakeShard("root", closed=True),
        FakeShard("lone"),
    )
    parents = {shard.shard_id: shard.parents for shard in bench.kinesis.shards.values()}

    def check(call: str, shard_id: str) -> None:
        if call == "iterator":
            assert all(bench.checkpoint(parent).closed for parent in parents[shard_id])

    bench.kinesis.mishap = check
    for number, shard_id in enumerate(parents):
        bench.kinesis.put(shard_id, *orders(5 + number))
    runner = bench.run()
    assert runner.failed == {}
    assert len(bench.stored.rows) == 5 + 6 + 7 + 8 + 9
    order_of_shards = [report.batch.shard for report in bench.reports]
    assert [shard_id for shard_id in order_of_shards if shard_id in {"root", "merged"}] == [
        "root",
        "merged",
    ]


def test_children_that_appear_while_it_runs_are_read(bench: Bench) -> None:
    bench.once = False
    bench.kinesis.put("shard-0", *orders(2))
    with bench.running():
        await_(lambda: bench.rows == 2)
        bench.kinesis.shards["child"] = FakeShard("child", ("shard-0",))
        bench.kinesis.put("child", *orders(3))
        bench.kinesis.shards["shard-0"].closed = True
        await_(lambda: bench.rows == 5)
    assert bench.checkpoint("shard-0").closed


def test_a_parent_that_is_listed_no_more_holds_nothing_up(bench: Bench) -> None:
    bench.kinesis = FakeKinesis(FakeShard("child", ("expired",)))
    bench.kinesis.put("child", *orders(2))
    bench.run()
    assert len(bench.stored.rows) == 2


def test_an_open_parent_holds_its_children_up(bench: Bench) -> None:
    bench.kinesis = FakeKinesis(FakeShard("parent"), FakeShard("child", ("parent",)))
    bench.kinesis.put("child", *orders(2))
    bench.run()
    assert bench.stored.rows == []


def test_of_closed_shards_that_expired_nothing_is_kept(bench: Bench) -> None:
    bench.once = False
    bench.kinesis.shards["shard-0"].closed = True
    with bench.running() as runner:
        await_(lambda: bench.checkpoint("shard-0").closed)
        assert [shard.shard_id for shard in runner.status.living()] in (
            ["shard-1"],
            ["shard-0", "shard-1"],
        )
        del bench.kinesis.shards["shard-0"]
        await_(lambda: not (bench.directory / "shards" / "shard-0.json").exists())
        assert [shard.shard_id for shard in runner.status.living()] == ["shard-1"]


def test_a_shard_that_expired_whole_is_told_and_closed(bench: Bench) -> None:
    bench.once = False
    with bench.running():
        await_(lambda: len(bench.kinesis.limits) > 2)
        del bench.kinesis.shards["shard-0"]
        await_(lambda: any("has expired as a whole" in sentence for sentence in bench.notices))


# --------------------------------------------------------------- another stream of the same name


def recreated(bench: Bench, *, split: bool) -> None:
    """Delete the stream, and create another; `split`: one of its shards was drained before."""
    if split:
        bench.kinesis.shards["child"] = FakeShard("child", ("shard-0",))
        bench.kinesis.shards["shard-0"].closed = True
        await_(lambda: bench.checkpoint("shard-0").closed)
    bench.kinesis.delete()
    bench.kinesis.create(FakeShard("shard-0"), FakeShard("shard-1"))
    bench.kinesis.put("shard-0", *orders(4))
    bench.kinesis.put("shard-1", *orders(2))


REPLACED = (
    f"The stream {ARN} was deleted and created again while it was read. What was read of the former "
    "one is stored; what was not is gone with it. "
)


@pytest.mark.parametrize("split", [False, True], ids=["as it was", "after a split"])
def test_a_stream_that_is_created_again_is_refused_in_a_sentence(
    bench: Bench, *, split: bool
) -> None:
    bench.once = False
    bench.kinesis.put("shard-0", *orders(3))
    with bench.open() as runner, ThreadPoolExecutor(1) as thread:
        running = thread.submit(runner.run)
        await_(lambda: bench.rows == 3)
        recreated(bench, split=split)
        error = running.exception()
    assert isinstance(error, StateRefused)
    assert str(error) == (
        f"{REPLACED}The checkpoints mean nothing for the new one: to read it from its oldest record "
        "on, give another --state, or --if-recreated restart."
    )
    assert not [notice for notice in bench.notices if "has expired as a whole" in notice]
    with pytest.raises(StateRefused, match="was created again after the state in"):
        bench.run()


@pytest.mark.parametrize("split", [False, True], ids=["as it was", "after a split"])
def test_a_stream_that_is_created_again_is_read_from_its_beginning_if_wanted(
    bench: Bench, *, split: bool
) -> None:
    bench.once, bench.restart = False, True
    bench.kinesis.put("shard-0", *orders(3))
    notice = f"{REPLACED}The new one is read from its oldest record on."
    with bench.running() as runner:
        await_(lambda: bench.rows == 3)
        bench.kinesis.retention = 48
        recreated(bench, split=split)
        await_(lambda: bench.notices.count(notice) == 1)
        await_(lambda: len(set(bench.identities())) == 3 + 6)
        # And once more, though all of its shards were read before.
        recreated(bench, split=False)
        await_(lambda: bench.notices.count(notice) == 2)
        await_(lambda: len(set(bench.identities())) == 3 + 6 + 6)
        assert {shard.shard_id for shard in runner.status.living()} == {"shard-0", "shard-1"}
    assert not bench.checkpoint("shard-0").closed
    assert bench.checkpoint("child") == Checkpoint(ARN, "child")


def test_what_was_read_of_a_stream_that_is_gone_is_stored_before_the_next(bench: Bench) -> None:
    """It can be read no more: only this process has it."""
    inside, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 1:
            inside.set()
            go_on.wait()

    bench.once, bench.concurrency, bench.restart = False, 1, True
    bench.stored.output = FaultyStore(hold)
    bench.kinesis.put("shard-0", *orders(25))  # two batches and a half, of which one is stored now
    with bench.running():
        inside.wait()
        bench.kinesis.delete()
        bench.kinesis.create(FakeShard("shard-0"))
        bench.kinesis.put("shard-0", as_json(order(customer={"id": 77})))
        go_on.set()
        await_(lambda: bench.rows == 26)
    assert bench.customers() == [*range(1, 26), 77]


def test_once_notices_that_the_stream_was_created_again_meanwhile(bench: Bench) -> None:
    def recreate(call: str, shard_id: str) -> None:
        if call == "get" and shard_id == "shard-0" and bench.kinesis.created == IDENTITY.created:
            bench.kinesis.create(FakeShard("shard-0"), FakeShard("shard-1"))
            bench.kinesis.put("shard-1", *orders(2))

    bench.kinesis.mishap = recreate
    with pytest.raises(StateRefused, match="was deleted and created again while it was read"):
        bench.run()
    bench.restart = True
    bench.run()
    assert bench.customers() == [1, 2]


def test_a_state_that_cannot_be_let_go_of_delays_the_new_stream(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_again, left = State.begin_again, [1]

    def fail_once(self: State, created: float) -> State:
        if left:
            left.pop()
            raise StoreUnavailable("The disk is full.")
        return begin_again(self, created)

    monkeypatch.setattr(State, "begin_again", fail_once)
    bench.once, bench.restart = False, True
    with bench.running():
        await_(lambda: len(bench.kinesis.limits) > 2)
        recreated(bench, split=False)
        await_(lambda: any(REPLACED in notice for notice in bench.notices))
        await_(lambda: len(set(bench.identities())) == 6)
    assert "The disk is full. The stream that was created again waits for it." in bench.notices


def test_a_stream_that_is_deleted_for_good_is_waited_for(bench: Bench) -> None:
    bench.once = False
    with bench.running():
        await_(lambda: len(bench.kinesis.limits) > 2)
        bench.kinesis.delete()
        await_(lambda: any("There is no such stream." in notice for notice in bench.notices))
    assert not bench.checkpoint("shard-0").closed


# -------------------------------------------------------------------------- what the stream does


def fail_first(times: int, error: StreamError, *calls: str) -> Callable[[str, str], None]:
    """Fail the first calls of these kinds for each shard."""
    left: dict[tuple[str, str], int] = {}

    def mishap(call: str, shard_id: str) -> None:
        if call in calls:
            left.setdefault((call, shard_id), times)
            left[call, shard_id] -= 1
            if left[call, shard_id] >= 0:
                raise error

    return mishap


@pytest.mark.parametrize(
    "error",
    [
        StreamThrottled("throttled"),
        StreamUnavailable("down"),
        IteratorExpired("expired"),
        ArgumentRefused("no such iterator"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_reading_survives(bench: Bench, error: StreamError) -> None:
    bench.once = False
    bench.kinesis.put("shard-0", *orders(30))
    bench.kinesis.mishap = fail_first(3, error, "get")
    with bench.running():
        await_(lambda: bench.rows == 30)
    assert bench.customers() == list(range(1, 31))


@pytest.mark.parametrize("call", ["list", "iterator"])
def test_every_call_is_tried_again(bench: Bench, call: str) -> None:
    bench.once = False
    bench.kinesis.put("shard-0", *orders(3))
    bench.kinesis.mishap = fail_first(7, StreamUnavailable("down"), call)
    with bench.running():
        await_(lambda: bench.rows == 3)
    assert any("down" in sentence and "5 in a row" in sentence for sentence in bench.notices)


def test_an_iterator_that_expires_between_two_reads_loses_and_doubles_nothing(
    bench: Bench,
) -> None:
    calls = 0

    def expire_each_third(call: str, _: str) -> None:
        nonlocal calls
        if call == "get":
            calls += 1
            if calls % 3 == 0:
                raise IteratorExpired("expired")

    bench.mapping = Mapping(batch_size=100)
    bench.kinesis.put("shard-0", *orders(1_000))
    bench.kinesis.mishap = expire_each_third
    bench.run()
    assert bench.customers() == list(range(1, 1_001))


def test_one_bad_shard_does_not_stop_the_others(bench: Bench) -> None:
    def refuse(call: str, shard_id: str) -> None:
        if call == "get" and shard_id == "shard-0":
            raise StreamRefused("not allowed")

    bench.once = False
    bench.kinesis.mishap = refuse
    bench.kinesis.put("shard-1", *orders(4))
    with bench.running() as runner:
        await_(lambda: bench.rows == 4)
        await_(lambda: any("shard-0: not allowed" in sentence for sentence in bench.notices))
        assert runner.status.shard("shard-0").trouble == "not allowed"


def test_once_does_not_end_because_the_shards_could_not_be_listed(bench: Bench) -> None:
    bench.kinesis.put("shard-0", *orders(4))
    bench.kinesis.mishap = fail_first(2, StreamThrottled("throttled"), "list")
    assert bench.run().failed == {}
    assert bench.rows == 4


def test_once_tells_of_a_shard_that_cannot_be_read(bench: Bench) -> None:
    bench.kinesis.put("shard-1", *orders(4))
    bench.kinesis.mishap = fail_first(1, StreamRefused("not allowed"), "get")
    runner = bench.run()
    assert runner.failed == {"shard-0": "shard-0: not allowed", "shard-1": "shard-1: not allowed"}


def test_what_nobody_foresaw_ends_one_worker_which_is_begun_again(bench: Bench) -> None:
    left = [1]

    def break_once(call: str, shard_id: str) -> None:
        if call == "get" and shard_id == "shard-0" and left:
            left.pop()
            raise ZeroDivisionError("the secret payload")

    bench.once = False
    bench.kinesis.mishap = break_once
    bench.kinesis.put("shard-0", *orders(3))
    with bench.running():
        await_(lambda: bench.rows == 3)
    (sentence,) = [notice for notice in bench.notices if "ZeroDivisionError" in notice]
    assert sentence.startswith("shard-0: ")
    assert "secret" not in sentence


# --------------------------------------------------------------------------- what the stores do


def test_a_batch_that_is_not_stored_moves_no_checkpoint_and_comes_again(bench: Bench) -> None:
    seen: list[str | None] = []

    def fail_first_two(number: int) -> None:
        seen.append(bench.checkpoint("shard-0").sequence_number)
        if number <= 2:
            raise StoreRefused("the bucket is gone")

    bench.stored.output = FaultyStore(fail_first_two)
    bench.kinesis.put("shard-0", *orders(5))
    runner = bench.run()
    assert bench.customers() == list(range(1, 6))
    assert set(seen) == {None}
    assert runner.status.total("retries") >= 1


def test_a_batch_that_is_not_stored_is_told_at_once_and_so_is_its_end(bench: Bench) -> None:
    def fail_first_two(number: int) -> None:
        if number <= 2:
            raise StoreRefused("No space left on device.")

    bench.stored.output = FaultyStore(fail_first_two)
    bench.kinesis.put("shard-0", *orders(2))
    bench.run()
    first, *others, last = bench.notices
    assert first == "shard-0: a batch is not stored: No space left on device. (failure 1 in a row)"
    assert others == []
    assert re.fullmatch(r"shard-0: batches are stored again \(failures: [12]\)", last)


def test_an_outage_that_lasts_is_told_now_and_then(bench: Bench) -> None:
    with bench.open() as runner, ThreadPoolExecutor(1) as pool:
        job = bench.job(runner._job.state)
        watch = StreamWatch(bench.kinesis, IDENTITY.created)
        status = ShardStatus("shard-0")
        worker = ShardWorker("shard-0", job, status, watch, pool, threading.Event())
        for _ in range(45):
            worker.failed("The bucket is gone.")
    expected = [
        f"shard-0: a batch is not stored: The bucket is gone. (failure {n} in a row)"
        for n in (1, 20, 40)
    ]
    assert bench.notices == expected


def test_a_clock_that_is_set_back_lets_no_batch_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that failed waits a second, and not until the clock is where it was."""
    day, back = time.time_ns(), [0]
    monkeypatch.setattr("pipeline.local.worker.now", lambda: (day - back[0]) // 1_000)

    def fail_first_two(number: int) -> None:
        if number <= 2:
            back[0] = 6 * 3600 * 10**9
            raise StoreRefused("the bucket is gone")

    bench.stored.output = FaultyStore(fail_first_two)
    bench.mapping = Mapping(batch_size=10, window_seconds=1, record_age_seconds=604_800)
    bench.kinesis.put("shard-0", *orders(2))
    bench.once = False
    with bench.running():
        await_(lambda: bench.rows == 2)


def test_a_batch_that_is_given_up_is_kept_before_the_checkpoint_moves(bench: Bench) -> None:
    def refuse(_: int) -> None:
        raise StoreRefused("the bucket is gone")

    checkpoints: list[str | None] = []

    def fail_twice(number: int) -> None:
        checkpoints.append(bench.checkpoint("shard-0").sequence_number)
        if number <= 2:
            raise StoreUnavailable("down, too")

    bench.stored.output, bench.failures = FaultyStore(refuse), FaultyStore(fail_twice)
    bench.mapping = Mapping(batch_size=10, retry_attempts=0)
    bench.kinesis.put("shard-0", *orders(3))
    runner = bench.run()
    ((key, document),) = bench.failures.objects.items()
    assert checkpoints == [None, None, None]
    assert bench.checkpoint("shard-0").sequence_number is not None
    assert runner.status.total("given_up") == 3
    assert json.loads(document)["requestContext"]["condition"] == "RetryAttemptsExhausted"
    records = tuple(bench.kinesis.shards["shard-0"].records)
    assert read_failed_batch(document, key).records == records
    assert any("3 records were given up" in sentence for sentence in bench.notices)


def test_a_stop_before_a_failed_batch_is_kept_leaves_it_on_the_stream(bench: Bench) -> None:
    def refuse(_: int) -> None:
        raise StoreRefused("the bucket is gone")

    tries: list[int] = []

    def never(number: int) -> None:
        tries.append(number)
        raise StoreUnavailable("down, too")

    bench.once = False
    bench.stored.output, bench.failures = FaultyStore(refuse), FaultyStore(never)
    bench.mapping = Mapping(batch_size=10, retry_attempts=0)
    bench.kinesis.put("shard-0", *orders(3))
    with bench.running():
        await_(lambda: len(tries) > 2)
    assert bench.checkpoint("shard-0").sequence_number is None


def test_what_expired_while_it_was_tried_is_given_up(bench: Bench) -> None:
    def refuse_old(number: int) -> None:
        if number <= 2:
            raise StoreRefused("the bucket is gone")

    bench.stored.output = FaultyStore(refuse_old)
    bench.mapping = Mapping(batch_size=3)
    bench.kinesis.put("shard-0", *orders(3), arrived_at=micros() - 25 * HOUR)
    bench.kinesis.put("shard-0", as_json(order(customer={"id": 77})))
    runner = bench.run()
    (document,) = bench.failures.objects.values()
    assert json.loads(document)["requestContext"]["condition"] == "RecordAgeExceeded"
    assert runner.status.total("given_up") == 3
    assert bench.customers() == [77]


def test_a_kill_between_store_and_checkpoint_doubles_the_same_identity_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_self: State, _checkpoint: Checkpoint) -> None:
        raise StoreUnavailable("killed")

    bench.kinesis.put("shard-0", *orders(25))
    with monkeypatch.context() as patch:
        patch.setattr(State, "save", die)
        assert bench.run().failed == {"shard-0": "shard-0: killed"}
    first = {key: bytes(body) for key, body in bench.stored.output.objects.items()}
    assert first
    bench.run()
    assert bench.customers() == list(range(1, 26))
    assert {key: bench.stored.output.objects[key] for key in first} == first


def test_where_checkpoints_cannot_be_written_the_shard_is_begun_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, left = State.save, [1, 2]

    def fail_twice(self: State, checkpoint: Checkpoint) -> None:
        if left:
            left.pop()
            raise StoreUnavailable("The disk is full.")
        save(self, checkpoint)

    bench.once = False
    bench.kinesis.put("shard-0", *orders(4))
    monkeypatch.setattr(State, "save", fail_twice)
    with bench.running():
        await_(lambda: bench.checkpoint("shard-0").sequence_number is not None)
    assert "shard-0: The disk is full. It is begun again." in bench.notices
    assert bench.customers() == list(range(1, 5))


# ------------------------------------------------------------------------------------ the state


def test_a_checkpoint_is_there_when_the_state_is_opened_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(ARN, "shard-0", "123", 456, closed=True)
    with open_state(tmp_path, IDENTITY) as state:
        assert state.checkpoint("shard-0") == Checkpoint(ARN, "shard-0")
        state.save(checkpoint)
    with open_state(tmp_path, IDENTITY) as state:
        assert state.checkpoint("shard-0") == checkpoint
        assert state.shards() == ["shard-0"]
        state.forget("shard-0")
        assert state.shards() == []


def test_files_of_others_in_the_directory_of_a_state_stay(tmp_path: Path) -> None:
    """Whoever gives --state a directory that has a `shards` of something else loses none of it."""
    others = ["shards/report.json", "shards/parquet/a.parquet", "shards/notes.txt", "mine.json"]
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"a": 1}')
    with open_state(tmp_path, IDENTITY) as state:
        state.save(Checkpoint(ARN, "shard-0", "123", 456))
        (tmp_path / "shards" / "shard-1.json").write_text('{"stream_arn": "')  # torn
    with open_state(tmp_path, IDENTITY, beginning=Beginning()) as state:
        assert state.checkpoint("shard-0") == Checkpoint(ARN, "shard-0")
        assert state.checkpoint("shard-1") == Checkpoint(ARN, "shard-1")
    assert [(tmp_path / name).read_text() for name in others] == 4 * ['{"a": 1}']


def test_a_state_is_one_runners_at_a_time(tmp_path: Path) -> None:
    with (
        open_state(tmp_path, IDENTITY),
        pytest.raises(StateRefused, match="in use by another runner"),
        open_state(tmp_path, IDENTITY),
    ):
        pass
    with open_state(tmp_path, IDENTITY):
        pass


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (StreamIdentity(f"{ARN}-2", IDENTITY.created), "not to"),
        (StreamIdentity(ARN, IDENTITY.created + 1), "created again"),
    ],
    ids=["another stream", "created again"],
)
def test_the_state_of_another_stream_is_refused(
    tmp_path: Path, other: StreamIdentity, sentence: str
) -> None:
    with open_state(tmp_path, IDENTITY):
        pass
    with pytest.raises(StateRefused, match=sentence), open_state(tmp_path, other):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"shard_id": 7}',
        f'{{"stream_arn": "{ARN}", "shard_id": "shard-1"}}',
        f'{{"stream_arn": "{ARN}", "shard_id": "shard-0", "sequence_number": "12x"}}',
    ],
    ids=["empty", "torn", "no checkpoint", "another shard's", "no number"],
)
def test_a_broken_checkpoint_stops_the_start_and_names_the_file(bench: Bench, text: str) -> None:
    bench.run()
    path = bench.directory / "shards" / "shard-0.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(StateRefused, match=r"shards/shard-0\.json"):
        bench.run()


# ----------------------------------------------------------------------------------- the reader


def reader_of(
    kinesis: FakeKinesis, notices: list[str], checkpoint: Checkpoint, now: int | None = None
) -> ShardReader:
    return ShardReader(
        kinesis, checkpoint, 24, notices.append, micros if now is None else lambda: now, QUICK
    )


def test_after_an_expired_iterator_it_reads_on_where_it_was() -> None:
    kinesis = FakeKinesis(FakeShard("shard-0"))
    kinesis.put("shard-0", b"1", b"2")
    read = reader_of(kinesis, [], Checkpoint(ARN, "shard-0"))
    assert [record.data for record in read.read()] == [b"1", b"2"]
    kinesis.put("shard-0", b"3")
    kinesis.mishap = fail_first(1, IteratorExpired("expired"), "get")
    assert read.read() == ()
    assert [record.data for record in read.read()] == [b"3"]


def test_what_expired_after_the_checkpoint_is_told_and_the_rest_is_read() -> None:
    def refuse_after(call: str, _: str) -> None:
        if call == "iterator" and not notices:
            raise ArgumentRefused("That record is gone.")

    notices: list[str] = []
    kinesis = FakeKinesis(FakeShard("shard-0"))
    kinesis.put("shard-0", b"1", b"2")
    kinesis.mishap = refuse_after
    read = reader_of(kinesis, notices, Checkpoint(ARN, "shard-0", "5", 0)).read()
    assert [record.data for record in read] == [b"1", b"2"]
    (sentence,) = notices
    assert "cannot be read on after 5: That record is gone." in sentence
    assert "it is unknown how many" in sentence


def test_a_gap_longer_than_the_retention_is_told() -> None:
    notices: list[str] = []
    kinesis = FakeKinesis(FakeShard("shard-0"))
    kinesis.put("shard-0", b"1")
    old = Checkpoint(ARN, "shard-0", "5", micros() - 25 * HOUR)
    assert len(reader_of(kinesis, notices, old).read()) == 1
    assert "24 hours ago" in notices[0]


def test_a_quiet_shard_that_was_watched_is_no_gap() -> None:
    notices: list[str] = []
    kinesis = FakeKinesis(FakeShard("shard-0"))
    now = [micros()]
    quiet = ShardReader(
        kinesis, Checkpoint(ARN, "shard-0", "5", now[0]), 24, notices.append, lambda: now[0], QUICK
    )
    for _ in range(3):
        now[0] += 20 * HOUR
        assert quiet.read() == ()
    kinesis.put("shard-0", b"1", arrived_at=now[0])
    assert len(quiet.read()) == 1
    assert notices == []


def test_it_asks_for_about_10_mb_also_where_the_service_would_give_more() -> None:
    kinesis = FakeKinesis(FakeShard("shard-0"))
    kinesis.put("shard-0", *[b"x" * 500_000] * 200)
    read = reader_of(kinesis, [], Checkpoint(ARN, "shard-0"))
    sizes = [len(read.read()) for _ in range(4)]
    assert sizes == [100, 20, 20, 20]


def test_it_asks_for_more_where_records_are_small() -> None:
    kinesis = FakeKinesis(FakeShard("shard-0"))
    kinesis.put("shard-0", *[b"x"] * 30_000)
    read = reader_of(kinesis, [], Checkpoint(ARN, "shard-0"))
    while read.read():
        pass
    assert max(kinesis.limits) == 10_000


# --------------------------------------------------------------------------------- the function


class Silent:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def stored(self, report: Report) -> None:
        self.heard.append(f"stored {report.total('rows')}")

    def failed(self, message: str) -> None:
        self.heard.append(message)


def test_the_function_returns_and_tells_as_lambda_would_see_it(bench: Bench) -> None:
    listener = Silent()
    outcome = bench.function().invoke(kinesis_event(orders(2)), listener)
    assert outcome == Returned({"batchItemFailures": []})
    assert listener.heard == ["stored 2"]


def test_what_the_handler_raises_is_a_function_error(bench: Bench) -> None:
    outcome = bench.function().invoke({"Records": []}, Silent())
    assert isinstance(outcome, Raised)
    assert outcome.error.startswith("EventError: The event holds no Kinesis records")


def test_a_batch_that_is_too_slow_is_a_function_error(bench: Bench) -> None:
    bench.stored.output = FaultyStore(lambda _: time.sleep(1))
    function = replace(bench.function(), timeout=0.2)
    listener = Silent()
    outcome = function.invoke(kinesis_event(orders(2)), listener)
    assert isinstance(outcome, Raised)
    assert outcome.error.startswith("DeadlineExceeded: ")
    assert len(listener.heard) == 1


# ------------------------------------------------------------------------------------ the screen


def a_status() -> StreamStatus:
    status = StreamStatus()
    drained = status.shard("shard-0")
    drained.rows, drained.dead_letters = 1_000, 3
    status.let_go("shard-0")
    living = status.shard("shard-1")
    living.rows, living.behind, living.doing = 234, 90_000, "storing"
    status.shard("shard-2").trouble = "[red]The bucket is gone.[/red]"
    return status


def test_the_table_shows_each_shard_and_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    with display() as screen:
        screen.notify("[bold]a sentence[/bold]")
        screen.show(a_status())
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "pipeline: [bold]a sentence[/bold]" in lines
    assert "shard-1 storing 1.5 min 0 234 0 0" in lines
    assert "shard-2 waiting ? 0 0 0 0 [red]The bucket is gone.[/red]" in lines
    assert "2 shards, 1 drained 1.5 min 0 1,234 3 0" in lines


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with display() as screen:
        screen.show(a_status())
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(screen, "_next", 0.0)
        screen.show(a_status())
    assert capsys.readouterr().err.splitlines() == [
        "pipeline: 2 shards, 1.5 min behind, 0 rows/s, 1,234 rows, 3 dead letters, 0 given up",
        "pipeline: shard-2: [red]The bucket is gone.[/red]",
    ]


def test_where_stderr_cannot_be_written_the_runner_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a log on a full disk, or a pipe whose reader has gone."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    monkeypatch.setattr(sys, "stderr", FullDisk())
    with display() as screen:
        monkeypatch.setattr(screen, "_next", 0.0)
        screen.notify("a sentence")
        screen.show(a_status())


class FullDisk(io.StringIO):
    """What nothing can be written to."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_rate_is_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("pipeline.commands.run_display.time.monotonic", lambda: clock[0])
    rates, status = run_display._Rates(), StreamStatus().shard("shard-0")
    seen = []
    for rows in (0, 50, 100, 100, 100):
        status.rows = rows
        seen.append(rates.update([status])["shard-0"])
        clock[0] += 5
    assert seen == [0.0, 10.0, 10.0, 5.0, 0.0]


def test_another_output_has_another_state_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/somebody/state")
    one, other = (_default_state(ARN, f"s3://lake/{name}") for name in "ab")
    assert one == _default_state(ARN, "s3://lake/a")
    assert one != other
    assert one.parent == Path("/home/somebody/state/kinesis-s3-pipeline")


def test_a_log_that_cannot_be_written_stops_nothing_and_is_told_once(tmp_path: Path) -> None:
    notices: list[str] = []
    with _log("/dev/full", notices.append) as write:
        write("one")
        write("two")
    assert notices == [
        "The log /dev/full cannot be written: No space left on device; lines are lost."
    ]
    with _log(str(tmp_path / "log"), notices.append) as write:
        write("three")
    assert (tmp_path / "log").read_text() == "three\n"
