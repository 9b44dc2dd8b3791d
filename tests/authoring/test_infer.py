"""Drafts of datasets: what they guess, that they can be used, and that they take their samples."""

from __future__ import annotations

import gzip
import io
import json
import os
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from draft_documents import KEYS, VALUES, like_documents
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, Stored, as_json, deliver, kinesis_event

from pipeline.adapters.schemas import dataset_folders, read_dataset
from pipeline.authoring.infer import (
    Draft,
    DraftOptions,
    Place,
    Samples,
    check_name,
    dataset_name,
)
from pipeline.authoring.infer.names import column_names
from pipeline.authoring.infer.observed import DEEPEST, MOST_KEYS, MOST_SYMBOLS
from pipeline.cli import main
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.matching import Match, Matching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UUID = "7C9E6679-7425-40de-944b-e07fc1f90ae7"
SHIPPED = [folder.name for folder in dataset_folders(ROOT / "schemas")]


DECIMAL = {"type": "bytes", "logicalType": "decimal"}


def draft_of(
    *documents: Any, match_field: str | None = None, options: DraftOptions | None = None
) -> Draft:
    """Draft a dataset from documents: values, or JSON texts as bytes; places are their numbers."""
    samples = Samples(match_field)
    for number, document in enumerate(documents):
        text = document if isinstance(document, bytes) else as_json(document)
        samples.add(text, Place(str(number)))
    return samples.draft("things", options)


def dataset_of(draft: Draft) -> Dataset:
    """Read a draft as the start would."""
    return parse_dataset("things", {1: draft.avsc}, draft.config)


def rows_of(draft: Draft, documents: Iterable[Any]) -> Stored:
    """Take documents to the drafted dataset, down the real road."""
    lines = [
        document if isinstance(document, bytes) else as_json(document) for document in documents
    ]
    return deliver(kinesis_event(lines), [dataset_of(draft)])


def fields_of(draft: Draft) -> dict[str, dict[str, Any]]:
    """Return the drafted fields by name."""
    return {entry["name"]: entry for entry in json.loads(draft.avsc)["fields"]}


def field_of(*values: Any, key: str = "v") -> dict[str, Any]:
    """Draft from documents of one field with these values, and return it; ... is absence."""
    draft = draft_of(*({"k": 1} | ({} if value is ... else {key: value}) for value in values))
    found = [
        entry for entry in fields_of(draft).values() if entry.get("jsonName", entry["name"]) == key
    ]
    assert len(found) == 1, draft.rest
    return found[0]


def raw_field(*texts: str, key: str = "v") -> dict[str, Any]:
    """Draft from numbers as they are written."""
    draft = draft_of(*(f'{{"k": 1, "{key}": {text}}}'.encode() for text in texts))
    return fields_of(draft)[key]


# ------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], "boolean"),
        ([0, 1], "long"),
        ([-(2**63), 2**63 - 1], "long"),
        ([2**63], DECIMAL | {"precision": 20, "scale": 0}),
        ([1, 2**64 - 1], DECIMAL | {"precision": 20, "scale": 0}),
        ([10**20], DECIMAL | {"precision": 38, "scale": 0}),
        ([10**40, 1], DECIMAL | {"precision": 76, "scale": 0}),
        ([2**53 + 1, 0.5], DECIMAL | {"precision": 38, "scale": 1}),
        ([1, 1.5], "double"),
        ([1, "1.50"], DECIMAL | {"precision": 38, "scale": 2}),
        (["", "x"], "string"),
        ([UUID, UUID.lower()], {"type": "string", "logicalType": "uuid"}),
        ([UUID, "x"], "string"),
        (
            ["2026-11-23T09:30:00Z", "2026-11-23T09:30:00.123456789+01:00"],
            {"type": "long", "logicalType": "timestamp-micros"},
        ),
        (["2026-11-23T09:30:00"], {"type": "long", "logicalType": "local-timestamp-micros"}),
        (["2026-11-23T09:30:00", "2026-11-23T09:30:00Z"], "string"),
        (["2026-11-23", "2024-02-29"], {"type": "int", "logicalType": "date"}),
        (["2026-11-23", "2026-02-29"], "string"),
        (["09:30:00", "23:59:59.5"], {"type": "long", "logicalType": "time-micros"}),
        (["09:30:00", ""], "string"),
        ([[1], [2, 3]], {"type": "array", "items": "long"}),
        ([[1], [2.5, None]], {"type": "array", "items": ["null", "double"]}),
        ([[], []], {"type": "array", "items": "string"}),
        ([{}], {"type": "map", "values": "string"}),
        ([{"1001": 1, "1002": 2}], {"type": "map", "values": "long"}),
        ([{UUID: "a", UUID.lower(): None}], {"type": "map", "values": ["null", "string"]}),
    ],
)
def test_the_type_is_one_that_takes_every_value(values: list[Any], expected: Any) -> None:
    assert field_of(*values)["type"] == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["1", "-0"], "long"), (["1.0"], "double"), (["1e3"], "double")],
)
def test_numbers_are_judged_as_they_are_written(texts: list[str], expected: str) -> None:
    assert raw_field(*texts)["type"] == expected


@pytest.mark.parametrize(
    ("text", "scale"), [("0.1234567890123456789", 19), ("9007199254740993.0", 1), ("1e-20", None)]
)
def test_no_double_is_drafted_for_what_it_would_round(text: str, scale: int | None) -> None:
    drafted = raw_field(text)["type"]
    assert drafted == ("double" if scale is None else DECIMAL | {"precision": 38, "scale": scale})


def test_ids_of_64_bits_without_a_sign_are_rows_to_the_last_digit() -> None:
    documents = [{"id": 2**64 - 1, "v": 1}, {"id": 5, "v": 2}]
    rows = rows_of(draft_of(*documents), documents).rows
    assert [row["id"] for row in rows] == [Decimal(2**64 - 1), Decimal(5)]


def test_what_a_key_of_two_types_held_is_kept() -> None:
    documents = [
        {"userId": "u7", "properties": {"order_id": "A-1", "revenue": 12.5}},
        {"userId": 42, "properties": {"order_id": 77, "revenue": "12.50"}},
    ]
    stored = rows_of(draft_of(*documents), documents)
    assert stored.letters == []
    assert [row["userId"] for row in stored.rows] == ['"u7"', "42"]
    assert [row["properties"] for row in stored.rows] == [
        {"order_id": '"A-1"', "revenue": Decimal("12.5")},
        {"order_id": "77", "revenue": Decimal("12.5")},
    ]


@pytest.mark.parametrize("key", ["id", "user_id", "orderId", "ids"])
def test_an_id_with_a_fraction_is_no_measurement(key: str) -> None:
    assert raw_field("1.5", "7", key=key)["type"] == DECIMAL | {"precision": 38, "scale": 1}


@pytest.mark.parametrize("text", ["9" * 77, "9" * 5_000, "1e999", "1e-400", "0." + "1" * 80])
def test_what_no_number_type_holds_exactly_is_json(text: str) -> None:
    draft = draft_of(f'{{"v": {text}}}'.encode())
    assert fields_of(draft)["v"]["json"] is True
    (row,) = rows_of(draft, [f'{{"v": {text}}}'.encode()]).rows
    assert row["v"] == text


@pytest.mark.parametrize("missing", [None, ...])
def test_what_is_absent_or_null_anywhere_is_nullable(missing: Any) -> None:
    field = field_of(1, missing, 2)
    assert (field["type"], field["default"]) == (["null", "long"], None)
    assert field["doc"] == "absent or null in 1 of 3."


def test_what_is_never_but_null_is_a_nullable_string_that_says_so() -> None:
    field = field_of(None, ...)
    assert field["type"] == ["null", "string"]
    assert "guess: string; nothing but null was seen" in field["doc"]


def test_a_decimal_says_why() -> None:
    assert "numbers that a double would round" in field_of(2**53 + 1, 0.5)["doc"]
    assert "doc" not in field_of(2**53, 0.5)


def test_few_symbols_in_many_documents_are_an_enum_that_warns() -> None:
    field = field_of(*["tcp", "udp"] * 50)
    assert field["type"]["symbols"] == ["tcp", "udp"]
    assert "another symbol would be a dead letter" in field["doc"]


@pytest.mark.parametrize(
    "values",
    [
        ["tcp", "udp"] * 49,
        ["tcp"] * 200,
        ["tcp", "not a name"] * 200,
        [f"s{number}" for number in range(MOST_SYMBOLS + 1)] * 100,
        ["a", "b" * 65] * 200,
    ],
    ids=["too few", "one", "no name", "too many", "too long"],
)
def test_other_strings_are_no_enum(values: list[str]) -> None:
    assert field_of(*values)["type"] == "string"


def test_many_keys_that_seldom_come_together_are_a_map() -> None:
    objects = [{f"word{number}x": 1, f"word{number + 1}x": 2} for number in range(30)]
    field = field_of(*objects)
    assert field["type"] == {"type": "map", "values": "long"}
    assert field["doc"] == "guess: map; 31 keys in 30 objects."


def test_a_wide_record_stays_a_record() -> None:
    wide = {f"column{letter}": 1 for letter in "abcdefghijklmnopqrstuvwxyz"}
    assert field_of(wide, wide)["type"]["type"] == "record"


def test_a_map_whose_values_have_no_one_type_is_json() -> None:
    assert field_of({"1": 1, "2": {"a": 1}})["json"] is True


def test_more_keys_than_anybody_names_are_a_map() -> None:
    objects = [{f"key {number} {step}": step for step in range(50)} for number in range(30)]
    field = field_of(*objects)
    assert MOST_KEYS < 30 * 50
    assert field["type"] == {"type": "map", "values": "long"}
    assert rows_of(
        draft_of(*({"v": value} for value in objects)), ({"v": value} for value in objects)
    ).rows


def test_times_as_numbers_are_guessed_for_ts_alone_and_hinted_elsewhere() -> None:
    field = field_of(1588205199.82, 1588205200.0, key="ts")
    assert (field["type"]["logicalType"], field["epoch"]) == ("timestamp-micros", "seconds")
    for key, value, unit in [
        ("ts", 1588205199, "seconds"),
        ("created_at", 1588205199.5, "seconds"),
        ("eventTime", 1588205199827, "millis"),
        ("timestamp", 1588205199827696, "micros"),
    ]:
        field = field_of(value, key=key)
        assert field["type"] in ("long", "double")
        assert f"hint: looks like {unit} since 1970" in field["doc"]
    assert "doc" not in field_of(1588205199, key="size")
    assert "doc" not in field_of(17, key="time")


def test_money_is_hinted_and_never_guessed() -> None:
    for key in ("price", "total_amount", "unit-price", "Total"):
        assert "hint: if this is money" in field_of(9.95, key=key)["doc"]
    assert field_of("9.95", key="price")["type"] == "string"
    assert "decimal" in field_of("9.95", key="price")["doc"]
    assert "doc" not in field_of(1, key="totally")


# ------------------------------------------------------------------ what no one type holds


@pytest.mark.parametrize(
    ("value", "name", "why"),
    [
        ([1, "a"], "v", "it holds numbers and strings, in its items"),
        ([[[True, {}]]], "v", "it holds booleans and objects, in its items"),
        ([{"x": 1, "y": 1}, {"x": [], "y": 1}], "v[].x", "it holds numbers and arrays"),
        ({"1": 1, "2": "a"}, "v", "it holds numbers and strings, in its values"),
        ({"a": {"b": [1, "x", None]}}, "v.a.b", "it holds numbers and strings, in its items"),
    ],
)
def test_a_field_that_no_one_type_holds_is_json(value: Any, name: str, why: str) -> None:
    draft = draft_of({"k": 1, "v": value})
    (line,) = [line for line in draft.lines if line.type == "json"]
    assert (line.path, line.notes) == (name, (f"guess: any JSON, as text; {why}",))
    stored = rows_of(draft, [{"k": 1, "v": value}])
    assert (len(stored.rows), stored.letters, draft.misfits) == (1, [], ())


def test_the_text_of_what_is_json_is_exact() -> None:
    texts = [b'{"v": {"b" : 1.50}}', b'{"v": "x"}', b'{"v": null}', b"{}"]
    rows = rows_of(draft_of(*texts), texts).rows
    assert [row["v"] for row in rows] == ['{"b" : 1.50}', '"x"', None, None]


def test_what_nests_too_deep_is_json() -> None:
    deep = b'{"k": 1, "v": ' + b"[" * DEEPEST + b"]" * DEEPEST + b"}"
    draft = draft_of(deep)
    assert fields_of(draft)["v"]["json"] is True
    assert rows_of(draft, [deep]).letters == []
    deepest = b'{"v": ' + b"[" * (DEEPEST - 1) + b"1" + b"]" * (DEEPEST - 1) + b"}"
    assert len(rows_of(draft_of(deepest), [deepest]).rows) == 1


def test_a_key_that_can_be_no_column_is_kept_and_named() -> None:
    document = {"k": 1, "v": {'a"b': 1, "c": 1}}
    draft = draft_of(document)
    assert [(rest.path, rest.why) for rest in draft.rest] == [
        ('$.v["a\\"b"]', "has a quote, a backslash or a control character in its key")
    ]
    assert '#   $.v["a\\"b"] has a quote' in draft.config
    (row,) = rows_of(draft, [document]).rows
    assert json.loads(row["_rest"]) == {"v": {'a"b': 1}}


@pytest.mark.parametrize("documents", [[{}], [{'a"': 1}, {"b\\": "x"}]])
def test_documents_without_a_key_for_a_column_are_refused(documents: list[Any]) -> None:
    with pytest.raises(DatasetError, match="No key of the documents can be a column of things"):
        draft_of(*documents)


# ------------------------------------------------------------------------------ by majority


def test_a_type_that_nearly_all_documents_fit_is_drafted_and_the_others_are_announced() -> None:
    documents: list[Any] = [{"n": number} for number in range(198)]
    documents[17:17] = [{"n": "a few"}]
    draft = draft_of(*documents)
    assert fields_of(draft)["n"]["type"] == "long"
    assert fields_of(draft)["n"]["doc"] == "guess: 1 strings do not fit."
    (misfit,) = draft.misfits
    assert (misfit.path, misfit.count, str(misfit.place)) == ("$.n", 1, "17")
    assert misfit.message == "Expected an integer, got a string."
    stored = rows_of(draft, documents)
    assert (len(stored.rows), len(stored.letters)) == (198, draft.bad)
    assert len(rows_of(draft, draft.good).rows) == len(draft.good)


@pytest.mark.parametrize("others", [1, 2])
def test_of_few_documents_or_with_many_exceptions_all_have_to_fit(others: int) -> None:
    count = 98 if others == 1 else 150
    documents = [{"n": 1}] * count + [{"n": "x"}] * others
    draft = draft_of(*documents)
    assert fields_of(draft)["n"]["json"] is True
    assert (draft.misfits, rows_of(draft, documents).letters) == ((), [])


def test_exceptions_of_many_fields_do_not_add_up() -> None:
    documents = [{f"f{field}": 1 for field in range(5)} for _ in range(200)]
    for field in range(5):
        documents[field][f"f{field}"] = "x"  # type: ignore[assignment]  # that is the point
    draft = draft_of(*documents)
    assert draft.bad <= 2
    assert len(rows_of(draft, documents).letters) == draft.bad


def test_times_are_drafted_by_majority() -> None:
    documents = [{"at": "2026-11-23T09:30:00Z"}] * 199 + [{"at": "unknown"}]
    draft = draft_of(*documents)
    assert fields_of(draft)["at"]["type"]["logicalType"] == "timestamp-micros"
    assert (draft.bad, draft.misfits[0].reason) == (1, "bad_format")
    assert fields_of(draft_of(*documents[101:]))["at"]["type"] == "string"


# ----------------------------------------------------------------------------------- columns


def wide(depth: int, width: int) -> dict[str, Any]:
    """Make an object of `width` keys at each of `depth` levels, the first of which goes on."""
    inner = {f"f{number}": number for number in range(width)}
    return inner | ({"deeper": wide(depth - 1, width)} if depth > 1 else {})


@pytest.mark.parametrize(("most", "levels"), [(30, 3), (29, 2), (21, 2), (11, 1)])
def test_beyond_the_columns_the_deepest_objects_are_json(most: int, levels: int) -> None:
    document = wide(3, 10)
    draft = draft_of(document, options=DraftOptions(columns=most))
    json_lines = [line.path for line in draft.lines if line.type == "json"]
    expected = [] if levels == 3 else [".".join(["deeper"] * levels)]
    assert json_lines == expected
    assert len(rows_of(draft, [document]).rows) == 1


def test_of_too_many_outermost_keys_the_most_frequent_have_columns() -> None:
    documents = [{"often": 1, f"k{number}": 1, f"t{number % 10}": 1} for number in range(20)]
    for columns, named in [(5, 5), (20, 11)]:
        draft = draft_of(*documents, options=DraftOptions(columns=columns))
        assert len(fields_of(draft)) == named
        assert "often" in fields_of(draft)
        assert len(draft.rest) == 31 - named
        rows = rows_of(draft, documents).rows
        assert json.loads(rows[-1]["_rest"])["k19"] == 1


def test_top_level_keys_without_number_are_refused() -> None:
    with pytest.raises(DatasetError, match="more than 20,000 different keys"):
        draft_of(*({f"k{number}": 1} for number in range(20 * MOST_KEYS + 1)))


# -------------------------------------------------------------------------------- partitions


def days(count: int) -> list[dict[str, Any]]:
    """Return documents of so many days."""
    return [
        {"at": f"{2020 + day // 336}-{day // 28 % 12 + 1:02}-{day % 28 + 1:02}T00:00:00Z"}
        for day in range(count)
    ]


def test_the_partitions_of_the_samples_are_counted() -> None:
    draft = draft_of(*days(60))
    assert 'partition_by = ["date(at)"]' in draft.config
    assert draft.partitions == 60


def test_too_many_partitions_are_made_coarser() -> None:
    documents = days(400)
    draft = draft_of(*documents)
    assert draft.partitions <= 100
    assert "date(at) 400" in draft.config
    assert len(rows_of(draft, documents).rows) == 400


# ------------------------------------------------------------------------------ other forms


@pytest.mark.parametrize(
    ("text", "logical", "attributes"),
    [
        ("2026-11-23T09:30:00.123+0000", "timestamp", {"formats": ["basic-offset"]}),
        ("2026-11-23 09:30:00", "local-timestamp", {"formats": ["space"]}),
        (
            "2026-11-23 09:30:00,771+0000",
            "timestamp",
            {"formats": ["space", "comma", "basic-offset"]},
        ),
        ("2016-10-21 05:33:37.523000", "local-timestamp", {"formats": ["space"]}),
        ("Mon, 23 Nov 2026 09:30:00 GMT", "timestamp", {"formats": ["rfc2822"]}),
        ("23 Nov 2026 09:30:00 +0100", "timestamp", {"formats": ["rfc2822"]}),
        ("23/Nov/2026:09:30:00 +0000", "timestamp", {"formats": ["%d/%b/%Y:%H:%M:%S %z"]}),
        ("20261123T093000Z", "timestamp", {"formats": ["%Y%m%dT%H%M%S%z"]}),
        ("2026/11/23 09:30:00", "local-timestamp", {"formats": ["%Y/%m/%d %H:%M:%S"]}),
        ("2026-11-23T09:30Z", "timestamp", {"formats": ["no-seconds"]}),
        ("11/23/2026 09:30", "local-timestamp", {"formats": ["%m/%d/%Y %H:%M"]}),
    ],
)
def test_times_in_other_forms_are_drafted_with_their_forms(
    text: str, logical: str, attributes: dict[str, Any]
) -> None:
    draft = draft_of({"n": 1, "started": text})
    field = fields_of(draft)["started"]
    assert field["type"] == {"type": "long", "logicalType": f"{logical}-micros"}
    assert field["formats"] == attributes["formats"]
    assert 'partition_by = ["date(started)"]' in draft.config
    assert rows_of(draft, [{"n": 1, "started": text}]).letters == []


def test_forms_of_one_field_are_drafted_together() -> None:
    texts = ["2026-11-23T09:30:00Z", "2026-11-23 09:30:00+00:00", "2026-11-23T09:30:00,5Z"]
    assert field_of(*texts)["formats"] == ["space", "comma"]
    assert field_of("2026-11-23 09:30:00", "2026-11-23 09:30:00Z")["type"] == "string"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1795426200", '"epoch": "seconds" with "accept": ["text"]'),
        ("1795426200.5", '"epoch": "seconds" with "accept": ["text"]'),
        ("1795426200123", '"epoch": "millis" with "accept": ["text"]'),
        ("1795426200123456789", '"epoch": "nanos" with "accept": ["text"]'),
        ("03/04/2026 09:30", '"formats" with a pattern'),
    ],
)
def test_what_may_be_a_time_is_hinted_at(text: str, hint: str) -> None:
    draft = draft_of({"n": 1, "started_at": text})
    assert fields_of(draft)["started_at"]["type"] == "string"
    assert hint in fields_of(draft)["started_at"]["doc"]
    assert "#   started_at: " in draft.config
    assert "no field is a time" not in draft.config
    assert rows_of(draft, [{"n": 1, "started_at": text}]).letters == []


@pytest.mark.parametrize("key", ["timeUnixNano", "startTimeUnixNano", "ts_ns", "sent_at_nanos"])
def test_a_time_whose_key_ends_in_its_unit_is_hinted_at(key: str) -> None:
    hint = 'hint: looks like nanos since 1970, as text: "epoch": "nanos" with "accept": ["text"]'
    assert hint in field_of("1795426200123456789", key=key)["doc"]
    millis = key.replace("Nano", "Millis").replace("nanos", "millis").replace("ns", "ms")
    assert "hint: looks like millis since 1970" in field_of(1795426200123, key=millis)["doc"]


@pytest.mark.parametrize("text", ["2026-13-23 09:30:00", "12", "1795426200", "Monday", "1/2"])
def test_what_is_no_time_is_not_named(text: str) -> None:
    assert "doc" not in field_of(text)


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["@timestamp", "id.orig-h", "größe"], ["timestamp", "id_orig_h", "große"]),
        (["@ts", "ts"], ["ts_2", "ts"]),
        (["id", "ID", "id_2"], ["id", "ID_2", "id_2_2"]),
        (["1st", "", "日本"], ["_1st", "field", "field_2"]),
        (["x" * 100, "x" * 101], ["x" * 63, "x" * 63 + "_2"]),
    ],
)
def test_keys_become_names_that_differ_by_more_than_case(keys: list[str], names: list[str]) -> None:
    plain = [name.replace("ß", "") for name in names]
    assert list(column_names(keys).values()) == plain


def test_a_reserved_name_gets_a_suffix_and_keeps_its_key() -> None:
    draft = draft_of({"_source": "x", "_Document": 1, "inner": {"_source": 1}})
    fields = fields_of(draft)
    assert fields["_source_2"]["jsonName"] == "_source"
    assert fields["_Document_2"]["jsonName"] == "_Document"
    assert fields["inner"]["type"]["fields"][0]["name"] == "_source"
    (row,) = rows_of(draft, [{"_source": "x", "_Document": 1, "inner": {"_source": 1}}]).rows
    assert (row["_source_2"], row["_Document_2"]) == ("x", 1)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a/b/conn.ndjson.gz", "conn"),
        ("Web Orders.2026.jsonl", "web_orders"),
        ("2026-11.json", "from_2026_11"),
        ("-", "documents"),
        ("unrouted.json", "documents"),
        (".hidden", "hidden"),
        ("日本.json", "documents"),
        ("x" * 100, "x" * 63),
    ],
)
def test_a_files_name_becomes_a_datasets(file: str, name: str) -> None:
    assert dataset_name(file) == name
    check_name(name)


# ------------------------------------------------------------------------------- dataset.toml


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": 1}, ["date()"]),
        ({"at": "2026-11-23T09:30:00Z"}, ["date(at)"]),
        ({"day": "2026-11-23", "at": "2026-11-23T09:30:00Z"}, ["date(at)"]),
        ({"local": "2026-11-23T09:30:00", "day": "2026-11-23"}, ["date(day)"]),
        ({"date": "2026-11-23"}, ["date"]),
        ({"date": 5, "at": "2026-11-23T09:30:00Z"}, []),
        ({"Date": 5}, []),
    ],
)
def test_partitions_are_by_the_best_time(document: dict[str, Any], expected: list[str]) -> None:
    dataset = dataset_of(draft_of(document))
    assert [partition.text for partition in dataset.partition_by] == expected
    assert dataset.event_time is None


def test_a_time_that_all_documents_have_goes_first() -> None:
    stamp = "2026-11-23T09:30:00Z"
    draft = draft_of({"maybe": stamp, "always": stamp}, {"always": stamp})
    assert 'partition_by = ["date(always)"]' in draft.config
    assert '# event_time = "always"' in draft.config


@pytest.mark.parametrize("value", ["order", '\x7f\n"\\🦈', 7, -(2**63), True])
def test_match_is_what_all_documents_say(value: Any) -> None:
    dataset = dataset_of(draft_of({"@type": value}, {"@type": value}, match_field="@type"))
    assert repr(dataset.match) == repr(Matching((Match("@type", value),)))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["a", "b"], "different values"),
        ([1, True], "different values"),
        (["a", ...], "absent"),
        ([1.5], "not a string, an integer or a boolean"),
        ([None], "not a string, an integer or a boolean"),
        ([["a"]], "not a string, an integer or a boolean"),
        ([2**63], "not a string, an integer or a boolean"),
    ],
)
def test_match_needs_one_value_that_can_be_one(values: list[Any], why: str) -> None:
    documents = [{"k": 1} | ({} if value is ... else {"t": value}) for value in values]
    with pytest.raises(DatasetError, match=why):
        draft_of(*documents, match_field="t")


@pytest.mark.parametrize(
    "document", [{"metadata": {"table-name": "orders"}}, {"metadata.table-name": "orders"}]
)
def test_a_nested_match_field_is_drafted(document: dict[str, Any]) -> None:
    drafted = dataset_of(draft_of(document, document, match_field="metadata.table-name"))
    assert drafted.match is not None
    assert drafted.match.conditions == (Match("metadata.table-name", "orders"),)
    assert drafted.match.conditions[0].find(document) == "orders"


@pytest.mark.parametrize("field", ["$.metadata.table-name", "$['metadata']['table-name']"])
def test_a_match_field_may_be_a_path(field: str) -> None:
    document = {"metadata": {"table-name": "orders"}, "metadata.table-name": "other"}
    draft = draft_of(document, document, match_field=field)
    assert 'field = "$.metadata.table-name"' in draft.config
    drafted = dataset_of(draft)
    assert drafted.match is not None
    assert drafted.match.conditions == (Match(("metadata", "table-name"), "orders"),)


def test_without_a_match_field_the_likely_one_stands_in_a_comment() -> None:
    draft = draft_of({"type": "a", "kind": "x"}, {"type": "b", "kind": "x"})
    assert '# field = "kind"\n# equals = "x"\n' in draft.config
    assert dataset_of(draft).match is None


# ------------------------------------------------------------------------------ its own samples


def test_good_ndjson_shows_what_is_absent_null_and_there() -> None:
    documents = [{"a": 1}] * 50 + [{"a": 1, "b": None}] + [{"a": 2, "b": {"c": 1}}] * 50
    documents += [{"a": 3, "b": {"c": 1, "d": 1}}]
    good = [json.loads(line) for line in draft_of(*documents).good]
    assert good == [{"a": 1}, {"a": 1, "b": None}, {"a": 2, "b": {"c": 1}}, documents[-1]]


@given(like_documents() | st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1))
def test_every_document_becomes_a_row_of_the_draft_made_from_it(documents: list[Any]) -> None:
    try:
        draft = draft_of(*documents)
    except DatasetError as error:
        assert "No key of the documents" in str(error)  # noqa: PT017 - most have one
        return
    stored = rows_of(draft, documents)
    assert [letter["message"] for letter in stored.letters] == []
    assert len(stored.rows) == len(documents)
    assert len(rows_of(draft, draft.good).rows) == len(draft.good)
    keys = {entry.get("jsonName", name): name for name, entry in fields_of(draft).items()}
    for document, row in zip(documents, stored.rows, strict=True):
        rest = json.loads(row["_rest"] or "{}")
        for key, value in document.items():
            assert value is None or key in rest or row[keys[key]] is not None


@pytest.mark.parametrize("name", SHIPPED)
def test_the_samples_of_each_shipped_dataset_become_rows_of_a_draft(name: str) -> None:
    lines = (ROOT / "schemas" / name / "good.ndjson").read_bytes().splitlines()
    draft = draft_of(*lines, match_field="@stream")
    stored = rows_of(draft, lines)
    assert (len(stored.rows), stored.letters) == (len(lines), [])


def test_every_kind_of_the_real_input_becomes_rows_of_its_draft() -> None:
    named = os.environ.get("PIPELINE_SHARED_DATA")
    file = (Path(named) if named else ROOT.parent / "shared" / "data") / "zeek.ndjson"
    if not file.is_file():
        pytest.skip(f"there is no {file}")
    kinds: dict[str, list[bytes]] = {}
    for line in file.read_bytes().splitlines():
        kinds.setdefault(json.loads(line)["@stream"], []).append(line)
    assert len(kinds) == 12
    for kind, lines in kinds.items():
        draft = draft_of(*lines, match_field="@stream")
        stored = rows_of(draft, lines)
        assert (len(stored.rows), stored.letters, draft.rest) == (len(lines), [], ()), kind
        assert 'partition_by = ["date(ts)"]' in draft.config


# -------------------------------------------------------------------------------- the command


def infer(*arguments: object) -> int:
    """Run the command."""
    return main(["infer", *map(str, arguments)])


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what stands on stderr: one line, and nothing on stdout."""
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("pipeline: ")
    return err


LINES = b'{"id": 1, "at": "2026-11-23T09:30:00Z"}\n\n[1]\nnonsense\n{"id": 2, "mix": "a"}\r\n'


@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
def test_it_writes_a_folder_that_check_accepts(
    packed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "plain": bytes,
        "gzip": gzip.compress,
        "zstd": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    }
    file, out = tmp_path / "Orders.ndjson", tmp_path / "deep" / "schemas"
    file.write_bytes(pack[packed](LINES))
    assert infer(file, "--out", out) == 0
    shown = capsys.readouterr().out
    assert "2 documents looked at\n" in shown
    assert "1 documents would be dead letters: JSON, but not an object; the first: " in shown
    assert "1 documents would be dead letters: not JSON; the first: " in shown
    assert "at     timestamp-micros, nullable  guess: a time with its zone" in shown
    assert f"pipeline check {out}" in shown
    assert sorted(path.name for path in (out / "orders").iterdir()) == [
        "1.avsc", "dataset.toml", "good.ndjson",
    ]  # fmt: skip
    assert read_dataset(out / "orders").name == "orders"
    assert (out / "orders" / "good.ndjson").read_bytes().count(b"\n") == 2
    assert main(["check", str(out), "--quiet"]) == 0


def test_what_no_one_type_holds_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_bytes(b'{"a": 1, "b": 1}\n')
    (tmp_path / "b").write_bytes(b'{"a": 1, "b": "x"}\n')
    assert infer(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "s", "--name", "both") == 0
    assert "guess: any JSON, as text; it holds numbers and strings\n" in capsys.readouterr().out
    assert read_dataset(tmp_path / "s" / "both").schema.names[-2:] == ["a", "b"]


def test_it_looks_at_so_many_documents_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b'{"a": 1}\n' * 3 + b'{"a": 1, "b": 1}\n')
    assert infer(tmp_path / "f", "--out", tmp_path, "--name", "few", "--documents", 3) == 0
    assert infer(tmp_path / "f", "--out", tmp_path, "--name", "all") == 0
    assert read_dataset(tmp_path / "few").schema.names[-1:] == ["a"]
    assert read_dataset(tmp_path / "all").schema.names[-2:] == ["a", "b"]


def test_it_reads_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(LINES)))
    monkeypatch.chdir(tmp_path)
    assert infer("-") == 0
    assert read_dataset(tmp_path / "schemas" / "documents").schema.names[-3:] == ["id", "at", "mix"]


def test_it_touches_no_folder_that_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_bytes(LINES)
    (tmp_path / "taken").mkdir()
    assert infer(tmp_path / "f", "--out", tmp_path, "--name", "taken") == 1
    assert "exists already" in one_sentence(capsys)
    assert list((tmp_path / "taken").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        (b"", "the input is empty"),
        (b"\n \n", "the input is empty"),
        (b'["a",\n "b"]\n', "1 is JSON, but not an object (the first: "),
        (b'{"a": NaN}\n', "of 1 texts none is a JSON object that becomes a row: 1 is not JSON"),
        (b"\xff\xfe{\x00", "1 is not UTF-8 (the first: "),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "which PIPELINE_MAX_DOCUMENT_BYTES sets"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "deeper than 256 levels"),
        (gzip.compress(LINES, mtime=0)[:-12], "cannot be read past byte"),
        (b"\x1f\x8b\x08garbage", "cannot be read past byte"),
        (b"\x28\xb5\x2f\xfdgarbage", "cannot be read past byte"),
    ],
)
def test_what_it_cannot_use_is_one_sentence(
    content: bytes | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    out = tmp_path / "schemas"
    assert infer(tmp_path / "f", "--out", out) == 1
    assert sentence in one_sentence(capsys)
    assert not out.exists()


def test_a_wrong_name_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(tmp_path / "no such file", "--name", "Orders", "--out", tmp_path) == 1
    assert "a dataset's name is a lower-case letter" in one_sentence(capsys)


@pytest.mark.parametrize("key", ['ty"pe', "ty\\pe", "type\n"])
def test_a_match_field_that_no_dataset_can_have_is_one_sentence(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any document is read: there is no such file."""
    assert infer(tmp_path / "no such file", "--match-field", key, "--out", tmp_path) == 1
    assert "[match] field must have no quote" in one_sentence(capsys)
