"""`pipeline backfill`: what is in S3 already is stored like what arrives, once, by either way."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3.exceptions
from botocore.exceptions import ClientError, EndpointConnectionError
from lake import letters, rows, things_with, write_dataset
from support import Context

from pipeline import handlers
from pipeline.adapters.aws import lambda_function as functions
from pipeline.adapters.aws.lambda_function import DeployedFunction
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.retry import Retrier, RetryPolicy
from pipeline.cli import main
from pipeline.core.errors import FunctionError, StoreUnavailable
from pipeline.files import blocks as pipeline_files
from pipeline.files import ingest
from pipeline.files.notifications import read_notifications
from pipeline.files.objects import S3Objects

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
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "schemas" not in path.parts
        }


@pytest.fixture
def place(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Place:
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        if name != "PIPELINE_FAST_PATHS":
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
    handlers.forget()
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
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {
                "FunctionError": "Unhandled",
                "Payload": io.BytesIO(json.dumps(failure).encode()),
            }
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    @property
    def keys(self) -> list[str]:
        return [
            reference.key
            for _, event in self.events
            for d in read_notifications(event)
            for reference in d.objects
        ]


# --------------------------------------------------------------------------------- on this machine


def test_every_object_is_stored_and_the_sums_are_shown(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill() == 0
    assert place.numbers == [1, 2, 3, 4, 5]
    assert [letter["reason"] for letter in letters(place.folder / "lake-dead-letters")] == [
        "above_maximum"
    ]
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
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=9))
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
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=9))
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
        (("--async",), "--async needs --function NAME"),
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
    assert "is not a place in S3; give s3://bucket/prefix" in capsys.readouterr().err


def test_a_bucket_that_is_not_there_is_one_sentence(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill(uri="s3://missing-bucket/") == 1
    assert "S3 answered NoSuchBucket" in capsys.readouterr().err


def test_lambda_that_is_not_reached_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    impatient = Retrier("x", lambda: math.inf, RetryPolicy(longest=0))
    with pytest.raises(
        FunctionError,
        match=r"Could not invoke x: EndpointConnectionError \(.*127\.0\.0\.1:9.*\); try again, and check",
    ):
        DeployedFunction("x", retrier=impatient).call({})


# ------------------------------------------------------------------- what a function may answer


class Mishaps:
    """Lambda's API, where the n-th invocation, counted from 1, fares as it is told."""

    def __init__(self, fare: Callable[[int], Any]) -> None:
        self.fare = fare
        self.calls = 0
        self._lock = threading.Lock()

    def invoke(self, **_: Any) -> dict[str, Any]:
        with self._lock:
            self.calls += 1
            number = self.calls
        answer = self.fare(number)
        return (
            answer if "Payload" in answer else {"Payload": io.BytesIO(json.dumps(answer).encode())}
        )

    def function(self, name: str, *, concurrency: int = 8) -> DeployedFunction:
        patient = Retrier(name, lambda: math.inf, RetryPolicy(longest=9, sleep=lambda _: None))
        return DeployedFunction(name, self, concurrency=concurrency, retrier=patient)


class LostBody(io.BytesIO):
    """The text of an answer, on a connection that ends too early."""

    def read(self, *_: Any) -> bytes:
        raise urllib3.exceptions.ProtocolError("lost")


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")


@pytest.fixture
def fares(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[int], Any]], Mishaps]:
    def make(fare: Callable[[int], Any]) -> Mishaps:
        made = Mishaps(fare)
        monkeypatch.setattr(functions, "DeployedFunction", made.function)
        return made

    return make


@pytest.mark.parametrize(
    "mishap",
    [
        throttled(),
        ClientError({"Error": {"Code": "ResourceConflictException"}}, "Invoke"),
        EndpointConnectionError(endpoint_url="x"),
        {"Payload": LostBody()},
    ],
    ids=["throttled", "being deployed", "not reached", "answer lost"],
)
def test_what_lambda_does_not_do_for_now_is_tried_again(
    mishap: Any,
    place: Place,
    fares: Callable[..., Mishaps],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fare(number: int) -> Any:
        if number % 2 and isinstance(mishap, Exception):
            raise mishap
        return mishap if number % 2 else {"stored": 1}

    api = fares(fare)
    assert place.backfill("--function", HERE, "--jobs", "2") == 0
    assert "4 stored" in capsys.readouterr().out
    assert api.calls == 8


def test_what_is_handed_over_to_something_else_is_not_accepted(
    place: Place, fares: Callable[..., Mishaps], capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy or a wrong endpoint answers 200; Lambda accepts an event with 202."""
    fares(lambda _: {"StatusCode": 200, "Payload": io.BytesIO(b"")})
    assert place.backfill("--function", HERE, "--async", "--jobs", "1") == 1
    assert (
        "the response does not say that the event was accepted; check the endpoint "
        "(AWS_ENDPOINT_URL…)." in capsys.readouterr().err
    )


def test_lambda_that_throttles_for_long_is_told_as_that(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fare(_: int) -> Any:
        raise throttled()

    patient = Retrier(HERE, lambda: math.inf, RetryPolicy(longest=0))
    function = DeployedFunction(HERE, Mishaps(fare), retrier=patient)
    monkeypatch.setattr(functions, "DeployedFunction", lambda *_, **__: function)
    assert place.backfill("--function", HERE) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        'TooManyRequestsException (HTTP 0, "no message"); try again later, or fewer at once.'
        in line
    )
    assert "grant" not in line


@pytest.mark.parametrize(
    "text",
    ["", "null", "[1]", "{}", '{"statusCode": 200, "body": "hello"}', '{"batchItemFailures": []}',
     '{"stored": "yes"}', "<html>"],
)  # fmt: skip
@pytest.mark.parametrize("jobs", ["1", "8"])
def test_another_function_is_never_taken_for_ours(
    jobs: str,
    text: str,
    place: Place,
    fares: Callable[..., Mishaps],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It would have counted nothing as stored, and nothing as failed, and have ended well."""
    fares(lambda _: {"Payload": io.BytesIO(text.encode())})
    assert place.backfill("--function", HERE, "--jobs", jobs) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert HERE in line
    assert "whose handler is pipeline.handlers.s3" in line or "is the right function" in line


def test_what_was_overwritten_meanwhile_asks_for_another_run(
    place: Place,
    deployed: Lambda,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    invoke = deployed.invoke

    def overwritten(**given: Any) -> dict[str, Any]:
        if len(deployed.events) == 2:
            place.s3.put_object(Bucket=place.bucket, Key=NAMES[3], Body=b'{"n":6}')
        return invoke(**given)

    monkeypatch.setattr(deployed, "invoke", overwritten)
    assert place.backfill("--function", HERE, "--jobs", "1") == 1
    assert "1 gone, 0 ignored" in capsys.readouterr().out
    assert place.backfill("--function", HERE, "--jobs", "1") == 0
    assert place.numbers == [1, 2, 3, 4, 6]


def test_again_with_another_output_than_the_functions_is_told(
    place: Place, deployed: Lambda, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.backfill("--function", HERE) == 0
    other = ("--again", "--function", HERE, "--out", str(place.folder / "elsewhere"))
    assert place.backfill(*other) == 1
    assert "give the function's PIPELINE_OUTPUT as --out" in capsys.readouterr().out
    assert place.backfill("--again", "--function", HERE) == 0


def test_interrupted_it_does_not_wait_for_what_goes_on_in_lambda(
    ctrl_c: None, place: Place, fares: Callable[..., Mishaps], capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()

    def fare(number: int) -> Any:
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        if number > 1:
            over.wait(60)
        return {"stored": 1}

    fares(fare)
    begun = time.monotonic()
    assert place.backfill("--function", HERE, "--jobs", "2") == 130
    over.set()
    assert time.monotonic() - begun < 30
    assert "stored" in capsys.readouterr().out


def test_failures_are_counted_anew_when_a_file_gets_further(
    place: Place, fares: Callable[..., Mishaps], capsys: pytest.CaptureFixture[str]
) -> None:

    def fare(number: int) -> Any:
        if number > 9:
            return {"stored": 1}
        if number % 3:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        return {"unfinished": 1, "rows": 2, "documents": 2}

    fares(fare)
    uri = f"s3://{place.bucket}/2026/"
    assert place.backfill("--function", HERE, uri=uri) == 0
    assert "6 documents = 6 rows" in capsys.readouterr().out


# --------------------------------------------------------------------------------- the listing


def test_a_long_listing_survives_errors_however_long_it_takes(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each page fails once, and nothing of the pages before it is asked for again."""
    page, asked = S3Objects.page, list[str | None]()

    def failing(objects: S3Objects, bucket: str, prefix: str, token: str | None = None) -> Any:
        asked.append(token)
        if len(asked) % 2:
            raise StoreUnavailable("S3 says: slow down.")
        monkeypatch.setattr(objects, "_client", Small(place.s3))
        return page(objects, bucket, prefix, token)

    monkeypatch.setattr(S3Objects, "page", failing)
    assert place.backfill("--dry-run") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == [f"s3://{place.bucket}/{name}" for name in NAMES]
    assert len(asked) == 8
    assert [asked[n] for n in range(0, 8, 2)] == [asked[n] for n in range(1, 8, 2)]


class Small:
    """A client of S3 whose pages hold one object."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.meta = client.meta

    def list_objects_v2(self, **given: Any) -> Any:
        return self._client.list_objects_v2(**given, MaxKeys=1)


def test_prefixes_that_overlap_name_an_object_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    uris = [f"s3://{place.bucket}/{prefix}" for prefix in ("2025/", "", "2026/")]
    assert main(["backfill", *uris, "--dry-run"]) == 0
    assert "4 objects" in capsys.readouterr().out


def test_stopped_while_it_forgets_a_file_goes_on_where_its_progress_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with what is left of it in the middle, and not as if it were complete."""
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=9))
    uri = f"s3://{place.bucket}/long"
    place.s3.put_object(Bucket=place.bucket, Key="long", Body=b'{"n":1}\n' * 8)
    assert place.backfill(uri=uri) == 0
    before = sorted((place.out / "_parts").rglob("*-*"))
    delete, deleted = DirectoryStore.delete, 0

    def interrupted(store: DirectoryStore, key: str) -> None:
        nonlocal deleted
        deleted += 1
        if deleted == 4:
            raise KeyboardInterrupt
        delete(store, key)

    monkeypatch.setattr(DirectoryStore, "delete", interrupted)
    assert place.backfill("--again", uri=uri) == 130
    left = sorted((place.out / "_parts").rglob("*-*"))
    assert left == before[: len(left)]
    assert not list((place.out / "_parts").rglob("complete"))
