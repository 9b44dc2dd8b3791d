"""`--json` and `--quiet`: one struct instead of text, or nothing, whatever a command prints."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from pipeline.cli import main
from pipeline.commands import backfill
from pipeline.commands.reporting import complain

ORDERS = ROOT / "schemas" / "orders"
SCHEMAS = ("--schemas", str(ROOT / "schemas"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three documents, of which one is bad."""
    good = (ORDERS / "good.ndjson").read_bytes().splitlines()[0]
    path = tmp_path / "orders.ndjson"
    path.write_bytes(b"\n".join([good, good, b'{"@stream": "orders"}', b""]))
    return path


def report(capsys: pytest.CaptureFixture[str]) -> Any:
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def convert(file: Path, *more: str) -> int:
    out = ("--out", str(file.parent / "out"), "--arrived-at", "2026-11-23T22:00:00Z")
    return main(["convert", str(file), *SCHEMAS, *out, *more])


def test_convert_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(file, "--json", "--strict") == 3
    said = report(capsys)
    assert (said["documents"], said["rows"], said["dead_letters"]) == (3, 2, 1)
    assert said["datasets"]["orders"]["dead_letters"] == {"missing_field": 1}
    assert said["bytes"] == file.stat().st_size
    assert said["out"] == (file.parent / "out").as_uri()


def test_quiet_says_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(file, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert list((file.parent / "out").rglob("*.parquet"))


def test_what_is_wrong_is_said_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.ndjson"
    assert convert(missing, "--quiet") == 1
    assert capsys.readouterr() == ("", f"pipeline: {missing}: No such file or directory.\n")
    assert convert(missing, "--json") == 1
    assert capsys.readouterr().out == ""  # nothing was begun: there is nothing to report


def test_redrive_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(file, "--quiet")
    letters = file.parent / "out-dead-letters"
    out = ("--out", str(file.parent / "out"))
    assert main(["redrive", str(letters), *SCHEMAS, *out, "--dry-run", "--json"]) == 0
    said = report(capsys)
    assert (said["documents"], said["dead_letters"], said["dry_run"]) == (1, 1, True)


def test_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "schemas"), "--json"]) == 0
    said = report(capsys)
    assert said["faults"] == []
    orders = next(table for table in said["datasets"] if table["dataset"] == "orders")
    assert {"name": "order_id", "type": "string", "notes": "", "json": "order_id"} in orders[
        "columns"
    ]


def test_check_has_its_faults_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "dataset.toml").write_text("partiton_by = []\n")
    assert main(["check", str(tmp_path), "--json"]) == 1
    assert len(report(capsys)["faults"]) >= 1


def test_check_looks_where_other_commands_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PIPELINE_SCHEMAS", raising=False)
    assert main(["check", "--json"]) == 0
    assert len(report(capsys)["datasets"]) > 5


def test_bench_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", str(file), *SCHEMAS, "--runs", "1", "--json"]
    assert main([*arguments, "--arrived-at", "2026-11-23T22:00:00Z"]) == 0
    said = report(capsys)
    assert said["documents"] == said["rows"] + sum(said["dead_letters"].values())
    assert said["dollars_per_gb"] > 0


def test_bench_wants_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *SCHEMAS]) == 1
    assert capsys.readouterr().err == (
        "pipeline: There is nothing to measure: name a file of documents.\n"
    )


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_failures_are_said_on_stderr(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: Any) -> int:
        sys.stdout.write("17 objects\n")
        complain("failed: s3://bucket/key: it is not there.")
        options.report = {"failed": 1}
        return 1

    monkeypatch.setattr(backfill, "run", run)
    assert main(["backfill", "s3://bucket", option]) == 1
    said = capsys.readouterr()
    assert said.err == "failed: s3://bucket/key: it is not there.\n"
    assert said.out == ('{"failed": 1}\n' if option == "--json" else "")


def test_infer_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drafts = file.parent / "drafts"
    assert main(["infer", str(file), "--out", str(drafts), "--json"]) == 0
    said = report(capsys)
    (draft,) = said["datasets"]
    assert (said["documents"], draft["documents"], said["fault"]) == (3, 3, None)
    assert draft["folder"] == str(drafts / "orders")
    assert {"path": "order_id", "type": "string", "notes": ["uuid"]}.keys() == draft["fields"][
        0
    ].keys()
    assert (drafts / "orders" / "1.avsc").is_file()


def test_evolve_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = json.loads(file.read_bytes().splitlines()[0])
    file.write_bytes(b"\n".join(json.dumps({**good, "gift_note": "x"}).encode() for _ in range(3)))
    assert main(["evolve", "orders", "--from", str(file), *SCHEMAS, "--dry-run", "--json"]) == 0
    said = report(capsys)
    assert (said["dataset"], said["documents"], said["written"]) == ("orders", 3, False)
    assert [(new["path"], new["documents"]) for new in said["new"]] == [("$.gift_note", 3)]
    assert said["file"].endswith(".avsc")


def test_try_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schemas = file.parent / "drafts"
    assert main(["try", str(file), "--schemas", str(schemas), "--json"]) == 0
    said = report(capsys)
    assert said["documents"] == 3 == said["rows"] + sum(said["dead_letters"].values())
    assert said["dollars_a_month"].keys() == {"here", "firehose"}
    assert said["assumed"] is True


def test_ddl_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    location = ("--location", "s3://lake/out")
    assert main(["ddl", "orders", *SCHEMAS, *location, "--json"]) == 0
    said = report(capsys)
    assert said["statements"].keys() == {"athena", "duckdb", "spark"}
    assert main(["ddl", "orders", *SCHEMAS, *location, "--dialect", "athena"]) == 0
    assert capsys.readouterr().out == said["statements"]["athena"] + "\n"


def test_import_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "thing.json"
    schema.write_text('{"type": "object", "properties": {"a": {"type": "integer"}}}', "utf-8")
    assert main(["import", "json-schema", str(schema), "--out", str(tmp_path), "--json"]) == 0
    said = report(capsys)
    assert (said["dataset"], said["fields"]) == ("thing", 1)


def test_demo_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--documents", "200", "--out", str(tmp_path / "demo"), "--json"]) == 0
    said = report(capsys)
    assert said["balanced"] is True
    assert said["documents"] == said["rows"] + said["dead_letters"]
    assert said["faults"] == []
