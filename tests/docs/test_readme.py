"""The README's own blocks, run as they stand, and its two tables."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import duckdb
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
ORDERS = ROOT / "schemas" / "orders"
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def block(language: str) -> str:
    """Return the README's one block in a language."""
    (found,) = (
        textwrap.dedent(text) for _, name, text in BLOCK.findall(README) if name == language
    )
    return found


def test_every_block_is_tried_here_or_is_the_picture() -> None:
    languages = [language for _, language, _ in BLOCK.findall(README)]
    assert sorted(languages) == ["", "python", "sh", "sql", "toml"]


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
    exec(block("python"), {})
    assert names == ["orders"]
    assert [kept.user_records() for kept in stream.kept] == [
        [("customer 7", b'{"@stream":"orders"}')]
    ]


def test_the_configuration_is_one_of_orders() -> None:
    schema = (ORDERS / "1.avsc").read_text("utf-8")
    dataset = parse_dataset("orders", {1: schema}, block("toml"))
    assert dataset.formats == ("parquet", "csv")
    assert [column.name for column in dataset.partition_by] == ["date", "by_country"]


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `pipeline ([\w-]+)` \|", README, re.MULTILINE)
    assert listed == reference.command_names()


def test_the_readme_lists_every_handler() -> None:
    listed = re.findall(r"^\| `(pipeline\.handlers\.\w+)` \|", README, re.MULTILINE)
    assert listed == [path for path in PUBLIC if path.startswith("pipeline.handlers.")]
