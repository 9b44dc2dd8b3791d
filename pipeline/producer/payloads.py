"""What an application may put: bytes and text as they are, and any other value as JSON."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from pipeline.producer.outcomes import RecordRefused

Payload = object
"""Bytes, or text, which is sent as UTF-8: both as they are. Anything else is written as JSON.

That is what JSON has, and what it is usually written for: dataclasses, dates and times (RFC 3339),
`Decimal` (as a number, every digit of it), `UUID`, enumerations, sets, `msgspec.Struct`.
"""

_ENCODER = msgspec.json.Encoder(decimal_format="number")
# What the encoder writes for numbers that JSON does not have; they may as well be honest text.
_SUSPECTS = (b"null", b"NaN", b"Inf")


def to_bytes(payload: Payload) -> bytes:
    """Return the bytes to send. Raises `RecordRefused` for what JSON cannot hold."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    try:
        if isinstance(payload, str):
            return payload.encode()
        text = _ENCODER.encode(payload)
        finite = not any(map(text.__contains__, _SUSPECTS)) or _is_finite(payload)
    except UnicodeEncodeError:
        raise RecordRefused("The payload has text that is not valid Unicode.") from None
    except RecursionError:
        raise RecordRefused("The payload nests too deeply, or holds itself.") from None
    except TypeError as error:  # names a type, and no value
        raise RecordRefused(f"The payload cannot be written as JSON: {error}.") from None
    if not finite:
        raise RecordRefused("The payload has a number that JSON cannot hold: NaN or infinity.")
    return text


def _is_finite(value: object) -> bool:
    """Return whether every number in a value is one; `value` was written as JSON before."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, str | bytes):
        return True
    if isinstance(value, Mapping):
        return all(_is_finite(part) for member in value.items() for part in member)
    if dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct):
        names = getattr(value, "__struct_fields__", None) or [
            field.name
            for field in dataclasses.fields(value)  # type: ignore[arg-type]
        ]
        return all(_is_finite(getattr(value, name)) for name in names)
    return not isinstance(value, Iterable) or all(map(_is_finite, value))
