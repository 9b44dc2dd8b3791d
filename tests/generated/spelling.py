"""JSON texts in all their spellings, and read back with every number as its text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from hypothesis import strategies as st


def chance(draw: st.DrawFn, percent: int) -> bool:
    """Draw true with this chance; shrinks to false."""
    return draw(st.integers(0, 99)) >= 100 - percent


class Shown:
    """Makes hypothesis show an object by its repr, not field by field."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        del cycle
        printer.text(repr(self))


class Literal(str):
    """JSON text that is written into a JSON text unchanged."""

    __slots__ = ()


def spelled(value: Any) -> str:
    """Write a value as JSON; the literals in it are written unchanged."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(key)}:{spelled(child)}" for key, child in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(spelled, value)) + "]"
    return json.dumps(value)


def string(draw: st.DrawFn, value: str) -> str:
    """Write a string as JSON: plainly, in ASCII, or with every other character escaped."""
    style = draw(st.sampled_from(("utf-8", "utf-8", "ascii", "every", "other")))
    if style in {"utf-8", "ascii"}:
        return json.dumps(value, ensure_ascii=style == "ascii")
    every = 1 if style == "every" else 2
    pieces = (
        json.dumps(char, ensure_ascii=False)[1:-1] if index % every else _escaped(char)
        for index, char in enumerate(value)
    )
    return '"' + "".join(pieces) + '"'


def _escaped(char: str) -> str:
    """Escape a character by its number: one beyond 16 bits as a pair of surrogates."""
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def number(draw: st.DrawFn, value: Decimal) -> str:
    """Write a number as JSON: plainly, with zeros after it, or with an exponent."""
    plain = f"{value:f}"
    zeros = plain + ("00" if "." in plain else ".0")
    exponent = f"{value:e}"
    return draw(st.sampled_from((plain, zeros, exponent, exponent.upper().replace("+", ""))))


def step(key: str) -> str:
    """Return an object's key as a piece of a JSON path."""
    if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key):
        return f".{key}"
    return "[" + json.dumps(key, ensure_ascii=False) + "]"


@dataclass(frozen=True)
class Number:
    """A JSON number, by its text."""

    text: str

    @property
    def whole(self) -> bool:
        """Whether it has neither fraction nor exponent."""
        return self.text.lstrip("-").isdecimal()


def read_json(text: str) -> Any:
    """Read JSON with Python's reader, which refuses constants such as NaN. Raises `ValueError`."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
