"""Fields that read members within others, by `"path"`: rows as of documents that are flat."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Stored, as_json, dataset, deliver, kinesis_event

from pipeline.authoring.evolution import changes_refused
from pipeline.authoring.generate import documents_of
from pipeline.cli import main
from pipeline.core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.dataset import Dataset

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
FIELDS: list[dict[str, Any]] = [
    {"name": "table", "type": "string", "path": "$.metadata.table-name", "maxLength": 6},
    {"name": "id", "type": "long", "path": "$.data.id"},
    {"name": "at", "type": ["null", MICROS], "path": "$.metadata.at"},
    {"name": "kind", "type": ["null", "string"], "default": None},
    {"name": "lsn", "type": "long", "default": -1, "path": "$.source.lsn"},
    {"name": "deep", "type": ["null", "string"], "path": "$.a['b.c'].d"},
    {"name": "tags", "type": ["null", {"type": "array", "items": "string"}], "path": "$.a.tags"},
    {"name": "labels", "type": {"type": "map", "values": "string"}, "default": {}, "path": "$.m.labels"},
    {"name": "id_of_source", "type": ["null", "long"], "path": "$.source.id", "aliases": ["number"]},
]  # fmt: skip
PATHS = {
    "table": ("metadata", "table-name"), "id": ("data", "id"), "at": ("metadata", "at"), "kind": ("kind",),
    "lsn": ("source", "lsn"), "deep": ("a", "b.c", "d"), "tags": ("a", "tags"), "labels": ("m", "labels"),
    "id_of_source": ("source", "id"),
}  # fmt: skip
CONFIG = 'partition_by = ["date(at)"]\nunknown_fields = "keep"'
NESTED = dataset(*FIELDS, config=CONFIG)
FLAT = dataset(
    *({key: value for key, value in field.items() if key != "path"} for field in FIELDS),
    config=CONFIG,
)


def stored_by(one: Dataset, documents: list[bytes]) -> Stored:
    return deliver(kinesis_event(documents), [one])


def rows_of(stored: Stored) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "_rest"} for row in stored.rows]


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "table": st.sampled_from(["orders", "é", "too long", "", None, 7]),
        "id": st.sampled_from([1, 2**40, 1.5, None, "x"]) | st.integers(0, 9),
        "at": st.sampled_from(["2026-11-23T09:30:00Z", "2026-11-24T09:30:00.5Z", "x", None]),
        "kind": st.sampled_from(["k", None, 7]),
        "lsn": st.sampled_from([0, 5, None, "x"]),
        "deep": st.sampled_from(["d", None, {}]),
        "tags": st.sampled_from([[], ["a"], None, [1]]),
        "labels": st.sampled_from([{}, {"a": "b"}, None, {"a": 1}]),
        "id_of_source": st.sampled_from([3, None]),
    },
)
_GOOD = {"table": "orders", "id": 5, "at": "2026-11-23T09:30:00Z"}


def nested(values: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in values.items():
        *above, last = PATHS[name]
        inner = document
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return document


@given(st.lists(_VALUES, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_rows_are_those_of_flat_documents(
    several: list[dict[str, Any]], by_columns: bool, partly: bool
) -> None:
    several = [_GOOD | values for values in several] if partly else several
    ways = [one.by_columns() if by_columns else one.by_rows() for one in (NESTED, FLAT)]
    deep = stored_by(ways[0], [as_json(nested(values)) for values in several])
    flat = stored_by(ways[1], [as_json(values) for values in several])
    assert rows_of(deep) == rows_of(flat)
    assert [letter["reason"] for letter in deep.letters] == [
        letter["reason"] for letter in flat.letters
    ]
    assert [key.split("/")[2] for key in deep.output.objects] == [
        key.split("/")[2] for key in flat.output.objects
    ]
    assert deep.output.objects.keys() == flat.output.objects.keys()


@pytest.mark.parametrize("by_columns", [True, False])
def test_what_is_wrong_is_said_at_its_place(by_columns: bool) -> None:
    good = nested(_GOOD)
    documents = [
        good | {"metadata": {"table-name": 7}},
        good | {"metadata": {"table-name": "too long"}},
        good | {"metadata": {}},
        good | {"metadata": None},
        good | {"source": "x"},
        good | {"a": {"b.c": [1]}},
    ]
    one = NESTED.by_columns() if by_columns else NESTED.by_rows()
    letters = stored_by(one, [*map(as_json, documents)]).letters
    assert [(letter["reason"], letter["path"]) for letter in letters] == [
        ("wrong_type", '$.metadata["table-name"]'),
        ("too_long", '$.metadata["table-name"]'),
        ("missing_field", '$.metadata["table-name"]'),
        ("missing_field", "$.metadata"),
        ("wrong_type", "$.source"),
        ("wrong_type", '$.a["b.c"]'),
    ]


def test_objects_that_are_absent_or_null_have_nothing_in_them() -> None:
    good = nested(_GOOD)
    documents = [good, good | {"source": None, "a": None, "m": None}, good | {"a": {"b.c": None}}]
    for one in (NESTED.by_columns(), NESTED.by_rows()):
        shown = [
            (row["lsn"], row["deep"], row["tags"], row["labels"], row["id_of_source"])
            for row in stored_by(one, [*map(as_json, documents)]).rows
        ]
        assert shown == [(-1, None, None, [], None)] * 3


@pytest.mark.parametrize("by_columns", [True, False])
def test_members_beside_those_that_are_read_are_kept_and_counted(by_columns: bool) -> None:
    document = nested(_GOOD) | {"source": {"lsn": 1, "version": "2.7", "number": 4}, "b": 1}
    document["metadata"]["op"] = "insert"
    one = NESTED.by_columns() if by_columns else NESTED.by_rows()
    (row,) = stored_by(one, [as_json(document)]).rows
    assert json.loads(row["_rest"]) == {
        "metadata": {"op": "insert"},
        "source": {"version": "2.7"},
        "b": 1,
    }
    assert row["id_of_source"] == 4


def test_unknown_members_may_be_rejected_at_any_place() -> None:
    one = dataset(FIELDS[0], config='unknown_fields = "reject"')
    documents = [{"metadata": {"table-name": "a"}}, {"metadata": {"table-name": "a", "op": 1}}]
    stored = stored_by(one, [*map(as_json, documents)])
    assert len(stored.rows) == 1
    assert [letter["path"] for letter in stored.letters] == ["$.metadata.op"]


def test_a_match_may_look_at_what_a_path_reads() -> None:
    config = (
        'unknown_fields = "reject"\n[match]\nfield = "$.metadata.table-name"\nequals = ["a", "b"]'
    )
    one = dataset(FIELDS[0], config=config)
    documents = [{"metadata": {"table-name": name}} for name in "abc"]
    stored = stored_by(one, [*map(as_json, documents)])
    assert [row["table"] for row in stored.rows] == ["a", "b"]
    assert [letter["reason"] for letter in stored.letters] == ["no_dataset"]


def test_keys_may_be_in_any_case() -> None:
    one = dataset(FIELDS[0], config='keys = "case-insensitive"')
    (row,) = stored_by(one, [as_json({"MetaData": {"TABLE-NAME": "a"}})]).rows
    assert row["table"] == "a"


def test_documents_can_be_made_up() -> None:
    write = documents_of(NESTED, random.Random(1))
    documents = [write(1_795_426_200_000_000) for _ in range(300)]
    assert len(stored_by(NESTED, documents).rows) == 300


TEXT = ["null", "string"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([{"path": "metadata.x"}], 'field f0: "path" is a path such as "$.metadata.table-name" or "$[\'a.b\']", without arrays.'),
        ([{"path": "$"}], 'field f0: "path" is a path such as "$.metadata.table-name" or "$[\'a.b\']", without arrays.'),
        ([{"path": "$.a[0]"}], 'field f0: "path" is a path such as "$.metadata.table-name" or "$[\'a.b\']", without arrays.'),
        ([{"path": "$.a.b", "jsonName": "c"}], 'field f0: it has "path" and "jsonName"; the path says its key, too.'),
        ([{"path": "$.a.b"}, {"path": "$.a.b"}], "field f1: $.a.b is read by field f0 already."),
        ([{"path": "$.a.b"}, {"jsonName": "a"}], "field f0: its path leads through $.a, which field f1 reads as a whole; make fields of what is in it, or leave that one out."),
        ([{"path": "$.a"}, {"path": "$.a.b"}], "field f1: its path leads through $.a, which field f0 reads as a whole; make fields of what is in it, or leave that one out."),
        ([{"path": "$.a.b"}, {"aliases": ["a"]}], "field f1: its alias $.a is read by others already."),
        ([{"type": {"type": "record", "name": "R", "fields": [{"name": "x", "type": TEXT, "path": "$.y.z"}]}}], 'field f0.x: "path" is for fields of the outermost record; give one there, or "jsonName".'),
    ],
)  # fmt: skip
def test_what_is_not_a_path_stops_the_start(fields: list[dict[str, Any]], says: str) -> None:
    entries = [{"name": f"f{n}", "type": TEXT} | field for n, field in enumerate(fields)]
    with pytest.raises(DatasetError) as refused:
        dataset(*entries, name="t")
    assert str(refused.value) == f"schemas/t/1.avsc, {says}"


def test_a_required_field_that_moves_is_refused_and_another_is_not() -> None:
    def moved(kind: Any) -> list[str]:
        old, new = (
            dataset({"name": "f", "type": kind, "path": path}) for path in ("$.a.f", "$.b.f")
        )
        return list(changes_refused(old.record, new.record, positional=False))

    assert moved("string") == [
        "field f is required and read from $.b.f now, which documents so far lack; make it nullable."
    ]
    assert moved(TEXT) == []


def test_check_shows_where_a_column_is_read_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    things = tmp_path / "things"
    things.mkdir()
    schema = {"type": "record", "name": "T", "fields": FIELDS[:2]}
    (things / "1.avsc").write_text(json.dumps(schema))
    (things / "dataset.toml").write_text("")
    assert main(["check", str(tmp_path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "table string $.metadata.table-name" in lines
