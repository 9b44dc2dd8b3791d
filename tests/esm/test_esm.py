"""Lambda's event source mapping: each rule of it, and what holds whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support import ARN, SHARD, sequence_number

from pipeline.core.errors import EventError, SettingsError
from pipeline.core.events import kinesis_event, read_failed_batch, read_kinesis_event
from pipeline.core.records import StreamRecord
from pipeline.esm import (
    FailedBatch,
    Invoke,
    Mapping,
    Outcome,
    Raised,
    Returned,
    Settled,
    ShardMapping,
    Throttled,
    Wait,
    buffer,
)
from pipeline.esm.event import EVENT_BYTES, event_size, text_size

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000
NOW = 1_795_426_200_250_000  # 2026-11-23T09:30:00.25Z
NOTHING = Settled(None, ())


def record(number: int, data: bytes = b"{}", age: float = 0.0) -> StreamRecord:
    """The n-th record of the shard, which arrived so many seconds before NOW."""
    return StreamRecord(sequence_number(number), "a", NOW - round(age * SECOND), data)


def records(*numbers: int) -> list[StreamRecord]:
    return [record(number) for number in numbers]


def numbers_of(some: tuple[StreamRecord, ...]) -> list[int]:
    return [int(each.sequence_number) - int(sequence_number(0)) for each in some]


def shard_of(count: int, **settings: Any) -> ShardMapping:
    """A shard with records 0 to count - 1 received at NOW."""
    shard = ShardMapping(Mapping(**settings), ARN, SHARD)
    shard.receive(records(*range(count)), NOW)
    return shard


def invoked(shard: ShardMapping, now: int = NOW, *, closing: bool = True) -> Invoke:
    todo = shard.next(now, closing=closing)
    assert isinstance(todo, Invoke)
    return todo


def again(*numbers: int) -> Returned:
    """The answer of a function that names these records."""
    items = [{"itemIdentifier": sequence_number(number)} for number in numbers]
    return Returned({"batchItemFailures": items})


def item(value: Any, key: str = "itemIdentifier") -> Returned:
    return Returned({"batchItemFailures": [{key: value}]})


def deliveries(shard: ShardMapping, outcome: Callable[[list[int]], Outcome]) -> list[list[Any]]:
    """Let a shard come to its end; return what was delivered, and after an "x" what was given up.

    `outcome` says of a delivery how it ends.
    """
    now = NOW
    log: list[list[Any]] = []
    while not isinstance(todo := shard.next(now, closing=True), Wait) or todo.until is not None:
        if isinstance(todo, Wait):
            assert todo.until is not None
            now = todo.until
            continue
        settled = todo
        if isinstance(todo, Invoke):
            log.append(numbers_of(todo.records))
            settled = shard.settle(outcome(log[-1]), now)
        assert isinstance(settled, Settled)
        log += [["x", *numbers_of(failed.records)] for failed in settled.failures]
        assert len(log) < 1_000
    assert shard.is_idle
    return log


# ----------------------------------------------------------------------------------- settings


def test_the_defaults_are_lambdas() -> None:
    assert Mapping() == Mapping(100, 0, -1, -1, bisect=False, report_failures=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 1},
        {"batch_size": 10_000},
        {"window_seconds": 300},
        {"retry_attempts": 0},
        {"retry_attempts": 10_000},
        {"record_age_seconds": 60},
        {"record_age_seconds": 604_800},
    ],
    ids=str,
)
def test_settings_within_lambdas_bounds_are_taken(settings: dict[str, Any]) -> None:
    assert Mapping(**settings) != Mapping()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 10_001),
        ("batch_size", True),
        ("window_seconds", -1),
        ("window_seconds", 301),
        ("window_seconds", 0.5),
        ("retry_attempts", -2),
        ("retry_attempts", 10_001),
        ("record_age_seconds", -2),
        ("record_age_seconds", 0),
        ("record_age_seconds", 59),
        ("record_age_seconds", 604_801),
    ],
)
def test_settings_out_of_lambdas_bounds_are_refused_in_a_sentence(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is {value!r}; Lambda accepts .*\.$"):
        Mapping(**{name: value})


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        Mapping(batch_size=0, window_seconds=-1, retry_attempts=-2, record_age_seconds=1)
    assert [line.partition(" ")[0] for line in str(refusal.value).splitlines()] == [
        "batch_size",
        "window_seconds",
        "retry_attempts",
        "record_age_seconds",
    ]


# --------------------------------------------------------------------------------- the events

SOME_RECORDS = st.builds(
    StreamRecord,
    st.just("0"),
    st.none() | st.text(min_size=1),
    st.integers(0, 4_102_444_800_000_000),
    st.binary(max_size=300),
)


@given(st.lists(SOME_RECORDS, min_size=1, max_size=5))
def test_the_size_of_an_event_is_known_before_it_is_made(some: list[StreamRecord]) -> None:
    event = kinesis_event(some, ARN, SHARD)
    size = event_size(text_size(each, ARN, SHARD) for each in some)
    assert size == len(json.dumps(event).encode())
    shortest = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    assert size >= len(shortest.encode("utf-8", "surrogatepass"))


# ----------------------------------------------------------------------- how a batch comes about


@pytest.mark.parametrize(
    ("buffered", "settings", "seconds", "closing", "expected"),
    [
        (0, {}, 0, False, Wait(None)),
        (0, {}, 0, True, Wait(None)),
        (1, {}, 0, False, [0]),
        (3, {"batch_size": 3, "window_seconds": 9}, 0, False, [0, 1, 2]),
        (5, {"batch_size": 3, "window_seconds": 9}, 0, False, [0, 1, 2]),
        (2, {"batch_size": 3, "window_seconds": 9}, 0, False, Wait(NOW + 9 * SECOND)),
        (2, {"batch_size": 3, "window_seconds": 9}, 8.999999, False, Wait(NOW + 9 * SECOND)),
        (2, {"batch_size": 3, "window_seconds": 9}, 9, False, [0, 1]),
        (2, {"batch_size": 3, "window_seconds": 9}, 0, True, [0, 1]),
    ],
)
def test_a_batch_is_cut_when_it_is_full_or_its_window_ends(
    buffered: int, settings: dict[str, Any], seconds: float, closing: bool, expected: Any
) -> None:
    todo = shard_of(buffered, **settings).next(NOW + round(seconds * SECOND), closing=closing)
    assert (numbers_of(todo.records) if isinstance(todo, Invoke) else todo) == expected


def test_the_window_begins_with_the_first_record_that_is_left() -> None:
    shard = shard_of(1, batch_size=2, window_seconds=10)
    shard.receive(records(1, 2), NOW + 4 * SECOND)
    assert numbers_of(invoked(shard, NOW + 4 * SECOND, closing=False).records) == [0, 1]
    shard.settle(Returned(None), NOW + 5 * SECOND)
    assert shard.next(NOW + 5 * SECOND) == Wait(NOW + 14 * SECOND)


def test_what_is_left_of_a_batch_does_not_wait_for_the_window() -> None:
    shard = shard_of(3, window_seconds=300)
    invoked(shard)
    shard.settle(again(1), NOW)
    assert numbers_of(invoked(shard, closing=False).records) == [1, 2]


def padded(number: int, size: int) -> StreamRecord:
    """A record that takes so many bytes in an event's text, or up to three less."""
    empty = text_size(record(number, b""), ARN, SHARD)
    return record(number, bytes((size - empty) // 4 * 3))


@pytest.mark.parametrize(
    ("sizes", "cuts"),
    [
        ([EVENT_BYTES // 2, EVENT_BYTES // 2 - 100], [[0, 1]]),
        ([EVENT_BYTES // 2, EVENT_BYTES // 2 + 100], [[0], [1]]),
        ([2_000_000] * 4, [[0, 1, 2], [3]]),
        ([1_000, EVENT_BYTES - 500, 1_000], [[0], [1], [2]]),
        ([1_000, EVENT_BYTES + 100, 1_000], [[0], ["x", 1], [2]]),
        ([EVENT_BYTES + 100] * 2, [["x", 0], ["x", 1]]),
    ],
)
def test_a_batch_is_cut_at_6_mb_of_event_text(sizes: list[int], cuts: list[list[int]]) -> None:
    shard = ShardMapping(Mapping(), ARN, SHARD)
    shard.receive([padded(number, size) for number, size in enumerate(sizes)], NOW)
    assert deliveries(shard, lambda _: Returned(None)) == cuts


def test_a_batch_that_reaches_6_mb_does_not_wait_for_the_window() -> None:
    shard = ShardMapping(Mapping(window_seconds=300), ARN, SHARD)
    shard.receive([padded(0, EVENT_BYTES - 2_000)], NOW)
    assert isinstance(shard.next(NOW), Wait)
    shard.receive([padded(1, 3_000)], NOW)
    todo = invoked(shard, closing=False)
    assert numbers_of(todo.records) == [0]
    assert len(json.dumps(todo.event)) <= EVENT_BYTES


def test_a_record_that_no_event_holds_is_given_up_without_an_invocation() -> None:
    shard = ShardMapping(Mapping(window_seconds=300), ARN, SHARD)
    too_large = padded(0, EVENT_BYTES + 100)
    shard.receive([too_large, record(1)], NOW)
    failed = FailedBatch("RetryAttemptsExhausted", (too_large,), 0, None, ARN, SHARD)
    assert shard.next(NOW) == Settled(sequence_number(0), (failed,))
    assert numbers_of(invoked(shard).records) == [1]


def test_there_is_room_for_less_than_a_full_batch() -> None:
    shard = shard_of(1, batch_size=2, window_seconds=300)
    room = [shard.has_capacity]
    shard.receive(records(1), NOW)
    room.append(shard.has_capacity)
    invoked(shard)
    room.append(shard.has_capacity)
    shard.receive([padded(2, EVENT_BYTES + 100)], NOW)
    room.append(shard.has_capacity)
    assert room == [True, False, True, False]


@pytest.mark.parametrize("way", ["delivered", "dropped by the stream"])
def test_bytes_that_left_the_buffer_make_room_again(way: str) -> None:
    shard = ShardMapping(Mapping(window_seconds=300), ARN, SHARD)
    shard.receive([padded(0, EVENT_BYTES // 2), padded(1, EVENT_BYTES // 2 + 100)], NOW)
    if way == "delivered":
        invoked(shard)
        shard.settle(Returned(None), NOW)
    else:
        shard.expired(sequence_number(1))
    assert shard.has_capacity
    assert shard.next(NOW) == Wait(NOW + 300 * SECOND)


# ------------------------------------------------------------------------------ what is received


@pytest.mark.parametrize(
    ("checkpoint", "received", "delivered"),
    [
        (None, [[0, 1], [0, 1, 2]], [0, 1, 2]),
        (None, [[0, 1], [1]], [0, 1]),
        (1, [[0, 1, 2]], [2]),
        (1, [[0, 1]], None),
    ],
)
def test_records_before_the_checkpoint_or_received_before_are_ignored(
    checkpoint: int | None, received: list[list[int]], delivered: list[int] | None
) -> None:
    start = None if checkpoint is None else sequence_number(checkpoint)
    shard = ShardMapping(Mapping(), ARN, SHARD, start)
    for some in received:
        shard.receive(records(*some), NOW)
    todo = shard.next(NOW)
    assert (numbers_of(todo.records) if isinstance(todo, Invoke) else None) == delivered
    assert shard.is_idle == (delivered is None)


def test_a_record_in_flight_is_not_taken_again() -> None:
    shard = shard_of(2)
    invoked(shard)
    shard.receive(records(0, 1), NOW)
    assert shard.settle(Returned(None), NOW).checkpoint == sequence_number(1)
    assert shard.is_idle


def test_sequence_numbers_are_compared_as_integers() -> None:
    """As text, "10" would come before "9"."""
    shard = ShardMapping(Mapping(), ARN, SHARD, "8")
    shard.receive(
        [msgspec.structs.replace(record(0), sequence_number=number) for number in ("9", "10")], NOW
    )
    invoked(shard)
    lowest = [{"itemIdentifier": number} for number in ("10", "9")]
    assert shard.settle(Returned({"batchItemFailures": lowest}), NOW) == NOTHING
    invoked(shard, NOW + SECOND)
    assert shard.settle(item("10"), NOW + SECOND).checkpoint == "9"


@pytest.mark.parametrize("numbers", [[1, 0], [0, 0]])
def test_records_out_of_order_are_refused(numbers: list[int]) -> None:
    shard = ShardMapping(Mapping(), ARN, SHARD)
    with pytest.raises(EventError, match=r"does not follow the record before it .*\.$"):
        shard.receive(records(*numbers), NOW)


def test_one_invocation_is_settled_before_the_next_thing() -> None:
    shard = shard_of(2, batch_size=1)
    with pytest.raises(RuntimeError, match="no invocation to settle"):
        shard.settle(Returned(None), NOW)
    invoked(shard)
    with pytest.raises(RuntimeError, match="under way"):
        shard.next(NOW)
    shard.settle(Returned(None), NOW)
    with pytest.raises(RuntimeError, match="no invocation to settle"):
        shard.settle(Returned(None), NOW)


# --------------------------------------------------------------------------- the table of outcomes

DONE = (2, None, 0)
ALL_AGAIN = (None, [0, 1, 2], 2)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Returned({"batchItemFailures": []}), DONE),
        (Returned({"batchItemFailures": None}), DONE),
        (Returned({}), DONE),
        (Returned({"statusCode": 200}), DONE),
        (Returned(None), DONE),
        (Returned(""), DONE),
        (Returned([]), DONE),
        (again(1), (0, [1, 2], 1)),
        (again(2), (1, [2], 1)),
        (again(2, 1), (0, [1, 2], 1)),
        (again(1, 1), (0, [1, 2], 1)),
        (again(0), ALL_AGAIN),
        (again(2, 0), ALL_AGAIN),
        (again(7), ALL_AGAIN),
        (again(2, 7), ALL_AGAIN),
        (item(""), ALL_AGAIN),
        (item(None), ALL_AGAIN),
        (item(int(sequence_number(1))), ALL_AGAIN),
        (item([]), ALL_AGAIN),
        (item(sequence_number(1), key="id"), ALL_AGAIN),
        (Returned({"batchItemFailures": [sequence_number(1)]}), ALL_AGAIN),
        (Returned({"batchItemFailures": [None]}), ALL_AGAIN),
        (Returned({"batchItemFailures": sequence_number(1)}), ALL_AGAIN),
        (Returned({"batchItemFailures": {}}), ALL_AGAIN),
        (Returned("done"), ALL_AGAIN),
        (Returned(value=False), ALL_AGAIN),
        (Returned(0), ALL_AGAIN),
        (Returned([{"itemIdentifier": sequence_number(1)}]), ALL_AGAIN),
        (Raised("Unhandled"), ALL_AGAIN),
        (Throttled(), (None, [0, 1, 2], 1)),
    ],
    ids=repr,
)
def test_an_outcome_means_what_lambda_takes_it_for(
    outcome: Outcome, expected: tuple[int | None, list[int] | None, int]
) -> None:
    """The checkpoint, the records delivered again, and the number of that attempt."""
    checkpoint, delivered, attempt = expected
    shard = shard_of(3)
    assert invoked(shard).attempt == 1
    settled = shard.settle(outcome, NOW)
    moved = None if checkpoint is None else sequence_number(checkpoint)
    assert settled == Settled(moved, ())
    assert shard.checkpoint == moved
    assert shard.is_idle == (delivered is None)
    if delivered is not None:
        todo = invoked(shard, NOW + SECOND)
        assert (numbers_of(todo.records), todo.attempt) == (delivered, attempt)
        assert read_kinesis_event(todo.event).records == todo.records


@pytest.mark.parametrize("outcome", [again(0), again(1), item(None), Returned("x")], ids=repr)
def test_without_reported_failures_any_answer_counts_as_done(outcome: Outcome) -> None:
    shard = shard_of(3, report_failures=False)
    invoked(shard)
    assert shard.settle(outcome, NOW) == Settled(sequence_number(2), ())


# ------------------------------------------------------------------------------ retries, back-off


@pytest.mark.parametrize("outcome", [Raised("Unhandled"), again(0), item("")], ids=repr)
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_n_retries_are_n_plus_1_invocations(outcome: Outcome, retries: int) -> None:
    shard = shard_of(2, retry_attempts=retries)
    now = NOW
    for attempt in range(1, retries + 2):
        todo = invoked(shard, now)
        assert (numbers_of(todo.records), todo.attempt) == ([0, 1], attempt)
        settled = shard.settle(outcome, now)
        now += 30 * SECOND
    error = outcome.error if isinstance(outcome, Raised) else None
    assert settled.checkpoint == sequence_number(1)
    assert settled.failures == (
        FailedBatch("RetryAttemptsExhausted", todo.records, retries + 1, error, ARN, SHARD),
    )
    assert shard.is_idle


def test_after_progress_retries_count_anew_as_aws_was_seen_to_do() -> None:
    """Recorded of AWS: 3 retries, a batch size of 3, and the last of 6 records fails for ever."""
    shard = shard_of(6, batch_size=3, retry_attempts=3)
    log = deliveries(shard, lambda batch: again(5) if 5 in batch else Returned(None))
    assert log == [[0, 1, 2], [3, 4, 5], [5], [5], [5], [5], ["x", 5]]


@pytest.mark.parametrize("outcome", [Raised("Unhandled"), Throttled()], ids=repr)
def test_a_batch_tried_again_waits_twice_as_long_each_time_up_to_30_s(outcome: Outcome) -> None:
    shard, now, waits = shard_of(1), NOW, []
    for _ in range(7):
        invoked(shard, now)
        shard.settle(outcome, now)
        todo = shard.next(now, closing=True)
        assert isinstance(todo, Wait)
        assert todo.until is not None
        assert isinstance(shard.next(todo.until - 1), Wait)
        waits.append((todo.until - now) // SECOND)
        now = todo.until
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_throttles_use_up_no_retry() -> None:
    shard, now = shard_of(1, retry_attempts=0), NOW
    for _ in range(100):
        assert invoked(shard, now).attempt == 1
        assert shard.settle(Throttled(), now) == NOTHING
        now += 30 * SECOND
    invoked(shard, now)
    assert len(shard.settle(Raised("Unhandled"), now).failures) == 1


# ---------------------------------------------------------------------------------------- bisect


@pytest.mark.parametrize(
    ("count", "poison", "retries", "log"),
    [
        (1, {0}, 0, [[0], ["x", 0]]),
        (2, {0}, 0, [[0, 1], [0], ["x", 0], [1]]),
        (2, {1}, 0, [[0, 1], [0], [1], ["x", 1]]),
        (3, {2}, 0, [[0, 1, 2], [0], [1, 2], [1], [2], ["x", 2]]),
        (4, {1}, 0, [[0, 1, 2, 3], [0, 1], [0], [1], ["x", 1], [2, 3]]),
        (4, {0, 3}, 0, [[0, 1, 2, 3], [0, 1], [0], ["x", 0], [1], [2, 3], [2], [3], ["x", 3]]),
        (2, {1}, 2, [[0, 1], [0], [1], [1], [1], ["x", 1]]),
    ],
)
def test_a_failed_batch_is_delivered_in_halves_in_order(
    count: int, poison: set[int], retries: int, log: list[Any]
) -> None:
    """A bisect uses up no retry: with none, the halves are delivered all the same."""
    shard = shard_of(count, bisect=True, retry_attempts=retries)

    def outcome(batch: list[int]) -> Outcome:
        return Raised("Unhandled") if poison & set(batch) else Returned(None)

    assert deliveries(shard, outcome) == log


def test_the_second_half_waits_until_the_first_is_done() -> None:
    shard = shard_of(4, bisect=True)
    invoked(shard)
    assert shard.settle(Raised("Unhandled"), NOW) == NOTHING
    assert numbers_of(invoked(shard).records) == [0, 1]
    shard.settle(Throttled(), NOW)
    assert shard.next(NOW) == Wait(NOW + SECOND)
    assert numbers_of(invoked(shard, NOW + SECOND).records) == [0, 1]
    assert shard.settle(Returned(None), NOW + SECOND).checkpoint == sequence_number(1)
    assert numbers_of(invoked(shard, NOW + SECOND).records) == [2, 3]


@pytest.mark.parametrize(
    ("answer", "log"),
    [
        (again(3), [[0, 1, 2, 3], [3]]),
        (again(1), [[0, 1, 2, 3], [1, 2, 3]]),
        (again(0), [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (item(""), [[0, 1, 2, 3], [0, 1, 2, 3]]),
    ],
    ids=repr,
)
def test_an_answer_splits_at_the_returned_number_and_not_in_halves(
    answer: Returned, log: list[list[int]]
) -> None:
    answers = [answer, Returned(None)]
    assert deliveries(shard_of(4, bisect=True), lambda _: answers.pop(0)) == log


# ------------------------------------------------------------------------------------------- age


@pytest.mark.parametrize(
    ("ages", "log"),
    [
        ([60.0, 0.0], [[0, 1]]),
        ([60.000001, 0.0], [["x", 0], [1]]),
        ([90.0, 80.0, 0.0], [["x", 0, 1], [2]]),
        ([90.0, 80.0], [["x", 0, 1]]),
        # Arrival is approximate: a record may seem older than the one before it.
        ([0.0, 90.0, 0.0], [["x", 1], [0, 2]]),
        ([90.0, 0.0, 90.0], [["x", 0], ["x", 2], [1]]),
    ],
)
def test_records_that_are_too_old_are_given_up_and_the_rest_goes_on(
    ages: list[float], log: list[Any]
) -> None:
    shard = ShardMapping(Mapping(record_age_seconds=60), ARN, SHARD)
    shard.receive([record(number, age=age) for number, age in enumerate(ages)], NOW)
    assert deliveries(shard, lambda _: Returned(None)) == log
    assert shard.checkpoint == sequence_number(len(ages) - 1)


@pytest.mark.parametrize(("outcome", "attempts"), [(Raised("Unhandled"), 6), (Throttled(), 0)])
def test_what_is_tried_without_end_ends_by_age(outcome: Outcome, attempts: int) -> None:
    shard, now = shard_of(2, record_age_seconds=60), NOW
    while not isinstance(todo := shard.next(now), Settled):
        if isinstance(todo, Invoke):
            shard.settle(outcome, now)
        else:
            assert todo.until is not None
            now = todo.until
    assert now == NOW + 61 * SECOND
    failed = FailedBatch("RecordAgeExceeded", tuple(records(0, 1)), attempts, None, ARN, SHARD)
    assert todo == Settled(sequence_number(1), (failed,))


def test_a_checkpoint_waits_for_the_record_before_one_that_was_too_old() -> None:
    shard = ShardMapping(Mapping(record_age_seconds=60), ARN, SHARD)
    shard.receive([record(0), record(1, age=90.0)], NOW)
    settled = shard.next(NOW)
    assert isinstance(settled, Settled)
    assert (settled.checkpoint, len(settled.failures)) == (None, 1)
    invoked(shard)
    assert shard.settle(Returned(None), NOW).checkpoint == sequence_number(1)


@pytest.mark.parametrize(
    ("before", "given_up", "left"),
    [
        (0, [], [[0, 1], [2, 3], [4]]),
        (1, [[0]], [[1], [2, 3], [4]]),
        (3, [[0, 1], [2]], [[3], [4]]),
        (5, [[0, 1], [2, 3], [4]], []),
    ],
)
def test_records_that_the_stream_dropped_are_given_up(
    before: int, given_up: list[list[int]], left: list[list[int]]
) -> None:
    shard = shard_of(4, batch_size=4, bisect=True)
    invoked(shard)
    shard.settle(Raised("Unhandled"), NOW)
    shard.receive(records(4), NOW)
    settled = shard.expired(sequence_number(before))
    assert [numbers_of(failed.records) for failed in settled.failures] == given_up
    assert {failed.condition for failed in settled.failures} <= {"RecordAgeExceeded"}
    assert settled.checkpoint == (sequence_number(before - 1) if before else None)
    assert deliveries(shard, lambda _: Returned(None)) == left


def test_an_invocation_under_way_may_still_save_what_the_stream_dropped() -> None:
    shard = shard_of(3, batch_size=2)
    invoked(shard)
    settled = shard.expired(sequence_number(3))
    assert [numbers_of(failed.records) for failed in settled.failures] == [[2]]
    assert settled.checkpoint is None
    assert shard.settle(Returned(None), NOW) == Settled(sequence_number(2), ())


# ------------------------------------------------------------------------------ failure documents

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:pipeline"
FAILED = FailedBatch(
    "RetryAttemptsExhausted",
    (record(3, b"\xff", age=1.0), record(5)),
    4,
    "Unhandled",
    ARN,
    SHARD,
)
METADATA: dict[str, Any] = {
    "requestContext": {
        "requestId": "8f507cfc",
        "functionArn": FUNCTION,
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 4,
    },
    "responseContext": {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    },
    "version": "1.0",
    "timestamp": "2026-11-23T09:30:00.250Z",
    "KinesisBatchInfo": {
        "shardId": SHARD,
        "startSequenceNumber": sequence_number(3),
        "endSequenceNumber": sequence_number(5),
        "approximateArrivalOfFirstRecord": "2026-11-23T09:29:59.250Z",
        "approximateArrivalOfLastRecord": "2026-11-23T09:30:00.250Z",
        "batchSize": 2,
        "streamArn": ARN,
    },
}


def test_the_metadata_have_the_fields_of_lambdas() -> None:
    assert FAILED.metadata("8f507cfc", FUNCTION, NOW) == METADATA


def test_an_answer_that_did_not_accept_the_batch_is_no_function_error() -> None:
    metadata = replace(FAILED, function_error=None).metadata("8f507cfc", FUNCTION, NOW)
    response = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}
    assert metadata == {**METADATA, "responseContext": response}


@pytest.mark.parametrize(("attempts", "count"), [(0, 1), (1, 1), (8, 8)])
def test_what_was_too_old_has_no_response(attempts: int, count: int) -> None:
    failed = replace(FAILED, condition="RecordAgeExceeded", attempts=attempts, function_error=None)
    metadata = failed.metadata("8f507cfc", FUNCTION, NOW)
    assert metadata.keys() == METADATA.keys() - {"responseContext"}
    assert metadata["requestContext"]["condition"] == "RecordAgeExceeded"
    assert metadata["requestContext"]["approximateInvokeCount"] == count


def test_the_document_in_s3_also_holds_the_whole_event() -> None:
    document = FAILED.document("8f507cfc", FUNCTION, NOW)
    assert document == {**METADATA, "payload": kinesis_event(FAILED.records, ARN, SHARD)}
    assert read_failed_batch(json.dumps(document).encode(), "it").records == FAILED.records


def test_the_key_in_s3_is_lambdas() -> None:
    assert FAILED.key("6b1d", NOW, "4f0e") == (
        f"aws/lambda/6b1d/{SHARD}/2026/11/23/2026-11-23T09.30.00-4f0e"
    )


# ----------------------------------------------------------------------- what holds whatever happens

MAPPINGS = st.builds(
    Mapping,
    batch_size=st.integers(1, 6),
    window_seconds=st.sampled_from([0, 3]),
    retry_attempts=st.sampled_from([0, 1, 3]),
    record_age_seconds=st.sampled_from([-1, 60]),
    bisect=st.booleans(),
    report_failures=st.booleans(),
)
SMALL_EVENT = 3_000  # bytes: four of the smallest records, or one of 1,700 bytes
OUTCOMES = st.sampled_from(["done", "some", "unmeant", "raised", "throttled"])


class Shard(RuleBasedStateMachine):
    """A shard through any history, beside a model that knows only what became of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = mock.patch.object(buffer, "EVENT_BYTES", SMALL_EVENT)
        self.patch.start()
        self.now = NOW
        self.shard: ShardMapping | None = None
        self.received: list[int] = []
        self.delivered: set[int] = set()
        self.given_up: set[int] = set()

    @precondition(lambda self: self.shard is None)
    @rule(mapping=MAPPINGS)
    def start(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.shard = ShardMapping(mapping, ARN, SHARD)

    @precondition(lambda self: self.shard is not None)
    @rule(
        sizes=st.lists(st.sampled_from([0, 300, 1_700, 2_500]), max_size=8),
        late=st.sampled_from([0.0, 0.0, 0.0, 50.0, 90.0]),
        overlap=st.integers(0, 2),
    )
    def receive(self, sizes: list[int], late: float, overlap: int) -> None:
        assert self.shard is not None
        known = records(*self.received[len(self.received) - overlap :]) if self.received else []
        age = late - (self.now - NOW) / SECOND
        start = len(self.received)
        new = [record(start + index, bytes(size), age) for index, size in enumerate(sizes)]
        self.received += range(start, start + len(new))
        self.shard.receive(known[:overlap] + new, self.now)

    @rule(seconds=st.sampled_from([0.5, 2.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    @precondition(lambda self: self.received)
    @rule(data=st.data())
    def the_stream_drops_records(self, data: st.DataObject) -> None:
        assert self.shard is not None
        before = data.draw(st.integers(0, len(self.received)))
        self.account(self.shard.expired(sequence_number(before)))

    @precondition(lambda self: self.shard is not None)
    @rule(kind=OUTCOMES, data=st.data())
    def step(self, kind: str, data: st.DataObject) -> None:
        assert self.shard is not None
        todo = self.shard.next(self.now)
        if isinstance(todo, Invoke):
            self.judge(todo)
            index = data.draw(st.integers(0, len(todo.records) - 1)) if kind == "some" else 0
            self.settle(todo, kind, index)
        elif isinstance(todo, Settled):
            assert todo.failures
            self.account(todo)
        else:
            assert todo.until is None or todo.until > self.now

    def judge(self, todo: Invoke) -> None:
        """Order within the shard, and the bounds of a batch."""
        numbers = numbers_of(todo.records)
        settled = self.delivered | self.given_up
        assert numbers == [n for n in range(numbers[0], numbers[-1] + 1) if n not in settled]
        assert settled >= set(range(numbers[0]))
        assert len(numbers) <= self.mapping.batch_size
        assert len(json.dumps(todo.event)) <= SMALL_EVENT
        assert 1 <= todo.attempt <= self.mapping.retry_attempts + 1
        assert read_kinesis_event(todo.event).records == todo.records

    def settle(self, todo: Invoke, kind: str, index: int) -> None:
        assert self.shard is not None
        numbers = numbers_of(todo.records)
        outcomes: dict[str, Outcome] = {
            "done": Returned({"batchItemFailures": []}),
            "some": again(numbers[index]),
            "unmeant": item(""),
            "raised": Raised("Unhandled"),
            "throttled": Throttled(),
        }
        outcome = outcomes[kind]
        if kind == "done" or (not self.mapping.report_failures and isinstance(outcome, Returned)):
            self.delivered |= set(numbers)
        elif kind == "some":
            self.delivered |= set(numbers[:index])
        self.account(self.shard.settle(outcome, self.now))

    def account(self, settled: Settled) -> None:
        for failed in settled.failures:
            numbers = set(numbers_of(failed.records))
            assert not numbers & (self.delivered | self.given_up)
            self.given_up |= numbers
            document = json.dumps(failed.document("r", FUNCTION, self.now)).encode()
            assert read_failed_batch(document, "it").records == failed.records
        assert self.shard is not None
        assert settled.checkpoint in {None, self.shard.checkpoint}

    @precondition(lambda self: self.shard is not None)
    @invariant()
    def the_checkpoint_is_the_end_of_what_is_settled_without_a_gap(self) -> None:
        """It passes no undelivered record, and it falls behind none."""
        assert self.shard is not None
        settled = self.delivered | self.given_up
        first_open = next((n for n in self.received if n not in settled), len(self.received))
        expected = sequence_number(first_open - 1) if first_open else None
        assert self.shard.checkpoint == expected

    def teardown(self) -> None:
        """With retries bounded, every record comes to an end though every invocation fails."""
        if self.shard is not None:
            self.finish(self.shard)
            assert self.delivered | self.given_up == set(self.received)
            assert not self.delivered & self.given_up
            assert self.shard.is_idle
        self.patch.stop()

    def finish(self, shard: ShardMapping) -> None:
        # A batch of n records is bisected to no more than 2n - 1, each invoked and waited for.
        for _ in range(2 * len(self.received) * 2 * (self.mapping.retry_attempts + 1) + 1):
            todo = shard.next(self.now, closing=True)
            if isinstance(todo, Invoke):
                self.judge(todo)
                self.settle(todo, "raised", 0)
            elif isinstance(todo, Settled):
                self.account(todo)
            elif todo.until is not None:
                self.now = todo.until
            self.the_checkpoint_is_the_end_of_what_is_settled_without_a_gap()


TestAnyHistory = Shard.TestCase
