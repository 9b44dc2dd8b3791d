"""What a field may read beside its strict form, where its schema says so.

Strict is the default. Attributes beside a field's name, or inside its type, add readings to a
scalar; each has the value that the strict form of the same value has, exactly.

    "accept": ["text", …]    numbers and booleans in text, whole numbers as 12.0, "" for null …
    "formats": ["space", …]  texts of dates and times in other forms, of `time_forms`
    "zone": "Europe/Berlin"  the zone of texts that name none
    "encoding": "connect"    decimals as Kafka Connect and Debezium encode them
    "json": true             any value, as its JSON text (`avro` makes that type)

A scalar that reads more than one JSON type is of kind "any": the decoder hands over the value's
text, and everything about it is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pyarrow as pa

from pipeline.core.jsontext import is_text
from pipeline.core.reasons import Reason
from pipeline.core.schema import values
from pipeline.core.schema.types import LogicalType, Reading, Scalar
from pipeline.core.schema.values import NUMBER, ConversionError

if TYPE_CHECKING:
    from pipeline.core.schema.time_forms import Kind, TimeForms

ATTRIBUTES = ("epoch", "json", "accept", "formats", "zone", "encoding")
"""The attributes that may be beside a field's name, or inside its type."""
TEXT, WHOLE_FLOATS, ZERO_ONE = "text", "whole-floats", "zero-one"
NUMBER_OF_DAY, EMPTY_TEXT = "number", "empty-text"
_INTEGERS = frozenset(
    {LogicalType.INT, LogicalType.LONG, LogicalType.EPOCH_DAYS, LogicalType.EPOCH_NANOS}
)
_EPOCHS = frozenset({
    LogicalType.EPOCH_DAYS, LogicalType.EPOCH_SECONDS, LogicalType.EPOCH_MILLIS,
    LogicalType.EPOCH_MICROS, LogicalType.EPOCH_NANOS,
})  # fmt: skip
_NUMBERS = _INTEGERS | _EPOCHS | {LogicalType.FLOAT, LogicalType.DOUBLE}
ACCEPTED: dict[str, tuple[str, frozenset[LogicalType]]] = {
    TEXT: (
        'booleans, numbers (decimals read text in any case), and dates and times with "epoch"',
        _NUMBERS | {LogicalType.BOOLEAN},
    ),
    WHOLE_FLOATS: ('int, long, and "epoch" of days or nanos', _INTEGERS),
    ZERO_ONE: ("booleans", frozenset({LogicalType.BOOLEAN})),
    NUMBER_OF_DAY: (
        "time-millis and time-micros",
        frozenset({LogicalType.TIME_MILLIS, LogicalType.TIME_MICROS}),
    ),
}
"""By name in `"accept"`: on which types it belongs, in words and as a set.

`empty-text` belongs on every type, where it may be null.
"""
_KINDS: dict[LogicalType, Kind] = {
    LogicalType.DATE: "date",
    LogicalType.EPOCH_DAYS: "date",
    LogicalType.TIME_MILLIS: "time",
    LogicalType.TIME_MICROS: "time",
}
_TIMESTAMPS = (_EPOCHS - {LogicalType.EPOCH_DAYS}) | {
    LogicalType.TIMESTAMP_MILLIS, LogicalType.TIMESTAMP_MICROS,
    LogicalType.LOCAL_TIMESTAMP_MILLIS, LogicalType.LOCAL_TIMESTAMP_MICROS,
}  # fmt: skip
_DAY = 86_400_000_000
_A_MOMENT = 1_795_426_200_123_456
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_KIND_NAMES = {
    '"': "a string",
    "t": "true or false",
    "f": "true or false",
    "[": "an array",
    "{": "an object",
}
_point = re.compile("[.eE]")
_text = msgspec.json.Decoder(str)
_LONGEST_INTEGER = 20  # characters of one of 64 bits


class UnusableReading(Exception):
    """The attributes do not make a reading; the message says why."""


def accepted(attributes: Mapping[str, Any]) -> frozenset[str]:
    """Return the names in `"accept"`. Raises `UnusableReading`."""
    given = attributes.get("accept", [])
    known = [*ACCEPTED, EMPTY_TEXT]
    if not isinstance(given, list) or any(name not in known for name in given):
        names = ", ".join(f'"{name}"' for name in known)
        raise UnusableReading(f'"accept" is a list of {names}.')
    return frozenset(given)


def is_json(attributes: Mapping[str, Any]) -> bool:
    """Whether `"json"` is true. Raises `UnusableReading`."""
    given = attributes.get("json", False)
    if not isinstance(given, bool):
        raise UnusableReading('"json" is true or false.')
    return given


def check_json(attributes: Mapping[str, Any]) -> None:
    """Refuse what does not go with `"json": true`. Raises `UnusableReading`."""
    for name in ATTRIBUTES:
        if name in attributes and name != "json" and attributes[name] != [EMPTY_TEXT]:
            raise UnusableReading(f'"json" takes any value as it is; leave out "{name}".')


def check_none(attributes: Mapping[str, Any]) -> None:
    """Refuse attributes of scalars on a record, an array or a map. Raises `UnusableReading`."""
    if is_json(attributes):
        raise UnusableReading(JSON_BELONGS)
    for name in ("formats", "zone", "encoding"):
        if name in attributes:
            raise UnusableReading(_BELONGS[name])
    _check_accepted(accepted(attributes) - {EMPTY_TEXT}, None)


JSON_BELONGS = '"json" belongs on a string, or on a union of several types.'
_BELONGS = {
    "formats": '"formats" belongs on dates, times and timestamps.',
    "zone": '"zone" belongs on timestamps, beside "formats".',
    "encoding": '"encoding" belongs on decimals.',
}


def with_readings(scalar: Scalar, attributes: Mapping[str, Any]) -> Scalar:
    """Return a scalar that reads what the attributes say. Raises `UnusableReading`."""
    if not attributes.keys() - {"epoch"}:
        return scalar
    if is_json(attributes):
        raise UnusableReading(JSON_BELONGS)
    accept = accepted(attributes) - {EMPTY_TEXT}
    _check_accepted(accept, scalar.logical)
    if "encoding" in attributes:
        scalar = _encoded(scalar, attributes["encoding"])
    forms = _time_forms(scalar, attributes)
    if forms is None and not accept:
        return scalar
    text = None if forms is None else _converter(scalar, forms)
    reading = Reading(accept=accept)
    if forms is not None:
        _check_digits(forms, accept)
        reading = Reading(
            accept=accept, formats=forms.names, write=forms.texts(), loosened=forms.loosened()
        )
    if scalar.logical is LogicalType.BOOLEAN:
        convert: Callable[[Any], Any] = _boolean_reader(accept)
    elif scalar.logical in _NUMBERS:
        convert = _number_reader(scalar, accept, text)
    elif accept:
        convert = _time_reader(scalar, text)
    else:
        return msgspec.structs.replace(scalar, convert=text, reading=reading)
    return msgspec.structs.replace(
        scalar, kind="any", json_type=msgspec.Raw, convert=convert, reading=reading
    )


def _check_accepted(accept: frozenset[str], logical: LogicalType | None) -> None:
    for name, (words, types) in ACCEPTED.items():
        if name in accept and logical not in types:
            raise UnusableReading(f'"accept": "{name}" belongs on {words}.')


def _encoded(scalar: Scalar, encoding: Any) -> Scalar:
    if scalar.logical is not LogicalType.DECIMAL:
        raise UnusableReading(_BELONGS["encoding"])
    if encoding != "connect":
        raise UnusableReading('"encoding" of a decimal is "connect".')
    convert = values.connect_decimal(scalar.arrow.precision, scalar.arrow.scale)
    return msgspec.structs.replace(
        scalar, kind="string", json_type=str, convert=convert, reading=Reading(encoding="connect")
    )


def _time_forms(scalar: Scalar, attributes: Mapping[str, Any]) -> TimeForms | None:
    names, zone = attributes.get("formats"), attributes.get("zone")
    kind = _KINDS.get(scalar.logical)
    if scalar.logical in _TIMESTAMPS:
        kind = "local timestamp" if scalar.arrow.tz is None else "timestamp"
    for name in ("formats", "zone"):
        if name in attributes and (kind is None or "formats" not in attributes):
            raise UnusableReading(_BELONGS[name])
    if names is None or kind is None:
        return None
    if not isinstance(names, list) or not names or not all(map(is_text, names)):
        raise UnusableReading('"formats" is a list of names, or of patterns such as "%d.%m.%Y".')
    if zone is not None and not is_text(zone):
        raise UnusableReading('"zone" is the name of a time zone, such as "Europe/Berlin".')
    # Few datasets have other forms of times, and their expressions cost a start.
    from pipeline.core.schema.time_forms import UnusableFormats, time_forms  # noqa: PLC0415 - rare

    try:
        return time_forms(kind, names, zone)
    except UnusableFormats as error:
        raise UnusableReading(str(error)) from None


def _converter(scalar: Scalar, forms: TimeForms) -> Callable[[str], int]:
    """Return what reads a text of any of the forms to what the scalar stores."""
    divisor = {"date": _DAY, "time": 1_000 if scalar.arrow == pa.time32("ms") else 1}.get(
        forms.kind, 1
    )
    if divisor == 1:
        return forms.read
    return lambda text: forms.read(text) // divisor


def _check_digits(forms: TimeForms, accept: frozenset[str]) -> None:
    """Refuse a form whose texts are numbers, where numbers in text are counts since 1970."""
    for name, write in zip(forms.all_names(), forms.texts(), strict=True):
        if TEXT in accept and NUMBER.fullmatch(write(_A_MOMENT)):
            raise UnusableReading(
                f'"formats": texts of {name!r} are numbers, as those that "accept": "{TEXT}" reads.'
            )


def _boolean_reader(accept: frozenset[str]) -> Callable[[msgspec.Raw], bool]:
    in_text, as_number = TEXT in accept, ZERO_ONE in accept
    expected = "true or false"
    if as_number:
        expected = "true, false, 1 or 0"

    def read(raw: msgspec.Raw) -> bool:
        text = bytes(raw).decode()
        if text in ("true", "false") or (as_number and text in ("1", "0")):
            return _BOOLEANS[text]
        if in_text and text[0] == '"':
            found = _BOOLEANS.get(_text.decode(raw).lower())
            if found is None:
                message = "The string is not one of true, false, 1 and 0."
                raise ConversionError(Reason.BAD_FORMAT, message)
            return found
        raise _wrong_type(expected, text)

    return read


def _number_reader(
    scalar: Scalar, accept: frozenset[str], convert_text: Callable[[str], Any] | None
) -> Callable[[msgspec.Raw], Any]:
    """Return a reader of a number, or of one in text; of other texts by `convert_text`."""
    read_number = _plain_number_reader(scalar, whole_floats=WHOLE_FLOATS in accept)
    in_text = TEXT in accept

    def read(raw: msgspec.Raw) -> Any:
        text = bytes(raw).decode()
        if text[0] != '"':
            return read_number(text)
        inside = _text.decode(raw)
        if in_text and NUMBER.fullmatch(inside):
            return read_number(inside)
        if convert_text is not None:
            return convert_text(inside)
        if in_text:
            message = "The string is not a number as JSON writes it."
            raise ConversionError(Reason.BAD_FORMAT, message)
        return read_number(text)

    return read


def _plain_number_reader(scalar: Scalar, *, whole_floats: bool) -> Callable[[str], Any]:
    """Return a reader of the text of any JSON value, which accepts numbers."""
    is_integer = scalar.kind == "integer"
    decode = msgspec.json.Decoder(scalar.json_type).decode
    convert = scalar.convert
    expected = "an integer" if is_integer and not whole_floats else "a number"

    def read(text: str) -> Any:
        if text[0] in _KIND_NAMES or (is_integer and not whole_floats and _point.search(text)):
            raise _wrong_type(expected, text)
        if is_integer and whole_floats and _point.search(text):
            text = _whole(text, scalar.name)
        try:
            if is_integer and len(text) > _LONGEST_INTEGER:
                raise msgspec.ValidationError
            value = decode(text.encode())
        except msgspec.DecodeError:
            message = f"The number is out of range for type {scalar.name}."
            raise ConversionError(Reason.OUT_OF_RANGE, message) from None
        return value if convert is None else convert(value)

    return read


def _time_reader(
    scalar: Scalar, convert_text: Callable[[str], int] | None
) -> Callable[[msgspec.Raw], int]:
    """Return a reader of times of day: texts, or integers in the type's own unit."""
    of_text = convert_text or cast("Callable[[str], int]", scalar.convert)
    units = _DAY // 1_000 if scalar.logical is LogicalType.TIME_MILLIS else _DAY

    def read(raw: msgspec.Raw) -> int:
        text = bytes(raw).decode()
        if text[0] == '"':
            return of_text(_text.decode(raw))
        if text[0] in _KIND_NAMES or _point.search(text):
            raise _wrong_type("an integer or a string", text)
        if len(text) > _LONGEST_INTEGER or not 0 <= int(text) < units:
            message = "The number is outside a day."
            raise ConversionError(Reason.OUT_OF_RANGE, message)
        return int(text)

    return read


def _whole(text: str, name: str) -> str:
    """Write a number with a fraction or an exponent as an integer, exactly, if it is one."""
    mantissa, _, exponent = text.lower().partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    before, _, after = mantissa.removeprefix("-").partition(".")
    digits = (before + after).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "0"
    # An exponent of thousands of digits is beyond what Python reads, and beyond any integer.
    power = exponent.lstrip("+-").lstrip("0")
    shift = int(power or "0") if len(power) < _LONGEST_INTEGER else 10**_LONGEST_INTEGER
    shift = (-shift if exponent.startswith("-") else shift) - len(after)
    zeros = shift + len(digits) - len(significant)
    if zeros < 0:
        message = "Expected a whole number, got one with a fraction."
        raise ConversionError(Reason.WRONG_TYPE, message)
    if len(significant) + zeros >= _LONGEST_INTEGER:
        message = f"The number is out of range for type {name}."
        raise ConversionError(Reason.OUT_OF_RANGE, message)
    return sign + significant + "0" * zeros


def _wrong_type(expected: str, text: str) -> ConversionError:
    kind = _KIND_NAMES.get(text[0])
    if kind is None:
        kind = "a number with fraction or exponent" if _point.search(text) else "an integer"
    return ConversionError(Reason.WRONG_TYPE, f"Expected {expected}, got {kind}.")


def readings_in(beside: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a type: those beside the field's name, and its own before them."""
    return {
        name: source[name] for source in (beside, schema) for name in ATTRIBUTES if name in source
    }
