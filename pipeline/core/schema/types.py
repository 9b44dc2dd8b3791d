"""The types of a dataset's fields: what JSON they read and what Arrow they become.

Each knows three things: the msgspec type that the strict decoder reads JSON with, the Arrow
type, and for scalars how one decoded value becomes what Arrow stores.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec
import pyarrow as pa

JsonKind = Literal["boolean", "integer", "number", "string", "decimal"]


class _NoDefault:
    """Tells a field without a default from one whose default is null."""

    def __repr__(self) -> str:
        return "no default"


NO_DEFAULT = _NoDefault()


class Rules(msgspec.Struct, frozen=True):
    """A field's own rules; a bound that is None does not hold. Lengths are in code points."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def __bool__(self) -> bool:
        return self != _NO_RULES


_NO_RULES = Rules()


class Scalar(msgspec.Struct, frozen=True):
    """A type without parts. `storage` is the Arrow type of what `convert` gives."""

    name: str
    kind: JsonKind
    json_type: Any
    arrow: pa.DataType
    storage: pa.DataType
    convert: Callable[[Any], Any] | None = None
    symbols: tuple[str, ...] = ()
    low: int = 0
    high: int = 0


class FieldType(msgspec.Struct, frozen=True):
    """A place that holds one value: an array's item, a map's value, or a record's field.

    `default` is what the strict decoder would read for it; it stands for null and absence.
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
        """The Arrow type of this place."""
        return _with_nullable_parts(self.type.arrow) if self.nullable else self.type.arrow

    @property
    def json_type(self) -> Any:
        """The msgspec type of this place. Raw takes null as it is."""
        inner = self.type.json_type
        return inner | None if self.optional and inner is not msgspec.Raw else inner


class Field(FieldType, frozen=True):
    """A record's field: `name` in the output, `key` in the JSON object."""

    name: str = ""
    key: str = ""
    rules: Rules = msgspec.field(default_factory=Rules)

    @property
    def arrow_field(self) -> pa.Field:
        """The Arrow field."""
        return pa.field(self.name, self.arrow, nullable=self.nullable)


class Record(msgspec.Struct, frozen=True):
    """An object. The msgspec struct's attributes are f0, f1, … in the order of `fields`."""

    fields: tuple[Field, ...]
    json_type: Any
    arrow: pa.DataType
    closed: bool


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


def record_of(fields: tuple[Field, ...], *, closed: bool) -> Record:
    """Make a record type; a closed one refuses keys it does not know."""
    members: list[Any] = []
    for number, of in enumerate(fields):
        member = (f"f{number}", of.json_type)
        if of.optional:
            absent = msgspec.Raw(b"null") if of.type.json_type is msgspec.Raw else None
            members.append((*member, absent))
        else:
            members.append(member)
    struct = msgspec.defstruct(
        "Document",
        members,
        rename={f"f{number}": of.key for number, of in enumerate(fields)},
        forbid_unknown_fields=closed,
        kw_only=True,
        gc=False,
    )
    return Record(fields, struct, pa.struct([of.arrow_field for of in fields]), closed)


def array_of(item: FieldType) -> Array:
    """Make an array type."""
    of = pa.field("element", item.arrow, nullable=item.nullable)
    return Array(item, list[item.json_type], pa.list_(of))  # type: ignore[name-defined]  # made at run time


def map_of(value: FieldType) -> Map:
    """Make a map type."""
    of = pa.field("value", value.arrow, nullable=value.nullable)
    return Map(value, dict[str, value.json_type], pa.map_(pa.string(), of))  # type: ignore[name-defined]  # made at run time


def _with_nullable_parts(of: pa.DataType) -> pa.DataType:
    """Let the parts of a record that may be null be null with it; Parquet wants that said."""
    if not pa.types.is_struct(of):
        return of
    return pa.struct(
        [pa.field(part.name, _with_nullable_parts(part.type), nullable=True) for part in of]
    )
