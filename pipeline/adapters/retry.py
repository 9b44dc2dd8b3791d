"""The store that tries again, and the record of what went wrong."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from pipeline.adapters.store import ObjectStore, key_order
from pipeline.backoff import backoff
from pipeline.core.errors import (
    NoTimeToRetry,
    StoreError,
    StoreRefused,
    StoreThrottled,
    StoreUnavailable,
)

_Result = TypeVar("_Result")


class StoreHealth:
    """How many store errors were seen, how many of them were throttles, and the last's sentence.

    One object is shared by the stores and the writer of one invocation. The writer writes slower
    while a store throttles; and when it runs out of time and nothing was acknowledged, it must know
    whether a store was down (deliver the batch again, whole) or the batch too much (bisect it).
    An error that a retry may still put right is known to the store alone.
    """

    def __init__(self) -> None:
        """Start healthy."""
        self._lock = threading.Lock()
        self._errors = Counter[str]()
        self._throttles = 0
        self._last: str | None = None

    def record(self, error: StoreError, uri: str = "") -> None:
        """Count `error` of the store at `uri`.

        Its text alone is kept: a traceback would hold the body in memory.
        """
        with self._lock:
            self._errors[uri] += 1
            self._throttles += isinstance(error, StoreThrottled)
            self._last = str(error)

    @property
    def errors(self) -> int:
        """How many errors were seen, those that a retry put right included."""
        with self._lock:
            return self._errors.total()

    def by_store(self) -> Counter[str]:
        """Return how many errors were seen of each store, by its URI."""
        with self._lock:
            return self._errors.copy()

    @property
    def throttles(self) -> int:
        """How many of the errors said that the store gets too many requests."""
        with self._lock:
            return self._throttles

    @property
    def last(self) -> str | None:
        """The sentence of the latest error."""
        with self._lock:
            return self._last


class Retry(msgspec.Struct, frozen=True):
    """One retry about to happen, for logs and metrics."""

    operation: str
    """`put`, `get`, `list` or `delete`."""
    uri: str
    tries: int
    """How many tries have failed, 1 or more."""
    delay: float
    """Seconds until the next one."""
    error: StoreUnavailable


def _chance() -> float:
    """Return a number from 0 to 1. Most starts never need one, nor the module it comes from."""
    from random import random  # noqa: PLC0415 - 5 ms, and rare

    return random()  # noqa: S311 - who waits how long is no secret


def _ignore(_: Retry) -> None:
    """Observe nothing."""


class _Attempts(msgspec.Struct):
    """The failed tries of one operation, since `started` on the store's clock."""

    operation: str
    started: float
    failed: int = 0


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How failed calls are repeated. All times are in seconds.

    The delays are those of `backoff`; one operation is tried for `longest` at most. Of the time
    that is left, `reserve` is not spent on waiting. `jitter` returns numbers in [0, 1). `on_retry`
    is called before each wait, in the thread that waits.
    """

    first_delay: float = 0.05
    longest_delay: float = 5.0
    longest: float = math.inf
    reserve: float = 1.5
    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = _chance
    clock: Callable[[], float] = time.monotonic
    on_retry: Callable[[Retry], object] = _ignore


DEFAULT_POLICY: Final = RetryPolicy()


class Retrier:
    """Repeats calls to one service that fail for now, until time runs out."""

    def __init__(
        self,
        uri: str,
        remaining: Callable[[], float],
        policy: RetryPolicy = DEFAULT_POLICY,
        health: StoreHealth | None = None,
    ) -> None:
        """Call what is at `uri`, for messages. `remaining` returns the seconds left."""
        self.uri = uri
        self.health: Final = health or StoreHealth()
        self._remaining = remaining
        self._policy = policy
        self._lock = threading.Lock()
        self._retries = 0

    @property
    def retries(self) -> int:
        """How many retries have happened so far, over all operations and threads."""
        with self._lock:
            return self._retries

    def attempts(self, operation: str) -> _Attempts:
        """Begin a series of tries."""
        return _Attempts(operation, self._policy.clock())

    def call(
        self, operation: str, call: Callable[[], _Result], attempts: _Attempts | None = None
    ) -> _Result:
        """Call until it works, or there is no time; `StoreUnavailable` alone is tried again."""
        attempts = attempts or self.attempts(operation)
        while True:
            try:
                return call()
            except StoreRefused as error:
                self.health.record(error, self.uri)
                raise
            except StoreUnavailable as error:
                self.health.record(error, self.uri)
                self._pause(attempts, error)

    def _pause(self, attempts: _Attempts, error: StoreUnavailable) -> None:
        """Wait before the next try, or raise `error` with what was tried if there is no time.

        It is `NoTimeToRetry` where the invocation's time ends, and not the policy's patience.
        """
        policy = self._policy
        attempts.failed += 1
        delay = backoff(attempts.failed, policy.first_delay, policy.longest_delay, policy.jitter())
        spent = policy.clock() - attempts.started
        left = self._remaining() - policy.reserve
        if delay >= min(left, policy.longest - spent):
            tries = "1 try" if attempts.failed == 1 else f"{attempts.failed} tries"
            message = f"Gave up after {tries} over {spent:.1f} s, with no time for another: {error}"
            raise (NoTimeToRetry if delay >= left else StoreUnavailable)(message) from error
        with self._lock:
            self._retries += 1
        policy.on_retry(Retry(attempts.operation, self.uri, attempts.failed, delay, error))
        policy.sleep(delay)


class RetryingStore:
    """A store that repeats what another could not do for now, until time runs out.

    All four operations may be repeated without harm: a `put` writes the same bytes under the same
    key, a `delete` of what is gone is fine, and `list` goes on after the last key it yielded.
    `StoreRefused` and `ObjectMissing` pass at once: a retry would not change them.
    """

    def __init__(
        self,
        inner: ObjectStore,
        remaining: Callable[[], float],
        policy: RetryPolicy = DEFAULT_POLICY,
        health: StoreHealth | None = None,
    ) -> None:
        """Wrap `inner`. `remaining` returns the seconds left."""
        self.uri = inner.uri
        self.longest_key = inner.longest_key
        self._inner = inner
        self._retrier = Retrier(inner.uri, remaining, policy, health)
        self.health: Final = self._retrier.health

    @property
    def retries(self) -> int:
        """How many retries have happened so far, over all operations and threads."""
        return self._retrier.retries

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`, trying again while there is time."""
        self._retrier.call("put", lambda: self._inner.put(key, body))

    def get(self, key: str) -> bytes:
        """Return the object under `key`, trying again while there is time."""
        return self._retrier.call("get", lambda: self._inner.get(key))

    def delete(self, key: str) -> None:
        """Remove the object under `key`, trying again while there is time."""
        self._retrier.call("delete", lambda: self._inner.delete(key))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, going on after the last one on an error."""
        keys: Iterator[str] | None = None
        attempts = self._retrier.attempts("list")
        last = b""

        def next_key() -> str | None:
            nonlocal keys
            try:
                keys = self._inner.list(prefix) if keys is None else keys
                return next((key for key in keys if key_order(key) > last), None)
            except StoreUnavailable:
                keys = None
                raise

        while (key := self._retrier.call("list", next_key, attempts)) is not None:
            yield key
            last = key_order(key)
            # A key is progress: the next error is the first of a new series.
            attempts = self._retrier.attempts("list")
