"""What a schema says is done, or refused in a sentence: aliases, attributes, unions, defaults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from generated.documents import documents
from generated.schemas import Array, Made, Map, Record, datasets
from hypothesis import given
from hypothesis import strategies as st
from support import as_json, as_switched, chunk_of, dataset

from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import read_exactly, write_exactly

KIND = {"type": "enum", "name": "E", "symbols": ["A", "UNKNOWN"], "default": "UNKNOWN"}


def field_of(avro: Any, **more: Any) -> dict[str, Any]:
    return {"name": "f", "type": avro, **more}


def results(made_of: Dataset, *sent: Any) -> list[Any]:
    """Return for each document its row, or the reason and path of its reject; by both paths."""
    payloads = [document if isinstance(document, bytes) else as_json(document) for document in sent]
    found = [_results(made, payloads) for made in (made_of.by_rows(), made_of.by_columns())]
    assert found[0] == found[1]
    return found[0]


def _results(made_of: Dataset, payloads: list[bytes]) -> list[Any]:
    rows, rejects = convert(chunk_of(*payloads), made_of)
    outcomes: dict[int, Any] = {
        reject.unit: (str(reject.violation.reason), reject.violation.path) for reject in rejects
    }
    names = [field.name for field in made_of.record.fields]
    for unit, row in zip(rows.index.to_pylist(), rows.table.to_pylist(), strict=True):
        outcomes[unit] = {name: row[name] for name in names}
    return [outcomes[number] for number in range(len(payloads))]


def refused(field: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetError, match=says) as refusal:
        dataset(field)
    assert str(refusal.value).startswith("schemas/things/1.avsc, field f")


# ------------------------------------------------------------------------------------- aliases


def test_a_value_under_an_alias_is_the_fields() -> None:
    made_of = dataset(
        {"name": "customer", "type": "long", "aliases": ["user", "uid"]},
        field_of(["null", "string"], default=None),
    )
    assert results(made_of, {"customer": 1}, {"user": 2, "f": "x"}, {"uid": 3}, {"uid": 4, "user": 5}) == [
        {"customer": 1, "f": None}, {"customer": 2, "f": "x"}, {"customer": 3, "f": None},
        {"customer": 5, "f": None},
    ]  # fmt: skip


def test_the_own_key_wins_whatever_is_under_the_alias() -> None:
    made_of = dataset(field_of(["null", "long"], aliases=["g"]))
    sent = [{"f": 1, "g": 2}, {"g": "text", "f": 1}, {"f": None, "g": 2}, b'{"g":1,"g":2}']
    assert results(made_of, *sent) == [{"f": 1}, {"f": 1}, {"f": None}, {"f": 2}]


def test_what_is_wrong_under_an_alias_is_found_there() -> None:
    inner = {"type": "record", "name": "I", "fields": [field_of("long", aliases=["g"])]}
    made_of = dataset({"name": "a", "type": {"type": "array", "items": inner}, "aliases": ["b"]})
    sent = [
        {"b": [{"g": 1}, {"g": "x"}]},
        {"b": 1},
        {"b": [{}]},
        {},
        {"b": None},
        {"b": [{"f": 2}]},
    ]
    assert results(made_of, *sent) == [
        ("wrong_type", "$.b[1].g"), ("wrong_type", "$.b"), ("missing_field", "$.b[0].f"),
        ("missing_field", "$.a"), ("missing_field", "$.b"), {"a": [{"f": 2}]},
    ]  # fmt: skip


def test_aliases_go_with_jsonname_defaults_and_unknown_fields() -> None:
    made_of = dataset(
        field_of("long", jsonName="@f", aliases=["f", "@f"], default=7),
        {"name": "g", "type": {"type": "bytes", "logicalType": "decimal", "precision": 3},
         "aliases": ["h"], "default": 5},
        config='unknown_fields = "reject"',
    )  # fmt: skip
    five = made_of.schema.field("g").type
    assert str(five) == "decimal128(3, 0)"
    found = results(made_of, {"@f": 1}, {"f": 2, "h": "12"}, {}, {"f": None}, {"F": 1})
    assert [row if isinstance(row, tuple) else (row["f"], int(row["g"])) for row in found] == [
        (1, 5), (2, 12), (7, 5), (7, 5), ("unknown_field", "$.F"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([field_of("int", aliases=["g"]), {"name": "g", "type": "int"}], "clash: 'g'"),
        (
            [field_of("int", aliases=["x"]), {"name": "g", "type": "int", "aliases": ["x"]}],
            "clash: 'x'",
        ),
        ([field_of("int", aliases="g")], "list of strings"),
        ([field_of("int", aliases=[7])], "must be a string"),
        ([field_of("int", aliases=['"'])], "no quote"),
    ],
)
def test_aliases_that_cannot_be_used_stop_the_start(fields: list[Any], says: str) -> None:
    with pytest.raises(DatasetError, match=rf"1\.avsc.*{says}"):
        dataset(*fields)


def test_aliases_of_types_mean_nothing_here() -> None:
    named = {"type": "fixed", "name": "F", "size": 1, "aliases": ["a.Old", "Older"]}
    assert results(dataset(field_of(named)), {"f": "AA=="}) == [{"f": b"\0"}]


def with_aliases(schema: Any) -> Any:
    """Give every field of a schema an alias that no other key is like."""
    if isinstance(schema, list):
        return [with_aliases(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    given = {key: part if key == "default" else with_aliases(part) for key, part in schema.items()}
    for field in given.get("fields", []):
        field["aliases"] = [f"other {field['name']}", f"another {field['name']}"]
    return given


def renamed(avro_type: Any, value: Any, draw: Callable[..., Any]) -> Any:
    """Put some of a document's members under their aliases."""
    match avro_type:
        case Record(fields=fields) if isinstance(value, dict):
            by_key = {field.key: field for field in fields}
            members = {}
            for key, inner in value.items():
                field = by_key.get(key)
                prefix = draw(st.sampled_from(("", "other ", "another ")))
                name = f"{prefix}{field.name}" if field and prefix else key
                members[name] = renamed(field.type, inner, draw) if field else inner
            return members
        case Array(item=item) if isinstance(value, list):
            return [renamed(item.type, inner, draw) for inner in value]
        case Map(item=item) if isinstance(value, dict):
            return {key: renamed(item.type, inner, draw) for key, inner in value.items()}
        case _:
            return value


@given(datasets(), st.data())
def test_a_document_under_aliases_is_the_document_under_its_own_keys(
    made: Made, data: st.DataObject
) -> None:
    sent = [data.draw(documents(made)).payload for _ in range(2)]
    text = write_exactly(with_aliases(read_exactly(made.schema_text.encode()))).decode()
    aliased = as_switched(parse_dataset("things", {1: text}, made.config_text))
    other = [
        write_exactly(renamed(made.record, read_exactly(payload), data.draw)) for payload in sent
    ]
    expected = _exactly(made.dataset.by_rows(), sent)
    assert _exactly(aliased.by_rows(), other) == expected
    assert _exactly(aliased.by_columns(), other) == expected
    assert _exactly(aliased.by_columns(), sent) == expected


def _exactly(made_of: Dataset, payloads: list[bytes]) -> Any:
    rows, rejects = convert(chunk_of(*payloads), made_of)
    assert not rejects
    return repr(rows.table.to_pylist())  # NaN is not there, and -0.0 is not 0.0


# ---------------------------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (field_of("string", maxlength=1), 'write "maxLength"'),
        (field_of("string", max_length=1), 'write "maxLength"'),
        (field_of("string", MinLength=1), 'write "minLength"'),
        (field_of("int", maximun=1), '"maximum" is meant'),
        (field_of("int", minimun=1), '"minimum" is meant'),
        (field_of("string", patern="a"), '"pattern" is meant'),
        (field_of("string", maxLenght=1), '"maxLength" is meant'),
        (field_of("string", maxlen=1), '"maxLength" is meant'),
        (field_of("string", jsonname="x"), 'write "jsonName"'),
        (field_of("string", alias=["x"]), '"aliases" is meant'),
        (field_of("string", defualt="x"), '"default" is meant'),
        (field_of("int", exclusiveMinimum=1), 'write "minimum"'),
        (field_of("int", exclusive_maximum=1), 'write "maximum"'),
        (field_of("int", multipleOf=1), "scale"),
        (field_of("string", enum=["a"]), '"symbols"'),
        (field_of("string", const="a"), "one symbol"),
        (field_of("string", format="uuid"), "logicalType"),
        (field_of({"type": "string", "format": "uuid"}), "logicalType"),
        (field_of("string", required=True), "unless its type"),
        (field_of("string", nullable=True), "unless its type"),
        (field_of({"type": "array", "items": "int"}, minItems=1), "no rules on the size"),
        (field_of({"type": "array", "items": "int", "maxitems": 1}), "no rules on the size"),
        # in the wrong place
        (field_of("long", logicalType="timestamp-millis"), '"logicalType" belongs inside "type"'),
        (field_of(["null", "long"], logicalType="date"), '"logicalType" belongs inside "type"'),
        (
            field_of({"type": "long", "logicalType": "timestamp-micros"}, logicalType="x"),
            "logicalType",
        ),
        (field_of("bytes", precision=3), '"precision" belongs inside "type"'),
        (
            field_of({"type": "bytes", "logicalType": "decimal", "precision": 3}, scale=1),
            '"scale" belongs inside "type"',
        ),
        (field_of("enum", symbols=["A"]), '"symbols" belongs inside "type"'),
        (field_of("array", items="int"), '"items" belongs inside "type"'),
        (field_of("map", values="int"), '"values" belongs inside "type"'),
        (field_of({"type": "string", "default": "x"}), '"default" belongs on the field'),
        (field_of({"type": "array", "items": {"type": "int", "default": 1}}), '"default" belongs'),
        (field_of({"type": "string", "pattern": "a"}), '"pattern" belongs on the field'),
        (field_of({"type": "string", "jsonName": "a"}), '"jsonName" belongs on the field'),
        (
            field_of(
                {"type": "long", "logicalType": "timestamp-millis", "epoch": "millis"},
                epoch="seconds",
            ),
            '"epoch" is there twice',
        ),
    ],
)
def test_an_attribute_that_would_do_nothing_is_refused(field: dict[str, Any], says: str) -> None:
    refused(field, says)


@pytest.mark.parametrize(
    "more",
    [
        {"doc": "x"}, {"order": "ignore"}, {"connect.name": "x"}, {"avro.java.string": "String"},
        {"pii": True}, {"java-class": "x"}, {"sqlType": "4"}, {"unit": "ms"}, {"x:maximun": 1},
        {"title": "x"}, {"description": "x"}, {"columnName": "F"}, {"sensitivity": "low"},
        {"__fabric": 1}, {"size": 30}, {"owner": "x"}, {"displayName": "x"}, {"version": 3},
    ],
)  # fmt: skip
def test_attributes_of_other_people_are_accepted(more: dict[str, Any]) -> None:
    assert results(dataset(field_of("string", **more)), {"f": "x"}) == [{"f": "x"}]
    assert results(dataset(field_of({"type": "string", **more})), {"f": "x"}) == [{"f": "x"}]


def test_a_logical_type_that_is_in_both_places_is_one() -> None:
    made_of = dataset(field_of({"type": "int", "logicalType": "date"}, logicalType="date"))
    assert str(made_of.schema.field("f").type) == "date32[day]"


@pytest.mark.parametrize(
    "avro",
    [
        {"type": "string", "logicalType": "varchar", "metadata": 30},
        {"type": "string", "logicalType": "url"},
        ["null", {"type": "string", "logicalType": "datetime"}],
        {"type": "string", "logicalType": "timestamp"},
    ],
)
def test_a_logical_type_that_nobody_knows_is_the_type_beneath_it(avro: Any) -> None:
    made_of = dataset(field_of(avro))
    assert results(made_of, {"f": "x"}) == [{"f": "x"}]
    (remark,) = made_of.remarks
    assert remark.startswith("schemas/things/1.avsc, field f: there is no logical type")


@pytest.mark.parametrize(
    ("avro", "says"),
    [
        ({"type": "string", "logicalType": "date"}, "belongs on int"),
        ({"type": "array", "items": "int", "logicalType": "date"}, "belongs on int"),
        ({"type": "long", "logicalType": "timestamp_millis"}, "'timestamp-millis' is meant"),
        ({"type": "string", "logicalType": "UUID"}, "'uuid' is meant"),
        ({"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"}, "not supported"),
        ({"type": "string", "logicalType": 7}, "must be a string"),
        ({"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 5}, "at most 4"),
        ({"type": "bytes", "logicalType": "decimal", "precision": "5"}, "precision of 1"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 6}, "scale within"),
        ({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}, "one of its symbols"),
    ],
)  # fmt: skip
def test_a_logical_type_that_is_surely_a_mistake_is_refused(avro: Any, says: str) -> None:
    refused(field_of(avro), says)


# -------------------------------------------------------------------------- unions and defaults


@pytest.mark.parametrize(
    ("avro", "arrow", "nullable"),
    [
        (["string"], "string", False),
        (["null", "int", "long"], "int64", True),
        (["int", "long"], "int64", False),
        (["long", "null", "int"], "int64", True),
        (["float", "double"], "double", False),
        (["string", "null"], "string", True),
        ([{"type": "null"}, "string"], "string", True),
    ],
)
def test_a_union_that_one_column_can_hold(avro: Any, arrow: str, nullable: bool) -> None:
    column = dataset(field_of(avro)).schema.field("f")
    assert (str(column.type), column.nullable) == (arrow, nullable)


@pytest.mark.parametrize(
    ("avro", "says"),
    [
        (["null"], "a type other than null"),
        ("null", "a column of nulls alone"),
        ([], "a type other than null"),
        (["string", "string"], "'string' twice"),
        (["int", "double"], "null and one other type"),
        ([{"type": "int", "logicalType": "date"}, "long"], "null and one other type"),
        (["null", "long", "string"], "null and one other type"),
    ],
)
def test_other_unions_are_refused(avro: Any, says: str) -> None:
    refused(field_of(avro), says)


@pytest.mark.parametrize("avro", [["string", "null"], ["null", "string"]])
def test_a_default_of_what_may_be_null_is_for_absence_alone(avro: Any) -> None:
    made_of = dataset(field_of(avro, default="x"), {"name": "g", "type": "string", "default": "y"})
    assert results(made_of, {}, {"f": None, "g": None}, {"f": "z"}) == [
        {"f": "x", "g": "y"}, {"f": None, "g": "y"}, {"f": "z", "g": "y"},
    ]  # fmt: skip


def test_a_default_of_nullable_nested_values_is_for_absence_alone() -> None:
    inner = {"type": "record", "name": "I", "fields": [field_of(["long", "null"], default=3)]}
    made_of = dataset(
        {"name": "a", "type": ["null", {"type": "array", "items": inner}], "default": [{}]},
        {"name": "m", "type": [{"type": "map", "values": "int"}, "null"], "default": {"k": 1}},
    )
    assert results(made_of, {}, {"a": None, "m": None}, {"a": [{}, {"f": None}], "m": {}}) == [
        {"a": [{"f": 3}], "m": [("k", 1)]}, {"a": None, "m": None},
        {"a": [{"f": 3}, {"f": None}], "m": []},
    ]  # fmt: skip


def test_a_symbol_that_is_not_known_is_the_enums_default() -> None:
    made_of = dataset(
        field_of(["null", KIND], aliases=["g"]), {"name": "e", "type": "E", "default": "A"}
    )
    assert results(made_of, {"f": "A", "e": "B"}, {"g": "new"}, {"f": None, "e": ""}, {"f": 7}) == [
        {"f": "A", "e": "UNKNOWN"}, {"f": "UNKNOWN", "e": "A"}, {"f": None, "e": "UNKNOWN"},
        ("wrong_type", "$.f"),
    ]  # fmt: skip
    refused(field_of(KIND, default="B"), "not one of its symbols")


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}


@pytest.mark.parametrize(
    ("avro", "default", "value"),
    [
        ("bytes", "\u00ff", "b'\\xff'"),
        ("bytes", "AAAA", "b'AAAA'"),
        ("bytes", "", "b''"),
        ({"type": "fixed", "name": "F", "size": 2}, "\u0000a", "b'\\x00a'"),
        (DECIMAL, "\u00ff", "Decimal('-0.01')"),
        (DECIMAL, "\u0004\u00d2", "Decimal('12.34')"),
        (DECIMAL, 1.5, "Decimal('1.50')"),
        ({"type": "int", "logicalType": "date"}, 1, "datetime.date(1970, 1, 2)"),
        ({"type": "int", "logicalType": "date"}, "1970-01-02", "datetime.date(1970, 1, 2)"),
        ({"type": "int", "logicalType": "time-millis"}, 1500, "datetime.time(0, 0, 1, 500000)"),
        ({"type": "long", "logicalType": "time-micros"}, 7, "datetime.time(0, 0, 0, 7)"),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, -1,
         "datetime.datetime(1969, 12, 31, 23, 59, 59, 999000)"),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, 1,
         "datetime.datetime(1970, 1, 1, 0, 0, 0, 1)"),
        ({"type": "record", "name": "R", "fields": [
            {"name": "b", "type": "bytes", "jsonName": "@b"}]}, {"b": "\u00ff"}, "{'b': b'\\xff'}"),
        ({"type": "array", "items": "bytes"}, ["\u00ff"], "[b'\\xff']"),
    ],
)  # fmt: skip
def test_a_default_is_what_avro_means(avro: Any, default: Any, value: str) -> None:
    made_of = dataset(field_of(avro, default=default))
    assert [repr(row["f"]) for row in results(made_of, {})] == [value]


@pytest.mark.parametrize(
    ("avro", "default", "says"),
    [
        ("bytes", "\u0100", "none above"),
        ({"type": "fixed", "name": "F", "size": 2}, "a", "1 bytes, a character for each, and not 2"),
        (DECIMAL, "1.50", "write it without quotes"),
        (DECIMAL, "\u00ff\u0000\u0000\u0000", "5 digits"),
        ({"type": "int", "logicalType": "date"}, 10**9, "0001 to 9999"),
        ({"type": "int", "logicalType": "time-millis"}, -1, "time of one day"),
        ({"type": "record", "name": "R", "fields": [field_of("int")]}, {"f": 1, "g": 2}, "member 'g'"),
    ],
)  # fmt: skip
def test_a_default_that_avro_could_not_mean_is_refused(avro: Any, default: Any, says: str) -> None:
    refused(field_of(avro, default=default), says)


def test_the_names_of_java_are_refused_with_what_to_do() -> None:
    text = json.dumps({"type": "record", "name": "a.Outer$Inner", "fields": [field_of("int")]})
    with pytest.raises(DatasetError, match="Outer_Inner for Java's"):
        parse_dataset("things", {1: text}, "")
