"""Scalars that read more than their strict form, as their schemas say, and what each reads."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from generated.scalars import (
    Boolean,
    Decimals,
    Floating,
    Integer,
    Scalar,
    demand,
    unscaled,
)
from generated.spelling import Number, number, string
from generated.times import EPOCH, MICROS, EpochTime, Time, Timestamp

_NUMBER = r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(?:[eE]([+-]?[0-9]+))?"
_NO_NUMBERS = ("", " 1", "+1", "01", ".5", "5.", "NaN", "Infinity", "0x1", "1_0", "１", "1e", "x")
_BAD_NUMBERS = tuple((json.dumps(text), "bad_format") for text in _NO_NUMBERS)


def _in_text(draw: st.DrawFn, text: str) -> str:
    """Write a number as it is, or in text."""
    return text if draw(st.booleans()) else string(draw, text)


def _number_in(found: Any) -> str:
    """Return the text of a number, or of one in text."""
    text = found.text if isinstance(found, Number) else found
    demand(isinstance(text, str))
    demand(re.fullmatch(_NUMBER, text))
    return str(text)


@dataclass(frozen=True)
class AnyInteger(Integer):
    """An integer, or a whole number in any spelling, also in text."""

    accepts = frozenset({"integer", "fraction", "string"})

    def spelled(self, draw: st.DrawFn, value: int) -> str:
        return _in_text(draw, number(draw, Decimal(value)))

    def read(self, found: Any) -> Any:
        match = re.fullmatch(_NUMBER, _number_in(found))
        assert match
        digits, exponent = match.groups("0")
        if not Fraction(digits):
            return 0
        demand(abs(int(exponent[:20])) < 9_999)
        value = Fraction(digits) * Fraction(10) ** int(exponent)
        demand(value.denominator == 1)
        return int(value)


def any_integer(kind: str, bits: int) -> AnyInteger:
    """Make an int or a long that accepts whole numbers in any spelling."""
    high = 2 ** (bits - 1)
    texts = (f"{high}.0", str(-high - 1), "1e400", "-1E+999999999999999999999999", "9" * 5_000)
    misfits = [(text, "out_of_range") for text in (*texts, f'"{high}"', '"1e99"')]
    misfits += [(text, "wrong_type") for text in ("1.5", '"0.1"', "1e-1", "1e-99999999999999999")]
    avro = {"type": kind, "accept": ["text", "whole-floats"]}
    return AnyInteger(avro, (*misfits, *_BAD_NUMBERS), bits)


@dataclass(frozen=True)
class AnyFloating(Floating):
    """A number, or one in text."""

    accepts = frozenset({"integer", "fraction", "string"})

    def spelled(self, draw: st.DrawFn, value: float) -> str:
        return _in_text(draw, super().spelled(draw, value))

    def read(self, found: Any) -> Any:
        text = _number_in(found)
        return super().read(Number(text))


def any_floating(kind: str, bits: int) -> AnyFloating:
    """Make a float or a double that accepts text."""
    misfits = (("1e400", "out_of_range"), ('"-1e999"', "out_of_range"), *_BAD_NUMBERS)
    return AnyFloating({"type": kind, "accept": ["text"]}, misfits, bits)


_WORDS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class AnyBoolean(Boolean):
    """A boolean, 1 or 0, or one of these in text."""

    accepts = frozenset({"boolean", "string"})

    def spelled(self, draw: st.DrawFn, value: bool) -> str:
        word = draw(st.sampled_from([word for word, means in _WORDS.items() if means is value]))
        styled = draw(st.sampled_from((word, word.upper(), word.title())))
        return word if draw(st.booleans()) else string(draw, styled)

    def read(self, found: Any) -> Any:
        if isinstance(found, bool):
            return found
        if isinstance(found, Number):
            demand(found.text in ("0", "1"))
            return found.text == "1"
        demand(isinstance(found, str) and found.lower() in _WORDS)
        return _WORDS[found.lower()]


def any_boolean() -> AnyBoolean:
    """Make a boolean that accepts text, and numbers."""
    misfits = [(json.dumps(text), "bad_format") for text in ("", "yes", "01", " 1", "falſe", "t")]
    misfits += [(text, "wrong_type") for text in ("2", "-0", "1e0", "0.0")]
    return AnyBoolean({"type": "boolean", "accept": ["text", "zero-one"]}, tuple(misfits))


@dataclass(frozen=True)
class ConnectDecimals(Decimals):
    """A decimal as base64 of its unscaled integer."""

    accepts = frozenset({"string"})

    def spelled(self, draw: st.DrawFn, value: Decimal) -> str:
        integer = int(Fraction(value) * 10**self.scale)
        size = integer.bit_length() // 8 + 1 + draw(st.integers(0, 2))
        text = base64.b64encode(integer.to_bytes(size, "big", signed=True)).decode()
        return string(draw, text)

    def read(self, found: Any) -> Any:
        demand(isinstance(found, str))
        demand(re.fullmatch("[A-Za-z0-9+/]+={0,2}", found))
        demand(len(found) % 4 == 0)
        data = base64.b64decode(found, validate=True)
        integer = int.from_bytes(data, "big", signed=True)
        demand(abs(integer) < 10**self.precision)
        return unscaled(integer, self.scale)

    def beyond(self, limit: Decimal, sign: int) -> str | None:
        del limit, sign
        return None


def connect_decimals(precision: int, scale: int) -> ConnectDecimals:
    """Make a decimal of Kafka Connect."""
    largest = base64.b64encode((10**precision).to_bytes(40, "big", signed=True)).decode()
    misfits = ((f'"{largest}"', "decimal_misfit"), ('""', "bad_format"), ('"12.50"', "bad_format"))
    avro = {
        "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale,
        "encoding": "connect",
    }  # fmt: skip
    return ConnectDecimals(avro, misfits, precision, scale)


@dataclass(frozen=True)
class LooseTimestamp(Timestamp):
    """A timestamp with a space, a comma, a short zone, or none; that is UTC then."""

    def spelled(self, draw: st.DrawFn, value: datetime) -> str:
        strict = json.loads(super().spelled(draw, value))
        match = re.fullmatch(r"(.{10})T(.{8})(\.\d+)?(.*)", strict)
        assert match
        day, clock, fraction, zone = match.groups("")
        clock = (
            clock[:5] if clock.endswith(":00") and not fraction and draw(st.booleans()) else clock
        )
        if zone == "Z":
            zone = draw(st.sampled_from(("Z", "", "+00", "-0000")))
        elif zone.endswith(":00") and draw(st.booleans()):
            zone = zone[:3]
        zone = zone.replace(":", draw(st.sampled_from((":", ""))))
        fraction = fraction.replace(".", draw(st.sampled_from(".,")))
        between = draw(st.sampled_from("T "))
        return string(draw, f"{day}{between}{clock}{fraction}{zone}")

    def read(self, found: Any) -> datetime:
        demand(isinstance(found, str))
        form = "([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
        zone_form = "()" if self.local else "(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
        match = re.fullmatch(form + zone_form, found)
        demand(match)
        assert match
        day, clock, seconds, digits, zone = match.groups("")
        zone = "+00:00" if zone in ("", "Z") else zone
        zone = f"{zone[:3]}:{zone[3:].removeprefix(':') or '00'}"
        micros = digits[:6].ljust(6, "0")
        moment = datetime.fromisoformat(f"{day}T{clock}{seconds or ':00'}.{micros}{zone}")
        return moment.replace(tzinfo=None) if self.local else moment.astimezone(UTC)


def loose_timestamps(logical: str) -> LooseTimestamp:
    """Make a timestamp of a looser form."""
    local = logical.startswith("local")
    texts = ("", "2026-11-23", "2026-11-23t09:30:00Z", "2026-11-23  09:30:00", "1795426200", "now")
    misfits = [(json.dumps(text), "bad_format") for text in texts]
    misfits += [('"2026-02-29 00:00:00"', "out_of_range"), ('"2026-02-28 24:00"', "out_of_range")]
    formats = ["space", "comma", "no-seconds"]
    attributes: dict[str, Any] = {"formats": formats}
    if not local:
        attributes = {"formats": [*formats, "basic-offset", "no-zone"], "zone": "UTC"}
    avro = {"type": "long", "logicalType": logical, **attributes}
    return LooseTimestamp(avro, tuple(misfits), local)


@dataclass(frozen=True)
class EpochText(EpochTime):
    """A count since 1970, also in text."""

    accepts = frozenset({"integer", "fraction", "string"})

    def spelled(self, draw: st.DrawFn, value: datetime) -> str:
        return _in_text(draw, super().spelled(draw, value))

    def read(self, found: Any) -> datetime:
        return super().read(Number(_number_in(found)))


def epoch_texts(logical: str, unit: str) -> EpochText:
    """Make a timestamp that is a number, maybe in text."""
    avro = {"type": "long", "logicalType": logical, "epoch": unit, "accept": ["text"]}
    misfits = (('"1e400"', "out_of_range"), ('"-1e18"', "out_of_range"), *_BAD_NUMBERS)
    return EpochText(avro, misfits, logical.startswith("local"), unit)


@dataclass(frozen=True)
class EpochNanos(Timestamp):
    """A moment as a whole number of nanoseconds since 1970, of which three digits are cut."""

    accepts = frozenset({"integer"})

    def value(self, draw: st.DrawFn) -> datetime:
        micros = draw(st.integers(-(2**63) // 1_000 + 1, 2**63 // 1_000 - 1).filter(_is_no_other))
        moment = EPOCH + timedelta(microseconds=micros)
        return moment.replace(tzinfo=None) if self.local else moment

    def spelled(self, draw: st.DrawFn, value: datetime) -> str:
        micros = (value.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
        return str(micros * 1_000 + draw(st.sampled_from((0, 1, 999))))

    def read(self, found: Any) -> datetime:
        demand(isinstance(found, Number) and found.whole and len(found.text) < 21)
        nanos = int(found.text)
        demand(-(2**63) <= nanos < 2**63)
        demand(not any(1980 <= year_in(nanos, scale) < 2100 for scale in (10**3, 10**6, 10**9)))
        moment = EPOCH + timedelta(microseconds=nanos // 1_000)
        return moment.replace(tzinfo=None) if self.local else moment


def year_in(count: float, nanos: int) -> float:
    """Return the year of a count of units of so many nanoseconds; 0 where there is none."""
    try:
        return (EPOCH + timedelta(seconds=float(count) * nanos / 1e9)).year
    except (OverflowError, ValueError):
        return 0


def _is_no_other(micros: int) -> bool:
    return not any(1980 <= year_in(micros * 1_000, scale) < 2100 for scale in (10**3, 10**6, 10**9))


def epoch_nanos(logical: str) -> EpochNanos:
    """Make a timestamp that is a number of nanoseconds."""
    avro = {"type": "long", "logicalType": logical, "epoch": "nanos"}
    texts = (str(2**63), str(-(2**63) - 1), "1795426200", "1795426200123", "1795426200123456")
    misfits = tuple((text, "out_of_range") for text in texts)
    return EpochNanos(avro, (*misfits, ("1e18", "wrong_type")), logical.startswith("local"))


@dataclass(frozen=True)
class NumberedTime(Time):
    """A time of day, also as a number of the type's own unit."""

    accepts = frozenset({"integer", "string"})

    def spelled(self, draw: st.DrawFn, value: time) -> str:
        if draw(st.booleans()):
            return super().spelled(draw, value)
        since = timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second,
            microseconds=value.microsecond,
        )  # fmt: skip
        return str(since // timedelta(microseconds=MICROS[self.unit]))

    def read(self, found: Any) -> time:
        if not isinstance(found, Number):
            return super().read(found)
        demand(found.whole and len(found.text) < 21)
        micros = int(found.text) * MICROS[self.unit]
        demand(0 <= micros < 86_400_000_000)
        return (EPOCH + timedelta(microseconds=micros)).time()


def numbered_times(unit: str) -> NumberedTime:
    """Make a time of day that may be a number."""
    kind = "int" if unit == "millis" else "long"
    day = 86_400_000_000 // MICROS[unit]
    misfits = [(str(count), "out_of_range") for count in (-1, day, 10**30)]
    misfits += [('"24:00:00"', "out_of_range"), ('"1"', "bad_format"), ("1.0", "wrong_type")]
    avro = {"type": kind, "logicalType": f"time-{unit}", "accept": ["number"]}
    return NumberedTime(avro, tuple(misfits), unit)


READINGS: tuple[Scalar, ...] = (
    any_integer("int", 32), any_integer("long", 64), any_floating("float", 32),
    any_floating("double", 64), any_boolean(), connect_decimals(9, 2), connect_decimals(40, 0),
    *map(loose_timestamps, ("timestamp-micros", "local-timestamp-millis")),
    *(epoch_texts("timestamp-millis", unit) for unit in MICROS),
    *map(epoch_nanos, ("timestamp-micros", "local-timestamp-micros")),
    *map(numbered_times, ("millis", "micros")),
)  # fmt: skip
