"""The table of logical types: how a schema spells each, and the scalar it becomes.

The parser takes its scalars from here and knows no type by itself. Everything else that has to
know each type (columnar kernels, generator, inference, DDL) has a table of its own by
`LogicalType`; tests/core/test_type_table.py goes over this one and names the place that lacks a
type. To add a type: a member of `LogicalType`, a row here, and then what that test asks for.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from pipeline.core.jsontext import Integer
from pipeline.core.schema import values
from pipeline.core.schema.types import LogicalType, Scalar

_LARGEST_FIXED = 2**20  # bytes; in Arrow a null has as many
_LONGEST_DECIMAL = 76  # digits
_DECIMAL128 = 38  # digits
_CLOSE = 0.9  # difflib's ratio
_NOT_SUPPORTED = frozenset({
    "duration", "big-decimal", "timestamp-nanos", "local-timestamp-nanos",
})  # fmt: skip
_UTC_MICROS = pa.timestamp("us", tz="UTC")
_LOCAL_MICROS = pa.timestamp("us")


class UnusableType(Exception):
    """The attributes of a type do not make one; the message says why."""


class Definition(msgspec.Struct, frozen=True):
    """One row of the table.

    `avro` are the spellings, as pairs of Avro's type and its logicalType; `epoch` is the
    attribute's value where values are numbers since 1970. `make` reads the other attributes and
    raises `UnusableType`. `json` is the type that `"json": true` makes of the spelling.
    """

    logical: LogicalType
    avro: tuple[tuple[str, str | None], ...]
    make: Callable[[Mapping[str, Any]], Scalar]
    epoch: str | None = None
    json: bool = False


def find_definition(kind: str, logical: str | None, epoch: Any) -> Definition | None:
    """Return the definition of an Avro type with its logicalType and epoch; None if it has none."""
    if epoch is not None and not isinstance(epoch, str):
        return None
    return _BY_SPELLING.get((kind, logical, epoch))


def accepts_epoch(kind: str, logical: str | None) -> bool:
    """Whether an Avro type is a date or a timestamp, which may be counted since 1970."""
    return any(key[:2] == (kind, logical) and key[2] is not None for key in _BY_SPELLING)


def check_unknown_logical_type(kind: str, logical: str) -> None:
    """Refuse a logicalType that is Avro's but not on this type, or is misspelt.

    Any other is one that nobody knows, and so is to be ignored. Raises `UnusableType`.
    """
    beneath = dict.fromkeys(a_kind for a_kind, name, _ in _BY_SPELLING if name == logical)
    if beneath:
        raise UnusableType(
            f"logical type {logical!r} on {kind} is not supported; it belongs on "
            f"{' or '.join(beneath)}."
        )
    if logical in _NOT_SUPPORTED:
        raise UnusableType(f"logical type {logical!r} on {kind} is not supported.")
    names = {name.replace("-", ""): name for _, name, _ in _BY_SPELLING if name is not None}
    plain = re.sub("[^a-z0-9]", "", logical.lower())
    import difflib  # noqa: PLC0415 - for a fault alone, and it costs a start

    close = difflib.get_close_matches(plain, names, 1, _CLOSE)
    if close:
        raise UnusableType(
            f"there is no logical type {logical!r}; probably {names[close[0]]!r} is meant."
        )


def _without_attributes(scalar: Scalar) -> Callable[[Mapping[str, Any]], Scalar]:
    """Return a maker of a type that has no other attributes."""
    return lambda _: scalar


def _integer(logical: LogicalType, bits: int, arrow: pa.DataType) -> Definition:
    scalar = Scalar(
        logical, logical.value, "integer", _signed(bits), arrow, arrow, None,
        low=-(2 ** (bits - 1)), high=2 ** (bits - 1) - 1,
    )  # fmt: skip
    return Definition(logical, ((logical.value, None),), _without_attributes(scalar))


def _signed(bits: int) -> Any:
    """Return the msgspec type of integers of so many bits."""
    limit = 2 ** (bits - 1)
    return Annotated[int, msgspec.Meta(ge=-limit, le=limit - 1)]


def _text(
    logical: LogicalType,
    avro: tuple[str, str | None],
    arrow: pa.DataType,
    storage: pa.DataType,
    convert: Callable[[str], Any] | None,
) -> Definition:
    """Define a type whose values are JSON strings."""
    scalar = Scalar(logical, logical.value, "string", str, arrow, storage, convert)
    return Definition(logical, (avro,), _without_attributes(scalar))


def _enum(schema: Mapping[str, Any]) -> Scalar:
    if not schema.get("symbols"):
        raise UnusableType("an enum needs at least one symbol.")
    symbols = tuple(schema["symbols"])
    otherwise = schema.get("default")
    if otherwise is not None and otherwise not in symbols:
        raise UnusableType("the default of an enum must be one of its symbols.")
    return Scalar(
        LogicalType.ENUM, "enum", "string", str if otherwise else Literal[symbols],
        pa.string(), pa.string(), values.symbol(symbols, otherwise) if otherwise else None,
        symbols=symbols, otherwise=otherwise,
    )  # fmt: skip


def _fixed(schema: Mapping[str, Any]) -> Scalar:
    size = _size(schema)
    arrow = pa.binary(size)
    convert = values.base64(size)
    return Scalar(LogicalType.FIXED, f"fixed({size})", "string", str, arrow, arrow, convert)


def _size(schema: Mapping[str, Any]) -> int:
    size = schema.get("size")
    if not isinstance(size, Integer) or not 1 <= int(size) <= _LARGEST_FIXED:
        raise UnusableType(f"a fixed has a size of 1 to {_LARGEST_FIXED} bytes.")
    return int(size)


def _decimal(schema: Mapping[str, Any]) -> Scalar:
    precision, scale = _digits(schema, "precision"), _digits(schema, "scale")
    if not 1 <= precision <= _LONGEST_DECIMAL or not 0 <= scale <= precision:
        raise UnusableType(
            f"a decimal needs a precision of 1 to {_LONGEST_DECIMAL} and a scale within it."
        )
    if schema["type"] == "fixed":
        # Avro ignores a logical type whose values its fixed cannot hold; that is hardly meant.
        bits = 8 * min(_size(schema), _LONGEST_DECIMAL) - 1
        most = math.floor(math.log10(2**bits - 1))
        if precision > most:
            raise UnusableType(
                f"a fixed of {schema['size']} bytes holds decimals of at most {most} digits, "
                f"not of {precision}."
            )
    wide = pa.decimal256 if precision > _DECIMAL128 else pa.decimal128
    arrow = wide(precision, scale)
    convert = values.decimal_of(precision, scale)
    name = f"decimal({precision}, {scale})"
    return Scalar(LogicalType.DECIMAL, name, "decimal", msgspec.Raw, arrow, arrow, convert)


def _digits(schema: Mapping[str, Any], key: str) -> int:
    """Read a number of digits; whatever else is there makes no decimal."""
    given = schema.get(key, Integer("0"))
    return int(given) if isinstance(given, Integer) and len(given) <= _DECIMAL128 else -1


def _epoch_timestamp(logical: LogicalType, unit: str) -> Definition:
    """Define a timestamp that is a number of `unit` since 1970, in UTC or without a zone."""
    convert = values.epoch_timestamp(unit)

    def make(schema: Mapping[str, Any]) -> Scalar:
        arrow = _TIMESTAMPS[schema["logicalType"]]
        return Scalar(logical, logical.value, "number", float, arrow, pa.int64(), convert)

    return Definition(logical, tuple(("long", name) for name in _TIMESTAMPS), make, unit)


def _epoch_nanos() -> Definition:
    """Define a timestamp that is a whole number of nanoseconds since 1970."""

    def make(schema: Mapping[str, Any]) -> Scalar:
        return Scalar(
            LogicalType.EPOCH_NANOS, "epoch nanos", "integer", _signed(64),
            _TIMESTAMPS[schema["logicalType"]], pa.int64(), values.epoch_nanos,
            low=-(2**63), high=2**63 - 1,
        )  # fmt: skip

    avro = tuple(("long", name) for name in _TIMESTAMPS)
    return Definition(LogicalType.EPOCH_NANOS, avro, make, "nanos")


JSON = Scalar(
    LogicalType.JSON, "JSON text", "any", msgspec.Raw, pa.string(), pa.string(), values.json_text
)
"""Any JSON value, as its text: what `"json": true` makes of a string, or of several types."""

_TIMESTAMPS = {
    "timestamp-millis": _UTC_MICROS,
    "timestamp-micros": _UTC_MICROS,
    "local-timestamp-millis": _LOCAL_MICROS,
    "local-timestamp-micros": _LOCAL_MICROS,
}

LOGICAL_TYPES: tuple[Definition, ...] = (
    Definition(
        LogicalType.BOOLEAN, (("boolean", None),),
        _without_attributes(Scalar(
            LogicalType.BOOLEAN, "boolean", "boolean", bool, pa.bool_(), pa.bool_())),
    ),
    _integer(LogicalType.INT, 32, pa.int32()),
    _integer(LogicalType.LONG, 64, pa.int64()),
    Definition(
        LogicalType.FLOAT, (("float", None),),
        _without_attributes(Scalar(
            LogicalType.FLOAT, "float", "number", float, pa.float32(), pa.float32(),
            values.float32)),
    ),
    Definition(
        LogicalType.DOUBLE, (("double", None),),
        _without_attributes(Scalar(
            LogicalType.DOUBLE, "double", "number", float, pa.float64(), pa.float64())),
    ),
    _text(LogicalType.STRING, ("string", None), pa.string(), pa.string(), None),
    Definition(LogicalType.ENUM, (("enum", None),), _enum),
    _text(LogicalType.BYTES, ("bytes", None), pa.binary(), pa.binary(), values.base64(None)),
    Definition(LogicalType.FIXED, (("fixed", None),), _fixed),
    Definition(LogicalType.DECIMAL, (("bytes", "decimal"), ("fixed", "decimal")), _decimal),
    _text(LogicalType.UUID, ("string", "uuid"), pa.string(), pa.string(), values.uuid),
    _text(LogicalType.DATE, ("int", "date"), pa.date32(), pa.int32(), values.day),
    _text(
        LogicalType.TIME_MILLIS, ("int", "time-millis"),
        pa.time32("ms"), pa.int32(), values.time_of_day(1_000),
    ),
    _text(
        LogicalType.TIME_MICROS, ("long", "time-micros"),
        pa.time64("us"), pa.int64(), values.time_of_day(1),
    ),
    _text(
        LogicalType.TIMESTAMP_MILLIS, ("long", "timestamp-millis"),
        _UTC_MICROS, pa.int64(), values.timestamp,
    ),
    _text(
        LogicalType.TIMESTAMP_MICROS, ("long", "timestamp-micros"),
        _UTC_MICROS, pa.int64(), values.timestamp,
    ),
    _text(
        LogicalType.LOCAL_TIMESTAMP_MILLIS, ("long", "local-timestamp-millis"),
        _LOCAL_MICROS, pa.int64(), values.local_timestamp,
    ),
    _text(
        LogicalType.LOCAL_TIMESTAMP_MICROS, ("long", "local-timestamp-micros"),
        _LOCAL_MICROS, pa.int64(), values.local_timestamp,
    ),
    Definition(
        LogicalType.EPOCH_DAYS, (("int", "date"),),
        _without_attributes(Scalar(
            LogicalType.EPOCH_DAYS, "epoch days", "integer", _signed(32), pa.date32(), pa.int32(),
            values.epoch_day, low=-(2**31), high=2**31 - 1)),
        "days",
    ),
    _epoch_timestamp(LogicalType.EPOCH_SECONDS, "seconds"),
    _epoch_timestamp(LogicalType.EPOCH_MILLIS, "millis"),
    _epoch_timestamp(LogicalType.EPOCH_MICROS, "micros"),
    _epoch_nanos(),
    Definition(LogicalType.JSON, (("string", None),), _without_attributes(JSON), json=True),
)  # fmt: skip

_BY_SPELLING: dict[tuple[str, str | None, str | None], Definition] = {
    (kind, logical, definition.epoch): definition
    for definition in LOGICAL_TYPES
    if not definition.json
    for kind, logical in definition.avro
}
PRIMITIVES = frozenset(kind for kind, _, _ in _BY_SPELLING)
"""Avro's names of scalar types, as the parser knows them."""
