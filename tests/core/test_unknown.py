"""Fields are conserved: each member is a column's value, or kept, or counted by name."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from generated.documents import Document, documents
from generated.faults import Wrong, wrong_documents
from generated.schemas import Array, Made, Map, Record, datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Stored, chunk_of, dataset, kinesis_event, report_of

from pipeline.adapters.telemetry import Telemetry
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.documents.columnar.arrow_json import (
    UnexpectedMember,
    Unreadable,
    read_table,
)
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.errors import DatasetError
from pipeline.core.reasons import Reason
from pipeline.core.records import Rows
from pipeline.core.report import UnknownFields

MORE = settings(max_examples=max(300, settings().max_examples))
GONE = object()


class Text(str):
    """A number as it is written."""

    __slots__ = ()


def read(text: str | bytes) -> Any:
    """Read JSON by Python's own reader, with numbers as they are written."""
    return json.loads(text, parse_int=Text, parse_float=Text, parse_constant=Text)


def walked(avro_type: Any, value: Any, path: str, paths: set[str]) -> Any:
    """Return what no field reads of a value, in the form of `_rest`, and note the paths."""
    match avro_type:
        case Record(fields=fields) if isinstance(value, dict):
            keys = {field.key: field for field in fields}
            left = {}
            for key, member in value.items():
                inside = path + path_segment(key)
                if key not in keys:
                    paths.add(inside)
                    left[key] = member
                else:
                    left[key] = walked(keys[key].type, member, inside, paths)
            return some(left)
        case Array(item=item) if isinstance(value, list):
            parts = [walked(item.type, part, f"{path}[]", paths) for part in value]
            return some({str(index): part for index, part in enumerate(parts)})
        case Map(item=item) if isinstance(value, dict):
            inside = f"{path}{{}}"
            return some(
                {key: walked(item.type, part, inside, paths) for key, part in value.items()}
            )
        case _:
            return GONE


def some(left: dict[str, Any]) -> Any:
    """Return what is left of an object."""
    return {key: part for key, part in left.items() if part is not GONE} or GONE


def as_kept(made: Made) -> Dataset:
    """Return the dataset of a generated one that keeps what it does not know."""
    config = made.config_text + 'unknown_fields = "keep"\n'
    return parse_dataset("things", {1: made.schema_text}, config)


def found(rows: Rows) -> dict[int, set[str]]:
    """Return the paths of the unknown members of each document that has some."""
    return {
        index: set(paths) for paths, indices in rows.unknown.documents.items() for index in indices
    }


@st.composite
def made_with(draw: st.DrawFn) -> tuple[Made, list[Document | Wrong]]:
    """Draw an open dataset and documents, most of them good, many with the same unknown members."""
    made = draw(datasets().filter(lambda made: not made.closed))
    drawn = draw(st.lists(documents(made) | wrong_documents(made), min_size=1, max_size=8))
    return made, [one for one in drawn if is_text(one.payload)]


def is_text(payload: bytes) -> bool:
    """Whether a payload gets as far as to be converted, and is short enough to be shown."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return len(payload) < 10_000


@MORE
@given(made_with(), st.dictionaries(st.sampled_from(["new", "N", "ü\n"]), st.sampled_from(
    ["1", "null", '"x"', "[1, 2]", '{"a": {"b": 0.10}}', "true", "1e999"]), max_size=2))  # fmt: skip
def test_members_are_values_or_kept_or_counted(
    given: tuple[Made, list[Document | Wrong]], more: dict[str, str]
) -> None:
    """By both paths alike, and as a walk by Python's own JSON reader finds them."""
    made, drawn = given
    known = {field.key for field in made.record.fields}
    pairs = "".join(
        f"{json.dumps(key)}:{value}," for key, value in more.items() if key not in known
    )
    payloads = [one.payload for one in drawn]
    payloads = [
        payload.replace(b"{", b"{" + pairs.encode(), 1)
        if payload.startswith(b"{") and read_or_none(payload)
        else payload
        for payload in payloads
    ]
    kept = as_kept(made)
    by_columns, _ = convert(chunk_of(*payloads), kept.by_columns())
    by_rows, _ = convert(chunk_of(*payloads), kept.by_rows())
    assert by_columns.index.equals(by_rows.index)
    assert by_columns.table.equals(by_rows.table)
    assert found(by_columns) == found(by_rows)
    assert by_columns.unknown.other_case == by_rows.unknown.other_case
    counted, _ = convert(chunk_of(*payloads), made.dataset.by_columns())
    assert found(counted) == found(by_rows)
    assert not counted.unknown.rest
    rest = by_rows.table.column("_rest").to_pylist()
    for index, text in zip(by_rows.index.to_pylist(), rest, strict=True):
        paths: set[str] = set()
        left = walked(made.record, read(payloads[index]), "$", paths)
        assert found(by_rows).get(index, set()) == paths
        assert (GONE if text is None else read(text)) == left


def read_or_none(payload: bytes) -> Any:
    """Read what is JSON."""
    try:
        return read(payload)
    except (ValueError, RecursionError):
        return None


LINES = {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
    {"name": "sku", "type": "string"}]}}  # fmt: skip
LABELS = {"type": "map", "values": {"type": "record", "name": "Label", "fields": [
    {"name": "n", "type": ["null", "long"]}]}}  # fmt: skip
ID = {"name": "id", "type": "long"}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
OPTIONAL_LINES = {"name": "lines", "type": LINES, "default": []}
OPTIONAL_LABELS = {"name": "labels", "type": LABELS, "default": {}}


def both_ways(things: Dataset, *payloads: bytes) -> Rows:
    """Convert by both paths, compare, and return the rows."""
    by_columns, _ = convert(chunk_of(*payloads), things.by_columns())
    by_rows, _ = convert(chunk_of(*payloads), things.by_rows())
    assert by_columns.table.equals(by_rows.table)
    assert found(by_columns) == found(by_rows)
    assert by_columns.unknown.other_case == by_rows.unknown.other_case
    assert by_columns.unknown.rest == by_rows.unknown.rest
    return by_rows


@pytest.mark.parametrize(
    ("document", "rest", "paths"),
    [
        (b'{"id":1}', None, set()),
        (b'{"id":1, "discount" : 0.10 }', '{"discount":0.10}', {"$.discount"}),
        (b'{"id":1,"x":null}', '{"x":null}', {"$.x"}),
        (b'{"id":1,"x":1e999,"x":[1, {"id": 2}]}', '{"x":[1, {"id": 2}]}', {"$.x"}),
        (b'{"id":1,"b":1,"a":"\\u00e9"}', '{"a":"\\u00e9","b":1}', {"$.a", "$.b"}),
        (b'{"id":1,"a\\"b":1}', '{"a\\"b":1}', {'$["a\\"b"]'}),
        (
            b'{"id":1,"lines":[{"sku":"a"},{"sku":"b","c":1},{"sku":"c","c":2}]}',
            '{"lines":{"1":{"c":1},"2":{"c":2}}}',
            {"$.lines[].c"},
        ),
        (
            b'{"id":1,"labels":{"k":{"n":1,"m":[]}},"z":{}}',
            '{"labels":{"k":{"m":[]}},"z":{}}',
            {"$.labels{}.m", "$.z"},
        ),
    ],
)
@pytest.mark.parametrize("fields", [[OPTIONAL_LINES], [OPTIONAL_LINES, OPTIONAL_LABELS]])
def test_what_is_kept_has_the_place_and_the_text_that_it_had(
    document: bytes, rest: str | None, paths: set[str], fields: list[Any]
) -> None:
    if b"labels" in document and OPTIONAL_LABELS not in fields:
        return
    things = dataset(ID, *fields, config='unknown_fields = "keep"')
    rows = both_ways(things, document)
    assert rows.table.column_names[4:7] == ["_arrived_at", "_rest", "id"]
    assert rows.table.column("_rest").to_pylist() == [rest]
    assert found(rows).get(0, set()) == paths


MANY = [
    ("alike", [b'{"id":%d,"new":%d}' % (n, n) for n in range(300)]),
    ("in every third", [b'{"id":1,"new":true}', b'{"id":2}', b'{"id":3,"b":1,"new":false}'] * 100),
    ("of two types", [b'{"id":1,"new":1}', b'{"id":2,"new":"x"}'] * 150),
    ("in one alone", [b'{"id":1}'] * 299 + [b'{"id":2,"new":{"a":1}}']),
    ("beyond the sample", [b'{"id":1,"new":1}'] * 297 + [b'{"id":2,"other":[1]}'] * 3),
    ("of keys like data", [b'{"id":1,"new":{"k%d":1}}' % n for n in range(300)]),
    ("null in some", [b'{"id":1,"new":null}', b'{"id":2}', b'{"id":3,"new":1}'] * 100),
    ("nested", [b'{"id":1,"lines":[{"sku":"a","n":%d},{"sku":"b"}]}' % n for n in range(300)]),
    ("beside broken ones", [b'{"id":1,"new":1}', b'{"id":"x"}', b'{"id":2,"new":1'] * 100),
    ("repeated", [b'{"id":1,"new":1,"new":2}', b'{"id":1,"id":2,"new":1}'] * 150),
]


@pytest.mark.parametrize("documents", [many for _, many in MANY], ids=[name for name, _ in MANY])
@pytest.mark.parametrize("more", [[], [OPTIONAL_LABELS]], ids=["by Arrow", "with a map"])
@pytest.mark.parametrize("config", ["", 'unknown_fields = "keep"'])
def test_many_documents_are_counted_alike_by_both_paths(
    documents: list[bytes], more: list[Any], config: str
) -> None:
    rows = both_ways(dataset(ID, OPTIONAL_LINES, *more, config=config), *documents)
    expected = {
        index: paths
        for index in rows.index.to_pylist()
        if (paths := unknown_of(read(documents[index])))
    }
    assert found(rows) == expected
    assert expected


def unknown_of(document: Any) -> set[str]:
    """Return what the schema of these tests does not know of a document."""
    paths = {f"$.{key}" for key in document.keys() - {"id", "lines", "labels"}}
    items = document.get("lines", [])
    return paths | {f"$.lines[].{key}" for item in items for key in item.keys() - {"sku"}}


def test_arrows_reader_says_of_unknown_members_what_it_is_asked_for() -> None:
    """Else every document with one would be walked: counted as right, and slowly."""
    with pytest.raises(UnexpectedMember):
        read_table(b'{"a":[{"b":1,"c":2}]}', pa.schema([("a", ITEMS)]), "error")
    with pytest.raises(Unreadable) as caught:
        read_table(b'{"a":1}', pa.schema([("a", ITEMS)]), "error")
    assert not isinstance(caught.value, UnexpectedMember)


ITEMS = pa.list_(pa.struct([("b", pa.int64())]))


def test_the_field_of_match_is_known() -> None:
    things = dataset(ID, config='[match]\nfield = "@kind"\nequals = 1\n')
    assert not found(both_ways(things, b'{"@kind":1,"id":1}', b'{"id":2,"@kind":1}'))


CASES = [
    (b'{"ID":1,"Note":"a"}', [(1, "a")], set()),
    (b'{"id":1,"Note":"a","NOTE":"b"}', [(1, "b")], {"$.Note"}),
    (b'{"id":1,"Note":"a","note":"b"}', [(1, "b")], {"$.Note"}),
    (b'{"id":1,"NOTE":"a","note":null}', [(1, None)], {"$.NOTE"}),
    (b'{"Id":1,"lines":[{"SKU":"x"}],"LABELS":{"K":{"N":1}}}', [(1, None)], set()),
    (b'{"Id":1,"other":1}', [(1, None)], {"$.other"}),
    (b'{"Note":1', [], set()),
    (b'["id"]', [], set()),
]


@pytest.mark.parametrize(("document", "expected", "paths"), CASES)
def test_keys_are_read_in_any_case(
    document: bytes, expected: list[tuple[int, str | None]], paths: set[str]
) -> None:
    fields: list[dict[str, Any]] = [ID, NOTE, OPTIONAL_LINES, OPTIONAL_LABELS]
    rows = both_ways(dataset(*fields, config='keys = "case-insensitive"'), document)
    table = rows.table
    values = zip(table.column("id").to_pylist(), table.column("note").to_pylist(), strict=True)
    assert list(values) == expected
    assert found(rows).get(0, set()) == paths
    for lines in table.column("lines").to_pylist():
        assert lines in ([], [{"sku": "x"}])


def test_a_dead_letter_has_its_own_spelling() -> None:
    things = dataset(ID, config='keys = "case-insensitive"')
    _, (reject,) = convert(chunk_of(b'{ "ID" : "x" }'), things)
    assert (reject.payload, reject.violation.path) == (b'{ "ID" : "x" }', "$.id")


@pytest.mark.parametrize(
    ("fields", "config", "sentence"),
    [
        (
            [{"name": "_Rest", "type": "int"}],
            'unknown_fields = "keep"',
            (
                "schemas/things/1.avsc: field _Rest has the name of the column in which "
                'unknown_fields = "keep" keeps unknown members; rename it and give its key by '
                '"jsonName".'
            ),
        ),
        (
            [ID, {"name": "other", "type": "long", "jsonName": "ID"}],
            'keys = "case-insensitive"',
            (
                "schemas/things/dataset.toml: keys = \"case-insensitive\": the keys 'id' and 'ID' of "
                "schemas/things/1.avsc differ in case alone."
            ),
        ),
        (
            [ID],
            'keys = "lower"',
            'schemas/things/dataset.toml: keys is "exact" or "case-insensitive".',
        ),
        (
            [ID],
            'unknown_fields = "drop"',
            'schemas/things/dataset.toml: unknown_fields is "ignore", "keep" or "reject".',
        ),
    ],
)
def test_what_cannot_be_is_refused(fields: list[Any], config: str, sentence: str) -> None:
    with pytest.raises(DatasetError) as caught:
        dataset(*fields, config=config)
    assert str(caught.value) == sentence


def test_a_field_named_rest_is_a_field_where_nothing_is_kept() -> None:
    things = dataset({"name": "_rest", "type": "int"})
    assert both_ways(things, b'{"_rest":1}').table.column("_rest").to_pylist() == [1]


# ----------------------------------------------------------------------------- where it shows


def tally_of(config: str, *documents: bytes) -> UnknownFields:
    things = dataset(ID | {"minimum": 0}, NOTE, config=config)
    report = report_of(kinesis_event(documents), [things], Stored())
    return report.datasets["things"].unknown


def test_only_rows_are_counted() -> None:
    """Not documents that are dead letters by a rule, or by their partition."""
    config = 'partition_by = ["note"]'
    long = json.dumps({"id": 1, "note": "x" * 300, "new": 1}).encode()
    counted = tally_of(
        config, b'{"id":1,"new":1}', b'{"id":-1,"new":1}', long, b'{"id":"x","new":1}', b'{"id":2}'
    )
    assert (counted.documents, counted.fields) == (1, {"$.new": 1})


def test_names_are_bounded() -> None:
    document = {"id": 1} | {f"n{number}": 1 for number in range(60)} | {"x" * 127: 1, "y" * 126: 1}
    counted = tally_of("", *[json.dumps(document).encode()] * 2, b'{"id":1,"n70":1}')
    assert (len(counted.fields), counted.documents) == (50, 3)
    assert sum(counted.fields.values()) + counted.others == 62 * 2 + 1
    assert max(map(len, counted.fields)) <= 128


def test_the_log_line_and_the_metrics_name_what_is_unknown() -> None:
    things = dataset(ID, NOTE)
    report = report_of(
        kinesis_event([b'{"id":1,"Note":"x"}', b'{"id":2,"a":1}']), [things], Stored()
    )
    lines: list[str] = []
    Telemetry(lines.append, lambda: 1.8e9).stored(report, None)
    line = json.loads(lines[0])
    assert line["UnknownFields"] == 2
    assert line["unknown_fields"] == {
        "things": {
            "documents": 2,
            "fields": {"$.Note": 1, "$.a": 1},
            "other_case": {"$.Note": "$.note"},
        }
    }
    metrics = [json.loads(line) for line in lines[1:]]
    assert [metric["UnknownFields"] for metric in metrics if "Documents" in metric] == [2, 2]


INNER = {"type": "record", "name": "Inner", "fields": [{"name": "p", "type": ["null", "long"]}]}


@pytest.mark.parametrize("made", [Dataset.by_rows, Dataset.by_columns])
class TestReadings:
    """What is unknown, beside the readings that let another shape in."""

    def test_an_empty_text_for_a_record_has_no_members(self, made: Any) -> None:
        inner = {"name": "s", "type": ["null", INNER], "accept": ["empty-text"]}
        rows, rejected = convert(
            chunk_of(b'{"id":2,"s":"","x":1}', b'{"id":3,"s":{"p":1,"q":2}}'),
            made(dataset(ID, inner)),
        )
        assert not rejected
        assert rows.table["s"].to_pylist() == [None, {"p": 1}]

    def test_a_misfit_stays_one_where_keys_are_read_in_any_case(self, made: Any) -> None:
        any_case = dataset(
            ID, {"name": "s", "type": ["null", INNER]}, config='keys = "case-insensitive"\n'
        )
        rows, rejected = convert(
            chunk_of(b'{"ID":2,"S":5}', b'{"ID":2,"S":{"P":7}}'), made(any_case)
        )
        assert rows.table["s"].to_pylist() == [{"p": 7}]
        assert [rejection.violation.reason for rejection in rejected] == [Reason.WRONG_TYPE]

    def test_of_two_keys_of_one_field_the_second_is_rejected(self, made: Any) -> None:
        aliased = {"name": "cid", "type": ["null", "string"], "aliases": ["uid"]}
        rows, rejected = convert(
            chunk_of(b'{"id":1,"cid":"a","uid":"b"}', b'{"id":1,"uid":"b"}'),
            made(dataset(ID, aliased, config='unknown_fields = "reject"\n')),
        )
        assert rows.table["cid"].to_pylist() == ["b"]
        assert [(found.violation.reason, found.violation.path) for found in rejected] == [
            (Reason.UNKNOWN_FIELD, "$.uid")
        ]


@pytest.mark.parametrize("key", ["kind", "meta.kind"])
def test_a_dataset_that_would_reject_each_document_is_refused(key: str) -> None:
    config = f'unknown_fields = "reject"\n[match]\nfield = "{key}"\nequals = "x"\n'
    with pytest.raises(DatasetError, match="would reject every document: no field reads"):
        dataset(ID, config=config)
