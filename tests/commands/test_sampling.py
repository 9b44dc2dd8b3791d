"""Where `pipeline infer` reads its documents: files, S3, standard input and streams."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from support import as_json

from pipeline.cli import main
from pipeline.core.kpl import UserRecord, aggregate

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [{"id": number, "note": "x"} for number in range(6)]


def infer(folder: Path, *arguments: str) -> int:
    """Draft a dataset named `drafted`."""
    return main(["infer", *arguments, "--name", "drafted", "--out", str(folder / "drafts")])


def drafted(folder: Path) -> dict[str, Any]:
    """Return the types of the drafted fields."""
    schema = json.loads((folder / "drafts" / "drafted" / "1.avsc").read_text())
    return {entry["name"]: entry["type"] for entry in schema["fields"]}


@pytest.fixture
def bucket(aws: str, request: pytest.FixtureRequest) -> str:
    """Return a bucket of this test, with two files and an empty one under a prefix."""
    name = f"b{abs(hash((aws, request.node.name)))}"
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    bodies = {"in/a.json": b"".join(map(as_json, DOCUMENTS[:3])), "in/b.gz": gzip.compress(
        b"\n".join(map(as_json, [*DOCUMENTS[3:], {"id": 2**64 - 1, "note": None}]))), "in/c": b""}  # fmt: skip
    for key, body in bodies.items():
        s3.put_object(Bucket=name, Key=key, Body=body)
    return name


def test_an_object_is_read(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer(tmp_path, f"s3://{bucket}/in/a.json") == 0
    assert "3 documents looked at\n" in capsys.readouterr().out
    assert drafted(tmp_path) == {"id": "long", "note": "string"}


def test_the_objects_of_a_prefix_are_read(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(tmp_path, f"s3://{bucket}/in/") == 0
    assert "7 documents looked at\n" in capsys.readouterr().out
    assert drafted(tmp_path)["id"]["precision"] == 20


@pytest.mark.parametrize(
    ("key", "sentence"), [("none.json", "none.json"), ("none/", "There is no object under s3://")]
)
def test_an_object_that_is_not_there_is_named(
    key: str, sentence: str, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(tmp_path, f"s3://{bucket}/{key}") == 1
    assert sentence in capsys.readouterr().err


def test_a_stream_is_read_deaggregated_and_up_to_so_many_documents(
    aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinesis = boto3.client("kinesis", endpoint_url=aws)
    kinesis.create_stream(StreamName="clicks-stream", ShardCount=2)
    texts = [as_json(document) for document in DOCUMENTS]
    packed = aggregate([UserRecord("a", text) for text in texts[:3]])
    broken = aggregate([UserRecord("a", texts[0])])[:-1] + b"?"
    for number, data in enumerate([packed, texts[3] + texts[4], gzip.compress(texts[5]), broken]):
        kinesis.put_record(StreamName="clicks-stream", Data=data, PartitionKey=str(number))
    assert infer(tmp_path, "--stream", "clicks-stream", "--endpoint-url", aws) == 0
    shown = capsys.readouterr().out
    assert "6 documents looked at\n" in shown
    assert "1 documents would be dead letters: not UTF-8; the first: clicks-stream/shardId" in shown
    assert drafted(tmp_path) == {"id": "long", "note": "string"}
    out = str(tmp_path / "few")
    assert main(["infer", "--stream", "clicks-stream", "--documents", "2", "--out", out]) == 0
    assert "2 documents looked at (the first ones" in capsys.readouterr().out
    assert (tmp_path / "few" / "clicks_stream").is_dir()


def test_there_must_be_something_to_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(tmp_path) == 1
    assert "There is nothing to read: name a file, or a stream" in capsys.readouterr().err


def test_lines_are_documents_whatever_is_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b'{"a": 1, "b": [\n{"a": 2}\n{"a": 3}\n')
    assert infer(tmp_path, str(file), "--framing", "lines") == 0
    shown = capsys.readouterr().out
    assert "2 documents looked at\n" in shown
    assert (
        f"1 documents would be dead letters: not JSON; the first: {file}, line 1 (byte 0)" in shown
    )


def test_the_limits_are_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f"
    file.write_bytes(as_json({"a": "x" * 2**20}))
    assert infer(tmp_path, str(file)) == 1
    assert "over the limit of 1,048,576 bytes, which PIPELINE_MAX_DOCUMENT_BYTES sets" in (
        capsys.readouterr().err
    )
    monkeypatch.setenv("PIPELINE_MAX_DOCUMENT_BYTES", "2000000")
    assert infer(tmp_path, str(file)) == 0


def test_a_document_that_does_not_fit_is_named_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [as_json({"n": number}) for number in range(150)]
    lines[77] = b'{"n": "secret"}'
    file = tmp_path / "f.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines)))
    assert infer(tmp_path, str(file)) == 0
    shown = capsys.readouterr().out
    assert "1 documents would be dead letters, wrong_type at $.n: Expected an integer" in shown
    assert f"the first: {file}, line 78 (byte " in shown
    assert "secret" not in shown


def test_with_a_preset_what_comes_out_of_envelopes_is_drafted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [
        {"id": str(number), "timestamp": 1795426200000, "message": "m"} for number in range(3)
    ]
    data = {"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": [*events, 7]}
    control = data | {"messageType": "CONTROL_MESSAGE"}
    (tmp_path / "data.gz").write_bytes(gzip.compress(as_json(data) + as_json(control)))
    assert infer(tmp_path, str(tmp_path / "data.gz"), "--preset", "cloudwatch-logs") == 0
    assert sorted(drafted(tmp_path)) == ["id", "logGroup", "message", "timestamp"]
    out = capsys.readouterr().out
    stream = tmp_path / "drafts" / "stream.toml"
    assert stream.read_text() == 'preset = "cloudwatch-logs"\n'
    assert out.splitlines()[-3:] == [
        "1 would be dead letters: An element of $.logEvents is not an object.",
        "1 would be dropped: control-message",
        f'wrote {stream}: preset = "cloudwatch-logs"',
    ]


def test_presets_follow_one_another(tmp_path: Path) -> None:
    events = {"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": [{"id": "1"}]}
    failed = {"attemptsMade": 4, "rawData": b64encode(as_json(events)).decode()}
    (tmp_path / "f.json").write_bytes(as_json(failed))
    presets = ["--preset", "firehose-transform-backup", "--preset", "cloudwatch-logs"]
    assert infer(tmp_path, str(tmp_path / "f.json"), *presets) == 0
    assert sorted(drafted(tmp_path)) == ["id", "logGroup"]
    assert (tmp_path / "drafts" / "stream.toml").read_text() == (
        'preset = ["firehose-transform-backup", "cloudwatch-logs"]\n'
    )


def test_an_unknown_preset_is_told_with_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(tmp_path, "x.json", "--preset", "cloudwatch") == 1
    assert "There is no preset 'cloudwatch'; there are cloudtrail, cloudwatch-logs," in (
        capsys.readouterr().err
    )
