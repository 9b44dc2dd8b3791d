"""The commands that look at a stream decode its payloads, where `[payload]` says what they are."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import boto3
import fastavro
import pytest

from pipeline.adapters.schemas import read_datasets
from pipeline.audit.dropped import dropped_by_rules, nothing_is
from pipeline.cli import main
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.records import Limits, StreamRecord

THING = {
    "type": "record",
    "name": "Thing",
    "fields": [
        {"name": "op", "type": "string"},
        {"name": "id", "type": "long"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}  # fmt: skip
PAYLOAD = '[payload]\nformat = "avro"\nframing = "confluent"\nschemas = "_writers"\n'
DROP = '[[envelope]]\nwhen = { "$.op" = "d" }\ndrop = "deleted"\n'


def payload(op: str, number: int) -> bytes:
    buffer = io.BytesIO(b"\0\0\0\0\7")
    buffer.seek(5)
    fastavro.schemaless_writer(
        buffer, fastavro.parse_schema(THING), {"op": op, "id": number, "price": b"\4\xd2"}
    )
    return buffer.getvalue()


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    folder = tmp_path / "schemas"
    (folder / "_writers").mkdir(parents=True)
    (folder / "_writers" / "7.avsc").write_text(json.dumps(THING))
    (folder / "stream.toml").write_text(DROP + PAYLOAD)
    return folder


@pytest.fixture(scope="module")
def stream(aws: str) -> str:
    """Return a stream with an aggregate of three payloads, of which one is a deletion, and a cut one."""
    kinesis: Any = boto3.client("kinesis", endpoint_url=aws)
    kinesis.create_stream(StreamName="avro", ShardCount=1)
    packed = aggregate(UserRecord("k", payload(op, n)) for n, op in enumerate("cdc"))
    for data in (packed, payload("c", 9)[:-1]):
        kinesis.put_record(StreamName="avro", PartitionKey="k", Data=data)
    return "avro"


def test_tap_shows_payloads_decoded(
    stream: str, schemas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tap", "--stream", stream, "--schemas", str(schemas)]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    *lines, broken = shown.out.splitlines()
    assert lines == ['{"op":"c","id":0,"price":12.34}', '{"op":"c","id":2,"price":12.34}']
    found = json.loads(broken)
    assert found["reason"] == "bad_avro"
    assert found["payload"].encode() == payload("c", 9)[:-1]
    assert "3 shown of 3 in 2 stream records; 1 could not be opened; dropped by rules: 1 x deleted" in shown.err  # fmt: skip
    assert main([*arguments, "--wrapped", "--where", "op=d"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == '{"op":"d","id":1,"price":12.34}'
    assert main([*arguments, "--raw"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert base64.b64decode(lines[0]) == payload("c", 0)


def test_infer_drafts_from_payloads_decoded(
    stream: str, schemas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = schemas.parent / "drafts"
    arguments = ["--stream", stream, "--schemas", str(schemas), "--out", str(out)]
    assert main(["infer", *arguments, "--name", "things"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "3 documents looked at\n1 documents would be dead letters: not decoded (bad_avro); the first: "
    )
    (drafted,) = read_datasets(out)
    assert {"op", "id", "price"} < set(drafted.schema.names)


def test_try_decodes_and_drafts_beside_what_is_said_of_the_stream(
    stream: str, schemas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (schemas / "stream.toml").read_text()
    assert main(["try", "--stream", stream, "--schemas", str(schemas)]) == 0
    said = capsys.readouterr().out
    assert re.search(
        "became     4 documents = 2 rows [+] 1 dead letters [+] 1 dropped by rules\n +1 x bad_avro",
        said,
    )
    assert [dataset.name for dataset in read_datasets(schemas)] == ["avro"]
    assert (schemas / "stream.toml").read_text() == before
    assert {path.name for path in schemas.iterdir()} == {"_writers", "avro", "stream.toml"}
    assert main(["check", str(schemas), "--quiet"]) == 0
    assert main(["try", "--stream", stream, "--schemas", str(schemas)]) == 1
    assert "holds something already" in capsys.readouterr().err


def test_a_preset_beside_a_stream_toml_is_refused(
    schemas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["try", "--stream", "s", "--schemas", str(schemas), "--preset", "dms"]
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        f"pipeline: {schemas / 'stream.toml'} says how documents stand in payloads: leave out "
        '--preset, and name it there, as in preset = "dms".\n'
    )


def test_the_audit_knows_what_rules_drop_of_what_was_decoded(schemas: Path) -> None:
    is_dropped = dropped_by_rules(schemas, Limits())
    records = [StreamRecord("1", "k", 0, payload(op, 1)) for op in "dc"]
    assert [is_dropped("s/shard", record) for record in records] == [True, False]
    assert not is_dropped("s/shard", StreamRecord("1", "k", 0, payload("d", 1)[:-1]))
    (schemas / "stream.toml").write_text(PAYLOAD)
    assert dropped_by_rules(schemas, Limits()) is nothing_is
