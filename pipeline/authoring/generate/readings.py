"""Values in the forms that a field reads beside its strict one."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import msgspec
import pybase64

from pipeline.authoring.generate.random_source import RandomSource, choice
from pipeline.core.schema.readings import NUMBER_OF_DAY, TEXT, WHOLE_FLOATS, ZERO_ONE
from pipeline.core.schema.types import Reading, Scalar
from pipeline.core.schema.values import ConversionError

Make = Callable[[RandomSource, int], Any]
_Spell = Callable[[Any], Any]


def spelled(scalar: Scalar, reading: Reading, make: Make) -> Make:
    """Return what makes the values that `make` makes, each in one of the forms of its field."""
    if reading.encoding is not None:
        return lambda source, now: _connect(Decimal(make(source, now)), scalar.arrow.scale)
    ways = [_as_is, *(_WAYS[name] for name in _WAYS if name in reading.accept)]

    def write(source: RandomSource, now: int) -> Any:
        value = make(source, now)
        # Where there are forms of time they are the point of the field.
        if reading.write and (len(ways) == 1 or source.random() < 0.5):  # noqa: PLR2004 - as often
            return _in_form(scalar, value, choice(source, reading.write))
        return choice(source, ways)(value)

    return write


def _as_is(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return json.dumps(value) if not isinstance(value, str) else value


def _whole(value: Any) -> Any:
    return msgspec.Raw(f"{value}.0".encode()) if isinstance(value, int) else value


def _day_number(value: str) -> int:
    """Return the units since midnight of a time; its digits say which."""
    clock, _, fraction = value.partition(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    units: int = 10 ** len(fraction)
    return ((hours * 60 + minutes) * 60 + seconds) * units + int(fraction or 0)


_WAYS: dict[str, _Spell] = {
    TEXT: _text,
    WHOLE_FLOATS: _whole,
    ZERO_ONE: int,
    NUMBER_OF_DAY: _day_number,
}


def _in_form(scalar: Scalar, value: Any, write: Callable[[int], str]) -> Any:
    """Write a time in a form; as it is, where a zone's clocks show that time twice."""
    convert = cast("Callable[[Any], Any]", scalar.convert)  # no time is stored as it is read
    raw = msgspec.json.encode(value)
    stored = convert(msgspec.Raw(raw) if scalar.kind == "any" else value)
    text = write(int(stored * _units(scalar)))
    try:
        convert(msgspec.Raw(msgspec.json.encode(text)) if scalar.kind == "any" else text)
    except ConversionError:
        return value
    return text


def _units(scalar: Scalar) -> int:
    """Return the microseconds of one unit of what a scalar stores."""
    return {"date32[day]": 86_400_000_000, "time32[ms]": 1_000}.get(str(scalar.arrow), 1)


def _connect(value: Decimal, scale: int) -> str:
    unscaled = int(value.scaleb(scale))
    size = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    return pybase64.b64encode(unscaled.to_bytes(size, signed=True)).decode()
