"""Readers of Avro's binary encoding: each takes one value from a cursor, as JSON is to hold it.

What stands in the bytes comes from anyone. A reader raises `Broken`, `TooMuch` or `TooDeep`, or
`IndexError` and `struct.error` where the bytes end before the value does.
"""

import math
import struct
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pybase64

_MORE, _BITS = 0x80, 0x7F
_LONGEST_VARINT = 63  # bits of the shift behind which a number would have more than 64
_TWO_TO_64 = 2**64
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is written by hand
_LONGEST_DECIMAL = 64  # bytes; no table holds half of it
_DAY = 86_400
_float, _double = struct.Struct("<f").unpack_from, struct.Struct("<d").unpack_from


class Broken(Exception):
    """The bytes are not what the schema says; the text says why, and quotes nothing of them."""


class TooMuch(Exception):
    """The value would become more than it may."""


class TooDeep(Exception):
    """The value nests deeper than it may."""


class Cursor:
    """Where a reader stands in a payload; how much it may still become, and how deep."""

    __slots__ = ("data", "deeper", "left", "offset")

    def __init__(self, data: bytes, most: int, depth: int) -> None:
        self.data = data
        self.offset = 0
        self.left = most
        self.deeper = depth

    def spend(self, count: int) -> None:
        """Enter that so many bytes of JSON are certain to come."""
        self.left -= count
        if self.left < 0:
            raise TooMuch


Read = Callable[[Cursor], Any]


# ------------------------------------------------------------------------------------ primitives


def _long(cursor: Cursor) -> int:
    data, offset = cursor.data, cursor.offset
    byte = data[offset]
    offset += 1
    number, shift = byte & _BITS, 7
    while byte & _MORE:
        if shift > _LONGEST_VARINT:
            message = "a number takes more than 10 bytes"
            raise Broken(message)
        byte = data[offset]
        offset += 1
        number |= (byte & _BITS) << shift
        shift += 7
    if number >= _TWO_TO_64:
        message = "a number has more than 64 bits"
        raise Broken(message)
    cursor.offset = offset
    return (number >> 1) ^ -(number & 1)


def _int(cursor: Cursor) -> int:
    number = _long(cursor)
    if not -(2**31) <= number < 2**31:
        message = "an int has more than 32 bits"
        raise Broken(message)
    return number


def _null(_: Cursor) -> None:
    return None


def _boolean(cursor: Cursor) -> bool:
    byte = cursor.data[cursor.offset]
    if byte > 1:
        message = "a boolean is neither 0 nor 1"
        raise Broken(message)
    cursor.offset += 1
    return byte == 1


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _read_float(cursor: Cursor) -> float | str:
    (value,) = _float(cursor.data, cursor.offset)
    cursor.offset += 4
    return _finite(value)


def _read_double(cursor: Cursor) -> float | str:
    (value,) = _double(cursor.data, cursor.offset)
    cursor.offset += 8
    return _finite(value)


def _taken(cursor: Cursor, size: int) -> bytes:
    """Take so many bytes; they will be at least as many of JSON."""
    start, end = cursor.offset, cursor.offset + size
    if size < 0:
        message = "a length is negative"
        raise Broken(message)
    if end > len(cursor.data):
        raise IndexError
    cursor.spend(size)
    cursor.offset = end
    return cursor.data[start:end]


def read_bytes(cursor: Cursor) -> bytes:
    """Read bytes behind their length."""
    return _taken(cursor, _long(cursor))


def _string(cursor: Cursor) -> str:
    try:
        return read_bytes(cursor).decode()
    except UnicodeDecodeError:
        message = "a string is not UTF-8"
        raise Broken(message) from None


def _base64(cursor: Cursor) -> str:
    return pybase64.b64encode_as_string(read_bytes(cursor))


PRIMITIVES: Mapping[str, Read] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _read_float,
    "double": _read_double,
    "bytes": _base64,
    "string": _string,
}

# --------------------------------------------------------------------------------- logical types


def _date(days: int) -> str | int:
    try:
        return date.fromordinal(_EPOCH_DAY + days).isoformat()
    except (ValueError, OverflowError):
        return days


def _time(unit: int) -> Callable[[int], str | int]:
    """Make what writes a time of day; `unit` is how many of them a second has."""
    digits = len(str(unit)) - 1

    def written(count: int) -> str | int:
        seconds, fraction = divmod(count, unit)
        if not 0 <= seconds < _DAY:
            return count
        minutes, second = divmod(seconds, 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}.{fraction:0{digits}}"

    return written


def _timestamp(unit: int, zone: str) -> Callable[[int], str | int]:
    digits = len(str(unit)) - 1

    def written(count: int) -> str | int:
        seconds, fraction = divmod(count, unit)
        try:
            moment = _EPOCH + timedelta(seconds=seconds)
        except OverflowError:
            return count
        return f"{moment.isoformat()}.{fraction:0{digits}}{zone}"

    return written


LOGICAL: Mapping[tuple[str, str], Callable[[int], str | int]] = {
    ("int", "date"): _date,
    ("int", "time-millis"): _time(1_000),
    ("long", "time-micros"): _time(1_000_000),
} | {
    ("long", f"{kind}timestamp-{name}"): _timestamp(unit, zone)
    for kind, zone in (("", "Z"), ("local-", ""))
    for name, unit in (("millis", 10**3), ("micros", 10**6), ("nanos", 10**9))
}


def converted(read: Read, written: Callable[[Any], Any]) -> Read:
    """Make what reads a value and writes it otherwise."""

    def read_and_write(cursor: Cursor) -> Any:
        return written(read(cursor))

    return read_and_write


def decimal_text(scale: int) -> Callable[[bytes], msgspec.Raw]:
    """Make what writes the digits of an unscaled number, with `scale` of them behind the point."""

    def written(data: bytes) -> msgspec.Raw:
        if len(data) > _LONGEST_DECIMAL:
            message = f"a decimal has more than {_LONGEST_DECIMAL} bytes"
            raise Broken(message)
        unscaled = int.from_bytes(data, signed=True)
        digits = str(abs(unscaled)).rjust(scale + 1, "0")
        text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
        return msgspec.Raw(f"{'-' if unscaled < 0 else ''}{text}".encode())

    return written


def uuid_text(data: bytes) -> str:
    """Write the 16 bytes of a UUID."""
    return str(uuid.UUID(bytes=data))


def fixed_reader(size: int) -> Read:
    """Make what reads so many bytes."""

    def read(cursor: Cursor) -> bytes:
        return _taken(cursor, size)

    return read


# -------------------------------------------------------------------------------------- compound


def record_reader(fields: list[tuple[str, Read]], cost: int) -> Read:
    """Make what reads a record; `fields` may still grow, as a record may hold itself."""

    def read(cursor: Cursor) -> dict[str, Any]:
        if cursor.deeper <= 0:
            raise TooDeep
        cursor.spend(cost)
        cursor.deeper -= 1
        values = {}
        for name, read_field in fields:
            values[name] = read_field(cursor)
        cursor.deeper += 1
        return values

    return read


def _blocks(cursor: Cursor) -> int:
    """Return how many items the next block of an array or map has; 0 behind the last one."""
    count = _long(cursor)
    if count < 0:
        count = -count
        _long(cursor)  # the size of the block in bytes, for who wants to skip it
    cursor.spend(count)
    return count


def array_reader(read_item: Read) -> Read:
    """Make what reads an array."""

    def read(cursor: Cursor) -> list[Any]:
        if cursor.deeper <= 0:
            raise TooDeep
        cursor.deeper -= 1
        items = list[Any]()
        while count := _blocks(cursor):
            for _ in range(count):
                items.append(read_item(cursor))
        cursor.deeper += 1
        return items

    return read


def map_reader(read_value: Read) -> Read:
    """Make what reads a map; of a name that is repeated, the last value counts."""

    def read(cursor: Cursor) -> dict[str, Any]:
        if cursor.deeper <= 0:
            raise TooDeep
        cursor.deeper -= 1
        values = dict[str, Any]()
        while count := _blocks(cursor):
            for _ in range(count):
                name = _string(cursor)
                values[name] = read_value(cursor)
        cursor.deeper += 1
        return values

    return read


def union_reader(branches: list[Read]) -> Read:
    """Make what reads a union: the value of its branch, alone."""

    def read(cursor: Cursor) -> Any:
        index = _long(cursor)
        if not 0 <= index < len(branches):
            message = f"a union has no branch {index}"
            raise Broken(message)
        return branches[index](cursor)

    return read


def enum_reader(symbols: list[str]) -> Read:
    """Make what reads an enum: the symbol."""

    def read(cursor: Cursor) -> str:
        index = _int(cursor)
        if not 0 <= index < len(symbols):
            message = f"an enum has no symbol {index}"
            raise Broken(message)
        return symbols[index]

    return read
