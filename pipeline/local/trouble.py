"""Failures in a row: how long to wait after each, and which of them are reported."""

import random
import threading
from collections.abc import Callable
from typing import Final

from pipeline.backoff import backoff
from pipeline.core.errors import StoreError, StoreRefused, StreamError, StreamRefused
from pipeline.local.pace import USUAL_PACE, Pace

_LONGEST_PAUSE: Final = 30.0  # seconds
# Of what may pass by itself, the first few failures are not reported.
_REPORT_FIRST: Final = 5
REPORT_EVERY: Final = 20
"""Of failures in a row that are reported, only every so many after the first."""

Notify = Callable[[str], object]
"""Accepts a sentence for the operator."""


class FailureBackoff:
    """Failures of one thing that is tried again and again; `name` begins their sentences."""

    def __init__(
        self, name: str, notify: Notify, stop: threading.Event, pace: Pace = USUAL_PACE
    ) -> None:
        self._name = name
        self._notify = notify
        self._stop = stop
        self._first_pause = pace.first_pause
        self._failures = 0

    def reset(self) -> None:
        """Note that it worked."""
        self._failures = 0

    def pause_after(self, error: StreamError | StoreError) -> None:
        """Report a failure now and then, and wait before the next try, or until the stop."""
        self._failures += 1
        first = 1 if isinstance(error, StreamRefused | StoreRefused) else _REPORT_FIRST
        if self._failures == first or self._failures % REPORT_EVERY == 0:
            self._notify(f"{self._name}: {error} (failure {self._failures} in a row)")
        # Not all at the same moment again, where many shards failed at the same moment.
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - chance, not secrecy
        self._stop.wait(backoff(self._failures, self._first_pause, _LONGEST_PAUSE, jitter))
