"""Avro schemas (.avsc) to the types of `pipeline.core.schema.types`.

fastavro judges the schema as Avro; this module judges what fastavro lets pass (names, defaults)
and what is ours (logical types, rules, `jsonName`, `epoch`). Plain JSON is what documents hold,
so defaults are written as a document would hold them, and checked as such when the dataset is
put together.
"""

import copy
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, TypeGuard

import fastavro
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import Float, Integer, deeper_than, read_exactly, write_exactly
from pipeline.core.schema import values
from pipeline.core.schema.types import (
    NO_DEFAULT,
    Field,
    FieldType,
    Record,
    Rules,
    Scalar,
    Type,
    array_of,
    map_of,
    record_of,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_NAMED = frozenset({"record", "enum", "fixed"})
# A JSON writer escapes these, and msgspec has no keys for them.
NO_KEY = re.compile(r'["\\\x00-\x1f]')
_RULES = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
_DEEPEST = 64  # types inside each other,
_DEEPEST_TEXT = 4 * _DEEPEST + 16  # of which a nullable record takes four brackets
_LARGEST_FIXED = 2**20  # bytes, which in Arrow a null takes as well
_LONGEST_DECIMAL = 76
_DECIMAL128 = 38
_UTC_MICROS = pa.timestamp("us", tz="UTC")
_LOCAL_MICROS = pa.timestamp("us")


def read_schema(text: str, file: str, *, closed: bool) -> tuple[Record, str]:
    """Read one .avsc: its record type and the SHA-256 fingerprint of its canonical form.

    `closed` refuses fields the schema does not know. Raises `DatasetError` naming file and field.
    """
    schema = _read_json(text, file)
    try:
        plain = json.loads(write_exactly(_without_defaults(schema)))
        # First, for it names the field.
        record = _Reader(file, closed=closed).whole(schema)
        fastavro.parse_schema(copy.deepcopy(plain))
        return record, str(fingerprint(to_parsing_canonical_form(plain), "SHA-256"))
    except SchemaParseException as error:
        message = f"{file} is no Avro schema: {error}."
    except UnicodeEncodeError:
        message = f"{file} is no Avro schema: it holds half of a surrogate pair, which is no text."
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # A part of another JSON type than Avro's, or of a name that is unknown.
        message = f"{file} is no Avro schema: it lacks or misuses {error}."
    raise DatasetError(message)


def _read_json(text: str, file: str) -> dict[str, Any]:
    if deeper_than(text.encode(), _DEEPEST_TEXT):
        message = f"{file} nests too deep: a schema has {_DEEPEST} types inside each other at most."
        raise DatasetError(message)
    try:
        schema = read_exactly(text.encode())
    except json.JSONDecodeError as error:
        message = f"{file} is not JSON: {error}."
        raise DatasetError(message) from None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        message = f'{file} must be an Avro record: an object with "type": "record".'
        raise DatasetError(message)
    return schema


def _without_defaults(schema: Any) -> Any:
    """Copy a schema without defaults: ours are JSON as in documents, not Avro's encoding."""
    if isinstance(schema, dict):
        return {key: _without_defaults(of) for key, of in schema.items() if key != "default"}
    if isinstance(schema, list):
        return [_without_defaults(of) for of in schema]
    return schema


class _Scope(msgspec.Struct, frozen=True):
    """What a type stands in: a namespace, the full names of records it is part of, how deep."""

    namespace: str = ""
    open: tuple[str, ...] = ()
    depth: int = 0

    def full(self, name: str) -> str:
        """Return the full name of a name, which with dots it is already."""
        return f"{self.namespace}.{name}" if self.namespace and "." not in name else name


class _Reader:
    """Reads the types of one file. `at` is the dotted path of the field being read."""

    def __init__(self, file: str, *, closed: bool) -> None:
        self.file = file
        self.closed = closed
        # By full name: the schema, and the namespace around it.
        self.named: dict[str, tuple[dict[str, Any], str]] = {}

    def refuse(self, at: str, why: str) -> DatasetError:
        where = f"{self.file}, field {at}" if at else self.file
        return DatasetError(f"{where}: {why}")

    def whole(self, schema: dict[str, Any]) -> Record:
        """Read the file's own record."""
        return self.record(schema, "", self.inside(schema, "", _Scope()))

    def record(self, schema: Mapping[str, Any], at: str, scope: _Scope) -> Record:
        entries = schema.get("fields")
        if not isinstance(entries, list) or not entries:
            raise self.refuse(at, "a record needs at least one field; Parquet has no empty ones.")
        fields = tuple(self.field(entry, at, scope) for entry in entries)
        self.distinct([of.name.lower() for of in fields], at, "names that differ in case alone")
        self.distinct([of.key for of in fields], at, "fields that read the same JSON key")
        return record_of(fields, closed=self.closed)

    def distinct(self, names: list[str], at: str, what: str) -> None:
        for name in names:
            if names.count(name) > 1:
                raise self.refuse(at, f"{what} (or are equal) clash: {name!r} stands twice.")

    def field(self, entry: Mapping[str, Any], above: str, scope: _Scope) -> Field:
        name = entry.get("name")
        at = f"{above}.{name}" if above else str(name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self.refuse(
                at, 'a field\'s name is letters, digits and _; give another key by "jsonName".'
            )
        key = entry.get("jsonName", name)
        if not _is_text(key):
            raise self.refuse(at, '"jsonName" must be a string.')
        if NO_KEY.search(key):
            raise self.refuse(at, '"jsonName" must have no quote, backslash or control character.')
        kind = self.part(entry, "type", at)
        of, nullable = self.slot_type(kind, at, scope, entry.get("epoch"))
        default = self.default(entry, of, at, nullable=nullable)
        return Field(of, nullable, default, name, key, self.rules(entry, of, at))

    def slot(self, schema: Any, at: str, scope: _Scope) -> FieldType:
        of, nullable = self.slot_type(schema, at, scope, None)
        return FieldType(of, nullable)

    def slot_type(self, schema: Any, at: str, scope: _Scope, epoch: Any) -> tuple[Type, bool]:
        """Read a type, or a union of null and one type."""
        if not isinstance(schema, list):
            return self.type(schema, at, scope, epoch), False
        branches = [branch for branch in schema if branch != "null"]
        if len(branches) != 1 or len(schema) != 2:  # noqa: PLR2004 - null and one type
            raise self.refuse(at, "a union must be of null and one other type.")
        return self.type(branches[0], at, scope, epoch), True

    def type(self, schema: Any, at: str, scope: _Scope, epoch: Any) -> Type:
        if isinstance(schema, str):
            schema, scope = self.reference(schema, at, scope)
        if not isinstance(schema, dict):
            raise self.refuse(at, "a type is a name or an object.")
        self.no_rules_in(schema, at)
        epoch = schema.get("epoch", epoch)
        kind = self.part(schema, "type", at)
        if isinstance(kind, dict | list):
            raise self.refuse(at, "a type inside a type object; write the inner one alone.")
        of = self.complex_or_scalar(kind, schema, at, self.inside(schema, at, scope), epoch)
        if epoch is not None and not (isinstance(of, Scalar) and of.name.startswith("epoch ")):
            raise self.refuse(at, '"epoch" belongs on dates and timestamps alone.')
        return of

    def complex_or_scalar(
        self, kind: Any, schema: dict[str, Any], at: str, scope: _Scope, epoch: Any
    ) -> Type:
        if kind == "record":
            return self.record(schema, at, scope)
        if kind == "array":
            return array_of(self.slot(self.part(schema, "items", at), f"{at}[]", scope))
        if kind == "map":
            return map_of(self.slot(self.part(schema, "values", at), f"{at}{{}}", scope))
        if kind not in _PRIMITIVES:
            self.reference(str(kind), at, scope)
            raise self.refuse(at, f"type {kind!r} inside a type object; write its name alone.")
        of = self.scalar(kind, schema, at, epoch)
        if of is None:
            logical = schema.get("logicalType")
            raise self.refuse(at, f"logical type {logical!r} on {kind} is not supported.")
        return of

    def part(self, schema: Mapping[str, Any], key: str, at: str) -> Any:
        if key not in schema:
            raise self.refuse(at, f'it lacks "{key}".')
        return schema[key]

    def inside(self, schema: dict[str, Any], at: str, scope: _Scope) -> _Scope:
        """Note a type by its full name, if it has one; return the scope of what is inside it."""
        if scope.depth == _DEEPEST:
            raise self.refuse(at, f"more than {_DEEPEST} types inside each other.")
        within = msgspec.structs.replace(scope, depth=scope.depth + 1)
        if schema["type"] not in _NAMED:
            return within
        name, namespace = schema.get("name"), schema.get("namespace", scope.namespace)
        if not _is_text(name) or not _FULL_NAME.fullmatch(name):
            raise self.refuse(at, "a type's name is letters, digits and _, with dots a full name.")
        if not _is_text(namespace) or not (namespace == "" or _FULL_NAME.fullmatch(namespace)):
            raise self.refuse(at, "a namespace is names of letters, digits and _ between dots.")
        full = msgspec.structs.replace(scope, namespace=namespace).full(name)
        self.named[full] = schema, scope.namespace
        return msgspec.structs.replace(
            within, namespace=full.rpartition(".")[0], open=(*scope.open, full)
        )

    def reference(self, name: str, at: str, scope: _Scope) -> tuple[dict[str, Any], _Scope]:
        """Look up a type by name, and the scope to read it in; one inside itself is refused."""
        if name in _PRIMITIVES:
            return {"type": name}, scope
        full = scope.full(name)
        if full in scope.open:
            raise self.refuse(at, f"type {full} holds itself; recursion is not supported.")
        if full not in self.named:
            raise self.refuse(at, f"type {full!r} is not supported, nor defined before.")
        schema, namespace = self.named[full]
        return schema, msgspec.structs.replace(scope, namespace=namespace)

    def scalar(self, kind: str, schema: dict[str, Any], at: str, epoch: Any) -> Scalar | None:
        logical = schema.get("logicalType")
        if logical is not None and not _is_text(logical):
            raise self.refuse(at, '"logicalType" must be a string.')
        if kind == "enum":
            if not schema.get("symbols"):
                raise self.refuse(at, "an enum needs at least one symbol.")
            return _enum(schema) if logical is None else None
        if logical == "decimal" and kind in {"bytes", "fixed"}:
            return self.decimal(schema, at)
        if kind == "fixed":
            return self.fixed(schema.get("size"), at) if logical is None else None
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
        rules = Rules(**given)
        self.check_ends(rules.minimum, rules.maximum, "minimum", "maximum", at)
        self.check_ends(rules.min_length, rules.max_length, "minLength", "maxLength", at)
        return rules

    def check_ends(self, low: Any, high: Any, least: str, most: str, at: str) -> None:
        if low is not None and high is not None and low > high:
            raise self.refuse(at, f'"{least}" is above "{most}"; no value could be both.')

    def bound(self, value: Any, rule: str, at: str) -> Decimal:
        try:
            bound = Decimal(value) if isinstance(value, Integer | Float) else Decimal("NaN")
        except InvalidOperation:
            bound = Decimal("NaN")
        if bound.is_nan() or not math.isfinite(float(bound)):
            raise self.refuse(at, f'"{rule}" must be a number, and one that a double can hold.')
        return bound

    def check_pattern(self, pattern: Any, at: str) -> None:
        """Patterns are RE2, which runs in linear time; what it refuses cannot be a rule."""
        if not _is_text(pattern):
            raise self.refuse(at, '"pattern" must be a string.')
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise self.refuse(at, f'"pattern" is no RE2 regular expression: {error}.') from None


def _is_text(value: Any) -> TypeGuard[str]:
    """Tell a string from a number, which `read_exactly` keeps as a kind of one."""
    return isinstance(value, str) and not isinstance(value, Integer | Float)


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
