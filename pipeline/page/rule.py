"""Where the rule stands that refused a document: a field of the schema, or a line of dataset.toml.

The schema is read as text, since the page shows the lines as their author wrote them.
"""

import json
import re
from collections.abc import Iterator
from json.decoder import WHITESPACE  # type: ignore[attr-defined]  # what the decoder itself skips
from typing import Any, Final, NamedTuple

from pipeline.core.member_path import read_path
from pipeline.core.reasons import Reason

_decode = json.JSONDecoder().raw_decode
_STEP: Final = re.compile(r"\.([^.\[]+)|\['((?:[^'\\]|\\.)*)'\]")
# What dataset.toml decides.
_SETTINGS: Final = {
    Reason.OUTSIDE_WINDOW: "event_time_window",
    Reason.UNKNOWN_FIELD: "unknown_fields",
    Reason.PARTITION_TOO_LONG: "partition_by",
}


class Rule(NamedTuple):
    """A stretch of a text; lines are counted from 1."""

    in_settings: bool
    first: int
    last: int
    text: str


class _Span(NamedTuple):
    """A JSON value in a text."""

    value: Any
    start: int
    end: int


def find_rule(reason: str, path: str, schema: str, settings: str) -> Rule | None:
    """Return the rule for a reason at a path, or the innermost field on the way there."""
    if reason in _SETTINGS:
        found = re.search(rf"^{_SETTINGS[Reason(reason)]}\s*=.*", settings, re.MULTILINE)
        return _rule(settings, *found.span(), in_settings=True) if found else None
    field = _innermost(schema, list(_names(path)))
    return _rule(schema, field.start, field.end, in_settings=False) if field else None


def _rule(text: str, start: int, end: int, *, in_settings: bool) -> Rule:
    first, last = (text.count("\n", 0, place) + 1 for place in (start, end))
    return Rule(in_settings, first, last, text[start:end])


def _names(path: str) -> Iterator[str]:
    """Yield the names on a JSON path; places in arrays have none."""
    for step in _STEP.finditer(path):
        yield step[1] if step[1] is not None else re.sub(r"\\(.)", r"\1", step[2])


def _innermost(schema: str, names: list[str]) -> _Span | None:
    try:
        within, found = _value(schema, 0), None
        while names:
            taken = 1  # a key of a map has no field of its own
            for field in _fields(schema, within):
                length = _length_read(field, names)
                if length:
                    within = found = field
                    taken = length
                    break
            names = names[taken:]
    except (ValueError, IndexError, RecursionError):
        return None
    return found


def _length_read(field: _Span, names: list[str]) -> int:
    """Return how many of these names lead to a field's value; 0 where they lead elsewhere."""
    value = field.value
    if not isinstance(value, dict):
        return 0
    if "path" in value:
        members = read_path(value["path"]) or ()
        return len(members) if tuple(names[: len(members)]) == members else 0
    aliases = value.get("aliases")
    known = [value.get("jsonName", value.get("name"))]
    return int(names[0] in (known + aliases if isinstance(aliases, list) else known))


def _fields(text: str, within: _Span) -> Iterator[_Span]:
    """Yield the fields of the records that stand nearest in a type, or in a field's type."""
    if isinstance(within.value, list):
        for item in _items(text, within):
            yield from _fields(text, item)
    elif isinstance(within.value, dict):
        for name, member in _members(text, within):
            if name == "fields" and isinstance(member.value, list):
                yield from _items(text, member)
            elif name in {"type", "items", "values"}:
                yield from _fields(text, member)


def _members(text: str, span: _Span) -> Iterator[tuple[str, _Span]]:
    place = _skip(text, span.start + 1)
    while text[place] != "}":
        key = _value(text, place)
        member = _value(text, _skip(text, key.end) + 1)
        yield key.value, member
        place = _skip(text, member.end)
        place = _skip(text, place + 1) if text[place] == "," else place


def _items(text: str, span: _Span) -> Iterator[_Span]:
    place = _skip(text, span.start + 1)
    while text[place] != "]":
        item = _value(text, place)
        yield item
        place = _skip(text, item.end)
        place = _skip(text, place + 1) if text[place] == "," else place


def _value(text: str, place: int) -> _Span:
    place = _skip(text, place)
    value, end = _decode(text, place)
    return _Span(value, place, end)


def _skip(text: str, place: int) -> int:
    found = WHITESPACE.match(text, place)
    return int(found.end()) if found else place
