"""Field rules and the event-time window, against plain Python comparisons."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ARRIVED, as_json, chunk_of, dataset

from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.reasons import Reason
from pipeline.core.rules import check_rules


def violations_of(things: Dataset, *documents: bytes) -> dict[int, tuple[Reason, str]]:
    """Return reason and path for each document that breaks a rule; all of them must convert."""
    rows, unfit = convert(chunk_of(*documents), things)
    assert not unfit
    good, rejects = check_rules(rows, things)
    assert sorted([*good.index.to_pylist(), *(reject.unit for reject in rejects)]) == list(
        range(len(documents))
    )
    assert all(reject.payload == documents[reject.unit] for reject in rejects)
    return {reject.unit: (reject.violation.reason, reject.violation.path) for reject in rejects}


def decimal_type(precision: int, scale: int) -> dict[str, Any]:
    """Make a decimal type."""
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


CENTS = st.decimals(-(10**6), 10**6, places=2)
LIMITS = CENTS | st.decimals(-100, 100, places=5) | st.sampled_from([Decimal("1E+30"), Decimal(0)])


@pytest.mark.parametrize(
    ("avro", "numbers"),
    [
        ("int", st.integers(-100, 100)),
        ("long", st.integers(-(2**63), 2**63 - 1)),
        (decimal_type(38, 2), CENTS),
        (decimal_type(60, 7), CENTS),
    ],
    ids=["int", "long", "decimal128", "decimal256"],
)
@given(data=st.data())
def test_limits_are_compared_exactly(
    avro: Any, numbers: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """As Python's Decimal does, whatever the column's type and the limit's digits."""
    low, high = sorted([data.draw(LIMITS | numbers), data.draw(LIMITS | numbers)])
    values = [low, high, *data.draw(st.lists(numbers, min_size=1, max_size=6))]
    if isinstance(avro, str):
        values = [int(value) for value in values if value == int(value) and abs(value) < 2**31]
    else:
        values = [v for v in values if abs(v) < 10**20 and v == round(Decimal(v), 2)]
    field = {"name": "n", "type": avro, "minimum": "LOW", "maximum": "HIGH"}
    text = json.dumps([field]).replace('"LOW"', f"{low}").replace('"HIGH"', f"{high}")
    schema = f'{{"type":"record","name":"T","fields":{text}}}'
    made = parse_dataset("things", {1: schema}, "")
    documents = [b'{"n":%s}' % f"{value}".encode() for value in values]
    expected = {}
    for number, value in enumerate(values):
        if Decimal(value) < Decimal(low):
            expected[number] = (Reason.BELOW_MINIMUM, "$.n")
        elif Decimal(value) > Decimal(high):
            expected[number] = (Reason.ABOVE_MAXIMUM, "$.n")
    assert violations_of(made, *documents) == expected


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_limits_of_doubles_are_compared_as_doubles(values: list[float], low: float) -> None:
    things = dataset({"name": "n", "type": "double", "minimum": low})
    expected = {
        index: (Reason.BELOW_MINIMUM, "$.n") for index, value in enumerate(values) if value < low
    }
    assert violations_of(things, *[as_json({"n": value}) for value in values]) == expected


NUMBERS = st.decimals(-1000, 1000, places=3) | st.floats(-1e30, 1e30).map(
    lambda x: Decimal(repr(x))
)


def as_float(number: Decimal) -> float:
    """Round to a float of 32 bits, by Python's own means."""
    rounded: float = struct.unpack("<f", struct.pack("<f", float(number)))[0]
    return rounded


@pytest.mark.parametrize("columnar", [True, False])
@given(values=st.lists(NUMBERS, min_size=1, max_size=6), data=st.data())
def test_limits_of_floats_are_rounded_as_their_values_are(
    columnar: bool,
    values: list[Decimal],
    data: st.DataObject,
) -> None:
    """So a value that is written as its limit is, keeps it."""
    low, high = sorted([data.draw(NUMBERS), data.draw(NUMBERS)])
    values = [low, high, *values]
    field = {"name": "n", "type": "float", "minimum": "LOW", "maximum": "HIGH"}
    text = json.dumps([field]).replace('"LOW"', f"{low}").replace('"HIGH"', f"{high}")
    made = parse_dataset("things", {1: f'{{"type":"record","name":"T","fields":{text}}}'}, "")
    expected = {}
    for number, value in enumerate(values):
        if as_float(value) < as_float(low):
            expected[number] = (Reason.BELOW_MINIMUM, "$.n")
        elif as_float(value) > as_float(high):
            expected[number] = (Reason.ABOVE_MAXIMUM, "$.n")
    documents = [b'{"n":%s}' % f"{value}".encode() for value in values]
    assert violations_of(made if columnar else made.by_rows(), *documents) == expected
    assert not expected.keys() & {0, 1}


def test_a_limit_beyond_all_floats_excludes_none() -> None:
    things = dataset({"name": "n", "type": "float", "minimum": -1e39, "maximum": 1e39})
    assert violations_of(things, b'{"n":3.4e38}', b'{"n":-3.4e38}') == {}


@given(st.lists(st.text(max_size=5), min_size=1), st.integers(0, 4), st.integers(0, 4))
def test_lengths_are_in_code_points(texts: list[str], shortest: int, more: int) -> None:
    longest = shortest + more
    things = dataset({"name": "s", "type": "string", "minLength": shortest, "maxLength": longest})
    expected = {}
    for index, text in enumerate(texts):
        if len(text) < shortest:
            expected[index] = (Reason.TOO_SHORT, "$.s")
        elif len(text) > longest:
            expected[index] = (Reason.TOO_LONG, "$.s")
    assert violations_of(things, *[as_json({"s": text}) for text in texts]) == expected


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("b", ["abc", "b"], ["", "ac"]),
        ("^b", ["b", "bc"], ["ab", "a\nb"]),
        ("^b$", ["b"], ["b\n", "ab"]),
        (r"^\d+$", ["123"], ["١٢٣", ""]),
        (r"^\p{L}.$", ["éa", "日本"], ["1a", "é"]),
        ("^(a+)+$", ["a" * 50_000], ["a" * 50_000 + "b"]),
    ],
)
def test_patterns_are_re2_and_unanchored(pattern: str, good: list[str], bad: list[str]) -> None:
    """The last would take Python's `re` longer than the universe lasts."""
    things = dataset({"name": "s", "type": "string", "pattern": pattern})
    found = violations_of(things, *[as_json({"s": text}) for text in [*good, *bad]])
    assert sorted(found) == list(range(len(good), len(good) + len(bad)))
    assert set(found.values()) == {(Reason.PATTERN_MISMATCH, "$.s")}


def test_null_breaks_no_rule() -> None:
    things = dataset(
        {"name": "n", "type": ["null", "int"], "default": None, "minimum": 1, "maximum": 1},
        {"name": "s", "type": ["null", "string"], "default": None, "minLength": 1, "pattern": "a"},
    )
    assert not violations_of(things, b"{}", b'{"n":null,"s":null}')


@pytest.mark.parametrize("limit", [10**20, 2**63, -(10**20), 1e300, 1.7e308, -1.7e308])
def test_a_limit_outside_the_type_is_a_limit_all_the_same(limit: float) -> None:
    beyond = {0: (Reason.BELOW_MINIMUM if limit > 0 else Reason.ABOVE_MAXIMUM, "$.n")}
    rule = {"minimum" if limit > 0 else "maximum": limit}
    for type_ in ("int", "long", decimal_type(4, 2)):
        assert violations_of(dataset({"name": "n", "type": type_} | rule), b'{"n":1}') == beyond


@pytest.mark.parametrize("length", [10**10, 10**20])
def test_a_length_that_no_text_can_have_is_a_limit_all_the_same(length: int) -> None:
    """Or it stops the start; it must not fail every batch."""
    things = dataset({"name": "s", "type": "string", "maxLength": length})
    assert not violations_of(things, b'{"s":"a"}')


ITEM = {"type": "record", "name": "Item", "fields": [{"name": "q", "type": "int", "minimum": 1}]}
NESTED = dataset(
    {"name": "one", "type": ["null", ITEM], "default": None, "jsonName": "o n e"},
    {"name": "list", "type": {"type": "array", "items": "Item"}, "default": []},
    {"name": "map", "type": {"type": "map", "values": "Item"}, "default": {}},
    {"name": "deep", "type": {"type": "array", "items": {"type": "map", "values": ["null", "Item"]}}, "default": []},
)  # fmt: skip


def test_rules_hold_at_any_depth_and_name_the_place() -> None:
    """Beside documents that hold nothing there, or nothing wrong."""
    good = {"o n e": {"q": 1}, "list": [{"q": 1}] * 3, "map": {"k": {"q": 2}}, "deep": [{}]}
    documents = [
        {}, good, {"o n e": {"q": 0}}, {"list": [{"q": 1}, {"q": 0}]}, good,
        {"map": {"a": {"q": 1}, "b/c": {"q": -1}}}, {"deep": [{"x": None}, {"y": {"q": 0}}]}, good,
    ]  # fmt: skip
    assert violations_of(NESTED, *map(as_json, documents)) == {
        2: (Reason.BELOW_MINIMUM, '$["o n e"].q'),
        3: (Reason.BELOW_MINIMUM, "$.list[1].q"),
        5: (Reason.BELOW_MINIMUM, '$.map["b/c"].q'),
        6: (Reason.BELOW_MINIMUM, "$.deep[1].y.q"),
    }


QUANTITIES = st.fixed_dictionaries({"q": st.integers(-1, 3)})
TREES = st.fixed_dictionaries(
    {},
    optional={
        "o n e": st.none() | QUANTITIES,
        "list": st.lists(QUANTITIES, max_size=3),
        "map": st.dictionaries(st.sampled_from("abc"), QUANTITIES),
        "deep": st.lists(
            st.dictionaries(st.sampled_from("ab"), st.none() | QUANTITIES), max_size=2
        ),
    },
)


@given(st.lists(TREES, min_size=1, max_size=6))
def test_a_row_is_dropped_if_and_only_if_a_value_in_it_breaks_a_rule(trees: list[Any]) -> None:
    found = violations_of(NESTED, *map(as_json, trees))
    broken = {
        index
        for index, tree in enumerate(trees)
        if '"q": -1' in (t := json.dumps(tree)) or '"q": 0' in t
    }
    assert set(found) == broken


# ------------------------------------------------------------------------------- the window

TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
WINDOW = dataset(
    {"name": "at", "type": ["null", TIMESTAMP], "default": None, "jsonName": "@at"},
    config='event_time = "at"\nevent_time_window = ["-7d", "+1h"]',
)
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        (ARRIVED - timedelta(days=7), True),
        (ARRIVED - timedelta(days=7) - MICROSECOND, False),
        (ARRIVED + timedelta(hours=1), True),
        (ARRIVED + timedelta(hours=1) + MICROSECOND, False),
        (datetime(1, 1, 1, tzinfo=UTC), False),
        (datetime(9999, 12, 31, tzinfo=UTC), False),
    ],
)
def test_the_event_time_must_lie_in_its_window(moment: datetime, inside: bool) -> None:
    """The ends belong to it."""
    document = as_json({"@at": f"{moment.replace(tzinfo=None).isoformat()}Z"})
    expected = {} if inside else {0: (Reason.OUTSIDE_WINDOW, '$["@at"]')}
    assert violations_of(WINDOW, document) == expected


def test_the_longest_window_holds_every_event_time() -> None:
    things = dataset(
        {"name": "at", "type": TIMESTAMP},
        config='event_time = "at"\nevent_time_window = ["-1000000d", "+1000000d"]',
    )
    documents = [b'{"at":"0001-01-01T00:00:00Z"}', b'{"at":"2026-11-23T00:00:00Z"}']
    assert not violations_of(things, *documents)


def test_an_event_time_that_is_null_is_in_no_window() -> None:
    assert not violations_of(WINDOW, b"{}")
