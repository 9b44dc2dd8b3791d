"""Unknown members in documents that Arrow's reader reads: that there are none, or which.

The reader can refuse what its schema does not name. So a chunk without unknown members costs
nothing: it is read under that condition, and has none. Otherwise a sample of its documents says
which unknown members there are, and of what type (`learn`). If the reader accepts the schema with
these added, there are no others, and a decoder that reads these alone finds them in each document
(`Found`). If it does not, because there are others or their types vary, each document is walked.
`unknown.Walk` is the definition of what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, cast

import msgspec
import pyarrow as pa

from pipeline.core.documents.columnar.arrow_json import (
    UnexpectedMember,
    Unreadable,
    read_table,
)
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.documents.unknown import (
    Census,
    Note,
    items_text,
    other_cases,
    write_key,
)
from pipeline.core.member_path import NO_KEY
from pipeline.core.records import UnknownMembers
from pipeline.core.schema.types import Array, Record, Type

_SAMPLE = 64  # documents
_MOST = 32  # unknown members that are learnt
_read = msgspec.json.Decoder()


class Unexpected:
    """Reads documents, and finds what is unknown in them, for datasets that Arrow reads whole."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._beside = [pa.field(key, kind) for key, kind in census.beside.items()]

    def read(
        self, text: bytes, documents: Sequence[bytes], indices: Sequence[int], schema: pa.Schema
    ) -> tuple[pa.Table, Note | None]:
        """Read the documents of these indices, whose text this is. Raises `Unreadable`.

        What is returned notes the unknown members; None: there are none.
        """
        named = pa.schema([*schema, *self._beside]) if self._beside else schema
        try:
            return read_table(text, named, "error"), None
        except UnexpectedMember:
            pass
        record, beside = self._census.record, frozenset(self._census.beside)
        try:
            learnt = learn(record, beside, documents, indices)
            table = read_table(text, extended(named, learnt), "error")
        except (Unlearnable, Unreadable):
            return read_table(text, schema, "ignore"), self._census.note_all
        return table, Found(record, learnt, keeps=self._census.keeps).note


class Unlearnable(Exception):
    """The sample does not say of what type an unknown member is."""


class Learnt(msgspec.Struct):
    """The unknown members seen in a record: the types of its own, and those inside its fields."""

    types: dict[str, pa.DataType] = msgspec.field(default_factory=dict)
    inside: dict[str, Learnt] = msgspec.field(default_factory=dict)


def learn(
    record: Record, beside: frozenset[str], documents: Sequence[bytes], indices: Sequence[int]
) -> Learnt:
    """Return the unknown members of a sample of these documents. Raises `Unlearnable`."""
    learnt = Learnt()
    for index in indices[:: 1 + len(indices) // _SAMPLE]:
        try:
            _learn(record, beside, _read.decode(documents[index]), learnt)
        except (msgspec.DecodeError, RecursionError):
            raise Unlearnable from None
    if not 0 < _size(learnt) <= _MOST:
        raise Unlearnable
    return learnt


def _learn(record: Record, beside: frozenset[str], value: Any, learnt: Learnt) -> None:
    if not isinstance(value, dict):
        return
    fields = {field.key: field.type for field in record.fields}
    for key in value.keys() - fields.keys() - beside:
        if NO_KEY.search(key):  # which the decoder of `Found` could not read
            raise Unlearnable
        learnt.types[key] = _joined(learnt.types.get(key, pa.null()), _type_of(value[key]))
    for key in value.keys() & fields.keys():
        inner, items = _items(fields[key], value[key])
        if isinstance(inner, Record):
            inside = learnt.inside.get(key, Learnt())
            for item in items:
                _learn(inner, frozenset(), item, inside)
            if inside.types or inside.inside:
                learnt.inside[key] = inside


def _items(schema_type: Type, value: Any) -> tuple[Type, list[Any]]:
    """Return what is inside arrays, however deep they are, and its type."""
    items = [value]
    while isinstance(schema_type, Array):
        schema_type = schema_type.item.type
        items = [item for part in items if isinstance(part, list) for item in part]
    return schema_type, items


def _size(learnt: Learnt) -> int:
    return len(learnt.types) + sum(map(_size, learnt.inside.values()))


def _type_of(value: Any) -> pa.DataType:
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int | float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, list):
        item = pa.null()
        for part in value:
            item = _joined(item, _type_of(part))
        return pa.list_(item)
    return pa.struct([(key, _type_of(part)) for key, part in value.items()])


def _joined(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """Return the type that the reader reads both as; null is any type's."""
    if left == right or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if pa.types.is_list(left) and pa.types.is_list(right):
        return pa.list_(_joined(left.value_type, right.value_type))
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        parts = {part.name: part.type for part in left}
        for part in right:
            parts[part.name] = _joined(parts.get(part.name, pa.null()), part.type)
        if len(parts) <= _MOST:
            return pa.struct(list(parts.items()))
    raise Unlearnable


def extended(schema: pa.Schema, learnt: Learnt) -> pa.Schema:
    """Return the reader's schema with the learnt members behind the others of their records."""
    return pa.schema(_extended(schema, learnt))


def _extended(parts: Any, learnt: Learnt) -> list[pa.Field]:
    fields = [
        part.with_type(_inside(part.type, learnt.inside[part.name]))
        if part.name in learnt.inside
        else part
        for part in parts
    ]
    return [*fields, *(pa.field(key, kind) for key, kind in learnt.types.items())]


def _inside(kind: pa.DataType, learnt: Learnt) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_inside(kind.value_type, learnt))
    return pa.struct(_extended(kind, learnt))


_Inside = Callable[[Any], str]
_Column = tuple[str, list[Any]]
"""A path, and for each document something, or None where it has no such member."""


class Found:
    """Finds members that are learnt, and no others, in each of some documents."""

    def __init__(self, record: Record, learnt: Learnt, *, keeps: bool) -> None:
        self._keeps = keeps
        self._record, self._learnt = record, learnt
        self._decoder = msgspec.json.Decoder(_struct(record, learnt))
        self._inside = _record_text(record, learnt)

    def note(
        self, documents: Sequence[bytes], indices: Sequence[int], unknown: UnknownMembers
    ) -> None:
        """Note what is unknown in the documents of these indices."""
        if len(indices) < len(documents):
            documents = [documents[index] for index in indices]
        structs = list(map(self._decoder.decode, documents))
        columns = list(_columns(self._record, self._learnt, structs, "$", unknown.other_case))
        for paths, numbers in _grouped(columns, len(structs)):
            if paths:
                found = unknown.documents.setdefault(paths, [])
                whole = len(numbers) == len(indices)
                found += indices if whole else [indices[number] for number in numbers]
        if self._keeps:
            texts = list(map(self._inside, structs))
            whole = all(texts)
            pairs = zip(indices, texts, strict=True)
            unknown.rest.update(pairs if whole else [pair for pair in pairs if pair[1]])


def _grouped(columns: list[_Column], count: int) -> Iterator[tuple[frozenset[str], Sequence[int]]]:
    """Yield the numbers of the documents that have the same members, with the paths of these."""
    everywhere = frozenset(path for path, values in columns if None not in values)
    some = [(path, values) for path, values in columns if path not in everywhere]
    if not some:
        yield everywhere, range(count)
        return
    groups: dict[tuple[bool, ...], list[int]] = {}
    present = ([value is not None for value in values] for _, values in some)
    for number, pattern in enumerate(zip(*present, strict=True)):
        groups.setdefault(pattern, []).append(number)
    for pattern, numbers in groups.items():
        yield everywhere | {some[n][0] for n, there in enumerate(pattern) if there}, numbers


def _columns(
    record: Record, learnt: Learnt, structs: list[Any], path: str, other_case: dict[str, str]
) -> Iterator[_Column]:
    """Yield a column for each member that is learnt of a record; `structs` may hold None."""
    meant = other_cases(record)
    for number, key in enumerate(learnt.types):
        name, field = path + path_segment(key), meant.get(key.casefold())
        values = _members(structs, f"u{number}")
        if field is not None and any(value is not None for value in values):
            other_case[name] = path + path_segment(field)
        yield name, values
    fields = {field.key: field.type for field in record.fields}
    for number, (key, inside) in enumerate(learnt.inside.items()):
        values = _members(structs, f"i{number}")
        yield from _inner_columns(fields[key], inside, values, path + path_segment(key), other_case)


def _inner_columns(
    schema_type: Type, learnt: Learnt, values: list[Any], path: str, other_case: dict[str, str]
) -> Iterator[_Column]:
    if isinstance(schema_type, Record):
        yield from _columns(schema_type, learnt, values, path, other_case)
        return
    items = [item for value in values for item in value or ()]
    parents = [index for index, value in enumerate(values) for _ in value or ()]
    inner = cast("Array", schema_type).item.type
    for name, column in _inner_columns(inner, learnt, items, f"{path}[]", other_case):
        outer: list[Any] = [None] * len(values)
        for parent, item in zip(parents, column, strict=True):
            if item is not None:
                outer[parent] = item
        yield name, outer


def _members(structs: list[Any], attribute: str) -> list[Any]:
    read = attrgetter(attribute)
    if None in structs:
        return [None if struct is None else read(struct) for struct in structs]
    return list(map(read, structs))


def _record_text(record: Record, learnt: Learnt) -> _Inside:
    """Return what writes the text of what is learnt of a record's object."""
    fields = {field.key: field.type for field in record.fields}
    parts = [
        *((key, attrgetter(f"u{number}"), _raw_text) for number, key in enumerate(learnt.types)),
        *(
            (key, attrgetter(f"i{number}"), _inner_text(fields[key], inside))
            for number, (key, inside) in enumerate(learnt.inside.items())
        ),
    ]
    members = [(f"{write_key(key)}:", read, write) for key, read, write in sorted(parts, key=_key)]
    if len(members) == 1:
        ((label, read, write),) = members

        def one(struct: Any) -> str:
            value = read(struct)
            text = "" if value is None else write(value)
            return f"{{{label}{text}}}" if text else ""

        return one

    def several(struct: Any) -> str:
        found = (
            (label, value, write)
            for label, read, write in members
            if (value := read(struct)) is not None
        )
        pairs = [label + text for label, value, write in found if (text := write(value))]
        return f"{{{','.join(pairs)}}}" if pairs else ""

    return several


def _key(part: tuple[str, Any, Any]) -> str:
    return part[0]


def _raw_text(value: msgspec.Raw) -> str:
    return bytes(value).decode()


def _inner_text(schema_type: Type, learnt: Learnt) -> _Inside:
    if isinstance(schema_type, Record):
        return _record_text(schema_type, learnt)
    inside = _inner_text(cast("Array", schema_type).item.type, learnt)
    return lambda items: items_text("" if item is None else inside(item) for item in items)


def _struct(record: Record, learnt: Learnt) -> Any:
    """Make the struct of the learnt members: u0, … the record's own, i0, … those around others."""
    members: list[Any] = [(f"u{number}", msgspec.Raw, None) for number in range(len(learnt.types))]
    rename = {f"u{number}": key for number, key in enumerate(learnt.types)}
    fields = {field.key: field for field in record.fields}
    for number, (key, inside) in enumerate(learnt.inside.items()):
        members.append((f"i{number}", _struct_type(fields[key].type, inside), None))
        rename[f"i{number}"] = key
    return msgspec.defstruct("Unknown", members, rename=rename, gc=False)


def _struct_type(schema_type: Type, learnt: Learnt) -> Any:
    if isinstance(schema_type, Array):
        return list[_struct_type(schema_type.item.type, learnt)] | None  # type: ignore[misc]  # made at run time
    return _struct(cast("Record", schema_type), learnt) | None
