"""Streams of envelopes, from the event to objects and back: nothing lost, nothing twice."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    FAST_PATHS,
    PLAIN,
    ROOT,
    Stored,
    as_json,
    dataset,
    kinesis_event,
    letter_payload,
    order,
)

from pipeline.adapters.memory import MemoryStore
from pipeline.attempt import Attempt, envelope_of
from pipeline.cli import main
from pipeline.core.census import of_gzip
from pipeline.core.deadletter import decode_dead_letters
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.core.stream import parse_stream
from pipeline.flow import Pipeline
from pipeline.redrive import redrivable, redrive_letters

if TYPE_CHECKING:
    from pathlib import Path

    from support import Function

    from pipeline.core.report import Report

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
keep = ["$.id", "$.logGroup"]
"""
EVENTS = dataset(
    {"name": "logGroup", "type": "string"},
    {"name": "id", "type": ["null", "int"]},
    {"name": "message", "type": ["null", "string"]},
    {"name": "level", "type": ["null", "string"]},
    name="events",
)
STRIDE = 131_072


def logs(*events: Any, **members: Any) -> dict[str, Any]:
    return {"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": events} | members


def pipeline_of(stored: Stored, rules: str = LOGS, limits: Limits = PLAIN) -> Pipeline:
    return Pipeline(
        Router([EVENTS]),
        limits,
        stored.output,
        stored.dead_letters,
        FAST_PATHS,
        envelope=envelope_of(parse_stream(rules, "stream.toml"), limits),
    )


def send(stored: Stored, *records: bytes, rules: str = LOGS, limits: Limits = PLAIN) -> Report:
    batch = read_kinesis_event(kinesis_event(records), fast=FAST_PATHS)
    return Attempt.untimed(pipeline_of(stored, rules, limits)).process(batch)


def redrive(stored: Stored, rules: str = LOGS) -> None:
    for key in redrivable(stored.dead_letters):
        pipeline = pipeline_of(stored, rules)
        redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)


def shown(stored: Stored) -> list[tuple[Any, ...]]:
    return [
        (row["_sequence_number"][-1], row["_document"], row["id"], row["message"] or row["level"])
        for row in stored.rows
    ]


def waiting(stored: Stored) -> list[tuple[Any, ...]]:
    """Dead letters that still wait: their number, their element, why, and their bytes."""
    return [
        (letter.document, letter.element, letter.stage, letter.reason, letter.payload)
        for key in redrivable(stored.dead_letters)
        for letter in decode_dead_letters(stored.dead_letters.get(key), key)
    ]


def test_log_events_are_rows_and_control_messages_are_counted() -> None:
    stored = Stored()
    data = logs({"id": 1, "message": "a"}, {"id": 2, "message": '{"level": "INFO"}'})
    packed = gzip.compress(as_json(data), mtime=0)
    report = send(stored, packed, as_json(logs(messageType="CONTROL_MESSAGE")), as_json(logs()))
    assert shown(stored) == [("8", 0, 1, "a"), ("8", 1, 2, "INFO")]
    assert report.drops == {"control-message": 1, "no-log-events": 1}
    assert (report.total("documents"), report.total("rows"), report.rejects) == (4, 2, 0)


def test_numbers_of_elements_are_those_of_their_document_in_the_payload() -> None:
    stored = Stored()
    lines = [as_json(logs({"id": n}, {"id": n + 1})) for n in (1, 3)]
    send(stored, b"\n".join([*lines, b'{"cut": "off', as_json(logs({"id": 5}))]))
    assert [(row["_document"], row["id"]) for row in stored.rows] == [
        *((0, 1), (1, 2), (STRIDE, 3), (STRIDE + 1, 4)),
    ]
    assert [letter["document"] for letter in stored.letters] == [2 * STRIDE]


def test_an_element_that_no_dataset_reads_is_sent_again_as_it_came_out() -> None:
    stored = Stored()
    send(stored, as_json(logs({"id": 1}, {"id": "x"}, {"id": 3})))
    letter = (1, 1, "convert", "wrong_type", b'{"logGroup":"g","id":"x"}')
    assert waiting(stored) == [letter]
    redrive(stored)
    assert waiting(stored) == [letter]
    assert shown(stored) == [("8", 0, 1, None), ("8", 2, 3, None)]


def test_a_broken_element_is_kept_in_its_envelope_and_comes_out_at_its_place() -> None:
    stored = Stored()
    send(stored, as_json(logs({"id": 1}, {"id": 2, "message": "{oops"}, {"id": 3})))
    broken = as_json(logs({"id": 2, "message": "{oops"}))
    assert waiting(stored) == [(1, 1, "envelope", "envelope_mismatch", broken)]
    redrive(stored)
    assert waiting(stored) == [(1, 1, "envelope", "envelope_mismatch", broken)]
    redrive(stored, LOGS.replace('prefix = "{"', 'prefix = "{\\""'))
    assert waiting(stored) == []
    assert shown(stored) == [("8", 0, 1, None), ("8", 1, 2, "{oops"), ("8", 2, 3, None)]


@pytest.mark.parametrize("times", [1, 2])
def test_an_envelope_is_opened_when_its_rules_are_right_at_last(times: int) -> None:
    stored = Stored()
    envelope = as_json(logs({"id": 1}, {"id": "x"}, {"id": 3}, {"id": 4, "message": "{"}))
    wrong = LOGS.replace("logEvents", "events")
    send(stored, as_json(logs(events=[{"id": 0}])) + b"\n" + envelope, rules=wrong)
    assert waiting(stored) == [(STRIDE, -1, "envelope", "envelope_mismatch", envelope)]
    for _ in range(times):
        redrive(stored)
    assert shown(stored) == [("8", 0, 0, None), ("8", STRIDE, 1, None), ("8", STRIDE + 2, 3, None)]
    assert waiting(stored) == [
        (STRIDE + 1, 1, "convert", "wrong_type", b'{"logGroup":"g","id":"x"}'),
        (STRIDE + 3, 3, "envelope", "envelope_mismatch", as_json(logs({"id": 4, "message": "{"}))),
    ]


def test_an_element_that_other_rules_find_several_in_takes_no_number_of_its_siblings() -> None:
    stored = Stored()
    send(stored, as_json(logs(7, {"id": 1}, others=[{"message": "{"}, {"id": 2}])))
    broken = as_json(logs(7, others=[{"message": "{"}, {"id": 2}]))
    assert waiting(stored) == [(0, 0, "envelope", "envelope_mismatch", broken)]
    redrive(stored, LOGS.replace("logEvents", "others"))
    assert waiting(stored) == [(0, 0, "envelope", "envelope_mismatch", broken)]
    assert shown(stored) == [("8", 1, 1, None)]


def test_a_stream_whose_rules_were_forgotten_is_opened_by_a_redrive() -> None:
    stored = Stored()
    send(stored, as_json(logs({"id": 1}, {"id": 2}, logGroup=7)), rules="")
    assert [letter[1:4] for letter in waiting(stored)] == [(None, "convert", "wrong_type")]
    redrive(stored, LOGS.replace('keep = ["$.logGroup"]', 'keep = { logGroup = "$.messageType" }'))
    assert (waiting(stored), len(stored.rows)) == ([], 2)


def test_an_envelope_may_be_larger_than_a_document() -> None:
    limits = msgspec.structs.replace(PLAIN, document_bytes=100)
    stored = Stored()
    events = [{"id": n, "message": "m" * (60 + 40 * (n == 7))} for n in range(100)]
    send(stored, as_json(logs(*events)), limits=limits)
    assert [row["id"] for row in stored.rows] == [n for n in range(100) if n != 7]
    assert [letter[:4] for letter in waiting(stored)] == [(7, 7, "document", "document_too_large")]
    redrive(stored)
    assert len(stored.rows) == 100


def test_parts_of_a_batch_are_cut_between_elements_too() -> None:
    limits = msgspec.structs.replace(PLAIN, part_documents=7)
    stored, whole = Stored(), Stored()
    records = [as_json(logs(*({"id": n} for n in range(k)))) for k in (3, 20, 0, 5, 1)]
    report = send(stored, *records, limits=limits)
    send(whole, *records)
    assert report.parts > 4
    assert stored.verdicts == whole.verdicts
    assert report.drops == {"no-log-events": 1}


# ------------------------------------------------------- against an oracle in plain Python

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_EVENT = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 9) | _VALUES,
        "message": st.sampled_from(["plain", '{"level": "INFO"}', "{oops", ' {"id": 3}', "[]"]) | _VALUES,
        "level": _VALUES,
        "logGroup": _VALUES,
    },
)  # fmt: skip
_ENVELOPE = st.fixed_dictionaries(
    {"messageType": st.sampled_from(["DATA_MESSAGE", "CONTROL_MESSAGE", "OTHER", 1])},
    optional={"logGroup": st.text(max_size=5) | _VALUES, "logEvents": st.lists(_EVENT | _VALUES, max_size=4) | _VALUES},
)  # fmt: skip


def opened(document: Any) -> list[tuple[str, Any]]:
    """What must come of a document, in Python's own words: documents, drops and letters."""
    if document["messageType"] == "CONTROL_MESSAGE":
        return [("drop", "control-message")]
    if document["messageType"] != "DATA_MESSAGE":
        return element(document)
    events = document.get("logEvents")
    if not isinstance(events, list):
        return [("letter", document)]
    group = {"logGroup": document["logGroup"]} if "logGroup" in document else {}
    found: list[tuple[str, Any]] = []
    for event in events:
        alone = document | {"logEvents": [event]}
        if not isinstance(event, dict) or (group and "logGroup" in event):
            found.append(("letter", alone))
        else:
            outcome = element(group | event)
            found += [("letter", alone)] if outcome[0][0] == "letter" else outcome
    return found or [("drop", "no-log-events")]


def element(document: dict[str, Any]) -> list[tuple[str, Any]]:
    message = document.get("message")
    if not isinstance(message, str) or not message.lstrip(" \t\r\n").startswith("{"):
        return [("document", document)]
    kept = {name: document[name] for name in ("id", "logGroup") if name in document}
    try:
        inner = json.loads(message)
    except ValueError:
        return [("letter", document)]
    if kept.keys() & inner.keys():
        return [("letter", document)]
    return [("document", kept | inner)]


@given(st.lists(_ENVELOPE, min_size=1, max_size=4))
def test_what_comes_of_envelopes_is_what_an_oracle_says(documents: list[dict[str, Any]]) -> None:
    from pipeline.core.envelope.opening import Envelope

    envelope = Envelope(parse_stream(LOGS, "stream.toml").rules, Limits())
    for document in documents:
        for text in (as_json(document), json.dumps(document, indent=1).encode()):
            found = envelope.open(text)
            outcomes: list[tuple[str, Any]] = []
            for number, piece in enumerate(found.texts):
                if number in found.drops:
                    outcomes.append(("drop", found.drops[number]))
                else:
                    kind = "letter" if number in found.violations else "document"
                    outcomes.append((kind, json.loads(piece)))
            assert outcomes == opened(document)


@given(st.lists(_ENVELOPE, min_size=1, max_size=4), st.booleans(), st.integers(1, 4))
def test_every_document_is_a_row_a_dead_letter_or_a_drop(
    documents: list[dict[str, Any]], packed: bool, part_documents: int
) -> None:
    stored = Stored(MemoryStore(), MemoryStore())
    records = [as_json(document) for document in documents]
    if packed:
        records = [gzip.compress(b"\n".join(records), mtime=0)]
    limits = msgspec.structs.replace(PLAIN, part_documents=part_documents)
    report = send(stored, *records, limits=limits)
    expected = [outcome for document in documents for outcome in opened(document)]
    drops = sum(kind == "drop" for kind, _ in expected)
    assert report.total("documents") == len(expected)
    assert report.drops.total() == drops
    assert len(stored.rows) + len(stored.letters) == len(expected) - drops
    before = (
        stored.rows,
        [(letter["document"], letter_payload(letter)) for letter in stored.letters],
    )
    redrive(stored)
    after = stored.rows, [(letter["document"], letter_payload(letter)) for letter in stored.letters]
    assert before == after


NOTHING = LOGS + '[[envelope]]\nwhen = { "$" = { present = false } }\ndrop = "tombstone"\n'


def test_records_that_hold_nothing_may_be_dropped_by_name() -> None:
    records = [b"", b" \n", b"null", as_json(logs({"id": 1})), gzip.compress(b"", mtime=0), b"7"]
    stored = Stored()
    report = send(stored, *records, rules=NOTHING)
    assert report.drops == {"tombstone": 4}
    assert [row["id"] for row in stored.rows] == [1]
    assert [letter["reason"] for letter in stored.letters] == ["not_object"]
    assert report.total("documents") == 6
    stored = Stored()
    report = send(stored, *records)
    assert not report.drops
    assert len(stored.letters) == 5


def test_what_was_base64_is_so_again_in_the_dead_letter_of_an_element() -> None:
    rules = """
[[envelope]]
parse = "$.rawData"
decode = "base64"

[[envelope]]
each = "$.logEvents"
keep = ["$.logGroup"]
"""
    inner = logs({"id": 1}, 7, {"id": 3})
    stored = Stored()
    send(stored, as_json({"rawData": b64encode(as_json(inner)).decode()}), rules=rules)
    broken = as_json({"rawData": b64encode(as_json(logs(7))).decode()})
    assert waiting(stored) == [(1, 1, "envelope", "envelope_mismatch", broken)]
    redrive(stored, rules)
    assert waiting(stored) == [(1, 1, "envelope", "envelope_mismatch", broken)]
    assert [row["id"] for row in stored.rows] == [1, 3]


def test_drops_are_told_by_name(
    function: Function,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "orders").symlink_to(ROOT / "schemas" / "orders")
    (tmp_path / "stream.toml").write_text('[[envelope]]\nwhen = { "$.kind" = 7 }\ndrop = "seven"\n')
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(tmp_path))
    function(kinesis_event([as_json(order()), b'{"kind":7}\n{"kind": 7 }', b'{"kind":8}']))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stored = next(line for line in lines if line.get("outcome") == "stored")
    assert (stored["Documents"], stored["Rows"], stored["Rejects"], stored["Drops"]) == (4, 1, 1, 2)
    assert stored["drops"] == {"seven": 2}
    assert [line["Drops"] for line in lines if line.get("Drop") == "seven"] == [2]
    letter = next(iter(function.stored.dead_letters.objects.values()))
    census = of_gzip(letter)
    assert census is not None
    assert (census.documents["unrouted"], census.rejects, census.drops) == (3, 1, 2)


def test_members_that_no_rule_keeps_are_told_by_name(
    function: Function,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "orders").symlink_to(ROOT / "schemas" / "orders")
    (schemas / "stream.toml").write_text('[[envelope]]\nlift = "$.data"\nkeep = ["$.source.a"]\n')
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(schemas))
    envelope = as_json({"data": order(), "meta": 1, "source": {"a": 1, "b": 2}})
    function(kinesis_event([envelope, as_json({"data": order()})]))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stored = next(line for line in lines if line.get("outcome") == "stored")
    fields = {"$.meta": 1, "$.source.b": 1}
    assert stored["UnkeptMembers"] == 1
    assert stored["unkept_members"] == {"documents": 1, "fields": fields}


def test_members_that_no_rule_keeps_are_shown_by_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "orders").symlink_to(ROOT / "schemas" / "orders")
    (schemas / "stream.toml").write_text('[[envelope]]\nlift = "$.data"\nkeep = ["$.source.a"]\n')
    envelope = as_json({"data": order(), "meta": 1, "source": {"a": 1, "b": 2}})
    (tmp_path / "in.json").write_bytes(envelope)
    arguments = ["convert", "--schemas", str(schemas), "--out", str(tmp_path / "out")]
    assert main([*arguments, str(tmp_path / "in.json")]) == 0
    assert capsys.readouterr().out.splitlines()[3:5] == [
        "  1 x a member of envelopes that no rule keeps: $.meta",
        "  1 x a member of envelopes that no rule keeps: $.source.b",
    ]


def test_drops_are_a_column_of_the_balance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "orders").symlink_to(ROOT / "schemas" / "orders")
    (schemas / "stream.toml").write_text('[[envelope]]\nwhen = { "$.kind" = 7 }\ndrop = "seven"\n')
    (tmp_path / "in.json").write_bytes(as_json(order()) + b'{"kind":7}')
    arguments = ["convert", "--schemas", str(schemas), "--out", str(tmp_path / "out")]
    assert main([*arguments, str(tmp_path / "in.json")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split("  ")[0] == "dataset"
    assert [shown[0].count(heading) for heading in ("= rows", "+ dead letters", "+ drops")] == [
        1
    ] * 3
    assert shown[2].split()[:5] == ["unrouted", "1", "0", "0", "1"]
    assert shown[3] == "  1 x dropped: seven"


def test_what_was_refused_before_there_were_rules_gets_numbers_of_its_own() -> None:
    def old(*events: dict[str, Any]) -> bytes:
        return as_json({"messageType": "DATA_MESSAGE", "logEvents": events})

    stored = Stored()
    event = {"logGroup": "g"}
    lines = old({"id": 1}, {"id": 2}), as_json(event | {"id": 7}), old({"id": 3}, {"id": "x"})
    send(stored, b"\n".join(lines), rules="")
    keeps_nothing = LOGS.replace('keep = ["$.logGroup"]', 'keep = { logGroup = "$.messageType" }')
    redrive(stored, keeps_nothing)
    behind = 2**31 - 2**29
    numbers = [(row["_document"], row["id"]) for row in stored.rows]
    assert sorted(numbers) == [(0, 1), (1, 7), (2, 3), (behind + 1, 2)]
    assert [letter[:2] for letter in waiting(stored)] == [(behind + 2 * STRIDE + 1, 1)]
    redrive(stored, keeps_nothing)
    assert [letter[:2] for letter in waiting(stored)] == [(behind + 2 * STRIDE + 1, 1)]
    assert len(stored.rows) == len(numbers)
