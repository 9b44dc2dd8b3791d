"""Documents of a generated dataset: the value first, then one of its spellings.

A document being made is a tree of nodes, so that any one of its values can be made wrong.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from hypothesis import strategies as st

from generated.readings import ConnectDecimals
from generated.rules import NO_RULES, Rules
from generated.scalars import Bytes, Decimals, Scalar
from generated.schemas import (
    ANY_KEYS,
    Array,
    Default,
    Made,
    Map,
    Member,
    Place,
    Record,
    Type,
)
from generated.spelling import Shown, chance, step, string

# Values that are never read: under unknown keys, and under keys that are repeated.
JUNK = (
    "null", "true", "-0", "1e400", "9" * 30, '"\\u0000\\ud83d\\ude00"', "[]", "{}", '"}{"',
    '{"a":[{"a":null}],"a":1}', "[" * 200 + "]" * 200, '"\\\\"', "0.10", '"NaN"', "[[],{}]",
)  # fmt: skip


@dataclass
class Node:
    """A value being made: a text, or brackets around labelled parts. A junk value has no place."""

    path: str = ""
    place: Place | None = field(default=None, repr=False)
    text: str = ""
    brackets: str = ""
    parts: list[tuple[str, Node]] = field(default_factory=list)

    def become(self, text: str) -> None:
        """Become another text."""
        self.text, self.brackets, self.parts = text, "", []

    def written(self, gap: str) -> str:
        """Return its text with a gap of white space around every token."""
        if not self.brackets:
            return self.text
        parts = (f"{label}{gap}{part.written(gap)}{gap}" for label, part in self.parts)
        inside = f",{gap}".join(f"{gap}{part}" for part in parts)
        return f"{self.brackets[0]}{gap}{inside}{self.brackets[1]}"

    def places(self) -> Iterator[Node]:
        """Yield every node that belongs to a place, from the outside in."""
        yield self
        for _, part in self.parts:
            if part.place is not None:
                yield from part.places()


@dataclass(frozen=True)
class Document(Shown):
    """A valid document: its tree, and the row that it should become, by field name."""

    root: Node
    gap: str
    row: dict[str, Any]

    def __repr__(self) -> str:
        return f"Document({self.payload!r})"

    @property
    def payload(self) -> bytes:
        """The document as a producer sends it."""
        return self.root.written(self.gap).encode()


class Writer:
    """Draws values of places, and nodes that spell them."""

    def __init__(self, draw: st.DrawFn, *, closed: bool) -> None:
        self.draw = draw
        self.closed = closed

    def default(self, place: Place, rules: Rules) -> Default:
        """Draw a default of a place."""
        # Members that no field reads would be a fault in the schema.
        node, value = Writer(self.draw, closed=True).value(place, rules, "$")
        for part in node.places():
            if part.place is not None and not part.brackets and part.text != "null":
                part.text = in_avro(part.place.type, part.text)
        return Default(node.written(""), value)

    def value(self, place: Place, rules: Rules, path: str) -> tuple[Node, Any]:
        """Draw a place's value."""
        if place.nullable and chance(self.draw, 25):
            return Node(path, place, "null"), None
        match place.type:
            case Scalar() as scalar:
                value = scalar.ruled(self.draw, rules)
                return Node(path, place, scalar.spelled(self.draw, value)), value
            case Record() as record:
                return self.record(record, place, path)
            case Array(item=item):
                return self.array(item, place, path)
            case Map(item=item):
                return self.map(item, place, path)

    def array(self, item: Place, place: Place, path: str) -> tuple[Node, Any]:
        """Draw an array."""
        count = self.draw(st.integers(0, 2))
        drawn = [self.value(item, NO_RULES, f"{path}[{number}]") for number in range(count)]
        parts = [("", node) for node, _ in drawn]
        return Node(path, place, brackets="[]", parts=parts), [value for _, value in drawn]

    def map(self, item: Place, place: Place, path: str) -> tuple[Node, Any]:
        """Draw a map, as a dict."""
        keys = self.draw(st.lists(ANY_KEYS, max_size=2, unique=True))
        drawn = {key: self.value(item, NO_RULES, path + step(key)) for key in keys}
        parts = [(self.label(key), node) for key, (node, _) in drawn.items()]
        node = Node(path, place, brackets="{}", parts=self.repeated(parts))
        return node, {key: value for key, (_, value) in drawn.items()}

    def record(self, record: Record, place: Place, path: str) -> tuple[Node, dict[str, Any]]:
        """Draw an object of a record: its fields in any order, among unknown keys."""
        parts, values = list[tuple[str, Node]](), dict[str, Any]()
        for member in record.fields:
            node, values[member.name] = self.member(member, path + step(member.key))
            if node is not None:
                parts.append((self.label(member.key), node))
        order = self.draw(st.permutations(range(len(parts))))
        parts = self.repeated([parts[number] for number in order])
        if not self.closed and chance(self.draw, 20):
            key = self.draw(ANY_KEYS)
            if key not in {member.key for member in record.fields}:
                parts.insert(self.draw(st.integers(0, len(parts))), (self.label(key), self.junk()))
        return Node(path, place, brackets="{}", parts=parts), values

    def member(self, member: Member, path: str) -> tuple[Node | None, Any]:
        """Draw a field's value, or leave it out."""
        if member.optional and chance(self.draw, 40):
            if self.draw(st.booleans()):
                null = None if member.nullable or not member.default else member.default.value
                return Node(path, member, "null"), null
            return None, member.default.value if member.default else None
        return self.value(member, member.rules, path)

    def repeated(self, parts: list[tuple[str, Node]]) -> list[tuple[str, Node]]:
        """Repeat a key in front, with another value, which does not count."""
        if parts and chance(self.draw, 10):
            label = self.draw(st.sampled_from([label for label, _ in parts]))
            return [(label, self.junk()), *parts]
        return parts

    def label(self, key: str) -> str:
        """Write a key and its colon."""
        return string(self.draw, key) + ":"

    def junk(self) -> Node:
        """Draw a value that does not count."""
        return Node(text=self.draw(st.sampled_from(JUNK)))


def in_avro(place_type: Type, text: str) -> str:
    """Write what a document holds as a default does: bytes by characters, decimals unquoted."""
    if isinstance(place_type, Bytes):
        return json.dumps(base64.b64decode(json.loads(text)).decode("latin-1"))
    if isinstance(place_type, ConnectDecimals):
        unscaled = int.from_bytes(base64.b64decode(json.loads(text)), "big", signed=True)
        return str(Decimal(unscaled).scaleb(-place_type.scale, Context(prec=99)))
    return str(json.loads(text)) if isinstance(place_type, Decimals) and text[0] == '"' else text


GAPS = ("", " ", "\t ", "\r")


@st.composite
def documents(
    draw: st.DrawFn, made: Made, gaps: tuple[str, ...] = (*GAPS, "\n", "\r\n  ")
) -> Document:
    """Draw a document that the dataset accepts."""
    place = Place(made.record, nullable=False)
    root, row = Writer(draw, closed=made.closed).record(made.record, place, "$")
    return Document(root, draw(st.sampled_from(gaps)), row)
