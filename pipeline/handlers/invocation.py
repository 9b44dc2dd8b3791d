"""What every handler needs: an invocation's time, its log, a safe text for unexpected errors."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.attempt import countdown
from pipeline.core.errors import place_of
from pipeline.core.records import Batch

_LARGEST_RESERVE = 0.25
"""Share of the time left that the response may keep, so that short time-outs leave time to work."""

_WITHOUT_CONTEXT = 60.0  # seconds that a call without Lambda's context may last


def remaining_time(context: Any) -> Callable[[], float]:
    """Return a function that returns the seconds left."""
    if context is None:
        return countdown(_WITHOUT_CONTEXT)
    return lambda: float(context.get_remaining_time_in_millis()) / 1_000


def reserve_within(seconds: float, reserve: float) -> float:
    """Return how many of the seconds left are kept for the response."""
    return min(reserve, seconds * _LARGEST_RESERVE)


def what_lambda_does(batch: Batch) -> str:
    """Say what becomes of a batch that was too slow, once the handler has raised."""
    count = len(batch.records)
    if count > 1:
        return f"Lambda delivers its {count:,} stream records again, in halves."
    return (
        f"It is a single stream record ({batch.source}, {batch.first}), which Lambda cannot halve: "
        "it delivers it again, and the function continues behind the objects that this instance of "
        "it has stored. If that does not get through, the shard waits until the record is older "
        "than the mapping's maximum record age and goes to the on-failure destination, for "
        "`pipeline redrive`; give the function more time or memory before."
    )


def describe_end(seconds: float, phase: str | None, batch: Batch) -> str:
    """Say that Lambda is about to end an invocation, and in the middle of what."""
    return (
        f"There are {seconds:.1f} s left, and the invocation is still in the phase {phase}: Lambda "
        "is about to end it; make batches smaller, or give the function more time or memory. "
        f"{what_lambda_does(batch)}"
    )


@contextlib.contextmanager
def last_words(
    remaining: Callable[[], float], reserve: float, say: Callable[[float], object]
) -> Iterator[None]:
    """Call `say` with the seconds left, if the work goes on until half of the reserve is gone.

    The work looks at the time between its steps. Where a single step takes too long, nothing can
    end it but Lambda, which does so without a word: so they are said before, from another thread.
    """
    left = remaining() - reserve / 2
    timer = threading.Timer(max(left, 0.0), say, [reserve / 2])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def print_line(line: str) -> None:
    """Write a line to the log."""
    print(line, flush=True)  # noqa: T201 - Lambda's log is stdout


def describe_unexpected(error: Exception) -> str:
    """Return a sentence about an unexpected error, without its text."""
    return (
        f"An unexpected {place_of(error)}. This is a defect of the pipeline; the batch will be "
        "delivered again. Its text is not shown, as it may quote payload."
    )
