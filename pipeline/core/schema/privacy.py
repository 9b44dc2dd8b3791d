"""Private fields: how a schema marks them, what is stored of them, and how they are recognised.

A field is private by `"privacy"` beside its name; then so is all that is inside of it. What a table
has of it is fixed by the schema: no column (`drop`), or a column of text (`mask`, `hash`).

Wherever there is no schema to go by, in dead letters and in `_rest`, a member is recognised by its
key alone: at any depth, in any case of its letters, however its words are joined. So a member that
is one level too deep, or is `E-Mail` where the schema says `email`, is protected, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from unicodedata import normalize

import msgspec
import pyarrow as pa

from pipeline.core.schema.types import (
    Array,
    Field,
    FieldType,
    LogicalType,
    Map,
    Privacy,
    Record,
    Scalar,
    Type,
    array_of,
    map_of,
    record_of,
)

MASK = "***"
"""What stands where a private value is not shown."""

TOKEN_LENGTH = 64
"""Characters of a token: the hexadecimal digits of HMAC-SHA-256."""

_STORED = {
    Privacy.MASK: Scalar(LogicalType.STRING, "mask", "string", str, pa.string(), pa.string()),
    Privacy.HASH: Scalar(LogicalType.STRING, "token", "string", str, pa.string(), pa.string()),
}


class UnusablePrivacy(Exception):
    """A field cannot be private as its schema says; the message says why."""


def read_privacy(entry: Mapping[str, Any]) -> Privacy | None:
    """Read the attribute beside a field's name. Raises `UnusablePrivacy`."""
    if "privacy" not in entry:
        return None
    given = entry["privacy"]
    if not isinstance(given, str) or given not in set(Privacy):
        raise UnusablePrivacy(
            '"privacy" is "drop" (no column), "mask" (a column that says only whether there was a '
            'value) or "hash" (a column of tokens, the same for the same value).'
        )
    return Privacy(given)


class PrivateFields(msgspec.Struct, frozen=True):
    """The private fields of a dataset.

    `names` are the plain forms of their keys, names and aliases, and of those of all fields inside
    of them. `hashed` has the fields whose tokens dead letters show, by plain form; `known` has the
    plain forms of all fields, which are what they are, however near to a private one.
    """

    names: frozenset[str]
    hashed: dict[str, tuple[Field, ...]]
    known: frozenset[str] = frozenset()

    def has(self, key: str) -> bool:
        """Whether a member of this key is private, wherever it stands: also one that is misspelt.

        That is one with a letter too many or too few, with another letter, or with two swapped.
        """
        form = plain_form(key)
        if form in self.names:
            return True
        return form not in self.known and len(form) <= _KEPT and _resembles(form, self.names)


def private_fields(record: Record) -> PrivateFields | None:
    """Return the private fields of a record, at any depth; None where it has none."""
    names, hashed = set[str](), dict[str, tuple[Field, ...]]()
    for field in _fields_of(record):
        if field.privacy is None:
            continue
        own = _plain_forms(field)
        names |= own
        for inner in _fields_in(field.type):
            names |= _plain_forms(inner)
        if field.privacy is Privacy.HASH:
            for name in own:
                hashed[name] = (*hashed.get(name, ()), field)
    if not names:
        return None
    return PrivateFields(frozenset(names), hashed, known_names(record))


def known_names(record: Record) -> frozenset[str]:
    """Return the plain forms of the keys and names of all fields of a record, at any depth."""
    return frozenset(name for field in _fields_of(record) for name in _plain_forms(field))


def together(
    own: PrivateFields | None, known: frozenset[str], others: Iterable[PrivateFields]
) -> PrivateFields | None:
    """Return what is private in documents of one dataset, among others of the same stream.

    That is what is private in any of them, except what the dataset knows as a field of its own.
    """
    others = tuple(others)
    names = frozenset[str]().union(*(each.names for each in others)) - known
    hashed = {
        name: fields for each in others for name, fields in each.hashed.items() if name in names
    }
    if own is not None:
        names, hashed = names | own.names, hashed | own.hashed
    return PrivateFields(names, hashed, known) if names else None


def private_paths(record: Record, above: str = "") -> Iterator[tuple[str, Privacy]]:
    """Yield the path of each private field, of names with dots, and how it is private."""
    for field in record.fields:
        if field.privacy is not None:
            yield above + field.name, field.privacy
            continue
        for inner, inside in _records_in(field.type, above + field.name):
            yield from private_paths(inner, f"{inside}.")


def lookalikes(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the paths of fields that are not private, and each the private field of its key."""
    private = {path.rpartition(".")[2]: path for path, _ in private_paths(record)}
    by_form = {plain_form(name): path for name, path in private.items()}
    yield from _lookalikes(record, "", by_form)


def _lookalikes(
    record: Record, above: str, by_form: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for field in record.fields:
        if field.privacy is not None:
            continue
        path = above + field.name
        found = next((by_form[form] for form in _plain_forms(field) if form in by_form), None)
        if found is not None:
            yield path, found
        for inner, inside in _records_in(field.type, path):
            yield from _lookalikes(inner, f"{inside}.", by_form)


def find_private(path: str, record: Record) -> str | None:
    """Return the private field that a dotted path leads into, or is; None for no such field."""
    return next(
        (private for private, _ in private_paths(record) if f"{path}.".startswith(f"{private}.")),
        None,
    )


def _plain_forms(field: Field) -> set[str]:
    return {plain_form(name) for name in (field.name, *field.keys)}


@lru_cache(maxsize=4_096)
def _kept_plain_form(key: str) -> str:
    folded = normalize("NFKC", normalize("NFKC", key).casefold())
    return "".join(filter(str.isalnum, folded)) or folded


_KEPT = 128  # characters; a producer's keys may be as long as documents


def plain_form(key: str) -> str:
    """Return what is left of a key without case, and without what joins words."""
    return _kept_plain_form(key) if len(key) <= _KEPT else _kept_plain_form.__wrapped__(key)


_SHORTEST = 4  # characters of a name; shorter ones are near to too many others


@lru_cache(maxsize=4_096)
def _resembles(form: str, names: frozenset[str]) -> bool:
    """Whether a plain form is one of these names but for one slip of the pen."""
    return any(
        abs(len(form) - len(name)) <= 1 and _is_one_slip(form, name)
        for name in names
        if len(name) >= _SHORTEST
    )


def _is_one_slip(one: str, other: str) -> bool:
    start = next(
        (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None
    )
    if start is None:
        return True  # the one begins as the other, and has at most one letter more
    rest, others = one[start:], other[start:]
    swapped = rest[:2] == others[1::-1] and rest[2:] == others[2:]
    return swapped or rest[1:] == others[1:] or rest[1:] == others or rest == others[1:]


def _fields_of(record: Record) -> Iterator[Field]:
    for field in record.fields:
        yield field
        yield from _fields_in(field.type)


def _fields_in(schema_type: Type) -> Iterator[Field]:
    for record, _ in _records_in(schema_type, ""):
        yield from _fields_of(record)


def _records_in(schema_type: Type, path: str) -> Iterator[tuple[Record, str]]:
    match schema_type:
        case Record():
            yield schema_type, path
        case Array(item=inner):
            yield from _records_in(inner.type, f"{path}[]")
        case Map(value=inner):
            yield from _records_in(inner.type, f"{path}{{}}")
        case _:
            pass


# ------------------------------------------------------------------------------ what is stored


def stored_record(record: Record) -> Record:
    """Return a record as its table has it: the same one, where nothing in it is private.

    Raises `UnusablePrivacy` where nothing would be left of a record.
    """
    if not any(field.privacy for field in _fields_of(record)):
        return record
    fields = tuple(
        stored_field(field) for field in record.fields if field.privacy is not Privacy.DROP
    )
    if not fields:
        raise UnusablePrivacy(
            'of a record, at least one field must not be "drop"; drop the record as a whole.'
        )
    return record_of(fields, rejects_unknown_fields=record.rejects_unknown_fields)


def stored_field(field: Field) -> Field:
    """Return a field, which is not dropped, as its table has it."""
    if field.privacy is None:
        stored = _stored_type(field.type)
        return field if stored is field.type else msgspec.structs.replace(field, type=stored)
    return Field(
        _STORED[field.privacy],
        field.nullable,
        name=field.name,
        key=field.key,
        aliases=field.aliases,
        privacy=field.privacy,
    )


def _stored_type(schema_type: Type) -> Type:
    match schema_type:
        case Record():
            return stored_record(schema_type)
        case Array(item=inner):
            item = _stored_item(inner)
            return schema_type if item is inner else array_of(item)
        case Map(value=inner):
            value = _stored_item(inner)
            return schema_type if value is inner else map_of(value)
        case _:
            return schema_type


def _stored_item(item: FieldType) -> FieldType:
    stored = _stored_type(item.type)
    return item if stored is item.type else msgspec.structs.replace(item, type=stored)


def with_dropped(record: Record, paths: frozenset[str], above: str = "") -> Record:
    """Return a record whose fields of these paths are dropped as well, as far as it has them."""
    fields = tuple(_with_dropped(field, paths, above + field.name) for field in record.fields)
    return record_of(fields, rejects_unknown_fields=record.rejects_unknown_fields)


def _with_dropped(field: Field, paths: frozenset[str], path: str) -> Field:
    if path in paths:
        return msgspec.structs.replace(field, privacy=Privacy.DROP)
    return msgspec.structs.replace(field, type=_type_with_dropped(field.type, paths, path))


def _type_with_dropped(schema_type: Type, paths: frozenset[str], path: str) -> Type:
    match schema_type:
        case Record():
            return with_dropped(schema_type, paths, f"{path}.")
        case Array(item=inner):
            item = _type_with_dropped(inner.type, paths, f"{path}[]")
            return array_of(msgspec.structs.replace(inner, type=item))
        case Map(value=inner):
            value = _type_with_dropped(inner.type, paths, f"{path}{{}}")
            return map_of(msgspec.structs.replace(inner, type=value))
        case _:
            return schema_type
