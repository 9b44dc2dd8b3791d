"""Every rule of a dataset that can be broken stops the start, naming file and field."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, as_json, chunk_of, dataset

from pipeline.adapters.schemas import read_datasets
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset, check_together, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.routing import Router
from pipeline.core.rules import check_rules

if TYPE_CHECKING:
    from pathlib import Path

TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
ID = {"name": "id", "type": "long"}
AT = {"name": "at", "type": TIMESTAMP}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}


def inner(*fields: dict[str, Any], name: str = "Inner") -> dict[str, Any]:
    """Make a record type."""
    return {"type": "record", "name": name, "fields": list(fields)}


def field_of(kind: Any, **attributes: Any) -> dict[str, Any]:
    """Make a field named `f`."""
    return {"name": "f", "type": kind, **attributes}


# --------------------------------------------------------------------------- one field


@pytest.mark.parametrize(
    ("field", "says"),
    [
        # types
        (field_of(["int", "string"]), "union"),
        (field_of(["null", "int", "string"]), "union"),
        (field_of(["null"]), "union"),
        (field_of("null"), "a column of nulls alone"),
        (field_of({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}), "duration"),
        (field_of({"type": "long", "logicalType": "timestamp-nanos"}), "timestamp-nanos"),
        (field_of({"type": "string", "logicalType": "date"}), "'date' on string"),
        (field_of({"type": "bytes", "logicalType": "decimal", "precision": 77}), "precision"),
        (field_of({"type": "fixed", "name": "F", "size": 0}), "size of 1 to"),
        (field_of({"type": "fixed", "name": "F", "size": 2**40}), "size of 1 to"),
        (field_of({"type": "array", "items": "Thing"}), "contains itself"),
        (field_of({"type": "array", "items": "Other"}), "'Other' is not supported"),
        (field_of(["null", "Other"]), "'Other' is not supported"),
        (field_of({"type": {"type": {"type": "string"}}}), "inside a type object"),
        (field_of({"type": {"type": "string"}}), "inside a type object"),
        (field_of({"type": "Other"}), "'Other' is not supported"),
        (field_of({}), 'lacks "type"'),
        (field_of({"type": "array"}), 'lacks "items"'),
        (field_of({"type": "map"}), 'lacks "values"'),
        (field_of(inner({"name": "x", "type": ["null", "Inner"]})), "contains itself"),
        (field_of(inner()), "at least one field"),
        # names
        (field_of("int", jsonName=5), "jsonName"),
        (field_of("int", jsonName='a"b'), "quote"),
        (field_of("int", jsonName="a\\b"), "backslash"),
        (field_of("int", jsonName="a\tb"), "control character"),
        (field_of("int", jsonName="\ud800"), "surrogate"),
        (field_of("int", jsonName="id"), "same JSON key"),
        ({"name": "ID", "type": "int"}, "differ in case"),
        ({"name": "_source", "type": "string"}, "identity column"),
        ({"name": "_Sequence_Number", "type": "string"}, "identity column"),
        ({"name": "_sub_sequence_number", "type": "long"}, "identity column"),
        ({"name": "_document", "type": "int"}, "identity column"),
        ({"name": "_arrived_at", "type": "long"}, "identity column"),
        # defaults
        (field_of("int", default="1"), "default"),
        (field_of("int", default=2**31), "default"),
        (field_of("int", default=None), "default"),
        (field_of({"type": "bytes", "logicalType": "decimal", "precision": 3}, default=None), "default"),
        (field_of(ENUM, default="C"), "default"),
        (field_of(TIMESTAMP, default="yesterday"), "default"),
        (field_of({"type": "bytes", "logicalType": "decimal", "precision": 3}, default=1000), "default"),
        (field_of({"type": "string", "logicalType": "uuid"}, default="1"), "default"),
        (field_of({"type": "array", "items": "int"}, default=[None]), "default"),
        (field_of(inner({"name": "x", "type": "int"}), default={}), "default"),
        (field_of("int", default=0, minimum=5), "its default: The number is below"),
        (field_of("string", default="a", pattern="^b$"), "its default: The string does not match"),
        (field_of(inner({"name": "x", "type": "int", "maximum": 1}), default={"x": 2}), "its default"),
        (field_of({"type": "array", "items": inner({"name": "x", "type": "int", "default": 0, "minimum": 5})}), r"field f\[\]\.x: its default"),
        (field_of({"type": "map", "values": inner({"name": "x", "type": TIMESTAMP, "default": "now"})}), r"field f{}\.x: its default"),
        # rules
        (field_of("string", minimum=1), "belongs on numbers"),
        (field_of("int", minLength=1), "belongs on strings"),
        (field_of("int", pattern="1"), "belongs on strings"),
        (field_of("int", minimum="many"), "must be a number"),
        (field_of("int", minimum="5"), "must be a number"),
        (field_of("int", maximum=True), "must be a number"),
        (field_of("int", minimum=10**400), "a double can hold"),
        (field_of("double", maximum=-(10**400)), "a double can hold"),
        (field_of("int", minimum=2, maximum=1), '"minimum" is above "maximum"'),
        (field_of("string", minLength=2, maxLength=1), '"minLength" is above "maxLength"'),
        (field_of("string", minLength=-1), "whole number"),
        (field_of("string", maxLength=1.5), "whole number"),
        (field_of("string", pattern="(?=a)"), "RE2"),
        (field_of("string", pattern="("), "RE2"),
        (field_of("string", pattern=7), "string"),
        (field_of({"type": "int", "minimum": 1}), "belongs on the field"),
        # epoch
        (field_of("long", epoch="seconds"), "epoch"),
        (field_of(TIMESTAMP, epoch="days"), "epoch"),
        (field_of(TIMESTAMP, epoch="minutes"), "epoch"),
        (field_of({"type": "int", "logicalType": "date"}, epoch="seconds"), "epoch"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_stops_the_start(field: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetError, match=says) as refusal:
        dataset(ID, field)
    assert "schemas/things/1.avsc" in str(refusal.value)
    assert field["name"] in str(refusal.value) or says in {"differ in case", "same JSON key"}


def test_the_field_is_named_with_its_whole_path() -> None:
    deep = inner({"name": "list", "type": {"type": "array", "items": ["int", "string"]}})
    with pytest.raises(DatasetError, match=r"1\.avsc, field f\.list\[\]: a union"):
        dataset(field_of(deep))


@pytest.mark.parametrize("bound", ["1e400", "-1e400", "1e999999", "-1e99999999999999999999"])
def test_a_bound_that_no_double_can_hold_stops_the_start(bound: str) -> None:
    field = f'{{"name":"f","type":"long","minimum":{bound}}}'
    with pytest.raises(DatasetError, match=r"field f: .* a double can hold"):
        parse_dataset("things", {1: f'{{"type":"record","name":"T","fields":[{field}]}}'}, "")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '"record"', "null", '{"type":"enum","name":"E","symbols":["A"]}',
        '{"type":"record","name":"T"}', '{"type":"record","fields":[]}',
        '{"type":"record","name":"T","fields":[]}', '{"type":"record","name":"T","fields":[1]}',
        '{"type":"record","name":"T","fields":[{"name":"a"}]}',
        '{"type":"record","name":"T","fields":[{"type":"int"}]}',
        '{"type":"record","name":"T","fields":[{"name":"a-b","type":"int"}]}',
        '{"type":"record","name":"T","fields":[{"name":"a.b","type":"int"}]}',
        '{"type":"record","name":"T","fields":[{"name":"a","type":"integer"}]}',
        '{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"array"}}]}',
        '{"type":"record","name":"T","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}',
    ],
)  # fmt: skip
def test_a_schema_that_is_no_record_of_fields_stops_the_start(text: str) -> None:
    with pytest.raises(DatasetError, match=r"schemas/things/1\.avsc"):
        parse_dataset("things", {1: text}, "")


# ------------------------------------------------------------------------ dataset.toml


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("partition_by = ", "TOML"),
        ("partition = []", "unknown setting 'partition'; there are csv, dead_letter_private, event_time"),
        ('partition_by = "id"', "list of strings"),
        ("partition_by = [1]", "list of strings"),
        ('partition_by = ["nowhere"]', "not a top-level field"),
        ('partition_by = ["inner.nowhere"]', "not a field in records"),
        ('partition_by = ["id.x"]', "not a field in records"),
        ('partition_by = ["date(at, Berlin)"]', "is not a field, or date"),
        ('partition_by = ["date(at, \\"Europe/Nowhere\\")"]', "no time zone 'Europe/Nowhere'"),
        ('partition_by = ["date(day, \\"Europe/Berlin\\")"]', "has no time zone"),
        ('partition_by = ["day(at)"]', "date\\(field\\)"),
        ('partition_by = ["date(id)"]', "not a timestamp"),
        ('partition_by = ["hour(day)"]', "not a timestamp"),
        ('partition_by = ["inner"]', "no short text"),
        ('partition_by = ["ratio"]', "no short text"),
        ('partition_by = ["at"]', "no short text"),
        ('partition_by = ["date(at)", "date()"]', "two partition columns"),
        ('partition_by = ["id", "id"]', "two partition columns"),
        ('partition_by = ["hour()"]', "name of a field of schemas/.*/1.avsc. Give that"),
        ('formats = "csv"', "formats"),
        ("formats = []", "formats"),
        ('formats = ["orc"]', "formats"),
        ('formats = [["csv"]]', "formats"),
        ('unknown_fields = "drop"', "unknown_fields"),
        ("unknown_fields = []", "unknown_fields"),
        ('event_time = "id"', "event_time"),
        ('event_time = "local"', "event_time"),
        ('event_time = "nowhere"', "not a top-level field"),
        ("event_time = 1", "event_time"),
        ('event_time_window = ["-1d", "1d"]', "needs event_time"),
        ('event_time = "at"\nevent_time_window = ["-1d"]', "two durations"),
        ('event_time = "at"\nevent_time_window = ["-1w", "1d"]', "'-1w' is not a duration"),
        ('event_time = "at"\nevent_time_window = [1, 2]', "not a duration"),
        ('event_time = "at"\nevent_time_window = ["-1d", "1000001d"]', "a million days"),
        ('event_time = "at"\nevent_time_window = ["-999999999h", "1d"]', "a million days"),
        ('event_time = "at"\nevent_time_window = ["1d", "-1d"]', "ends before it begins"),
        ('match = "order"', "match"),
        ('[match]\nfield = "type"', "match"),
        ('[match]\nfield = "type"\nequals = 1.5', "match"),
        ('[match]\nfield = 1\nequals = "a"', "match"),
        ('[match]\nfield = "type"\nequals = "a"\nother = 1', "match"),
        (f'[match]\nfield = "type"\nequals = {2**70}', "match"),
        ('[match]\nfield = "ty\\"pe"\nequals = "a"', "quote"),
        ('[match]\nfield = "type\\n"\nequals = "a"', "control character"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used_stops_the_start(config: str, says: str) -> None:
    fields = [
        ID,
        AT,
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "ratio", "type": "double"},
        {"name": "hour", "type": "int"},
        {"name": "inner", "type": inner({"name": "x", "type": "int"})},
    ]
    with pytest.raises(DatasetError, match=says) as refusal:
        Router(check_together([dataset(*cast("list[dict[str, Any]]", fields), config=config)]))
    assert "schemas/things/dataset.toml" in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["unrouted", "Orders", "1st", "a-b", "", "a" * 64, "..", "é", "a\n"]
)
def test_a_name_that_is_no_datasets_name_stops_the_start(name: str) -> None:
    with pytest.raises(DatasetError, match="schemas/"):
        dataset(ID, name=name)


def test_the_longest_name_is_fine() -> None:
    assert dataset(ID, name="a" * 63).name == "a" * 63


# ---------------------------------------------------------------------- several datasets


def matching(name: str, equals: str, field: str = "type") -> Dataset:
    """Make a dataset with a [match]; `equals` is TOML."""
    return dataset(ID, name=name, config=f'[match]\nfield = "{field}"\nequals = {equals}')


@pytest.mark.parametrize(
    ("datasets", "says"),
    [
        ([], "There are no datasets"),
        ([dataset(ID, name="a"), dataset(ID, name="b")], r"a and b both lack \[match\]"),
        ([matching("a", '"x"'), matching("b", '"x"')], "a and b match the same documents"),
        ([matching("a", '"x"', "t"), matching("b", '"y"', "u")], "same field"),
    ],
)
def test_datasets_that_do_not_go_together_stop_the_start(
    datasets: list[Dataset], says: str
) -> None:
    with pytest.raises(DatasetError, match=says):
        check_together(datasets)


def test_values_of_different_types_are_different_matches() -> None:
    """1, true and "1" are three values in JSON."""
    made = check_together([matching("a", "1"), matching("b", "true"), matching("c", '"1"')])
    documents = [b'{"type":1,"id":1}', b'{"type":true}', b'{"type":"1"}', b'{"type":1.0}', b"{}"]
    parts, rejects = Router(made).route(chunk_of(*documents))
    assert [(dataset.name, chunk.payloads) for dataset, chunk in parts] == [
        ("a", documents[:1]),
        ("b", documents[1:2]),
        ("c", documents[2:3]),
    ]
    assert [reject.payload for reject in rejects] == documents[3:]


@pytest.mark.parametrize("text", ["0", "-0"])
def test_integers_are_matched_by_value(text: str) -> None:
    """Of all integers 0 alone has a second spelling in JSON."""
    document = b'{"type":%s,"id":1}' % text.encode()
    parts, rejects = Router([matching("a", "0")]).route(chunk_of(document))
    assert not rejects
    assert [chunk.payloads for _, chunk in parts] == [[document]]


def test_a_dataset_without_match_takes_the_rest() -> None:
    made = check_together([matching("a", '"x"'), dataset(ID, name="rest")])
    documents = [b'{"type":"y"}', rb'{"\u0074ype":"\u0078"}', b"[]", b"nonsense", b'{"type":null}']
    parts, rejects = Router(made).route(chunk_of(*documents))
    assert not rejects
    assert {dataset.name: chunk.payloads for dataset, chunk in parts} == {
        "a": documents[1:2],
        "rest": [documents[0], *documents[2:]],
    }


def test_of_a_repeated_match_key_the_last_one_counts() -> None:
    made = check_together([matching("a", '"x"'), matching("b", '"y"')])
    parts, _ = Router(made).route(chunk_of(b'{"type":"x","type":"y"}'))
    assert [dataset.name for dataset, _ in parts] == ["b"]


SPELLINGS = st.sampled_from([
    b'{"type":%s}' % text
    for text in (
        b'"x"', rb'"\u0078"', rb'"\u005a"', b'"Z"', b"1", b"1.0", b"-0", b"0", b"-0.0", b"1e0", b"true",
        b"null", b"1e999", b"%d" % 2**70, b'{"type":1}', b'["x"]', b'""', b'"',
    )
] + [b"{}", b"[]", b"", rb'{"\u0074ype":"x"}', b'{"type":1,"type":"x"}'])  # fmt: skip


@given(st.lists(SPELLINGS, max_size=5), st.booleans())
def test_the_fast_path_routes_as_the_exact_one_does(documents: list[bytes], rest: bool) -> None:
    made = [matching("a", "1"), matching("b", "true"), matching("c", '"x"'), matching("d", "0")]
    router = Router([*made, dataset(ID, name="rest")] if rest else made)
    chunk = chunk_of(*documents)
    assert router.route(chunk, fast=True) == router.route(chunk, fast=False)


# ----------------------------------------------------------------------------- the folder


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write a folder of datasets."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


ONE = json.dumps(inner(ID))
TWO = json.dumps(inner(ID, AT))


def test_the_highest_version_is_current(tmp_path: Path) -> None:
    """By number: 10 comes after 9."""
    files: dict[str, str | bytes] = {"a/9.avsc": ONE, "a/10.avsc": TWO, "a/dataset.toml": ""}
    (dataset,) = read_datasets(write(tmp_path, {**files, ".git/config": "", "README.md": ""}))
    assert dataset.version == 10
    assert "at" in dataset.schema.names


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no datasets"),
        ({"a/1.avsc": ONE}, r"dataset\.toml is missing"),
        ({"a/dataset.toml": ""}, "no schema"),
        ({"a/dataset.toml": "", "a/v1.avsc": ONE}, r"v1\.avsc is not named by its version"),
        ({"a/dataset.toml": "", "a/01.avsc": ONE}, r"01\.avsc is not named by its version"),
        ({"a/dataset.toml": b"\xff", "a/1.avsc": ONE}, r"dataset\.toml is not UTF-8"),
        ({"A/dataset.toml": "", "A/1.avsc": ONE}, "lower-case"),
    ],
)
def test_a_folder_that_cannot_be_read_stops_the_start(
    tmp_path: Path, files: dict[str, str | bytes], says: str
) -> None:
    with pytest.raises(DatasetError, match=says):
        read_datasets(write(tmp_path, files))


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a directory"):
        read_datasets(tmp_path / "nowhere")


# ----------------------------------------------------------------------------- anything

SCHEMAS = [json.loads(path.read_text()) for path in sorted(ROOT.glob("schemas/*/1.avsc"))]
JUNK: list[Any] = [
    None, True, -1, 0, 1.5, "", "int", "null", "Status", [], ["null"], {}, {"type": "int"}, 10**20,
    "1e500", {"type": "array", "items": "int"}, {"type": "enum", "name": "N", "symbols": []},
    {"type": "fixed", "name": "F", "size": 0}, {"type": "fixed", "name": "F", "size": -1},
]  # fmt: skip
NAMES = [
    "default", "minimum", "maximum", "minLength", "maxLength", "pattern", "epoch", "jsonName",
    "logicalType", "precision", "scale", "size", "symbols", "name", "type", "fields", "items",
    "values", "namespace", "aliases",
]  # fmt: skip


def places(value: Any) -> list[Any]:
    """List every object and array of a JSON value."""
    if isinstance(value, dict):
        return [value] + [place for inside in value.values() for place in places(inside)]
    if isinstance(value, list):
        return [value] + [place for inside in value for place in places(inside)]
    return []


@given(st.randoms(use_true_random=False))
def test_any_schema_is_a_dataset_or_stops_the_start(chance: random.Random) -> None:
    """No other error; and what was accepted can judge documents."""
    schema = json.loads(json.dumps(chance.choice(SCHEMAS)))
    for _ in range(chance.randint(1, 3)):
        place = chance.choice(places(schema))
        junk = json.loads(json.dumps(chance.choice(JUNK)))
        if isinstance(place, dict):
            place[chance.choice([*place, *NAMES])] = junk
        elif place:
            place[chance.randrange(len(place))] = junk
    try:
        dataset = parse_dataset("things", {1: json.dumps(schema)}, "")
    except DatasetError as error:
        assert "schemas/things/1.avsc" in str(error)  # noqa: PT017 - either way is right
    else:
        rows, _ = convert(chunk_of(b"{}", as_json({"id": 1})), dataset)
        check_rules(rows, dataset)
