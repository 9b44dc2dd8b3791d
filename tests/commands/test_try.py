"""`pipeline try`: one command from unknown data to datasets that hold for it."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path

import boto3
import pytest
from support import as_json

from pipeline.adapters.schemas import read_datasets, read_stream
from pipeline.cli import main
from pipeline.commands.estimate import estimate, events_of, full_event
from pipeline.core.dataset import check_together
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.records import StreamRecord
from pipeline.measure.events import FULL_EVENT, event_bytes
from pipeline.measure.invocation import make_pipeline
from pipeline.measure.prices import firehose_cost

SECRET = "marker-of-a-payload"
VOLUMES = (1e-6, 0.01, 1_000.0)  # GB


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of two kinds of documents and a broken one; its folder is the current one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mixed events.ndjson.gz"
    lines = [as_json({"type": "order", "id": number, "total": 1.5}) for number in range(40)]
    lines += [as_json({"type": "click", "page": "/", "at": "2026-11-23T09:30:00Z"})] * 20
    file.write_bytes(gzip.compress(b"\n".join([*lines, b'{"' + SECRET.encode()])))
    return file


def tried(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["try", *map(str, arguments)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def test_from_a_file_to_datasets_rows_dead_letters_files_and_dollars(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = tried(capsys, mixed)
    assert "became     61 documents = 60 rows + 1 dead letters\n           1 x not_json\n" in shown
    assert re.search(r"^order +40 +3  date\(\)$", shown, re.MULTILINE)
    assert re.search(r"^click +20 +3  date\(at\)$", shown, re.MULTILINE)
    assert "at 1 GB a day (an assumption; --gb-a-day says another number)" in shown
    assert re.search(
        r"^  files    [0-9,]+ a day: 1,440 batches .* 3 files each", shown, re.MULTILINE
    )
    assert re.search(r"^  here     \$[0-9,]+\.[0-9]{2} a month", shown, re.MULTILINE)
    assert "with dynamic partitioning, as these partitions need" in shown
    assert SECRET not in shown
    assert len(shown.splitlines()) <= 24
    assert {dataset.name for dataset in read_datasets(tmp_path / "schemas")} == {"order", "click"}


def test_its_next_commands_work_as_they_are_pasted(
    mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = tried(capsys, mixed, "--schemas", "my drafts")
    commands = [shlex.split(line) for line in shown.splitlines() if line.startswith("  pipeline ")]
    assert [command[1] for command in commands] == ["check", "convert", "dead-letters"]
    for command in commands:
        assert main(command[1:]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^order +40 +40 +0 ", said, re.MULTILINE)
    assert "1 dead letters in out-dead-letters" in said


def test_nothing_is_overwritten(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried(capsys, mixed)
    before = {path: path.read_bytes() for path in Path("schemas").rglob("*.*")}
    assert main(["try", str(mixed)]) == 1
    assert capsys.readouterr().err == (
        "pipeline: schemas holds something already, and nothing in it was changed: name a new "
        "folder for the drafts with --schemas.\n"
    )
    assert {path: path.read_bytes() for path in Path("schemas").rglob("*.*")} == before
    Path("file").touch()
    assert main(["try", str(mixed), "--schemas", "file"]) == 1
    assert "file is not a folder" in capsys.readouterr().err


def test_a_preset_is_of_the_drafts_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    envelope = {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": "g",
        "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": str(n), "timestamp": n, "message": "hello"} for n in range(5)],
    }
    control = {**envelope, "messageType": "CONTROL_MESSAGE"}
    (tmp_path / "logs").write_bytes(as_json(envelope) + as_json(control))
    shown = tried(capsys, "logs", "--preset", "cloudwatch-logs")
    assert "became     6 documents = 5 rows + 0 dead letters + 1 dropped by rules\n" in shown
    assert read_stream(tmp_path / "schemas").presets == ("cloudwatch-logs",)
    convert = next(line for line in shown.splitlines() if line.startswith("  pipeline convert"))
    assert main(shlex.split(convert)[1:]) == 0


def test_a_stream_is_tried_as_it_is_aggregated(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kinesis = boto3.client("kinesis", endpoint_url=aws)
    kinesis.create_stream(StreamName="tried", ShardCount=2)
    good = [UserRecord("a", as_json({"id": number})) for number in range(10)]
    broken = aggregate(good)[:-1] + b"?"
    for key, data in enumerate([aggregate(good), as_json({"id": 10}), broken]):
        kinesis.put_record(StreamName="tried", Data=data, PartitionKey=str(key))
    shown = tried(capsys, "--stream", "tried", "--gb-a-day", "20")
    assert "became     12 documents = 11 rows + 1 dead letters\n" in shown
    assert "1 x kpl_checksum" in shown
    assert "at 20 GB a day (as was asked for)" in shown
    assert "pipeline run --once --stream tried --schemas schemas --out out" in shown
    assert (tmp_path / "schemas" / "tried" / "1.avsc").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name files to try, or a stream with --stream; one of the two."),
        (["none"], "none: No such file or directory."),
        (["empty"], "There is no document to draft empty from: the input is empty."),
        (["noise"], "texts none is a JSON object that becomes a row"),
    ],
)
def test_where_there_is_nothing_to_try_it_says_so_and_writes_nothing(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00" * 100)
    assert main(["try", *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "schemas").exists()


@pytest.mark.parametrize("volume", ["0", "-1", "nan", "inf", "x"])
def test_a_volume_is_a_number(volume: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["try", "f", "--gb-a-day", volume])
    assert "is not a number of GB, such as 0.5 or 200." in capsys.readouterr().err


def test_events_hold_as_much_as_lambda_sends_and_lose_nothing() -> None:
    records = [StreamRecord(str(n), "a", 0, b"x" * (n * 7_919 % 90_000)) for n in range(500)]
    events = list(events_of(records))
    assert [record for event in events for record in event] == records
    sizes = [sum(event_bytes(len(record.data)) for record in event) for event in events]
    assert max(sizes) <= FULL_EVENT
    assert min(sizes[:-1]) > FULL_EVENT - event_bytes(90_000)
    few = full_event(records[:3])
    assert len({record.sequence_number for record in few}) == len(few) > 3


def test_what_it_costs_grows_with_what_comes(tmp_path: Path) -> None:
    schema = {"type": "record", "name": "t", "fields": [{"name": "id", "type": "long"}]}
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "1.avsc").write_text(json.dumps(schema))
    (folder / "dataset.toml").touch()
    pipeline = make_pipeline(check_together(read_datasets(tmp_path)))
    records = [StreamRecord("0", "a", 0, as_json({"id": 1}))]
    of_volume = [
        estimate(
            pipeline,
            full_event(records),
            gigabytes=volume,
            shards=2,
            payload_bytes=100.0,
            partitioned=False,
        )
        for volume in VOLUMES
    ]
    assert of_volume[0].events == pytest.approx(1e3 / len(as_json({"id": 1})))
    assert of_volume[1].events == 2 * 1_440
    assert of_volume[2].events > 2 * 1_440
    for volume, made in zip(VOLUMES, of_volume, strict=True):
        assert made.files == made.events
        assert made.firehose == pytest.approx(firehose_cost(100.0) * volume * 30)
    assert of_volume[0].here < of_volume[1].here < of_volume[2].here
