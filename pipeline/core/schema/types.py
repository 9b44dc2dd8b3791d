"""The types of a dataset's fields: what JSON they read and what Arrow they become.

Each knows three things: the msgspec type that the strict decoder reads JSON with, the Arrow
type, and for scalars how one decoded value becomes what Arrow stores.
"""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import msgspec
import pyarrow as pa

from pipeline.core.member_path import Path

JsonKind = Literal["boolean", "integer", "number", "string", "decimal", "any"]


class _NoDefault:
    """Distinguishes a field without a default from one whose default is null."""

    def __repr__(self) -> str:
        return "no default"


NO_DEFAULT = _NoDefault()


class Rules(msgspec.Struct, frozen=True):
    """A field's own rules; None means there is no such rule. Lengths are in code points."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def __bool__(self) -> bool:
        return self != _NO_RULES


_NO_RULES = Rules()


class LogicalType(Enum):
    """Every scalar type there is. Code dispatches on these; `Scalar.name` is for people."""

    BOOLEAN = "boolean"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    ENUM = "enum"
    BYTES = "bytes"
    FIXED = "fixed"
    DECIMAL = "decimal"
    UUID = "uuid"
    DATE = "date"
    TIME_MILLIS = "time-millis"
    TIME_MICROS = "time-micros"
    TIMESTAMP_MILLIS = "timestamp-millis"
    TIMESTAMP_MICROS = "timestamp-micros"
    LOCAL_TIMESTAMP_MILLIS = "local-timestamp-millis"
    LOCAL_TIMESTAMP_MICROS = "local-timestamp-micros"
    EPOCH_DAYS = "epoch days"
    EPOCH_SECONDS = "epoch seconds"
    EPOCH_MILLIS = "epoch millis"
    EPOCH_MICROS = "epoch micros"
    EPOCH_NANOS = "epoch nanos"
    JSON = "json"


class Reading(msgspec.Struct, frozen=True):
    """What a field reads beside its strict form, by the names that its schema gives.

    `write` makes texts of a moment, given in microseconds since 1970, one for each form. If the
    forms only loosen ISO 8601 (and a missing zone is UTC), `loosened` are the names that do.
    """

    accept: frozenset[str] = frozenset()
    formats: tuple[str, ...] = ()
    encoding: str | None = None
    write: tuple[Callable[[int], str], ...] = ()
    loosened: frozenset[str] = frozenset()


class Scalar(msgspec.Struct, frozen=True):
    """A type without parts. `storage` is the Arrow type of what `convert` returns.

    Without a `convert`, what the strict decoder read is stored as it is. `name` is the type's
    name in messages, with its parameters, as in `decimal(5, 2)`. With a `reading` it accepts more
    than the strict form; of kind "any" the decoder reads nothing, and `convert` all. `otherwise` is
    the enum's default: what a text that is not a symbol is read as.
    """

    logical: LogicalType
    name: str
    kind: JsonKind
    json_type: Any
    arrow: pa.DataType
    storage: pa.DataType
    convert: Callable[[Any], Any] | None = None
    symbols: tuple[str, ...] = ()
    otherwise: str | None = None
    low: int = 0
    high: int = 0
    reading: Reading | None = None


class _Nulls(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the empty string is read as null."""

    empty_is_null: bool = False


class FieldType(_Nulls, frozen=True):
    """The type of an array's item, a map's value, or a record's field, and whether it may be null.

    `default` is what the strict decoder would read for it; it replaces absence, and null where
    null is not accepted.
    """

    type: "Type"
    nullable: bool = False
    default: Any = NO_DEFAULT

    @property
    def optional(self) -> bool:
        """Whether null, or absence, is accepted."""
        return self.nullable or self.default is not NO_DEFAULT

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of its values."""
        return _with_nullable_parts(self.type.arrow) if self.nullable else self.type.arrow

    @property
    def json_type(self) -> Any:
        """The msgspec type of its values. Raw accepts null as it is."""
        inner = self.type.json_type
        if inner is msgspec.Raw:
            return inner
        if self.empty_is_null and inner is not str:
            inner |= Literal[""]
        return inner | None if self.optional else inner

    def is_empty(self, value: Any) -> bool:
        """Whether a decoded value is an empty string that is read as null."""
        return self.empty_is_null and (
            not value
            if isinstance(value, str)
            else isinstance(value, msgspec.Raw) and bytes(value) == b'""'
        )


class Field(FieldType, frozen=True):
    """A record's field: `name` in the output, `key` in the JSON object.

    Where the object has no `key`, the first of the `aliases` that it has is read instead. `above`
    has the keys of the objects that it lies in, where a schema gives its path; see `reading`.
    """

    name: str = ""
    key: str = ""
    rules: Rules = msgspec.field(default_factory=Rules)
    aliases: tuple[str, ...] = ()
    above: Path = ()

    @property
    def path(self) -> Path:
        """The keys that lead to it from the record's object."""
        return (*self.above, self.key)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that its value may be under, its own first."""
        return (self.key, *self.aliases)

    @property
    def distinguishes_null(self) -> bool:
        """Whether null and absence are different values."""
        return self.nullable and self.default is not NO_DEFAULT

    @property
    def arrow_field(self) -> pa.Field:
        """The Arrow field."""
        return pa.field(self.name, self.arrow, nullable=self.nullable)


class Record(msgspec.Struct, frozen=True):
    """An object. The msgspec struct's attributes are f0, f1, … in the order of `fields`."""

    fields: tuple[Field, ...]
    json_type: Any
    arrow: pa.DataType
    rejects_unknown_fields: bool


class Array(msgspec.Struct, frozen=True):
    """A JSON array."""

    item: FieldType
    json_type: Any
    arrow: pa.DataType


class Map(msgspec.Struct, frozen=True):
    """A JSON object with keys of the producer's choosing."""

    value: FieldType
    json_type: Any
    arrow: pa.DataType


Type = Scalar | Record | Array | Map


def record_of(fields: tuple[Field, ...], *, rejects_unknown_fields: bool) -> Record:
    """Make a record type, which may reject the members that no field reads."""
    members: list[Any] = []
    rename: dict[str, str] = {}
    for number, field in enumerate(fields):
        names = member_names(number, field)
        members += _members(names, field)
        # A record with paths is of columns only, and nothing is read as it.
        keys = [f"$ {name}" for name in names] if field.above else field.keys
        rename |= dict(zip(names, keys, strict=True))
    struct = msgspec.defstruct(
        "Document",
        members,
        rename=rename,
        forbid_unknown_fields=rejects_unknown_fields,
        kw_only=True,
        gc=False,
    )
    return Record(
        fields, struct, pa.struct([field.arrow_field for field in fields]), rejects_unknown_fields
    )


def member_names(number: int, field: Field) -> tuple[str, ...]:
    """Return the struct's attributes for the field of this number: its own, and each alias's."""
    aliases = (f"f{number}a{alias}" for alias in range(len(field.aliases)))
    return (f"f{number}", *aliases)


def _members(names: tuple[str, ...], field: Field) -> list[Any]:
    """Return the struct's members for one field: its own, and one for each alias, as it is.

    With aliases, what is absent is UNSET: `documents.aliases` decides then.
    """
    name, *aliases = names
    member = (name, field.json_type)
    if aliases:
        others = [(alias, msgspec.Raw, msgspec.UNSET) for alias in aliases]
        return [(*member, msgspec.UNSET), *others]
    if field.distinguishes_null:
        return [(*member, msgspec.field(default_factory=lambda: field.default))]
    if field.optional:
        absent = msgspec.Raw(b"null") if field.type.json_type is msgspec.Raw else None
        return [(*member, absent)]
    return [member]


def array_of(item: FieldType) -> Array:
    """Make an array type."""
    element = pa.field("element", item.arrow, nullable=item.nullable)
    return Array(item, list[item.json_type], pa.list_(element))  # type: ignore[name-defined]  # made at run time


def map_of(value: FieldType) -> Map:
    """Make a map type."""
    entry = pa.field("value", value.arrow, nullable=value.nullable)
    return Map(value, dict[str, value.json_type], pa.map_(pa.string(), entry))  # type: ignore[name-defined]  # made at run time


def _with_nullable_parts(arrow: pa.DataType) -> pa.DataType:
    """Make the children of a nullable record nullable, as Parquet requires."""
    if not pa.types.is_struct(arrow):
        return arrow
    return pa.struct(
        [pa.field(part.name, _with_nullable_parts(part.type), nullable=True) for part in arrow]
    )


def has_aliases(schema_type: Type) -> bool:
    """Whether a field of a type, at any depth, is read from other keys, too."""
    match schema_type:
        case Record(fields=fields):
            return any(field.aliases or has_aliases(field.type) for field in fields)
        case Array(item=inner) | Map(value=inner):
            return has_aliases(inner.type)
        case _:
            return False
