"""Names and namespaces of Avro types: what a name means is what fastavro says it means."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from fastavro.schema import SchemaParseException, UnknownType, expand_schema
from hypothesis import given
from hypothesis import strategies as st
from support import as_json, chunk_of, dataset

from pipeline.core.convert import convert
from pipeline.core.dataset import parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.schema.types import Record, Type


def record(name: str, *fields: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """Make a record type."""
    return {"type": "record", "name": name, "fields": list(fields), **attributes}


def field(name: str, avro: Any) -> dict[str, Any]:
    """Make a field."""
    return {"name": name, "type": avro}


# --------------------------------------------------------------------- as fastavro has it

Tree = dict[str, Any] | None


def tree_of(schema_type: Type) -> Tree:
    """Return the names of a record's fields, at every depth."""
    if not isinstance(schema_type, Record):
        return None
    return {part.name: tree_of(part.type) for part in schema_type.fields}


def expected_tree(schema: Any) -> Tree:
    """Return the same of what fastavro expanded; what it left a name holds itself."""
    if schema == "int":
        return None
    if isinstance(schema, str):
        raise RecursionError
    return {part["name"]: expected_tree(part["type"]) for part in schema["fields"]}


NAMES = st.sampled_from(["X", "Y", "Z", "a.X", "b.Y"])
NAMESPACES = st.sampled_from([{}, {}, {"namespace": ""}, {"namespace": "a"}, {"namespace": "a.b"}])
PREFIXES = st.sampled_from(["", "", "a.", "b.", "a.b."])


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """Make a schema in which no two fields have one name, so that they tell records apart."""
    numbers = itertools.count()
    ended = ["int"]  # names of records that are whole, to which a reference may be

    def made(name: str, depth: int) -> dict[str, Any]:
        fields = [field(f"own{next(numbers)}", "int")]
        for _ in range(draw(st.integers(1, 4) if depth == 0 else st.integers(0, 2))):
            new = depth < 3 and draw(st.booleans())
            avro = made(draw(NAMES), depth + 1) if new else reference()
            fields.append(field(f"f{next(numbers)}", avro))
        ended.append(name)
        return record(name, *fields, **draw(NAMESPACES))

    def reference() -> str:
        name = draw(st.sampled_from(ended))
        return draw(PREFIXES) + name if name != "int" and "." not in name else name

    return made("T", 0)


@given(schemas())
def test_a_name_means_the_type_that_fastavro_takes_it_for(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    try:
        expected = expected_tree(expand_schema(json.loads(text)))
    except (SchemaParseException, UnknownType, RecursionError):
        with pytest.raises(DatasetError, match=r"schemas/things/1\.avsc"):
            parse_dataset("things", {1: text}, "")
    else:
        assert tree_of(parse_dataset("things", {1: text}, "").record) == expected


def test_types_of_one_name_in_two_namespaces_are_two_types() -> None:
    things = dataset(
        field("f1", record("X", field("i", "int"), namespace="a")),
        field("f2", record("X", field("s", "string"), namespace="b")),
        field("f3", "a.X"),
    )
    document = as_json({"f1": {"i": 1}, "f2": {"s": "x"}, "f3": {"i": 2}})
    rows, rejects = convert(chunk_of(document), things)
    assert not rejects
    assert rows.table.column("f3").to_pylist() == [{"i": 2}]


def test_a_type_in_one_of_its_name_in_another_namespace_does_not_hold_itself() -> None:
    inner = record("N", field("x", "int"), namespace="b")
    things = dataset(field("f", record("N", field("n", inner), namespace="a")), field("g", "b.N"))
    assert tree_of(things.record) == {"f": {"n": {"x": None}}, "g": {"x": None}}


@pytest.mark.parametrize(
    ("name", "namespace", "says"),
    [
        ("9 bad", "a", "name is letters"),
        ("", "a", "name is letters"),
        ("a..B", "a", "name is letters"),
        (".B", "a", "name is letters"),
        ("B.", "a", "name is letters"),
        ("B\n", "a", "name is letters"),
        (7, "a", "name is letters"),
        (None, "a", "name is letters"),
        ("B", "9 bad", "namespace"),
        ("a.B", "a.", "namespace"),
        ("B", None, "namespace"),
        ("B", 7, "namespace"),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        {"type": "record", "fields": [{"name": "x", "type": "int"}]},
        {"type": "enum", "symbols": ["A"]},
        {"type": "fixed", "size": 1},
    ],
    ids=["record", "enum", "fixed"],
)
def test_a_type_with_a_name_that_is_none_stops_the_start(
    kind: dict[str, Any], name: Any, namespace: Any, says: str
) -> None:
    with pytest.raises(DatasetError, match=rf"1\.avsc, field f: .*{says}"):
        dataset(field("f", {**kind, "name": name, "namespace": namespace}))


# ------------------------------------------------------------------------------- how deep


def nested(levels: int) -> dict[str, Any]:
    """Make a field of so many nullable records inside each other, its own file's among them."""
    avro: Any = "int"
    for level in range(levels - 1):
        avro = ["null", record(f"R{level}", field("x", avro))]
    return field("x", avro)


def by_name(levels: int) -> list[dict[str, Any]]:
    """Make the same of types that are named, which needs no brackets inside each other."""
    inner = ["int", *(f"R{level}" for level in range(levels - 2))]
    return [
        field(f"x{level}", record(f"R{level}", field("x", avro)))
        for level, avro in enumerate(inner)
    ]


def test_types_inside_each_other_are_read_down_to_a_limit() -> None:
    document: Any = 1
    for _ in range(63):
        document = {"x": document}
    rows, rejects = convert(chunk_of(as_json(document)), dataset(nested(63)))
    assert not rejects
    assert rows.table.column("x").to_pylist() == [document["x"]]
    assert dataset(*by_name(63)).schema.names[-1] == "x61"


@pytest.mark.parametrize("levels", [64, 400, 20_000])
def test_types_that_nest_too_deep_stop_the_start(levels: int) -> None:
    opening = '{"type":"record","name":"R%d","fields":[{"name":"x","type":'
    text = "".join(opening % level for level in range(levels)) + '"int"' + "}]}" * levels
    with pytest.raises(DatasetError, match=r"1\.avsc.* 64 types inside each other"):
        parse_dataset("things", {1: text}, "")


@pytest.mark.parametrize("levels", [64, 400])
def test_named_types_that_nest_too_deep_stop_the_start(levels: int) -> None:
    with pytest.raises(DatasetError, match="more than 64 types inside each other"):
        dataset(*by_name(levels))
