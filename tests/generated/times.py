"""UUIDs, dates and times: strings in a notation, or numbers since 1970."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from generated.scalars import Misfits, Scalar, demand
from generated.spelling import Number, number, string

MICROS = {"seconds": 1_000_000, "millis": 1_000, "micros": 1}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT = 2**51  # microseconds from 1970 that come through as a double of any unit
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
_ZONE = "(Z|[+-][0-9]{2}:[0-9]{2})"
# Texts that are in no notation of time, and why; a number is another type altogether.
_NO_DATES = {
    "2026-02-29": "out_of_range", "0000-01-01": "out_of_range", "2026-13-01": "out_of_range",
    "2026-1-01": "bad_format", "20260101": "bad_format", "": "bad_format",
    "２０２６-01-01": "bad_format", "12026-01-01": "bad_format", "2026-W01-1": "bad_format",
}  # fmt: skip
_NO_CLOCKS = {
    "24:00:00": "out_of_range", "23:60:00": "out_of_range", "23:59:60": "out_of_range",
    "9:30:00": "bad_format", "09:30": "bad_format", "09:30:00,5": "bad_format",
    "09:30:00.": "bad_format", "09:30:00.1234567890": "bad_format", "": "bad_format",
}  # fmt: skip


def _texts(misfits: dict[str, str]) -> Misfits:
    return tuple((json.dumps(text), reason) for text, reason in misfits.items())


@dataclass(frozen=True)
class Uuid(Scalar):
    """36 characters in any case, which become lower case."""

    def value(self, draw: st.DrawFn) -> str:
        return str(draw(st.uuids()))

    def spelled(self, draw: st.DrawFn, value: str) -> str:
        return string(draw, draw(st.sampled_from((value, value.upper(), value.title()))))

    def read(self, found: Any) -> str:
        text = _matched(found, "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
        return text.group().lower()


def uuid() -> Uuid:
    """Make a UUID."""
    whole = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    none = ("", whole[:-1], whole + " ", f"{{{whole}}}", whole.replace("-", ""), "g" + whole[1:])
    misfits = _texts(dict.fromkeys(none, "bad_format"))
    return Uuid({"type": "string", "logicalType": "uuid"}, misfits)


@dataclass(frozen=True)
class Date(Scalar):
    """A day of the years 0001 to 9999."""

    def value(self, draw: st.DrawFn) -> date:
        return draw(st.dates())

    def text(self, value: date) -> str:
        return value.isoformat()

    def read(self, found: Any) -> date:
        return date.fromisoformat(_matched(found, _DATE).group())


def dates() -> Date:
    """Make a date."""
    return Date({"type": "int", "logicalType": "date"}, _texts(_NO_DATES))


@dataclass(frozen=True)
class Time(Scalar):
    """A time of day; what is finer than its unit is cut."""

    unit: str = "micros"

    def value(self, draw: st.DrawFn) -> time:
        value = draw(st.times())
        coarse = MICROS[self.unit] if self.unit == "micros" else 1_000
        return value.replace(microsecond=value.microsecond // coarse * coarse)

    def spelled(self, draw: st.DrawFn, value: time) -> str:
        digits = f"{value.microsecond:06}"[: 6 if self.unit == "micros" else 3]
        return string(draw, f"{value:%H:%M:%S}{_fraction(draw, digits)}")

    def text(self, value: time) -> str:
        return value.isoformat("microseconds" if self.unit == "micros" else "milliseconds")

    def read(self, found: Any) -> time:
        clock, digits = _matched(found, _CLOCK).groups("")
        kept = digits[: 6 if self.unit == "micros" else 3].ljust(6, "0")
        return time.fromisoformat(clock).replace(microsecond=int(kept))


def times(unit: str) -> Time:
    """Make a time of day."""
    kind = "int" if unit == "millis" else "long"
    return Time({"type": kind, "logicalType": f"time-{unit}"}, _texts(_NO_CLOCKS), unit)


@dataclass(frozen=True)
class Timestamp(Scalar):
    """A moment in UTC with microseconds, or one of local time, which has no zone."""

    local: bool = False

    def value(self, draw: st.DrawFn) -> datetime:
        return draw(st.datetimes(timezones=st.none() if self.local else st.just(UTC)))

    def spelled(self, draw: st.DrawFn, value: datetime) -> str:
        zone = ""
        if not self.local:
            value, zone = _elsewhere(value, draw(st.none() | st.integers(-1_439, 1_439)))
        digits = _fraction(draw, f"{value.microsecond:06}")
        return string(
            draw, value.replace(tzinfo=None).isoformat(timespec="seconds") + digits + zone
        )

    def text(self, value: datetime) -> str:
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z" * (
            not self.local
        )

    def read(self, found: Any) -> datetime:
        parts = _matched(found, f"({_DATE})T{_CLOCK}" + ("()" if self.local else _ZONE))
        day, clock, digits, zone = parts.groups("")
        moment = datetime.fromisoformat(f"{day}T{clock}.{digits[:6].ljust(6, '0')}{zone}")
        return moment if self.local else moment.astimezone(UTC)


def timestamps(logical: str) -> Timestamp:
    """Make a timestamp."""
    local = logical.startswith("local")
    zone = "" if local else "Z"
    misfits = {f"{day}T00:00:00{zone}": why for day, why in _NO_DATES.items()}
    misfits |= {f"2026-11-23T{clock}{zone}": why for clock, why in _NO_CLOCKS.items()}
    others = ["2026-11-23T00:00:00Z"] if local else ["2026-11-23T00:00:00", "2026-11-23 00:00:00Z"]
    misfits |= dict.fromkeys([*others, "2026-11-23", "now"], "bad_format")
    if not local:
        misfits |= dict.fromkeys(
            ("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:00-00:01", "2026-11-23T00:00:00+24:00"),
            "out_of_range",
        )
    return Timestamp({"type": "long", "logicalType": logical}, _texts(misfits), local)


@dataclass(frozen=True)
class EpochDate(Date):
    """A day as a count of them since 1970."""

    accepts = frozenset({"integer"})

    def spelled(self, draw: st.DrawFn, value: date) -> str:
        del draw
        return str((value - EPOCH.date()).days)

    def read(self, found: Any) -> date:
        demand(isinstance(found, Number) and found.whole)
        return EPOCH.date() + timedelta(days=int(found.text))


def epoch_dates() -> EpochDate:
    """Make a date that is a number."""
    avro = {"type": "int", "logicalType": "date", "epoch": "days"}
    days = (-719_163, 2_932_897, 2**31, -(10**30))
    return EpochDate(avro, tuple((str(day), "out_of_range") for day in days))


@dataclass(frozen=True)
class EpochTime(Timestamp):
    """A moment as a number of some unit since 1970."""

    unit: str = "seconds"
    accepts = frozenset({"integer", "fraction"})

    def value(self, draw: st.DrawFn) -> datetime:
        likely = st.integers(-EXACT, EXACT).filter(lambda micros: not self.is_coarser(micros))
        moment = EPOCH + timedelta(microseconds=draw(likely))
        return moment.replace(tzinfo=None) if self.local else moment

    def is_coarser(self, micros: float) -> bool:
        """Whether a time is one of 1980 to 2100 in a coarser unit, and so refused."""
        count = micros / MICROS[self.unit]
        coarser = [size for size in MICROS.values() if size > MICROS[self.unit]]
        low, high = (datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1e6 for year in (1980, 2100))
        return any(low <= count * size < high for size in coarser)

    def spelled(self, draw: st.DrawFn, value: datetime) -> str:
        micros = (value.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
        text = number(draw, Decimal(micros) / MICROS[self.unit])
        return text.removesuffix(".0") if draw(st.booleans()) else text

    def read(self, found: Any) -> datetime:
        demand(isinstance(found, Number))
        micros = float(found.text) * MICROS[self.unit]
        demand(abs(micros) < 10**18)
        demand(not self.is_coarser(micros))
        moment = EPOCH + timedelta(microseconds=round(micros))
        return moment.replace(tzinfo=None) if self.local else moment


def epoch_times(logical: str, unit: str) -> EpochTime:
    """Make a timestamp that is a number."""
    avro = {"type": "long", "logicalType": logical, "epoch": unit}
    second = 1_000_000 // MICROS[unit]
    texts = ("1e400", f"{-62135596801 * second}", f"{253402300800 * second}", "9" * 400, "-1e18")
    # Now, in each coarser unit.
    coarser = [size for size in MICROS.values() if size > MICROS[unit]]
    now = [str(1_795_426_200 * 1_000_000 // size) for size in coarser]
    misfits = tuple((text, "out_of_range") for text in (*texts, *now))
    return EpochTime(avro, misfits, logical.startswith("local"), unit)


def _matched(found: Any, form: str) -> re.Match[str]:
    demand(isinstance(found, str))
    match = re.fullmatch(form, found)
    demand(match)
    assert match
    return match


def _fraction(draw: st.DrawFn, digits: str) -> str:
    """Write a fraction of a second: shortest, or with digits that are cut when read."""
    longer = digits + draw(st.sampled_from(("", "0", "999", "501")))
    shorter = digits.rstrip("0")
    chosen = draw(st.sampled_from((shorter, longer)))
    return f".{chosen}" if chosen else ""


def _elsewhere(moment: datetime, minutes: int | None) -> tuple[datetime, str]:
    """Return a moment's time in another zone, and the zone; in UTC at the ends of the calendar."""
    if minutes is None:
        return moment, "Z"
    try:
        there = moment + timedelta(minutes=minutes)
    except OverflowError:
        return moment, "Z"
    return there, f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
