"""Avro schemas (.avsc) to the types of `pipeline.core.types`.

fastavro judges the schema as Avro; this module judges what fastavro lets pass (names, defaults)
and what is ours (logical types, rules, `jsonName`, `epoch`). Plain JSON is what documents hold,
so defaults are written as a document would hold them, and checked as such when the dataset is
put together.
"""

import copy
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import fastavro
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from pipeline.core import values
from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import Float, Integer, read_exactly, write_exactly
from pipeline.core.types import (
    NO_DEFAULT,
    Field,
    Record,
    Rules,
    Scalar,
    Slot,
    Type,
    array_of,
    map_of,
    record_of,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A JSON writer escapes these, and msgspec has no keys for them.
NO_KEY = re.compile(r'["\\\x00-\x1f]')
_RULES = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
_LARGEST_FIXED = 2**20  # bytes, which in Arrow a null takes as well
_LONGEST_DECIMAL = 76
_DECIMAL128 = 38
_UTC_MICROS = pa.timestamp("us", tz="UTC")
_LOCAL_MICROS = pa.timestamp("us")


def read_schema(text: str, file: str, *, closed: bool) -> tuple[Record, str]:
    """Read one .avsc: its record type and the SHA-256 fingerprint of its canonical form.

    `closed` refuses fields the schema does not know. Raises `DatasetError` naming file and field.
    """
    try:
        schema = read_exactly(text.encode())
    except (json.JSONDecodeError, RecursionError) as error:
        message = f"{file} is not JSON: {error}."
        raise DatasetError(message) from None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        message = f'{file} must be an Avro record: an object with "type": "record".'
        raise DatasetError(message)
    canonical = _judged_by_fastavro(schema, file)
    try:
        return _Reader(file, closed=closed).record(schema, "", ()), canonical
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # A part of another JSON type than Avro's, where fastavro did not look.
        message = f"{file} is no Avro schema: it lacks or misuses {error}."
        raise DatasetError(message) from None


def _judged_by_fastavro(schema: dict[str, Any], file: str) -> str:
    try:
        plain = json.loads(write_exactly(_without_defaults(schema)))
        fastavro.parse_schema(copy.deepcopy(plain))
        return str(fingerprint(to_parsing_canonical_form(plain), "SHA-256"))
    except SchemaParseException as error:
        message = f"{file} is no Avro schema: {error}."
    except UnicodeEncodeError:
        message = f"{file} is no Avro schema: it holds half of a surrogate pair, which is no text."
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # What fastavro raises for a type without 'items', 'values', 'fields' or a name.
        message = f"{file} is no Avro schema: it lacks or misuses {error}."
    raise DatasetError(message)


def _without_defaults(schema: Any) -> Any:
    """Copy a schema without defaults: ours are JSON as in documents, not Avro's encoding."""
    if isinstance(schema, dict):
        return {key: _without_defaults(of) for key, of in schema.items() if key != "default"}
    if isinstance(schema, list):
        return [_without_defaults(of) for of in schema]
    return schema


class _Reader:
    """Reads the types of one file. `at` is the dotted path of the field being read."""

    def __init__(self, file: str, *, closed: bool) -> None:
        self.file = file
        self.closed = closed
        self.named: dict[str, dict[str, Any]] = {}

    def refuse(self, at: str, why: str) -> DatasetError:
        where = f"{self.file}, field {at}" if at else self.file
        return DatasetError(f"{where}: {why}")

    def record(self, schema: Mapping[str, Any], at: str, open_: tuple[str, ...]) -> Record:
        entries = schema.get("fields")
        if not isinstance(entries, list) or not entries:
            raise self.refuse(at, "a record needs at least one field; Parquet has no empty ones.")
        fields = tuple(self.field(entry, at, open_) for entry in entries)
        self.distinct([of.name.lower() for of in fields], at, "names that differ in case alone")
        self.distinct([of.key for of in fields], at, "fields that read the same JSON key")
        return record_of(fields, closed=self.closed)

    def distinct(self, names: list[str], at: str, what: str) -> None:
        for name in names:
            if names.count(name) > 1:
                raise self.refuse(at, f"{what} (or are equal) clash: {name!r} stands twice.")

    def field(self, entry: Mapping[str, Any], above: str, open_: tuple[str, ...]) -> Field:
        name = entry.get("name")
        at = f"{above}.{name}" if above else str(name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self.refuse(
                at, 'a field\'s name is letters, digits and _; give another key by "jsonName".'
            )
        key = entry.get("jsonName", name)
        if not isinstance(key, str) or isinstance(key, Integer | Float):
            raise self.refuse(at, '"jsonName" must be a string.')
        if NO_KEY.search(key):
            raise self.refuse(at, '"jsonName" must have no quote, backslash or control character.')
        of, nullable = self.slot_type(entry["type"], at, open_, entry.get("epoch"))
        default = self.default(entry, of, at, nullable=nullable)
        return Field(of, nullable, default, name, key, self.rules(entry, of, at))

    def slot(self, schema: Any, at: str, open_: tuple[str, ...]) -> Slot:
        of, nullable = self.slot_type(schema, at, open_, None)
        return Slot(of, nullable)

    def slot_type(
        self, schema: Any, at: str, open_: tuple[str, ...], epoch: Any
    ) -> tuple[Type, bool]:
        """Read a type, or a union of null and one type."""
        if not isinstance(schema, list):
            return self.type(schema, at, open_, epoch), False
        branches = [branch for branch in schema if branch != "null"]
        if len(branches) != 1 or len(schema) != 2:  # noqa: PLR2004 - null and one type
            raise self.refuse(at, "a union must be of null and one other type.")
        return self.type(branches[0], at, open_, epoch), True

    def type(self, schema: Any, at: str, open_: tuple[str, ...], epoch: Any) -> Type:
        if isinstance(schema, str):
            schema = self.reference(schema, at, open_)
        if not isinstance(schema, dict):
            raise self.refuse(at, "a type is a name or an object.")
        self.no_rules_in(schema, at)
        epoch = schema.get("epoch", epoch)
        kind = schema.get("type")
        if isinstance(kind, dict | list):
            raise self.refuse(at, "a type inside a type object; write the inner one alone.")
        if isinstance(schema.get("name"), str):
            open_ = (*open_, schema["name"])
            self.named[schema["name"]] = schema
        of = self.complex_or_scalar(kind, schema, at, open_, epoch)
        if epoch is not None and not (isinstance(of, Scalar) and of.name.startswith("epoch ")):
            raise self.refuse(at, '"epoch" belongs on dates and timestamps alone.')
        return of

    def complex_or_scalar(
        self, kind: Any, schema: dict[str, Any], at: str, open_: tuple[str, ...], epoch: Any
    ) -> Type:
        if kind == "record":
            return self.record(schema, at, open_)
        if kind == "array":
            return array_of(self.slot(schema["items"], f"{at}[]", open_))
        if kind == "map":
            return map_of(self.slot(schema["values"], f"{at}{{}}", open_))
        if kind not in _PRIMITIVES:
            return self.type(self.reference(str(kind), at, open_), at, open_, epoch)
        of = self.scalar(kind, schema, at, epoch)
        if of is None:
            logical = schema.get("logicalType")
            raise self.refuse(at, f"logical type {logical!r} on {kind} is not supported.")
        return of

    def reference(self, name: str, at: str, open_: tuple[str, ...]) -> dict[str, Any]:
        """Look up a type by name; a record inside itself is refused."""
        if name in _PRIMITIVES:
            return {"type": name}
        short = name.rpartition(".")[2]
        if name in open_ or short in open_:
            raise self.refuse(at, f"type {name} holds itself; recursion is not supported.")
        for known in (name, short):
            if known in self.named:
                return self.named[known]
        raise self.refuse(at, f"type {name!r} is not supported.")

    def scalar(self, kind: str, schema: dict[str, Any], at: str, epoch: Any) -> Scalar | None:
        logical = schema.get("logicalType")
        if logical is not None and (not isinstance(logical, str) or isinstance(logical, Float)):
            raise self.refuse(at, '"logicalType" must be a string.')
        if kind == "enum":
            if not schema.get("symbols"):
                raise self.refuse(at, "an enum needs at least one symbol.")
            return _enum(schema) if logical is None else None
        if logical == "decimal" and kind in {"bytes", "fixed"}:
            return self.decimal(schema, at)
        if kind == "fixed":
            return self.fixed(schema["size"], at) if logical is None else None
        if epoch is not None:
            return self.epoch(kind, logical, epoch, at)
        return _SCALARS.get((kind, logical))

    def fixed(self, size: Any, at: str) -> Scalar:
        if not isinstance(size, Integer) or not 1 <= int(size) <= _LARGEST_FIXED:
            raise self.refuse(at, f"a fixed has a size of 1 to {_LARGEST_FIXED} bytes.")
        arrow = pa.binary(int(size))
        return _string(f"fixed({size})", arrow, arrow, values.base64(int(size)))

    def decimal(self, schema: dict[str, Any], at: str) -> Scalar:
        precision, scale = int(schema.get("precision", 0)), int(schema.get("scale", 0))
        if not 1 <= precision <= _LONGEST_DECIMAL or not 0 <= scale <= precision:
            raise self.refuse(
                at, f"a decimal needs a precision of 1 to {_LONGEST_DECIMAL} and a scale within it."
            )
        wide = pa.decimal256 if precision > _DECIMAL128 else pa.decimal128
        arrow = wide(precision, scale)
        convert = values.decimal_of(precision, scale)
        return Scalar(
            f"decimal({precision}, {scale})", "decimal", msgspec.Raw, arrow, arrow, convert
        )

    def epoch(self, kind: str, logical: Any, epoch: Any, at: str) -> Scalar:
        if kind == "int" and logical == "date" and epoch == "days":
            return Scalar(
                "epoch days", "integer", _bounded(32), pa.date32(), pa.int32(), values.epoch_day,
                low=-(2**31), high=2**31 - 1,
            )  # fmt: skip
        arrow = {
            "timestamp-millis": _UTC_MICROS,
            "timestamp-micros": _UTC_MICROS,
            "local-timestamp-millis": _LOCAL_MICROS,
            "local-timestamp-micros": _LOCAL_MICROS,
        }.get(str(logical))
        if kind != "long" or arrow is None or epoch not in values.MICROS:
            raise self.refuse(
                at,
                '"epoch" is "days" on a date, and "seconds", "millis" or "micros" on a timestamp.',
            )
        convert = values.epoch_timestamp(str(epoch))
        return Scalar(f"epoch {epoch}", "number", float, arrow, pa.int64(), convert)

    def default(self, entry: Mapping[str, Any], of: Type, at: str, *, nullable: bool) -> Any:
        """Read a field's default as a document's value would be read."""
        value = entry.get("default", NO_DEFAULT)
        if value is NO_DEFAULT or (value is None and nullable):
            return NO_DEFAULT
        if nullable:
            raise self.refuse(at, "a nullable field cannot have a default other than null.")
        if value is None:  # which a decimal's JSON type would take as it stands
            raise self.refuse(at, "its default is null, but the field is not nullable.")
        try:
            return msgspec.json.decode(write_exactly(value), type=of.json_type)
        except msgspec.DecodeError as error:
            raise self.refuse(at, f"its default does not fit its type: {error}.") from None

    def no_rules_in(self, schema: Mapping[str, Any], at: str) -> None:
        for attribute in (*_RULES, "jsonName"):
            if attribute in schema:
                raise self.refuse(at, f'"{attribute}" belongs on the field, beside its name.')

    def rules(self, entry: Mapping[str, Any], of: Type, at: str) -> Rules:
        given = {mine: entry[theirs] for theirs, mine in _RULES.items() if theirs in entry}
        numeric = (isinstance(of, Scalar) and of.name in _NUMERIC) or _is_decimal(of)
        textual = isinstance(of, Scalar) and of.name == "string"
        for rule, value in given.items():
            if rule in {"minimum", "maximum"}:
                if not numeric:
                    raise self.refuse(at, f'"{rule}" belongs on numbers.')
                given[rule] = self.bound(value, rule, at)
            elif not textual:
                raise self.refuse(at, "minLength, maxLength and pattern belong on strings.")
            elif rule == "pattern":
                self.check_pattern(value, at)
            elif not isinstance(value, Integer) or int(value) < 0:
                raise self.refuse(at, "minLength and maxLength are whole numbers from 0.")
            else:
                given[rule] = int(value)
        return Rules(**given)

    def bound(self, value: Any, rule: str, at: str) -> Decimal:
        try:
            bound = Decimal(value) if isinstance(value, str) else Decimal("NaN")
        except InvalidOperation:
            bound = Decimal("NaN")
        if not bound.is_finite():
            raise self.refuse(at, f'"{rule}" must be a number.')
        return bound

    def check_pattern(self, pattern: Any, at: str) -> None:
        """Patterns are RE2, which runs in linear time; what it refuses cannot be a rule."""
        if not isinstance(pattern, str) or isinstance(pattern, Integer | Float):
            raise self.refuse(at, '"pattern" must be a string.')
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise self.refuse(at, f'"pattern" is no RE2 regular expression: {error}.') from None


def _bounded(bits: int) -> Any:
    high = 2 ** (bits - 1)
    return Annotated[int, msgspec.Meta(ge=-high, le=high - 1)]


def _integer(name: str, bits: int, arrow: pa.DataType) -> Scalar:
    high = 2 ** (bits - 1)
    return Scalar(name, "integer", _bounded(bits), arrow, arrow, low=-high, high=high - 1)


def _string(name: str, arrow: pa.DataType, storage: pa.DataType, convert: Any) -> Scalar:
    return Scalar(name, "string", str, arrow, storage, convert)


def _enum(schema: dict[str, Any]) -> Scalar:
    symbols = tuple(schema["symbols"])
    return Scalar("enum", "string", Literal[symbols], pa.string(), pa.string(), symbols=symbols)


def _is_decimal(of: Type) -> bool:
    return isinstance(of, Scalar) and of.kind == "decimal"


_NUMERIC = frozenset({"int", "long", "float", "double"})
_SCALARS: dict[tuple[str, str | None], Scalar] = {
    ("boolean", None): Scalar("boolean", "boolean", bool, pa.bool_(), pa.bool_()),
    ("int", None): _integer("int", 32, pa.int32()),
    ("long", None): _integer("long", 64, pa.int64()),
    ("float", None): Scalar("float", "number", float, pa.float32(), pa.float32(), values.float32),
    ("double", None): Scalar("double", "number", float, pa.float64(), pa.float64()),
    ("string", None): _string("string", pa.string(), pa.string(), None),
    ("string", "uuid"): _string("uuid", pa.string(), pa.string(), values.uuid),
    ("bytes", None): _string("bytes", pa.binary(), pa.binary(), values.base64(None)),
    ("int", "date"): _string("date", pa.date32(), pa.int32(), values.day),
    ("int", "time-millis"): _string(
        "time-millis", pa.time32("ms"), pa.int32(), values.time_of_day(1_000)
    ),
    ("long", "time-micros"): _string(
        "time-micros", pa.time64("us"), pa.int64(), values.time_of_day(1)
    ),
    ("long", "timestamp-millis"): _string(
        "timestamp-millis", _UTC_MICROS, pa.int64(), values.timestamp
    ),
    ("long", "timestamp-micros"): _string(
        "timestamp-micros", _UTC_MICROS, pa.int64(), values.timestamp
    ),
    ("long", "local-timestamp-millis"): _string(
        "local-timestamp-millis", _LOCAL_MICROS, pa.int64(), values.local_timestamp
    ),
    ("long", "local-timestamp-micros"): _string(
        "local-timestamp-micros", _LOCAL_MICROS, pa.int64(), values.local_timestamp
    ),
}
_PRIMITIVES = frozenset({kind for kind, _ in _SCALARS} | {"enum", "fixed"})
