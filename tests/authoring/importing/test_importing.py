"""Datasets from JSON Schema and from tables of Glue; and what could not be carried over."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import boto3
import fastjsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from support import as_json, deliver, kinesis_event

from pipeline.adapters.schemas import read_dataset
from pipeline.authoring.importing.glue_table import import_glue_table
from pipeline.authoring.importing.json_schema import import_json_schema
from pipeline.cli import main
from pipeline.core.dataset import parse_dataset
from pipeline.core.errors import DatasetError, FileError

if TYPE_CHECKING:
    from pathlib import Path

ORDER: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "required": ["id", "at", "kind"],
    "additionalProperties": False,
    "$defs": {
        "address": {
            "type": "object",
            "properties": {
                "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
                "self": {"$ref": "#/$defs/address"},
            },
        }
    },
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "at": {"type": "string", "format": "date-time"},
        "kind": {"enum": ["a", "b"]},
        "note": {"type": ["string", "null"], "maxLength": 10},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "n": {"type": "number", "exclusiveMinimum": 0}},
                "required": ["sku"],
            },
        },
        "ship-to": {"$ref": "#/$defs/address"},
        "any": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "maybe": {"oneOf": [{"type": "null"}, {"type": "boolean"}]},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "look": {"type": "string", "pattern": "(?=x)"},
    },
}  # fmt: skip


def imported(schema: Any) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    made = import_json_schema(json.dumps(schema), "orders", "order.json")
    return json.loads(made.texts()[0])["fields"], made.left


def test_a_json_schema_becomes_a_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    command = ["import", "json-schema", str(tmp_path / "order.json"), "--out", str(tmp_path / "s")]
    assert main(command) == 0
    assert capsys.readouterr().out == (
        f"wrote 1.avsc and dataset.toml to {tmp_path}/s/order: 10 fields\n\n"
        "not carried over, or not as it was:\n"
        "  $.lines[].n: exclusiveMinimum is not carried over\n"
        "  $.lines: minItems is not carried over\n"
        '  $["ship-to"].self: it holds itself, which no table can: JSON text\n'
        "  $.any: anyOf of several types: JSON text\n"
        "  $.look: pattern is not carried over\n\n"
        f"read and correct them, then: pipeline check {tmp_path}/s\n"
    )
    assert main(["check", str(tmp_path / "s"), "--quiet"]) == 0
    made = read_dataset(tmp_path / "s" / "order")
    good = {"id": 1, "at": "2026-11-27T09:30:00Z", "kind": "a", "any": 5, "tags": {"a": "b"}}
    bad = [good | {"id": 0}, good | {"kind": "c"}, good | {"more": 1}, good | {"note": "x" * 11}]
    stored = deliver(kinesis_event([as_json(each) for each in (good, *bad)]), [made])
    assert [(row["id"], row["any"]) for row in stored.rows] == [(1, "5")]
    assert [letter["reason"] for letter in stored.letters] == [
        "below_minimum", "unknown_symbol", "unknown_field", "too_long",
    ]  # fmt: skip
    assert main(command) == 1
    assert "exists already, and nothing in it was changed" in capsys.readouterr().err


# What of JSON Schema is carried over whole: then another validator has the same verdict.
SCALARS = st.sampled_from([
    {"type": "string"}, {"type": "string", "minLength": 2}, {"type": ["string", "null"]},
    {"type": "integer"}, {"type": "integer", "minimum": 2}, {"type": "number", "maximum": 5.5},
    {"type": "boolean"}, {"enum": ["a", "b"]}, {"const": "a"},
    {"oneOf": [{"type": "null"}, {"type": "integer"}]},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    {"type": "object", "additionalProperties": {"type": "integer"}}, {"$ref": "#/$defs/d"},
])  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(["", "a", "b", "abc", True, False, 0, 1, 3, 7, 2.5]),
    st.lists(st.sampled_from([1, "a"]), max_size=2),
    st.dictionaries(st.sampled_from("xy"), st.sampled_from([1, "a"]), max_size=2),
)


@given(
    st.dictionaries(st.sampled_from("pqr"), SCALARS, min_size=1),
    st.sets(st.sampled_from("pqr")),
    st.data(),
)
def test_a_document_is_good_where_another_validator_says_so(
    properties: dict[str, Any], required: set[str], data: st.DataObject
) -> None:
    schema = {
        "type": "object",
        "properties": properties,
        # Null and absence are the same here, so what may be null cannot be required.
        "required": sorted(
            name for name in required & properties.keys() if "null" not in str(properties[name])
        ),
        "$defs": {"d": {"type": "integer"}},
    }
    made = import_json_schema(json.dumps(schema), "orders", "order.json")
    assert not made.left
    avsc, config = made.texts()
    dataset = parse_dataset("orders", {1: avsc}, config)
    document = data.draw(st.dictionaries(st.sampled_from("pqr"), VALUES))
    try:
        fastjsonschema.validate(schema, document)
        is_good = True
    except fastjsonschema.JsonSchemaException:
        is_good = False
    stored = deliver(kinesis_event([as_json(document)]), [dataset])
    assert bool(stored.rows) == is_good


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*"ab", "type", "properties", "items", "$ref", "anyOf", "allOf", "enum", "required", "pattern", "minLength"]),
        inner | st.sampled_from(["object", "array", "string", "#", "#/properties/a"]), max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@given(ANYTHING)
def test_whatever_is_given_is_imported_or_refused_in_a_sentence(schema: Any) -> None:
    inside = {"type": "object", "properties": {"a": schema, "b": schema}}
    for each in (schema, inside):
        with contextlib.suppress(FileError, DatasetError):
            avsc, _ = import_json_schema(json.dumps(each), "orders", "order.json").texts()
            assert json.loads(avsc)["type"] == "record"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "order.json is not JSON."),
        ("[]", "order.json does not describe an object by its properties"),
        ('{"type": "string"}', "order.json does not describe an object by its properties"),
    ],
)
def test_what_is_not_a_schema_of_documents_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(FileError) as error:
        import_json_schema(text, "orders", "order.json")
    assert str(error.value).startswith(sentence)


def test_parts_that_all_hold_are_one_record() -> None:
    parts = [{"$ref": "#/$defs/base"}, {"properties": {"b": {"type": "string"}}}]
    base = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
    fields, left = imported({"type": "object", "allOf": parts, "$defs": {"base": base}})
    assert [(field["name"], field["type"]) for field in fields] == [
        ("a", "long"),
        ("b", ["null", "string"]),
    ]
    assert not left


WITH_A = {"properties": {"a": {"type": "string"}}}
RULES: list[tuple[dict[str, Any], Any, list[tuple[str, str]]]] = [
    ({"properties": {"a": {"type": "integer", "enum": [1, 2]}}}, "long", [("$.a", "enum is not carried over")]),
    ({"properties": {"a": {"const": True}}}, "boolean", [("$.a", "const is not carried over")]),
    ({"properties": {"a": {"type": "number", "minimum": 10**400}}}, "double", [("$.a", "minimum is not carried over")]),
    ({"properties": {"a": {"enum": ["x", "x"]}}}, {"type": "enum", "name": "A", "symbols": ["x"]}, []),
    (WITH_A | {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, "string", [("$", "oneOf is not carried over")]),
    (WITH_A | {"required": ["b"]}, "string", [("$.b", "required, and not among the properties: left out")]),
    (WITH_A | {"additionalProperties": {"type": "integer"}}, "string", [("$", "additionalProperties is not carried over")]),
    ({"properties": {"a": {"$ref": "#/$defs/x%20y"}}, "$defs": {"x y": {"type": "string"}}}, "string", []),
    (
        {"properties": {"a": {"type": "string"}, 'b"': {}, "": {}}}, "string",
        [
            ('$["b\\""]', "a key that is empty, or has a quote, a backslash or a control character: left out"),
            ('$[""]', "a key that is empty, or has a quote, a backslash or a control character: left out"),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "type_", "left"), RULES)
def test_what_a_dataset_cannot_say_is_listed(
    schema: dict[str, Any], type_: Any, left: list[tuple[str, str]]
) -> None:
    fields, found = imported(schema)
    assert [(field["name"], field["type"]) for field in fields] == [("a", ["null", type_])]
    assert found == left


def test_unknown_members_are_refused_where_a_part_of_the_schema_refuses_them() -> None:
    for schema in (WITH_A | {"additionalProperties": False}, {"allOf": [WITH_A, {"additionalProperties": False}]}):  # fmt: skip
        made = import_json_schema(json.dumps(schema), "orders", "order.json")
        assert made.unknown_fields == "reject"


def test_columns_that_read_one_key_are_one_and_the_other_is_listed() -> None:
    columns = [{"Name": "a", "Type": "int"}, {"Name": "b", "Type": "string"}]
    parameters = {"mapping.a": "Key", "mapping.b": "Key", "case.insensitive": "FALSE"}
    storage = {"Columns": columns, "SerdeInfo": {"Parameters": parameters}}
    made = import_glue_table({"StorageDescriptor": storage}, "orders")
    assert [(field["name"], field["type"]) for field in made.fields] == [("Key", ["null", "int"])]
    assert made.left == [("b", "a second column of the key 'Key': left out")]
    assert "keys" not in made.texts()[1]


TABLE: dict[str, Any] = {
    "Name": "orders",
    "StorageDescriptor": {
        "Columns": [
            {"Name": "id", "Type": "bigint", "Comment": "the number"},
            {"Name": "total", "Type": "decimal(12, 2)"},
            {"Name": "placed_at", "Type": "timestamp"},
            {"Name": "small", "Type": "smallint"},
            {"Name": "code", "Type": "varchar(3)"},
            {"Name": "lines", "Type": "array<struct<sku:string,price:decimal(9,2),tags:map<string,int>>>"},
            {"Name": "odd", "Type": "uniontype<int,string>"},
        ],
        "SerdeInfo": {"Parameters": {"mapping.placed_at": "placedAt", "case.insensitive": "true"}},
    },
    "PartitionKeys": [{"Name": "dt", "Type": "string"}],
}  # fmt: skip


def test_a_table_of_glue_becomes_a_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    out = ["--out", str(tmp_path)]
    with mock_aws():
        glue: Any = boto3.client("glue", region_name="eu-central-1")
        glue.create_database(DatabaseInput={"Name": "shop"})
        glue.create_table(DatabaseName="shop", TableInput=TABLE)
        assert main(["import", "glue", "shop.orders", *out]) == 0
        printed = capsys.readouterr().out
        assert main(["import", "glue", "shop.other", *out]) == 1
        assert "Could not read the table shop.other of Glue" in capsys.readouterr().err
    assert main(["import", "glue", "orders", "--name", "other", *out]) == 1
    assert (
        "'orders' is not a table with its database; write DATABASE.TABLE."
        in capsys.readouterr().err
    )
    assert printed.splitlines()[2:7] == [
        "not carried over, or not as it was:",
        "  $.placedAt: timestamp: documents are to hold 2026-11-27T09:30:00Z, or give formats or epoch",
        "  $.odd: uniontype<int,string> has no type here: JSON text",
        "  dt: a partition key: say in partition_by what it is made of",
        "",
    ]
    made = read_dataset(tmp_path / "orders")
    good = {
        "id": 1, "total": "12.50", "placedAt": "2026-11-27T09:30:00Z", "small": 5, "code": "abc",
        "lines": [{"sku": "a", "price": 1.5, "tags": {"x": 1}}], "odd": [1],
    }  # fmt: skip
    others: list[Any] = [{}, {"ID": 2}, {"small": 2**15}, {"code": "abcd"}]
    stored = deliver(kinesis_event([as_json(each) for each in (good, *others)]), [made])
    # Glue has names in lower case alone, and its deserializers read them in any.
    assert [row["id"] for row in stored.rows] == [1, None, 2]
    assert [letter["reason"] for letter in stored.letters] == ["above_maximum", "too_long"]


@given(st.text(alphabet="<>(),:abintsruc struct array map decimal", max_size=40))
def test_whatever_type_a_column_has_is_read_or_json_text(text: str) -> None:
    table = {"StorageDescriptor": {"Columns": [{"Name": "a", "Type": text}]}}
    with contextlib.suppress(DatasetError):
        avsc, _ = import_glue_table(table, "orders").texts()
        assert json.loads(avsc)["fields"][0]["name"] == "a"
