"""`pipeline backfill`: what is in S3 already is stored like what arrives, once, by either way."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from lake import letters, rows, things_with, write_dataset
from moto.server import ThreadedMotoServer
from support import Context

from pipeline import files as pipeline_files
from pipeline import handlers, ingest
from pipeline.adapters import functions
from pipeline.adapters.functions import DeployedFunction, FunctionError
from pipeline.cli import main
from pipeline.core.notifications import read_notifications

REGION = "eu-central-1"
NAMES = ["2025/a b+c.ndjson", "2025/b.ndjson.gz", "2025/c.json", "2026/d.ndjson"]
HERE = "deployed here"


class Place:
    """A bucket of files, a dataset, and an output."""

    def __init__(self, folder: Path, bucket: str) -> None:
        self.folder = folder
        self.bucket = bucket
        self.out = folder / "lake"
        self.s3: Any = boto3.client("s3")
        self.s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        write_dataset(folder / "schemas" / "things", things_with(maximum=99))
        bodies = [
            b'{"n":1}\n{"n":2}\n',
            gzip.compress(b'{"n":3}'),
            b'[{"n":4},{"n":100}]',
            b'{"n":5}',
        ]
        for name, body in zip(NAMES, bodies, strict=True):
            self.s3.put_object(Bucket=bucket, Key=name, Body=body)

    def backfill(self, *arguments: str, uri: str | None = None) -> int:
        given = ("--schemas", str(self.folder / "schemas"), "--out", str(self.out))
        return main(["backfill", uri or f"s3://{self.bucket}/", *given, *arguments])

    @property
    def numbers(self) -> list[int]:
        return sorted(row["n"] for row in rows(self.out))

    @property
    def objects(self) -> dict[str, bytes]:
        return {
            str(of.relative_to(self.folder)): of.read_bytes()
            for of in sorted(self.folder.rglob("*"))
            if of.is_file() and "schemas" not in of.parts
        }


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Run moto's S3 over HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield
    server.stop()


@pytest.fixture
def place(
    aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Place:
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        if name != "PIPELINE_COLUMNAR":
            monkeypatch.delenv(name)
    return Place(tmp_path, f"backfill-{abs(hash(request.node.name)):x}")


@pytest.fixture
def deployed(place: Place, monkeypatch: pytest.MonkeyPatch) -> Lambda:
    """Put a Lambda service that runs our handler in boto3's place."""
    monkeypatch.setenv("PIPELINE_OUTPUT", place.out.as_uri())
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", f"{place.out.as_uri()}-dead-letters")
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(place.folder / "schemas"))
    made = Lambda()
    monkeypatch.setattr(functions, "DeployedFunction", made.function)
    handlers._objects.cache_clear()
    return made


class Lambda:
    """Lambda's API, as far as it is used: one function, which is our handler."""

    def __init__(self) -> None:
        self.seconds = 60.0
        self.events: list[tuple[str, Any]] = []
        self.running = self.most_running = 0
        self._lock = threading.Lock()

    def function(self, name: str, *, concurrency: int = 8) -> DeployedFunction:
        return DeployedFunction(name, self, concurrency=concurrency)

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if FunctionName != HERE:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Invoke")
        event = json.loads(Payload)
        with self._lock:
            self.events.append((InvocationType, event))
        if InvocationType == "Event":
            return {"StatusCode": 202, "Payload": io.BytesIO()}
        try:
            answer = handlers.s3(event, Context(self.seconds))
        except Exception as error:  # noqa: BLE001 - Lambda turns all of them into answers
            told = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(told).encode())}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    @property
    def keys(self) -> list[str]:
        return [
            of.key
            for _, event in self.events
            for d in read_notifications(event)
            for of in d.objects
        ]


# --------------------------------------------------------------------------------- on this machine


def test_every_object_is_stored_and_the_sums_are_shown(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill() == 0
    assert place.numbers == [1, 2, 3, 4, 5]
    assert [of["reason"] for of in letters(place.folder / "lake-dead-letters")] == ["above_maximum"]
    out = capsys.readouterr().out
    assert "4 objects, 0.0 MB\n" in out
    assert "4 stored, 0 already stored, 0 handed over, 0 gone, 0 ignored, 0 failed" in out
    assert "6 documents = 5 rows + 1 dead letters" in out


def test_run_again_it_stores_nothing_anew(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.backfill()
    before = place.objects
    assert place.backfill() == 0
    assert "0 stored, 4 already stored" in capsys.readouterr().out
    assert place.objects == before


def test_again_stores_anew_what_the_schema_now_allows(place: Place) -> None:
    place.backfill()
    write_dataset(place.folder / "schemas" / "things", things_with(maximum=100))
    place.backfill()
    assert place.numbers == [1, 2, 3, 4, 5]
    assert place.backfill("--again") == 0
    assert place.numbers == [1, 2, 3, 4, 5, 100]


def test_only_a_prefix_and_only_what_was_changed_since(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill(uri=f"s3://{place.bucket}/2026/") == 0
    assert place.numbers == [5]
    assert place.backfill("--since", "2999-01-01T00:00:00Z") == 0
    assert "0 objects" in capsys.readouterr().out
    assert place.backfill("--since", "2001-01-01T00:00:00Z", "--dry-run") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == [f"s3://{place.bucket}/{name}" for name in NAMES]
    assert place.numbers == [5]


def test_one_that_fails_does_not_stop_the_others(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.s3.put_object(Bucket=place.bucket, Key="2025/bad.gz", Body=gzip.compress(b"{}")[:-4])
    assert place.backfill() == 1
    assert place.numbers == [1, 2, 3, 4, 5]
    out = capsys.readouterr().out
    assert "4 stored" in out
    assert "1 failed\n" in out
    assert f"failed: s3://{place.bucket}/2025/bad.gz?" in out


def test_stopped_half_way_it_goes_on_where_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_files, "BATCH_BYTES", 9)
    place.backfill()
    whole = place.objects
    for path in place.objects:
        (place.folder / path).unlink()
    store, stored = ingest.Ingestion._store, 0

    def interrupted(*given: Any) -> Any:
        nonlocal stored
        stored += 1
        if stored in {2, 4}:
            raise KeyboardInterrupt
        return store(*given)

    monkeypatch.setattr(ingest.Ingestion, "_store", interrupted)
    assert [place.backfill() for _ in range(3)] == [130, 130, 0]
    assert (
        stored == len([path for path in whole if "_parts" in path and "complete" not in path]) + 2
    )
    assert place.objects == whole


# --------------------------------------------------------------------------- by a deployed function


def test_the_deployed_function_stores_them_under_the_same_keys(
    place: Place, deployed: Lambda, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill() == 0
    here = place.objects
    for path in here:
        (place.folder / path).unlink()
    assert place.backfill("--function", HERE, "--jobs", "2") == 0
    assert place.objects == here
    assert sorted(deployed.keys) == NAMES
    assert "6 documents = 5 rows + 1 dead letters" in capsys.readouterr().out


def test_handed_over_nobody_waits(
    place: Place, deployed: Lambda, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill("--function", HERE, "--async") == 0
    assert {kind for kind, _ in deployed.events} == {"Event"}
    assert sorted(deployed.keys) == NAMES
    assert not place.objects
    assert "4 handed over" in capsys.readouterr().out


def test_a_file_that_takes_several_invocations_is_gone_on_with(
    place: Place, deployed: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each invocation has time for one part alone, and there are more parts than tries."""
    monkeypatch.setattr(pipeline_files, "BATCH_BYTES", 9)
    monkeypatch.setattr(ingest, "_MARGIN", float("inf"))
    place.s3.put_object(Bucket=place.bucket, Key="long", Body=b'{"n":1}\n' * 8)
    assert place.backfill("--function", HERE, uri=f"s3://{place.bucket}/long") == 0
    assert place.numbers == [1] * 8
    assert len(deployed.events) > 3


def test_a_failure_is_tried_three_times_and_then_told(
    place: Place, deployed: Lambda, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "2025/bad.gz"
    place.s3.put_object(Bucket=place.bucket, Key=key, Body=gzip.compress(b"{}")[:-4])
    assert place.backfill("--function", HERE) == 1
    assert deployed.keys.count(key) == 3
    assert f"failed: s3://{place.bucket}/{key}?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--function", "elsewhere"), "Could not invoke elsewhere: Lambda answered ResourceNotFoundException"),
        (("--async",), "--async goes with --function NAME"),
        (("--since", "yesterday"), "--since yesterday: "),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_sentence(
    arguments: tuple[str, ...],
    sentence: str,
    place: Place,
    deployed: Lambda,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert place.backfill(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


@pytest.mark.parametrize("uri", ["2025/", "file:///tmp", "s3://", "s3:///x"])
def test_a_place_that_is_not_in_s3_is_refused(
    uri: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill(uri=uri) == 1
    assert "names no place in S3; give s3://bucket/prefix" in capsys.readouterr().err


def test_a_bucket_that_is_not_there_is_one_sentence(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill(uri="s3://missing-bucket/") == 1
    assert "S3 answered NoSuchBucket" in capsys.readouterr().err


def test_lambda_that_is_not_reached_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    client = boto3.client("lambda", region_name=REGION)
    with pytest.raises(FunctionError, match="Could not invoke x: EndpointConnectionError"):
        DeployedFunction("x", client).call({})
