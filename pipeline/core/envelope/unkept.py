"""Members of envelopes that go nowhere: no rule reads, keeps or takes them out. Counted by path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.envelope.members import UNREADABLE
from pipeline.core.member_path import NO_KEY

Read: TypeAlias = "Mapping[str, Read]"
"""The members that a rule reads, and those within them; nothing where it reads all of one."""
_Shape: TypeAlias = "dict[str, _Shape | None]"
"""Members that no rule reads, as None, and objects with such members in them."""

_MOST_SHAPES = 32  # that are learnt of one rule
_MOST_MEMBERS = 100  # of a shape
_MOST_FIELDS = 1_000
_LONGEST = 2**18  # bytes of an envelope whose members are named
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Unkept:
    """Counts the members of envelopes that were opened, many at once.

    `fields` is how many envelopes have each, and `envelopes` how many have one at all. `others` is
    the sum of what has no name here: beyond so many, or in an envelope that may have any number.
    """

    def __init__(self) -> None:
        self.envelopes = 0
        self.fields: Counter[str] = Counter()
        self.others = 0
        self._waiting: dict[Shapes, list[bytes]] = {}

    def note_all(self, notes: Sequence[Note]) -> None:
        """Note envelopes that rules took something out of."""
        for shapes, envelopes in notes:
            self._waiting.setdefault(shapes, []).extend(envelopes)

    def count(self) -> None:
        """Count the members of those that were noted."""
        for shapes, envelopes in self._waiting.items():
            left = shapes.fast_count(envelopes, self)
            short = [envelope for envelope in left if len(envelope) <= _LONGEST]
            for envelope in short:
                self.add(_shape_of(envelope, shapes.read), 1)
            if short:
                shapes.learn(_shape_of(short[-1], shapes.read))
            self.envelopes += len(left) - len(short)
            self.others += len(left) - len(short)
        self._waiting.clear()

    def add(self, shape: _Shape, count: int) -> None:
        """Count so many envelopes with the same members that no rule reads."""
        if shape and count:
            self.envelopes += count
            self._add(shape, count, "$")

    def _add(self, shape: _Shape, count: int, path: str) -> None:
        for key, inner in shape.items():
            here = path + path_segment(key)
            if inner is not None:
                self._add(inner, count, here)
            elif here in self.fields or len(self.fields) < _MOST_FIELDS:
                self.fields[here] += count
            else:
                self.others += count


class Shapes:
    """Tells at once which of a rule's envelopes have the members that the last odd one had."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self._learnt = 0
        self._usual: tuple[_Shape, Any] | None = None

    def fast_count(self, envelopes: Sequence[bytes], into: Unkept) -> Sequence[bytes]:
        """Count the envelopes of the known shape; return the others."""
        if self._usual is None:
            return envelopes
        shape, decoder = self._usual
        left, count = list[bytes](), 0
        remaining, read = iter(envelopes), decoder.decode
        while True:
            known = list[Any]()
            try:
                known.extend(map(read, remaining))
            except UNREADABLE:
                count += len(known)
                left.append(envelopes[count + len(left)])
            else:
                into.add(shape, count + len(known))
                return left

    def learn(self, shape: _Shape) -> None:
        """Take a shape for the usual one from now on."""
        if self._learnt < _MOST_SHAPES and _size(shape) <= _MOST_MEMBERS:
            self._learnt += 1
            self._usual = shape, msgspec.json.Decoder(_struct(shape, self.read))


Note = tuple[Shapes, Sequence[bytes]]
"""Envelopes that a rule took something out of."""


def _shape_of(text: bytes, read: Read) -> _Shape:
    """Find the members of an object that are not `read`, and those in objects that are in part."""
    shape: _Shape = {}
    for key, raw in _members.decode(text).items():
        if key not in read:
            shape[key] = None
        elif read[key] and bytes(raw).startswith(b"{"):
            inner = _shape_of(bytes(raw), read[key])
            if inner:
                shape[key] = inner
    return shape


def _size(shape: _Shape) -> int:
    """Count the members; of keys that no decoder can have, too many."""
    if any(map(NO_KEY.search, shape)):
        return _MOST_MEMBERS + 1
    return sum(1 if inner is None else _size(inner) for inner in shape.values())


def _struct(shape: _Shape, read: Read) -> Any:
    """Define what reads an object that has exactly these members, and any that are read."""
    fields, rename = list[Any](), dict[str, str]()
    for number, key in enumerate(dict.fromkeys((*read, *shape))):
        name, inside = f"m{number}", shape.get(key)
        rename[name] = key
        if key not in read:
            fields.append((name, msgspec.Raw))
        elif not read[key]:
            fields.append((name, msgspec.Raw, None))
        elif inside:
            fields.append((name, _struct(inside, read[key])))
        else:
            fields.append((name, _struct({}, read[key]) | None, None))
    return msgspec.defstruct(
        "Envelope", fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False
    )
