"""Private members of a JSON text are replaced, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from privacy import MARK

from pipeline.core.protection.redaction import (
    MOST_PATHS,
    MOST_TEXTS,
    OTHERS,
    public_part,
    redact,
)
from pipeline.core.schema.privacy import PrivateFields, plain_form

FIELDS = PrivateFields(frozenset(map(plain_form, ["email", "first_name", "@id"])), {})

TWICE = json.dumps({"a": json.dumps('{"email":1}')}, separators=(",", ":"))


def redacted(text: str) -> tuple[str, tuple[str, ...]]:
    found = redact(text.encode(), FIELDS, lambda _, __: b'"-"')
    return found.text.decode(), found.paths


@pytest.mark.parametrize(
    ("text", "after", "paths"),
    [
        ("{}", "{}", ()),
        ('{"a": [1, "email"]}', '{"a": [1, "email"]}', ()),
        ('{"email":"x"}', '{"email":"-"}', ("$.email",)),
        ('{ "email" :\n1.5e3 , "b":2}', '{ "email" :\n"-" , "b":2}', ("$.email",)),
        ('{"email":null}', '{"email":"-"}', ("$.email",)),
        ('{"email":{"a":["}",{"b":"]"}]},"c":1}', '{"email":"-","c":1}', ("$.email",)),
        ('{"a":[{"email":[]},{"E-Mail":"\\"]"}]}', '{"a":[{"email":"-"},{"E-Mail":"-"}]}', ("$.a[].email", '$.a[]["E-Mail"]')),
        ('{"\\u0065mail":"x","email":true}', '{"\\u0065mail":"-","email":"-"}', ("$.email",)),
        ('{"firstName":"x","FIRST-NAME":"y"}', '{"firstName":"-","FIRST-NAME":"-"}', ("$.firstName", '$["FIRST-NAME"]')),
        ('{"id":1,"@ID":2,"x":"email"}', '{"id":"-","@ID":"-","x":"email"}', ("$.id", '$["@ID"]')),
        ('{"a":"{\\"email\\":1}"}', '{"a":"{\\"email\\":\\"-\\"}"}', ("$.a",)),
        (TWICE, TWICE.replace("1", '\\\\\\"-\\\\\\"'), ("$.a",)),
        ('{"a":"\ufeff{\\"email\\":1}"}', '{"a":"***"}', ("$.a",)),
        ('{"a":"said \\"so: {\\"email\\" : 1}"}', '{"a":"***"}', ("$.a",)),
        ('{"a":"said {\\\\\\"email\\\\\\": 1}"}', '{"a":"***"}', ("$.a",)),
        ('{"a":"what is \\"email\\"?"}', '{"a":"what is \\"email\\"?"}', ()),
        ('{"a":["[{\\"email\\":"]}', '{"a":["***"]}', ("$.a[]",)),
        ('{"a":"{\\"b\\":1}","b":"[x]"}', '{"a":"{\\"b\\":1}","b":"[x]"}', ()),
        ('[[{"email":1},"email",{"a":{"email":2}}]]', '[[{"email":"-"},"email",{"a":{"email":"-"}}]]', ("$[][].email", "$[][].a.email")),
    ],
)  # fmt: skip
def test_members_are_known_by_their_keys(text: str, after: str, paths: tuple[str, ...]) -> None:
    assert redacted(text) == (after, paths)


@pytest.mark.parametrize(
    ("key", "is_private"),
    [
        ("email", True), ("emai", True), ("emaill", True), ("emial", True), ("e-mall", True),
        ("mail", True), ("xemail", True), ("enail", True), ("fristName", True), ("lastName", False),
        ("emil", True), ("eml", False), ("emailed", False), ("liame", False), ("", False),
        ("i", False), ("ids", False), ("emails", False),
    ],
)  # fmt: skip
def test_a_slip_of_the_pen_does_not_make_a_private_member_public(
    key: str, is_private: bool
) -> None:
    fields = PrivateFields(FIELDS.names, {}, frozenset(["emails"]))
    assert fields.has(key) == is_private


def test_of_very_many_paths_the_first_are_named() -> None:
    text = json.dumps({f"a{number}": {"email": number} for number in range(MOST_PATHS + 9)})
    _, paths = redacted(text)
    assert paths[:2] == ("$.a0.email", "$.a1.email")
    assert len(paths) == MOST_PATHS + 1
    assert paths[-1] == OTHERS


def test_of_text_in_text_in_text_so_much_is_looked_into() -> None:
    """Escaped as it is here, it grows by a few bytes a level; written again, it would double."""
    text = '{"email":1}'
    for level in range(200):
        text = json.dumps(text) if level < MOST_TEXTS else "[" + escaped(text) + "]"
        if level == MOST_TEXTS - 1:
            assert "email" in redacted(text)[0]
            assert redacted(text)[0].count("1") == 0
    after, paths = redacted(text)
    assert ("email" in after, "***" in after) == (False, True)
    assert len(after) < 1_000
    assert paths == ("$[]",)


def escaped(text: str) -> str:
    return '"' + text.replace("\\", "\\u005c").replace('"', "\\u0022") + '"'


KEYS = st.sampled_from(["email", "E_MAIL", "a", "first name", "@id", "", 'q"\\', "é"]) | st.text(
    max_size=3
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def replaced(value: Any) -> Any:
    """Replace private members by another way: of what a JSON reader makes of the text."""
    if isinstance(value, dict):
        return {key: "-" if FIELDS.has(key) else replaced(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(item) for item in value]
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.dumps(replaced(json.loads(value)))
        except ValueError:
            return value
    return value


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_left_is_what_a_reader_would_leave(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    after, _ = redacted(text)
    assert json.loads(after) == replaced(value)


@given(VALUES, st.text(max_size=4))
def test_no_private_value_is_left(value: Any, key: str) -> None:
    text = json.dumps({"a": [value, {"email": [MARK, {key: MARK}]}], "Email": {key: MARK}})
    after, paths = redacted(text)
    assert MARK not in after
    assert {"$.a[].email", "$.Email"} <= set(paths)


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("$", None),
        ("$.a.b[3]", None),
        ("$.email", "$.email"),
        ("$.a[3].email.inner[1]", "$.a[3].email"),
        ('$["E-Mail"]["x\\"y"]', '$["E-Mail"]'),
        ('$.a["@id"].b', '$.a["@id"]'),
        ('$["for.email"].b', None),
    ],
)
def test_a_path_ends_at_the_private_field(path: str, public: str | None) -> None:
    assert public_part(path, FIELDS) == public
