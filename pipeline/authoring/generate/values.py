"""Values for the types of a schema, in the JSON that the pipeline reads."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pybase64

from pipeline.authoring.generate.patterns import matching
from pipeline.authoring.generate.random_source import (
    CannotGenerate,
    RandomSource,
    between,
    choice,
)
from pipeline.authoring.generate.readings import spelled
from pipeline.core.jsontext import is_json
from pipeline.core.schema.types import (
    Array,
    Field,
    FieldType,
    LogicalType,
    Map,
    Record,
    Rules,
    Scalar,
)
from pipeline.core.schema.values import MICROS

Make = Callable[[RandomSource, int], Any]
"""Makes one value; the number is now, in microseconds since 1970, UTC."""
TimeRange = tuple[int, int]
"""A range of time around now, in microseconds."""

_ABSENT = 0.1  # of the values that may be null, or have a default
_MOST_ITEMS = 3
_SPAN = 1_000_000  # of numbers that no rule limits on both sides
_LONGEST = 12  # characters of text that no rule asks to be longer
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TRIES = 1_000
_BYTES = 12
_DAY = 86_400_000_000
_LAST_DAY: TimeRange = (-_DAY, 0)
_EXACT = Context(prec=400)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record_maker(record: Record, ranges: Mapping[str, TimeRange], source: RandomSource) -> Make:
    """Return what makes a record's objects; `ranges` are those of fields that are times.

    One value of each field is made at once: where that cannot be, it raises `CannotGenerate`.
    """
    fields = [
        (
            field.key,
            field.optional,
            _maker(field, field.name, source, ranges.get(field.name, _LAST_DAY)),
        )
        for field in record.fields
    ]

    def make(source: RandomSource, now: int) -> dict[str, Any]:
        return {
            key: value(source, now)
            for key, optional, value in fields
            if not (optional and source.random() < _ABSENT)
        }

    return make


def _maker(
    field_type: FieldType, name: str, source: RandomSource, time_range: TimeRange = _LAST_DAY
) -> Make:
    """Return what makes the values of one type. `CannotGenerate` names the field."""
    match field_type.type:
        case Record() as record:
            return record_maker(record, {}, source)
        case Array(item=item):
            return _array(_maker(item, name, source))
        case Map(value=value):
            return _map(_maker(value, name, source))
        case Scalar() as scalar:
            rules = field_type.rules if isinstance(field_type, Field) else Rules()
            try:
                make = MAKERS[scalar.logical](scalar, rules, time_range)
                if scalar.reading is not None:
                    make = spelled(scalar, scalar.reading, make)
                make(source, 0)
            except CannotGenerate as error:
                raise CannotGenerate(f"of the field {name!r} {error}") from None
            return make


def _array(item: Make) -> Make:
    return lambda source, now: [item(source, now) for _ in range(between(source, 0, _MOST_ITEMS))]


def _map(value: Make) -> Make:
    return lambda source, now: {
        f"key_{number}": value(source, now) for number in range(between(source, 0, _MOST_ITEMS))
    }


def _string(rules: Rules) -> Make:
    least = rules.min_length or 0
    most = max(least, _LONGEST) if rules.max_length is None else rules.max_length
    if rules.pattern is not None:
        return _patterned(rules.pattern, least, rules.max_length)
    fewest, most = max(least, min(4, most)), max(least, min(_LONGEST, most))

    def make(source: RandomSource, _: int) -> str:
        length = between(source, fewest, most)
        return "".join([choice(source, _LETTERS) for _ in range(length)])

    return make


def _patterned(pattern: str, least: int, most: int | None) -> Make:
    text = matching(pattern)
    longest = math.inf if most is None else most

    def make(source: RandomSource, _: int) -> str:
        for _ in range(_TRIES):
            made = text(source)
            if least <= len(made) <= longest and _matches(made, pattern):
                return made
        raise CannotGenerate("no text was found that its pattern and its lengths allow")

    return make


def _matches(text: str, pattern: str) -> bool:
    """Ask RE2, whose verdict counts."""
    try:
        scalar = pa.scalar(text)
    except UnicodeEncodeError:
        return False  # half of a surrogate pair, from a class as wide as all of Unicode
    found: bool = pc.match_substring_regex(scalar, pattern).as_py()
    return found


def _integer(scalar: Scalar, rules: Rules) -> Make:
    low, high = _steps(rules, Decimal(1))
    low, high = max(low, scalar.low), min(high, scalar.high)
    if low > high:
        raise CannotGenerate("no integer lies between its limits")
    return lambda source, _: between(source, low, high)


def _decimal(precision: int, scale: int, rules: Rules) -> Make:
    step = Decimal(1).scaleb(-scale)
    low, high = _steps(rules, step)
    largest = 10**precision - 1
    low, high = max(low, -largest), min(high, largest)
    if low > high:
        raise CannotGenerate(
            f"no number of {precision} digits, {scale} after the point, is within its limits"
        )
    return lambda source, _: f"{_EXACT.multiply(Decimal(between(source, low, high)), step):f}"


def _steps(rules: Rules, step: Decimal) -> tuple[int, int]:
    """Return the least and the greatest number that the rules allow, counted in steps."""
    low, high = rules.minimum, rules.maximum
    if low is None:
        low = Decimal(0) if high is None else min(Decimal(0), high - _SPAN)
    if high is None:
        high = max(low, Decimal(0)) + _SPAN
    least = _EXACT.divide(low, step).to_integral_value(ROUND_CEILING)
    return int(least), int(_EXACT.divide(high, step).to_integral_value(ROUND_FLOOR))


def _float(rules: Rules) -> Make:
    low = -math.inf if rules.minimum is None else float(rules.minimum)
    high = math.inf if rules.maximum is None else float(rules.maximum)
    if low == -math.inf:
        low = min(0.0, high - _SPAN) if high < math.inf else 0.0
    if high == math.inf:
        high = low + 1_000.0

    def make(source: RandomSource, _: int) -> float:
        value = low + (high - low) * source.random()
        short = round(value, 3)
        return short if low <= short <= high else value

    return make


def _bytes(size: int) -> Make:
    def make(source: RandomSource, _: int) -> str:
        return pybase64.b64encode(source.getrandbits(8 * size).to_bytes(size)).decode()

    return make


def _uuid(source: RandomSource, _: int) -> str:
    digits = f"{source.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _boolean(source: RandomSource, _: int) -> bool:
    return source.random() < 0.5  # noqa: PLR2004 - heads or tails


def _date(moment: datetime) -> str:
    return moment.date().isoformat()


def _time(timespec: str) -> Callable[[datetime], str]:
    return lambda moment: moment.time().isoformat(timespec)


def _local(timespec: str) -> Callable[[datetime], str]:
    return lambda moment: moment.replace(tzinfo=None).isoformat(timespec=timespec)


def _utc(timespec: str) -> Callable[[datetime], str]:
    local = _local(timespec)
    return lambda moment: f"{local(moment)}Z"


def _epoch(unit: str, time_range: TimeRange) -> Make:
    """Return what makes times, or days, that are counted since 1970."""
    if unit == "days":
        return lambda source, now: (now + between(source, *time_range)) // _DAY
    return lambda source, now: (now + between(source, *time_range)) / MICROS[unit]


def _nanos(time_range: TimeRange) -> Make:
    return lambda source, now: (now + between(source, *time_range)) * 1_000


def _json(rules: Rules) -> Make:
    """Return what makes values of several types; with rules, strings whose JSON text keeps them."""
    if not rules:
        return lambda source, now: choice(source, _ANYTHING)(source, now)
    text = _string(rules)

    def make(source: RandomSource, now: int) -> msgspec.Raw:
        for _ in range(_TRIES):
            made = text(source, now)
            if is_json(made.encode()):
                return msgspec.Raw(made.encode())
            # A string with its quotes, cut to the length that the rules ask for.
            quoted = f'"{made[1:-1]}"'
            if _keeps(quoted, rules) and is_json(quoted.encode()):
                return msgspec.Raw(quoted.encode())
        raise CannotGenerate("no JSON was found that its pattern and its lengths allow")

    return make


def _keeps(text: str, rules: Rules) -> bool:
    longest = math.inf if rules.max_length is None else rules.max_length
    matches = rules.pattern is None or _matches(text, rules.pattern)
    return matches and (rules.min_length or 0) <= len(text) <= longest


_ANYTHING: tuple[Make, ...] = (
    lambda source, _: between(source, 0, _SPAN),
    lambda source, _: f"text {between(source, 0, _SPAN)}",
    lambda source, _: {"key": between(source, 0, _SPAN), "more": [True, None]},
)


def _written(write: Callable[[datetime], str], time_range: TimeRange) -> Make:
    return lambda source, now: write(
        _EPOCH + timedelta(microseconds=now + between(source, *time_range))
    )


_MakerOf = Callable[[Scalar, Rules, TimeRange], Make]


def _of_text(write: Callable[[datetime], str]) -> _MakerOf:
    return lambda _, __, time_range: _written(write, time_range)


def _of_epoch(unit: str) -> _MakerOf:
    return lambda _, __, time_range: _epoch(unit, time_range)


MAKERS: dict[LogicalType, _MakerOf] = {
    LogicalType.BOOLEAN: lambda _, __, ___: _boolean,
    LogicalType.INT: lambda scalar, rules, _: _integer(scalar, rules),
    LogicalType.LONG: lambda scalar, rules, _: _integer(scalar, rules),
    LogicalType.FLOAT: lambda _, rules, __: _float(rules),
    LogicalType.DOUBLE: lambda _, rules, __: _float(rules),
    LogicalType.STRING: lambda _, rules, __: _string(rules),
    LogicalType.ENUM: lambda scalar, _, __: lambda source, ___: choice(source, scalar.symbols),
    LogicalType.BYTES: lambda _, __, ___: _bytes(_BYTES),
    LogicalType.FIXED: lambda scalar, _, __: _bytes(scalar.arrow.byte_width),
    LogicalType.DECIMAL: lambda scalar, rules, _: _decimal(
        scalar.arrow.precision, scalar.arrow.scale, rules
    ),
    LogicalType.UUID: lambda _, __, ___: _uuid,
    LogicalType.DATE: _of_text(_date),
    LogicalType.TIME_MILLIS: _of_text(_time("milliseconds")),
    LogicalType.TIME_MICROS: _of_text(_time("microseconds")),
    LogicalType.TIMESTAMP_MILLIS: _of_text(_utc("milliseconds")),
    LogicalType.TIMESTAMP_MICROS: _of_text(_utc("microseconds")),
    LogicalType.LOCAL_TIMESTAMP_MILLIS: _of_text(_local("milliseconds")),
    LogicalType.LOCAL_TIMESTAMP_MICROS: _of_text(_local("microseconds")),
    LogicalType.EPOCH_DAYS: _of_epoch("days"),
    LogicalType.EPOCH_SECONDS: _of_epoch("seconds"),
    LogicalType.EPOCH_MILLIS: _of_epoch("millis"),
    LogicalType.EPOCH_MICROS: _of_epoch("micros"),
    LogicalType.EPOCH_NANOS: lambda _, __, time_range: _nanos(time_range),
    LogicalType.JSON: lambda _, rules, __: _json(rules),
}
"""What makes the values of each type, given its scalar, the field's rules and a span of time."""
