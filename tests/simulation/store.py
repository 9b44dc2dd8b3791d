"""Object stores with faults, and the writer that has one thread instead of several."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.writer import ConcurrentWriter, _Write
from pipeline.core.errors import StoreRefused, StoreUnavailable

from .faults import Faults
from .history import History
from .invariants import Laws
from .machine import Hanging, Machine

_THREADS = 8  # writes that the real writer has begun at most
_TIME_OUT = 2.0  # seconds until a client gives up on a response


class SimulatedStore(MemoryStore):
    """A store that throttles, fails, hangs, and stores what it does not confirm."""

    def __init__(self, name: str, faults: Faults, history: History, laws: Laws) -> None:
        super().__init__(name)
        self.faults = faults
        self.history = history
        self.laws = laws
        self.machine = Machine(history.clock, timeout=0)
        """The machine that is calling."""
        self.down_until = 0

    def put(self, key: str, body: bytes) -> None:
        """Store an object, or do not, and say so, or do not."""
        self.machine.step()
        self.laws.attempted(self.uri, key, body)
        self._fail_before(key, body)
        if self.faults.strikes("store_slow"):
            self._store_slowly(key, body)
        else:
            self.machine.spend(0.02)
            self._store(key, body)
        if self.faults.strikes("store_timed_out"):
            self._note("stored, response lost")
            self.machine.spend(_TIME_OUT)
            raise StoreUnavailable("The store did not answer in time; try again.")
        self.machine.step()
        self.laws.acknowledged(self.uri, key)

    def land(self, key: str, body: bytes) -> None:
        """Store an object on behalf of a writer who has gone away."""
        self.laws.attempted(self.uri, key, body)
        self._store(key, body)
        self._note("a write landed without its writer")

    def _fail_before(self, key: str, body: bytes) -> None:
        """Raise the store's error, if it has one, instead of storing."""
        if self.machine.clock.now < self.down_until:
            self.machine.spend(0.05)
            raise StoreUnavailable("The store is down; try again.")
        if self.faults.strikes("store_throttled"):
            self._note("throttled")
            self.machine.spend(0.01)
            raise StoreUnavailable("The store is short of capacity; try again later.")
        if self.faults.strikes("store_failed"):
            self._note("failed")
            self.machine.spend(0.3)
            raise StoreUnavailable("The store had an internal error; try again.")
        if self.faults.strikes("store_refused"):
            self._note("refused")
            raise StoreRefused("The store denies access; give the function's role access to it.")
        if self.faults.strikes("store_late"):
            self._note("no response, to be stored later")
            self._store_later(self.faults.random.uniform(0.1, 60.0), key, body)
            self.machine.spend(_TIME_OUT)
            raise StoreUnavailable("The store did not answer in time; try again.")

    def _store_slowly(self, key: str, body: bytes) -> None:
        seconds = self.faults.random.choice((0.5, 2.0, 8.0, 30.0))
        self._note(f"slow, {seconds} s")
        try:
            self.machine.spend(seconds)
        except Hanging:
            # The writer stops waiting for it; that does not stop it.
            self._store_later(seconds, key, body)
            raise
        self._store(key, body)

    def _store_later(self, seconds: float, key: str, body: bytes) -> None:
        clock = self.machine.clock
        clock.at(clock.now + round(seconds * 1e6), lambda: self._store(key, body))

    def _store(self, key: str, body: bytes) -> None:
        super().put(key, body)
        self.laws.stored(self.uri, key, body)

    def _note(self, line: str) -> None:
        self.history.add(f"    {self.uri.removeprefix('memory://')}: {line}")


class SimulatedWriter(ConcurrentWriter):
    """The product's writer, whose threads are chances.

    What is handed over is written at once, or at a later turn, or when there is nothing left but
    to wait, in an order of chance.
    """

    def __init__(self, *, random: Random, machine: Machine, **settings: Any) -> None:
        super().__init__(**settings)
        self._random = random
        machine.on_death(self._land_some)

    def _start_thread(self) -> None:
        """Let the threads advance by some writes."""
        while self._waiting and self._random.random() < 0.3:
            self._write_next()

    def _block_until(self, done: Callable[[], object]) -> None:
        """Let the threads work instead of waiting for them."""
        while not done():
            if self._remaining() <= self._reserve:
                self._raise_out_of_time()
            self._write_next()

    def _write_next(self) -> bool:
        self._waiting.rotate(-self._random.randrange(len(self._waiting)))
        begun = list(itertools.islice(self._waiting, 1, _THREADS))
        before = len(self._failures)
        more = super()._write_next()
        if len(self._failures) > before:
            self._land_some(begun)
            if isinstance(self._failures[-1], Hanging):
                # The thread has not come back: nothing failed, and the write is still in hand.
                self._failures.pop()
                self._writing += 1
        return more

    def _land_some(self, begun: list[_Write] | None = None) -> None:
        """Store some of the writes that other threads have begun, and nobody waits for now."""
        for write in self._waiting if begun is None else begun:
            if self._random.random() < 0.3:
                write.store._inner.land(write.key, write.body)  # type: ignore[attr-defined]  # a retrying store
