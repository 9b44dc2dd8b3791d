"""What every handler needs of an invocation: its time, its log, words for what nobody foresaw."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.attempt import countdown

LARGEST_RESERVE = 0.25
"""Of the time left: what the answer may keep, so that short time-outs leave time to work."""

_WITHOUT_CONTEXT = 60.0  # seconds that a call without Lambda's context may take


def deadline(context: Any) -> Callable[[], float]:
    """Return a function that tells the seconds left."""
    if context is None:
        return countdown(_WITHOUT_CONTEXT)
    return lambda: float(context.get_remaining_time_in_millis()) / 1_000


def print_line(line: str) -> None:
    """Write a line to the log."""
    print(line, flush=True)  # noqa: T201 - Lambda's log is stdout


def place_of(error: Exception) -> str:
    """Say what kind of error happened where, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    calls = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return (
        f"An unexpected {type(error).__name__} at {calls}. This is a defect of the pipeline; the "
        "batch will be delivered again. Its text is not shown, as it may quote payload."
    )
