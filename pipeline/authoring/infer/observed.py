"""What was seen at one place of the sample documents: counts, not values, in limited memory."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.jsontext import Float, Integer
from pipeline.core.schema import values

MOST_SYMBOLS = 12
MOST_KEYS = 1_000
DEEPEST = 32
_LONGEST_SYMBOL = 64
_LONGEST_LONG = 20  # characters
_LONGEST_DOUBLE = 310
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def _number(text: str) -> None:
    if not _NUMBER.fullmatch(text):
        raise ValueError


# A text is of a format if the format's own reader accepts it.
_FORMATS: dict[str, Callable[[str], object]] = {
    "uuid": values.uuid,
    "timestamp-micros": values.timestamp,
    "local-timestamp-micros": values.local_timestamp,
    "date": values.day,
    "time-micros": values.time_of_day(1),
    "number": _number,
}


@dataclass(slots=True)
class Numbers:
    """The numbers of one place, and whether its integers are exact as a long, or a double."""

    integers: int = 0
    fractions: int = 0
    low: float = math.inf
    high: float = -math.inf
    fit_long: bool = True
    fit_double: bool = True

    @property
    def finite(self) -> bool:
        """Whether a double holds each of them, if only rounded."""
        return -math.inf < self.low and self.high < math.inf

    def add(self, text: str) -> None:
        """Note a number as it stands in the document."""
        value = float(text)
        self.low, self.high = min(self.low, value), max(self.high, value)
        if isinstance(text, Float):
            self.fractions += 1
            return
        self.integers += 1
        self.fit_long = self.fit_long and (
            len(text) <= _LONGEST_LONG and -(2**63) <= int(text) < 2**63
        )
        self.fit_double = self.fit_double and (len(text) <= _LONGEST_DOUBLE and int(text) == value)

    def merge(self, other: "Numbers") -> None:
        """Add those of another place."""
        self.integers += other.integers
        self.fractions += other.fractions
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.fit_long = self.fit_long and other.fit_long
        self.fit_double = self.fit_double and other.fit_double


@dataclass(slots=True)
class Texts:
    """The strings of one place: the formats that fit all of them, and the few there are."""

    count: int = 0
    formats: tuple[str, ...] = tuple(_FORMATS)
    symbols: dict[str, None] | None = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Note a string."""
        self.count += 1
        if self.formats:
            self.formats = tuple(name for name in self.formats if _fits(name, text))
        if self.symbols is not None:
            self._keep(text)

    def merge(self, other: "Texts") -> None:
        """Add those of another place."""
        self.count += other.count
        self.formats = tuple(name for name in self.formats if name in other.formats)
        if other.symbols is None:
            self.symbols = None
        for text in other.symbols or ():
            self._keep(text)

    def _keep(self, text: str) -> None:
        if self.symbols is None:
            return
        self.symbols[text[: _LONGEST_SYMBOL + 1]] = None
        if len(self.symbols) > MOST_SYMBOLS or len(text) > _LONGEST_SYMBOL:
            self.symbols = None


def _fits(name: str, text: str) -> bool:
    try:
        _FORMATS[name](text)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class Seen:
    """What one place held. An object with too many different keys has one place for all of them.

    `many` is that one place; `keys` is empty then.
    """

    nulls: int = 0
    booleans: int = 0
    numbers: Numbers | None = None
    texts: Texts | None = None
    arrays: int = 0
    item: "Seen | None" = None
    objects: int = 0
    keys: dict[str, "Seen"] = field(default_factory=dict)
    many: "Seen | None" = None
    too_deep: bool = False

    @property
    def kinds(self) -> list[str]:
        """The kinds of JSON value, null aside."""
        counts = {
            "booleans": self.booleans,
            "numbers": self.numbers,
            "strings": self.texts,
            "arrays": self.arrays,
            "objects": self.objects,
        }
        return [kind for kind, count in counts.items() if count]

    @property
    def present(self) -> int:
        """How many values there were, null or not."""
        numbers = self.numbers.integers + self.numbers.fractions if self.numbers else 0
        texts = self.texts.count if self.texts else 0
        return self.nulls + self.booleans + numbers + texts + self.arrays + self.objects

    def add(self, value: Any, depth: int = 0) -> None:
        """Note a value as `read_exactly` reads it."""
        if value is None:
            self.nulls += 1
        elif isinstance(value, bool):
            self.booleans += 1
        elif isinstance(value, Integer | Float):
            self.numbers = self.numbers or Numbers()
            self.numbers.add(value)
        elif isinstance(value, str):
            self.texts = self.texts or Texts()
            self.texts.add(value)
        elif isinstance(value, list):
            self._add_array(value, depth + 1)
        else:
            self._add_object(value, depth + 1)

    def _add_array(self, value: list[Any], depth: int) -> None:
        self.arrays += 1
        if depth > DEEPEST:
            self.too_deep = True
            return
        for item in value:
            self.item = self.item or Seen()
            self.item.add(item, depth)

    def _add_object(self, value: dict[str, Any], depth: int) -> None:
        self.objects += 1
        if depth > DEEPEST:
            self.too_deep = True
            return
        for key, inner in value.items():
            self._place(key).add(inner, depth)

    def _place(self, key: str) -> "Seen":
        """Return the place of a key; past the limit, the one for all keys."""
        if self.many is None and key not in self.keys:
            if len(self.keys) < MOST_KEYS:
                self.keys[key] = Seen()
            else:
                self.many, self.keys = self.any_value(), {}
        return self.keys[key] if self.many is None else self.many

    def any_value(self) -> "Seen":
        """Return what was seen under all keys together, as a map's values."""
        together = Seen()
        for inner in (*self.keys.values(), *([self.many] if self.many else ())):
            together.merge(inner)
        return together

    def merge(self, other: "Seen") -> None:
        """Add what was seen at another place, which stays as it is."""
        self.nulls += other.nulls
        self.booleans += other.booleans
        self.arrays += other.arrays
        self.objects += other.objects
        self.too_deep = self.too_deep or other.too_deep
        if other.numbers:
            self.numbers = self.numbers or Numbers()
            self.numbers.merge(other.numbers)
        if other.texts:
            self.texts = self.texts or Texts()
            self.texts.merge(other.texts)
        if other.item:
            self.item = self.item or Seen()
            self.item.merge(other.item)
        for key, inner in other.keys.items():
            self._place(key).merge(inner)
        if other.many:
            self.many, self.keys = self.many or self.any_value(), {}
            self.many.merge(other.many)
