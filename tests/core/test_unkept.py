"""Members of envelopes that no rule keeps: counted by name, whichever way envelopes are opened."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support import as_json

from pipeline.core.envelope import Envelope
from pipeline.core.envelope.unkept import Unkept
from pipeline.core.records import Limits
from pipeline.core.stream import parse_stream

RULES = """
[[envelope]]
when = { "$.schema" = { present = true }, "$.payload.op" = { present = true } }
lift = "$.payload"

[[envelope]]
when = { "$.op" = "c" }
lift = "$.after"
last = true
keep = ["$.source.table", "$.whole", "$.whole.x"]

[[envelope]]
when = { "$.events" = { present = true } }
each = "$.events"
keep = ["$.group"]
empty = "none"

[[envelope]]
when = { "$.message" = { prefix = "{" } }
parse = "$.message"
"""
ENVELOPE = Envelope(parse_stream(RULES, "stream.toml").rules, Limits())


def counted(
    documents: list[bytes], envelope: Envelope, *, at_once: bool
) -> tuple[int, Counter[str]]:
    unkept = Unkept()
    room = envelope.room(unkept)
    run = envelope.fast_open_run(documents, unkept) if at_once else [None] * len(documents)
    for document, text in zip(documents, run, strict=True):
        if text is None:
            envelope.open(document, room)
    unkept.count()
    return unkept.envelopes, unkept.fields


def test_what_no_rule_reads_is_counted_at_its_place() -> None:
    change = {
        "op": "c",
        "after": {"n": 1},
        "before": None,
        "source": {"table": "t", "a.b": 1, "db": 2},
    }
    documents = [as_json(change)] * 9 + [as_json({"schema": {}, "payload": change, "other": 1})]
    documents += [as_json({"op": "c", "after": {}, "whole": {"x": 1, "y": 2}})]
    documents += [as_json({"unread": 1}), as_json({"op": "c", "after": 7, "refused": 1})]
    for envelope in (ENVELOPE, ENVELOPE.exact):
        for at_once in (True, False):
            assert counted(documents, envelope, at_once=at_once) == (
                11,
                {"$.before": 10, '$.source["a.b"]': 10, "$.source.db": 10, "$.other": 1},
            )


def test_elements_that_are_opened_further_are_envelopes_too() -> None:
    events = [{"message": '{"a": 1}', "id": n} for n in range(9)] + [{"message": "plain", "id": 9}]
    documents = [as_json({"events": events, "owner": "o"}), as_json({"events": [], "owner": "o"})]
    for envelope in (ENVELOPE, ENVELOPE.exact):
        assert counted(documents, envelope, at_once=False) == (10, {"$.owner": 1, "$.id": 9})


_CHANGE = st.fixed_dictionaries(
    {"op": st.sampled_from("cx")},
    optional={
        "after": st.sampled_from([{}, {"n": 1}, {"table": 1}, 7]),
        "source": st.dictionaries(st.sampled_from(["table", "db", "é"]), st.none(), max_size=3) | st.just(7),
        "before": st.none(),
        "whole": st.sampled_from([{"x": 1}, 7, {"y": 1}]),
        "message": st.sampled_from(['{"m": 1}', "plain", "{"]),
    },
)  # fmt: skip
_DOCUMENT: st.SearchStrategy[Any] = (
    _CHANGE
    | st.fixed_dictionaries({"schema": st.just(1), "payload": _CHANGE})
    | st.fixed_dictionaries({"events": st.lists(_CHANGE | st.just(7), max_size=12), "group": st.just("g")})
)  # fmt: skip


@given(st.lists(_DOCUMENT, min_size=1, max_size=20))
def test_all_ways_count_the_same(sent: list[Any]) -> None:
    documents = list(map(as_json, sent))
    ways = [
        counted(documents, envelope, at_once=at_once)
        for envelope, at_once in ((ENVELOPE, True), (ENVELOPE, False), (ENVELOPE.exact, False))
    ]
    assert ways[0] == ways[1] == ways[2]


def test_names_are_bounded() -> None:
    many = as_json({"op": "c", "after": {}, **{f"k{n}": 1 for n in range(3_000)}})
    unkept = Unkept()
    ENVELOPE.open(many, ENVELOPE.room(unkept))
    unkept.count()
    assert (unkept.envelopes, len(unkept.fields), unkept.others) == (1, 1_000, 2_000)
    long = as_json({"op": "c", "after": {}, "text": "x" * 2**18})
    ENVELOPE.open(long, ENVELOPE.room(unkept))
    unkept.count()
    assert (unkept.envelopes, len(unkept.fields), unkept.others) == (2, 1_000, 2_001)
