"""Patterns of times, as strptime writes them, of a bounded grammar: read and written exactly.

A pattern is literal text and directives. Each directive stands for digits of one width, or for
names in English; `%-d` for one or two digits. Nothing is guessed: white space is literal, the
parts that a pattern lacks are the smallest ones (midnight), and a pattern that could cut one text
in two ways is refused.
"""

import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

import msgspec

from pipeline.core.schema.values import days_of, micros_of

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LONGEST = 100  # characters of a pattern
_DAY = 86_400_000_000
_TWO, _ONE_OR_TWO = "[0-9]{2}", "[0-9]{1,2}"
_BEYOND_1969 = 69  # of years of two digits, as POSIX has it


class UnusablePattern(Exception):
    """A pattern is not one; the message is a clause that says why."""


class Parts(msgspec.Struct, frozen=True):
    """What a text says: microseconds since 1970 by its own clock, and its zone's distance to UTC.

    `offset` is in microseconds, and None where the text names no zone.
    """

    local: int
    offset: int | None


def _names(names: tuple[str, ...], letters: int | None = None) -> str:
    return f"(?i:{'|'.join(name[:letters] for name in names)})"


def _offset(moment: datetime) -> str:
    """Write the zone as `+0100`. All writers get moments whose offset is whole minutes."""
    return moment.strftime("%z")[:5] or "+0000"


_Write = Callable[[datetime], str]
# By directive: the expression of its texts, and how it is written.
DIRECTIVES: dict[str, tuple[str, _Write]] = {
    "Y": ("[0-9]{4}", lambda moment: f"{moment.year:04}"),
    "y": (_TWO, lambda moment: f"{moment.year % 100:02}"),
    "m": (_TWO, lambda moment: f"{moment.month:02}"),
    "-m": (_ONE_OR_TWO, lambda moment: str(moment.month)),
    "b": (_names(MONTHS, 3), lambda moment: MONTHS[moment.month - 1][:3]),
    "B": (_names(MONTHS), lambda moment: MONTHS[moment.month - 1]),
    "d": (_TWO, lambda moment: f"{moment.day:02}"),
    "-d": (_ONE_OR_TWO, lambda moment: str(moment.day)),
    "e": ("(?: [0-9]|[0-9]{2})", lambda moment: f"{moment.day:2}"),
    "j": ("[0-9]{3}", lambda moment: f"{moment.timetuple().tm_yday:03}"),
    "a": (_names(DAYS, 3), lambda moment: DAYS[moment.weekday()][:3]),
    "A": (_names(DAYS), lambda moment: DAYS[moment.weekday()]),
    "H": (_TWO, lambda moment: f"{moment.hour:02}"),
    "-H": (_ONE_OR_TWO, lambda moment: str(moment.hour)),
    "I": (_TWO, lambda moment: f"{(moment.hour + 11) % 12 + 1:02}"),
    "-I": (_ONE_OR_TWO, lambda moment: str((moment.hour + 11) % 12 + 1)),
    "p": ("(?i:AM|PM)", lambda moment: "AM" if moment.hour < 12 else "PM"),  # noqa: PLR2004 - noon
    "M": (_TWO, lambda moment: f"{moment.minute:02}"),
    "S": (_TWO, lambda moment: f"{moment.second:02}"),
    "f": ("[0-9]{1,9}", lambda moment: f"{moment.microsecond:06}"),
    "z": ("(?:Z|[+-][0-9]{2}:?[0-9]{2})", _offset),
    "Z": ("(?:UTC|GMT|Z)", lambda _: "UTC"),
}
_SHORT = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "R": "%H:%M"}
_UNEVEN = frozenset({"-m", "-d", "-H", "-I", "f"})  # of several widths, all digits
_NUMBERS = frozenset({
    "Y", "y", "m", "-m", "d", "-d", "e", "j", "H", "-H", "I", "-I", "M", "S", "f",
})  # fmt: skip
# Which part of a time each says; no part may be said twice.
_PART = {
    "Y": "year", "y": "year", "m": "month", "-m": "month", "b": "month", "B": "month", "d": "day",
    "-d": "day", "e": "day", "j": "day", "H": "hour", "-H": "hour", "I": "hour", "-I": "hour",
    "M": "minute", "S": "second", "f": "fraction", "z": "zone", "Z": "zone", "p": "half",
    "a": "weekday", "A": "weekday",
}  # fmt: skip
_token = re.compile(r"%(-?[A-Za-z%])|([^%]+)")


class Pattern(msgspec.Struct, frozen=True):
    """A pattern: what it reads, and how a moment is written by it."""

    text: str
    parts: frozenset[str]
    expression: re.Pattern[str]
    directives: tuple[str, ...]
    pieces: tuple[str | _Write, ...]

    def write(self, moment: datetime) -> str:
        """Write a moment of the year 0001 or later."""
        return "".join(piece if isinstance(piece, str) else piece(moment) for piece in self.pieces)

    def read(self, text: str) -> Parts | None:
        """Return what a text says; None if it is not of this form. Raises `ConversionError`."""
        match = self.expression.fullmatch(text)
        if match is None:
            return None
        found = dict(zip(self.directives, match.groups(), strict=True))
        days = _days(found) if "year" in self.parts else 0
        zone = found.get("z", found.get("Z"))
        return Parts(days * _DAY + _clock(found), None if zone is None else offset_of(zone))


def offset_of(zone: str) -> int:
    """Return the distance to UTC, in microseconds, of `Z`, a name of UTC, `+01`, `+0100`, `+01:00`.

    Raises `ConversionError`.
    """
    if zone[0] not in "+-":
        return 0
    distance = micros_of(zone[1:3], zone[3:].removeprefix(":") or "00", "00", None)
    return -distance if zone[0] == "-" else distance


def _days(found: dict[str, str]) -> int:
    year = found.get("Y")
    if year is None:
        short = int(found["y"])
        year = str(short + (1900 if short >= _BEYOND_1969 else 2000))
    if "j" in found:
        first, day = days_of(year, "1", "1"), int(found["j"])
        # To the calendar's own check, for a day that the year does not have.
        if day and day <= days_of(year, "12", "31") - first + 1:
            return first + day - 1
        return days_of(year, "1", "0")
    month = found.get("m", found.get("-m")) or _number(found.get("b", found.get("B", "")), MONTHS)
    return days_of(year, month, found.get("d", found.get("-d", found.get("e", ""))))


def _number(name: str, names: tuple[str, ...]) -> str:
    """Return a month's number, by its name or its first three letters in any case."""
    return str([known[:3].lower() for known in names].index(name[:3].lower()) + 1)


def _clock(found: dict[str, str]) -> int:
    hour = found.get("H", found.get("-H", "0"))
    if "p" in found:
        half = int(found.get("I", found.get("-I", "0")))
        # 0 and 13 are on no clock of twelve hours, as 24 is on none of 24.
        after_noon = 12 if found["p"].upper() == "PM" else 0
        hour = str(half % 12 + after_noon) if 1 <= half <= 12 else "24"  # noqa: PLR2004 - hours
    return micros_of(hour, found.get("M", "0"), found.get("S", "0"), found.get("f"))


def parse_pattern(text: str) -> Pattern:
    """Read a pattern. Raises `UnusablePattern`."""
    if len(text) > _LONGEST:
        raise UnusablePattern(f"is longer than {_LONGEST} characters")
    pieces = _pieces(text)
    directives = tuple(piece[1] for piece in pieces if piece[0] == "%")
    parts = [_PART[name] for name in directives]
    for part in parts:
        if parts.count(part) > 1:
            raise UnusablePattern(f"says the {part} twice")
    _check_widths(pieces)
    _check_parts(frozenset(parts), directives)
    expression = "".join(
        f"({DIRECTIVES[piece][0]})" if kind == "%" else re.escape(piece) for kind, piece in pieces
    )
    return Pattern(
        text, frozenset(parts), re.compile(expression, re.ASCII), directives,
        tuple(DIRECTIVES[piece][1] if kind == "%" else piece for kind, piece in pieces),
    )  # fmt: skip


def _pieces(text: str) -> list[tuple[str, str]]:
    """Cut a pattern into directives ("%") and literal texts ("")."""
    for short, long in _SHORT.items():
        text = text.replace(f"%{short}", long)
    pieces: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _token.match(text, position)
        if match is None or (match[1] not in DIRECTIVES and match[1] not in (None, "%")):
            known = " ".join(f"%{name}" for name in (*DIRECTIVES, *_SHORT, "%"))
            wrong = text[position : position + 2] if match is None else match[0]
            raise UnusablePattern(f"has {wrong!r}; there are {known}")
        literal = "%" if match[1] == "%" else match[2]
        pieces.append(("%", match[1]) if literal is None else ("", literal))
        position = match.end()
    return pieces


def _check_widths(pieces: list[tuple[str, str]]) -> None:
    """Refuse digits of several widths before other digits."""
    for (kind, name), (next_kind, after) in pairwise(pieces):
        digits = after in _NUMBERS if next_kind == "%" else after[0].isdigit()
        if kind == "%" and name in _UNEVEN and digits:
            raise UnusablePattern(f"has digits right after %{name}, whose own number is not fixed")


def _check_parts(parts: frozenset[str], directives: tuple[str, ...]) -> None:
    needs = {
        "month": "year", "day": "year", "weekday": "day", "minute": "hour", "second": "minute",
        "fraction": "second", "half": "hour", "zone": "hour",
    }  # fmt: skip
    for part, needed in needs.items():
        if part in parts and needed not in parts:
            raise UnusablePattern(f"says the {part}, but not the {needed}")
    if "year" in parts and "day" not in parts:
        raise UnusablePattern("says the year, but not the day")
    if "j" in directives and "month" in parts:
        raise UnusablePattern("says the month and %j, which is the day of the year")
    if "day" in parts and "j" not in directives and "month" not in parts:
        raise UnusablePattern("says the day, but not the month")
    if ("half" in parts) != bool({"I", "-I"} & set(directives)):
        raise UnusablePattern("has one of %I and %p, which need each other")
