"""The row path: which documents it accepts, and the one violation it reports of each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import as_json, chunk_of, dataset

from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset
from pipeline.core.reasons import Reason, RejectStage

INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [
        {"name": "x", "type": "int"},
        {"name": "y", "type": ["null", "string"], "default": None},
    ],
}
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "long"},
    {"name": "flag", "type": ["null", "boolean"], "default": None},
    {
        "name": "size",
        "type": {"type": "enum", "name": "Size", "symbols": ["S", "M"]},
        "default": "M",
    },
    {"name": "ratio", "type": ["null", "double"], "default": None},
    {"name": "at", "type": ["null", "string"], "default": None, "jsonName": "@at"},
    {"name": "inner", "type": ["null", INNER], "default": None},
    {"name": "list", "type": {"type": "array", "items": "Inner"}, "default": []},
    {"name": "map", "type": {"type": "map", "values": ["null", "int"]}, "default": {}},
]
OPEN = dataset(*FIELDS)
CLOSED = dataset(*FIELDS, config='unknown_fields = "reject"')


def row_of(document: bytes, things: Dataset = OPEN) -> dict[str, Any]:
    """Return the row that one document becomes, without the identity."""
    rows, rejects = convert(chunk_of(document), things)
    assert not rejects
    (row,) = rows.table.to_pylist(maps_as_pydicts="strict")
    return {key: value for key, value in row.items() if not key.startswith("_")}


def violation_of(document: bytes, things: Dataset = OPEN) -> tuple[Reason, str]:
    """Return reason and path of the reject that one document becomes."""
    rows, (reject,) = convert(chunk_of(document), things)
    assert not len(rows)
    assert (reject.stage, reject.payload) == (RejectStage.CONVERT, document)
    assert (reject.dataset, reject.schema_version) == things.id
    assert reject.violation.message.endswith(".")
    return reject.violation.reason, reject.violation.path


NOTHING_BUT_ID: dict[str, Any] = {
    "id": 1, "flag": None, "size": "M", "ratio": None, "at": None, "inner": None, "list": [],
    "map": {},
}  # fmt: skip


def test_absent_fields_get_their_default_or_null() -> None:
    assert row_of(b'{"id":1}') == NOTHING_BUT_ID


def test_null_is_the_same_as_absence() -> None:
    document = as_json({field.get("jsonName", field["name"]): None for field in FIELDS} | {"id": 1})
    assert row_of(document) == NOTHING_BUT_ID


def test_every_kind_of_value_arrives() -> None:
    document = as_json(
        {
            "id": -(2**63), "flag": False, "size": "S", "ratio": 3, "@at": "é\0",
            "inner": {"x": 1}, "list": [{"x": 2, "y": ""}], "map": {"": None, "k": 5},
        }
    )  # fmt: skip
    assert row_of(document) == {
        "id": -(2**63), "flag": False, "size": "S", "ratio": 3.0, "at": "é\0",
        "inner": {"x": 1, "y": None}, "list": [{"x": 2, "y": ""}],
        "map": {"": None, "k": 5},
    }  # fmt: skip


VIOLATIONS = [
    ("", Reason.NOT_JSON, "$"),
    ("{", Reason.NOT_JSON, "$"),
    ('{"id":NaN}', Reason.NOT_JSON, "$"),
    ('{"id":1,"other":Infinity}', Reason.NOT_JSON, "$"),
    ('{"id":1} {"id":2}', Reason.NOT_JSON, "$"),
    ('{"id":1,"other":"\\ud800"}', Reason.NOT_JSON, "$"),
    ("[]", Reason.NOT_OBJECT, "$"),
    ("null", Reason.NOT_OBJECT, "$"),
    ('"text"', Reason.NOT_OBJECT, "$"),
    ("1.5", Reason.NOT_OBJECT, "$"),
    ("{}", Reason.MISSING_FIELD, "$.id"),
    ('{"id":null}', Reason.MISSING_FIELD, "$.id"),
    ('{"id":1.0}', Reason.WRONG_TYPE, "$.id"),
    ('{"id":1e3}', Reason.WRONG_TYPE, "$.id"),
    ('{"id":"1"}', Reason.WRONG_TYPE, "$.id"),
    ('{"id":true}', Reason.WRONG_TYPE, "$.id"),
    ('{"id":9223372036854775808}', Reason.OUT_OF_RANGE, "$.id"),
    ('{"id":-9223372036854775809}', Reason.OUT_OF_RANGE, "$.id"),
    (f'{{"id":{"9" * 5_000}}}', Reason.OUT_OF_RANGE, "$.id"),
    ('{"id":1,"flag":0}', Reason.WRONG_TYPE, "$.flag"),
    ('{"id":1,"flag":"true"}', Reason.WRONG_TYPE, "$.flag"),
    ('{"id":1,"size":"L"}', Reason.UNKNOWN_SYMBOL, "$.size"),
    ('{"id":1,"size":1}', Reason.WRONG_TYPE, "$.size"),
    ('{"id":1,"ratio":"1.5"}', Reason.WRONG_TYPE, "$.ratio"),
    ('{"id":1,"ratio":1e400}', Reason.OUT_OF_RANGE, "$.ratio"),
    (f'{{"id":1,"ratio":{"9" * 400}}}', Reason.OUT_OF_RANGE, "$.ratio"),
    ('{"id":1,"@at":7}', Reason.WRONG_TYPE, '$["@at"]'),
    ('{"id":1,"inner":[]}', Reason.WRONG_TYPE, "$.inner"),
    ('{"id":1,"inner":{}}', Reason.MISSING_FIELD, "$.inner.x"),
    ('{"id":1,"inner":{"x":2147483648}}', Reason.OUT_OF_RANGE, "$.inner.x"),
    ('{"id":1,"inner":{"x":1,"y":[]}}', Reason.WRONG_TYPE, "$.inner.y"),
    ('{"id":1,"list":{}}', Reason.WRONG_TYPE, "$.list"),
    ('{"id":1,"list":[{"x":1},null]}', Reason.MISSING_FIELD, "$.list[1]"),
    ('{"id":1,"list":[{"x":1},{"x":"1"}]}', Reason.WRONG_TYPE, "$.list[1].x"),
    ('{"id":1,"map":{"a":1,"b c":"2"}}', Reason.WRONG_TYPE, '$.map["b c"]'),
    ('{"id":1,"map":[]}', Reason.WRONG_TYPE, "$.map"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "reason", "path"), VIOLATIONS)
def test_a_document_that_does_not_fit_is_rejected_with_its_place_and_reason(
    document: str, reason: Reason, path: str
) -> None:
    assert violation_of(document.encode()) == (reason, path)


def test_one_bad_document_costs_its_neighbours_nothing() -> None:
    """Rows and rejects together are the chunk, each with its own identity."""
    documents = [
        document.encode() if broken else b'{"id":%d}' % number
        for number, (document, _, _) in enumerate(VIOLATIONS)
        for broken in (True, False)
    ]
    rows, rejects = convert(chunk_of(*documents), OPEN)
    assert rows.index.to_pylist() == list(range(1, len(documents), 2))
    assert rows.table.column("id").to_pylist() == list(range(len(VIOLATIONS)))
    assert [reject.unit for reject in rejects] == list(range(0, len(documents), 2))
    assert [(reject.violation.reason, reject.violation.path) for reject in rejects] == [
        (reason, path) for _, reason, path in VIOLATIONS
    ]


def test_a_misfit_deep_inside_a_nullable_record_is_a_reject() -> None:
    uuids = {"type": "array", "items": {"type": "string", "logicalType": "uuid"}}
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "ids", "type": uuids}]}
    things = dataset({"name": "inner", "type": ["null", inner]})
    assert violation_of(b'{"inner": {"ids": ["x"]}}', things) == (
        Reason.BAD_FORMAT,
        "$.inner.ids[0]",
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ('{"id":1,"new":1}', "$.new"),
        ('{"id":1,"inner":{"x":1,"Y":null}}', "$.inner.Y"),
        ('{"id":1,"list":[{"x":1,"z":0}]}', "$.list[0].z"),
        ('{"id":1,"at":"the key is @at"}', "$.at"),
    ],
)
def test_unknown_fields_are_ignored_or_rejected_as_configured(document: str, path: str) -> None:
    assert row_of(document.encode())["id"] == 1
    assert violation_of(document.encode(), CLOSED) == (Reason.UNKNOWN_FIELD, path)


@pytest.mark.parametrize(
    "document",
    [
        '{"id":"wrong","id":1}',
        '{"id":null,"id":1}',
        '{"id":1,"size":"L","size":"M"}',
        '{"inner":{"x":"wrong"},"id":1,"inner":null}',
        '{"inner":{"x":"wrong"},"inner":{},"id":1,"inner":null,"list":[7],"list":[]}',
        '{"id":2,"id":1,"deep":' + "[" * 250 + "]" * 250 + ',"id":"2","id":1}',
    ],
)
@pytest.mark.parametrize("things", [OPEN, dataset(FIELDS[0], *FIELDS[1:])])
def test_of_a_repeated_key_the_last_one_counts(document: str, things: Dataset) -> None:
    """Even where an earlier one would not fit."""
    assert row_of(document.encode(), things) == NOTHING_BUT_ID


def test_of_a_repeated_key_a_bad_last_one_counts_too() -> None:
    assert violation_of(b'{"id":1,"id":"wrong"}') == (Reason.WRONG_TYPE, "$.id")


def test_a_key_may_be_written_with_escapes() -> None:
    assert row_of(rb'{"\u0069d":1,"\u0040at":"\u0040"}') == NOTHING_BUT_ID | {"at": "@"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(2**40) | st.just(1.5)
    | st.sampled_from(["", "S", "M", "L"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["x", "y", "z", "k"]), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
KEYS = st.sampled_from(["id", "flag", "size", "ratio", "@at", "inner", "list", "map", "other"])
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=7).map(lambda pairs: [("id", 1), *pairs])


def as_object(pairs: list[tuple[str, Any]]) -> bytes:
    """Write an object whose keys may be repeated."""
    members = (f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    return b"{%s}" % ",".join(members).encode()


@given(PAIRS)
def test_a_document_with_repeated_keys_is_the_one_without(pairs: list[tuple[str, Any]]) -> None:
    """The same row or the same violation as of the document that holds the last ones only."""
    for things in (OPEN, CLOSED):
        (one, one_rejects), (other, other_rejects) = (
            convert(chunk_of(document), things)
            for document in (as_object(pairs), as_json(dict(pairs)))
        )
        assert one.table.to_pylist() == other.table.to_pylist()
        assert [reject.violation for reject in one_rejects] == [
            reject.violation for reject in other_rejects
        ]


@given(PAIRS)
def test_a_row_satisfies_its_schema(pairs: list[tuple[str, Any]]) -> None:
    """Whatever a document holds, what comes of it is a valid table, nulls only where allowed."""
    rows, rejects = convert(chunk_of(as_object(pairs)), CLOSED)
    assert len(rows) + len(rejects) == 1
    rows.table.validate(full=True)
    for row in rows.table.to_pylist(maps_as_pydicts="strict"):
        given_values = dict(pairs)
        assert row["id"] == given_values["id"]
        assert row["size"] == (given_values.get("size") or "M")
        assert row["inner"] is None or isinstance(row["inner"]["x"], int)
