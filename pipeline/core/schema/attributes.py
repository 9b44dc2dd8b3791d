"""The attributes of a schema's fields and types: which are known, where each belongs.

Avro permits any other attribute, as metadata, and so do we: `connect.name`, `pii`, and so on. But
a rule that is misspelt, or written as JSON Schema or another language has it, would be ignored in
silence. What is close to a known name is therefore refused, with what was probably meant.

To add an attribute of a field: a row in `FIELD_ATTRIBUTES`.
"""

import re
from collections.abc import Mapping
from typing import Any

from pipeline.core.schema.readings import ATTRIBUTES as READINGS
from pipeline.core.schema.rule_table import FIELD_RULES

FIELD_ATTRIBUTES = frozenset({"jsonName", "path", *READINGS, *(rule.key for rule in FIELD_RULES)})
"""Ours, which stand beside a field's name."""
_EITHER_PLACE = frozenset(READINGS)
_AVRO_FIELD = frozenset({"name", "type", "default", "doc", "order", "aliases"})
_AVRO_TYPE = frozenset({
    "type", "name", "namespace", "aliases", "doc", "fields", "symbols", "default", "items",
    "values", "size", "logicalType", "precision", "scale",
})  # fmt: skip
_BESIDE_NAME = _AVRO_FIELD | FIELD_ATTRIBUTES | {"logicalType", "precision", "scale"}
_IN_TYPE = _AVRO_TYPE | FIELD_ATTRIBUTES
_FIELD_ALONE = FIELD_ATTRIBUTES - _EITHER_PLACE
# What a type that is named in words has to have inside it.
_PARTS = {"enum": "symbols", "array": "items", "map": "values", "record": "fields", "fixed": "size"}
# Too short to be told from other people's names, unless they differ in case alone.
_SHORTEST_MISSPELT = 5
_CLOSE = 0.8  # difflib's ratio
_OTHERS = re.compile(r"[.:$]")  # in names of a vendor's own, as connect.name

_NO_ITEM_RULES = "there are no rules on the size of arrays and objects"
_REQUIRED = (
    'a field is required unless its type is ["null", …] or it has a default, so leave this out'
)
_ALTERNATIVE = 'of several types only null and one other can be a union: ["null", …]'
_ELSEWHERE = {
    "exclusiveMinimum": 'write "minimum", which the value may be equal to',
    "exclusiveMaximum": 'write "maximum", which the value may be equal to',
    "min": 'write "minimum", or "minLength" for strings',
    "max": 'write "maximum", or "maxLength" for strings',
    "minValue": 'write "minimum"',
    "maxValue": 'write "maximum"',
    "multipleOf": "there is no such rule; a decimal's scale limits the digits after the point",
    "regex": 'write "pattern"',
    "regexp": 'write "pattern"',
    "format": 'write a logicalType inside "type", as in {"type": "string", "logicalType": "uuid"}',
    "enum": 'an enum is a type: {"type": "enum", "name": …, "symbols": […]}',
    "const": 'write an enum of one symbol: {"type": "enum", "name": …, "symbols": ["…"]}',
    "required": _REQUIRED,
    "nullable": _REQUIRED,
    "minItems": _NO_ITEM_RULES,
    "maxItems": _NO_ITEM_RULES,
    "uniqueItems": _NO_ITEM_RULES,
    "minProperties": _NO_ITEM_RULES,
    "maxProperties": _NO_ITEM_RULES,
    "properties": 'a record has "fields"',
    "additionalProperties": "what other members do is unknown_fields in dataset.toml",
    "patternProperties": 'an object with keys of any name is a map: {"type": "map", "values": …}',
    "propertyNames": 'an object with keys of any name is a map: {"type": "map", "values": …}',
    "oneOf": _ALTERNATIVE,
    "anyOf": _ALTERNATIVE,
    "allOf": _ALTERNATIVE,
    "contentEncoding": "bytes and fixed are base64 in documents",
    "defaultValue": 'write "default"',
}
"""What JSON Schema and others call it, and what to do instead."""


class UnusableAttribute(Exception):
    """An attribute is misspelt or in the wrong place; the message says what to do."""


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


_ELSEWHERE_PLAIN = {_plain(name): advice for name, advice in _ELSEWHERE.items()}


def check_field_attributes(entry: Mapping[str, Any]) -> None:
    """Check the attributes beside a field's name. Raises `UnusableAttribute`."""
    _check_spelling(entry, _BESIDE_NAME)
    inner = _own_type(entry.get("type"))
    _check_logical_type(entry, inner)
    kind = inner.get("type")
    part = _PARTS.get(kind) if isinstance(kind, str) else None
    if part is not None and part in entry and part not in inner:
        raise UnusableAttribute(
            f'"{part}" belongs inside "type": "type": {{"type": "{kind}", "{part}": …}}.'
        )
    # Of a reference, a named type of its own, nothing is known here.
    if kind != "enum" and "default" in inner and inner["default"] != entry.get("default"):
        raise UnusableAttribute('"default" belongs on the field, beside its name.')
    if "epoch" in entry and inner.get("epoch", entry["epoch"]) != entry["epoch"]:
        raise UnusableAttribute('"epoch" is there twice, and differs; write it beside the name.')


def check_type_attributes(schema: Mapping[str, Any], *, of_field: bool) -> None:
    """Check the attributes of a type. Raises `UnusableAttribute`.

    `of_field`: it is a field's own type, and so its default was looked at with the field.
    """
    for key in schema:
        if key in _FIELD_ALONE:
            raise UnusableAttribute(f'"{key}" belongs on the field, beside its name.')
    _check_spelling(schema, _IN_TYPE)
    if not of_field and "default" in schema and schema.get("type") != "enum":
        raise UnusableAttribute('"default" belongs on a field, beside its name.')


def _own_type(schema: Any) -> Mapping[str, Any]:
    """Return a field's type as an object, looking through a union with null."""
    if isinstance(schema, list):
        others = [branch for branch in schema if branch != "null"]
        schema = others[0] if len(others) == 1 else None
    if isinstance(schema, dict):
        return schema
    return {"type": schema} if isinstance(schema, str) else {}


def _check_logical_type(entry: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    """Refuse a logicalType beside the name, unless it says what the type says anyway."""
    logical = entry.get("logicalType")
    kind = inner.get("type", "…")
    if "logicalType" in entry and inner.get("logicalType") != logical:
        raise UnusableAttribute(
            '"logicalType" belongs inside "type", not beside the name: write "type": {"type": '
            f'"{kind}", "logicalType": "{logical}"}}.'
        )
    is_decimal = "decimal" in (logical, inner.get("logicalType"))
    for key in ("precision", "scale"):
        if key not in entry or inner.get(key) == entry[key]:
            continue
        if is_decimal or kind in ("bytes", "fixed"):
            raise UnusableAttribute(f'"{key}" belongs inside "type", beside its logicalType.')


def _short(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the short names that nobody else uses beside a decimal's."""
    return ("scale",) if attributes.get("logicalType") == "decimal" else ()


def _check_spelling(attributes: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in attributes:
        if key in known or _OTHERS.search(key):
            continue
        plain = _plain(key)
        by_plain = {_plain(name): name for name in known}
        if plain in by_plain:
            raise UnusableAttribute(f'there is no "{key}"; write "{by_plain[plain]}".')
        if plain in _ELSEWHERE_PLAIN:
            raise UnusableAttribute(f'there is no "{key}": {_ELSEWHERE_PLAIN[plain]}.')
        long = [name for name in by_plain if len(name) > _SHORTEST_MISSPELT]
        import difflib  # noqa: PLC0415 - for a fault alone, and it costs a start

        close = difflib.get_close_matches(plain, [*long, "epoch", *_short(attributes)], 1, _CLOSE)
        if close:
            raise UnusableAttribute(
                f'there is no "{key}"; probably "{by_plain.get(close[0], close[0])}" is meant.'
            )
