"""Documents opened many at once, and elements in a row: to the same end as one by one."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support import PLAIN, as_json

from pipeline.core.envelope import Envelope, Unwrapped, unwrap
from pipeline.core.envelope.opening import Opened
from pipeline.core.integers import up_to
from pipeline.core.records import Batch, Chunk, Limits, Provenance, StreamRecord, Width
from pipeline.core.stream import parse_stream

LIFTS = """
[[envelope]]
when = { "$.schema" = { present = true }, "$.payload.op" = { present = true } }
lift = "$.payload"

[[envelope]]
when = { "$.op" = "x" }
drop = "x"

[[envelope]]
when = { "$.op" = ["c", "u", 7, true], "$.source.table" = { present = true } }
lift = "$.after"
last = true
keep = { cdc_op = "$.op", cdc_table = "$.source.table", cdc_lsn = "$.source.lsn", "a/b" = "$.s" }

[[envelope]]
when = { "$.op" = "d", "$.source" = { present = true } }
lift = "$.before"
keep = ["$.source.table"]

[[envelope]]
when = { "$.image" = { present = true } }
lift = "$.image"
decode = "dynamodb"

[[envelope]]
when = { "$.message" = { prefix = "{" } }
parse = "$.message"
keep = ["$.id", "$.table"]
"""
EACH = """
[[envelope]]
each = "$.events"
when = { "$.events" = { present = true } }
keep = ["$.table"]
"""
RULES = {
    "lifts": LIFTS,
    "each": EACH,
    "each, then lifts": EACH + LIFTS,
    "lifts, then each": LIFTS + EACH,
}

_ROW = st.fixed_dictionaries(
    {"n": st.integers(0, 3)},
    optional={
        "cdc_op": st.just(1),
        "cdc_lsn_": st.just(2),
        "a/b": st.just(3),
        "table": st.just("t"),
        "text": st.sampled_from(["é\n", 'q"cdc_op"', "\\u", "/"]),
        "message": st.sampled_from(['{"level": "INFO"}', "{", '{"id": 2}', "plain"]),
    },
)
_OTHER: st.SearchStrategy[Any] = st.none() | st.just(7) | st.just({}) | st.just([]) | st.just("x")
_IMAGE = st.sampled_from([{"n": {"N": "1.50"}}, {"n": {"X": "1"}}, {}, {"s": {"S": "{"}}])
_CHANGE = st.fixed_dictionaries(
    {"op": st.sampled_from(["c", "u", "u", "d", "x", 7, True, 1, None])},
    optional={
        "after": _ROW | _ROW | _OTHER,
        "before": _ROW | _OTHER,
        "s": _OTHER,
        "source": st.fixed_dictionaries({}, optional={"table": st.just("t") | _OTHER, "lsn": _OTHER}) | _OTHER,
        "image": _IMAGE,
    },
)  # fmt: skip
_DOCUMENT = st.one_of(
    _CHANGE,
    _CHANGE,
    _ROW,
    st.fixed_dictionaries({"image": _IMAGE | _OTHER}),
    st.fixed_dictionaries({"schema": _OTHER, "payload": _CHANGE | _OTHER}),
    st.fixed_dictionaries({"events": st.lists(_CHANGE | _ROW | _OTHER, max_size=12) | _OTHER}, optional={"table": st.just("t")}),
    _OTHER,
)  # fmt: skip
_WRITTEN = st.builds(
    lambda document, write: write(document),
    _DOCUMENT,
    st.sampled_from([
        as_json,
        as_json,
        lambda value: json.dumps(value).encode(),
        lambda value: json.dumps(value, indent=1).encode(),
        lambda value: as_json(value).replace(b"op", b"\\u006fp").replace(b"/", b"\\/"),
        lambda value: as_json(value)[:-1],
    ]),
)  # fmt: skip
_DOCUMENTS = st.lists(_WRITTEN, min_size=1, max_size=24)
_RULES = st.sampled_from(sorted(RULES))


def envelope(rules: str) -> Envelope:
    return Envelope(parse_stream(rules, "stream.toml").rules, Limits())


ENVELOPES = {name: envelope(rules) for name, rules in RULES.items()}


def shown_of(opened: Opened) -> Any:
    return opened.texts, opened.violations, opened.drops, opened.by_rule


@given(_RULES, _DOCUMENTS)
def test_a_run_comes_to_what_each_document_comes_to(name: str, documents: list[bytes]) -> None:
    fast = ENVELOPES[name]
    run = fast.fast_open_run(documents)
    assert len(run) == len(documents)
    for document, text in zip(documents, run, strict=True):
        opened = fast.exact.open(document)
        again = fast.open(document)
        assert shown_of(again) == shown_of(opened)
        if text is not None:
            assert (opened.texts, opened.violations, opened.drops) == ([text], {}, {})
            assert opened.by_rule


def test_a_run_of_ordinary_documents_is_opened_as_a_whole() -> None:
    source = {"table": "t", "lsn": 5}
    changes = [{"op": "c", "after": {"n": n}, "source": source} for n in range(9)]
    bare = [{"op": "d", "before": {"n": 1}, "source": {"table": "t"}}, *changes]
    wrapped = [*changes, {"schema": {}, "payload": changes[0]}]
    images = [{"image": {"n": {"N": "1"}}} for _ in range(8)]
    strings = [{"message": '{"level": "INFO"}', "id": n} for n in range(8)]
    for documents in (bare, wrapped, images, strings):
        assert None not in ENVELOPES["lifts"].fast_open_run(list(map(as_json, documents)))


def test_one_odd_document_leaves_the_others_of_its_run_to_be_opened_at_once() -> None:
    good = as_json({"op": "c", "after": {"n": 1}, "source": {"table": "t"}})
    for odd in (
        b'{"cut',
        b"7",
        b'{"op":"c","source":7}',
        b"",
        b'{"schema":1,"payload":{"op":"d","source":7,"before":7}}',
    ):
        run = ENVELOPES["lifts"].fast_open_run([*[good] * 9, odd, *[good] * 9])
        assert [index for index, text in enumerate(run) if text is None] == [9]


def unwrapped(name: str, texts: list[bytes], limits: Limits, *, fast: bool) -> list[Unwrapped]:
    batch = Batch("s/shard", "shard", (StreamRecord("7", "k", 0, b""),))
    origins = Provenance(batch)
    for number in range(len(texts)):
        origins.add(0, number // 2, number % 2, f"k{number}")
    opened_from = msgspec.structs.replace(origins)
    documents = Provenance(
        batch, origins.record, origins.sub, origins.document, origins.partition_key, opened_from
    )
    chunk = Chunk(documents, array("i", up_to(len(texts))), texts)
    opener = Envelope(parse_stream(RULES[name], "stream.toml").rules, limits)
    return list(unwrap(iter([(chunk, [])]), opener, limits, Width(), fast=fast))


def shown(parts: list[Unwrapped]) -> list[Any]:
    """What can be told of parts, without the objects that they share."""
    return [
        (
            documents.unit,
            documents.payloads,
            provenance.record,
            provenance.sub,
            provenance.document,
            provenance.partition_key,
            provenance.element,
            [(r.unit, r.stage, r.violation, r.payload) for r in rejects],
            drops,
        )
        for documents, rejects, drops, _ in parts
        for provenance in [documents.provenance]
    ]


def unkept_of(parts: list[Unwrapped]) -> tuple[int, Counter[str]]:
    found = [part.unkept for part in parts if part.unkept is not None]
    fields = sum((each.fields for each in found), Counter[str]())
    return sum(each.envelopes for each in found), fields


@given(
    _RULES,
    _DOCUMENTS,
    st.sampled_from([3, 10, 1_000]),
    st.sampled_from([30, 2**20]),
    st.sampled_from([60, 2**20]),
    st.sampled_from([(4, 2**20), (100, 90), (100, 2**20)]),
)
def test_parts_are_the_same_without_the_fast_paths(
    name: str,
    texts: list[bytes],
    part_documents: int,
    document_bytes: int,
    part_bytes: int,
    record: tuple[int, int],
) -> None:
    limits = msgspec.structs.replace(
        PLAIN,
        part_documents=part_documents,
        document_bytes=document_bytes,
        part_bytes=part_bytes,
        depth=2,
        record_documents=record[0],
        record_bytes=record[1],
    )
    fast, exact = (unwrapped(name, texts, limits, fast=way) for way in (True, False))
    assert shown(fast) == shown(exact)
    assert unkept_of(fast) == unkept_of(exact)
    for documents, *_ in fast:
        if documents.text is not None:
            assert documents.text.split(b"\r") == documents.payloads
            assert b"\n" not in documents.text
            assert all(p[:1] == b"{" and p[-1:] == b"}" for p in documents.payloads)


def test_a_part_of_objects_is_handed_on_as_one_text() -> None:
    good = as_json({"op": "c", "after": {"n": 1}, "source": {"table": "t"}})
    (part,) = unwrapped("lifts", [good] * 20, PLAIN, fast=True)
    assert part.documents.text == b"\r".join(part.documents.payloads)
    (part,) = unwrapped("lifts", [good] * 20, PLAIN, fast=False)
    assert part.documents.text is None
