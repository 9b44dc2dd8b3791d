"""A new version of a schema leaves readers of the old files standing, or is refused by name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support import as_json, deliver, kinesis_event, read_parquet

from pipeline.adapters.schemas import read_dataset
from pipeline.authoring.evolution import changes_refused
from pipeline.cli import main
from pipeline.core.dataset import parse_dataset

if TYPE_CHECKING:
    from pipeline.core.schema.types import Record

Fields = list[dict[str, Any]]


def field(name: str, avro: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro, **more}


X = field("x", "int")


def null(avro: Any) -> list[Any]:
    return ["null", avro]


def rec(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Inner", "fields": list(fields) or [X]}


def array(avro: Any) -> dict[str, Any]:
    return {"type": "array", "items": avro}


def mapping(avro: Any) -> dict[str, Any]:
    return {"type": "map", "values": avro}


def enum(*symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": "Kind", "symbols": list(symbols)}


def logical(avro: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": avro, "logicalType": name, **more}


def schema(fields: Fields) -> str:
    return json.dumps({"type": "record", "name": "Thing", "fields": fields})


def record_of(fields: Fields) -> Record:
    return parse_dataset("things", {1: schema(fields)}, "").record


def refused(old: Fields, new: Fields, *, positional: bool = False) -> list[str]:
    return changes_refused(record_of(old), record_of(new), positional=positional)


# Changes of one type, each tried at the top and inside a record, an array and a map.
WIDER = {
    "nothing": ("string", "string"),
    "a symbol more": (enum("A"), enum("A", "B")),
    "symbols in another order": (enum("A", "B"), enum("B", "A")),
    "milliseconds to microseconds": (
        logical("long", "timestamp-millis"),
        logical("long", "timestamp-micros"),
    ),
    "a new nullable field": (rec(field("a", "int")), rec(field("a", "int"), field("b", null("int")))),
    "null where there was none": (rec(field("a", "int")), rec(field("a", null("int")))),
    "an enum to a string": (enum("A"), "string"),
}  # fmt: skip
OTHERS = {
    "int to long": (
        "int",
        "long",
        "was int and is long, another type in the files: Spark 3.5, polars",
    ),
    "float to double": ("float", "double", "was float and is double, another type in the files"),
    "long to int": ("long", "int", "was long and is int"),
    "double to float": ("double", "float", "was double and is float"),
    "int to float": ("int", "float", "was int and is float"),
    "int to double": ("int", "double", "was int and is double"),
    "long to double": ("long", "double", "was long and is double"),
    "int to string": ("int", "string", "was int and is string"),
    "string to bytes": ("string", "bytes", "was string and is bytes"),
    "string to enum": ("string", enum("A"), "was string and is enum"),
    "a symbol less": (enum("A", "B"), enum("A"), "lost the symbol B; keep it"),
    "a symbol renamed": (enum("A", "B"), enum("A", "C"), "lost the symbol B; keep it"),
    "another scale": (
        logical("bytes", "decimal", precision=9, scale=2),
        logical("bytes", "decimal", precision=9, scale=3),
        "was decimal(9, 2) and is decimal(9, 3)",
    ),
    "another precision": (
        logical("bytes", "decimal", precision=9, scale=2),
        logical("bytes", "decimal", precision=12, scale=2),
        "was decimal(9, 2) and is decimal(12, 2)",
    ),
    "a zone lost": (
        logical("long", "timestamp-micros"),
        logical("long", "local-timestamp-micros"),
        "was timestamp-micros and is local-timestamp-micros",
    ),
    "a scalar to a record": ("int", rec(field("a", "int")), "is of another kind now"),
    "an array to a map": (array("int"), mapping("int"), "is of another kind now"),
}
PLACES: dict[str, Any] = {
    "v": lambda avro: [field("v", avro)],
    "r.v": lambda avro: [
        field("r", {"type": "record", "name": "Outer", "fields": [field("v", avro)]})
    ],
    "l[]": lambda avro: [field("l", array(avro))],
    "m{}": lambda avro: [field("m", mapping(avro))],
    "l[].v": lambda avro: [
        field("l", array({"type": "record", "name": "Item", "fields": [field("v", avro)]}))
    ],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", WIDER)
def test_what_old_readers_take_is_allowed_at_any_depth(change: str, place: str) -> None:
    old, new = WIDER[change]
    assert refused(PLACES[place](old), PLACES[place](new)) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", OTHERS)
def test_another_type_is_refused_with_its_place_its_reason_and_a_way_out(
    change: str, place: str
) -> None:
    old, new, why = OTHERS[change]
    (said,) = refused(PLACES[place](old), PLACES[place](new))
    assert said.startswith(f"field {place} ")
    assert why in said
    assert "keep it" in said or "beside it" in said or "Leave it as it was" in said
    assert said.endswith(".")


@pytest.mark.parametrize(
    "new",
    [
        [field("a", "int", minimum=1)],
        [field("a", "int", jsonName="@a", aliases=["a"])],
        [field("a", "int", default=3)],
        [field("b", null("string")), field("a", "int")],
        [field("a", "int"), field("b", "string", default="x"), field("c", null(rec()))],
        [field("a", null("int"))],
    ],
    ids=["a rule", "a JSON key", "a default", "another order", "new optional fields", "null"],
)
def test_what_is_no_part_of_the_files_may_change(new: Fields) -> None:
    assert refused([field("a", "int")], new) == []


def test_a_required_field_is_not_read_from_another_key_alone() -> None:
    sentence = (
        "field a is required and read from the key '@a' now, which documents so far lack; add 'a' "
        "to its aliases, or make it nullable."
    )
    assert refused([field("a", "int")], [field("a", "int", jsonName="@a")]) == [sentence]
    assert refused([field("a", "int")], [field("a", null("int"), jsonName="@a")]) == []


@pytest.mark.parametrize(
    ("old", "new", "path", "why", "instead"),
    [
        ([field("a", "int"), field("b", "int")], [field("a", "int")], "b", "is gone", "keep it"),
        ([field("a", "int")], [field("a", "int"), field("b", "int")], "b", "new and required", "give it a default"),
        ([field("a", null("int"))], [field("a", "int")], "a", "was nullable", "leave it nullable"),
        ([field("r", rec(field("a", "int"), field("b", "int")))], [field("r", rec(field("a", "int")))], "r.b", "is gone", "keep it"),
        ([field("r", rec())], [field("r", rec(X, field("b", "int")))], "r.b", "new and required", 'make it ["null", …]'),
        ([field("r", rec())], [field("r", rec(X, field("b", "int", default=0)))], "r.b", "never null", 'make it ["null", …]'),
        ([field("l", array(rec(field("a", null("int")))))], [field("l", array(rec(field("a", "int"))))], "l[].a", "was nullable", "leave it nullable"),
        ([field("l", array(null("int")))], [field("l", array("int"))], "l[]", "could be null", "leave that as it was"),
        ([field("m", mapping(null("int")))], [field("m", mapping("int"))], "m{}", "could be null", "leave that as it was"),
    ],
)  # fmt: skip
def test_what_old_readers_would_trip_over_is_refused(
    old: Fields, new: Fields, path: str, why: str, instead: str
) -> None:
    (said,) = refused(old, new)
    assert f" {path} " in said
    assert why in said
    assert instead in said


def test_a_renamed_field_is_one_gone_and_one_that_is_new() -> None:
    gone, new = refused([field("total", "int")], [field("Total", "int")])
    assert "field total is gone" in gone
    assert "field Total is new and required" in new


def test_every_change_is_named_not_only_the_first() -> None:
    old = [field("a", "long"), field("b", "int"), field("c", enum("X", "Y"))]
    new = [field("a", "int"), field("c", enum("X"))]
    assert [said.split()[1] for said in refused(old, new)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ([field("n", null("int")), field("a", "int"), field("b", rec())], "field n moves columns"),
        ([field("b", rec()), field("a", "int")], "field b moves columns"),
        ([field("a", "int"), field("b", rec(X, field("n", null("int"))))], "field b.n is new inside a record"),
    ],
)  # fmt: skip
def test_columns_of_csv_files_keep_their_numbers(new: Fields, why: str) -> None:
    old = [field("a", "int"), field("b", rec())]
    (said,) = refused(old, new, positional=True)
    assert why in said
    assert "last" in said or "end of the outermost record" in said
    assert refused(old, new) == []


def test_new_fields_at_the_end_and_inside_json_text_move_no_column() -> None:
    old = [field("a", "int"), field("l", array(rec(field("x", "int"))))]
    within = array(rec(field("y", null("int")), field("x", "int")))
    new = [field("a", null("int")), field("l", within), field("n", null("int"))]
    assert refused(old, new, positional=True) == []


# ------------------------------------------------------------------------------------ check


def dataset_folder(where: Path, versions: dict[int, Fields], config: str = "") -> Path:
    folder = where / "things"
    folder.mkdir(parents=True)
    for number, fields in versions.items():
        (folder / f"{number}.avsc").write_text(schema(fields))
    (folder / "dataset.toml").write_text(config)
    return folder


A, N = field("a", "int"), field("n", null("string"))


def test_check_lets_a_compatible_series_of_versions_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_folder(tmp_path, {1: [A], 2: [A, N], 10: [field("a", null("int")), N]})
    assert main(["check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "things, schema version 10\n" in out
    assert "FAULT" not in out


def test_check_refuses_a_version_that_trips_readers_and_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 is held against 1, and 10 against 2: by number, not by text."""
    folder = dataset_folder(tmp_path, {1: [A, N], 2: [A], 10: [field("a", "string")]})
    assert main(["check", str(tmp_path), "--quiet"]) == 1
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT")]
    assert [fault.partition(": ")[0] for fault in faults] == [
        f"FAULT  {folder}/2.avsc after 1.avsc",
        f"FAULT  {folder}/10.avsc after 2.avsc",
    ]
    assert "field n is gone; keep it" in faults[0]
    assert "field a was int and is string" in faults[1]


def test_check_minds_positions_where_there_is_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = dataset_folder(tmp_path, {1: [A], 2: [N, A]})
    assert main(["check", str(tmp_path), "--quiet"]) == 0
    (folder / "dataset.toml").write_text('formats = ["parquet", "csv"]')
    assert main(["check", str(tmp_path), "--quiet"]) == 1
    assert "field n moves columns of the CSV files; put new fields last." in capsys.readouterr().out


def test_settings_may_name_a_field_that_is_new_in_the_current_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = field("at", null(logical("long", "timestamp-micros")))
    config = 'partition_by = ["n"]\nevent_time = "at"'
    dataset_folder(tmp_path, {1: [A], 2: [A, N, moment]}, config)
    assert main(["check", str(tmp_path), "--quiet"]) == 0, capsys.readouterr().out


# --------------------------------------------------------------- documents of both versions


def test_documents_of_both_versions_in_one_batch_make_one_file_per_partition(
    tmp_path: Path,
) -> None:
    fields = [field("day", "string"), field("a", null("int")), N]
    config = 'partition_by = ["day"]\nformats = ["parquet", "csv"]'
    folder = dataset_folder(tmp_path, {1: [field("day", "string"), A], 2: fields}, config)
    documents = [{"day": "mo", "a": 1}, {"day": "tu", "n": "x"}] * 50
    documents += [{"day": "tu", "a": 3}, {"day": "mo", "a": 4, "n": None}] * 50
    stored = deliver(kinesis_event(map(as_json, documents)), [read_dataset(folder)])
    places = [key.rpartition("/")[0] for key in stored.output.objects]
    assert sorted(places) == [
        f"things/{as_format}/by_day={day}"
        for as_format in ("csv", "parquet")
        for day in ("mo", "tu")
    ]
    schemas = {
        read_parquet(body).schema.remove_metadata()
        for key, body in stored.output.objects.items()
        if key.endswith(".parquet")
    }
    assert len(schemas) == 1
    assert len(stored.rows) == 200
    assert stored.letters == []


def test_files_of_both_versions_are_one_table(tmp_path: Path) -> None:
    old = dataset_folder(tmp_path / "1", {1: [A]})
    new = dataset_folder(tmp_path / "2", {1: [A], 2: [field("a", null("int")), N]})
    for number, folder in enumerate((old, new)):
        event = kinesis_event([as_json({"a": number, "n": "x"})], start=number)
        for body in deliver(event, [read_dataset(folder)]).output.objects.values():
            (tmp_path / f"{number}.parquet").write_bytes(io.BytesIO(body).getvalue())
    files = f"{tmp_path}/*.parquet"
    query = "SELECT a, n FROM read_parquet($files, union_by_name = true) ORDER BY a"
    assert duckdb.connect().execute(query, {"files": files}).fetchall() == [(0, None), (1, "x")]
