"""Retries end in time, and the writer of a batch never returns before its objects are stored."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.retry import Retry, RetryingStore, RetryPolicy, StoreHealth
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.writer import CONCURRENCY, ConcurrentWriter
from pipeline.core.errors import (
    DeadlineExceeded,
    NoTimeToRetry,
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreThrottled,
    StoreUnavailable,
)
from pipeline.core.records import Limits

SLOW_DOWN = StoreUnavailable("The store is busy; try again later.")
FORBIDDEN = StoreRefused("The store says no; grant the permission.")


class FlakyStore(MemoryStore):
    """A store that raises the errors it was given, one for each call, before it works."""

    def __init__(self, *errors: StoreError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.calls = 0

    def _fail(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    def put(self, key: str, body: bytes) -> None:
        self._fail()
        super().put(key, body)

    def get(self, key: str) -> bytes:
        self._fail()
        return super().get(key)

    def delete(self, key: str) -> None:
        self._fail()
        super().delete(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Fail at the first step, or after two keys."""
        self.calls += 1
        for number, key in enumerate(super().list(prefix)):
            if self.errors and number == self.calls % 3:
                raise self.errors.pop(0)
            yield key


@dataclass
class Time:
    """A clock that only sleeping moves."""

    deadline: float
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def remaining(self) -> float:
        return self.deadline - self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def wrap(
        self, inner: ObjectStore, *, jitter: Callable[[], float] = lambda: 0.999
    ) -> RetryingStore:
        policy = RetryPolicy(sleep=self.sleep, jitter=jitter, clock=lambda: self.now)
        return RetryingStore(inner, self.remaining, policy)


OPERATIONS: list[Callable[[ObjectStore], object]] = [
    lambda store: store.put("b", b"2"),
    lambda store: store.get("a"),
    lambda store: store.delete("a"),
    lambda store: list(store.list()),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_outlives_a_short_outage(
    operation: Callable[[ObjectStore], object],
) -> None:
    """Errors that end in time leave no trace but the count of retries and the waiting."""
    inner = FlakyStore()
    inner.objects.update(a=b"1", c=b"3", d=b"4")
    expected = operation(inner)
    inner.errors = [SLOW_DOWN] * 3
    time_ = Time(deadline=60)
    store = time_.wrap(inner)
    assert operation(store) == expected
    assert not inner.errors
    assert store.retries == store.health.errors == len(time_.slept) == 3


@given(
    deadline=st.floats(0, 100),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
)
def test_retries_end_before_the_reserve(deadline: float, draws: list[float]) -> None:
    """Whatever the jitter draws, no wait reaches into the reserve, and each keeps its bound."""
    draws = [*draws, 0.5]
    numbers = iter(draws * 1000)
    time_ = Time(deadline=deadline)
    inner = FlakyStore(*[SLOW_DOWN] * 10_000)
    store = time_.wrap(inner, jitter=lambda: next(numbers))
    with pytest.raises(StoreUnavailable) as caught:
        store.put("a", b"1")
    assert time_.now <= max(deadline - 1.5, 0)
    assert all(slept <= min(5.0, 0.05 * 2**n) for n, slept in enumerate(time_.slept[:30]))
    assert store.retries == len(time_.slept) == inner.calls - 1
    tries = "1 try" if inner.calls == 1 else f"{inner.calls} tries"
    assert str(caught.value) == (
        f"Gave up after {tries} over {time_.now:.1f} s, with no time for another: {SLOW_DOWN}"
    )
    assert caught.value.__cause__ is SLOW_DOWN


def test_delays_double_up_to_the_longest() -> None:
    """Without jitter's luck, the delays are 50 ms, 100 ms, ... and then 5 s each."""
    time_ = Time(deadline=41.5)
    store = time_.wrap(FlakyStore(*[SLOW_DOWN] * 100), jitter=lambda: 1.0)
    with pytest.raises(StoreUnavailable):
        store.put("a", b"1")
    expected = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 6]
    assert time_.slept == pytest.approx(expected)


@pytest.mark.parametrize("error", [FORBIDDEN, ObjectMissing("There is none; look elsewhere.")])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_is_not_retried(
    operation: Callable[[ObjectStore], object], error: StoreError
) -> None:
    """What a retry cannot change passes at once, and only a refusal counts as a store error."""
    inner = FlakyStore(error, error, error)
    inner.objects.update(a=b"1", c=b"3", d=b"4")
    time_ = Time(deadline=60)
    store = time_.wrap(inner)
    with pytest.raises(type(error)) as caught:
        operation(store)
    assert caught.value is error
    assert (inner.calls, store.retries, time_.slept) == (1, 0, [])
    assert store.health.errors == (1 if error is FORBIDDEN else 0)


@given(failures=st.integers(0, 12), keys=st.sets(st.integers(0, 30).map(str)))
def test_a_listing_with_retries_yields_each_key_once(failures: int, keys: set[str]) -> None:
    """A listing that breaks anywhere goes on after its last key: none twice, none left out."""
    inner = FlakyStore(*[SLOW_DOWN] * failures)
    inner.objects = dict.fromkeys(keys, b"")
    store = Time(deadline=1000).wrap(inner)
    assert list(store.list()) == sorted(keys)


def test_each_retry_is_observed() -> None:
    """The observer learns of each retry before the wait, with what failed, where and how often."""
    seen: list[Retry] = []
    policy = RetryPolicy(sleep=lambda _: None, jitter=lambda: 0.5, on_retry=seen.append)
    store = RetryingStore(FlakyStore(SLOW_DOWN, SLOW_DOWN), lambda: 60, policy)
    store.put("a", b"1")
    assert seen == [
        Retry("put", store.uri, 1, 0.025, SLOW_DOWN),
        Retry("put", store.uri, 2, 0.05, SLOW_DOWN),
    ]


# The writer. Its threads are real, so these tests take real time, though little.


def seconds(limit: float) -> Callable[[], float]:
    """Return a `remaining` that counts down from `limit` now."""
    end = time.monotonic() + limit
    return lambda: end - time.monotonic()


def finish_threads() -> None:
    """Wait for the writers' threads to end: after this, nothing lands any more."""
    for thread in threading.enumerate():
        if thread.name == "store-writer":
            thread.join(30)
            assert not thread.is_alive()


class GatedStore(MemoryStore):
    """A store whose writes hang until the gate opens, and which knows how many hang at most."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.hanging = 0
        self.most_hanging = 0
        self._lock = threading.Lock()

    def put(self, key: str, body: bytes) -> None:
        with self._lock:
            self.hanging += 1
            self.most_hanging = max(self.most_hanging, self.hanging)
        self.begun.release()
        assert self.gate.wait(30)
        super().put(key, body)
        with self._lock:
            self.hanging -= 1


@pytest.fixture
def gated() -> Iterator[GatedStore]:
    """Return a store whose writes hang, and let them go after the test."""
    store = GatedStore()
    yield store
    store.gate.set()


@given(
    objects=st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=5), max_size=30),
    concurrency=st.integers(1, 5),
    most_waiting=st.integers(1, 5),
)
def test_when_wait_returns_everything_is_stored(
    objects: dict[str, bytes], concurrency: int, most_waiting: int
) -> None:
    """Nothing is acknowledged before it is stored, and what is put is stored once."""
    stores = [MemoryStore(), MemoryStore()]
    with ConcurrentWriter(
        remaining=lambda: 60, reserve=0, concurrency=concurrency, most_waiting=most_waiting
    ) as writer:
        for key, body in objects.items():
            for store in stores:
                writer.put(store, key, body)
        writer.wait()
        assert stores[0].objects == stores[1].objects == objects
        writer.put(stores[0], "later", b"more")
    # Leaving the writer waits, too.
    assert stores[0].objects == {**objects, "later": b"more"}


def test_writes_overlap(gated: GatedStore) -> None:
    """As many writes as threads are under way at once, while the caller goes on."""
    with ConcurrentWriter(remaining=seconds(30), reserve=0, concurrency=4) as writer:
        for n in range(10):
            writer.put(gated, str(n), b"")
        for _ in range(4):
            assert gated.begun.acquire(timeout=10)
        assert gated.hanging == 4
        gated.gate.set()
    assert gated.most_hanging == 4
    assert len(gated.objects) == 10


def test_the_defaults_let_every_thread_write(gated: GatedStore) -> None:
    """As many objects may be in hand as are written at once, and one more is encoded meanwhile."""
    most = Limits().open_partitions
    with ConcurrentWriter(remaining=seconds(30), reserve=0, most_waiting=most) as writer:
        for n in range(CONCURRENCY + 1):
            writer.put(gated, str(n), b"")
        for _ in range(CONCURRENCY):
            assert gated.begun.acquire(timeout=10)
        gated.gate.set()
    assert gated.most_hanging == CONCURRENCY


@pytest.mark.parametrize(
    ("most_waiting", "most_bytes", "size"), [(3, 1_000, 0), (1_000, 30, 10), (1_000, 35, 10)]
)
def test_the_bodies_in_hand_are_bounded(
    gated: GatedStore, most_waiting: int, most_bytes: int, size: int
) -> None:
    """Put blocks while three bodies are in hand, and goes on when one is written."""
    writer = ConcurrentWriter(
        remaining=seconds(30),
        reserve=0,
        concurrency=2,
        most_waiting=most_waiting,
        most_bytes=most_bytes,
    )
    submitted = threading.Semaphore(0)

    def submit() -> None:
        for n in range(8):
            writer.put(gated, str(n), bytes(size))
            submitted.release()

    thread = threading.Thread(target=submit)
    thread.start()
    for _ in range(3):
        assert submitted.acquire(timeout=10)
    assert not submitted.acquire(timeout=0.1)
    gated.gate.set()
    thread.join(10)
    writer.wait()
    assert len(gated.objects) == 8


def test_one_body_may_be_larger_than_all_may_be_together(gated: GatedStore) -> None:
    gated.gate.set()
    with ConcurrentWriter(remaining=seconds(30), reserve=0, most_bytes=10) as writer:
        writer.put(gated, "large", bytes(1_000))
    assert len(gated.objects["large"]) == 1_000


@pytest.mark.parametrize("blocked_in", ["wait", "put"])
def test_a_hanging_store_does_not_outlast_the_deadline(gated: GatedStore, blocked_in: str) -> None:
    """When time runs out without a store error, the batch was too slow: DeadlineExceeded."""
    writer = ConcurrentWriter(remaining=seconds(1.2), reserve=1, concurrency=1, most_waiting=2)
    writer.put(gated, "a", b"1")
    writer.put(gated, "b", b"2")
    begun = time.monotonic()
    sentence = (
        r"before 2 of 2 objects were acknowledged.* has had no response for 0\.\d s: .*; raise"
    )
    with pytest.raises(DeadlineExceeded, match=sentence) as caught:
        writer.wait() if blocked_in == "wait" else writer.put(gated, "c", b"3")
    assert (", and more were to come, though" in str(caught.value)) == (blocked_in == "put")
    assert 0.1 < time.monotonic() - begun < 0.8
    gated.gate.set()
    finish_threads()
    # What had begun may still land, what had not begun never does.
    assert list(gated.objects) == ["a"]


def test_an_error_that_a_retry_put_right_does_not_make_a_slow_batch_an_outage(
    gated: GatedStore,
) -> None:
    """Where anything was acknowledged the store works, and the batch was too slow: halve it."""
    health = StoreHealth()
    flaky = RetryingStore(FlakyStore(SLOW_DOWN), lambda: 60, RetryPolicy(first_delay=0), health)
    writer = ConcurrentWriter(remaining=seconds(0.2), reserve=0, health=health)
    writer.put(flaky, "a", b"1")
    writer.put(gated, "b", b"2")
    with pytest.raises(DeadlineExceeded) as caught:
        writer.wait()
    assert str(caught.value) == (
        "Time ran out before 1 of 2 objects were acknowledged, though the stores work: "
        "they acknowledged 1, and 1 try failed meanwhile; raise the time-out or the memory of the "
        "function, or make its batches smaller. The last error: The store is busy; try again later."
    )


def test_a_deadline_after_errors_and_without_any_object_is_an_outage(gated: GatedStore) -> None:
    """Where a store reported an error and acknowledged nothing, it is down."""
    health = StoreHealth()
    writer = ConcurrentWriter(remaining=seconds(0.2), reserve=0, health=health)
    health.record(SLOW_DOWN)
    writer.put(gated, "a", b"1")
    with pytest.raises(StoreUnavailable) as caught:
        writer.wait()
    assert str(caught.value) == (
        "Time ran out before 1 of 1 objects were acknowledged, and the store had reported errors, "
        "the last of them: The store is busy; try again later."
    )


@pytest.mark.parametrize("given_up", [False, True], ids=["in retry", "given up"])
@pytest.mark.parametrize("works", [False, True], ids=["down", "works"])
def test_a_store_that_is_down_is_an_outage_though_the_other_one_works(
    gated: GatedStore, *, works: bool, given_up: bool
) -> None:
    """Rows are stored and dead letters are not: the batch comes again whole, and is not halved."""
    health = StoreHealth()
    letters = BusyStore(*(["first"] if works else []))
    letters.uri = "memory:letters"
    # The retries end before the writer's time does, or are still going on then.
    policy = RetryPolicy(first_delay=0.01, longest_delay=0.02, reserve=0)
    down = RetryingStore(letters, seconds(0.2 if given_up else 0.8), policy, health)
    gated.gate.set()
    writer = ConcurrentWriter(remaining=seconds(0.4), reserve=0, health=health)
    writer.put(gated, "rows", b"1")
    writer.put(down, "first", b"2")
    writer.put(down, "second", b"3")
    with pytest.raises(DeadlineExceeded if works else StoreUnavailable) as caught:
        writer.wait()
    if not works:
        assert (
            " objects were acknowledged, and memory:letters had reported errors, and stored "
            in (str(caught.value))
        )


class BusyStore(MemoryStore):
    """A store that throttles every write but those under the keys that it takes."""

    def __init__(self, *taken: str) -> None:
        super().__init__()
        self.taken = taken

    def put(self, key: str, body: bytes) -> None:
        if key not in self.taken:
            raise SLOW_DOWN
        super().put(key, body)


@pytest.mark.parametrize(
    ("taken", "error"), [(["a"], DeadlineExceeded), ([], NoTimeToRetry)], ids=["slow", "outage"]
)
def test_a_write_that_was_given_up_for_want_of_time_has_not_failed_for_good(
    taken: list[str], error: type[Exception]
) -> None:
    """A last try that fails shortly before the deadline says no more than the deadline does."""
    time_ = Time(deadline=3)
    policy = RetryPolicy(sleep=time_.sleep, jitter=lambda: 0.999, clock=lambda: time_.now)
    store = RetryingStore(BusyStore(*taken), time_.remaining, policy)
    writer = ConcurrentWriter(remaining=lambda: 60, reserve=0, concurrency=1, health=store.health)
    writer.put(store, "a", b"1")
    if taken:
        writer.wait()
        writer.put(store, "b", b"2")
    with pytest.raises(error):
        writer.wait()


def test_a_write_whose_patience_ended_has_failed_for_good() -> None:
    """A policy that tries for a while gives up for good, whatever time is left."""
    time_ = Time(deadline=1_000)
    policy = RetryPolicy(
        longest=10, sleep=time_.sleep, jitter=lambda: 0.999, clock=lambda: time_.now
    )
    store = RetryingStore(BusyStore("a"), time_.remaining, policy)
    writer = ConcurrentWriter(remaining=lambda: 60, reserve=0, concurrency=1, health=store.health)
    writer.put(store, "a", b"1")
    writer.wait()
    writer.put(store, "b", b"2")
    with pytest.raises(StoreUnavailable, match=r"^Gave up after ") as caught:
        writer.wait()
    assert not isinstance(caught.value, NoTimeToRetry)


def test_a_write_that_failed_for_good_is_told_though_another_hangs_to_the_end(
    gated: GatedStore,
) -> None:
    """A deadline does not hide what failed for good before it."""
    store = MemoryStore()
    writer = ConcurrentWriter(remaining=seconds(0.3), reserve=0)
    writer.put(store, "a", b"1")
    writer.wait()
    writer.put(gated, "b", b"2")
    writer.put(FlakyStore(SLOW_DOWN), "c", b"3")
    with pytest.raises(StoreUnavailable) as caught:
        writer.wait()
    assert caught.value is SLOW_DOWN


def test_work_between_two_writes_ends_with_the_time() -> None:
    """Encoding that goes on and on is given up at the deadline, and not by Lambda."""
    store = MemoryStore()
    left = [10.0]
    writer = ConcurrentWriter(remaining=lambda: left[0], reserve=1.5)
    writer.check()
    left[0] = 1.5
    with pytest.raises(DeadlineExceeded, match=r"^Time ran out before the first object of the "):
        writer.check()
    left[0] = 10.0
    writer.put(store, "a", b"1")
    writer.wait()
    left[0] = 1.5
    for late in (writer.check, lambda: writer.put(store, "b", b"2")):
        with pytest.raises(DeadlineExceeded, match=r"^Time ran out with 1 of the objects stored, "):
            late()
    assert list(store.objects) == ["a"]


def test_threads_end_and_begin_again_as_the_limit_falls_and_rises() -> None:
    """While the store throttles, fewer writes are in flight; then as many as before."""
    health = StoreHealth()
    busy = threading.Event()
    busy.set()
    most = [0]
    in_flight = [0]
    lock = threading.Lock()

    class Store(MemoryStore):
        def put(self, key: str, body: bytes) -> None:
            with lock:
                in_flight[0] += 1
                most[0] = max(most[0], in_flight[0])
            time.sleep(0.005)
            if busy.is_set():
                health.record(StoreThrottled("The store is busy; try again later."))
            super().put(key, body)
            with lock:
                in_flight[0] -= 1

    store = Store()
    writer = ConcurrentWriter(remaining=seconds(60), reserve=0, concurrency=8, health=health)
    with writer:
        for phase, throttled in enumerate((True, True, False, False)):
            (busy.set if throttled else busy.clear)()
            most[0] = 0
            for n in range(60):
                writer.put(store, f"{phase}/{n}", b"")
            writer.wait()
            if phase == 1:
                assert most[0] <= 2
        assert most[0] == 8
    assert len(store.objects) == 240


def test_errors_of_an_earlier_batch_do_not_count(gated: GatedStore) -> None:
    """A writer looks at the store errors since it was made."""
    health = StoreHealth()
    health.record(SLOW_DOWN)
    writer = ConcurrentWriter(remaining=seconds(0.1), reserve=0, health=health)
    writer.put(gated, "a", b"1")
    with pytest.raises(DeadlineExceeded):
        writer.wait()


def test_work_done_is_not_undone_by_the_clock() -> None:
    """When everything is stored, a deadline that has passed since is no error."""
    store = MemoryStore()
    left = [10.0]
    writer = ConcurrentWriter(remaining=lambda: left[0], reserve=0)
    writer.put(store, "a", b"1")
    writer.wait()
    left[0] = -1
    writer.wait()


def test_the_first_error_cancels_the_rest(gated: GatedStore) -> None:
    """After an error nothing more begins, and put and wait raise it."""
    writer = ConcurrentWriter(remaining=seconds(30), reserve=0, concurrency=2)
    broken = FlakyStore(FORBIDDEN)
    writer.put(gated, "a", b"1")
    assert gated.begun.acquire(timeout=10)
    writer.put(broken, "b", b"2")
    # The refusal is raised while the other write still hangs: waiting would not change it.
    with pytest.raises(StoreRefused):
        writer.wait()
    with pytest.raises(StoreRefused):
        writer.put(gated, "c", b"3")
    gated.gate.set()
    finish_threads()
    assert list(gated.objects) == ["a"]
    assert not broken.objects


class GatedRefusal(GatedStore):
    """A store that refuses every write once the gate is open."""

    def put(self, key: str, body: bytes) -> None:
        super().put(key, body)
        raise FORBIDDEN


def test_what_waits_when_a_write_fails_never_begins() -> None:
    """One failed write is enough to fail the batch: those behind it are not begun."""
    refusing = GatedRefusal()
    behind = MemoryStore()
    writer = ConcurrentWriter(remaining=seconds(30), reserve=0, concurrency=1)
    writer.put(refusing, "a", b"1")
    writer.put(behind, "b", b"2")
    writer.put(behind, "c", b"3")
    refusing.gate.set()
    with pytest.raises(StoreRefused):
        writer.wait()
    finish_threads()
    assert not behind.objects


class ChainStore(MemoryStore):
    """A store where one write fails for now, and then another is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.both = threading.Barrier(2)
        self.first_failed = threading.Event()

    def put(self, key: str, body: bytes) -> None:
        del body
        self.both.wait(10)
        if key == "unavailable":
            self.first_failed.set()
            raise SLOW_DOWN
        assert self.first_failed.wait(10)
        time.sleep(0.05)
        raise FORBIDDEN


def test_a_refusal_is_told_before_an_outage() -> None:
    """Of several errors the one that says what to fix is raised, though it came later."""
    writer = ConcurrentWriter(remaining=seconds(30), reserve=0)
    store = ChainStore()
    writer.put(store, "unavailable", b"")
    writer.put(store, "refused", b"")
    with pytest.raises(StoreRefused):
        writer.wait()


def test_an_outage_is_raised_as_one() -> None:
    """A store error without retries reaches the caller, and never looks like success."""
    with (
        pytest.raises(StoreUnavailable),
        ConcurrentWriter(remaining=seconds(30), reserve=0) as writer,
    ):
        writer.put(FlakyStore(SLOW_DOWN), "a", b"1")


class BrokenStore(MemoryStore):
    """A store with a bug."""

    def put(self, key: str, body: bytes) -> None:
        raise ZeroDivisionError(key, len(body))


def test_a_bug_in_a_store_is_not_swallowed() -> None:
    """An exception that is no store error reaches the caller as it is."""
    writer = ConcurrentWriter(remaining=seconds(30), reserve=0)
    writer.put(BrokenStore(), "a", b"1")
    with pytest.raises(ZeroDivisionError):
        writer.wait()


def test_leaving_with_an_error_cancels_what_waits(gated: GatedStore) -> None:
    """An error of the caller passes at once, and what has not begun never does."""
    with (  # noqa: PT012 - the error is the caller's own
        pytest.raises(KeyError),
        ConcurrentWriter(remaining=seconds(30), reserve=0, concurrency=1) as writer,
    ):
        writer.put(gated, "a", b"1")
        assert gated.begun.acquire(timeout=10)
        writer.put(gated, "b", b"2")
        raise KeyError
    gated.gate.set()
    finish_threads()
    assert list(gated.objects) == ["a"]


def test_an_object_is_written_once_in_a_batch() -> None:
    """The same key twice in one store is a bug of the caller; in two stores it is none."""
    first, second = MemoryStore(), MemoryStore()
    with ConcurrentWriter(remaining=seconds(30), reserve=0) as writer:
        writer.put(first, "a", b"1")
        writer.put(second, "a", b"2")
        with pytest.raises(ValueError, match="submitted twice in one batch"):
            writer.put(first, "a", b"1")


@pytest.mark.parametrize(("concurrency", "most_waiting"), [(0, 1), (1, 0)])
def test_a_writer_that_would_never_write_is_refused(concurrency: int, most_waiting: int) -> None:
    """A writer without a thread or without room is a mistake, told at once."""
    with pytest.raises(ValueError, match="make both at least 1"):
        ConcurrentWriter(
            remaining=lambda: 1, reserve=0, concurrency=concurrency, most_waiting=most_waiting
        )


HANG = """
import threading, time
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.writer import CONCURRENCY, ConcurrentWriter
class Hanging(MemoryStore):
    def put(self, key, body):
        threading.Event().wait()
end = time.monotonic() + 1
writer = ConcurrentWriter(remaining=lambda: end - time.monotonic(), reserve=0.9)
writer.put(Hanging(), "a", b"1")
try:
    writer.wait()
finally:
    print("raised")
"""


def test_an_abandoned_write_does_not_hold_up_the_exit() -> None:
    """A process whose write hangs for ever still ends."""
    run = subprocess.run(
        [sys.executable, "-c", HANG], cwd=ROOT, capture_output=True, timeout=30, check=False
    )
    assert run.stdout == b"raised\n"
    assert b"DeadlineExceeded" in run.stderr
