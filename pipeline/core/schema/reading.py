"""What documents are read as, where fields of a schema read members within others.

`"path": "$.metadata.table-name"` makes a column of a member that lies deeper. Documents are read as
a record that has an object for each level of these paths, and what was read becomes the columns of
the schema. So everything that holds for records holds for them: what is unknown, or wrong, is found
at its place in the document.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.member_path import Path, written
from pipeline.core.schema.types import NO_DEFAULT, Field, Record, record_of

_Node: TypeAlias = "dict[str, Field | _Node]"


class UnusablePath(ValueError):
    """A field's path that leads through what another field reads, and why that cannot be."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


class Reading(msgspec.Struct, frozen=True):
    """The record that documents are read as, and for each column of the table its place in it.

    Without places, the columns are those of the record.
    """

    record: Record
    places: tuple[tuple[int, ...], ...] = ()

    def columns_of(self, read: Sequence[pa.Array]) -> Sequence[pa.Array]:
        """Return the table's columns of those that were read."""
        if not self.places:
            return read
        columns = []
        for first, *inner in self.places:
            column = read[first]
            for number in inner:
                column = pc.struct_field(column, number)
            columns.append(column)
        return columns


def reading_of(record: Record) -> Reading:
    """Return what the documents of a schema's record are read as. Raises `UnusablePath`."""
    if not any(field.above for field in record.fields):
        return Reading(record)
    top: _Node = {}
    for field in record.fields:
        _put(top, field)
    _check_aliases(top, ())
    places: dict[str, tuple[int, ...]] = {}
    fields = _fields(top, (), (), places, rejects=record.rejects_unknown_fields)
    read = record_of(fields, rejects_unknown_fields=record.rejects_unknown_fields)
    return Reading(read, tuple(places[field.name] for field in record.fields))


def is_made(field: Field) -> bool:
    """Tell whether a field is an object that paths lead through; no schema has such a name."""
    return field.name.startswith("$")


def _put(top: _Node, field: Field) -> None:
    node = top
    for depth, key in enumerate(field.above, 1):
        inner = node.setdefault(key, {})
        if isinstance(inner, Field):
            raise _read_whole(field, inner, field.above[:depth])
        node = inner
    there = node.get(field.key)
    if isinstance(there, dict):
        through = _fields_in(there)[0]
        raise _read_whole(through, field, (*field.above, field.key))
    if there is not None:
        where = written((*field.above, field.key))
        raise UnusablePath(field.name, f"{where} is read by field {there.name} already.")
    node[field.key] = field


def _read_whole(field: Field, other: Field, path: Path) -> UnusablePath:
    return UnusablePath(
        field.name,
        f"its path leads through {written(path)}, which field {other.name} reads as a whole; "
        "make fields of what is in it, or leave that one out.",
    )


def _fields_in(node: _Node) -> list[Field]:
    found = list[Field]()
    for inner in node.values():
        found += [inner] if isinstance(inner, Field) else _fields_in(inner)
    return found


def _check_aliases(node: _Node, above: Path) -> None:
    """Refuse an alias that is the key of another member."""
    for inner in node.values():
        if isinstance(inner, dict):
            continue
        for alias in inner.aliases:
            others = [other for key, other in node.items() if other is not inner and key == alias]
            if others:
                where = written((*above, alias))
                raise UnusablePath(inner.name, f"its alias {where} is read by others already.")
    for key, inner in node.items():
        if isinstance(inner, dict):
            _check_aliases(inner, (*above, key))


def _fields(
    node: _Node,
    above: Path,
    place: tuple[int, ...],
    places: dict[str, tuple[int, ...]],
    *,
    rejects: bool,
) -> tuple[Field, ...]:
    """Return the fields of a level, and note the places of those that are columns."""
    fields = list[Field]()
    for number, (key, inner) in enumerate(node.items()):
        here = (*place, number)
        if isinstance(inner, Field):
            places[inner.name] = here
            fields.append(msgspec.structs.replace(inner, above=()))
            continue
        within = _fields(inner, (*above, key), here, places, rejects=rejects)
        fields.append(_object(key, written((*above, key)), within, rejects=rejects))
    return tuple(fields)


def _object(key: str, name: str, fields: tuple[Field, ...], *, rejects: bool) -> Field:
    """Return the field of an object that paths lead through.

    Where it is absent, so is all that is in it: it has to be there if something in it has to, and
    what has a default gets that.
    """
    record = record_of(fields, rejects_unknown_fields=rejects)
    if not all(field.optional for field in fields):
        return Field(record, name=name, key=key)
    if all(field.default is NO_DEFAULT for field in fields):
        return Field(record, nullable=True, name=name, key=key)
    return Field(record, default=record.json_type(), name=name, key=key)
