"""What was seen at one place of the sample documents: counts, not values, in limited memory."""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from typing import Any

from pipeline.authoring.infer.times import forms_of, hint_of, looser, may_be_time
from pipeline.core.jsontext import Float, Integer
from pipeline.core.schema import values

MOST_SYMBOLS = 12
MOST_KEYS = 1_000
DEEPEST = 32
MOST_DIGITS = 76  # of a decimal
_LONGEST_SYMBOL = 64
_LONGEST_NUMBER = 400  # characters; a longer one is looked at no further
_EXACT_IN_DOUBLE = 2**53
_TIMELY = 100  # texts by which patterns are tried
_ENOUGH = 100  # values, among which a few exceptions are seen as such
_EXCEPTIONS = 0.01
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

# A text is of a format if the format's own reader accepts it.
_FORMATS: dict[str, Callable[[str], object]] = {
    "uuid": values.uuid,
    "timestamp-micros": values.timestamp,
    "local-timestamp-micros": values.local_timestamp,
    "date": values.day,
    "time-micros": values.time_of_day(1),
}


def is_most(count: int, total: int) -> bool:
    """Say whether so many of all are enough to take the others for exceptions."""
    return count == total or (total >= _ENOUGH and total - count <= _EXCEPTIONS * total)


@dataclass(slots=True)
class Numbers:
    """The numbers of one place, and what holds each of them exactly: a long, a double, a decimal.

    `whole` and `scale` are the most digits before and behind the point.
    """

    integers: int = 0
    fractions: int = 0
    low: float = math.inf
    high: float = -math.inf
    fit_long: bool = True
    fit_double: bool = True
    whole: int = 1
    scale: int = 0
    too_long: bool = False

    @property
    def count(self) -> int:
        """How many there were."""
        return self.integers + self.fractions

    @property
    def fit_decimal(self) -> bool:
        """Whether one decimal type holds each of them."""
        return not self.too_long and self.whole + self.scale <= MOST_DIGITS

    def add(self, text: str) -> None:
        """Note a number as it stands in the document."""
        value = float(text)
        self.low, self.high = min(self.low, value), max(self.high, value)
        self._measure(text, value)
        if isinstance(text, Float):
            self.fractions += 1
            return
        self.integers += 1
        self.fit_long = self.fit_long and not self.too_long and -(2**63) <= int(text) < 2**63

    def _measure(self, text: str, value: float) -> None:
        """Note how many digits a number has, and whether a double gives it back."""
        try:
            exact = Decimal(text) if len(text) <= _LONGEST_NUMBER else None
        except DecimalException:  # an exponent of very many digits
            exact = None
        if exact is None or not exact.is_finite():
            self.too_long, self.fit_double, self.fit_long = True, False, False
            return
        is_exact = not math.isinf(value) and exact in (
            Decimal(repr(value)),
            Decimal(f"{value:.17g}"),  # as C writes it
        )
        if not is_exact or (isinstance(text, Integer) and abs(exact) > _EXACT_IN_DOUBLE):
            self.fit_double = False
        if not exact:
            return
        _, digits, exponent = exact.as_tuple()
        assert isinstance(exponent, int)  # noqa: S101 - it is finite
        self.whole = max(self.whole, len(digits) + exponent)
        self.scale = max(self.scale, -exponent)

    def merge(self, other: "Numbers") -> None:
        """Add those of another place."""
        self.integers += other.integers
        self.fractions += other.fractions
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.fit_long = self.fit_long and other.fit_long
        self.fit_double = self.fit_double and other.fit_double
        self.whole, self.scale = max(self.whole, other.whole), max(self.scale, other.scale)
        self.too_long = self.too_long or other.too_long


@dataclass(slots=True)
class Texts:
    """The strings of one place: how many are of each format, and the few that there are.

    `numbers` are those that are written as JSON's numbers. `forms` counts times in other forms than
    the strict one, `loose` which looser ISO forms they need, and `hints` what may be a time. Some
    texts are `timely`: a pattern may read them, unless one is `untimely`.
    """

    count: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    loose: Counter[str] = field(default_factory=Counter)
    hints: Counter[str] = field(default_factory=Counter)
    numbers: Numbers = field(default_factory=Numbers)
    symbols: dict[str, None] | None = field(default_factory=dict)
    timely: dict[str, None] = field(default_factory=dict)
    untimely: bool = False

    @property
    def are_numbers(self) -> bool:
        """Whether all of them are numbers, as text."""
        return self.numbers.count == self.count

    def hint(self) -> str | None:
        """Say what most of them may be, as times."""
        for hint, count in self.hints.most_common(1):
            if is_most(count, self.count):
                return hint
        return None

    def add(self, text: str) -> None:
        """Note a string."""
        self.count += 1
        if text and len(text) <= _LONGEST_NUMBER:
            self._look_at(text)
        else:
            self.untimely = True
        if self.symbols is not None:
            self._keep(text)

    def _look_at(self, text: str) -> None:
        if _NUMBER.fullmatch(text):
            kind = Integer if text.lstrip("-").isdecimal() else Float
            self.numbers.add(kind(text))
        self.formats.update(name for name in _FORMATS if _fits(name, text))
        self._note_time(text, is_time=may_be_time(text))
        forms = forms_of(text)
        self.forms.update(forms)
        if forms and forms[0] in ("zoned", "local"):
            self.loose.update(looser(text))
        hint = None if forms else hint_of(text)
        if hint is not None:
            self.hints[hint] += 1

    def merge(self, other: "Texts") -> None:
        """Add those of another place."""
        self.count += other.count
        self.formats += other.formats
        self.forms += other.forms
        self.loose += other.loose
        self.hints += other.hints
        self.untimely = self.untimely or other.untimely
        for text in other.timely:
            self._note_time(text, is_time=True)
        self.numbers.merge(other.numbers)
        if other.symbols is None:
            self.symbols = None
        for text in other.symbols or ():
            self._keep(text)

    def _note_time(self, text: str, *, is_time: bool) -> None:
        """Keep some of the texts that may be times; one that is not rules out a pattern for all."""
        self.untimely = self.untimely or not is_time
        if not self.untimely and len(self.timely) < _TIMELY:
            self.timely[text] = None

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
    most_keys: int = MOST_KEYS

    @property
    def kinds(self) -> dict[str, int]:
        """How many values there were of each kind of JSON value, null aside."""
        counts = {
            "booleans": self.booleans,
            "numbers": self.numbers.count if self.numbers else 0,
            "strings": self.texts.count if self.texts else 0,
            "arrays": self.arrays,
            "objects": self.objects,
        }
        return {kind: count for kind, count in counts.items() if count}

    @property
    def present(self) -> int:
        """How many values there were, null or not."""
        return self.nulls + sum(self.kinds.values())

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
            if len(self.keys) < self.most_keys:
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
