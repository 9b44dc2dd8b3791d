"""Files of S3: every document once, whatever comes twice, stops half-way or is gone meanwhile."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import boto3
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Context, FaultyStore, Function, Stored, as_json, letter_payload, order

from pipeline import handlers
from pipeline.core.errors import FilesFailed, FilesUnfinished, StoreRefused, StoreUnavailable
from pipeline.core.layout import ARCHIVE, is_pipeline_key
from pipeline.files import blocks as pipeline_files
from pipeline.files import ingest
from pipeline.files.notifications import ObjectReference, notify_of, read_notifications
from pipeline.files.objects import ObjectReader, S3Objects

REGION = "eu-central-1"
ORDER_IDS = [f"7c9e6679-7425-40de-944b-{number:012}" for number in range(40)]
DOCUMENTS = [as_json(order(order_id=order_id)) for order_id in ORDER_IDS]
LINES = b"\n".join(DOCUMENTS) + b"\n"
ARRAY = b"[\n" + b",\n".join(DOCUMENTS) + b"]\n"
SMALL_PART_BYTES = 3_000  # bytes of a part, so that these files have several


def as_zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


class Bucket:
    """A bucket of its own for each test, and the notifications of what is put there."""

    def __init__(self, name: str) -> None:
        self.client: Any = boto3.client("s3")
        self.name = name
        self.client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )

    def versioned(self) -> Bucket:
        self.client.put_bucket_versioning(
            Bucket=self.name, VersioningConfiguration={"Status": "Enabled"}
        )
        return self

    def put(self, body: bytes, key: str = "in.ndjson") -> dict[str, Any]:
        """Store an object, and return the event that S3 sends of it."""
        answer = self.client.put_object(Bucket=self.name, Key=key, Body=body)
        etag = answer["ETag"].strip('"')
        reference = ObjectReference(self.name, key, answer.get("VersionId"), etag)
        return notify_of([reference])


@pytest.fixture
def bucket(aws: str, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(f"files-{abs(hash(request.node.name)):x}")


@pytest.fixture
def invoke(aws: str, function: Function) -> Callable[..., Any]:
    def call(event: Any, seconds: float = 60.0) -> Any:
        handlers.forget(clients=False)
        return handlers.s3(event, Context(seconds))

    return call


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=SMALL_PART_BYTES))


def ids(stored: Stored) -> list[str]:
    return sorted(row["order_id"] for row in stored.rows)


def parts(stored: Stored) -> list[str]:
    return [key.rpartition("/")[2] for key in stored.output.list("_parts/")]


def through_sqs(event: Any, message_id: str = "m-1") -> dict[str, Any]:
    body = event if isinstance(event, str) else json.dumps(event)
    return {"Records": [{"messageId": message_id, "eventSource": "aws:sqs", "body": body}]}


def in_envelope(event: Any) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "n-1", "Message": json.dumps(event)}


def through_sns(event: Any) -> dict[str, Any]:
    return {"Records": [{"EventSource": "aws:sns", "Sns": in_envelope(event)}]}


def through_eventbridge(event: Any) -> dict[str, Any]:
    ((wanted,),) = [delivery.objects for delivery in read_notifications(event)]
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": wanted.bucket},
            "object": {"key": wanted.key, "etag": wanted.etag},
        },
    }


# ---------------------------------------------------------------------------- what comes in


@pytest.mark.parametrize("text", [LINES, ARRAY], ids=["lines", "array"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, as_zstd])
def test_each_document_becomes_a_row_with_its_place(
    packed: Callable[[bytes], bytes],
    text: bytes,
    bucket: Bucket,
    function: Function,
    invoke: Callable[..., Any],
    small_parts: None,
) -> None:
    answer = invoke(bucket.put(packed(text), "in/file"))
    assert answer["stored"] == 1
    assert answer["documents"] == answer["rows"] == len(DOCUMENTS)
    assert ids(function.stored) == ORDER_IDS
    etag = bucket.client.head_object(Bucket=bucket.name, Key="in/file")["ETag"].strip('"')
    modified = bucket.client.head_object(Bucket=bucket.name, Key="in/file")["LastModified"]
    for row in function.stored.rows:
        assert row["_source"] == f"s3://{bucket.name}/in/file?{etag}"
        assert row["_arrived_at"] == modified
        document = text[int(row["_sequence_number"]) :]
        assert document.startswith(DOCUMENTS[ORDER_IDS.index(row["order_id"])])
    assert len(parts(function.stored)) > 3


@pytest.mark.parametrize(
    "wrapped",
    [dict, through_sqs, through_sns, through_eventbridge,
     lambda event: through_sqs(in_envelope(event)), lambda event: through_sqs(through_eventbridge(event))],
    ids=["s3", "sqs", "sns", "eventbridge", "sns in sqs", "eventbridge in sqs"],
)  # fmt: skip
def test_a_notification_is_read_however_it_comes(
    wrapped: Callable[[Any], Any], bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    event = wrapped(bucket.put(LINES, "año 1/a+b&c=d%20.ndjson"))
    answer = invoke(event)
    assert answer == {"batchItemFailures": []} or answer["stored"] == 1
    assert ids(function.stored) == ORDER_IDS


def test_real_notifications_through_sns_and_sqs_are_read(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    sns: Any = boto3.client("sns")
    sqs: Any = boto3.client("sqs")
    queue = sqs.create_queue(QueueName=bucket.name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    topic = sns.create_topic(Name=bucket.name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    configuration = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
    bucket.client.put_bucket_notification_configuration(
        Bucket=bucket.name, NotificationConfiguration={"TopicConfigurations": [configuration]}
    )
    bucket.put(LINES, "a b+c é.ndjson")
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    event = {"Records": [
        {"messageId": message["MessageId"], "eventSource": "aws:sqs", "body": message["Body"]} for message in received
    ]}  # fmt: skip
    assert len(received) == 2  # the test that S3 sends first, and the object
    assert invoke(event) == {"batchItemFailures": []}
    assert ids(function.stored) == ORDER_IDS


@given(
    st.lists(
        st.builds(
            ObjectReference,
            st.just("bucket"),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
            st.none() | st.just("v1"),
            st.none() | st.just("0af"),
        ),
        min_size=1,
    )
)
def test_every_key_survives_its_notification(references: list[ObjectReference]) -> None:
    event = json.loads(json.dumps(notify_of(references)))
    assert [
        reference for delivery in read_notifications(event) for reference in delivery.objects
    ] == references


def test_spaces_and_pluses_are_told_apart() -> None:
    item = notify_of([ObjectReference("bucket", "x")])["Records"][0]
    item["s3"]["object"]["key"] = "a+b%2Bc%20d/" + quote_plus("é")
    (delivery,) = read_notifications({"Records": [item]})
    assert delivery.objects[0].key == "a b+c d/é"


@pytest.mark.parametrize("times", [5, 400, 5_000])
def test_a_notification_in_many_wrappers_is_not_one(times: int) -> None:
    """Not even one that nests deeper than Python does."""
    inner: dict[str, Any] = {"Records": []}
    for _ in range(times):
        inner = {"Records": [{"EventSource": "aws:sns", "Sns": inner}]}
    (delivery,) = read_notifications(inner)
    assert delivery.objects == ()
    assert delivery.fault is not None
    assert "it is wrapped more than 4 times" in delivery.fault


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"},
        {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete"}]},
        {"source": "aws.s3", "detail-type": "Object Deleted"},
    ],
)
def test_what_tells_of_no_new_object_is_ignored(event: Any, invoke: Callable[..., Any]) -> None:
    assert invoke(event)["ignored"] == 1
    assert invoke(through_sqs(event)) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    "key", ["_in.json", ".in.json", "in/", "日本.json", "-_.", "x" * 20 + "_" + "y" * 30]
)
def test_no_rows_are_hidden_from_athena_by_the_name_of_their_file(
    key: str, bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    """Athena, Hive and Spark pass over objects whose names begin with "_" or "."."""
    invoke(bucket.put(LINES, key))
    names = [key.rpartition("/")[2] for key in function.stored.output.list("orders/")]
    assert names
    assert all(name[0].isalnum() for name in names), names


# --------------------------------------------------------------------------- what comes twice


def test_a_duplicate_writes_nothing_and_a_replay_the_same_bytes(
    bucket: Bucket, function: Function, invoke: Callable[..., Any], small_parts: None
) -> None:
    event = bucket.put(LINES)
    invoke(event)
    before = function.stored.objects
    puts: list[str] = []

    def put(key: str, body: bytes) -> None:
        puts.append(key)

    function.stored.output.put = put  # type: ignore[method-assign]
    answer = invoke(event)
    assert (answer["already_stored"], answer["parts"], puts) == (1, 0, [])
    del function.stored.output.put
    for key in list(function.stored.output.list("_parts/")):
        function.stored.output.delete(key)
    assert invoke(event)["stored"] == 1
    assert function.stored.objects == before


def test_a_listing_and_a_notification_come_to_one_identity(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    event = bucket.versioned().put(LINES)
    invoke(event)
    (listed,), _ = S3Objects().page(bucket.name, "")
    assert listed.reference.version_id is None
    assert invoke(notify_of([listed.reference]))["already_stored"] == 1
    version = event["Records"][0]["s3"]["object"]["versionId"]
    assert {row["_source"].rpartition("?")[2] for row in function.stored.rows} == {version}


@pytest.mark.parametrize("text", [LINES, ARRAY], ids=["lines", "array"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, as_zstd])
@pytest.mark.parametrize("fails", [1, 2, 5, 8])
def test_what_was_stored_before_a_failure_is_not_done_again(
    fails: int,
    packed: Callable[[bytes], bytes],
    text: bytes,
    bucket: Bucket,
    function: Function,
    invoke: Callable[..., Any],
    small_parts: None,
) -> None:
    def refuse(number: int) -> None:
        if number == fails:
            raise StoreRefused("The store refuses.")

    event = bucket.put(packed(text))
    invoke(event)
    whole = function.stored.objects
    output = FaultyStore(refuse)
    function.stored = Stored(output=output)
    with pytest.raises(FilesFailed, match="The store refuses"):
        invoke(event)
    done = {key: body for key, body in output.objects.items() if not key.startswith("_parts/")}
    marked = [part for part in parts(function.stored) if part != "complete"]
    assert invoke(event)["parts"] == len([k for k in whole if "/_parts/" in k]) - 1 - len(marked)
    assert function.stored.objects == whole
    assert done.items() <= output.objects.items()


def test_behind_a_gap_in_the_progress_everything_is_done_again(
    bucket: Bucket, function: Function, invoke: Callable[..., Any], small_parts: None
) -> None:
    event = bucket.put(LINES)
    invoke(event)
    whole = function.stored.objects
    keys = list(function.stored.output.list("_parts/"))
    function.stored.output.objects = {
        key: function.stored.output.objects[key] for key in (keys[0], *keys[2:-1])
    }
    assert invoke(event)["parts"] == len(keys) - 2
    first_part = [key for key in whole if key not in function.stored.objects]
    assert len(first_part) == 2  # its rows as Parquet and as CSV, which were not asked for again
    assert function.stored.objects.items() <= whole.items()


def test_a_part_is_marked_only_when_all_of_its_objects_are_acknowledged(
    bucket: Bucket, function: Function, invoke: Callable[..., Any], small_parts: None
) -> None:
    """Every single write fails once; whatever is marked by then has all of its rows."""
    event = bucket.put(LINES)
    invoke(event)
    whole = function.stored.objects

    def refuse_from(first: int) -> Callable[[int], None]:
        def mishap(number: int) -> None:
            if number >= first:
                raise StoreRefused("The store refuses.")

        return mishap

    writes = len(whole)
    assert writes > 8
    for first in range(1, writes + 1):
        function.stored = Stored(output=FaultyStore(refuse_from(first)))
        with pytest.raises(FilesFailed):
            invoke(event)
        ends = [int(part.split("-")[1]) for part in parts(function.stored) if part != "complete"]
        wanted = [
            order_id
            for order_id in ORDER_IDS
            if LINES.index(order_id.encode()) < max(ends, default=0)
        ]
        assert set(wanted) <= set(ids(function.stored))


class Clock:
    """Lambda's context, whose time only passes where a test says so. All in seconds."""

    aws_request_id = "simulated"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, read: float, store: float) -> None:
        self.left = 0.0
        self.cost = {"read": read, "store": store}
        for owner, name in ((S3Objects, "read"), (ingest.Ingestion, "_store")):
            monkeypatch.setattr(
                owner, name, self._taking_time(getattr(owner, name), name.strip("_"))
            )

    def _taking_time(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def slow(*given: Any) -> Any:
            self.left -= self.cost[name]
            return call(*given)

        return slow

    def get_remaining_time_in_millis(self) -> float:
        return self.left * 1_000

    def invoke(self, event: Any, seconds: float) -> Any:
        self.left = seconds
        handlers.forget(clients=False)
        return handlers.s3(event, self)


def told_of_files(out: str) -> list[dict[str, Any]]:
    """The metrics of files, without those of their parts."""
    lines = [json.loads(line) for line in out.splitlines()]
    named = ("FilesStored", "FilesGone", "FilesUnfinished", "FilesFailed", "FilesDamaged")
    return [
        {name: line[name] for name in named if name in line}
        for line in lines
        if "_aws" in line and any(name in line for name in named)
    ]


def test_out_of_time_between_parts_it_raises_and_goes_on_next_time(
    bucket: Bucket,
    function: Function,
    invoke: Callable[..., Any],
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    event = bucket.put(LINES)
    invoke(event)
    whole, whole_parts = function.stored.objects, parts(function.stored)[:-1]
    function.stored = Stored()
    clock = Clock(monkeypatch, read=0, store=1)
    capsys.readouterr()
    with pytest.raises(FilesUnfinished, match=r"stored up to byte 5,.* resumes there"):
        clock.invoke(event, 4.5)
    assert len(parts(function.stored)) == 2
    out = capsys.readouterr().out
    assert told_of_files(out) == [{"FilesUnfinished": 1}]  # and nobody is paged
    assert "ERROR" not in out
    assert clock.invoke(event, 4.5)["parts"] == len(whole_parts) - 2
    assert function.stored.objects == whole


def test_who_waits_for_the_answer_is_told_of_unfinished_files_without_an_error(
    bucket: Bucket, small_parts: None, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = read_notifications(bucket.put(LINES))[0].objects
    clock = Clock(monkeypatch, read=0, store=1)
    answer = clock.invoke(notify_of([wanted], awaited=True), 4.5)
    assert (answer["unfinished"], answer["parts"]) == (1, 2)
    bucket.put(gzip.compress(LINES)[:-9], "damaged.gz")
    damaged = ObjectReference(bucket.name, "damaged.gz")
    with pytest.raises(FilesFailed, match="cannot be read past byte"):
        clock.invoke(notify_of([damaged], awaited=True), 4.5)


@pytest.mark.parametrize("packed", [gzip.compress, as_zstd])
def test_to_unpack_what_is_stored_again_takes_no_time_from_the_parts(
    packed: Callable[[bytes], bytes],
    bucket: Bucket,
    function: Function,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of an invocation goes by until it is where it was, and the other half is used."""
    monkeypatch.setattr("pipeline.files.objects.RANGE_BYTES", 10)
    event = bucket.put(packed(LINES))
    clock = Clock(monkeypatch, read=0, store=10)
    with pytest.raises(FilesUnfinished):
        clock.invoke(event, 12)
    reads = bucket.client.head_object(Bucket=bucket.name, Key="in.ndjson")["ContentLength"] / 10
    clock.cost = {"read": 50 / reads, "store": 3}
    assert clock.invoke(event, 100)["stored"] == 1
    assert ids(function.stored) == ORDER_IDS


@pytest.mark.parametrize("packed", [bytes, gzip.compress, as_zstd])
def test_a_file_that_no_invocation_gets_further_with_has_failed(
    packed: Callable[[bytes], bytes],
    bucket: Bucket,
    function: Function,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pipeline.files.objects.RANGE_BYTES", 10)
    clock = Clock(monkeypatch, read=1, store=1)
    with pytest.raises(FilesFailed, match=r"was read up to byte .*; raise the time-out") as error:
        clock.invoke(bucket.put(packed(LINES)), 8)
    assert not isinstance(error.value, FilesUnfinished)
    assert told_of_files(capsys.readouterr().out) == [{"FilesFailed": 1}]
    assert clock.left > 0


def test_a_part_of_too_many_partitions_is_named_as_one(
    bucket: Bucket,
    function: Function,
    invoke: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of a batch of a stream: the alarm of files has what it waits for, stored or not."""
    output = FaultyStore(lambda _: time.sleep(0.1 * slow))
    slow, function.stored = True, Stored(output=output)
    codes = [f"{first}{second}" for first in "ABCDE" for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    file = bucket.put(b"\n".join(as_json(order(country=code)) for code in codes))
    with pytest.raises(FilesFailed, match=r"The 130 rows of dataset orders fall into 130 partit"):
        invoke(file, 1.0)
    log, of_bucket, of_dataset = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (log["outcome"], log["level"], log["Partitions"]) == ("too_slow", "ERROR", 130)
    assert (of_bucket["Bucket"], of_bucket["FilesFailed"]) == (bucket.name, 1)
    assert of_bucket["Partitions"] == 130
    assert of_bucket["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Bucket"]]
    assert (of_dataset["Bucket"], of_dataset["Dataset"]) == (bucket.name, "orders")
    assert of_dataset["Partitions"] == 130
    # In the same process, the next invocation goes on where this one ended.
    slow, before = False, output.puts
    assert handlers.s3(file, Context(60.0))["stored"] == 1
    assert len(ids(function.stored)) == 130
    assert output.puts - before < 2 * 130


def test_a_file_that_has_to_wait_for_another_has_not_failed(
    bucket: Bucket,
    function: Function,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    messages = [
        item
        for name in ("a", "b")
        for item in through_sqs(bucket.put(LINES, name), name)["Records"]
    ]
    clock = Clock(monkeypatch, read=0, store=1)
    answer = clock.invoke({"Records": messages}, 4.5)
    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["a", "b"]
    out = capsys.readouterr().out
    assert told_of_files(out) == 2 * [{"FilesUnfinished": 1}]
    assert f"There was no time to begin s3://{bucket.name}/b; the next invocation will." in out


def test_a_store_that_is_too_slow_for_a_second_part_leaves_the_file_unfinished(
    bucket: Bucket, function: Function, invoke: Callable[..., Any], small_parts: None
) -> None:
    def hang(number: int) -> None:
        if number > 3:  # a part's rows, as Parquet and as CSV, and the word that it is stored
            time.sleep(2)

    function.stored = Stored(output=FaultyStore(hang))
    with pytest.raises(FilesUnfinished, match="resumes there"):
        invoke(bucket.put(LINES), 1.0)


# --------------------------------------------------------------------------- what is gone


def test_an_object_deleted_meanwhile_is_counted_and_not_tried_again(
    bucket: Bucket, invoke: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    event = bucket.put(LINES)
    bucket.client.delete_object(Bucket=bucket.name, Key="in.ndjson")
    assert invoke(event)["gone"] == 1
    assert invoke(through_sqs(event)) == {"batchItemFailures": []}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines if "message" in line] == 2 * [
        f"There is no object s3://{bucket.name}/in.ndjson; list the store to see what it holds."
    ]
    assert [line["FilesGone"] for line in lines if "_aws" in line] == [1, 1]


def test_an_object_overwritten_before_it_is_read_is_left_to_its_successor(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    old = bucket.put(DOCUMENTS[0])
    new = bucket.put(DOCUMENTS[1])
    assert invoke(old)["gone"] == 1
    assert not function.stored.rows
    assert invoke(new)["stored"] == 1
    assert ids(function.stored) == ORDER_IDS[1:2]


def test_an_object_overwritten_while_it_is_read_is_never_mixed(
    bucket: Bucket,
    function: Function,
    invoke: Callable[..., Any],
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.files.objects.RANGE_BYTES", SMALL_PART_BYTES)
    event, read, ranges = bucket.put(LINES), S3Objects.read, 0

    def overwritten(*given: Any) -> bytes:
        nonlocal ranges
        ranges += 1
        if ranges == 3:
            bucket.put(LINES.replace(b"DE", b"FR"))
        return read(*given)

    monkeypatch.setattr(S3Objects, "read", overwritten)
    assert invoke(event)["gone"] == 1
    assert function.stored.rows
    assert {row["country"] for row in function.stored.rows} == {"DE"}


def test_of_a_versioned_object_the_version_is_read_that_was_told_of(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    old = bucket.versioned().put(DOCUMENTS[0])
    bucket.put(DOCUMENTS[1])
    bucket.client.delete_object(Bucket=bucket.name, Key="in.ndjson")
    assert invoke(old)["stored"] == 1
    assert ids(function.stored) == ORDER_IDS[:1]


# --------------------------------------------------------------------------- what goes wrong


def test_of_a_queue_only_the_messages_that_failed_come_again(
    bucket: Bucket,
    function: Function,
    invoke: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, damaged = bucket.put(LINES), bucket.put(gzip.compress(LINES)[:-9], "damaged.gz")
    events = [through_sqs("no JSON", "a"), through_sqs(damaged, "b"), through_sqs(good, "c")]
    answer = invoke({"Records": [item for event in events for item in event["Records"]]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert told_of_files(capsys.readouterr().out) == [
        {"FilesFailed": 1},
        {"FilesFailed": 1, "FilesDamaged": 1},
        {"FilesStored": 1},
    ]
    assert ids(function.stored) == ORDER_IDS


def test_without_a_queue_every_file_is_tried_and_then_it_raises(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    bucket.put(gzip.compress(LINES)[:-9], "damaged.gz")
    bucket.put(LINES)
    both = [ObjectReference(bucket.name, key) for key in ("damaged.gz", "in.ndjson")]
    with pytest.raises(FilesFailed, match=r"damaged\.gz.* cannot be read past byte 0"):
        invoke(notify_of(both, awaited=True))
    assert ids(function.stored) == ORDER_IDS


def test_a_damaged_file_is_not_asked_for_again(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    """Who does not wait for the response would only deliver the same bytes again."""
    damaged, good = bucket.put(gzip.compress(LINES)[:-9], "damaged.gz"), bucket.put(LINES)
    answer = invoke({"Records": [*damaged["Records"], *good["Records"]]})
    assert (answer["damaged"], answer["stored"]) == (1, 1)
    assert ids(function.stored) == ORDER_IDS


def test_what_follows_a_gzip_file_is_told_and_not_quoted(
    bucket: Bucket, invoke: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(bucket.put(gzip.compress(LINES) + b"secret"))["damaged"] == 1
    out = capsys.readouterr().out
    assert "a compressed part is followed by something else; it is damaged, or not whole" in out
    assert "secret" not in out


@pytest.mark.parametrize(
    "event",
    [
        {}, {"Records": [{"eventSource": "aws:kinesis"}]}, {"Records": [7]}, 7,
        {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {}}]},
        through_sns({"hello": 1}),
        {"source": "aws.s3", "detail-type": "Object Created",
         "detail": {"bucket": {"name": "bucket"}, "object": {"key": "\ud800"}}},
    ],
)  # fmt: skip
def test_another_event_is_refused_in_a_sentence(event: Any, invoke: Callable[..., Any]) -> None:
    with pytest.raises(FilesFailed, match="The event is not a notification of S3: "):
        invoke(event)


def test_a_lost_connection_is_tried_again(
    bucket: Bucket, function: Function, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    event, read, times = bucket.put(as_zstd(LINES)), S3Objects.read, 0

    def lost(*given: Any) -> bytes:
        nonlocal times
        times += 1
        if times < 3:
            raise StoreUnavailable("The connection was lost.")
        return read(*given)

    monkeypatch.setattr(S3Objects, "read", lost)
    assert invoke(event)["stored"] == 1
    assert ids(function.stored) == ORDER_IDS


@pytest.mark.parametrize("packed", [bytes, gzip.compress, as_zstd])
def test_a_source_that_stays_away_fails_the_file_with_its_own_sentence(
    packed: Callable[[bytes], bytes],
    bucket: Bucket,
    invoke: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> bytes:
        raise StoreRefused("The bucket refuses.")

    monkeypatch.setattr(S3Objects, "read", refuse)
    with pytest.raises(FilesFailed, match="The bucket refuses"):
        invoke(bucket.put(packed(LINES)))


def test_what_it_wrote_itself_is_not_read_again(
    bucket: Bucket, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, function: Function
) -> None:
    function.stored.output.uri = f"s3://{bucket.name}/lake"
    invoke(bucket.put(LINES))
    for key in function.stored.output.list():
        assert is_pipeline_key(key)
        assert invoke(bucket.put(b"{}", f"lake/{key}"))["ignored"] == 1
    assert is_pipeline_key(f"{ARCHIVE}orders/date=2026-11-23/hour=09/x-0-1-0123abcd.jsonl.gz")
    for key in ("raw/in.ndjson", "_incoming/in.ndjson", "_parts.ndjson"):
        assert invoke(bucket.put(DOCUMENTS[0], f"lake/{key}"))["stored"] == 1


def test_what_names_no_file_is_counted_without_a_dimension(
    invoke: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """CloudWatch drops a metric with an empty dimension."""
    assert invoke(through_sqs("?"))["batchItemFailures"]
    (metric,) = [
        json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line
    ]
    assert metric["FilesFailed"] == 1
    assert "Bucket" not in metric
    assert metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


def test_no_payload_and_no_file_name_as_a_metric(
    bucket: Bucket, invoke: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(bucket.put(b'{"secret": 1}\n' + LINES))
    out = capsys.readouterr().out
    assert "secret" not in out
    metrics = [json.loads(line) for line in out.splitlines() if "_aws" in line]
    assert {metric["Bucket"] for metric in metrics if "Dataset" not in metric} == {bucket.name}
    assert not [metric for metric in metrics if "Stream" in metric]


# --------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_that_is_one_document_over_several_lines_is_one_document(
    mark: bytes, bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    pretty = json.dumps(order(order_id=ORDER_IDS[0]), indent=1).encode()
    assert invoke(bucket.put(mark + b"\n" + pretty + b"\n"))["rows"] == 1
    (row,) = function.stored.rows
    assert (row["order_id"], row["_sequence_number"]) == (ORDER_IDS[0], str(len(mark) + 1))
    assert not function.stored.letters


def test_an_element_of_an_array_is_one_document_whatever_its_lines_are(
    bucket: Bucket, function: Function, invoke: Callable[..., Any]
) -> None:
    """A good order alone on a line, within an element that is no JSON, is no document."""
    inner = as_json(order(order_id=ORDER_IDS[0]))
    broken = b'{"a": oops,\n "b": [\n' + inner + b"\n]}"
    assert invoke(bucket.put(b"[\n" + broken + b"\n]"))["rejects"] == 1
    assert not function.stored.rows
    (letter,) = function.stored.letters
    assert (letter["reason"], letter_payload(letter)) == ("not_json", broken)


@pytest.mark.parametrize("array", [True, False])
def test_a_file_of_any_size_takes_the_memory_of_a_few_parts(
    array: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=2**16))
    monkeypatch.setattr("pipeline.files.objects.RANGE_BYTES", 2**16)
    piece = b",\n".join(DOCUMENTS) + b",\n" if array else LINES
    count = 2**24 // len(piece)
    text_start = b"[" if array else b"\n"

    def fetch(start: int, end: int) -> bytes:
        start, end = start - 1, end - 1
        begun = max(start, 0)
        first = begun // len(piece)
        some = piece * (end // len(piece) - first + 1)
        return (
            text_start * (start < 0) + some[begun - first * len(piece) : end - first * len(piece)]
        )

    tracemalloc.start()
    try:
        reader = ObjectReader(fetch, 1 + count * len(piece))
        found = sum(len(block.documents) for block in pipeline_files.blocks_of(reader, "in"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == count * len(DOCUMENTS)
    assert peak < 16 * 2**16
