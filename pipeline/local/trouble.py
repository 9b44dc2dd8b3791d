"""Failures in a row: how long to wait after each, and which of them an operator is told."""

import random
import threading
from collections.abc import Callable
from typing import Final

from pipeline.core.errors import StoreError, StoreRefused, StreamError, StreamRefused

_FIRST_PAUSE: Final = 0.2  # seconds, and then twice as long each time, up to:
_LONGEST_PAUSE: Final = 30.0
# Of what may pass by itself, the first few failures are told to nobody.
_TELL_FIRST: Final = 5
_TELL_EVERY: Final = 20

Tell = Callable[[str], object]


class FailureBackoff:
    """What goes wrong again and again for one who keeps trying."""

    def __init__(self, who: str, tell: Tell, stop: threading.Event) -> None:
        self._who = who
        self._tell = tell
        self._stop = stop
        self._failures = 0

    def over(self) -> None:
        """Note that it worked."""
        self._failures = 0

    def pause_after(self, error: StreamError | StoreError) -> None:
        """Tell of a failure now and then, and wait before the next try, or until the stop."""
        self._failures += 1
        first = 1 if isinstance(error, StreamRefused | StoreRefused) else _TELL_FIRST
        if self._failures == first or self._failures % _TELL_EVERY == 0:
            self._tell(f"{self._who}: {error} (failure {self._failures} in a row)")
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 16))
        # Not all at the same moment again, where many shards failed at the same moment.
        self._stop.wait(longest * random.uniform(0.5, 1.0))  # noqa: S311 - chance, not secrecy
