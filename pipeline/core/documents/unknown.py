"""Members that no field reads: which they are, and what is kept of them.

Every member of a document is the value of a column, or is kept in `_rest`, or is counted by name.
`Walk` is the definition: one document beside its schema, by the text of its members. A repeated key
is one member, the last one. A closed decoder finds out, at the decoder's speed, that there is
nothing to walk for.

A path names a member as all documents have it: `$.lines[].sku` in any item of an array,
`$.labels{}.sku` in any value of a map. What is inside an unknown member has no name of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.jsontext import WHITESPACE
from pipeline.core.records import UnknownMembers
from pipeline.core.schema.types import (
    Array,
    Field,
    FieldType,
    LogicalType,
    Map,
    Record,
    Scalar,
    Type,
    array_of,
    map_of,
    record_of,
)

_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
_arrays = msgspec.json.Decoder(list[msgspec.Raw])
_write = msgspec.json.encode
# A member of any kind: its text is taken, and nothing is asked of it.
_ANYTHING = Scalar(LogicalType.STRING, "anything", "string", msgspec.Raw, pa.null(), pa.null())

Raw = bytes | msgspec.Raw
Paths = dict[str, str | None]
"""Unknown members, each with the path of the field that it is but for the case of its letters."""
Inside = Callable[[Raw, Paths], str]
"""Adds the unknown members inside a value, and returns their text; "" for none."""


class Walk:
    """Walks documents of one record type; `beside` are the keys that something else reads.

    Without `keeps`, the text of what is left is not made.
    """

    def __init__(self, record: Record, beside: frozenset[str], *, keeps: bool) -> None:
        self._keeps = keeps
        self._inside = self._record(record, "$", beside)

    def note(self, document: bytes, index: int, unknown: UnknownMembers) -> None:
        """Note what is unknown in the document of this index, which its schema accepts."""
        paths: Paths = {}
        rest = self._inside(document, paths)
        if paths:
            unknown.add(index, paths, rest if self._keeps else None)

    def _record(self, record: Record, path: str, beside: frozenset[str] = frozenset()) -> Inside:
        known = beside | {key for field in record.fields for key in field.keys}
        aliased = [field.keys for field in record.fields if field.aliases]
        meant = other_cases(record)
        children = self._children(record, path)

        def inside(value: Raw, paths: Paths) -> str:
            members = members_in(value)
            if not members:  # of a million empty objects, nothing is asked
                return ""
            rest: dict[str, str] = {}
            # Of several keys of one field, the first is read, and no other.
            shadowed = {
                key for keys in aliased for key in [key for key in keys if key in members][1:]
            }
            for key in members.keys() - known | shadowed:
                field = None if key in known else meant.get(key.casefold())
                paths[path + path_segment(key)] = field and path + path_segment(field)
                if self._keeps:
                    rest[key] = bytes(members[key]).decode()
            for key, child in children.items():
                if key in members and key not in shadowed:
                    text = child(members[key], paths)
                    if text:
                        rest[key] = text
            return object_text(rest) if rest else ""

        return inside

    def _children(self, record: Record, path: str) -> dict[str, Inside]:
        """Return what walks into the fields that have a record in them."""
        found = {}
        for field in record.fields:
            for key in field.keys:
                child = self._child(field.type, path + path_segment(key))
                if child is not None:
                    found[key] = child
        return found

    def _child(self, schema_type: Type, path: str) -> Inside | None:
        match schema_type:
            case Record():
                return self._record(schema_type, path)
            case Array(item=inner):
                return self._items(self._child(inner.type, f"{path}[]"))
            case Map(value=inner):
                return self._values(self._child(inner.type, f"{path}{{}}"))
            case _:
                return None

    def _items(self, child: Inside | None) -> Inside | None:
        if child is None:
            return None

        def inside(value: Raw, paths: Paths) -> str:
            return items_text(child(item, paths) for item in items_in(value))

        return inside

    def _values(self, child: Inside | None) -> Inside | None:
        if child is None:
            return None

        def inside(value: Raw, paths: Paths) -> str:
            members = members_in(value)
            return object_text({key: child(member, paths) for key, member in members.items()})

        return inside


def members_in(value: Raw) -> dict[str, msgspec.Raw]:
    """Return the members of an object, and none of a value of another kind.

    A field may read such a value, too: the empty text as null, for one.
    """
    text = bytes(value)
    return _objects.decode(text) if text.lstrip(WHITESPACE)[:1] == b"{" else {}


def items_in(value: Raw) -> list[msgspec.Raw]:
    """Return the items of an array, and none of a value of another kind."""
    text = bytes(value)
    return _arrays.decode(text) if text.lstrip(WHITESPACE)[:1] == b"[" else []


def other_cases(record: Record) -> dict[str, str]:
    """Return the keys of a record's fields by what they are in any case of their letters."""
    return {key.casefold(): key for field in record.fields for key in field.keys}


def write_key(key: str) -> str:
    """Write a key as a JSON string."""
    return _write(key).decode()


def object_text(rest: Mapping[str, str]) -> str:
    """Write members as one JSON object, sorted by key; "" where none is left."""
    pairs = [f"{write_key(key)}:{text}" for key, text in sorted(rest.items()) if text]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def items_text(items: Iterator[str]) -> str:
    """Write what is left of an array's items as an object, by their index in the array."""
    pairs = [f'"{index}":{text}' for index, text in enumerate(items) if text]
    return f"{{{','.join(pairs)}}}" if pairs else ""


Note = Callable[[Sequence[bytes], Sequence[int], UnknownMembers], None]
"""Notes what is unknown in the documents of some indices."""


class Census:
    """How the unknown members of a dataset's documents are found.

    `beside` has the keys that something else than a field reads, at the top of the document, and
    what Arrow's reader is to read them as.
    """

    def __init__(self, record: Record, beside: Mapping[str, pa.DataType], *, keeps: bool) -> None:
        self.record = record
        self.beside = beside
        self.keeps = keeps
        self.walk = Walk(record, frozenset(beside), keeps=keeps)

    @cached_property
    def closed(self) -> msgspec.json.Decoder[Any]:
        """A decoder that reads as the record's own does, and refuses unknown members."""
        return self._closed_decoder([_closed_field(field) for field in self.record.fields])

    @cached_property
    def closed_by_key(self) -> Callable[[frozenset[str]], msgspec.json.Decoder[Any]]:
        """Return such decoders that read only the fields of some names, which come first.

        Of the others the values are not read, only the keys.
        """
        return lru_cache(maxsize=1)(self._closed_by_key)

    def note_all(
        self, documents: Sequence[bytes], indices: Iterable[int], unknown: UnknownMembers
    ) -> None:
        """Walk the documents of these indices."""
        for index in indices:
            self.walk.note(documents[index], index, unknown)

    def note_of(self, suspects: Iterable[int]) -> Note:
        """Return what walks these documents, but no others."""
        suspected = set(suspects)

        def note(
            documents: Sequence[bytes], indices: Sequence[int], unknown: UnknownMembers
        ) -> None:
            self.note_all(documents, filter(suspected.__contains__, indices), unknown)

        return note

    def _closed_by_key(self, names: frozenset[str]) -> msgspec.json.Decoder[Any]:
        fields = self.record.fields
        return self._closed_decoder(
            [
                *(_closed_field(field) for field in fields if field.name in names),
                *(_closed_field(field, reads=False) for field in fields if field.name not in names),
            ]
        )

    def _closed_decoder(self, fields: list[Field]) -> msgspec.json.Decoder[Any]:
        beside = [Field(_ANYTHING, nullable=True, key=key) for key in self.beside]
        closed = record_of((*fields, *beside), rejects_unknown_fields=True)
        return msgspec.json.Decoder(closed.json_type)


def _closed_field(field: Field, *, reads: bool = True) -> Field:
    closed = _closed(field.type, reads=reads)
    if reads:
        return msgspec.structs.replace(field, type=closed)
    return Field(closed, nullable=True, name=field.name, key=field.key)


def _closed(schema_type: Type, *, reads: bool) -> Type:
    match schema_type:
        case Record():
            fields = tuple(_closed_field(field, reads=reads) for field in schema_type.fields)
            return record_of(fields, rejects_unknown_fields=True)
        case Array(item=inner) if reads or _has_record(inner.type):
            return array_of(_closed_item(inner, reads=reads))
        case Map(value=inner) if reads or _has_record(inner.type):
            return map_of(_closed_item(inner, reads=reads))
        case _:
            return schema_type if reads else _ANYTHING


def _closed_item(item: FieldType, *, reads: bool) -> FieldType:
    return FieldType(_closed(item.type, reads=reads), item.nullable or not reads)


def _has_record(schema_type: Type) -> bool:
    match schema_type:
        case Record():
            return True
        case Array(item=inner) | Map(value=inner):
            return _has_record(inner.type)
        case _:
            return False
