"""Whatever rules are made of whatever is sent, and however they change: no identity is there twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support import PLAIN, Stored, as_json, dataset, kinesis_event

from pipeline.attempt import Attempt
from pipeline.core.deadletter import decode_dead_letters
from pipeline.core.envelope import Envelope
from pipeline.core.envelope_rules import read_rules
from pipeline.core.events import read_kinesis_event
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.redrive import redrivable, redrive_letters

if TYPE_CHECKING:
    from pipeline.core.envelope_rules import Rule

PATHS = st.sampled_from(["$.a", "$.b", "$.c", "$.a.b"])
ROWS = dataset({"name": "c", "type": ["null", "string"]})


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Draw one to four rules, each for whatever has what it takes out, or for every document."""
    made = list[dict[str, Any]]()
    for action in draw(st.lists(st.sampled_from("eellpd"), min_size=1, max_size=4)):
        path = draw(PATHS)
        when = {path: {"present": True}}
        actions: dict[str, dict[str, Any]] = {
            "e": {"each": path, "empty": "none"},
            "l": {"lift": path},
            "p": {"parse": path},
            "d": {"drop": "one", "when": when | {"$.c": "x"}},
        }
        rule = actions[action]
        if action != "d":
            rule["when"] = draw(st.sampled_from([when, when, {}]))
            rule["keep"] = draw(st.sampled_from([[], [], ["$.c"], {"k": "$.b"}]))
        made.append(rule)
    read, faults = read_rules(made, "rules")
    assert faults == []
    return read


def each(path: str) -> tuple[Rule, ...]:
    return read_rules([{"each": path, "when": {path: {"present": True}}}], "rules")[0]


_RULES = st.sampled_from([each("$.a"), each("$.b")]) | rules()
_SCALARS = st.sampled_from([None, 1, "x", "{", '{"a":[{"c":"y"},7]}'])
_OBJECTS = st.recursive(
    st.fixed_dictionaries({}, optional={"b": _SCALARS, "c": _SCALARS}),
    lambda inner: st.fixed_dictionaries(
        {}, optional={key: st.lists(inner | _SCALARS, max_size=3) | inner for key in "abc"}
    ),
    max_leaves=8,
)
_LISTS = st.lists(_OBJECTS | _SCALARS, min_size=1, max_size=3)
_ENVELOPES = st.fixed_dictionaries({"a": _LISTS}, optional={"b": _LISTS, "c": _SCALARS}) | _OBJECTS


def pipeline_of(stored: Stored, made: tuple[Rule, ...], *, fast: bool) -> Pipeline:
    envelope = Envelope(made, PLAIN) if made else None
    router = Router([ROWS])
    return Pipeline(router, PLAIN, stored.output, stored.dead_letters, fast, envelope=envelope)


def identities(stored: Stored) -> list[tuple[Any, ...]]:
    waiting = [
        (letter.sequence_number, letter.sub_sequence_number, letter.document)
        for key in redrivable(stored.dead_letters)
        for letter in decode_dead_letters(stored.dead_letters.get(key), key)
    ]
    return waiting + [
        (row["_sequence_number"], row["_sub_sequence_number"], row["_document"])
        for row in stored.rows
    ]


@settings(max_examples=60)
@given(
    st.lists(st.lists(_ENVELOPES, min_size=1, max_size=3), min_size=1, max_size=2),
    st.lists(_RULES, min_size=2, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_no_identity_is_there_twice(
    records: list[list[Any]], versions: list[tuple[Rule, ...]], fast: bool, began_without: bool
) -> None:
    stored = Stored()
    payloads = [b"\n".join(map(as_json, documents)) for documents in records]
    first = () if began_without else versions[0]
    batch = read_kinesis_event(kinesis_event(payloads), fast=fast)
    Attempt.untimed(pipeline_of(stored, first, fast=fast)).process(batch)
    for made in versions:
        found = identities(stored)
        assert len(set(found)) == len(found), json.dumps(records)
        for key in redrivable(stored.dead_letters):
            pipeline = pipeline_of(stored, made, fast=fast)
            redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)
    found = identities(stored)
    assert len(set(found)) == len(found), json.dumps(records)
