"""Scalar types of the contract: values of each, their spellings in JSON, and texts that are not one.

A value is what a reader of Parquet should return in Python. `spelled` writes it as JSON, `text` as
CSV. `read` is the inverse of `spelled`, for documents whose value was not drawn first.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from hypothesis import strategies as st

from generated.rules import Rules
from generated.spelling import Number, number, string

Misfits = tuple[tuple[str, str], ...]
CHARACTERS = st.characters(exclude_categories=["Cs"])
# A JSON text of each type, to stand where another type belongs.
JSON_TYPES = {
    "boolean": "true", "integer": "7", "fraction": "1.0", "string": '"7"', "array": "[7]",
    "object": '{"7":7}',
}  # fmt: skip


class Unfit(ValueError):
    """A JSON value that is not a value of its type."""


def demand(fits: object) -> None:
    """Raise `Unfit` for what does not fit."""
    if not fits:
        raise Unfit


@dataclass(frozen=True)
class Scalar:
    """A type without parts; `avro` is its schema, `misfits` are wrong texts and their reasons."""

    avro: Any
    misfits: Misfits = field(default=(), repr=False)
    accepts: ClassVar[frozenset[str]] = frozenset({"string"})

    def value(self, draw: st.DrawFn) -> Any:
        """Draw a value."""
        raise NotImplementedError

    def ruled(self, draw: st.DrawFn, rules: Rules) -> Any:
        """Draw a value that keeps the rules; most types cannot have any."""
        del rules
        return self.value(draw)

    def spelled(self, draw: st.DrawFn, value: Any) -> str:
        """Write a value as JSON."""
        return string(draw, self.text(value))

    def text(self, value: Any) -> str:
        """Write a value as CSV holds it."""
        return str(value)

    def read(self, found: Any) -> Any:
        """Return the value that `read_json` read; what is not a value of this type, unchanged.

        Raises `Unfit` for what Avro, which is asked afterwards, might accept by mistake.
        """
        return found

    def beyond(self, limit: Decimal, sign: int) -> str | None:
        """Write a number below (-1) or above (1) a limit as JSON, if the type holds one."""
        raise NotImplementedError


@dataclass(frozen=True)
class Boolean(Scalar):
    """`true` or `false`."""

    accepts = frozenset({"boolean"})

    def value(self, draw: st.DrawFn) -> bool:
        return draw(st.booleans())

    def spelled(self, draw: st.DrawFn, value: bool) -> str:
        del draw
        return self.text(value)

    def text(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Integer(Scalar):
    """An int of 32 bits or a long of 64."""

    bits: int = 32
    accepts = frozenset({"integer"})

    def ruled(self, draw: st.DrawFn, rules: Rules) -> int:
        high = 2 ** (self.bits - 1)
        low = -high if rules.minimum is None else math.ceil(rules.minimum)
        most = high - 1 if rules.maximum is None else math.floor(rules.maximum)
        return draw(st.integers(low, most))

    def spelled(self, draw: st.DrawFn, value: int) -> str:
        del draw
        return str(value)

    def read(self, found: Any) -> Any:
        return int(found.text) if isinstance(found, Number) and found.whole else found

    def beyond(self, limit: Decimal, sign: int) -> str | None:
        found = math.floor(limit) + 1 if sign > 0 else math.ceil(limit) - 1
        return str(found) if abs(found) < 2 ** (self.bits - 1) else None


def integer(avro: Any, bits: int) -> Integer:
    """Make an int or a long."""
    high = 2 ** (bits - 1)
    texts = (str(high), str(-high - 1), "9" * 25, "-" + "9" * 5_000)
    misfits = (("1e2", "wrong_type"), *((text, "out_of_range") for text in texts))
    return Integer(avro, misfits, bits)


@dataclass(frozen=True)
class Floating(Scalar):
    """A float of 32 bits or a double of 64."""

    bits: int = 64
    accepts = frozenset({"integer", "fraction"})

    def ruled(self, draw: st.DrawFn, rules: Rules) -> float:
        low = None if rules.minimum is None else float(rules.minimum)
        high = None if rules.maximum is None else float(rules.maximum)
        width: Any = self.bits
        return draw(st.floats(low, high, allow_nan=False, allow_infinity=False, width=width))

    def spelled(self, draw: st.DrawFn, value: float) -> str:
        if value.is_integer() and value and draw(st.booleans()):
            return f"{value:.0f}"
        return number(draw, Decimal(repr(value)))

    def text(self, value: float) -> str:
        return repr(value)

    def read(self, found: Any) -> Any:
        if not isinstance(found, Number):
            return found
        # Without a fraction it is read as an integer, which has no -0.
        value = float(int(found.text)) if found.whole else float(found.text)
        return self.nearest(value)

    def nearest(self, value: float) -> float:
        """Round to the type's bits. Raises `Unfit` for what they do not hold."""
        demand(math.isfinite(value))
        return value if self.bits == 64 else rounded32(value)

    def beyond(self, limit: Decimal, sign: int) -> str | None:
        return repr(float(limit) + sign * 1_000)


def floating(avro: Any, bits: int) -> Floating:
    """Make a float or a double."""
    texts = ("1e400", "-1E+999", "9" * 400, *(("1e39", "-3.5e38") if bits == 32 else ()))
    return Floating(avro, tuple((text, "out_of_range") for text in texts), bits)


def rounded32(value: float) -> float:
    """Round to 32 bits. Raises `Unfit` for what they do not hold."""
    try:
        (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        raise Unfit from None
    return float(rounded)


@dataclass(frozen=True)
class Decimals(Scalar):
    """A decimal of `precision` digits, `scale` of them after the point."""

    precision: int = 1
    scale: int = 0
    accepts = frozenset({"integer", "fraction", "string"})

    def ruled(self, draw: st.DrawFn, rules: Rules) -> Decimal:
        most, units = 10**self.precision - 1, 10**self.scale
        low = -most if rules.minimum is None else math.ceil(Fraction(rules.minimum) * units)
        high = most if rules.maximum is None else math.floor(Fraction(rules.maximum) * units)
        return unscaled(draw(st.integers(low, high)), self.scale)

    def spelled(self, draw: st.DrawFn, value: Decimal) -> str:
        text = number(draw, value)
        if not value and draw(st.booleans()):
            text = "-0.0E+99999999999999999999"
        return text if draw(st.booleans()) else string(draw, text)

    def text(self, value: Decimal) -> str:
        return f"{value:f}"

    def read(self, found: Any) -> Any:
        text = found.text if isinstance(found, Number) else found
        demand(isinstance(text, str))
        parts = re.fullmatch(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", text)
        demand(parts)
        assert parts
        sign, whole, fraction, exponent = parts.groups("")
        if not (whole + fraction).strip("0"):
            return unscaled(0, self.scale)
        demand(len(exponent) < 10)
        shift = int(exponent or 0) + self.scale
        demand(abs(shift) < 10_000)
        units = Fraction(int(sign + whole + fraction), 10 ** len(fraction)) * Fraction(10) ** shift
        demand(units.denominator == 1)
        return unscaled(int(units), self.scale)

    def beyond(self, limit: Decimal, sign: int) -> str | None:
        units = Fraction(limit) * 10**self.scale
        found = math.floor(units) + 1 if sign > 0 else math.ceil(units) - 1
        return self.text(unscaled(found, self.scale)) if abs(found) < 10**self.precision else None


def unscaled(digits: int, scale: int) -> Decimal:
    """Return an exact decimal, which arithmetic would round to 28 digits."""
    return Decimal((int(digits < 0), tuple(map(int, str(abs(digits)))), -scale))


def decimals(avro: Any, precision: int, scale: int) -> Decimals:
    """Make a decimal."""
    smaller, larger = f"1e-{scale + 1}", f"1e{precision - scale}"
    texts = (smaller, larger, f'"-{larger}"', "1e999999999999999999999", "1E-999999999")
    none = ("", " 1", "1_0", "+1", "01", ".5", "5.", "NaN", "Infinity", "0x1", "１", "1e", "x")
    misfits = [(text, "decimal_misfit") for text in texts]
    misfits += [(json.dumps(text), "bad_format") for text in none]
    return Decimals(avro, tuple(misfits), precision, scale)


@dataclass(frozen=True)
class String(Scalar):
    """Any text."""

    def ruled(self, draw: st.DrawFn, rules: Rules) -> str:
        if rules.pattern is not None:
            return rules.pattern.sample
        low, high = rules.min_length or 0, rules.max_length
        return draw(st.text(CHARACTERS, min_size=low, max_size=low + 8 if high is None else high))


@dataclass(frozen=True)
class Enum(Scalar):
    """One of its symbols."""

    symbols: tuple[str, ...] = ()

    def value(self, draw: st.DrawFn) -> str:
        return draw(st.sampled_from(self.symbols))


def enum(avro: Any, symbols: tuple[str, ...]) -> Enum:
    """Make an enum."""
    none = ("", " ", symbols[0] + " ", symbols[0].swapcase() + "'", "é")
    return Enum(avro, tuple((json.dumps(text), "unknown_symbol") for text in none), symbols)


@dataclass(frozen=True)
class Bytes(Scalar):
    """Padded base64; of exactly `size` bytes for a fixed."""

    size: int | None = None

    def value(self, draw: st.DrawFn) -> bytes:
        least, most = (0, 12) if self.size is None else (self.size, self.size)
        return draw(st.binary(min_size=least, max_size=most))

    def text(self, value: bytes) -> str:
        return base64.b64encode(value).decode()

    def read(self, found: Any) -> Any:
        if not isinstance(found, str):
            return found
        demand(re.fullmatch("[A-Za-z0-9+/]*={0,2}", found))
        demand(len(found) % 4 == 0)  # Python accepts too much padding
        return base64.b64decode(found, validate=True)


def bytes_of(avro: Any, size: int | None) -> Bytes:
    """Make bytes or a fixed."""
    texts = ["!", "AAA", "AA=", "A===", "AAAA\n", " AAAA", "AA-_", "AAAA=", "é"]
    if size is not None:
        texts += [base64.b64encode(bytes(size + by)).decode() for by in (-1, 1)]
    return Bytes(avro, tuple((json.dumps(text), "bad_format") for text in texts), size)
