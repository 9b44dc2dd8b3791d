"""What every handler needs: an invocation's time, its log, a safe text for unexpected errors."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.attempt import countdown

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


def print_line(line: str) -> None:
    """Write a line to the log."""
    print(line, flush=True)  # noqa: T201 - Lambda's log is stdout


def place_of(error: BaseException) -> str:
    """Return the kind of an error and the calls that led to it, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    calls = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {calls}"


def describe_unexpected(error: Exception) -> str:
    """Return a sentence about an error that nobody foresaw, without its text."""
    return (
        f"An unexpected {place_of(error)}. This is a defect of the pipeline; the "
        "batch will be delivered again. Its text is not shown, as it may quote payload."
    )
