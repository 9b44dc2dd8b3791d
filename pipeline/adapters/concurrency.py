"""How many writes may be in flight, by how often the store throttles them."""

from __future__ import annotations

from typing import Final


class AdaptiveConcurrency:
    """A limit that falls while a store throttles, and rises again when it no longer does.

    It changes after each round, which is as many tries as the limit is. A round of throttled tries
    halves it, one without any raises it by 1, and one of both does both by their shares: so a few
    odd errors cost little, while a store that is really too busy is soon asked by one write at a
    time. It counts tries and looks at no clock, so it is as slow or as fast as the store is.

    Whoever calls holds a lock.
    """

    def __init__(self, most: int) -> None:
        """Begin with the most that may ever be in flight, at least 1."""
        self._most: Final = most
        self._limit = float(most)
        self._written = 0
        self._throttled = 0

    @property
    def limit(self) -> int:
        """How many writes may be in flight now, from 1 to `most`."""
        return int(self._limit)

    def count(self, *, written: int, throttled: int) -> None:
        """Count tries that have ended since the last call: those stored, and those throttled."""
        self._written += written
        self._throttled += throttled
        tries = self._written + self._throttled
        if tries >= self.limit:
            share = self._throttled / tries
            changed = self._limit * (1 - share / 2) + (1 - share)
            self._limit = min(max(changed, 1.0), float(self._most))
            self._written = self._throttled = 0
