"""One attempt to store one batch: its time, its retries, its numbers."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.store import (
    ConcurrentWriter,
    ObjectStore,
    RetryingStore,
    StoreHealth,
    open_store,
)
from pipeline.core.report import Report
from pipeline.core.routing import Router
from pipeline.flow import System
from pipeline.settings import Settings

_PATIENCE = 60.0  # seconds
Road = Callable[[System, ConcurrentWriter, Stopwatch], Report]


class Session:
    """Lends a system's stores retries, and a writer, within the time there is.

    `remaining` tells the seconds left, of which `reserve` are kept for the answer. Where the time
    is simulated, so are waiting and writing: `retrying` and `writing` make the retrying stores and
    the writer, and `clock` is the stopwatch's, in seconds.
    """

    def __init__(
        self,
        system: System,
        remaining: Callable[[], float],
        reserve: float,
        *,
        retrying: Callable[..., RetryingStore] = RetryingStore,
        writing: Callable[..., ConcurrentWriter] = ConcurrentWriter,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.remaining = remaining
        self.reserve = reserve
        self._retrying = retrying
        self._writing = writing
        self.health = StoreHealth()
        self.output = self._patient(system.output)
        self.dead_letters = self._patient(system.dead_letters)
        self.system = System(system.router, system.bounds, self.output, self.dead_letters)
        self.watch = Stopwatch(clock)

    @property
    def retries(self) -> int:
        """How many store calls were tried again."""
        return self.output.retries + self.dead_letters.retries

    def run(self, road: Road) -> Report:
        """Go down `process` or `resume`, given all but what this session lends."""
        writer = self._writing(
            remaining=self.remaining,
            reserve=self.reserve,
            most_waiting=self.system.bounds.open_partitions,
            health=self.health,
        )
        with writer:
            report = road(self.system, writer, self.watch)
        report.retries = self.retries
        return report

    def _patient(self, store: ObjectStore) -> RetryingStore:
        return self._retrying(
            store, remaining=self.remaining, reserve=self.reserve, health=self.health
        )


def open_system(settings: Settings) -> System:
    """Build what outlives a batch; a wrong configuration stops the start here."""
    datasets = read_datasets(Path(settings.schemas))
    if not settings.columnar:
        datasets = tuple(of.by_rows() for of in datasets)
    return System(
        Router(datasets),
        settings.bounds,
        open_store(settings.output),
        open_store(settings.dead_letters),
    )


def open_patient(uri: str) -> ObjectStore:
    """Open a store whose calls are tried again for a while, for work that no Lambda times."""
    return RetryingStore(open_store(uri), remaining=lambda: math.inf, longest=_PATIENCE)


def patience(seconds: float) -> Callable[[], float]:
    """Return a function that tells how much of this time is left."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
