"""Documents, schemas and configurations with arbitrary edits."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from generated.documents import GAPS, JUNK, documents
from generated.scalars import JSON_TYPES
from generated.schemas import Made
from generated.spelling import Literal, spelled, string

_TOKENS = (
    *(bytes([char]) for char in b'{}[],:"\\ 0-.e1AZ=+/\t\x00'),
    b"", b"null", b"true", b"NaN", b"Infinity", b"1e400", b"-0", b"01", b"1.0", b"{}", b"[]",
    b'""', b'"a"', b'"a":', b'"a":1,', b"\\u0000", b"\\ud800", b"\\udc00", b"\\x", b"\\u12",
    b"\xff", b"\xc3", b"\xc3\xa9", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"9" * 20, b"[" * 300,
    b"/**/", b"'",
)  # fmt: skip


@st.composite
def edited(draw: st.DrawFn, text: bytes, most: int = 3) -> bytes:
    """Draw a text with tokens inserted, or in place of some bytes."""
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from((0, 1, 1, 2, 5))))
        piece = draw(st.sampled_from(_TOKENS)) if draw(st.booleans()) else text[start:end] * 2
        text = text[:start] + piece + text[end:]
    return text


_CHARACTERS = "0123456789-+:.TZtzeE=/Aa_ \n\u0660é😀\0"


@st.composite
def nearly(draw: st.DrawFn, made: Made) -> bytes:
    """Draw a document of one line with an edit in its text, or in one of its values."""
    document = draw(documents(made, GAPS))
    scalars = [node for node in document.root.places() if node.text]
    if not scalars or draw(st.booleans()):
        return draw(edited(document.payload))
    node = scalars[draw(st.integers(0, len(scalars) - 1))]
    value = json.loads(node.text, parse_int=Literal, parse_float=Literal)
    if draw(st.integers(0, 4)) == 0 or not isinstance(value, str):
        node.become(draw(st.sampled_from((*JUNK, *JSON_TYPES.values()))))
    else:
        text = _shaken(draw, value)
        node.become(text if isinstance(value, Literal) else string(draw, text))
    return document.payload


def _shaken(draw: st.DrawFn, text: str) -> str:
    """Change, insert or remove a character or two."""
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 1))
        text = text[:start] + draw(st.sampled_from(("", *_CHARACTERS))) + text[end:]
    return text


# ------------------------------------------------------------------------------------- schemas

_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, 2**31, 2**63, 2**70, 10**20, Literal("1e999"), "", "x",
    "null", "a b", "\ud800", "é", "int", "N1", "space.Thing", "Thing", "record", "array", "map",
    "enum", "fixed", "decimal", "date", "uuid", "duration", "timestamp-nanos", "days", "(", "[z-a]",
    [], [[]], {}, [None], ["null"], ["null", "int"], ["int", "null"], ["int", "string"],
    {"type": "int"}, {"type": {"type": "int"}}, {"type": "array"}, {"type": "array", "items": []},
    {"type": "fixed", "name": "F", "size": 2**40}, {"type": "fixed", "name": "F", "size": 0},
    {"type": "fixed", "name": "F", "size": -1}, {"type": "enum", "name": "E", "symbols": "abc"},
    {"type": "enum", "name": "E", "symbols": ["a", "a"]}, {"type": "record", "fields": []},
    {"type": "bytes", "logicalType": "decimal", "precision": 99},
    {"type": "bytes", "logicalType": "decimal", "precision": "4"},
    [{"name": "x", "type": "int"}],
)  # fmt: skip
_ATTRIBUTES = (
    "type", "name", "namespace", "aliases", "doc", "fields", "items", "values", "symbols", "size",
    "precision", "scale", "logicalType", "default", "jsonName", "epoch", "minimum", "maximum",
    "minLength", "maxLength", "pattern", "order", "",
)  # fmt: skip


@st.composite
def broken_schemas(draw: st.DrawFn, made: Made) -> str:
    """Draw a schema with some of its parts changed, moved or removed; or edit its text."""
    if draw(st.integers(0, 3)) == 0:
        return draw(edited(made.schema_text.encode())).decode(errors="replace")
    schema: Any = json.loads(made.schema_text)
    for _ in range(draw(st.integers(1, 3))):
        parts = list(_parts(schema))
        part = parts[draw(st.integers(0, len(parts) - 1))]
        value = st.sampled_from(range(len(_ODD))).map(_ODD.__getitem__)
        other = st.sampled_from(range(len(parts))).map(parts.__getitem__)
        _change(draw, part, copy.deepcopy(draw(value | value | other)))
    return spelled(schema)


def _parts(schema: Any) -> list[Any]:
    """Return every object and array in a schema that can be changed."""
    inside = schema.values() if isinstance(schema, dict) else schema
    below = [part for child in inside if isinstance(child, dict | list) for part in _parts(child)]
    return [schema, *below]


def _change(draw: st.DrawFn, part: Any, value: Any) -> None:
    """Set or remove an item of an object or an array."""
    if isinstance(part, dict):
        key = draw(st.sampled_from((*part, *_ATTRIBUTES)))
        part[key] = value
        if draw(st.integers(0, 3)) == 0:
            del part[key]
    elif not part or draw(st.booleans()):
        part.append(value)
    else:
        part[draw(st.integers(0, len(part) - 1))] = value


# --------------------------------------------------------------------------------- dataset.toml

_VALUES = (
    "true", "0", "-1", "1.5", "nan", "2026-11-23", "[]", "{}", '""', '"x"', '"reject"', '"ignore"',
    '["csv"]', '["parquet", "csv"]', '["csv", "csv"]', "[1]", '["orc"]', "[[]]", '["date()"]',
    '["hour()", "date()"]', '["date(at)", "date(a)"]', '["a"]', '["a", "A"]', '["hour(date)"]',
    '"at"', '"a"', '["-7d", "+1d"]', '["1d", "-1d"]', '["0s", "999999999d"]', '["x", "y"]',
    '{field = "a", equals = "b"}', '{field = "a", equals = 1}', '{field = "a", equals = true}',
    '{field = "a", equals = 99999999999999999999}', '{field = "\\"\\n", equals = "b"}',
    '{field = "a"}', "{field = 1, equals = 1.5}", '{field = "a", equals = "\\u0000é"}',
)  # fmt: skip
_SETTINGS = (
    "partition_by", "formats", "unknown_fields", "event_time", "event_time_window", "match", "typo",
)  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn, made: Made) -> str:
    """Draw a dataset.toml: its own, edited; or any settings."""
    if draw(st.integers(0, 3)) == 0:
        return draw(edited(made.config_text.encode(), most=2)).decode(errors="replace")
    names = draw(st.lists(st.sampled_from(_SETTINGS), max_size=3, unique=True))
    return "".join(f"{name} = {draw(st.sampled_from(_VALUES))}\n" for name in names)
