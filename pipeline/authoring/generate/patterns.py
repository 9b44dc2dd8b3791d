"""Texts for a pattern, made by rstr, which reads it as Python's `re` does.

Patterns of schemas are RE2's. The two differ in places, and rstr ignores anchors within a pattern
and flags: the caller checks each text against RE2 itself.
"""

import re
import string
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

from rstr import Rstr

from pipeline.authoring.generate.random_source import (
    CannotGenerate,
    RandomSource,
    between,
    choice,
)

Text = Callable[[RandomSource], str]

_PLAIN = string.ascii_letters + string.digits + "_ -.,:/"
_MORE = 12  # repetitions that a quantifier without an end makes beyond its least
_ENDLESS = 100  # what rstr makes of such a quantifier's end


def matching(pattern: str) -> Text:
    """Return what makes texts for a pattern, of which most match. Raises `CannotGenerate`."""
    _refuse_unknown_syntax(pattern)

    def make(source: RandomSource) -> str:
        # rstr asks for a whole `Random`, and calls only what `_Draws` has.
        draws = cast("Any", _Draws(source))
        return Rstr(draws, printable=_PLAIN, whitespace=" ").xeger(pattern)

    return make


def _refuse_unknown_syntax(pattern: str) -> None:
    """Refuse what `re` does not read, or reads otherwise and warns of: `[[:alpha:]]`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except (re.error, FutureWarning) as error:
        raise CannotGenerate(f"its pattern is not understood ({error})") from None


class _Draws:
    """The part of `random.Random` that rstr uses, drawn from a source."""

    def __init__(self, source: RandomSource) -> None:
        self._source = source

    def choice(self, values: Sequence[Any]) -> Any:
        """Pick a character, or a branch of `|`."""
        if not values:
            raise CannotGenerate("its pattern has a class of nothing in ASCII")
        if isinstance(values[0], str):
            # rstr lists some classes in the order of a set, which is another in each process.
            values = sorted(values)
        return choice(self._source, values)

    def randint(self, low: int, high: int) -> int:
        """Draw a number of repetitions; rstr cuts `high` to 100, even below `low`."""
        if high == _ENDLESS:
            high = min(high, low + _MORE)
        return between(self._source, low, max(low, high))

    def shuffle(self, values: list[str]) -> None:
        """Leave the one character that `.` makes as it is."""
