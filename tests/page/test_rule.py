"""The rule that refused a document, found in the text as its author wrote it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.page.rule import find_rule

SCHEMA = """\
{"type": "record", "name": "T", "fields": [
  {"name": "id", "type": "long", "minimum": 1},
  {"name": "at", "jsonName": "@ts", "type": "string"},
  {"name": "note", "aliases": ["remark"], "type": ["null", "string"]},
  {"name": "region", "path": "$.meta.where", "type": "string"},
  {"name": "customer", "type": {"type": "record", "name": "C", "fields": [
    {"name": "id",
     "type": "string"}
  ]}},
  {"name": "lines", "type": ["null", {"type": "array", "items": {
    "type": "record", "name": "L", "fields": [ {"name": "sku", "type": "string"} ]}}]},
  {"name": "tags", "type": {"type": "map", "values": {
    "type": "record", "name": "V", "fields": [{"name": "n", "type": "int"}]}}}
]}
"""
SETTINGS = (
    'partition_by = ["date(at)"]\nevent_time_window = ["-7d", "+1d"]\nunknown_fields = "reject"\n'
)


@pytest.mark.parametrize(
    ("path", "lines", "text"),
    [
        ("$.id", (2, 2), '{"name": "id", "type": "long", "minimum": 1}'),
        ("$['@ts']", (3, 3), '{"name": "at", "jsonName": "@ts", "type": "string"}'),
        ("$.remark", (4, 4), '{"name": "note", "aliases": ["remark"], "type": ["null", "string"]}'),
        ("$.meta.where", (5, 5), '{"name": "region", "path": "$.meta.where", "type": "string"}'),
        ("$.customer.id", (7, 8), '{"name": "id",\n     "type": "string"}'),
        ("$.lines[12].sku", (11, 11), '{"name": "sku", "type": "string"}'),
        ("$.tags['a b'].n", (13, 13), '{"name": "n", "type": "int"}'),
    ],
)
def test_a_field_is_found_by_its_path(path: str, lines: tuple[int, int], text: str) -> None:
    rule = find_rule("wrong_type", path, SCHEMA, SETTINGS)
    assert rule is not None
    assert (rule.first, rule.last, rule.text, rule.in_settings) == (*lines, text, False)


def test_the_innermost_field_is_found_where_the_path_leads_on() -> None:
    rule = find_rule("wrong_type", "$.id.x[3].y", SCHEMA, SETTINGS)
    assert rule is not None
    assert rule.first == 2


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("outside_window", 'event_time_window = ["-7d", "+1d"]'),
        ("unknown_field", 'unknown_fields = "reject"'),
        ("partition_too_long", 'partition_by = ["date(at)"]'),
    ],
)
def test_what_dataset_toml_decides_is_found_there(reason: str, text: str) -> None:
    rule = find_rule(reason, "$.id", SCHEMA, SETTINGS)
    assert rule is not None
    assert (rule.in_settings, rule.text) == (True, text)


@pytest.mark.parametrize("path", ["$", "", "$.nobody", "$['", "$.at"])
def test_there_may_be_none(path: str) -> None:
    assert find_rule("wrong_type", path, SCHEMA, SETTINGS) is None


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["fields", "type", "name", "items", "aliases", "path", "a"]), inner)
    ),
    st.integers(0, 30),
    st.sampled_from([None, 1, 4]),
)  # fmt: skip
def test_any_text_is_borne(value: object, cut: int, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    for schema in (text, text[:cut]):
        rule = find_rule("wrong_type", "$.a.a", schema, "")
        assert rule is None or schema.count(rule.text) >= 1
