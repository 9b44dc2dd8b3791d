"""Time that moves only on request."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

SECOND = 1_000_000
START = 1_795_427_880 * SECOND  # 2026-11-23T09:58:00Z: the hour ends within the history


class SimulatedClock:
    """Integer microseconds since 1970, and what is due later."""

    def __init__(self) -> None:
        self.now = START
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    @property
    def seconds(self) -> float:
        """The time in seconds since 1970."""
        return self.now / SECOND

    def at(self, time: int, action: Callable[[], object]) -> None:
        """Call `action` at `time`, after what was registered earlier for the same time."""
        heapq.heappush(self._due, (time, next(self._numbers), action))

    def advance(self, seconds: float) -> None:
        """Move on by this many seconds."""
        self.move_to(self.now + round(seconds * SECOND))

    def move_to(self, time: int) -> None:
        """Move on to `time`, unless it is past, and call on the way what is due."""
        while self._due and self._due[0][0] <= time:
            due, _, action = heapq.heappop(self._due)
            self.now = max(self.now, due)
            action()
        self.now = max(self.now, time)
