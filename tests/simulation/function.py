"""The deployed function: the handler and its stations, on simulated machines."""

from __future__ import annotations

import functools
import json
from random import Random
from typing import Any

import msgspec

from pipeline import handlers
from pipeline.adapters.retry import RetryPolicy
from pipeline.adapters.telemetry import Telemetry
from pipeline.adapters.unfinished import Unfinished
from pipeline.attempt import Attempt, envelope_of
from pipeline.core.errors import DeadlineExceeded, PipelineError
from pipeline.core.records import Batch, Limits
from pipeline.core.routing import Router
from pipeline.core.stream import parse_stream
from pipeline.esm import Raised, Returned
from pipeline.flow import Pipeline

from .clock import SimulatedClock
from .documents import RULES
from .faults import Faults
from .formats import DATASETS
from .history import LawBroken
from .machine import TIME_OUT, Killed, Machine
from .store import SimulatedStore, SimulatedWriter

_RESERVE = 1.5  # seconds
_PATIENCE = 300.0  # seconds that a redrive has
_ELSEWHERE = 0.2  # the share of invocations by another process than the last one
_COLUMNS = Router([dataset.by_columns() for dataset in DATASETS])
_ROWS = Router([dataset.by_rows() for dataset in DATASETS])


class SimulatedFunction:
    """Invokes the handler, and ends it at a step of chance."""

    def __init__(
        self,
        random: Random,
        clock: SimulatedClock,
        faults: Faults,
        lake: SimulatedStore,
        dead_letters: SimulatedStore,
        *,
        has_rules: bool = False,
    ) -> None:
        self.random = random
        self.clock = clock
        self.faults = faults
        self.stores = (lake, dead_letters)
        self.timeout = random.choice((3.0, 10.0, 60.0))
        self.skew = random.uniform(-300.0, 300.0)
        part_bytes, part_documents = random.choice(((1_000, 3), (2**25, 100_000), (2**25, 100_000)))
        limits = Limits(
            part_bytes=part_bytes,
            part_documents=part_documents,
            open_partitions=random.choice((1, 3, 16)),
        )
        # Documents are few in a batch here, and then the columnar path is the slow one.
        router = _COLUMNS if random.random() < 0.25 else _ROWS
        envelope = envelope_of(parse_stream(RULES, "stream.toml"), limits) if has_rules else None
        self.pipeline = Pipeline(router, limits, lake, dead_letters, envelope=envelope)
        self.drops: dict[str, int] = {}
        """What the last invocation said that it dropped, by name."""
        self._usual_steps = 60
        self._elsewhere = Random(0)

    def invoke(self, event: Any, *, poisoned: bool) -> Returned | Raised:
        """Run the handler on an event; a `poisoned` one needs more memory than there is."""
        if self._elsewhere.random() < _ELSEWHERE:
            self._start_anew()
        dies_at, cause = self._fate(poisoned=poisoned)
        machine, self.drops = self._machine(dies_at, cause), {}
        telemetry = Telemetry(
            functools.partial(self._log, machine), lambda: self.clock.seconds + self.skew
        )
        opened = functools.partial(self._attempt, machine)
        try:
            value = handlers.respond(event, machine, self.pipeline, _RESERVE, telemetry, opened)
            self._usual_steps = machine.steps
            machine.step()
            if cause:
                machine.die(cause)
            if self.faults.strikes("response_lost"):
                machine.die("its response was lost")
        except (Killed, DeadlineExceeded) as error:
            if isinstance(error, Killed):
                self._start_anew()
            return Raised(str(error) if isinstance(error, Killed) else "too slow")
        except PipelineError as error:
            raise LawBroken(f"The handler raised {type(error).__name__}: {error}") from error
        return Returned(value)

    def redrive(self, batch: Batch) -> None:
        """Process a batch that was given up once more, as `pipeline redrive` does."""
        machine = self._machine(None, "", _PATIENCE)
        attempt = self._attempt(machine, self.pipeline, lambda: _PATIENCE, 0.0)
        attempt.process(batch)

    def _start_anew(self) -> None:
        """Let go of what a process remembers."""
        self.pipeline = msgspec.structs.replace(self.pipeline, unfinished=Unfinished())

    def _fate(self, *, poisoned: bool) -> tuple[int | None, str]:
        """Decide whether the invocation dies, at which step, and of what."""
        step = self.random.randint(1, self._usual_steps)
        if poisoned or self.faults.strikes("out_of_memory"):
            return step, "out of memory"
        if self.faults.strikes("killed"):
            return step, self.random.choice(("killed", TIME_OUT))
        return None, ""

    def _machine(self, dies_at: int | None, cause: str, timeout: float | None = None) -> Machine:
        machine = Machine(self.clock, timeout or self.timeout, dies_at, cause)
        for store in self.stores:
            store.machine = machine
        return machine

    def _attempt(
        self, machine: Machine, pipeline: Pipeline, remaining: Any, reserve: float
    ) -> Attempt:
        """Open an attempt whose waiting and writing are this machine's."""
        machine.gives_up = machine.deadline - round(reserve * 1e6)
        return Attempt(
            pipeline,
            remaining,
            reserve,
            policy=RetryPolicy(
                sleep=machine.sleep, jitter=self.random.random, clock=machine.seconds
            ),
            writing=functools.partial(SimulatedWriter, random=self.random, machine=machine),
            clock=machine.seconds,
        )

    def _log(self, machine: Machine, line: str) -> None:
        """Receive a line of the function's log."""
        machine.step()
        if "@stream" in line:
            raise LawBroken("Law 9: a line of the log quotes a payload.")
        self.drops |= json.loads(line).get("drops", {})
