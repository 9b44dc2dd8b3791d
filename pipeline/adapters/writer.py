"""Writing the objects of one batch side by side, within the time of one invocation."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from pipeline.adapters.retry import StoreHealth
from pipeline.adapters.store import ObjectStore
from pipeline.core.errors import DeadlineExceeded, StoreUnavailable
from pipeline.core.records import folded


class _Write(msgspec.Struct, frozen=True):
    store: ObjectStore
    key: str
    body: bytes


class ConcurrentWriter:
    """Writes the objects of one batch from several threads, while the caller encodes the next.

    `put` hands an object over; `wait` returns once every one of them is acknowledged. Neither ever
    blocks past the deadline, which is when `remaining() - reserve` reaches zero. Writes that hang
    then are abandoned: Python cannot stop a thread, but these are daemons, so they do not hold up
    the interpreter's exit, and a write that still lands late is harmless, because keys and bytes
    are a function of the batch: it stores what the next delivery of the batch stores as well (or,
    if that is cut differently, rows that their identity shows to be the same).

    Used as a context manager, leaving it without an error waits, and leaving it with one cancels
    what has not begun. A failed write cancels what has not begun, too.
    """

    def __init__(
        self,
        *,
        remaining: Callable[[], float],
        reserve: float,
        concurrency: int = 8,
        most_waiting: int = 16,
        health: StoreHealth | None = None,
    ) -> None:
        """Write for one batch, then let this object go.

        `remaining` and `reserve` are in seconds. `concurrency` is the number of threads, and
        `most_waiting` the number of bodies in hand, in writing or waiting for it: it limits the
        memory. `health` is the one that the retrying stores of this batch report to.
        """
        if concurrency < 1 or most_waiting < 1:
            message = (
                f"The writer got concurrency {concurrency} and most_waiting {most_waiting}, "
                "and would never write; make both at least 1."
            )
            raise ValueError(message)
        self._remaining = remaining
        self._reserve = reserve
        self._concurrency: Final = concurrency
        self._most_waiting: Final = most_waiting
        self._health = health or StoreHealth()
        self._errors_before = self._health.errors
        # Guards all that follows, and is notified whenever a write ends.
        self._changed = threading.Condition()
        self._waiting: deque[_Write] = deque()
        self._writing = 0
        self._begun: list[float] = []  # what was left of the time when each of these began
        self._threads = 0
        self._addresses: set[tuple[str, str]] = set()
        self._failures: list[BaseException] = []

    def put(self, store: ObjectStore, key: str, body: bytes) -> None:
        """Hand over an object; block while `most_waiting` are in hand.

        Raises what `wait` raises as soon as a write has failed or time has run out, and
        `ValueError` for an object that this batch has written already, or whose name some file
        system would not tell from one that it has: a bug of the caller.
        """
        address = (store.uri, folded(key))
        with self._changed:
            if address in self._addresses:
                message = (
                    f"The object {store.uri}/{key} was submitted twice in one batch, and one would "
                    "overwrite the other; give every object of a batch a key of its own."
                )
                raise ValueError(message)
            self._block_until(lambda: self._failures or self._in_hand() < self._most_waiting)
            self._raise_failure()
            self._addresses.add(address)
            self._waiting.append(_Write(store, key, body))
            self._start_thread()

    def wait(self) -> None:
        """Return when every object handed over is acknowledged; more may follow.

        Raises the first `StoreRefused`, else the first `StoreUnavailable`, of the writes that
        failed. If time runs out first, raises `StoreUnavailable` when a store reported any error
        during this batch, even one that a retry put right, and `DeadlineExceeded` when none did.
        """
        with self._changed:
            # A temporary failure waits for the rest: a refusal among them would be the better
            # error, as it says what to fix.
            self._block_until(lambda: self._fatal() or not self._in_hand())
            self._raise_failure()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the writes, or cancel those that have not begun."""
        if kind is None:
            self.wait()
        else:
            with self._changed:
                self._waiting.clear()

    def _in_hand(self) -> int:
        return self._writing + len(self._waiting)

    def _fatal(self) -> BaseException | None:
        """Return the first failure that is not temporary: a refusal, or a bug."""
        fatal = (error for error in self._failures if not isinstance(error, StoreUnavailable))
        return next(fatal, None)

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._fatal() or self._failures[0]

    def _block_until(self, done: Callable[[], object]) -> None:
        """Return when `done()`; raise when time runs out before."""
        while not done():
            left = self._remaining() - self._reserve
            if left <= 0:
                self._raise_out_of_time()
            self._changed.wait(min(left, threading.TIMEOUT_MAX))

    def _raise_out_of_time(self) -> None:
        unfinished = f"{self._in_hand()} of {len(self._addresses)} objects"
        self._waiting.clear()
        self._raise_failure()
        if self._health.errors > self._errors_before:
            message = (
                f"Time ran out before {unfinished} were acknowledged, and the store had reported "
                f"errors, the last of them: {self._health.last}"
            )
            raise StoreUnavailable(message)
        message = (
            f"Time ran out before {unfinished} were acknowledged, though no store reported an "
            f"error{self._silence()}; raise the time-out or the memory of the function, or make "
            "its batches smaller."
        )
        raise DeadlineExceeded(message)

    def _silence(self) -> str:
        """Say how long a store has not responded: it hangs, if that is longer than a write takes.

        That does not prove the store ill. A write may take long because it is large, and then
        only a smaller batch helps, which does no harm where the store hangs.
        """
        if not self._begun:
            return ""
        waited = max(self._begun) - self._remaining()
        return (
            f" (one of them has had no response for {waited:.1f} s: that may be the store's fault)"
        )

    def _start_thread(self) -> None:
        """Start one more thread, unless there are enough. It ends when nothing is waiting.

        None lingers for more: the interpreter may end meanwhile, and would abort on it.
        """
        if self._threads < self._concurrency:
            threading.Thread(target=self._work, name="store-writer", daemon=True).start()
            self._threads += 1

    def _work(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        """Write what has waited longest; return whether there was anything.

        A function of its own, so that no body is kept alive between two writes.
        """
        with self._changed:
            if not self._waiting:
                self._threads -= 1
                return False
            write = self._waiting.popleft()
            self._writing += 1
            begun = self._remaining()
            self._begun.append(begun)
        failure: BaseException | None = None
        try:
            write.store.put(write.key, write.body)
        except BaseException as error:  # noqa: BLE001 - not swallowed: put() and wait() raise it
            failure = error
        with self._changed:
            self._writing -= 1
            self._begun.remove(begun)
            if failure is not None:
                self._failures.append(failure)
                self._waiting.clear()
            self._changed.notify_all()
        return True
