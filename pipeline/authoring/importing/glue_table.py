"""A table of AWS Glue, as Firehose and others use it, to a dataset."""

import re
from typing import Any

from pipeline.authoring.importing import ANY, Imported, columns_of, entry
from pipeline.authoring.infer.names import type_name

_PLAIN: dict[str, Any] = {
    "string": "string", "boolean": "boolean", "tinyint": "int", "smallint": "int", "int": "int",
    "integer": "int", "bigint": "long", "float": "float", "double": "double", "binary": "bytes",
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
}  # fmt: skip
_RANGES = {"tinyint": 2**7, "smallint": 2**15}
_DECIMAL = re.compile(r"decimal(?:\((\d+)(?:,(\d+))?\))?")
_TEXT = re.compile(r"(?:varchar|char)\((\d+)\)")
_MAPPING = "mapping."
_CASE = "case.insensitive"
_DEEPEST = 32


def import_glue_table(table: dict[str, Any], name: str) -> Imported:
    """Read what Glue's GetTable returns as `Table`."""
    storage = table.get("StorageDescriptor", {})
    parameters = storage.get("SerdeInfo", {}).get("Parameters", {}) or {}
    keys = {
        column.removeprefix(_MAPPING): key
        for column, key in parameters.items()
        if column.startswith(_MAPPING)
    }
    imported = Imported(name, doc=str(table.get("Description") or ""))
    reader = _Reader(imported)
    columns = dict[str, dict[str, Any]]()
    for column in storage["Columns"]:
        key = keys.get(column["Name"], column["Name"])
        if columns.setdefault(key, column) is not column:
            imported.leave(column["Name"], f"a second column of the key {key!r}: left out")
    # Its names are in lower case, whatever documents have; its deserializers read any, unless told.
    is_exact = str(parameters.get(_CASE, "true")).lower() == "false"
    imported.keys = "exact" if is_exact else "case-insensitive"
    names = columns_of([*columns], outermost=True)
    for key, column in columns.items():
        found = reader.type_of(column["Type"].lower().replace(" ", ""), f"$.{key}", 0)
        made = entry(key, names[key], found, nullable=True)
        if column.get("Comment"):
            made["doc"] = column["Comment"]
        imported.fields.append(made)
    for column in table.get("PartitionKeys", ()):
        imported.leave(column["Name"], "a partition key: say in partition_by what it is made of")
    for parameter in sorted(set(parameters) - {f"{_MAPPING}{name}" for name in keys}):
        if parameter not in {"serialization.format", "paths", _CASE}:
            imported.leave(parameter, "a parameter of the SerDe")
    return imported


class _Reader:
    """Reads Hive's types, as `array<struct<id:int,name:string>>`."""

    def __init__(self, imported: Imported) -> None:
        self._imported = imported
        self._taken = set[str]()

    def type_of(self, text: str, path: str, depth: int) -> dict[str, Any]:
        """Return a type, with the attributes that stand beside a field's name."""
        decimal, short = _DECIMAL.fullmatch(text), _TEXT.fullmatch(text)
        inner = text[text.find("<") + 1 : -1]
        if depth > _DEEPEST:
            return self._any(text[:20], path)
        if text in _PLAIN:
            return self._plain(text, path)
        if decimal:
            digits = {"precision": int(decimal[1] or 10), "scale": int(decimal[2] or 0)}
            return {"type": {"type": "bytes", "logicalType": "decimal"} | digits}
        if short:
            return {"type": "string", "maxLength": int(short[1])}
        if text.startswith("array<") and text.endswith(">"):
            return {"type": {"type": "array", "items": self._nullable(inner, f"{path}[]", depth)}}
        if text.startswith("map<string,") and text.endswith(">"):
            values = self._nullable(inner.partition(",")[2], f"{path}.*", depth)
            return {"type": {"type": "map", "values": values}}
        if text.startswith("struct<") and text.endswith(">"):
            return self._struct(inner, path, depth)
        return self._any(text, path)

    def _any(self, text: str, path: str) -> dict[str, Any]:
        self._imported.leave(path, f"{text} has no type here: JSON text")
        return dict(ANY)

    def _plain(self, text: str, path: str) -> dict[str, Any]:
        if text == "timestamp":
            self._imported.leave(
                path,
                "timestamp: documents are to hold 2026-11-27T09:30:00Z, or give formats or epoch",
            )
        bound = _RANGES.get(text)
        rules = {} if bound is None else {"minimum": -bound, "maximum": bound - 1}
        return {"type": _PLAIN[text]} | rules

    def _nullable(self, text: str, path: str, depth: int) -> Any:
        found = self.type_of(text, path, depth + 1)
        for rule in ("minimum", "maximum", "maxLength"):
            if found.pop(rule, None) is not None:
                self._imported.leave(path, f"{text}: its range is not carried over")
                break
        return ["null", found if len(found) > 1 else found["type"]]

    def _struct(self, inner: str, path: str, depth: int) -> dict[str, Any]:
        members = dict(member.split(":", 1) for member in _split(inner) if ":" in member)
        names = columns_of([*members], outermost=False)
        fields = [
            entry(key, names[key], self.type_of(text, f"{path}.{key}", depth + 1), nullable=True)
            for key, text in members.items()
        ]
        name = type_name([path.removeprefix("$")], self._taken)
        return {"type": {"type": "record", "name": name, "fields": fields}}


def _split(text: str) -> list[str]:
    """Cut at the commas that stand in no bracket."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and not depth:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces
