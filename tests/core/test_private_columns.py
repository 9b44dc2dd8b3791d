"""What is stored of private fields: tokens, masks, or nothing."""

from __future__ import annotations

import csv
import hmac
import io
import json
from typing import Any

import pytest
from privacy import MARK, SECRET, leaks, pipeline_of, private, record, send
from support import Stored, as_json, dataset

from pipeline.core.dataset import Dataset
from pipeline.core.errors import ConfigurationError, DatasetError
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline

LOGICAL = {
    "id": {"type": "string", "logicalType": "uuid"},
    "price": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "day": {"type": "int", "logicalType": "date"},
    "clock": {"type": "long", "logicalType": "time-micros"},
    "at": {"type": "long", "logicalType": "timestamp-micros"},
    "kind": {"type": "enum", "name": "Kind", "symbols": ["a", "b"]},
    "many": {"type": "array", "items": ["null", "long"]},
    "named": {"type": "map", "values": "double"},
    "parts": {"type": "array", "items": record("Part", {"name": "x", "type": "string"})},
}
TYPES: dict[str, Any] = {
    name: name for name in ("boolean", "int", "long", "float", "double", "string", "bytes")
} | LOGICAL
DOCUMENT = {
    "boolean": True, "int": -7, "long": 2**62, "float": 0.1, "double": 1.0, "string": 'q"é',
    "bytes": "/w==", "id": "7C9E6679-7425-40DE-944B-E07FC1F90AE7", "price": "1.5",
    "day": "2026-11-23", "clock": "09:30:00.25", "at": "2026-11-23T10:30:00+01:00", "kind": "b",
    "many": [1, None], "named": {"a": 1.5}, "parts": [{"x": "y"}],
}  # fmt: skip


def token(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()


def fields(**more: str) -> list[dict[str, Any]]:
    return [{"name": name, "type": ["null", avro], **more} for name, avro in TYPES.items()]


def cells(stored: Stored) -> dict[str, str]:
    (body,) = [body for key, body in stored.output.objects.items() if key.endswith(".csv")]
    (row,) = csv.DictReader(io.StringIO(body.decode()))
    return row


@pytest.mark.parametrize("by_rows", [False, True])
def test_a_token_is_of_the_text_that_a_cell_has(by_rows: bool) -> None:
    config = 'formats = ["csv", "parquet"]'
    clear, hashed = Stored(), Stored()
    send(pipeline_of(clear, [dataset(*fields(), config=config)]), as_json(DOCUMENT))
    made = [dataset(*fields(privacy="hash"), config=config)]
    send(pipeline_of(hashed, made, by_rows=by_rows), as_json(DOCUMENT))
    before, after = cells(clear), cells(hashed)
    assert {name: after[name] for name in TYPES} == {name: token(before[name]) for name in TYPES}
    (row,) = hashed.rows
    assert {name: row[name] for name in TYPES} == {name: after[name] for name in TYPES}
    assert {len(row[name]) for name in TYPES} == {64}


@pytest.mark.parametrize("how", ["hash", "mask"])
def test_null_and_absence_stay_null_and_a_default_is_a_value(how: str) -> None:
    made = dataset(
        private("a", how, ["null", "string"]),
        private("b", how, "string", default="x"),
        private("c", how, ["null", "string"], accept=["empty-text"]),
    )
    stored = Stored()
    send(pipeline_of(stored, [made]), b'{"a":null,"c":""}')
    (row,) = stored.rows
    assert (row["a"], row["c"]) == (None, None)
    assert row["b"] == (token("x") if how == "hash" else "***")
    assert [made.schema.field(name).nullable for name in "abc"] == [True, False, True]


def test_the_same_value_has_the_same_token_in_every_dataset_and_type() -> None:
    stored = Stored()
    match = '[match]\nfield = "t"\nequals = '
    made = [
        dataset(private("who", "hash", "long"), config=f"{match}1", name="numbers"),
        dataset(private("user", "hash", "string"), config=f"{match}2", name="texts"),
    ]
    send(pipeline_of(stored, made), b'{"t":1,"who":42}', b'{"t":2,"user":"42"}')
    assert {row.get("who") or row.get("user") for row in stored.rows} == {token("42")}


def nested() -> Dataset:
    line = record("Line", private("who", "drop"), {"name": "n", "type": "int"})
    inner = record("Inner", private("x", "hash", ["null", "string"]), {"name": "y", "type": "int"})
    return dataset(
        {"name": "lines", "type": ["null", {"type": "array", "items": ["null", line]}]},
        {"name": "named", "type": ["null", {"type": "map", "values": ["null", inner]}]},
        {"name": "one", "type": ["null", record("One", private("z", "mask"), {"name": "w", "type": "int"})]},
    )  # fmt: skip


@pytest.mark.parametrize("by_rows", [False, True])
def test_null_records_arrays_and_maps_stay_where_they_are(by_rows: bool) -> None:
    documents: list[dict[str, Any]] = [
        {},
        {"lines": [], "named": {}, "one": {"z": "a", "w": 1}},
        {"lines": [None, {"who": "a", "n": 1}], "named": {"k": None}, "one": None},
        {"lines": [{"who": "b", "n": 2}], "named": {"k": {"x": None, "y": 1}, "l": {"x": "c", "y": 2}}},
        {"lines": None, "named": {"a": {"x": "c", "y": 3}}},
    ]  # fmt: skip
    stored = Stored()
    send(pipeline_of(stored, [nested()], by_rows=by_rows), b"\n".join(map(as_json, documents)))
    found = [(row["lines"], row["named"], row["one"]) for row in stored.rows]
    assert found == [
        (None, None, None),
        ([], [], {"z": "***", "w": 1}),
        ([None, {"n": 1}], [("k", None)], None),
        ([{"n": 2}], [("k", {"x": None, "y": 1}), ("l", {"x": token("c"), "y": 2})], None),
        (None, [("a", {"x": token("c"), "y": 3})], None),
    ]


def test_rows_after_rejected_ones_keep_their_own_tokens() -> None:
    """Columns that rows were taken out of are slices and copies; offsets must not move."""
    made = dataset(
        private("a", "hash", minLength=2),
        {"name": "l", "type": {"type": "array", "items": record("L", private("b", "hash"))}},
    )
    stored = Stored()
    documents: list[dict[str, Any]] = [
        {"a": "x" * (number % 3 + 1), "l": [{"b": str(number)}] * number} for number in range(9)
    ]
    send(pipeline_of(stored, [made]), b"\n".join(map(as_json, documents)))
    good = [each for each in documents if len(each["a"]) > 1]
    expected = [(token(each["a"]), [{"b": token(b["b"])} for b in each["l"]]) for each in good]
    assert [(row["a"], row["l"]) for row in stored.rows] == expected


def test_a_pipeline_without_a_key_is_not_made() -> None:
    stored = Stored()
    made = dataset(private("a", "mask"))
    with pytest.raises(
        ConfigurationError, match="Datasets have private fields, and there is no key"
    ):
        Pipeline(Router([made]), Limits(), stored.output, stored.dead_letters)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('partition_by = ["a"]', "partition_by: a of schemas/things/1.avsc is private; "),
        ('partition_by = ["date(at)"]', "partition_by: at of schemas/things/1.avsc is private; "),
        ('partition_by = ["r.b"]', "partition_by: r of schemas/things/1.avsc is private; "),
        ('partition_by = ["q.c"]', "partition_by: q.c of schemas/things/1.avsc is private; "),
        ('event_time = "at"', "event_time: at of schemas/things/1.avsc is private; "),
        ('[lake]\npartition_by = ["a"]', "[lake] partition_by: a of schemas/things/1.avsc is private; "),
        ('dead_letter_private = "clear"', 'dead_letter_private is "encrypt" or "digest".'),
    ],
)  # fmt: skip
def test_private_fields_make_no_paths_and_no_verdicts(config: str, sentence: str) -> None:
    moment = {"type": "long", "logicalType": "timestamp-micros"}
    with pytest.raises(DatasetError) as refused:
        dataset(
            private("a", "hash"),
            private("at", "mask", moment),
            private("r", "drop", record("R", {"name": "b", "type": "string"})),
            {"name": "q", "type": record("Q", private("c", "hash"))},
            {"name": "d", "type": "int"},
            config=config,
        )
    assert str(refused.value).startswith(f"schemas/things/dataset.toml: {sentence}")


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (private("a", "encrypt"), 'schemas/things/1.avsc, field a: "privacy" is "drop" (no column), '),
        ({"name": "a", "type": {"type": "string", "privacy": "hash"}}, 'schemas/things/1.avsc, field a: "privacy" belongs on the field, beside its name.'),
        ({"name": "a", "type": "string", "private": True}, 'schemas/things/1.avsc, field a: there is no "private": write "privacy": "drop", "mask" or "hash".'),
        (private("a", "drop"), 'schemas/things/1.avsc: of a record, at least one field must not be "drop"; '),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_private_so_is_refused(field: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DatasetError) as refused:
        dataset(field)
    assert str(refused.value).startswith(sentence)


def test_dead_letter_private_is_for_private_fields() -> None:
    with pytest.raises(
        DatasetError, match="dead_letter_private is for a dataset with private fields"
    ):
        dataset({"name": "a", "type": "int"}, config='dead_letter_private = "digest"')


def test_a_parquet_file_names_the_key_of_its_tokens() -> None:
    from support import read_parquet

    stored = Stored()
    send(pipeline_of(stored, [dataset(private("a", "hash"))]), b'{"a":"x"}')
    (body,) = stored.output.objects.values()
    assert read_parquet(body).schema.metadata[b"pipeline.privacy_key"] == b"default"


def test_what_is_inside_of_a_private_record_is_told_of_by_the_records_name() -> None:
    made = dataset(
        private("card", "hash", record("Card", {"name": "n", "type": "int"})),
        config='unknown_fields = "keep"',
    )
    stored = Stored()
    log = send(pipeline_of(stored, [made]), as_json({"card": {"n": 1, "x": {"y": 2}}, "z": 3}))
    (row,) = stored.rows
    assert json.loads(row["_rest"]) == {"card": "***", "z": 3}
    (line,) = [json.loads(text) for text in log.splitlines() if '"unknown' in text]
    assert "$.card.*" in json.dumps(line)
    assert "$.card.x" not in json.dumps(line)


@pytest.mark.parametrize("by_rows", [False, True])
def test_a_private_field_may_be_read_by_its_path(by_rows: bool) -> None:
    made = dataset(
        {"name": "id", "type": "long"},
        private("who", "hash", path="$.user.e-mail"),
        private("born", "drop", ["null", "string"], path="$.user.born"),
        config='unknown_fields = "keep"',
    )
    stored = Stored()
    user = {"e-mail": MARK, "born": MARK, "x": 1}
    documents = [
        {"id": 1, "user": user},
        {"id": "no", "user": user},
        {"id": 2, "user": {"e-mail": 3, "E-MAIL": MARK}},
    ]
    log = send(pipeline_of(stored, [made], by_rows=by_rows), b"\n".join(map(as_json, documents)))
    (row,) = stored.rows
    assert (row["who"], row["_rest"]) == (token(MARK), '{"user":{"x":1}}')
    assert [letter["path"] for letter in stored.letters] == ["$.id", '$.user["e-mail"]']
    assert leaks(stored, log) == []


def test_who_stores_rows_elsewhere_is_not_given_private_values() -> None:
    from support import batch_of

    from pipeline.core.deadletter import ReplayBatch
    from pipeline.core.records import Chunk, Provenance
    from pipeline.judgement import judge

    batch = batch_of(b'{"a":"x"}')
    none = Chunk(Provenance(batch), Provenance(batch).record, [])
    pipeline = pipeline_of(Stored(), [dataset(private("a", "hash"))])
    with pytest.raises(ConfigurationError, match="whoever stores the rows would get their values"):
        next(judge(ReplayBatch(batch, [0], none, none, none), pipeline))
