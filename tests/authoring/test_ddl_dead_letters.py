"""`pipeline ddl --dead-letters`: what readers see through it is what was rejected."""

from __future__ import annotations

import ast
import gzip
import inspect
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import sqlglot
from full_letter import NEWER, file_of_a_full_letter
from support import ARRIVED, as_json, dataset, deliver, kinesis_event

from pipeline.authoring.ddl import dead_letter_statements
from pipeline.cli import main
from pipeline.core import deadletter, letter_lines
from pipeline.core.errors import SettingsError
from pipeline.core.letter_lines import MEMBERS

if TYPE_CHECKING:
    from pathlib import Path

MATCH = '[match]\nfield = "type"\nequals = "{}"'
FIELDS = [{"name": "n", "type": "long"}]
DATASETS = [
    dataset(*FIELDS, config=MATCH.format("a"), name="apples"),
    dataset(*FIELDS, config=MATCH.format("b"), name="pears"),
]
RECORDS = [
    as_json({"type": "a", "n": "x"}), as_json({"type": "b", "n": "nul \0, ü"}), b"\xff\0", b"{}",
    as_json({"type": "a", "n": "long" * 200_000}), b"",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store dead letters twice, as Lambda does after a time-out, and some that were sent again."""
    root = tmp_path_factory.mktemp("dead [letters] ü %41")
    for first in (0, 1):
        event = kinesis_event(RECORDS[first:], start=first)
        for key, body in deliver(event, DATASETS).dead_letters.objects.items():
            for path in (root / key, root / "_redriven" / key):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
    return root


def letters() -> list[dict[str, Any]]:
    return deliver(kinesis_event(RECORDS), DATASETS).letters


def test_duckdb_reads_what_was_rejected(root: Path) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(dead_letter_statements(["apples", "pears"], root.as_uri(), "duckdb"))
    assert connection.sql("FROM dead_letters").count("*").fetchall() == [(2 * len(RECORDS) - 1,)]
    found = connection.sql("FROM dead_letters_once ORDER BY sequence_number").to_arrow_table()
    expected = sorted(letters(), key=lambda letter: str(letter["sequence_number"]))
    for row, letter in zip(found.to_pylist(), expected, strict=True):
        assert row == dict.fromkeys(NEWER) | letter | {
            "arrived_at": datetime.fromisoformat(letter["arrived_at"]),
            "date": ARRIVED.date(),
            "hour": ARRIVED.hour,
        }
    datasets = connection.sql("SELECT DISTINCT dataset FROM dead_letters").fetchall()
    assert {name for (name,) in datasets} == {"apples", "pears", None}


def test_duckdb_shows_every_member(tmp_path: Path) -> None:
    file = tmp_path / "apples" / "date=1970-01-01" / "hour=00" / "one.jsonl.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(file_of_a_full_letter())
    connection = duckdb.connect()
    connection.execute(dead_letter_statements(["apples"], tmp_path.as_uri(), "duckdb"))
    found = connection.sql(f"SELECT {', '.join(NEWER)} FROM dead_letters_once").to_arrow_table()
    assert found.to_pylist() == [NEWER]


def test_the_tables_have_every_member_that_is_written_or_read() -> None:
    [line] = gzip.decompress(file_of_a_full_letter()).splitlines()
    assert list(MEMBERS) == [*letters()[0], *NEWER]
    assert set(json.loads(line)) == set(MEMBERS)
    assert set(deadletter._Written.__struct_fields__) <= set(MEMBERS)
    # And whatever else the writer has a name for.
    named = set[str]()
    for node in ast.walk(ast.parse(inspect.getsource(letter_lines))):
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            named.update(re.findall(r'"(\w+)":', node.value.decode()))
        elif isinstance(node, ast.Assign):
            named.update(re.findall(r"^members\['(\w+)'\]", ast.unparse(node)))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "_members":
            named.update(keyword.arg for keyword in node.keywords if keyword.arg)
    assert named >= {"stage", "element", "sealed", "digest"}
    assert named <= set(MEMBERS)


def test_athena_lists_the_folders_of_all_datasets_and_of_none() -> None:
    entry = json.loads(
        dead_letter_statements(["pears", "apples"], "s3://lake/dead", "glue", datetime(2026, 1, 2, tzinfo=UTC).date())
    )  # fmt: skip
    settings = entry["Parameters"]
    assert settings["projection.folder.values"] == "apples,pears,unrouted"
    assert settings["projection.date.range"] == "2026-01-02,NOW+1DAYS"
    assert settings["storage.location.template"] == (
        "s3://lake/dead/${folder}/date=${date}/hour=${hour}/"
    )
    columns = {column["Name"] for column in entry["StorageDescriptor"]["Columns"]}
    assert columns == set(MEMBERS) > set(letters()[0])
    assert [key["Name"] for key in entry["PartitionKeys"]] == ["folder", "date", "hour"]


def test_athenas_views_take_columns_that_the_table_has() -> None:
    text = dead_letter_statements(["apples"], "s3://lake/dead", "athena")
    known = set(MEMBERS) | {"folder", "date", "hour"}
    _, *views = text.split("\nCREATE OR REPLACE VIEW")
    for view in views:
        code = "\n".join(line for line in view.splitlines() if not line.startswith("--"))
        parsed = sqlglot.parse_one(f"CREATE VIEW{code}".rstrip(";\n"), dialect="trino")
        asked = {column.name for column in parsed.find_all(sqlglot.exp.Column)} - {"_copy"}
        assert asked == known
    assert "MSCK" not in text


def test_the_command_prints_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ddl", "--dead-letters", "--location", str(root), "--dialect", "duckdb"]) == 0
    connection = duckdb.connect()
    connection.execute(capsys.readouterr().out)
    reasons = "SELECT count(DISTINCT reason) FROM dead_letters_once"
    assert connection.execute(reasons).fetchall() == [(len({one["reason"] for one in letters()}),)]


def test_the_commands_location_is_that_of_the_dead_letters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPELINE_OUTPUT", "s3://lake/rows")
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", "s3://lake/dead/")
    assert main(["ddl", "--dead-letters", "--dialect", "glue"]) == 0
    assert json.loads(capsys.readouterr().out)["StorageDescriptor"]["Location"] == "s3://lake/dead/"


@pytest.mark.parametrize(
    "arguments", [[], ["orders", "--dead-letters"], ["--dead-letters", "--dialect", "pandas"]]
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ddl", "--location", "/lake", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("pipeline: ")


def test_athena_reads_s3_alone() -> None:
    with pytest.raises(SettingsError, match="Athena and Glue read S3 alone"):
        dead_letter_statements([], "file:///dead", "athena")


@pytest.mark.parametrize("dialect", ["athena", "glue"])
def test_where_a_function_registers_partitions_nothing_projects_or_repairs_them(
    dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables of orders, partitioned by a field, of clicks, by arrival, and of dead letters."""
    for which in (["orders"], ["clicks"], ["--dead-letters"]):
        asked = [*which, "--location", "s3://lake/out", "--dialect", dialect]
        assert main(["ddl", *asked]) == 0
        assert re.search("projection.enabled|MSCK", capsys.readouterr().out)
        assert main(["ddl", *asked, "--registered"]) == 0
        text = capsys.readouterr().out
        assert not re.search("projection|MSCK", text)
        assert "What has landed is registered as partitions within minutes" in text


def test_a_beginning_without_a_projection_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["ddl", "clicks", "--location", "s3://lake/out", "--since", "2026-11-01"]
    assert main([*asked, "--registered"]) == 1
    assert "with --registered there is none: give one." in capsys.readouterr().err
