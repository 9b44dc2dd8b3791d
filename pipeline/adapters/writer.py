"""Writing the objects of one batch side by side, within the time of one invocation."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from pipeline.adapters.concurrency import AdaptiveConcurrency
from pipeline.adapters.retry import StoreHealth
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.unfinished import Stored
from pipeline.core.errors import DeadlineExceeded, NoTimeToRetry, StoreUnavailable
from pipeline.core.records import folded

_REMEDY: Final = "raise the time-out or the memory of the function, or make its batches smaller"


CONCURRENCY: Final = 32
"""Objects written at once: S3 takes 100 ms for each, and an event may have hundreds."""


class _Write(msgspec.Struct, frozen=True):
    store: ObjectStore
    key: str
    body: bytes


class _Begun(msgspec.Struct, frozen=True):
    """A write, and how many seconds were left when it began."""

    write: _Write
    remaining: float


class ConcurrentWriter:
    """Writes the objects of one batch from several threads, while the caller encodes the next.

    `put` hands an object over; `wait` returns once every one of them is acknowledged. Neither ever
    blocks past the deadline, which is when `remaining() - reserve` reaches zero. Writes that hang
    then are abandoned: Python cannot stop a thread, but these are daemons, so they do not hold up
    the interpreter's exit, and a write that still lands late is harmless, because keys and bytes
    are a function of the batch: it stores what the next delivery of the batch stores as well (or,
    if that is cut differently, rows that their identity shows to be the same).

    While a store throttles, fewer writes are in flight, down to one: see `AdaptiveConcurrency`.

    Used as a context manager, leaving it without an error waits, and leaving it with one cancels
    what has not begun. A failed write cancels what has not begun, too.
    """

    def __init__(
        self,
        *,
        remaining: Callable[[], float],
        reserve: float,
        concurrency: int = CONCURRENCY,
        most_waiting: int = 2 * CONCURRENCY,
        most_bytes: int = 64 * 2**20,
        health: StoreHealth | None = None,
        stored: Stored | None = None,
    ) -> None:
        """Write for one batch, then let this object go.

        `remaining` and `reserve` are in seconds. `concurrency` is the most threads, and
        `most_waiting` the number of bodies in hand, in writing or waiting for it; `most_bytes` is
        what they may measure together (one alone may measure more), which limits the memory.
        `health` is the one that the retrying stores of this batch report to. `stored` is what
        earlier attempts at the batch have stored: see `Unfinished`.
        """
        if concurrency < 1 or most_waiting < 1:
            message = (
                f"The writer got concurrency {concurrency} and most_waiting {most_waiting}, "
                "and would never write; make both at least 1."
            )
            raise ValueError(message)
        self._remaining = remaining
        self._reserve = reserve
        self._concurrency: Final = AdaptiveConcurrency(concurrency)
        self._most_waiting: Final = most_waiting
        self._most_bytes: Final = most_bytes
        self._bytes_in_hand = 0
        self._health = health or StoreHealth()
        self._errors_before = self._health.by_store()
        self._throttles_counted = self._health.throttles
        # Guards all that follows, and is notified whenever a write ends.
        self._changed = threading.Condition()
        self._waiting: deque[_Write] = deque()
        self._writing = 0
        self._begun: list[float] = []  # what was left of the time when each of these began
        self._threads = 0
        self._addresses: set[tuple[str, str]] = set()
        self._stored: Final = dict(stored or {})
        self._acknowledged_addresses: set[tuple[str, str]] = set()  # in this attempt
        self._is_last = False  # whether everything has been handed over, for all that is known
        self._failures: list[BaseException] = []

    @property
    def _acknowledged(self) -> int:
        return len(self._acknowledged_addresses)

    @property
    def stored(self) -> Stored:
        """Every object of the batch that was acknowledged, now or in an earlier attempt."""
        with self._changed:
            return dict(self._stored)

    def size_stored(self, store: ObjectStore, key: str) -> int | None:
        """Return how large an object is that is stored already; None for one that is not."""
        with self._changed:
            return self._stored.get((store.uri, key))

    def put(self, store: ObjectStore, key: str, body: bytes) -> None:
        """Hand over an object; block while `most_waiting` are in hand, or `most_bytes`.

        Raises what `wait` raises as soon as a write has failed or time has run out, and
        `ValueError` for an object that this batch has written already, or whose name some file
        system would not tell from one that it has: a bug of the caller.
        """
        address = (store.uri, folded(key))
        with self._changed:
            self._is_last = False
            if address in self._addresses:
                message = (
                    f"The object {store.uri}/{key} was submitted twice in one batch, and one would "
                    "overwrite the other; give every object of a batch a key of its own."
                )
                raise ValueError(message)
            self._block_until(lambda: self._failures or self._has_room(len(body)))
            self._raise_failure()
            self._check_time()
            self._addresses.add(address)
            self._bytes_in_hand += len(body)
            self._waiting.append(_Write(store, key, body))
            self._start_thread()

    def check(self) -> None:
        """Raise what `wait` raises, but wait for nothing: for the work between two writes.

        A batch that cannot be stored in time any more is then given up while there is time to
        say so, however long it takes to encode.
        """
        with self._changed:
            self._raise_failure()
            self._check_time()

    def wait(self) -> None:
        """Return when every object handed over is acknowledged; more may follow.

        Raises the first `StoreRefused`, else the first `StoreUnavailable`, of the writes that
        failed for good. If time runs out first, it is an outage, and raises `StoreUnavailable`,
        when a store reported an error and acknowledged not one object of this batch. It is
        `DeadlineExceeded` otherwise, whatever errors retries have put right: the stores work, and
        the batch is too much for the time.
        """
        with self._changed:
            self._is_last = True
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

    def _has_room(self, size: int) -> bool:
        """Tell whether one more body may be in hand."""
        in_hand = self._in_hand()
        fits = self._bytes_in_hand + size <= self._most_bytes
        return in_hand == 0 or (in_hand < self._most_waiting and fits)

    def _in_hand(self) -> int:
        return self._writing + len(self._waiting)

    def _fatal(self) -> BaseException | None:
        """Return the first failure that is not temporary: a refusal, or a bug."""
        fatal = (error for error in self._failures if not isinstance(error, StoreUnavailable))
        return next(fatal, None)

    def _raise_failure(self) -> None:
        """Raise the error of a write that failed for good, or was given up for want of time."""
        if self._failures:
            self._raise_failure_for_good()
            self._raise_out_of_time()

    def _raise_failure_for_good(self) -> None:
        for_good = (error for error in self._failures if not isinstance(error, NoTimeToRetry))
        failure = self._fatal() or next(for_good, None)
        if failure is not None:
            raise failure

    def _block_until(self, done: Callable[[], object]) -> None:
        """Return when `done()`; raise when time runs out before."""
        while not done():
            self._check_time()
            self._changed.wait(min(self._remaining() - self._reserve, threading.TIMEOUT_MAX))

    def _check_time(self) -> None:
        if self._remaining() <= self._reserve:
            self._raise_out_of_time()

    def _raise_out_of_time(self) -> None:
        """Raise what the end of the time means: an outage of the store, or too large a batch."""
        self._waiting.clear()
        self._raise_failure_for_good()
        errors_now = self._health.by_store() - self._errors_before
        errors = max(errors_now.total(), len(self._failures))
        if not errors:
            message = (
                f"{self._out_of_time()}, though no store reported an error{self._silence()}; "
                f"{_REMEDY}."
            )
            raise DeadlineExceeded(message)
        down = self._one_down(errors_now)
        if self._acknowledged and down is None:
            tries = "1 try" if errors == 1 else f"{errors:,} tries"
            message = (
                f"{self._out_of_time()}, though the stores work: they acknowledged "
                f"{self._acknowledged:,}, and {tries} failed meanwhile; {_REMEDY}. The last error: "
                f"{self._health.last or self._failures[-1]}"
            )
            raise DeadlineExceeded(message)
        if self._failures and not self._acknowledged:
            raise self._failures[0]
        message = (
            f"{self._out_of_time()}, and {down or 'the store'} had reported errors"
            f"{', and stored nothing of it' if down else ''}, the last of them: "
            f"{self._health.last or self._failures[-1]}"
        )
        raise StoreUnavailable(message)

    def _one_down(self, errors: Counter[str]) -> str | None:
        """Return the URI of a store that reported errors and acknowledged nothing, if one did.

        The other store says nothing about it: dead letters may be in another bucket, or region.
        """
        works = {uri for uri, _ in self._acknowledged_addresses}
        wanted = {uri for uri, _ in self._addresses}
        return min((uri for uri in wanted - works if errors[uri]), default=None)

    def _out_of_time(self) -> str:
        total, left = len(self._addresses), len(self._addresses) - self._acknowledged
        if not total:
            return "Time ran out before the first object of the batch was ready"
        if not left:
            return f"Time ran out with {total:,} of the objects stored, and more to come"
        more = "" if self._is_last else ", and more were to come"
        return f"Time ran out before {left:,} of {total:,} objects were acknowledged{more}"

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
        if self._threads < self._concurrency.limit:
            threading.Thread(target=self._work, name="store-writer", daemon=True).start()
            self._threads += 1

    def _work(self) -> None:
        while self._write_next():
            with self._changed:
                if self._waiting:
                    self._start_thread()  # there may be room again for one that had ended

    def _write_next(self) -> bool:
        """Write what has waited longest; return whether this thread is to go on.

        A function of its own, so that no body is kept alive between two writes.
        """
        begun = self._begin()
        if begun is None:
            return False
        self._end(begun, _try(begun.write))
        return True

    def _begin(self) -> _Begun | None:
        """Take what has waited longest, unless this thread is one too many, or nothing waits."""
        with self._changed:
            if not self._waiting or self._threads > self._concurrency.limit:
                self._threads -= 1
                return None
            self._writing += 1
            begun = _Begun(self._waiting.popleft(), self._remaining())
            self._begun.append(begun.remaining)
            return begun

    def _end(self, begun: _Begun, failure: BaseException | None) -> None:
        """Note how a write ended; one that failed cancels those that have not begun."""
        with self._changed:
            self._writing -= 1
            self._bytes_in_hand -= len(begun.write.body)
            self._begun.remove(begun.remaining)
            if failure is None:
                write = begun.write
                self._stored[write.store.uri, write.key] = len(write.body)
                self._acknowledged_addresses.add((write.store.uri, write.key))
            else:
                self._failures.append(failure)
                self._waiting.clear()
            throttles = self._health.throttles
            throttled = throttles - self._throttles_counted
            self._throttles_counted = throttles
            self._concurrency.count(written=int(failure is None), throttled=throttled)
            self._changed.notify_all()


def _try(write: _Write) -> BaseException | None:
    """Write an object; return what it failed with."""
    try:
        write.store.put(write.key, write.body)
    except BaseException as error:  # noqa: BLE001 - not swallowed: put() and wait() raise it
        return error
    return None
