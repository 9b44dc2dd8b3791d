"""Envelopes: what their rules take out of documents, what they refuse, and what they drop."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import as_json

from pipeline.core.envelope.members import Members
from pipeline.core.envelope.opening import Envelope
from pipeline.core.records import Limits
from pipeline.core.stream import parse_stream

LOGS = """
[[envelope]]
when = { "$.messageType" = "CONTROL_MESSAGE" }
drop = "control-message"

[[envelope]]
when = { "$.messageType" = "DATA_MESSAGE" }
each = "$.logEvents"
keep = ["$.logGroup"]
empty = "no-log-events"

[[envelope]]
when = { "$.message" = { prefix = "{" } }
parse = "$.message"
keep = { at = "$.timestamp", logGroup = "$.logGroup" }
"""


def envelope(text: str) -> Envelope:
    return Envelope(parse_stream(text, "stream.toml").rules, Limits())


def logs(*events: Any, **members: Any) -> bytes:
    return as_json({"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": events} | members)


def test_each_element_is_a_document_with_what_is_kept_before_it() -> None:
    opened = envelope(LOGS).open(logs({"id": "1", "message": "a"}, {"id": "2", "n": 1.50}))
    assert opened.texts == [
        b'{"logGroup":"g","id":"1","message":"a"}',
        b'{"logGroup":"g","id":"2","n":1.5}',
    ]
    assert opened.by_rule
    assert not opened.violations


def test_an_element_without_members_is_a_document_of_what_is_kept() -> None:
    assert envelope(LOGS).open(logs({})).texts == [b'{"logGroup":"g"}']


def test_the_text_of_an_element_is_an_exact_slice() -> None:
    text = b'{ "messageType":"DATA_MESSAGE" , "logEvents" : [ {"n": 1.10e+2, "n":7} ,\n{"s":"\\u00e9"} ] }'
    assert envelope(LOGS).open(text).texts == [b'{"n": 1.10e+2, "n":7}', b'{"s":"\\u00e9"}']


def test_json_in_a_string_is_the_document() -> None:
    opened = envelope(LOGS).open(logs({"timestamp": 5, "message": '\n{"level": "INFO"}\n'}))
    assert opened.texts == [b'{"at":5,"logGroup":"g","level": "INFO"}']


def test_what_a_rule_drops_is_dropped_under_its_name() -> None:
    control = logs(messageType="CONTROL_MESSAGE")
    assert envelope(LOGS).open(control).drops == {0: "control-message"}
    assert envelope(LOGS).open(logs()).drops == {0: "no-log-events"}


def test_what_no_rule_is_for_stays_as_it_is() -> None:
    for text in (b'{"a":1}', b"[1]", b"7", b'{"cut', b'{"messageType":7}', b""):
        opened = envelope(LOGS).open(text)
        assert (opened.texts, opened.by_rule) == ([text], False)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (7, "An element of $.logEvents is not an object."),
        ({"message": "{7"}, "The envelope should have a string that is a JSON object at $.message, as stream.toml, envelope 3 says."),
        ({"logGroup": "own"}, "It has a member 'logGroup' of its own; keep the envelope's under another name."),
        ({"message": '{"at": 1}', "timestamp": 3}, "It has a member 'at' of its own; keep the envelope's under another name."),
    ],
)  # fmt: skip
def test_a_broken_element_is_refused_and_its_siblings_are_not(broken: Any, message: str) -> None:
    opened = envelope(LOGS).open(logs({"id": "1"}, broken, {"id": "3"}))
    assert [opened.texts[0], opened.texts[2]] == [
        b'{"logGroup":"g","id":"1"}',
        b'{"logGroup":"g","id":"3"}',
    ]
    assert {n: v.message for n, v in opened.violations.items()} == {1: message}
    assert opened.texts[1] == logs(broken)
    again = envelope(LOGS).open(opened.texts[1])
    assert (again.texts, again.violations) == ([opened.texts[1]], {0: opened.violations[1]})


@pytest.mark.parametrize("events", ["7", 7, None, {"a": 1}])
def test_an_envelope_without_its_array_is_refused_whole(events: Any) -> None:
    text = logs(logEvents=events)
    opened = envelope(LOGS).open(text)
    assert (opened.texts, opened.by_rule) == ([text], False)
    assert (
        opened.violations[0].message
        == "The envelope should have an array at $.logEvents, as stream.toml, envelope 2 says."
    )


def test_an_escaped_key_is_the_key_that_is_kept() -> None:
    text = b'{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{"\\u006cogGroup":1}]}'
    assert list(envelope(LOGS).open(text).violations) == [0]


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
_PATHS = [("a",), ("a", "b"), ("b", "c"), ("b", "a", "c"), ("b", "a"), ("c", "c", "c"), ("é",)]


@given(
    st.dictionaries(st.sampled_from("abcé"), _VALUES),
    st.lists(st.sampled_from(_PATHS), min_size=1, unique=True),
)
def test_members_are_found_at_once_as_level_by_level(
    document: dict[str, Any], paths: list[tuple[str, ...]]
) -> None:
    members, text = Members(paths), as_json(document)
    found = members.find(text)
    assert found == members._find_by_level(text)
    for path in paths:
        member: Any = document
        for key in path:
            member = member.get(key, ...) if isinstance(member, dict) else ...
        token = found[members.place[path]]
        assert (... if token is None else json.loads(token)) == member


@pytest.mark.parametrize("key", [rb"a\/b", rb"a\u002fb", rb"\u0061/b", b"a/b"])
def test_a_kept_name_clashes_with_all_spellings_of_it(key: bytes) -> None:
    rules = '[[envelope]]\neach = "$.e"\nkeep = { "a/b" = "$.k" }'
    opened = envelope(rules).open(b'{"k":1,"e":[{"%b":2}]}' % key)
    assert [violation.path for violation in opened.violations.values()] == ["$.e"]


def test_a_broken_element_is_kept_in_what_stands_around_it() -> None:
    rules = '[[envelope]]\neach = "$.a.e"\n[[envelope]]\nparse = "$.p"'
    text = rb'{"x":1.0,"a":{"y":"\u00e9","e":[{"p":"{}"},{"p":"{"},7],"z":[]},"x2":null}'
    opened = envelope(rules).open(text)
    assert opened.texts == [
        b"{}",
        rb'{"x":1.0,"a":{"y":"\u00e9","e":[{"p":"{"}],"z":[]},"x2":null}',
        rb'{"x":1.0,"a":{"y":"\u00e9","e":[7],"z":[]},"x2":null}',
    ]


def test_what_comes_of_a_stream_records_envelopes_is_bounded() -> None:
    limits = Limits(record_documents=5, record_bytes=260)
    opener = Envelope(parse_stream(LOGS, "stream.toml").rules, limits)

    def reasons(*texts: bytes) -> list[list[str]]:
        room = opener.room()
        opened = [opener.open(text, room) for text in texts]
        return [[str(each.reason) for each in found.violations.values()] for found in opened]

    two = logs({"id": "1"}, {"id": "2"})
    assert reasons(two, two, two, logs({"id": "1"})) == [[], [], ["too_many_documents"], []]
    long = logs({"id": "1"}, {"id": "2"}, logGroup="g" * 70)
    assert reasons(long, long, logs({"id": "1"})) == [[], ["unpacked_too_large"], []]
    broken = logs({"id": "1"}, 2, logStream="s" * 120)
    assert reasons(broken, broken) == [["envelope_mismatch"], ["unpacked_too_large"]]
