"""The blocks of README.md and of the pages it is continued in, run as they stand, and their tables."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import duckdb
import picture
import pytest
import reference
from fake_kinesis import FakeKinesis
from support import ROOT, as_json, kinesis_event

from pipeline import PUBLIC, handlers
from pipeline.core.dataset import parse_dataset
from pipeline.producer import producer

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text("utf-8")
RUNNING, INPUT, GUARANTEES, LIMITS = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    for name in ("running", "input", "guarantees", "limits")
)
RESULTS = (ROOT / "benchmarks" / "results" / "README.md").read_text("utf-8")
ORDERS = ROOT / "schemas" / "orders"
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def block(language: str, page: str = README) -> str:
    """Return a page's one block in a language."""
    (found,) = (textwrap.dedent(text) for _, name, text in BLOCK.findall(page) if name == language)
    return found


@pytest.mark.parametrize(
    ("page", "languages"),
    [
        (README, ["sh", "sql"]),
        (RUNNING, ["python"]),
        (INPUT, ["", "toml"]),
        (GUARANTEES, ["sql"]),
        (LIMITS, []),
    ],
    ids=["README", "running", "input", "guarantees", "limits"],
)
def test_every_block_is_tried_here_or_is_the_picture(page: str, languages: list[str]) -> None:
    assert sorted(language for _, language, _ in BLOCK.findall(page)) == languages


def test_the_readme_is_one_page() -> None:
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 900


def test_both_pages_have_one_query() -> None:
    assert block("sql") == block("sql", GUARANTEES)


def test_its_numbers_are_those_of_the_benchmarks() -> None:
    table = README[README.index("## Why not") : README.index("## What it guarantees")]
    numbers = re.findall(r"(?<![\w.])\d[\d,]*\.\d+x?|13,954|\b310\b", table)
    assert len(numbers) >= 8
    missing = [number for number in numbers if number not in RESULTS]
    assert missing == []


def test_the_packages_of_the_demo_are_counted() -> None:
    lock = (ROOT / "requirements" / "demo.txt").read_text("utf-8")
    packages = len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))
    assert f"It installs {packages} packages into `.venv-demo`" in README


def test_the_picture_is_what_the_demo_shows() -> None:
    """But for what another machine, or another minute, has otherwise: how long it took."""
    assert words(picture.draw(picture.shown())) == words(picture.PICTURE.read_text("utf-8"))


def words(drawing: str) -> list[str]:
    """Return what is written in a picture, without the seconds."""
    texts = re.findall(r">([^<>]+)</text>", drawing)
    return [re.sub(r"[\d.]+ s in|\$[\d.]+ a GB", "…", text) for text in texts]


def test_the_first_command_is_a_target() -> None:
    target = block("sh").removeprefix("make ").strip()
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_the_query_shows_each_document_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However Lambda cuts the batches: here it delivers the middle record twice."""
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIPELINE_OUTPUT", (tmp_path / "out").as_uri())
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", (tmp_path / "dead").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    monkeypatch.chdir(tmp_path)
    order = (ORDERS / "good.ndjson").read_bytes().splitlines()[0]
    whole = kinesis_event([order] * 3)
    for records in (whole["Records"][:2], whole["Records"][1:]):
        assert handlers.kinesis({"Records": records}, None) == {"batchItemFailures": []}
    rows = "read_parquet('out/orders/parquet/**/*.parquet')"
    assert query(f"SELECT count(*) FROM {rows}") == [(4,)]
    assert query(f"SELECT count(*), count(DISTINCT _sequence_number) FROM ({block('sql')})") == [
        (3, 3)
    ]
    assert len(query(block("sql"))) == 3  # as Python's values, times with a zone among them


def test_the_query_shows_the_column_of_a_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = tmp_path / "schemas"
    shutil.copytree(ORDERS, schemas / "orders")
    monkeypatch.setenv("PIPELINE_OUTPUT", (tmp_path / "out").as_uri())
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", (tmp_path / "dead").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(schemas))
    monkeypatch.chdir(tmp_path)
    order = json.loads((ORDERS / "good.ndjson").read_bytes().splitlines()[0])
    handlers.kinesis(kinesis_event([as_json(order)]), None)
    schema = json.loads((ORDERS / "1.avsc").read_text("utf-8"))
    schema["fields"].append({"name": "discount", "type": ["null", "double"]})
    (schemas / "orders" / "2.avsc").write_text(json.dumps(schema), "utf-8")
    handlers.forget()
    handlers.kinesis(kinesis_event([as_json(order | {"discount": 0.5})], start=1), None)
    found = query(f"SELECT discount FROM ({block('sql')}) ORDER BY _sequence_number")
    assert found == [(None,), (0.5,)]


def query(sql: str) -> list[Any]:
    """Ask DuckDB, in the folder that the test is in."""
    with duckdb.connect() as connection:
        return connection.sql(sql).fetchall()


def test_the_producer_puts_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FakeKinesis()
    names: list[str] = []

    def open_stream(name: str, *, endpoint_url: str | None) -> FakeKinesis:
        assert endpoint_url is None
        names.append(name)
        return stream

    monkeypatch.setattr(producer, "KinesisStream", open_stream)
    exec(block("python", RUNNING), {})
    assert names == ["orders"]
    assert [kept.user_records() for kept in stream.kept] == [
        [("customer 7", b'{"@stream":"orders"}')]
    ]


def test_the_configuration_is_one_of_orders() -> None:
    schema = (ORDERS / "1.avsc").read_text("utf-8")
    dataset = parse_dataset("orders", {1: schema}, block("toml", INPUT))
    assert dataset.formats == ("parquet", "csv")
    assert [column.name for column in dataset.partition_by] == ["date", "by_country"]


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^\| `pipeline ([\w-]+)` \|", RUNNING, re.MULTILINE)
    assert listed == reference.command_names()


def test_every_handler_is_listed() -> None:
    listed = re.findall(r"^\| `(pipeline\.handlers\.\w+)` \|", RUNNING, re.MULTILINE)
    assert listed == [path for path in PUBLIC if path.startswith("pipeline.handlers.")]
