"""What Firehose left in S3 becomes rows: by redrive and by backfill, once."""

from __future__ import annotations

import base64
import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from lake import letters, rows, things_with, write_dataset
from support import as_json

from pipeline.cli import main
from pipeline.core.kpl import UserRecord, aggregate

if TYPE_CHECKING:
    from pathlib import Path

FILE = "errors/processing-failed/2026/11/23/09/shop-1-2026-11-23-09-30-00-0f8fad5b"
ARRIVED = 1_795_426_200_123
SECRET = "marker-of-a-payload"


def failed(data: bytes, **members: Any) -> bytes:
    return as_json(
        {
            "attemptsMade": 4,
            "arrivalTimestamp": ARRIVED,
            "errorCode": "Lambda.FunctionError",
            "errorMessage": "The Lambda function was invoked, but it returned an error result.",
            "attemptEndingTimestamp": ARRIVED + 60_000,
            "rawData": base64.b64encode(data).decode(),
            "lambdaArn": "arn:aws:lambda:eu-central-1:123456789012:function:f:$LATEST",
            **members,
        }
    )


RECORDS = [
    b'{"n":1}',
    b'{"n":2}{"n":3}\n',
    gzip.compress(b'{"n":4}'),
    b'{"n":100}',
    b'{"broken":"' + SECRET.encode(),
    aggregate([UserRecord("a", b'{"n":5}'), UserRecord("b", b'{"n":6}')]),
]


class Place:
    """A bucket that Firehose wrote to, and an output beside it."""

    def __init__(self, folder: Path, bucket: str) -> None:
        self.folder = folder
        self.bucket = bucket
        self.out = folder / "lake"
        self.dead = folder / "dead"
        self.s3: Any = boto3.client("s3")
        self.s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        write_dataset(folder / "schemas" / "things", things_with(maximum=99))

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def run(self, command: str, below: str = "", *arguments: str) -> int:
        given = ("--schemas", str(self.folder / "schemas"), "--out", str(self.out))
        dead = ("--dead-letters", str(self.dead))
        return main([command, f"s3://{self.bucket}/{below}", *given, *dead, *arguments])

    @property
    def numbers(self) -> list[int]:
        return sorted(row["n"] for row in rows(self.out)) if self.out.exists() else []

    @property
    def objects(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "schemas" not in path.parts
        }

    @property
    def keys(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return [entry["Key"] for entry in found]


@pytest.fixture
def place(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Place:
    assert aws
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        if name != "PIPELINE_FAST_PATHS":
            monkeypatch.delenv(name)
    return Place(tmp_path, f"firehose-{abs(hash(request.node.name)):x}")


def test_a_redrive_stores_all_of_it_and_moves_the_file_away(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put(FILE, b"\n".join(map(failed, RECORDS)) + b"\n")
    assert place.run("redrive", "errors", "--dry-run") == 0
    assert place.objects == {}
    assert place.run("redrive", "errors") == 0
    shown = capsys.readouterr()
    assert "8 documents sent again = 6 rows + 2 that still fail" in shown.out
    assert SECRET not in shown.out + shown.err
    assert place.numbers == [1, 2, 3, 4, 5, 6]
    assert {letter["reason"] for letter in letters(place.dead)} == {"not_json", "above_maximum"}
    assert place.keys == [f"errors/_redriven/{FILE.removeprefix('errors/')}"]
    before = place.objects
    assert place.run("redrive", "errors") == 0
    assert place.objects == before


def test_the_identity_tells_the_file_and_what_firehose_knew_of_the_record(place: Place) -> None:
    numbered = [
        failed(
            b'{"n":%d}' % number, sequenceNumber=f"4954{number // 2}", subSequenceNumber=number % 2
        )
        for number in range(4)
    ]
    place.put(FILE, b"\n".join(numbered))
    place.put(f"{FILE}-2", failed(b'{"n":9}'))
    assert place.run("redrive", "errors") == 0
    found = sorted(rows(place.out), key=lambda row: row["n"])
    assert found[0]["_source"].startswith(f"s3://{place.bucket}/{FILE}?")
    assert [(row["_sequence_number"], row["_sub_sequence_number"]) for row in found] == [
        ("49540", 0),
        ("49540", 1),
        ("49541", 0),
        ("49541", 1),
        ("0", 0),
    ]
    assert {row["_arrived_at"].timestamp() for row in found} == {ARRIVED / 1e3}


def test_a_redrive_that_was_stopped_goes_on_to_the_same_objects(place: Place) -> None:
    body = b"\n".join(map(failed, RECORDS))
    place.put(FILE, body)
    assert place.run("redrive", "errors") == 0
    before = place.objects
    place.put(FILE, body)  # as if it had been stopped before the file was moved
    assert place.run("redrive", "errors") == 0
    assert place.objects == before


def test_dead_letters_of_it_are_sent_again_as_any_others(place: Place) -> None:
    place.put(FILE, b"\n".join(map(failed, RECORDS)))
    assert place.run("redrive", "errors") == 0
    write_dataset(place.folder / "schemas" / "things", things_with(maximum=1_000))
    given = ("--schemas", str(place.folder / "schemas"), "--out", str(place.out))
    assert main(["redrive", str(place.dead), *given]) == 0
    assert place.numbers == [1, 2, 3, 4, 5, 6, 100]


def test_a_file_that_is_not_one_is_named_and_the_others_are_stored(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put(FILE, failed(RECORDS[0]) + b"\n" + SECRET.encode())
    place.put(f"{FILE}-2", failed(b'{"n":9}'))
    assert place.run("redrive", "errors") == 1
    shown = capsys.readouterr()
    assert f"s3://{place.bucket}/{FILE}, byte " in shown.err
    assert "restore the file, or remove the line" in shown.err
    assert SECRET not in shown.out + shown.err
    assert place.numbers == [9]
    assert FILE in place.keys


def test_other_objects_are_no_reason_to_do_nothing_silently(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put("errors/oops/f", failed(b'{"n":1}'))
    assert place.run("redrive", "errors") == 1
    said = capsys.readouterr().err
    assert "What Firehose could not deliver is known by its folder, as processing-failed/" in said


def test_a_backfill_of_the_whole_bucket_stores_backup_and_failures_and_only_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    # The backup of source records: without anything between them, packed or not.
    place.put("source_records/2026/11/23/09/shop-1", b'{"n":21}{"n":22}{"n":23}')
    place.put("source_records/2026/11/23/09/shop-2.gz", gzip.compress(b'{"n":24}{"n":25}'))
    place.put(FILE, b"\n".join(map(failed, RECORDS)))
    assert place.run("backfill") == 0
    assert place.numbers == [1, 2, 3, 4, 5, 6, 21, 22, 23, 24, 25]
    assert "13 documents = 11 rows + 2 dead letters" in capsys.readouterr().out
    before = place.objects
    assert place.run("backfill") == 0
    assert place.run("redrive", "errors") == 0
    assert place.run("backfill") == 0
    assert "3 objects" in capsys.readouterr().out
    assert place.objects == before
    assert FILE not in place.keys


def test_the_function_is_not_given_what_it_does_not_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put(FILE, failed(b'{"n":1}'))
    assert place.run("backfill", "", "--function", "f") == 1
    said = capsys.readouterr().out
    assert (
        "which the function does not read; run this without --function, or pipeline redrive."
        in said
    )
    assert place.numbers == []


def test_an_error_file_that_is_empty_holds_nothing(place: Place) -> None:
    place.put(FILE, b"\n")
    assert place.run("redrive", "errors") == 0
    assert place.numbers == []
    assert json.dumps(place.keys) == json.dumps(
        [f"errors/_redriven/{FILE.removeprefix('errors/')}"]
    )
