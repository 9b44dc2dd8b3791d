"""What happened in one simulated world, for people, and the error that shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .clock import SECOND, START, SimulatedClock

_LAST_LINES = 60


@dataclass(slots=True)
class History:
    """Short lines, each with its time in seconds since the start. No payload is in them."""

    seed: int
    clock: SimulatedClock
    lines: list[str] = field(default_factory=list)
    invocations: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcome: str = "all laws hold"

    def add(self, line: str) -> None:
        """Record what happened now."""
        self.lines.append(f"{(self.clock.now - START) / SECOND:9.3f}  {line}")

    @property
    def text(self) -> str:
        """All of it, as text."""
        return "\n".join([f"history of seed {self.seed}", *self.lines, self.outcome])

    @property
    def end(self) -> str:
        """The last lines: what led to the outcome."""
        left_out = len(self.lines) - _LAST_LINES
        first = [f"          … {left_out} lines before"] if left_out > 0 else []
        return "\n".join(
            [f"history of seed {self.seed}", *first, *self.lines[-_LAST_LINES:], self.outcome]
        )


class LawBroken(AssertionError):
    """A law does not hold in a simulated world; the text is one sentence."""


class SimulationFailed(AssertionError):
    """A seed failed: the text is its history and how to see it again."""

    def __init__(self, history: History) -> None:
        replay = f"To see it again: make simulate SEEDS={history.seed}-{history.seed}"
        super().__init__(f"\n{history.end}\n{replay}")
        self.history = history
