"""`pipeline tap`: what is on a stream or in a file, exactly, and nothing else."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import as_json

from pipeline.cli import main
from pipeline.core.kpl import UserRecord, aggregate

SECRET = "marker-of-a-payload"


def tap(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[list[str], str]:
    """Run it; return the lines that it printed, and its stderr."""
    assert main(["tap", *map(str, arguments)]) == 0
    shown = capsys.readouterr()
    return shown.out.splitlines(), shown.err


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    file = tmp_path / "orders.json"
    file.write_bytes(
        b'{"type":"order","n":1.10,"n":2}\n[{"type": "click", "n": "5"},\n {"type":"order",\n'
        b'"at": {"zip": 5, "a.b": true}}]\n'
    )
    return file


def test_documents_are_shown_one_a_line_with_their_values_as_written(
    orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, said = tap(capsys, orders)
    assert lines == [
        '{"type":"order","n":1.10,"n":2}',
        '{"type": "click", "n": "5"}',
        '{"type":"order","at":{"zip":5,"a.b":true}}',
    ]
    assert said == "pipeline: 3 shown of 3\n"


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("type=order", [0, 2]),
        ("type!=order", [1]),
        ("$.type=click", [1]),
        ("n=5", [1]),
        ("n=2", [0]),
        ("at.zip=5", [2]),
        ("at.zip=5.0", [2]),
        ("at.zip=05", []),
        ("$.at['a.b']=true", [2]),
        ("at", [2]),
        ("at=null", [0, 1]),
        ("at!=null", [2]),
        ('type="order"', [0, 2]),
    ],
)
def test_conditions_choose_documents(
    condition: str, numbers: list[int], orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything, _ = tap(capsys, orders)
    lines, _ = tap(capsys, orders, "--where", condition)
    assert [everything.index(line) for line in lines] == numbers


def test_several_conditions_must_all_be_true(
    orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = tap(capsys, orders, "--where", "type=order", "--where", "n=2")
    assert len(lines) == 1


@pytest.mark.parametrize("condition", ["", "=5", "$", "a..b=1", "$.=2"])
def test_what_is_no_condition_is_refused(
    condition: str, orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tap", str(orders), "--where", condition]) == 1
    assert f"--where {condition}: give PATH=VALUE, PATH!=VALUE or PATH" in capsys.readouterr().err


def test_what_does_not_open_is_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f"
    file.write_text('{"a":1}\n{"a": ' + SECRET)
    lines, said = tap(capsys, file)
    assert lines[0] == '{"a":1}'
    found = json.loads(lines[1])
    assert found["reason"] == "not_json"
    assert found["payload"] == '{"a": ' + SECRET
    assert said == (
        f"pipeline: {file}, byte 8: The document is not JSON: invalid character (byte 6). "
        "(not_json)\npipeline: 2 shown of 2; 1 could not be opened\n"
    )


def test_what_does_not_open_stands_at_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b'{"n":1}\n{"n":"%s"}\n{"n":3}\n' % (b"x" * 2**20))
    lines, _ = tap(capsys, file)
    assert ["reason" in line for line in lines] == [False, True, False]


def test_what_is_pretty_is_the_same_document(
    orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = tap(capsys, orders, "--pretty", "--limit", "1")
    assert lines == ["{", '  "type": "order",', '  "n": 1.10,', '  "n": 2', "}"]


def test_positions_are_named_as_in_dead_letters(
    orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = tap(capsys, orders, "--positions", "--where", "type=click")
    assert [json.loads(line) for line in lines] == [
        {
            "source": str(orders),
            "sequence_number": "33",
            "sub_sequence_number": 0,
            "document": 0,
            "payload": {"type": "click", "n": "5"},
        }
    ]


def test_a_sample_is_of_all_of_it_and_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.gz"
    file.write_bytes(gzip.compress(b"".join(b'{"n":%d}\n' % number for number in range(1_000))))
    lines, said = tap(capsys, file, "--sample", "20")
    numbers = [json.loads(line)["n"] for line in lines]
    assert len(numbers) == 20
    assert numbers == sorted(numbers)
    assert numbers[-1] > 500
    assert said == "pipeline: 20 shown of 1,000\n"
    assert tap(capsys, file, "--sample", "20")[0] == lines
    assert len(tap(capsys, file, "--sample", "2000")[0]) == 1_000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5), st.integers(0, 3))
def test_any_document_is_shown_as_it_is(documents: list[dict[str, Any]], indent: int) -> None:
    text = "\n".join(json.dumps(each, indent=indent or None) for each in documents).encode()
    shown = io.TextIOWrapper(io.BytesIO(), write_through=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        patch.setattr(sys, "stdout", shown)
        patch.setattr(sys, "stderr", io.StringIO())
        assert main(["tap", "-"]) == 0
    lines = shown.buffer.getvalue().decode().split("\n")[:-1]
    assert [json.loads(line, parse_float=Decimal) for line in lines] == [
        json.loads(json.dumps(each), parse_float=Decimal) for each in documents
    ]


def test_a_file_that_is_one_aggregate_is_taken_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.bin"
    file.write_bytes(aggregate([UserRecord("a", b'{"n":1}'), UserRecord("b", b'{"n":2}')]))
    assert tap(capsys, file)[0] == ['{"n":1}', '{"n":2}']


def test_what_firehose_could_not_deliver_is_shown_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "processing-failed" / "f"
    file.parent.mkdir()
    raw = base64.b64encode(gzip.compress(b'{"n":1}{"n":2}')).decode()
    file.write_bytes(as_json({"rawData": raw, "arrivalTimestamp": 1_795_426_200_123}))
    lines, _ = tap(capsys, file, "--positions")
    assert [json.loads(line)["payload"] for line in lines] == [{"n": 1}, {"n": 2}]
    assert json.loads(lines[1])["arrived_at"] == "2026-11-23T09:30:00.123000Z"


def test_a_preset_unwraps_and_what_rules_drop_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    envelope = {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": "g",
        "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": "1", "timestamp": 1, "message": "hello"}],
    }
    control = {**envelope, "messageType": "CONTROL_MESSAGE"}
    file = tmp_path / "f"
    file.write_bytes(as_json(envelope) + b"\n" + as_json(control))
    lines, said = tap(capsys, file, "--preset", "cloudwatch-logs")
    assert [json.loads(line)["message"] for line in lines] == ["hello"]
    assert "; dropped by rules: 1 x " in said
    assert len(tap(capsys, file, "--wrapped")[0]) == 2
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "stream.toml").write_text('preset = "cloudwatch-logs"\n')
    assert tap(capsys, file, "--schemas", schemas)[0] == lines


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name files to look at, or a stream with --stream; one of the two."),
        (["f", "--stream", "s"], "Name files to look at, or a stream with --stream; one of"),
        (["f", "--follow"], "--follow and --from are for a stream"),
        (["f", "--from", "start"], "--follow and --from are for a stream"),
        (["--stream", "s", "--from", "now", "--sample", "3"], "--sample needs an end"),
        (["f", "--raw", "--where", "a=1"], "--where is about documents"),
        (["f", "--preset", "dms", "--wrapped"], "Give one of --preset and --wrapped."),
        (["f", "--preset", "none"], "There is no preset 'none'"),
        (["none.json"], "none.json: No such file or directory."),
        (["--stream", "s", "--from", "x"], "--from x: "),
        (["--stream", "s", "--from", "2999-01-01T00:00:00Z"], "is in the future"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(
    arguments: list[str],
    sentence: str,
    aws: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aws
    assert main(["tap", *arguments]) == 1
    assert sentence in capsys.readouterr().err


# ------------------------------------------------------------------------------------- a stream


@pytest.fixture(scope="module")
def stream(aws: str) -> str:
    """Return a stream that holds an aggregate, a packed record, one of two, and a broken one."""
    kinesis = boto3.client("kinesis", endpoint_url=aws)
    kinesis.create_stream(StreamName="tapped", ShardCount=1)
    packed = aggregate([UserRecord("a", b'{"n":1}'), UserRecord("b", b'{"n":2}')])
    broken = packed[:-1] + bytes([packed[-1] ^ 1])
    for data in (
        packed,
        gzip.compress(b'{"n":3}'),
        b'{"n":4}{"n":5}',
        broken,
        b"\xff" + SECRET.encode(),
    ):
        kinesis.put_record(StreamName="tapped", Data=data, PartitionKey="key")
    return "tapped"


def test_a_stream_is_shown_deaggregated_and_decompressed(
    stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, said = tap(capsys, "--stream", stream)
    assert ["reason" in line for line in lines] == [False] * 5 + [True] * 2
    good = [line for line in lines if "reason" not in line]
    assert good == ['{"n":%d}' % number for number in range(1, 6)]  # noqa: UP031 - braces
    bad = [json.loads(line) for line in lines if "reason" in line]
    assert {each["reason"] for each in bad} == {"kpl_checksum", "not_utf8"}
    assert [each["payload_encoding"] for each in bad] == ["base64", "base64"]
    assert "7 shown of 7 in 5 stream records; 2 could not be opened\n" in said
    assert "sequence number" in said
    assert SECRET not in said


def test_positions_of_a_stream_are_those_that_rows_have(
    stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = tap(capsys, "--stream", stream, "--positions", "--limit", "2")
    first, second = map(json.loads, lines)
    assert first["source"].endswith(":stream/tapped/shardId-000000000000")
    assert first["sequence_number"] == second["sequence_number"]
    assert (first["sub_sequence_number"], second["sub_sequence_number"]) == (0, 1)
    assert (first["partition_key"], second["partition_key"]) == ("a", "b")
    assert first["arrived_at"].endswith("Z")
    assert second["payload"] == {"n": 2}


def test_raw_payloads_are_exactly_what_was_put(
    stream: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = tap(capsys, "--stream", stream, "--raw")
    payloads = [base64.b64decode(line) for line in lines if not line.startswith("{")]
    assert payloads[:2] == [b'{"n":1}', b'{"n":2}']
    assert gzip.decompress(payloads[2]) == b'{"n":3}'
    assert payloads[3:] == [b'{"n":4}{"n":5}', b"\xff" + SECRET.encode()]
    names, _ = tap(capsys, "--stream", stream, "--raw-to", tmp_path / "raw")
    files = [Path(name).read_bytes() for name in names]
    assert sorted(payloads) == sorted(file for file in files if file[:1] != b"\xf3")
    assert len(files) == len(lines)
    assert main(["tap", "--stream", stream, "--raw-to", str(tmp_path / "raw")]) == 1
    assert "is not empty, and nothing in it was changed" in capsys.readouterr().err


def test_a_stream_that_does_not_exist_is_named(
    aws: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aws
    assert main(["tap", "--stream", "none"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "'none'" in shown.err


def test_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b'{"n":1}\n' * 100_000)
    command = f"{sys.executable} -m pipeline tap {file} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, check=True)
    assert done.stdout == b'{"n":1}\n'
    assert done.stderr == b""
