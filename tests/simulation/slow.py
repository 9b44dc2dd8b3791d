"""A store that is slow and sometimes fails, and how many invocations a shard then takes.

The real handler, under Lambda's rules with bisecting, on a simulated clock: each write takes its
time in a lane of its own, of which there are as many as the writer's limit, so that the time of an
invocation is what it would be with threads.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from unittest.mock import patch

from support import ARN, SHARD, dataset, sequence_number

from pipeline import handlers, storing
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.retry import RetryPolicy
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.telemetry import Telemetry
from pipeline.adapters.writer import ConcurrentWriter, _Begun, _try
from pipeline.attempt import Attempt
from pipeline.core.errors import DeadlineExceeded, StoreThrottled, StoreUnavailable
from pipeline.core.records import Limits, StreamRecord
from pipeline.core.routing import Router
from pipeline.esm import FailedBatch, Invoke, Mapping, Raised, Returned, ShardMapping, Wait
from pipeline.flow import Pipeline

from .clock import SECOND, SimulatedClock
from .history import LawBroken

_SENSORS = dataset(
    {"name": "sensor_id", "type": "string"}, config='partition_by = ["sensor_id"]', name="sensors"
).by_rows()
_REFUSED_AFTER = 0.005  # seconds
_RESERVE = 1.5  # seconds
_LANES = 8  # fewer than the product has, so that days are slow with few objects
_MOST_INVOCATIONS = 500

MOST_ERRORS = 0.2
"""The largest share of PUTs that fail for now of which progress is asserted."""
FACTOR = 3
"""How many times as many invocations errors may make of what there are without them.

With 20 % of errors a write takes at most twice its time: 1.25 tries, and 8 ms of waiting between
them, beside the 20 ms and more of a PUT. So of what fits an invocation without errors, half fits
with them: that is one more level of halving, which makes 2n + 1 invocations of n.
"""


@dataclass(frozen=True, slots=True)
class Day:
    """What a shard holds, and how fast and how reliable function and store are that day.

    Every document is a partition of its own, and so an object. Times are in seconds; `throttled`
    and `failed` are the shares of PUTs that get a 503 and a 500. A store with a `capacity` also
    throttles every PUT beyond so many in work.
    """

    records: int = 20
    documents: int = 50
    put_seconds: float = 0.03
    encode_seconds: float = 0.0
    timeout: float = 4.0
    throttled: float = 0.0
    failed: float = 0.0
    capacity: int | None = None
    record_age: int = -1

    @classmethod
    def drawn(cls, random: Random) -> Day:
        """Draw a day on which a single stream record fits an invocation easily."""
        timeout = random.choice((3.0, 4.0, 10.0, 30.0))
        put_seconds = random.choice((0.02, 0.03, 0.1, 0.5))
        encode_seconds = random.choice((0.0, 0.002, 0.01))
        errors = random.uniform(0.0, MOST_ERRORS)
        throttled = errors * random.choice((0.0, 1.0, random.random()))
        fits = (timeout - _RESERVE) / 4 / (put_seconds / 8 + encode_seconds)
        return cls(
            records=random.randint(1, 40),
            documents=min(random.choice((1, 5, 20, 50)), int(fits)),
            put_seconds=put_seconds,
            encode_seconds=encode_seconds,
            timeout=timeout,
            throttled=throttled,
            failed=errors - throttled,
            capacity=random.choice((None, None, None, 4)),
        )

    @property
    def without_errors(self) -> Day:
        """The same day, on which the store does what it is asked, if it has the capacity."""
        return replace(self, throttled=0.0, failed=0.0)


@dataclass(slots=True)
class Outcome:
    """What became of it: `said` has how each invocation ended, with the number of its records."""

    said: list[tuple[int, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    given_up: list[FailedBatch] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    tries: int = 0
    throttles: int = 0

    @property
    def invocations(self) -> int:
        """How many invocations it took."""
        return len(self.said)


def live(day: Day, seed: int = 0) -> Outcome:
    """Deliver a shard's records until all of them are stored or given up."""
    return _World(day, seed).run()


def judge_progress(seed: int) -> tuple[Outcome, Outcome]:
    """Live a day of chance, with its errors and without; raises `LawBroken` if it stands still."""
    day = Day.drawn(Random(seed))
    fair, foul = live(day.without_errors, seed), live(day, seed)
    if len(foul.stored) < day.records * day.documents or foul.given_up:
        raise LawBroken(f"Seed {seed}: not everything is stored on {day}.")
    if foul.invocations > FACTOR * fair.invocations:
        raise LawBroken(
            f"Seed {seed}: {foul.invocations} invocations on {day}, and {fair.invocations} without "
            "errors."
        )
    return fair, foul


class _World:
    def __init__(self, day: Day, seed: int) -> None:
        self.day = day
        self.random = Random(seed)
        self.clock = SimulatedClock()
        self.outcome = Outcome()
        self.store = _SlowStore(self)
        self.pipeline = Pipeline(Router([_SENSORS]), Limits(), self.store, MemoryStore("dead"))
        self.telemetry = Telemetry(self._log, lambda: self.clock.seconds)

    def run(self) -> Outcome:
        mapping = ShardMapping(
            Mapping(batch_size=10_000, bisect=True, record_age_seconds=self.day.record_age),
            ARN,
            SHARD,
        )
        mapping.receive(self._records(), self.clock.now)
        with patch.object(storing, "encode", self._encode):
            while not mapping.is_idle:
                step = mapping.next(self.clock.now, closing=True)
                if isinstance(step, Wait):
                    self.clock.move_to(step.until or self.clock.now + SECOND)
                    continue
                if isinstance(step, Invoke):
                    if self.outcome.invocations == _MOST_INVOCATIONS:
                        raise LawBroken(f"It stands still on {self.day}.")
                    step = mapping.settle(self._invoke(step), self.clock.now)
                self.outcome.given_up += step.failures
        return self.outcome

    def _records(self) -> list[StreamRecord]:
        return [
            StreamRecord(
                sequence_number(number),
                "a",
                self.clock.now,
                b"\n".join(
                    json.dumps({"sensor_id": f"s{number}-{document}"}).encode()
                    for document in range(self.day.documents)
                ),
            )
            for number in range(self.day.records)
        ]

    def _invoke(self, invoke: Invoke) -> Returned | Raised:
        context = _Context(self.clock, self.day.timeout)
        opened = functools.partial(_attempt, self)
        try:
            value = handlers.respond(
                invoke.event, context, self.pipeline, _RESERVE, self.telemetry, opened
            )
        except DeadlineExceeded as error:
            self.outcome.said.append((len(invoke.records), "too slow"))
            self.outcome.messages.append(str(error))
            return Raised(str(error))
        finally:
            if not context.get_remaining_time_in_millis():
                raise LawBroken(f"An invocation ran into its time-out on {self.day}.")
        said = "replayed" if value["batchItemFailures"] else "stored"
        self.outcome.said.append((len(invoke.records), said))
        return Returned(value)

    def _encode(self, *_: Any) -> bytes:
        self.clock.advance(self.day.encode_seconds)
        return b""

    def _log(self, line: str) -> None:
        pass


class _Context:
    """The context of one invocation."""

    aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"

    def __init__(self, clock: SimulatedClock, timeout: float) -> None:
        self.clock = clock
        self.deadline = clock.now + round(timeout * SECOND)

    def get_remaining_time_in_millis(self) -> int:
        return max(0, (self.deadline - self.clock.now) // 1_000)


def _attempt(world: _World, pipeline: Pipeline, remaining: Any, reserve: float) -> Attempt:
    return Attempt(
        pipeline,
        remaining,
        reserve,
        policy=RetryPolicy(
            sleep=world.clock.advance,
            jitter=world.random.random,
            clock=lambda: world.clock.seconds,
        ),
        writing=functools.partial(_LaneWriter, world=world),
        clock=lambda: world.clock.seconds,
    )


class _SlowStore(MemoryStore):
    def __init__(self, world: _World) -> None:
        super().__init__("lake")
        self.world = world
        self.busy: list[tuple[int, int]] = []
        """When each of the latest PUTs was in work, in the time of its lane."""

    def put(self, key: str, body: bytes) -> None:
        """Take the time of a write, and store, throttle or fail."""
        day, outcome, clock = self.world.day, self.world.outcome, self.world.clock
        outcome.tries += 1
        chance = self.world.random.random()
        if self._is_busy() or chance < day.throttled:
            clock.advance(_REFUSED_AFTER)
            outcome.throttles += 1
            raise StoreThrottled("The store is short of capacity; try again later.")
        begun = clock.now
        clock.advance(day.put_seconds)
        self.busy.append((begun, clock.now))
        if chance < day.throttled + day.failed:
            raise StoreUnavailable("The store had an internal error; try again.")
        super().put(key, body)
        outcome.stored.add(key.split("sensor_id=")[1].partition("/")[0])

    def _is_busy(self) -> bool:
        """Whether it has as many PUTs in work as it can take."""
        capacity, now = self.world.day.capacity, self.world.clock.now
        if capacity is None:
            return False
        self.busy = [(begun, end) for begun, end in self.busy if end > now - SECOND]
        return sum(begun <= now < end for begun, end in self.busy) >= capacity


class _LaneWriter(ConcurrentWriter):
    """The product's writer, whose threads are lanes of simulated time.

    A write is done at once, in the time of its lane; that it has ended is noted when the time of
    the invocation has come so far.
    """

    def __init__(self, *, world: _World, **settings: Any) -> None:
        super().__init__(concurrency=_LANES, **settings)
        self._world = world
        self._lanes: list[tuple[int, int, _Begun, BaseException | None]] = []
        self._numbers = itertools.count()

    def put(self, store: ObjectStore, key: str, body: bytes) -> None:
        """Hand over an object; see what has ended meanwhile."""
        self._land(self._world.clock.now)
        super().put(store, key, body)

    def check(self) -> None:
        """See what has ended meanwhile, and then the time."""
        self._land(self._world.clock.now)
        super().check()

    def _start_thread(self) -> None:
        while self._waiting and self._writing < self._concurrency.limit:
            begun = self._begin()
            assert begun is not None
            clock, now = self._world.clock, self._world.clock.now
            failure = _try(begun.write)
            heapq.heappush(self._lanes, (clock.now, next(self._numbers), begun, failure))
            clock.now = now

    def _block_until(self, done: Any) -> None:
        """Let the time run to the next end of a write, or to the deadline."""
        clock = self._world.clock
        while not done():
            self._check_time()
            left = round((self._remaining() - self._reserve) * SECOND)
            end = min(clock.now + left, *(lane[0] for lane in self._lanes[:1]))
            self._land(max(end, clock.now))

    def _land(self, until: int) -> None:
        """Note the writes that end until then; each makes room for the next in its lane."""
        clock = self._world.clock
        while self._lanes and self._lanes[0][0] <= until:
            clock.now, _, begun, failure = heapq.heappop(self._lanes)
            self._end(begun, failure)
            self._start_thread()
        clock.now = until
