"""What passes between a mapping and whoever invokes the function."""

from dataclasses import dataclass
from typing import Any

from pipeline.core.records import StreamRecord
from pipeline.esm.failure import FailedBatch


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned this JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The function ended otherwise: an exception, a time-out, out of memory."""

    error: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """The invocation was not accepted: it is tried again without using up a retry."""


Outcome = Returned | Raised | Throttled


@dataclass(frozen=True, slots=True)
class Invoke:
    """Invoke the function with this event, then `settle`; `attempt` counts from 1."""

    event: dict[str, Any]
    records: tuple[StreamRecord, ...]
    attempt: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this time, or (None) before more records are received.

    It is on the clock that `next` was given.
    """

    until: int | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What is settled.

    `checkpoint` is the sequence number through which everything of the shard is done, None where
    that did not change; `failures` are the batches that were given up.
    """

    checkpoint: str | None
    failures: tuple[FailedBatch, ...]
