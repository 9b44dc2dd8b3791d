"""JSON strings and numbers to the values Arrow stores, one at a time.

These functions are the definition of what each type accepts: any faster way has to agree with
them. Each is given what the strict decoder read and raises `ConversionError` for what does not
fit. Text is matched against ASCII digits only, and messages never quote the value.
"""

import binascii
import decimal
import re
import struct
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import msgspec
import pybase64

from pipeline.core.reasons import Reason

MICROS = {"seconds": 1_000_000, "millis": 1_000, "micros": 1}
_NANOS = {**{unit: 1_000 * micros for unit, micros in MICROS.items()}, "nanos": 1}
# Of 1980 and 2100, in seconds since 1970: between them lie the times that are likely.
_LIKELY = (315_532_800, 4_102_444_800)
_DAY = 86_400_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
FIRST_DAY = 1 - _EPOCH_ORDINAL  # 0001-01-01, in days since 1970
LAST_DAY = date.max.toordinal() - _EPOCH_ORDINAL  # 9999-12-31

_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
_date = re.compile(_DATE)
_time = re.compile(_TIME)
_timestamp = re.compile(rf"{_DATE}T{_TIME}(?:Z|([+-])([0-9]{{2}}):([0-9]{{2}}))")
_local_timestamp = re.compile(rf"{_DATE}T{_TIME}")
_uuid = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# How texts begin that are neither numbers nor strings, and what they are.
_OTHERS = {"t": "true or false", "f": "true or false", "[": "an array", "{": "an object"}
_nonzero = re.compile("[1-9]")
_text = msgspec.json.Decoder(str)


class ConversionError(ValueError):
    """A value of the right JSON type that its field's type cannot hold."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def float32(value: float) -> float:
    """Accept what is finite after rounding to 32 bits."""
    try:
        struct.pack("<f", value)  # the native format would give infinity instead of an error
    except OverflowError:
        message = "The number is too large for a 32-bit float."
        raise ConversionError(Reason.OUT_OF_RANGE, message) from None
    return value


def uuid(text: str) -> str:
    """Accept the canonical 36 characters in any case; return lower case."""
    if not _uuid.fullmatch(text):
        message = "The string is not a UUID of 36 characters."
        raise ConversionError(Reason.BAD_FORMAT, message)
    return text.lower()


def base64(size: int | None) -> Callable[[str], bytes]:
    """Return a reader of padded base64, of exactly `size` bytes where given."""

    def read(text: str) -> bytes:
        try:
            data = pybase64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            message = "The string is not padded base64."
            raise ConversionError(Reason.BAD_FORMAT, message) from None
        if size is not None and len(data) != size:
            message = f"The base64 holds {len(data)} bytes, not {size}."
            raise ConversionError(Reason.BAD_FORMAT, message)
        return data

    return read


def decimal_of(precision: int, scale: int) -> Callable[[msgspec.Raw], Decimal | None]:
    """Return a reader of JSON numbers, and of strings in their grammar, as exact decimals.

    The value has to fit: `1.100` fits scale 2, `1.101` does not. JSON's null is read as None.
    """
    context = decimal.Context(
        prec=precision, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN,
        traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow, decimal.Underflow],
    )  # fmt: skip
    unit = Decimal(1).scaleb(-scale)

    def read(raw: msgspec.Raw) -> Decimal | None:
        text = bytes(raw).decode()
        if text == "null":
            return None
        if text[0] in _OTHERS:
            message = f"Expected a number, or a string that is one, got {_OTHERS[text[0]]}."
            raise ConversionError(Reason.WRONG_TYPE, message)
        digits = _text.decode(raw) if text[0] == '"' else text
        if not NUMBER.fullmatch(digits):
            message = "The value is not a decimal number."
            raise ConversionError(Reason.BAD_FORMAT, message)
        if not _nonzero.search(digits.lower().partition("e")[0]):
            return unit * 0  # whatever its exponent, which may be beyond Decimal's
        try:
            return Decimal(digits).quantize(unit, context=context)
        except decimal.DecimalException:
            message = f"The number does not fit {precision} digits, {scale} after the point."
            raise ConversionError(Reason.DECIMAL_MISFIT, message) from None

    return read


def day(text: str) -> int:
    """`YYYY-MM-DD` to days since 1970."""
    match = _date.fullmatch(text)
    if not match:
        message = "The string is not a date of the form 2026-11-23."
        raise ConversionError(Reason.BAD_FORMAT, message)
    return days_of(*match.groups())


def epoch_day(days: int) -> int:
    """Days since 1970 within the years 0001 to 9999."""
    if not FIRST_DAY <= days <= LAST_DAY:
        message = "The day is outside the years 0001 to 9999."
        raise ConversionError(Reason.OUT_OF_RANGE, message)
    return days


def time_of_day(divisor: int) -> Callable[[str], int]:
    """Return a reader of `HH:MM:SS[.fraction]` in units of `divisor` microseconds.

    Digits beyond the unit are cut off.
    """

    def read(text: str) -> int:
        match = _time.fullmatch(text)
        if not match:
            message = "The string is not a time of day of the form 09:30:00.123."
            raise ConversionError(Reason.BAD_FORMAT, message)
        return micros_of(*match.groups()) // divisor

    return read


def timestamp(text: str) -> int:
    """`YYYY-MM-DDTHH:MM:SS[.1-9 digits](Z or ±HH:MM)` to microseconds since 1970, UTC.

    Digits beyond microseconds are cut off.
    """
    match = _timestamp.fullmatch(text)
    if not match:
        zone = " (it has no time zone)" if _local_timestamp.fullmatch(text) else ""
        message = f"The string is not a timestamp of the form 2026-11-23T09:30:00.123456Z{zone}."
        raise ConversionError(Reason.BAD_FORMAT, message)
    *parts, sign, hours, minutes = match.groups()
    micros = instant(*parts)
    if sign:
        offset = micros_of(hours, minutes, "00", None)
        micros += offset if sign == "-" else -offset
    return within_years(micros)


def local_timestamp(text: str) -> int:
    """`YYYY-MM-DDTHH:MM:SS[.1-9 digits]`, no zone, to microseconds since 1970."""
    match = _local_timestamp.fullmatch(text)
    if not match:
        message = "The string is not a local timestamp of the form 2026-11-23T09:30:00.123456."
        raise ConversionError(Reason.BAD_FORMAT, message)
    return instant(*match.groups())


def epoch_timestamp(unit: str) -> Callable[[float], int]:
    """Return a reader of numbers in `unit` since 1970 as microseconds, rounded half to even."""
    factor = float(MICROS[unit])
    coarser = coarser_units(unit)

    def read(value: float) -> int:
        refuse_coarser(value, unit, coarser)
        micros = value * factor
        if not FIRST_DAY * _DAY <= micros < (LAST_DAY + 1) * _DAY:
            message = "The time is outside the years 0001 to 9999."
            raise ConversionError(Reason.OUT_OF_RANGE, message)
        return within_years(round(micros))

    return read


def epoch_nanos(value: int) -> int:
    """Nanoseconds since 1970 to microseconds; what is finer is cut off, as it is in texts."""
    refuse_coarser(value, "nanos", coarser_units("nanos"))
    return value // 1_000


Coarser = tuple[tuple[str, int, int], ...]
"""Units, and the range of numbers that are likely times in each."""


def coarser_units(unit: str) -> Coarser:
    """Return the units coarser than `unit` in which a number may have been meant.

    A number of `unit` in such a range is a time of 1970, before its 18th of February.
    """
    finest = _NANOS[unit]
    low, high = (limit * 1_000_000_000 for limit in _LIKELY)
    return tuple(
        (name, low // nanos, high // nanos) for name, nanos in _NANOS.items() if nanos > finest
    )


def refuse_coarser(value: float, unit: str, coarser: Coarser) -> None:
    """Refuse a time of early 1970 that is a time of 1980 to 2100 in a coarser unit."""
    for name, low, high in coarser:
        if low <= value < high:
            message = (
                f"The number is in {name}, as it seems, not in {unit}: it would be a time in "
                "January or February of 1970."
            )
            raise ConversionError(Reason.OUT_OF_RANGE, message)


def json_text(raw: msgspec.Raw) -> str:
    """Return any JSON value as its text, exactly as it is in the document."""
    return bytes(raw).decode()


def connect_decimal(precision: int, scale: int) -> Callable[[str], Decimal]:
    """Return a reader of decimals as Kafka Connect and Debezium write them.

    They are base64 of the unscaled integer, in two's complement, the highest byte first. A text
    of digits is base64 too, and never read as a number.
    """
    decode = base64(None)
    limit = 10**precision

    def read(text: str) -> Decimal:
        data = decode(text)
        if not data:
            message = "The base64 holds no bytes, and so no number."
            raise ConversionError(Reason.BAD_FORMAT, message)
        unscaled = int.from_bytes(data, signed=True)
        if not -limit < unscaled < limit:
            message = f"The number does not fit {precision} digits, {scale} after the point."
            raise ConversionError(Reason.DECIMAL_MISFIT, message)
        digits = tuple(map(int, str(abs(unscaled))))
        return Decimal((int(unscaled < 0), digits, -scale))

    return read


def instant(year: str, month: str, day_of_month: str, *time: str | None) -> int:
    """Return the microseconds since 1970 of digits. Raises `ConversionError`."""
    return days_of(year, month, day_of_month) * _DAY + micros_of(*time)


def days_of(year: str, month: str, day_of_month: str) -> int:
    """Return the days since 1970 of digits. Raises `ConversionError`."""
    try:
        return date(int(year), int(month), int(day_of_month)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        message = "The date is not in the calendar."
        raise ConversionError(Reason.OUT_OF_RANGE, message) from None


def micros_of(
    hours: str | None, minutes: str | None, seconds: str | None, fraction: str | None
) -> int:
    """Return the microseconds since midnight of digits. Raises `ConversionError`."""
    h, m, s = int(hours or 0), int(minutes or 0), int(seconds or 0)
    if h > 23 or m > 59 or s > 59:  # noqa: PLR2004 - a clock's
        message = "The time of day is not on the clock."
        raise ConversionError(Reason.OUT_OF_RANGE, message)
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return ((h * 60 + m) * 60 + s) * 1_000_000 + micros


def within_years(micros: int) -> int:
    """Accept the years 0001 to 9999. Raises `ConversionError`."""
    if not FIRST_DAY * _DAY <= micros < (LAST_DAY + 1) * _DAY:
        message = "The time is outside the years 0001 to 9999 in UTC."
        raise ConversionError(Reason.OUT_OF_RANGE, message)
    return micros
