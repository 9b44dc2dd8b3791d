"""Avro schemas (.avsc) to the types of `pipeline.core.schema.types`.

Plan. fastavro judges the schema as Avro. This module judges what fastavro accepts and we do not
(names, unions, recursion), and what is ours (logical types, rules, `jsonName`, `epoch`). It goes
first, as it names the field that is wrong; fastavro sees only schemas that passed. The parser is
one recursive descent over the schema's JSON:

    record -> field -> nullable -> type -> record | array | map | a scalar of `logical_types`

and carries three things down: the path of the field, for messages; the `_Scope`, that is the
namespace, the named types around (one inside itself is recursion, which no table can hold) and the
depth; and `epoch`, which may be beside a field's name or inside its type. A named type is noted
before its inside is read and may be used by name from then on, wherever in the file; it is read
again at every use, in the namespace it was defined in.

Plain JSON is what documents hold, so defaults are turned from Avro's encoding into what a document
would hold (`defaults`). fastavro sees the schema without them, and `dataset` checks them as
documents' values. Numbers are read as text (`read_exactly`), so that no limit is rounded.

Example. Of the field

    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
     "epoch": "seconds", "default": null, "jsonName": "@at"}

`read_field` checks the name, takes "@at" as the key, and gives the union and "seconds" to
`read_nullable`, which removes null and gives the object to `read_type`. This looks up ("long",
"timestamp-millis", "seconds") in the table of logical types and returns the scalar
`epoch seconds`: JSON float, Arrow timestamp[us, UTC]. The default null of a nullable field is no
default, and so the field is `Field(scalar, nullable=True, name="at", key="@at")`.
"""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

import fastavro
import msgspec
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import deeper_than, is_text, read_exactly, write_exactly
from pipeline.core.member_path import NO_KEY, PATH_EXAMPLE, Path, read_path
from pipeline.core.schema.attributes import (
    UnusableAttribute,
    check_field_attributes,
    check_type_attributes,
)
from pipeline.core.schema.defaults import UnusableDefault, as_document
from pipeline.core.schema.logical_types import (
    JSON,
    PRIMITIVES,
    UnusableType,
    accepts_epoch,
    check_unknown_logical_type,
    find_definition,
)
from pipeline.core.schema.readings import (
    EMPTY_TEXT,
    JSON_BELONGS,
    UnusableReading,
    accepted,
    check_json,
    check_none,
    is_json,
    readings_in,
    with_readings,
)
from pipeline.core.schema.rule_table import UnusableRule, read_rules
from pipeline.core.schema.types import (
    NO_DEFAULT,
    Field,
    FieldType,
    Record,
    Scalar,
    Type,
    array_of,
    map_of,
    record_of,
)
from pipeline.core.schema.unions import read_union

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_NAMED = frozenset({"record", "enum", "fixed"})
_DEEPEST = 64  # types inside each other,
_DEEPEST_TEXT = 4 * _DEEPEST + 16  # of which a nullable record takes four brackets


def read_schema(
    text: str, file: str, *, rejects_unknown_fields: bool
) -> tuple[Record, str, tuple[str, ...]]:
    """Read one .avsc: its record type, the SHA-256 fingerprint of its canonical form, and remarks.

    A remark is a sentence on what the schema says and we do not heed, though Avro lets us.
    Raises `DatasetError` naming file and field.
    """
    schema = _read_json(text, file)
    try:
        plain = json.loads(write_exactly(_without_defaults(schema)))
        # First, because its errors name the field.
        parser = _Parser(file, rejects_unknown_fields=rejects_unknown_fields)
        record = parser.read_file_record(schema)
        fastavro.parse_schema(copy.deepcopy(plain))
        canonical = str(fingerprint(to_parsing_canonical_form(plain), "SHA-256"))
        return record, canonical, tuple(dict.fromkeys(parser.remarks))
    except SchemaParseException as error:
        message = f"{file} is not an Avro schema: {error}."
    except UnicodeEncodeError:
        message = f"{file} is not an Avro schema: it holds half of a surrogate pair."
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # A part of another JSON type than Avro's, or of a name that is unknown.
        message = f"{file} is not an Avro schema: it lacks or misuses {error}."
    raise DatasetError(message)


def _read_json(text: str, file: str) -> dict[str, Any]:
    if deeper_than(text.encode(), _DEEPEST_TEXT):
        message = f"{file} is nested too deeply: at most {_DEEPEST} types inside each other."
        raise DatasetError(message)
    try:
        schema = read_exactly(text.encode())
    except json.JSONDecodeError as error:
        message = f"{file} is not JSON: {error}."
        raise DatasetError(message) from None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        message = f'{file} must be an Avro record: an object with "type": "record".'
        raise DatasetError(message)
    return schema


def _without_defaults(schema: Any) -> Any:
    """Copy a schema without defaults: ours are JSON as in documents, not Avro's encoding."""
    if isinstance(schema, dict):
        return {key: _without_defaults(part) for key, part in schema.items() if key != "default"}
    if isinstance(schema, list):
        return [_without_defaults(part) for part in schema]
    return schema


class _Scope(msgspec.Struct, frozen=True):
    """What is around a type: a namespace, the full names of its records, and how deep it is."""

    namespace: str = ""
    open: tuple[str, ...] = ()
    depth: int = 0

    def full(self, name: str) -> str:
        """Return the full name of a name; one with dots is full already."""
        return f"{self.namespace}.{name}" if self.namespace and "." not in name else name


class _NamedTypes:
    """The named types of one file, as far as it has been read."""

    def __init__(self) -> None:
        # By full name: the schema, and the namespace around it.
        self._schemas: dict[str, tuple[dict[str, Any], str]] = {}

    def define(self, schema: dict[str, Any], scope: _Scope) -> _Scope:
        """Note a named type; return the scope of what is inside it. Raises `UnusableType`."""
        name, namespace = schema.get("name"), schema.get("namespace", scope.namespace)
        if not is_text(name) or not _FULL_NAME.fullmatch(name):
            raise UnusableType(
                "a type's name is letters, digits and _; a full name has dots. Documents do not "
                "hold it: write another, as Outer_Inner for Java's Outer$Inner."
            )
        if not is_text(namespace) or not (namespace == "" or _FULL_NAME.fullmatch(namespace)):
            raise UnusableType("a namespace is names of letters, digits and _ between dots.")
        full = msgspec.structs.replace(scope, namespace=namespace).full(name)
        self._schemas[full] = schema, scope.namespace
        return msgspec.structs.replace(
            scope, namespace=full.rpartition(".")[0], open=(*scope.open, full)
        )

    def look_up(self, name: str, scope: _Scope) -> tuple[dict[str, Any], _Scope]:
        """Return a type by its name, and the scope to read it in. Raises `UnusableType`."""
        if name in PRIMITIVES:
            return {"type": name}, scope
        if name == "null":
            raise UnusableType("a column of nulls alone says nothing; give it a type, or no field.")
        full = scope.full(name)
        if full in scope.open:
            raise UnusableType(f"type {full} contains itself; recursion is not supported.")
        if full not in self._schemas:
            raise UnusableType(f"type {full!r} is not supported, and not defined before.")
        schema, namespace = self._schemas[full]
        return schema, msgspec.structs.replace(scope, namespace=namespace)


class _Parser:
    """Reads the types of one file. `path` is the dotted path of the field being read."""

    def __init__(self, file: str, *, rejects_unknown_fields: bool) -> None:
        self.file = file
        self.rejects_unknown_fields = rejects_unknown_fields
        self.named = _NamedTypes()
        self.remarks: list[str] = []

    def error(self, path: str, why: object) -> DatasetError:
        location = f"{self.file}, field {path}" if path else self.file
        return DatasetError(f"{location}: {why}")

    def read_file_record(self, schema: dict[str, Any]) -> Record:
        """Read the file's own record."""
        try:
            check_type_attributes(schema, of_field=False)
            scope = self.enter(schema, "", _Scope())
        except (UnusableType, UnusableAttribute) as error:
            raise self.error("", error) from None
        return self.read_record(schema, "", scope)

    def read_record(self, schema: Mapping[str, Any], path: str, scope: _Scope) -> Record:
        entries = schema.get("fields")
        if not isinstance(entries, list) or not entries:
            raise self.error(path, "a record needs at least one field; Parquet has no empty ones.")
        fields = tuple(self.read_field(entry, path, scope) for entry in entries)
        names = [field.name.lower() for field in fields]
        self.check_distinct(names, path, "names that differ in case alone")
        keys = [key for field in fields if not field.above for key in field.keys]
        self.check_distinct(keys, path, "fields of the same JSON key, or alias,")
        return record_of(fields, rejects_unknown_fields=self.rejects_unknown_fields)

    def check_distinct(self, names: list[str], path: str, which: str) -> None:
        for name in names:
            if names.count(name) > 1:
                raise self.error(path, f"{which} (or are equal) clash: {name!r} is there twice.")

    def read_field(self, entry: Mapping[str, Any], above: str, scope: _Scope) -> Field:
        name = entry.get("name")
        path = f"{above}.{name}" if above else str(name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self.error(
                path, 'a field\'s name is letters, digits and _; give another key by "jsonName".'
            )
        *outer, key = self.read_path(entry, name, path, above)
        aliases = self.read_aliases(entry.get("aliases", []), key, path)
        schema = self.get(entry, "type", path)
        try:
            check_field_attributes(entry)
        except UnusableAttribute as error:
            raise self.error(path, error) from None
        beside = readings_in(entry, {})
        field_type, nullable = self.read_nullable(schema, path, scope, beside)
        default = self.read_default(entry, field_type, path, nullable=nullable)
        empty = self.reads_empty(
            beside, schema, path, optional=nullable or default is not NO_DEFAULT
        )
        try:
            rules = read_rules(entry, field_type)
        except UnusableRule as error:
            raise self.error(path, error) from None
        return Field(
            field_type,
            nullable,
            default,
            name,
            key,
            rules,
            aliases,
            tuple(outer),
            empty_is_null=empty,
        )

    def read_path(self, entry: Mapping[str, Any], name: str, path: str, above: str) -> Path:
        """Read the keys that lead to a field's value: most often one, its name."""
        if "path" not in entry:
            return (self.read_key(entry.get("jsonName", name), '"jsonName"', path),)
        if above:
            raise self.error(
                path, '"path" is for fields of the outermost record; give one there, or "jsonName".'
            )
        if "jsonName" in entry:
            raise self.error(path, 'it has "path" and "jsonName"; the path says its key, too.')
        keys = read_path(entry["path"])
        if not keys:
            raise self.error(path, f'"path" is a path {PATH_EXAMPLE}, without arrays.')
        return keys

    def read_key(self, key: Any, which: str, path: str) -> str:
        """Check a key of a document's object."""
        if not is_text(key):
            raise self.error(path, f"{which} must be a string.")
        if NO_KEY.search(key):
            raise self.error(path, f"{which} must have no quote, backslash or control character.")
        return key

    def read_aliases(self, given: Any, key: str, path: str) -> tuple[str, ...]:
        """Read the other keys that a field's value may be under; its own key is not one."""
        if not isinstance(given, list):
            raise self.error(path, '"aliases" must be a list of strings.')
        read = [self.read_key(alias, 'each of its "aliases"', path) for alias in given]
        return tuple(dict.fromkeys(alias for alias in read if alias != key))

    def read_item(self, schema: Any, path: str, scope: _Scope) -> FieldType:
        """Read the type of an array's items, or of a map's values."""
        inner, nullable = self.read_nullable(schema, path, scope, {})
        empty = self.reads_empty({}, schema, path, optional=nullable)
        return FieldType(inner, nullable, empty_is_null=empty)

    def read_nullable(
        self, schema: Any, path: str, scope: _Scope, beside: Mapping[str, Any]
    ) -> tuple[Type, bool]:
        """Read a type, or a union of null and one type; `beside` is beside the field's name."""
        if self.reads_json(schema, path, beside):
            return self.read_json(schema, path, scope)
        if not isinstance(schema, list):
            return self.read_type(schema, path, scope, beside), False
        try:
            branch, nullable = read_union(schema)
        except UnusableType as error:
            raise self.error(path, error) from None
        return self.read_type(branch, path, scope, beside), nullable

    def reads_json(self, schema: Any, path: str, beside: Mapping[str, Any]) -> bool:
        """Whether any value is read as its JSON text."""
        try:
            attributes = _attributes_of(schema, beside)
            if not is_json(attributes):
                return False
            check_json(attributes)
        except UnusableReading as error:
            raise self.error(path, error) from None
        return True

    def read_json(self, schema: Any, path: str, scope: _Scope) -> tuple[Type, bool]:
        """Read what `"json": true` makes: text that may be null if one of its types is null."""
        branches = schema if isinstance(schema, list) else [schema]
        others = [branch for branch in branches if branch != "null"]
        kinds = [branch["type"] if isinstance(branch, dict) else branch for branch in others]
        logical = any(isinstance(branch, dict) and "logicalType" in branch for branch in others)
        if not kinds or (len(kinds) == 1 and (kinds != ["string"] or logical)):
            raise self.error(path, JSON_BELONGS)
        try:
            self.note_names(others, scope)
        except UnusableType as error:
            raise self.error(path, error) from None
        return JSON, len(others) < len(branches)

    def note_names(self, schema: Any, scope: _Scope) -> None:
        """Note the named types in a schema that is not read, as others may use their names."""
        if isinstance(schema, list):
            for branch in schema:
                self.note_names(branch, scope)
        elif isinstance(schema, dict):
            inside = self.named.define(schema, scope) if schema.get("type") in _NAMED else scope
            for part in ("items", "values", "fields"):
                self.note_names(schema.get(part), inside)
            if isinstance(schema.get("type"), dict | list):
                self.note_names(schema["type"], inside)

    def reads_empty(
        self, beside: Mapping[str, Any], schema: Any, path: str, *, optional: bool
    ) -> bool:
        """Whether the empty string is read as null."""
        try:
            empty = EMPTY_TEXT in accepted(_attributes_of(schema, beside))
        except UnusableReading as error:
            raise self.error(path, error) from None
        if empty and not optional:
            raise self.error(
                path, f'"accept": "{EMPTY_TEXT}" reads "" as null, and this may not be null.'
            )
        return empty

    def read_type(self, schema: Any, path: str, scope: _Scope, beside: Mapping[str, Any]) -> Type:
        try:
            if isinstance(schema, str):
                schema, scope = self.named.look_up(schema, scope)
            if not isinstance(schema, dict):
                raise self.error(path, "a type is a name or an object.")
            check_type_attributes(schema, of_field=not path.endswith(("[]", "{}")))
            attributes = readings_in(beside, schema)
            kind = self.get(schema, "type", path)
            if isinstance(kind, dict | list):
                raise self.error(path, "a type inside a type object; write the inner one alone.")
            inside = self.enter(schema, path, scope)
            if kind in PRIMITIVES:
                return with_readings(
                    self.read_scalar(kind, schema, path, attributes.get("epoch")), attributes
                )
            return self.read_nested(kind, schema, path, inside, attributes)
        except (UnusableType, UnusableAttribute, UnusableReading) as error:
            raise self.error(path, error) from None

    def read_nested(
        self,
        kind: Any,
        schema: dict[str, Any],
        path: str,
        scope: _Scope,
        attributes: Mapping[str, Any],
    ) -> Type:
        if kind not in {"record", "array", "map"}:
            self.named.look_up(str(kind), scope)
            raise self.error(path, f"type {kind!r} inside a type object; write its name alone.")
        if attributes.get("epoch") is not None:
            raise self.error(path, _NO_EPOCH)
        check_none(attributes)
        self.remark_logical_type(kind, schema.get("logicalType"), path)
        if kind == "record":
            return self.read_record(schema, path, scope)
        if kind == "array":
            return array_of(self.read_item(self.get(schema, "items", path), f"{path}[]", scope))
        return map_of(self.read_item(self.get(schema, "values", path), f"{path}{{}}", scope))

    def read_scalar(self, kind: str, schema: dict[str, Any], path: str, epoch: Any) -> Scalar:
        logical = schema.get("logicalType")
        definition = find_definition(kind, logical, epoch) if is_text(logical) else None
        if definition is not None:
            return definition.make(schema)
        known = find_definition(kind, logical, None) if is_text(logical) else None
        if logical is None or known is not None:
            definition = find_definition(kind, None, epoch)
            if logical is None and definition is not None:
                return definition.make(schema)
            raise self.error(path, _WHICH_EPOCH if accepts_epoch(kind, logical) else _NO_EPOCH)
        self.remark_logical_type(kind, logical, path)
        return self.read_scalar(kind, {**schema, "logicalType": None}, path, epoch)

    def remark_logical_type(self, kind: str, logical: Any, path: str) -> None:
        """Remark on a logical type that nobody knows, which Avro wants to be ignored."""
        if logical is None:
            return
        if not is_text(logical):
            raise self.error(path, '"logicalType" must be a string.')
        check_unknown_logical_type(kind, logical)
        self.remarks.append(
            f"{self.file}, field {path}: there is no logical type {logical!r}; it is read as the "
            f"{kind} that it is beneath."
        )

    def get(self, schema: Mapping[str, Any], key: str, path: str) -> Any:
        if key not in schema:
            raise self.error(path, f'it lacks "{key}".')
        return schema[key]

    def enter(self, schema: dict[str, Any], path: str, scope: _Scope) -> _Scope:
        """Note a type by its full name, if it has one; return the scope of what is inside it."""
        if scope.depth == _DEEPEST:
            raise self.error(path, f"more than {_DEEPEST} types inside each other.")
        inside = msgspec.structs.replace(scope, depth=scope.depth + 1)
        return self.named.define(schema, inside) if schema["type"] in _NAMED else inside

    def read_default(
        self, entry: Mapping[str, Any], field_type: Type, path: str, *, nullable: bool
    ) -> Any:
        """Read a field's default as a document's value would be read."""
        value = entry.get("default", NO_DEFAULT)
        if value is NO_DEFAULT or (value is None and nullable):
            return NO_DEFAULT
        if value is None:  # which the JSON type of a decimal would accept as it is
            raise self.error(path, "its default is null, but the field is not nullable.")
        try:
            text = write_exactly(as_document(value, field_type))
            default = msgspec.json.decode(text, type=field_type.json_type)
        except msgspec.DecodeError as error:
            raise self.error(path, f"its default does not fit its type: {error}.") from None
        except UnusableDefault as error:
            raise self.error(path, f"its default does not fit its type: {error}") from None
        if (
            isinstance(field_type, Scalar)
            and field_type.symbols
            and value not in field_type.symbols
        ):
            raise self.error(path, "its default is not one of its symbols.")
        return default


def _attributes_of(schema: Any, beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes beside a field's name and inside its type, also inside a union."""
    attributes = dict(beside)
    for branch in schema if isinstance(schema, list) else [schema]:
        if isinstance(branch, dict):
            attributes = readings_in(attributes, branch)
    return attributes


_NO_EPOCH = '"epoch" belongs on dates and timestamps alone.'
_WHICH_EPOCH = (
    '"epoch" is "days" on a date, and "seconds", "millis", "micros" or "nanos" on a timestamp.'
)
