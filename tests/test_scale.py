"""The model of `make simulate-scale`, held against Lambda's state machine and against the handlers."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ORDERS, ROOT, as_json, order

from benchmarks import corpora, scale
from benchmarks.scale import READ, RECORD, Work, of_files, of_shards, records_of_event
from pipeline.adapters.memory import MemoryStore
from pipeline.core.records import StreamRecord
from pipeline.esm import Invoke, Mapping, Returned, ShardMapping, Wait
from pipeline.files.blocks import blocks_of
from pipeline.measure.events import SHARD, STREAM
from pipeline.measure.invocation import invoke, make_pipeline

SECOND = 1_000_000
ARRIVED = 1_764_240_000_123_000


def simulate(records: list[bytes], work: Work, function: object = None) -> tuple[int, float]:
    """Have the state machine read one shard at 2 MB/s; return its invocations, and the seconds."""
    mapping = ShardMapping(Mapping(batch_size=10_000, window_seconds=300), STREAM, SHARD)
    read, free, invocations, number = 0.0, 0.0, 0, 0
    while number < len(records) or not mapping.is_idle:
        while number < len(records) and mapping.has_capacity:
            # What is read while the function works waits for it; no more than one event does.
            read += len(records[number]) / READ
            one = StreamRecord(str(10**55 + number), "a", ARRIVED, records[number])
            mapping.receive([one], round(read * SECOND))
            number += 1
        now = max(read, free)
        step = mapping.next(round(now * SECOND), closing=number == len(records))
        assert not isinstance(step, Wait)
        if isinstance(step, Invoke):
            if callable(function):
                function(step.event)
            invocations += 1
            free = now + work.of(sum(len(record.data) for record in step.records))
            mapping.settle(Returned({"batchItemFailures": []}), round(free * SECOND))
    return invocations, max(read, free)


@pytest.mark.parametrize("seconds_per_byte", [1e-8, 1e-7, 1e-6])
@pytest.mark.parametrize("count", [1, 91, 92, 200, 500])
def test_a_shard_takes_as_long_as_lambdas_state_machine_does(
    count: int, seconds_per_byte: float
) -> None:
    """Whichever is slower, the shard's 2 MB/s or the function, one invocation at a time."""
    work = Work(0.1, seconds_per_byte)
    records = [bytes(RECORD)] * count
    invocations, seconds = simulate(records, work)
    point = of_shards(count * RECORD, 1, work)
    assert point.invocations == invocations
    event = records_of_event() * RECORD
    # The state machine may read on for as long as an event takes to be read, or to be stored.
    assert point.seconds <= seconds * 1.001
    assert seconds <= point.seconds + max(event / READ, work.of(event))


def test_invocations_and_objects_are_those_that_the_handler_makes() -> None:
    body = as_json(order(coupon="x"))
    record = body[:-1] + b" " * (RECORD - len(body)) + body[-1:]
    counted = {}
    for count in (50, 100, 200):
        pipeline = make_pipeline([ORDERS])
        invocations, _ = simulate(
            [record] * count, Work(0.1, 1e-7), partial(invoke, pipeline=pipeline)
        )
        assert isinstance(pipeline.output, MemoryStore)
        counted[count] = (invocations, len(pipeline.output.objects))
        if count == 50:
            work = Work(0.1, 1e-7, counted[50][1])
        point = of_shards(count * RECORD, 1, work)
        assert (point.invocations, point.objects) == counted[count]
    assert counted[200][0] == 3


def test_shards_share_a_backlog_and_a_file_is_as_many_blocks_as_are_cut() -> None:
    one, ten = (of_shards(1e10, shards, Work(0.1, 1e-8)) for shards in (1, 10))
    assert ten.seconds == pytest.approx(one.seconds / 10, rel=0.01)
    assert ten.dollars == pytest.approx(one.dollars, rel=0.01)
    line = json.dumps({"x": "y" * 99_990}).encode() + b"\n"
    for count in (1, 84, 200):
        file = line * count
        found = list(blocks_of(io.BytesIO(file), "x"))
        point = of_files([len(file)], 1, Work(0.1, 0.0, objects=1))
        assert point.objects == 2 * len(found)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=40), st.integers(1, 12), st.integers(1, 9)
)
def test_files_are_never_done_sooner_than_they_can_be_nor_later_than_a_greedy_taker(
    sizes: list[int], at_once: int, objects: int
) -> None:
    """Graham's bounds of list scheduling, and nothing is billed that is not worked."""
    work = Work(0.25, 1e-8, objects)
    alone = [of_files([size], 1, work).seconds for size in sizes]
    point = of_files(sizes, at_once, work)
    assert point.billed == pytest.approx(sum(alone))
    workers = min(at_once, len(sizes))
    least = max(sum(alone) / workers, *alone)
    assert least * 0.999 <= point.seconds <= (sum(alone) / workers + max(alone)) * 1.001
    assert point.invocations >= len(sizes)
    assert point.objects == sum(of_files([size], 1, work).objects for size in sizes)


def test_a_file_that_an_invocation_cannot_finish_takes_several() -> None:
    assert of_files([1e9], 1, Work(0.0, 1e-6)).invocations == 5  # 1,000 s, of 225 s each


def test_the_command_prints_both_tables_and_writes_plots_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "measured", lambda: Work(0.1, 6e-8))
    monkeypatch.setattr(scale, "FILES", (1, 10, 100))
    assert scale.main(["--gigabytes", "10", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "Measured here, now: 100 ms an invocation and 60.0 ms a MB, so 380 ms for a full event of "
        "4.7 MB. All else is the model.\n"
    )
    assert "| 1,000 |" in said.replace("  ", " ")
    for name in ("shards.svg", "files.svg"):
        lines = ET.parse(tmp_path / name).getroot().findall("{*}polyline")
        assert lines
        assert all(len(line.attrib["points"].split()) >= 3 for line in lines)


def test_the_tables_of_the_page_are_the_models() -> None:
    page = (ROOT / "docs" / "scale.md").read_text("utf-8")
    work = Work(0.131, 61e-9)
    for row in (*scale.shard_rows(1e12, work), *scale.file_rows(64e6, work)[:5]):
        assert f"| {' | '.join(row)} |\n" in page


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "1e9", "x"])
def test_a_backlog_that_is_none_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scale.main([f"--gigabytes={wrong}"])
    assert "--gigabytes" in capsys.readouterr().err


def test_what_is_measured_is_a_time_for_an_event_and_its_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = corpora.make
    monkeypatch.setattr(scale, "make", lambda name, size: make(name, size / 5))
    found = scale.measured(1)
    assert found.of(1e6) > 0
    assert found.objects >= 1
