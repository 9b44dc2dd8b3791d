"""Documents whose keys differ in case from their schema's, rewritten in the schema's spelling.

Only the keys change; the text of every value stays. A key in its exact spelling is read before any
other; of several that are in another case, the last one is. The others are unknown members.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import is_

import msgspec

from pipeline.core.documents.unknown import items_in, members_in, other_cases
from pipeline.core.schema.types import Array, Map, Record, Type

_write = msgspec.json.encode
_UNREADABLE = (msgspec.ValidationError, msgspec.DecodeError, RecursionError)

_Text = bytes | msgspec.Raw
_Fold = Callable[[_Text], _Text]
"""Returns a value with its keys as the schema has them: the same object where nothing changes."""


class Folding:
    """Rewrites documents of one record type."""

    def __init__(self, record: Record) -> None:
        self._fold = _record(record)

    def fold(self, documents: Sequence[bytes]) -> Sequence[bytes]:
        """Return the documents in the schema's spelling; the same list if all of them are."""
        folded = [self._folded(document) for document in documents]
        same = all(map(is_, folded, documents))
        return documents if same else folded

    def _folded(self, document: bytes) -> bytes:
        try:
            return bytes(self._fold(document))
        except _UNREADABLE:
            return document  # which its decoder rejects


def find_clash(record: Record) -> tuple[str, str] | None:
    """Return two keys of one record, at any depth, that differ in case alone."""
    seen: dict[str, str] = {}
    for key in (key for field in record.fields for key in field.keys):
        other = seen.setdefault(key.casefold(), key)
        if other != key:
            return other, key
    inner = map(_record_in, (field.type for field in record.fields))
    return next(filter(None, (find_clash(found) for found in inner if found)), None)


def _record_in(schema_type: Type) -> Record | None:
    """Return the record inside arrays and maps, if there is one."""
    while isinstance(schema_type, Array | Map):
        schema_type = (
            schema_type.item.type if isinstance(schema_type, Array) else schema_type.value.type
        )
    return schema_type if isinstance(schema_type, Record) else None


def _record(record: Record) -> _Fold:
    meant = other_cases(record)
    known = set(meant.values())
    children = {key: _child(field.type) for field in record.fields for key in field.keys}
    inside = {key: child for key, child in children.items() if child is not None}

    def fold(value: _Text) -> _Text:
        members = members_in(value)
        if not members:
            return value
        read: Mapping[str, _Text] = (
            _in_schema_case(members, known, meant) if members.keys() - known else members
        )
        changed = read is not members
        for key, child in inside.items():
            if key in read:
                before = read[key]
                after = child(before)
                if after is not before:
                    read, changed = {**read, key: after}, True
        return _object(read) if changed else value

    return fold


def _in_schema_case(
    members: dict[str, msgspec.Raw], known: set[str], meant: dict[str, str]
) -> dict[str, msgspec.Raw]:
    """Return the members by the keys of the schema that they have in another case."""
    renamed = {}
    for key in members:
        field = meant.get(key.casefold())
        if field is not None and key not in known and field not in members:
            renamed[field] = key  # of several the last
    if not renamed:
        return members
    keys = {key: field for field, key in renamed.items()}
    return {keys.get(key, key): value for key, value in members.items()}


def _child(schema_type: Type) -> _Fold | None:
    match schema_type:
        case Record():
            return _record(schema_type)
        case Array(item=inner):
            child = _child(inner.type)
            return child and _items(child)
        case Map(value=inner):
            child = _child(inner.type)
            return child and _values(child)
        case _:
            return None


def _items(child: _Fold) -> _Fold:
    def fold(value: _Text) -> _Text:
        items = items_in(value)
        folded = [child(item) for item in items]
        if all(map(is_, folded, items)):
            return value
        return b"[%b]" % b",".join(map(bytes, folded))

    return fold


def _values(child: _Fold) -> _Fold:
    def fold(value: _Text) -> _Text:
        members = members_in(value)
        folded = {key: child(member) for key, member in members.items()}
        if all(map(is_, folded.values(), members.values())):
            return value
        return _object(folded)

    return fold


def _object(members: Mapping[str, _Text]) -> bytes:
    pairs = [b"%b:%b" % (_write(key), bytes(value)) for key, value in members.items()]
    return b"{%b}" % b",".join(pairs)
