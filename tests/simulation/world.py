"""One history: producer, stream, mapping, handler and stores, from one seed, to the end.

At each turn chance decides what happens next, until there were enough invocations and faults.
Then the faults stop, everything comes to rest, and what Lambda gave up on is sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from support import ARN

from pipeline.core.events import kinesis_event, read_failed_batch
from pipeline.core.records import StreamRecord
from pipeline.esm import (
    FailedBatch,
    Invoke,
    Mapping,
    Raised,
    Returned,
    Settled,
    ShardMapping,
    Throttled,
    Wait,
)

from .clock import SECOND, SimulatedClock
from .faults import Faults
from .formats import cheap_encoder
from .function import SimulatedFunction
from .history import History, LawBroken, SimulationFailed
from .invariants import Laws
from .producer import SimulatedProducer
from .store import SimulatedStore
from .stream import Shard, SimulatedStream, number_of

LEAST_INVOCATIONS = 15
LEAST_FAULTS = 3
_MOST_TURNS = 5_000
_MOST_SHARDS = 4  # open at once
_HOLE = 0.4
_REDRIVEN = 5  # failed batches of a history, at most: each takes as long as an invocation
_REAL_ENCODERS = 10  # one seed in so many has the real ones


def simulate(seed: int) -> History:
    """Run one history; raises `SimulationFailed` with it where a law does not hold."""
    encoder = cheap_encoder() if seed % _REAL_ENCODERS else contextlib.nullcontext()
    world = World(seed)
    with encoder:
        try:
            world.run()
        except LawBroken as error:
            world.history.outcome = f"BROKEN: {error}"
            raise SimulationFailed(world.history) from error
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            world.history.outcome = (
                f"CRASHED: {type(error).__name__} in {place.name}, {place.lineno}"
            )
            raise SimulationFailed(world.history) from error
    return world.history


@dataclass(slots=True)
class Poller:
    """One shard of the mapping, how much of it was read, and how much was settled at some time.

    `delivered` is what the function was invoked with last.
    """

    shard: Shard
    settings: Mapping
    mapping: ShardMapping
    read: int = 0
    settled: int = 0
    delivered: tuple[StreamRecord, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the shard is closed and all of it done: its children's turn."""
        return self.shard.closed and self.at_rest

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to do for now."""
        return self.read == len(self.shard.records) and self.mapping.is_idle


class World:
    """All parts of one history."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = SimulatedClock()
        self.history = History(seed, self.clock)
        self.faults = Faults.drawn(self.random)
        self.history.faults = self.faults.seen
        # By the seed: half of the streams have rules.
        self.stream = SimulatedStream(self.random.randint(1, 3), has_rules=bool(seed % 2))
        self.laws = Laws(self.stream)
        self.lake = SimulatedStore("lake", self.faults, self.history, self.laws)
        self.dead_letters = SimulatedStore("dead", self.faults, self.history, self.laws)
        self.function = SimulatedFunction(
            self.random,
            self.clock,
            self.faults,
            self.lake,
            self.dead_letters,
            has_rules=self.stream.has_rules,
        )
        self.producer = SimulatedProducer(
            self.random, self.stream, self.clock, self.faults, self.history
        )
        self.settings = self._settings()
        self.pollers: dict[str, Poller] = {}
        self.poison: set[tuple[str, str]] = set()
        self.given_up: list[FailedBatch] = []
        self.least_records = self.random.randint(10, 40)
        self.history.add(f"{self.settings}, time-out {self.function.timeout:.0f} s")

    def run(self) -> None:
        """Run the history to its end."""
        for _ in range(_MOST_TURNS):
            if self._is_enough():
                break
            self._turn()
        self._come_to_rest()
        self.laws.judge_end()
        self._redrive()
        self.laws.judge_end()
        self.history.add(f"{self._stored()}")

    # ------------------------------------------------------------------------- what may happen

    def _turn(self) -> None:
        turns: tuple[tuple[float, Callable[[], object]], ...] = (
            (3.0, self.producer.produce),
            (5.0, self._work),
            (1.0, self._wait),
            (1.0, self._misfortune),
        )
        weights = [weight for weight, _ in turns]
        self.random.choices([turn for _, turn in turns], weights)[0]()

    def _work(self) -> None:
        """Let the mapping go on with one of the shards that it may read."""
        poller = self.random.choice(list(self._pollers()))
        self._step(poller)
        if self.faults.strikes("delivered_again"):
            self._deliver_again(poller)

    def _wait(self) -> None:
        self.clock.advance(self.random.choice((0.1, 1.0, 5.0, 30.0)))
        self.laws.judge_stragglers()

    def _misfortune(self) -> None:
        poller = self.random.choice(list(self._pollers()))
        if self.faults.strikes("outage"):
            self._go_down()
        if self.faults.strikes("resharded"):
            self._reshard()
        if self.faults.strikes("restarted"):
            self._restart(poller)
        waiting = poller.shard.records[poller.settled : poller.read]
        if waiting and self.faults.strikes("poison"):
            self._poison(poller.shard, self.random.choice(waiting))
        if waiting and self.faults.strikes("expired"):
            self._expire(poller, self.random.choice(waiting))

    def _go_down(self) -> None:
        seconds = self.random.choice((5, 60))
        store = self.random.choice((self.lake, self.dead_letters))
        store.down_until = self.clock.now + seconds * SECOND
        self.history.add(f"{store.uri.removeprefix('memory://')} is down for {seconds} s")

    def _reshard(self) -> None:
        shards = sorted(self.stream.open_shards, key=lambda shard: shard.low)
        if len(shards) >= _MOST_SHARDS or (len(shards) > 1 and self.random.random() < 0.5):
            index = self.random.randrange(len(shards) - 1)
            child = self.stream.merge(shards[index], shards[index + 1])
            self.history.add(
                f"{shards[index].short} and {shards[index + 1].short}: now {child.short}"
            )
        else:
            parent = self.random.choice(shards)
            one, other = self.stream.split(parent)
            self.history.add(f"{parent.short}: now {one.short} and {other.short}")

    def _restart(self, poller: Poller) -> None:
        """Make the mapping anew, from an old checkpoint and with other settings."""
        start = self.random.randint(0, poller.settled)
        checkpoint = poller.shard.records[start - 1].sequence_number if start else None
        poller.settings = self._settings()
        poller.mapping = ShardMapping(poller.settings, ARN, poller.shard.id, checkpoint)
        poller.read = start
        after = number_of(checkpoint) if checkpoint else "its beginning"
        self.history.add(f"{poller.shard.short} is read again after {after}: {poller.settings}")

    def _poison(self, shard: Shard, record: StreamRecord) -> None:
        """Make a record one that the function cannot hold in memory, whenever it meets it."""
        self.poison.add((shard.source, record.sequence_number))
        name = f"{shard.short} {number_of(record.sequence_number)}"
        self.history.add(f"{name} needs more memory than there is")

    def _expire(self, poller: Poller, first_kept: StreamRecord) -> None:
        """Let the stream's retention remove records that the mapping has read and not finished."""
        self.history.add(f"{poller.shard.short}: gone before {_numbers((first_kept,))}")
        self._account(poller, poller.mapping.expired(first_kept.sequence_number))

    # ----------------------------------------------------------------------------- the mapping

    def _pollers(self) -> Iterator[Poller]:
        """Yield the shards whose turn it is: a child's comes when its parents are done."""
        for shard in list(self.stream.shards.values()):
            if all(
                parent in self.pollers and self.pollers[parent].finished for parent in shard.parents
            ):
                if shard.id not in self.pollers:
                    mapping = ShardMapping(self.settings, ARN, shard.id)
                    self.pollers[shard.id] = Poller(shard, self.settings, mapping)
                yield self.pollers[shard.id]

    def _step(self, poller: Poller) -> int | None:
        """Take one step with a shard; return until when there is nothing to do, if so."""
        if poller.mapping.has_capacity and poller.read < len(poller.shard.records):
            some = self.random.randint(1, len(poller.shard.records) - poller.read)
            records = poller.shard.records[poller.read : poller.read + some]
            poller.mapping.receive(records, self.clock.now)
            poller.read += some
        action = poller.mapping.next(self.clock.now, closing=self.faults.calm)
        if isinstance(action, Wait):
            return action.until
        settled = action if isinstance(action, Settled) else self._deliver(poller, action)
        self._account(poller, settled)
        return None

    def _deliver(self, poller: Poller, invoke: Invoke) -> Settled:
        if self.faults.strikes("invocation_throttled"):
            self.history.add(f"{poller.shard.short}: not invoked, throttled")
            return poller.mapping.settle(Throttled(), self.clock.now)
        poller.delivered = invoke.records
        delivery = f"{poller.shard.short} {_numbers(invoke.records)}, attempt {invoke.attempt}"
        outcome = self._invoke(poller.shard, invoke.event, invoke.records, delivery)
        return poller.mapping.settle(outcome, self.clock.now)

    def _deliver_again(self, poller: Poller) -> None:
        """Deliver what was delivered before, cut otherwise; Lambda ignores the response.

        Or the last batch comes without a record of its middle: Lambda gives it up by its age alone.
        """
        start = self.random.randint(0, poller.read)
        end = min(start + self.random.randint(1, 6), poller.read)
        records = tuple(poller.shard.records[start:end])
        last = poller.delivered
        if len(last) > 2 and self.random.random() < _HOLE:
            hole = self.random.randrange(1, len(last) - 1)
            records = last[:hole] + last[hole + 1 :]
        if records:
            event = kinesis_event(records, ARN, poller.shard.id)
            self._invoke(poller.shard, event, records, f"{poller.shard.short} {_numbers(records)}")

    def _invoke(
        self, shard: Shard, event: Any, records: tuple[StreamRecord, ...], delivery: str
    ) -> Returned | Raised:
        self.laws.judge_stragglers()
        self.history.invocations += 1
        self.history.add(f"{delivery}: invocation {self.history.invocations}")
        poisoned = any((shard.source, record.sequence_number) in self.poison for record in records)
        outcome = self.function.invoke(event, poisoned=poisoned)
        self.history.add(f"    {_summary(outcome)}")
        response = outcome.value if isinstance(outcome, Returned) else None
        self.laws.judge(shard, records, response, self.function.drops)
        return outcome

    def _account(self, poller: Poller, settled: Settled) -> None:
        """Write down what is done, and judge it."""
        shard = poller.shard
        for failed in settled.failures:
            self.given_up.append(failed)
            self.laws.given_up.update(
                (shard.source, record.sequence_number) for record in failed.records
            )
            numbers = _numbers(failed.records)
            self.history.add(f"    {shard.short} {numbers} given up: {failed.condition}")
            if poller.settings.bisect and failed.function_error and len(failed.records) > 1:
                raise LawBroken(f"{numbers} were given up together, although bisecting is on.")
        if settled.checkpoint is not None:
            last = int(settled.checkpoint)
            done = [record for record in shard.records if int(record.sequence_number) <= last]
            self.laws.settled(shard, done[poller.settled :])
            poller.settled = max(poller.settled, len(done))

    # --------------------------------------------------------------------------------- the end

    def _is_enough(self) -> bool:
        return (
            self.history.invocations >= LEAST_INVOCATIONS
            and self.faults.total >= LEAST_FAULTS
            and len(self.stream.units) >= self.least_records
        )

    def _come_to_rest(self) -> None:
        """Let the mapping finish what there is, without any more faults."""
        self.faults.calm = True
        self.lake.down_until = self.dead_letters.down_until = 0
        self.history.add("from here on without faults")
        for _ in range(_MOST_TURNS):
            busy = [poller for poller in self._pollers() if not poller.at_rest]
            if not busy:
                break
            until = self._step(self.random.choice(busy))
            self.clock.move_to(until or self.clock.now + SECOND)
        else:
            raise LawBroken("The mapping does not come to rest, although nothing fails any more.")
        self.clock.advance(120)
        self.laws.judge_stragglers()

    def _redrive(self) -> None:
        """Send some failed batches again, from their documents, as they stand in S3."""
        some = self.random.sample(self.given_up, min(_REDRIVEN, len(self.given_up)))
        for number, failed in enumerate(some):
            document = failed.document(f"request-{number}", "function", self.clock.now)
            batch = read_failed_batch(json.dumps(document).encode(), f"document {number}")
            self.history.add(f"redriven: {_numbers(batch.records)}")
            self.function.redrive(batch)
            self.laws.redriven(self.stream.shards[batch.shard], batch.records)

    def _stored(self) -> str:
        """Return what the stores hold, so that different histories have different texts."""
        digest = hashlib.sha256()
        for store in (self.lake, self.dead_letters):
            for key in store.list():
                digest.update(key.encode() + b"\0" + store.get(key) + b"\0")
        objects = len(self.lake.objects) + len(self.dead_letters.objects)
        return f"{objects} objects, SHA-256 {digest.hexdigest()[:16]}"

    def _settings(self) -> Mapping:
        random = self.random
        attempts = random.choice((-1, 0, 1, 3))
        if self.faults.rates.poison and attempts < 0:
            attempts = 2  # without an end to the retries, a poisoned record stops its shard
        return Mapping(
            batch_size=random.choice((1, 2, 3, 5, 10)),
            window_seconds=random.choice((0, 0, 1, 5)),
            retry_attempts=attempts,
            record_age_seconds=random.choice((-1, -1, 60, 300)),
            bisect=random.random() < 0.5,
        )


def _numbers(records: tuple[StreamRecord, ...]) -> str:
    return "[" + " ".join(number_of(record.sequence_number) for record in records) + "]"


def _summary(outcome: Returned | Raised) -> str:
    if isinstance(outcome, Raised):
        return f"ended: {outcome.error}"
    items = outcome.value["batchItemFailures"]
    return f"again from {number_of(items[0]['itemIdentifier'])}" if items else "done"
