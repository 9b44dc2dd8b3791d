"""What made-up values are drawn from, and how to draw from it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

_Value = TypeVar("_Value")


class RandomSource(Protocol):
    """Decides what is made; `random.Random` is one."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Return a number below 2 ** k."""
        ...


class CannotGenerate(ValueError):
    """Nothing can be made up that fits; the text is a clause."""


def choice(source: RandomSource, values: Sequence[_Value]) -> _Value:
    """Pick one of several, each as likely as the others."""
    return values[int(source.random() * len(values))]


def between(source: RandomSource, low: int, high: int) -> int:
    """Draw an integer from `low` to `high`, both included."""
    return low + int(source.random() * (high - low + 1))
