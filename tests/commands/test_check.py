"""`pipeline check`: what it prints, what it finds, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import ROOT

from pipeline.cli import main

SCHEMA = {
    "type": "record",
    "name": "Thing",
    "fields": [
        {"name": "id", "type": "int", "minimum": 1},
        {"name": "note", "type": ["null", "string"], "maxLength": 4},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a dataset's folder with a schema, settings and samples that are as they should be."""
    made = tmp_path / "schemas" / "things"
    made.mkdir(parents=True)
    (made / "1.avsc").write_text(json.dumps(SCHEMA))
    (made / "dataset.toml").write_text('partition_by = ["date()", "note"]')
    (made / "good.ndjson").write_text('{"id": 1}\n\n{"id": 2, "note": "x"}\n')
    (made / "bad.ndjson").write_text(
        '{"reason": "below_minimum", "path": "$.id", "document": {"id": 0}}\n'
        '{"reason": "not_json", "path": "$", "text": "{"}\n'
        '{"reason": "not_utf8", "path": "$", "base64": "ImH/Ig=="}\n'
    )
    return made


def check(folder: Path, *options: str) -> int:
    return main(["check", str(folder.parent), *options])


def faults_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert err == ""
    return [line for line in out.splitlines() if line.startswith("FAULT  ")]


def test_the_shipped_datasets_are_as_they_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "schemas")]) == 0
    out = capsys.readouterr().out
    assert out.endswith("7 datasets, 0 faults\n")
    assert out.count("all as they should be") == 7


def test_it_prints_the_table_as_readers_see_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "things, schema version 1",
        "  accepts     what no other dataset accepts",
        "  formats     parquet",
        "  partitions  date of arrival, by_note",
    ]
    columns = [line.split() for line in lines if line.startswith("    ")]
    assert ["id", "int32", "id"] in columns
    assert ["note", "string", "may", "be", "null", "note"] in columns
    assert "things: 2 good and 3 bad samples, all as they should be" in lines


def test_it_says_what_the_committer_would_refuse(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder / "dataset.toml").open("a") as file:
        file.write("\n[lake]\n")
    monkeypatch.delenv("PIPELINE_LAKE", raising=False)
    assert check(folder) == 0
    assert "  lake        a table, by day()" in capsys.readouterr().out.splitlines()
    monkeypatch.setenv("PIPELINE_LAKE", "postgres:lake")
    assert check(folder) == 1
    (fault,) = faults_of(capsys)
    assert fault == (
        "FAULT  PIPELINE_LAKE: 'postgres:lake' does not name a catalog; write "
        "sqlite:///directory/catalog.db, glue:DATABASE or rest:https://…?namespace=NAME."
    )


def test_quiet_leaves_out_the_tables_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, "--quiet") == 0
    assert capsys.readouterr().out.split("\n") == [
        "things: 2 good and 3 bad samples, all as they should be", "", "1 datasets, 0 faults", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("good.ndjson", '{"id": 0}', "good.ndjson, line 3 is rejected: below_minimum at $.id: "),
        ("good.ndjson", "{", "good.ndjson, line 3 is rejected: not_json at $: "),
        ("bad.ndjson", '{"reason": "not_json", "path": "$", "document": {"id": 1}}', "bad.ndjson, line 3 is accepted; it should be not_json."),
        ("bad.ndjson", '{"reason": "too_long", "path": "$.id", "document": {"id": 0}}', "bad.ndjson, line 3 is below_minimum at $.id; it should be too_long at $.id."),
        ("bad.ndjson", '{"reason": "below_minimum", "path": "$", "document": {"id": 0}}', "bad.ndjson, line 3 is below_minimum at $.id; it should be below_minimum at $."),
    ],
)  # fmt: skip
def test_a_sample_that_fails_is_named_by_its_line(
    file: str, line: str, found: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / file).read_text().splitlines()
    (folder / file).write_text("\n".join([*lines[:2], line, *lines[3:]]))
    assert check(folder) == 1
    (fault,) = faults_of(capsys)
    assert fault.startswith(f"FAULT  {folder}/{found}")


@pytest.mark.parametrize(
    "line",
    [
        b'{"reason": "not_json"}',
        b"nonsense",
        b'{"reason": "not_json", "path": "$", "base64": "abc"}',
        b'{"reason": "not_json", "path": "$", "base64": "!!!!"}',
        b'{"reason": "\xff", "path": "$", "text": "{"}',
        b'{"reason": "not_json", "path": "$", "text": "\\ud800"}',
    ],
)
def test_a_line_that_is_no_sample_is_named(
    line: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.ndjson").write_bytes(b"\n" + line + b"\n")
    assert check(folder) == 1
    (fault,) = faults_of(capsys)
    assert fault.startswith(f"FAULT  {folder}/bad.ndjson, line 2: ")


@pytest.mark.parametrize("file", ["good.ndjson", "bad.ndjson"])
def test_samples_that_cannot_be_read_are_told(
    file: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / file).unlink()
    (folder / file).mkdir()
    assert check(folder) == 1
    assert capsys.readouterr().err == f"pipeline: {folder}/{file}: Is a directory.\n"


def test_samples_that_are_not_there_are_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "good.ndjson").unlink()
    assert check(folder) == 0
    assert "things: 0 good and 3 bad samples" in capsys.readouterr().out


def test_good_samples_that_go_to_another_dataset_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sibling with [match] takes one of them before the dataset that takes the rest."""
    sibling = folder.with_name("others")
    sibling.mkdir()
    shutil.copy(folder / "1.avsc", sibling)
    (sibling / "dataset.toml").write_text('[match]\nfield = "note"\nequals = "x"')
    assert check(folder) == 1
    (fault,) = faults_of(capsys)
    assert fault == f"FAULT  {folder}/good.ndjson: 1 go to other datasets."


def test_every_fault_of_every_dataset_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "good.ndjson").write_text('{"id": 0}\n')
    for name, text in (("a", "not toml"), ("b", 'formats = ["orc"]')):
        (folder.parent / name).mkdir()
        shutil.copy(folder / "1.avsc", folder.parent / name)
        (folder.parent / name / "dataset.toml").write_text(text)
    assert check(folder) == 1
    assert len(faults_of(capsys)) == 3


def test_datasets_that_cannot_serve_one_stream_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, folder.with_name("others"))
    assert check(folder) == 1
    (fault,) = faults_of(capsys)
    assert "Datasets others and things both lack [match]" in fault


def test_samples_do_not_grow_old_with_their_event_times(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    (folder / "1.avsc").write_text(json.dumps({**SCHEMA, "fields": [moment]}))
    (folder / "dataset.toml").write_text('event_time = "at"\nevent_time_window = ["-1d", "+1d"]')
    (folder / "good.ndjson").write_text('{"at": "2026-11-23T00:00:00Z"}\n')
    (folder / "bad.ndjson").write_text(
        '{"reason": "outside_window", "path": "$.at", "document": {"at": "2026-11-20T00:00:00Z"}}'
    )
    assert check(folder) == 0, capsys.readouterr().out


def test_no_samples_are_no_fault(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.ndjson").unlink()
    (folder / "bad.ndjson").unlink()
    assert check(folder, "--quiet") == 0
    assert "0 good and 0 bad samples" in capsys.readouterr().out


def test_it_remarks_on_a_logical_type_that_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    things = tmp_path / "things"
    things.mkdir()
    (things / "1.avsc").write_text(
        '{"type": "record", "name": "T", "fields": [{"name": "f", "type": ["string", "null"], '
        '"default": "x"}, {"name": "v", "type": {"type": "string", "logicalType": "varchar"}}, '
        '{"name": "m", "type": {"type": "record", "name": "M", "fields": [{"name": "at", "type": '
        '{"type": "long", "logicalType": "timestamp-millis"}}]}}]}'
    )
    (things / "dataset.toml").write_text(
        "partition_by = ['date(m.at, \"Europe/Berlin\")', 'year()', 'm.at']"[:-9] + "]\n"
        "[match]\nfield = ['m', 'kind']\nequals = 1\n"
    )
    assert check(things) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "accepts documents whose '$.m.kind' equals 1" in lines
    assert "partitions date of m.at in Europe/Berlin, year of arrival" in lines
    assert "f string may be null, has a default f" in lines
    assert (
        "REMARK schemas/things/1.avsc, field v: there is no logical type 'varchar'; it is read as "
        "the string that it is beneath."
    ) in lines


@pytest.mark.parametrize(
    ("kind", "rules", "sentence"),
    [
        ("string", {}, 'a string may have any number of values, {}, or limit the field by a "pattern" or make it an enum.'),
        ("string", {"maxLength": 36}, 'a string may have any number of values, {}, or limit the field by a "pattern" or make it an enum.'),
        ({"type": "string", "logicalType": "uuid"}, {}, "a uuid may have any number of values, {}."),
        ("long", {"minimum": 0}, 'a long may have any number of values, {}, or limit the field by a "minimum" and a "maximum" close together.'),
        ("int", {"minimum": 0, "maximum": 1_000_000}, 'an int may have any number of values, {}, or limit the field by a "minimum" and a "maximum" close together.'),
        ("string", {"pattern": "^[A-Z]{2}$"}, None),
        ("string", {"maxLength": 2}, None),
        ("long", {"minimum": 1, "maximum": 12}, None),
        ("boolean", {}, None),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, {}, None),
        ({"type": "int", "logicalType": "date"}, {}, None),
    ],
)  # fmt: skip
def test_it_remarks_on_a_partition_of_any_number_of_values(
    kind: object,
    rules: dict[str, object],
    sentence: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    things = tmp_path / "schemas" / "things"
    things.mkdir(parents=True)
    inner = {"type": "record", "name": "I", "fields": [{"name": "by", "type": kind, **rules}]}
    fields = [{"name": "by", "type": kind, **rules}]
    if isinstance(kind, str):
        fields.append({"name": "inner", "type": inner})
    schema = {"type": "record", "name": "T", "fields": fields}
    (things / "1.avsc").write_text(json.dumps(schema))
    levels = ["date()", *("inner.by" for _ in fields[1:]), "by"]
    (things / "dataset.toml").write_text(f"partition_by = {levels[:2]}")
    assert check(things, "--quiet") == 0
    remarks = [line for line in capsys.readouterr().out.splitlines() if "REMARK" in line]
    consequence = (
        "and each partition of a batch is an object in every format, slow to store and to read; "
        "partition by something coarser"
    )
    if sentence is None:
        assert remarks == []
    else:
        assert remarks == [
            f"REMARK  {things}/dataset.toml, partition_by {levels[1]!r}: "
            + sentence.format(consequence)
        ]


@pytest.mark.parametrize(("ids", "remarked"), [(40, True), (18, False), (2, False)])
def test_it_remarks_on_samples_that_are_nearly_all_partitions_of_their_own(
    ids: int, remarked: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "good.ndjson").write_text(
        "".join(f'{{"id": 1, "note": "{n % ids}"}}\n' for n in range(40))
    )
    assert check(folder, "--quiet") == 0
    remarks = [line for line in capsys.readouterr().out.splitlines() if "REMARK" in line]
    remark = (
        f"REMARK  {folder}/good.ndjson: its 40 rows fall into 40 partitions, and each partition of "
        "a batch is an object in every format, slow to store and to read; partition by something "
        "coarser."
    )
    assert remarks == ([remark] if remarked else [])


def test_what_is_taken_out_of_envelopes_is_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = folder.parent / "stream.toml"
    stream.write_text(
        'preset = "cloudtrail"\n[[envelope]]\nwhen = { "$.op" = ["c", 1], "$.m" = { prefix = "{" } }\n'
        'parse = "$.m"\nkeep = { "a.b" = "$[\'a.b\'].c" }\n'
    )
    assert check(folder, "--explain") == 0
    shown = capsys.readouterr().out.splitlines()
    cloudtrail = (
        "  preset cloudtrail, envelope 1, when $.Records is there: each element of $.Records is a "
        "document; an empty array is dropped, counted as 'no-records'; no rule after it"
    )
    own = (
        "  stream.toml, envelope 1, when $.op is 'c' or 1 and $.m begins with '{': the JSON text in "
        "$.m is the document; with $[\"a.b\"].c as 'a.b'"
    )
    first = "stream.toml: 2 rules for envelopes, with those of cloudtrail"
    assert shown[:4] == [first, cloudtrail, own, ""]
    assert '  each = "$.Records"' in shown
    stream.write_text('preset = "x"\n[[envelope]]\neach = 1\n')
    assert check(folder) == 1
    assert capsys.readouterr().out.count("FAULT  ") == 2
