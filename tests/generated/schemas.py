"""Datasets of generated schemas: every type of the contract, nested, with defaults and rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from support import as_switched

from generated import scalars, times
from generated.readings import READINGS
from generated.rules import NO_RULES, PATTERNS, Rules
from generated.scalars import CHARACTERS, Scalar, unscaled
from generated.spelling import Literal, Shown, chance, spelled
from generated.times import MICROS
from pipeline.core.dataset import Dataset, parse_dataset

DEEPEST = 3
MOST_SCALARS = 12


@dataclass(frozen=True)
class Record:
    """An object."""

    fields: tuple[Member, ...]
    avro: Any


@dataclass(frozen=True)
class Array:
    """An array."""

    item: Place
    avro: Any


@dataclass(frozen=True)
class Map:
    """An object with keys of any kind."""

    item: Place
    avro: Any


Type = Scalar | Record | Array | Map


@dataclass(frozen=True)
class Place:
    """Where one value goes."""

    type: Type
    nullable: bool

    @property
    def avro(self) -> Any:
        """Return the type as a schema writes it."""
        return ["null", self.type.avro] if self.nullable else self.type.avro


@dataclass(frozen=True)
class Default:
    """A default: how the schema writes it, and the value that it stands for."""

    text: str
    value: Any


@dataclass(frozen=True)
class Member(Place):
    """A field of a record: `name` in the output, `key` in JSON, `attributes` of its own."""

    name: str = ""
    key: str = ""
    rules: Rules = NO_RULES
    default: Default | None = None
    attributes: tuple[tuple[str, Any], ...] = ()

    @property
    def optional(self) -> bool:
        """Whether null, or absence, is accepted here."""
        return self.nullable or self.default is not None

    @property
    def declaration(self) -> dict[str, Any]:
        """Return the field as a schema writes it."""
        given: dict[str, Any] = {"name": self.name, "type": self.avro, **dict(self.attributes)}
        if self.key != self.name:
            given["jsonName"] = self.key
        if self.default is not None:
            given["default"] = Literal(self.default.text)
        return given | self.rules.attributes


@dataclass(frozen=True)
class Made(Shown):
    """A generated dataset, the texts it was parsed from, and its partition columns."""

    record: Record = field(repr=False)
    closed: bool
    schema_text: str
    config_text: str
    partition_by: tuple[tuple[str, str], ...]
    dataset: Dataset = field(repr=False)


# ---------------------------------------------------------------------------------------- types

_TIMES = tuple(
    f"{zone}timestamp-{unit}" for zone in ("", "local-") for unit in ("millis", "micros")
)
# Types without a name of their own, in groups of which each is drawn as often as the others.
_PLAIN: dict[str, tuple[Scalar, ...]] = {
    "boolean": (scalars.Boolean("boolean"), scalars.Boolean({"type": "boolean"})),
    "integer": (scalars.integer("int", 32), scalars.integer({"type": "long"}, 64)),
    "floating": (scalars.floating({"type": "float"}, 32), scalars.floating("double", 64)),
    "string": (scalars.String("string"), scalars.String({"type": "string"})),
    "bytes": (scalars.bytes_of("bytes", None),),
    "uuid": (times.uuid(),),
    "date": (times.dates(), times.epoch_dates()),
    "time": (times.times("millis"), times.times("micros")),
    "timestamp": tuple(map(times.timestamps, _TIMES)),
    "reading": READINGS,
    "epoch": tuple(times.epoch_times(logical, unit) for logical in _TIMES for unit in MICROS),
}
_RULED = ("integer", "string", "decimal", "decimal")  # more often, for their rules
_SYMBOLS = ("A", "B", "a", "_x1", "NULL", "true")
_NAMES = ("a", "b", "id", "at", "value", "_x", "Total", "select", "a1", "date", "key", "element")
FIELD_NAMES = st.sampled_from(_NAMES) | st.from_regex("[A-Za-z][A-Za-z0-9_]{0,6}", fullmatch=True)
# A schema may not name a key with a quote, a backslash or a control character.
_KEYS = (
    "@timestamp", "a.b", "a b", "", " ", "$", "[0]", "a[0]", "it's", "é", "日本", "😀", "\x7f",
    "%s{}", "f0", "null", "\u2028", "ID", "e\u0301", "-type",
)  # fmt: skip
JSON_NAMES = st.sampled_from(_KEYS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters='"\\', min_codepoint=0x20),
    max_size=5,
)
ANY_KEYS = st.sampled_from((*_KEYS, 'say "hi"', "back\\slash", "line\nbreak", "\0")) | st.text(
    CHARACTERS, max_size=5
)


class Maker:
    """Draws one schema; named types may be used again by their names.

    `default` draws a default for a place with such rules.
    """

    def __init__(self, draw: st.DrawFn, default: Callable[[Place, Rules], Default]) -> None:
        self.draw = draw
        self.default = default
        self.named: list[Type] = []
        self.names = 0
        self.scalars = 0

    def type(self, depth: int) -> Type:
        """Draw a type that nests at most so deep."""
        if self.named and chance(self.draw, 10):
            return self.again(self.draw(st.sampled_from(self.named)))
        kind = self.draw(st.sampled_from(("scalar", "scalar", "scalar", "record", "array", "map")))
        if kind == "scalar" or not depth or self.scalars >= MOST_SCALARS:
            return self.scalar()
        if kind == "record":
            return self.record(depth - 1)
        item = Place(self.type(depth - 1), self.draw(st.booleans()))
        if kind == "array":
            return Array(item, {"type": "array", "items": item.avro})
        return Map(item, {"type": "map", "values": item.avro})

    def again(self, avro_type: Type) -> Type:
        """Return the same type, referred to by its name, in full or short."""
        name = avro_type.avro["name"]
        return replace(avro_type, avro=self.draw(st.sampled_from((name, f"space.{name}"))))

    def reusable(self, avro_type: Type) -> Type:
        """Remember a named type, which may be used again."""
        self.named.append(avro_type)
        return avro_type

    def named_type(self, kind: str, **attributes: Any) -> dict[str, Any]:
        """Return a type with a name that is not taken."""
        self.names += 1
        return {"type": kind, "name": f"N{self.names}", **attributes}

    def scalar(self) -> Type:
        """Draw a scalar type."""
        self.scalars += 1
        kind = self.draw(st.sampled_from((*_PLAIN, *_RULED, "enum", "fixed")))
        if kind == "enum":
            some = st.lists(st.sampled_from(_SYMBOLS), min_size=1, max_size=4, unique=True)
            symbols = tuple(self.draw(some))
            return self.reusable(scalars.enum(self.named_type(kind, symbols=symbols), symbols))
        if kind == "fixed":
            size = self.draw(st.integers(1, 20))
            return self.reusable(scalars.bytes_of(self.named_type(kind, size=size), size))
        return self.decimal() if kind == "decimal" else self.draw(st.sampled_from(_PLAIN[kind]))

    def decimal(self) -> Type:
        """Draw a decimal, on bytes or on a fixed that is large enough for it."""
        precision = self.draw(st.integers(1, 76) | st.sampled_from((9, 18, 38, 39, 76)))
        scale = self.draw(st.integers(0, precision))
        logical = {"logicalType": "decimal", "precision": precision, "scale": scale}
        if self.draw(st.booleans()):
            return scalars.decimals({"type": "bytes", **logical}, precision, scale)
        size = (10**precision).bit_length() // 8 + 1
        avro = self.named_type("fixed", size=size, **logical)
        return self.reusable(scalars.decimals(avro, precision, scale))

    def record(self, depth: int) -> Type:
        """Draw a record inside another."""
        avro = self.named_type("record")
        fields = self.fields(depth, most=3)
        return self.reusable(
            Record(fields, {**avro, "fields": [field.declaration for field in fields]})
        )

    def fields(self, depth: int, most: int) -> tuple[Member, ...]:
        """Draw a record's fields, whose names differ in more than case."""
        names = st.lists(FIELD_NAMES, min_size=1, max_size=most, unique_by=str.lower)
        drawn = self.draw(names)
        taken, members = set(drawn), list[Member]()
        for name in drawn:
            key = self.draw(JSON_NAMES) if chance(self.draw, 25) else name
            key = name if key in taken else key
            taken.add(key)
            members.append(self.member(name, key, depth))
        return tuple(members)

    def member(self, name: str, key: str, depth: int) -> Member:
        """Draw a field. The epoch of a time may stand beside the name instead of in the type."""
        place = Place(self.type(depth), self.draw(st.booleans()))
        avro_type, rules, default, attributes = place.type, NO_RULES, None, dict[str, Any]()
        if isinstance(avro_type, Scalar) and chance(self.draw, 60):
            rules = self.rules(avro_type)
        if not place.nullable and chance(self.draw, 25):
            default = self.default(place, rules)
        elif place.nullable and self.draw(st.booleans()):
            attributes["default"] = None
        if (
            isinstance(avro_type.avro, dict)
            and "epoch" in avro_type.avro
            and self.draw(st.booleans())
        ):
            attributes["epoch"] = avro_type.avro["epoch"]
            bare = {name: value for name, value in avro_type.avro.items() if name != "epoch"}
            avro_type = replace(avro_type, avro=bare)
        return Member(
            avro_type, place.nullable, name, key, rules, default, tuple(attributes.items())
        )

    # ----------------------------------------------------------------------------------- rules

    def rules(self, scalar: Scalar) -> Rules:
        """Draw rules that some value keeps, for types that may have any."""
        if isinstance(scalar, scalars.String):
            return self.string_rules()
        if not isinstance(scalar, scalars.Integer | scalars.Floating | scalars.Decimals):
            return NO_RULES
        low, high = sorted((self.limit(scalar), self.limit(scalar)))
        if not isinstance(scalar, scalars.Floating) and self.draw(st.booleans()):
            low, high = between(low, -1), between(high, 1)
        kept = self.draw(st.sampled_from(("minimum", "maximum", "both")))
        return Rules(
            minimum=None if kept == "maximum" else low, maximum=None if kept == "minimum" else high
        )

    def limit(self, scalar: Scalar) -> Decimal:
        """Draw a limit that is a value of its type, so that some value always keeps it."""
        if isinstance(scalar, scalars.Floating):
            return Decimal(repr(self.draw(st.floats(-1e6, 1e6, width=32)) + 0.0))  # no -0.0
        if isinstance(scalar, scalars.Integer) and self.draw(st.booleans()):
            return Decimal(self.draw(st.integers(-9, 9)))
        return Decimal(scalar.ruled(self.draw, NO_RULES))

    def string_rules(self) -> Rules:
        """Draw limits of a string's length, or a pattern."""
        if self.draw(st.booleans()):
            return Rules(pattern=self.draw(st.sampled_from(PATTERNS)))
        low, high = sorted((self.draw(st.integers(0, 4)), self.draw(st.integers(0, 4))))
        kept = self.draw(st.sampled_from(("shortest", "longest", "both")))
        return Rules(
            min_length=None if kept == "longest" else low,
            max_length=None if kept == "shortest" else high,
        )


def between(limit: Decimal, sign: int) -> Decimal:
    """Move a limit away from zero or towards it by less than its last digit."""
    sign_digits, digits, exponent = limit.as_tuple()
    assert isinstance(exponent, int)
    units = int("".join(map(str, digits))) * (-1 if sign_digits else 1)
    return unscaled(units * 10 + 3 * sign, 1 - exponent)


# ------------------------------------------------------------------------------------- datasets


@st.composite
def datasets(draw: st.DrawFn) -> Made:
    """Draw a dataset that the contract allows."""
    from generated.documents import Writer

    closed = chance(draw, 30)
    maker = Maker(draw, Writer(draw, closed=closed).default)
    fields = maker.fields(DEEPEST, most=5)
    declared = [member.declaration for member in fields]
    avro = {"type": "record", "name": "Thing", "namespace": "space", "fields": declared}
    partition_by = partitions(draw, fields) if chance(draw, 40) else ()
    columns = [f"{part}({name})" if part != "value" else name for part, name in partition_by]
    config = (
        'formats = ["parquet", "csv"]\n'
        + 'unknown_fields = "reject"\n' * closed
        + f"partition_by = {json.dumps(columns)}\n"
    )
    text = spelled(avro)
    dataset = as_switched(parse_dataset("things", {1: text}, config))
    return Made(Record(fields, avro), closed, text, config, partition_by, dataset)


def partitions(draw: st.DrawFn, fields: tuple[Member, ...]) -> tuple[tuple[str, str], ...]:
    """Draw partition columns: the part (date, hour or value), and its field."""
    taken = {member.name.lower() for member in fields}
    able = [("date", ""), ("hour", "")]
    for member in fields:
        if isinstance(member.type, times.Timestamp):
            able += [("date", member.name), ("hour", member.name)]
        elif isinstance(member.type, times.Date):
            able += [("date", member.name), ("value", member.name)]
        elif isinstance(member.type, _BY_VALUE):
            able.append(("value", member.name))
    able = [(part, name) for part, name in able if part == "value" or part not in taken]
    if not able:
        return ()
    column = st.sampled_from(able)
    chosen = draw(st.lists(column, min_size=1, max_size=2, unique_by=column_name))
    return tuple(chosen)


def column_name(column: tuple[str, str]) -> str:
    """Return the name of a partition column, less its case."""
    part, name = column
    return name.lower() if part == "value" else part


_BY_VALUE = (scalars.Boolean, scalars.Integer, scalars.String, scalars.Enum, times.Uuid)
