"""A field's default, as Avro's specification writes it, to what a document would hold.

The two differ where JSON has no such value: Avro writes bytes as one character a byte, and times
as numbers. So one character of code 255 is one byte, which documents hold as the base64 `"/w=="`.
Times and decimals may be written as in documents, too: text and numbers are not to be confused.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pybase64

from pipeline.core.jsontext import Float, Integer, is_text
from pipeline.core.schema.types import Array, LogicalType, Map, Record, Scalar, Type

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_DECIMAL = 100  # characters of what is to fit 76 digits
_MOST_DIGITS = 20  # of a number that Python is to read


class UnusableDefault(Exception):
    """A default does not fit its type; the message says why."""


def as_document(value: Any, schema_type: Type) -> Any:
    """Return a default as a document would hold it. Raises `UnusableDefault`.

    What is of another JSON type than its own is returned as it is: reading it will refuse it.
    """
    match schema_type:
        case Scalar() as scalar:
            write = _WRITERS.get(scalar.logical)
            return value if write is None else write(scalar, value)
        case Record() as record:
            return _object(record, value) if isinstance(value, dict) else value
        case Array(item=inner) if isinstance(value, list):
            return [None if item is None else as_document(item, inner.type) for item in value]
        case Map(value=inner) if isinstance(value, dict):
            return {
                key: None if item is None else as_document(item, inner.type)
                for key, item in value.items()
            }
        case _:
            return value


def _object(record: Record, value: Mapping[str, Any]) -> dict[str, Any]:
    """Read an object's members by their fields' names, as Avro does, or by their JSON keys."""
    written: dict[str, Any] = {}
    left = set(value)
    for field in record.fields:
        name = field.name if field.name in value else field.key
        if name in value:
            member = value[name]
            left.discard(name)
            written[field.key] = None if member is None else as_document(member, field.type)
    if left:
        raise UnusableDefault(f"it has a member {min(left)!r}, which no field reads.")
    return written


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise UnusableDefault(
            "it has one character for each byte, as Avro writes bytes, and none above \\u00ff."
        ) from None


def _base64(scalar: Scalar, value: Any) -> Any:
    if not is_text(value):
        return value
    data = _bytes(value)
    size = scalar.arrow.byte_width if scalar.logical is LogicalType.FIXED else len(data)
    if len(data) != size:
        raise UnusableDefault(f"it is {len(data)} bytes, a character for each, and not {size}.")
    return pybase64.b64encode(data).decode()


def _decimal(scalar: Scalar, value: Any) -> Any:
    """Read Avro's bytes, the unscaled integer, or a number."""
    number = _decimal_number(scalar, value)
    if scalar.reading is None or scalar.reading.encoding != "connect":
        return number
    return _connect(scalar, number) if isinstance(number, Integer | Float) else number


def _connect(scalar: Scalar, number: str) -> Any:
    """Write a number as base64 of the unscaled integer; what has none is returned as it is."""
    if len(number) > _LONGEST_DECIMAL:
        return number
    exactly = Decimal(number)
    if abs(exactly.adjusted()) > _LONGEST_DECIMAL:
        return number
    from fractions import Fraction  # noqa: PLC0415 - few schemas need it, and it costs a start

    unscaled = Fraction(exactly) * 10**scalar.arrow.scale
    if unscaled.denominator != 1:
        return number
    whole = unscaled.numerator
    size = (whole + (whole < 0)).bit_length() // 8 + 1
    return pybase64.b64encode(whole.to_bytes(size, "big", signed=True)).decode()


def _decimal_number(scalar: Scalar, value: Any) -> Any:
    if not is_text(value):
        return value
    if _NUMBER.fullmatch(value):
        raise UnusableDefault(
            "for Avro these are the bytes of the unscaled integer, a character for each; if they "
            "are the digits of a number, write it without quotes."
        )
    unscaled = int.from_bytes(_bytes(value), "big", signed=True)
    digits = tuple(map(int, str(abs(unscaled)))) if abs(unscaled) < 10**80 else (1,) * 80
    number = Decimal((int(unscaled < 0), digits, -scalar.arrow.scale))
    return Float(format(number, "f"))


def _time(micros_a_unit: int, form: Callable[[datetime], str]) -> Callable[[Scalar, Any], Any]:
    """Return a writer of a time that Avro counts since 1970, or since midnight."""

    def write(_: Scalar, value: Any) -> Any:
        if not isinstance(value, Integer):
            return value
        if len(value) > _MOST_DIGITS:
            raise UnusableDefault("it is outside the years 0001 to 9999.")
        try:
            moment = _EPOCH + timedelta(microseconds=int(value) * micros_a_unit)
        except OverflowError:
            raise UnusableDefault("it is outside the years 0001 to 9999.") from None
        return form(moment)

    return write


def _clock(moment: datetime) -> str:
    if moment.date() != _EPOCH.date():
        raise UnusableDefault("it is not a time of one day.")
    return moment.time().isoformat()


def _local(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat()


_DAY, _MILLI = 86_400_000_000, 1_000  # microseconds
_WRITERS: dict[LogicalType, Callable[[Scalar, Any], Any]] = {
    LogicalType.BYTES: _base64,
    LogicalType.FIXED: _base64,
    LogicalType.DECIMAL: _decimal,
    LogicalType.DATE: _time(_DAY, lambda moment: moment.date().isoformat()),
    LogicalType.TIME_MILLIS: _time(_MILLI, _clock),
    LogicalType.TIME_MICROS: _time(1, _clock),
    LogicalType.TIMESTAMP_MILLIS: _time(_MILLI, lambda moment: f"{_local(moment)}Z"),
    LogicalType.TIMESTAMP_MICROS: _time(1, lambda moment: f"{_local(moment)}Z"),
    LogicalType.LOCAL_TIMESTAMP_MILLIS: _time(_MILLI, _local),
    LogicalType.LOCAL_TIMESTAMP_MICROS: _time(1, _local),
}
