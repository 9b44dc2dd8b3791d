"""`pipeline audit` on a directory: its sentences, its exit code, its receipts."""

from __future__ import annotations

import json
import re
import shutil
import time
from datetime import datetime, tzinfo
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pyiceberg.catalog import load_catalog
from support import SOURCE, as_json, deliver, kinesis_event, order

from pipeline.adapters.aws.kinesis import KinesisStream, PutRecord
from pipeline.adapters.aws.kinesis import Stored as Put
from pipeline.adapters.schemas import read_datasets
from pipeline.cli import main
from pipeline.core import events

SCHEMAS = Path(__file__).parent.parent.parent / "schemas"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store a batch in a directory."""
    records = [as_json(order()), as_json(order(country="FR")), b'{"x"']
    stored = deliver(kinesis_event(records), read_datasets(SCHEMAS))
    for key, body in stored.objects.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    monkeypatch.setenv("PIPELINE_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", str(tmp_path / "dead"))
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(SCHEMAS))
    return tmp_path


def lose(place: Path) -> None:
    [path] = place.glob("output/orders/parquet/*/by_country=FR/*")
    path.unlink()


def test_what_is_whole_is_said_with_its_numbers(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"3 objects in {(place / 'output').as_uri()} and {(place / 'dead').as_uri()}"
    assert lines[1].split() == (
        [
            "shard",
            "hour",
            "documents",
            "rows",
            "dead",
            "letters",
            "drops",
            "missing",
            "largest",
            "gap",
        ]
    )
    assert lines[2].split() == (
        ["shardId-000000000003", "2026-11-23T09", "3", "2", "1", "0", "0", "0", "s"]
    )
    assert lines[3:] == [
        "Nothing is missing, and nothing is there more than once that was delivered once."
    ]


def test_what_is_missing_is_said_and_is_a_failure(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(place)
    assert main(["audit"]) == 1
    assert (
        "\n1 of 2 documents are missing in orders as parquet: the batch " in capsys.readouterr().out
    )


def test_json_has_every_finding_with_its_position(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(place)
    assert main(["audit", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["complete"] is False
    [finding] = report["findings"]
    assert finding.pop("sentence").startswith("1 of 2 documents are missing")
    assert {**finding, "first": "", "last": ""} == {
        "kind": "missing", "source": SOURCE, "arrived_at": "2026-11-23T09:30:00.250000+00:00",
        "documents": 1, "first": "", "last": "", "dataset": "orders", "format": "parquet",
    }  # fmt: skip
    [hour] = report["hours"]
    assert (hour["documents"], hour["rows"], hour["dead_letters"], hour["missing"]) == (3, 1, 1, 1)


def test_since_leaves_out_what_arrived_before(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(place)
    assert main(["audit", "--since", "2026-11-23T10:00:00Z"]) == 0
    assert main(["audit", "--since", "today"]) == 1
    assert capsys.readouterr().err.startswith("pipeline: --since today: ")


def test_a_place_where_nothing_was_stored_is_an_error(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--out", str(place / "nowhere")]) == 1
    assert capsys.readouterr().err == (
        f"pipeline: {place / 'nowhere'} does not exist: nothing was ever stored there, or the name "
        "is misspelt.\n"
    )


def test_a_receipt_of_each_hour_is_json_and_a_page(place: Path) -> None:
    lose(place)
    assert main(["audit", "--receipt", str(place / "receipts")]) == 1
    assert sorted(path.name for path in place.glob("receipts/*")) == [
        "2026-11-23T09.html",
        "2026-11-23T09.json",
    ]
    receipt = json.loads((place / "receipts/2026-11-23T09.json").read_bytes())
    assert receipt["complete"] is False
    assert receipt["documents"] == (
        receipt["rows"] + receipt["dead_letters"] + receipt["drops"] + receipt["missing"]
    )
    assert receipt["shards"] == [
        {
            "source": SOURCE, "documents": 3, "rows": 1, "dead_letters": 1, "drops": 0, "missing": 1,
            "lag_seconds": receipt["lag_seconds"], "largest_gap_seconds": 0,
        }
    ]  # fmt: skip
    text, cells = read_page((place / "receipts/2026-11-23T09.html").read_text())
    assert "Not complete: 1 documents are missing." in text
    assert cells[-8:-2] == [SOURCE, "3", "1", "1", "0", "1"]
    assert receipt["findings"][0] in text


def test_the_receipt_of_a_whole_hour_says_so(place: Path) -> None:
    assert main(["audit", "--receipt", str(place / "receipts")]) == 0
    receipt = json.loads((place / "receipts/2026-11-23T09.json").read_bytes())
    assert receipt["complete"] is True
    assert receipt["findings"] == []
    text, _ = read_page((place / "receipts/2026-11-23T09.html").read_text())
    assert re.search(r"Complete( so far: the hour is not over)?\. Nothing is known to be", text)


class _Page(HTMLParser):
    """Reads the text of a page, and its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.cells = list[str]()
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - the base class's
        self._tag = tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._tag == "td" and data.strip():
            self.cells.append(data)


def read_page(page: str) -> tuple[str, list[str]]:
    reader = _Page()
    reader.feed(page)
    return reader.text, reader.cells


class _AnHourLater(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _AnHourLater:
        return cls.fromtimestamp(time.time() + 3_600, tz)


@pytest.mark.parametrize("since", [[], ["--since", "2026-01-01T00:00:00Z"]], ids=["all", "since"])
@mock_aws
def test_a_record_of_the_stream_that_was_never_delivered_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    since: list[str],
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("pipeline.commands.audit.datetime", _AnHourLater)
    client = boto3.client("kinesis")
    client.create_stream(StreamName="shop", ShardCount=1)
    kinesis = KinesisStream("shop", client)
    numbers = [
        stored.sequence_number
        for stored in kinesis.put_records([PutRecord("a", as_json(order()))] * 3)
        if isinstance(stored, Put)
    ]
    arn, [shard] = kinesis.describe_stream_summary().arn, kinesis.list_shards()
    records = kinesis.get_records(
        kinesis.get_shard_iterator(shard.shard_id, "TRIM_HORIZON")
    ).records
    event = events.kinesis_event(records[:2], arn, shard.shard_id)
    for key, body in deliver(event, read_datasets(SCHEMAS)).objects.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    place = ["--out", str(tmp_path / "output"), "--dead-letters", str(tmp_path / "dead")]
    assert main(["audit", *place, "--schemas", str(SCHEMAS), "--stream", "shop", *since]) == 1
    text = capsys.readouterr().out
    assert "3 records are in the stream and should be stored" in text
    assert f"1 record of {arn}/{shard.shard_id} in the hour from " in text
    assert f"has neither rows nor dead letters, {numbers[2]}. " in text


@pytest.mark.parametrize("dialect", ["duckdb", "athena"])
def test_sql_prints_the_views_of_the_datasets(
    place: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    arguments = ["audit", "--sql", dialect]
    if dialect == "athena":
        arguments += ["--out", "s3://lake/out", "--dead-letters", "s3://lake/dead"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "SELECT 'orders' AS dataset" in text
    assert "SELECT 'clicks' AS dataset" in text
    assert "CREATE OR REPLACE VIEW audit_short AS" in text


def committed(place: Path, schemas: Path) -> None:
    """Commit the orders to a table, which deletes their Parquet."""
    shutil.copytree(SCHEMAS / "orders", schemas / "orders")
    with (schemas / "orders" / "dataset.toml").open("a") as file:
        file.write("\n[lake]\n")
    assert main(["lake", "commit", str(place / "output"), "--schemas", str(schemas)]) == 0
    assert not list(place.glob("output/orders/parquet/**/*.parquet"))


def test_rows_that_are_in_a_table_are_there(
    place: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (main(["audit"]), capsys.readouterr().out.splitlines()[1:])
    schemas = tmp_path_factory.mktemp("schemas")
    committed(place, schemas)
    capsys.readouterr()
    assert (main(["audit"]), capsys.readouterr().out.splitlines()[1:]) == before


def test_a_row_that_a_table_lost_is_missing_and_one_that_was_forgotten_is_not(
    place: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = tmp_path_factory.mktemp("schemas")
    committed(place, schemas)
    lake = ["--schemas", str(schemas), "--dataset", "orders"]
    chosen = ["forget", str(place / "output"), *lake, "--where", "country = 'FR'"]
    assert main(["lake", *chosen]) == 0
    capsys.readouterr()
    assert main(["audit"]) == 0
    catalog = load_catalog(
        "lake", type="sql", uri=f"sqlite:///{place / 'output' / '_lake' / 'catalog.db'}"
    )
    ((namespace,),) = catalog.list_namespaces()
    catalog.load_table(f"{namespace}.orders").delete("country = 'DE'")
    capsys.readouterr()
    assert main(["audit"]) == 1
    assert "\n1 of 2 documents are missing in orders as parquet: " in capsys.readouterr().out


def test_a_table_without_its_library_is_told(
    place: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    committed(place, tmp_path_factory.mktemp("schemas"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("pipeline.cli.find_spec", lambda _: True)
    capsys.readouterr()
    assert main(["audit"]) == 1
    assert capsys.readouterr().err.startswith("pipeline: Tables need pyiceberg: pip install ")
