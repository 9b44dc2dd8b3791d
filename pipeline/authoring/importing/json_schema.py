"""JSON Schema, draft 2020-12, to a dataset: the part that a table can hold.

Objects with properties become records; enums of names, formats, lengths, ranges and patterns are
kept; `$ref` within the file is followed. What may be several things becomes JSON text, and what is
a rule that a dataset does not have is listed.
"""

import json
import math
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.authoring.importing import ANY, Imported, columns_of, entry
from pipeline.authoring.infer.names import is_name, type_name
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.errors import FileError
from pipeline.core.member_path import NO_KEY

_DEEPEST = 32
_FORMATS = {
    "date-time": {"type": "long", "logicalType": "timestamp-micros"},
    "date": {"type": "int", "logicalType": "date"},
    "uuid": {"type": "string", "logicalType": "uuid"},
}
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number"}
_STRING_RULES = ("minLength", "maxLength", "pattern")
_NUMBER_RULES = ("minimum", "maximum")
_SILENT = frozenset({
    "$schema", "$id", "$defs", "definitions", "$comment", "title", "description", "examples",
    "deprecated", "readOnly", "writeOnly", "type", "enum", "const", "properties", "required",
    "items", "$ref", "$anchor",
})  # fmt: skip
"""What is read elsewhere, or says nothing of documents."""
_MOST_REFERENCES = 10_000

Type = dict[str, Any]


def import_json_schema(text: str, name: str, where: str) -> Imported:
    """Read a schema. Raises `FileError` for what is not one of objects with properties."""
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        message = f"{where} is not JSON."
        raise FileError(message) from None
    reader = _Reader(root, Imported(name))
    record = reader.type_of(root, "$", 0) if isinstance(root, dict) else None
    inner = record and record.get("type")
    if not isinstance(inner, dict) or inner.get("type") != "record":
        message = (
            f"{where} does not describe an object by its properties; a dataset's documents are "
            "objects. Give the schema of one document."
        )
        raise FileError(message)
    imported = reader.imported
    imported.fields = inner["fields"]
    imported.doc = str(root.get("description") or root.get("title") or "")
    return imported


class _Reader:
    def __init__(self, root: Any, imported: Imported) -> None:
        self.imported = imported
        self._root = root
        self._taken = set[str]()
        self._references = 0
        self._open = list[str]()

    def type_of(self, schema: Any, path: str, depth: int) -> Type:
        """Return the type of a schema, with the attributes that stand beside a field's name.

        Of what may be null, `null` is among them, and true.
        """
        if depth > _DEEPEST:
            return self._any(path, f"it is deeper than {_DEEPEST} levels: JSON text")
        if schema is True or schema == {}:
            return self._any(path, "it may be anything: JSON text")
        if not isinstance(schema, dict):
            return self._any(path, "nothing is valid there: JSON text")
        if "$ref" in schema:
            return self._reference(schema, path, depth)
        for word in ("anyOf", "oneOf", "allOf"):
            if word in schema:
                return self._combined(word, schema, path, depth)
        return self._plain(schema, path, depth)

    def _any(self, path: str, why: str) -> Type:
        self.imported.leave(path, why)
        return dict(ANY)

    def _reference(self, schema: dict[str, Any], path: str, depth: int) -> Type:
        target = schema["$ref"]
        self._references += 1
        if target in self._open or self._references > _MOST_REFERENCES:
            return self._any(path, "it holds itself, which no table can: JSON text")
        found = _resolved(self._root, target)
        if found is None:
            return self._any(path, f"$ref {target!r} is not in this file: JSON text")
        if not isinstance(found, dict):
            return self.type_of(found, path, depth + 1)
        beside = {word: value for word, value in schema.items() if word != "$ref"}
        self._open.append(target)
        try:
            return self.type_of(found | beside, path, depth + 1)
        finally:
            self._open.pop()

    def _combined(self, word: str, schema: dict[str, Any], path: str, depth: int) -> Type:
        """Read alternatives: of one type, or one and null; and parts that all hold, as one."""
        branches = _list(schema, word)
        beside = {key: value for key, value in schema.items() if key != word}
        if word == "allOf":
            return self._merged(beside, branches, path, depth)
        if _implied(beside) and branches and all(map(_is_only_rules, branches)):
            self.imported.leave(path, f"{word} is not carried over")
            return self.type_of(beside, path, depth + 1)
        others = [branch for branch in branches if not _is_null(branch)]
        if len(others) != 1:
            return self._any(path, f"{word} of several types: JSON text")
        only = others[0]
        found = self.type_of(beside | only if isinstance(only, dict) else only, path, depth + 1)
        return found | ({"null": True} if len(others) < len(branches) else {})

    def _merged(self, beside: dict[str, Any], branches: list[Any], path: str, depth: int) -> Type:
        merged = dict(beside)
        for branch in branches:
            part = branch
            if isinstance(branch, dict) and "$ref" in branch:
                part = _resolved(self._root, branch["$ref"])
            if not isinstance(part, dict) or "if" in part or "$ref" in part:
                self.imported.leave(path, "a part of allOf is left out")
                continue
            both = {**merged, **part}
            both["properties"] = _object(merged, "properties") | _object(part, "properties")
            both["required"] = [*_list(merged, "required"), *_list(part, "required")]
            merged = both
        if not merged.get("properties"):
            merged.pop("properties", None)
        return self.type_of(merged, path, depth + 1)

    def _plain(self, schema: dict[str, Any], path: str, depth: int) -> Type:
        kinds = _implied(schema)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(kinds, list):
            return self._any(path, "it has no type: JSON text")
        others = [kind for kind in kinds if kind != "null"]
        if others in (["integer", "number"], ["number", "integer"]):
            others = ["number"]
        if len(others) != 1:
            return self._any(path, f"it is one of {', '.join(map(str, kinds))}: JSON text")
        if others[0] != "string" and any(value is not None for value in _enum(schema)):
            self.imported.leave(
                path, f"{'const' if 'const' in schema else 'enum'} is not carried over"
            )
        found, read = self._kind(others[0], schema, path, depth)
        for word in sorted(set(schema) - _SILENT - read):
            self.imported.leave(path, f"{word} is not carried over")
        return found | ({"null": True} if "null" in kinds or None in _enum(schema) else {})

    def _kind(
        self, kind: Any, schema: dict[str, Any], path: str, depth: int
    ) -> tuple[Type, set[str]]:
        """Return the type of one kind of value, and which words of the schema it says."""
        match kind:
            case "string":
                return self._string(schema, path)
            case "integer" | "number":
                rules = {w: schema[w] for w in _NUMBER_RULES if _is_number(schema.get(w))}
                if kind == "integer":
                    rules = {word: value for word, value in rules.items() if value == int(value)}
                    rules = {word: int(value) for word, value in rules.items()}
                return {"type": "long" if kind == "integer" else "double"} | rules, set(rules)
            case "boolean":
                return {"type": "boolean"}, set()
            case "array" if isinstance(schema.get("items"), dict):
                items = self._inner(schema["items"], f"{path}[]", depth)
                return {"type": {"type": "array", "items": items}}, set()
            case "object" if schema.get("properties") and _has_members(schema):
                others = schema.get("additionalProperties", True)
                if path == "$" and others is False:
                    self.imported.unknown_fields = "reject"
                is_read = others is True or (path == "$" and others is False)
                read = {"additionalProperties"} if is_read else set[str]()
                return {"type": self._record(schema, path, depth)}, read
            case "object" if isinstance(schema.get("additionalProperties"), dict):
                values = self._inner(schema["additionalProperties"], f"{path}.*", depth)
                return {"type": {"type": "map", "values": values}}, {"additionalProperties"}
        return self._any(path, f"{kind} of anything: JSON text"), set()

    def _inner(self, schema: Any, path: str, depth: int) -> Any:
        """Return the type of an item of an array, or of a map's value; rules stand inside it."""
        found = self.type_of(schema, path, depth + 1)
        is_nullable = found.pop("null", False)
        for rule in (*_STRING_RULES, *_NUMBER_RULES):
            if found.pop(rule, None) is not None:
                self.imported.leave(path, f"{rule} is not carried over: rules are for fields")
        type_ = found if len(found) > 1 else found["type"]
        return ["null", type_] if is_nullable else type_

    def _record(self, schema: dict[str, Any], path: str, depth: int) -> Type:
        properties, required = dict(schema["properties"]), _list(schema, "required")
        for key in [key for key in properties if not key or NO_KEY.search(key)]:
            del properties[key]
            why = "a key that is empty, or has a quote, a backslash or a control character"
            self.imported.leave(f"{path}{path_segment(key)}", f"{why}: left out")
        for key in dict.fromkeys(required):
            if isinstance(key, str) and key not in properties:
                where = f"{path}{path_segment(key)}"
                self.imported.leave(where, "required, and not among the properties: left out")
        columns = columns_of([*map(str, properties)], outermost=path == "$")
        record = {
            "type": "record",
            "name": type_name([path.removeprefix("$") or "Document"], self._taken),
        }
        fields = list[dict[str, Any]]()
        for key, inner in properties.items():
            found = self.type_of(inner, f"{path}{path_segment(key)}", depth + 1)
            may_be_null = bool(found.pop("null", False))
            is_nullable = may_be_null or key not in required
            if may_be_null and key in required:
                where = f"{path}{path_segment(key)}"
                self.imported.leave(where, "required, though it may be null: absence is null here")
            made = entry(key, columns[key], found, nullable=is_nullable)
            if isinstance(inner, dict) and isinstance(inner.get("description"), str):
                made["doc"] = inner["description"]
            fields.append(made)
        return record | {"fields": fields}

    def _string(self, schema: dict[str, Any], path: str) -> tuple[Type, set[str]]:
        symbols = [
            value for value in dict.fromkeys(map(_hashable, _enum(schema))) if value is not None
        ]
        if symbols and all(isinstance(value, str) and is_name(value) for value in symbols):
            name = type_name([path.removeprefix("$")], self._taken)
            return {"type": {"type": "enum", "name": name, "symbols": symbols}}, set()
        if symbols:
            self.imported.leave(path, "enum is not carried over: not all of it are names")
        if schema.get("contentEncoding") == "base64":
            return {"type": "bytes"}, {"contentEncoding"}
        given = schema.get("format")
        if isinstance(given, str) and given in _FORMATS:
            return {"type": _FORMATS[given]}, {"format"}
        rules = {word: schema[word] for word in _STRING_RULES if word in schema}
        if "pattern" in rules and not _is_pattern(rules["pattern"]):
            del rules["pattern"]
        return {"type": "string"} | rules, set(rules)


def _resolved(root: Any, target: Any) -> Any:
    """Return what a reference within the file leads to; None where there is nothing."""
    if not isinstance(target, str) or not target.startswith("#/"):
        return root if target == "#" else None
    for part in target[2:].split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        root = root.get(name) if isinstance(root, dict) else None
    return root


def _object(schema: dict[str, Any], word: str) -> dict[str, Any]:
    value = schema.get(word)
    return value if isinstance(value, dict) else {}


def _list(schema: dict[str, Any], word: str) -> list[Any]:
    value = schema.get(word)
    return value if isinstance(value, list) else []


def _implied(schema: dict[str, Any]) -> Any:
    """Return the type of a schema, also of one that leaves it out, as many do."""
    if "type" in schema:
        return schema["type"]
    if "properties" in schema:
        return "object"
    kinds = {_KINDS.get(type(value)) for value in _enum(schema) if value is not None}
    return kinds.pop() if len(kinds) == 1 else None


def _enum(schema: dict[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else _list(schema, "enum")


def _is_only_rules(branch: Any) -> bool:
    """Tell whether a part of a schema says nothing of types, but which members must be there."""
    return isinstance(branch, dict) and not set(branch) - {
        "required",
        "not",
        "description",
        "title",
    }


def _hashable(value: Any) -> Any:
    """Return a value of an enum, which may be there twice; of what is not plain, its text."""
    return value if isinstance(value, str | None) else json.dumps(value)


def _is_null(branch: Any) -> bool:
    return isinstance(branch, dict) and branch.get("type") == "null"


def _has_members(schema: dict[str, Any]) -> bool:
    return isinstance(schema["properties"], dict)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every double
        return False


def _is_pattern(pattern: Any) -> bool:
    """Tell whether RE2, which a dataset's patterns are of, has such a pattern."""
    try:
        pc.match_substring_regex(pa.array([""]), str(pattern))
    except pa.ArrowInvalid:
        return False
    return isinstance(pattern, str)
