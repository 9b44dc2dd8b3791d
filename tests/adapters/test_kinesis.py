"""The adapter to Kinesis: against a real service, and in the words of its errors."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.stub import Stubber
from servers import CREDENTIALS, Faults, faulty_proxy, kinesalite

from pipeline.adapters.aws import kinesis
from pipeline.adapters.aws.errors import KINESIS, Call, translate_errors
from pipeline.adapters.aws.kinesis import (
    KinesisStream,
    PutRecord,
    RecordNotStored,
    Stored,
    kinesis_client,
)
from pipeline.core.errors import (
    ArgumentRefused,
    IteratorExpired,
    StreamError,
    StreamMissing,
    StreamRefused,
    StreamThrottled,
    StreamUnavailable,
)
from pipeline.core.kpl import deaggregate
from pipeline.core.records import Batch, StreamRecord
from pipeline.producer import Options, Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALL = Call(KINESIS, "write to", "kinesis:PutRecords", "the stream 'shop'")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


# -------------------------------------------------------------------------- a real service


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with kinesalite() as address:
        yield address


@pytest.fixture
def stream(url: str, request: pytest.FixtureRequest) -> KinesisStream:
    """Return a new stream of two shards."""
    return made(url, f"stream-{abs(hash(request.node.name))}")


def made(url: str, name: str) -> KinesisStream:
    client = kinesis_client(url)
    client.create_stream(StreamName=name, ShardCount=2)
    found = KinesisStream(name, client)
    while found.describe_stream_summary().status != "ACTIVE":
        pass
    return found


def read(stream: KinesisStream, shard_id: str) -> list[StreamRecord]:
    """Read a shard from its first record to its tip, or its end."""
    iterator: str | None = stream.get_shard_iterator(shard_id, "TRIM_HORIZON")
    records: list[StreamRecord] = []
    while iterator and (received := stream.get_records(iterator)).records:
        records += received.records
        iterator = received.next_iterator
    return records


def test_what_is_put_is_read_again(stream: KinesisStream) -> None:
    put = [PutRecord("a", b"one"), PutRecord("b", b"", str(2**128 - 1)), PutRecord("a", b"\xff")]
    before = datetime.now(UTC).timestamp()
    stored = stream.put_records(put)
    assert all(isinstance(outcome, Stored) for outcome in stored)
    records = {
        (shard.shard_id, record.sequence_number): record
        for shard in stream.list_shards()
        for record in read(stream, shard.shard_id)
    }
    for record, position in zip(put, stored, strict=True):
        assert isinstance(position, Stored)
        found = records[position.shard_id, position.sequence_number]
        assert (found.partition_key, found.data) == (record.partition_key, record.data)
        assert abs(found.arrived_at / 1e6 - before) < 3_600


def test_reading_goes_on_after_a_sequence_number(stream: KinesisStream) -> None:
    stored = stream.put_records([PutRecord("a", b"%d" % number) for number in range(3)])
    first = stored[0]
    assert isinstance(first, Stored)
    iterator = stream.get_shard_iterator(
        first.shard_id, "AFTER_SEQUENCE_NUMBER", first.sequence_number
    )
    received = stream.get_records(iterator, limit=1)
    assert [record.data for record in received.records] == [b"1"]
    assert stream.get_records(str(received.next_iterator)).records[0].data == b"2"


def test_a_split_and_a_merge_show_in_the_shards(stream: KinesisStream) -> None:
    client: Any = stream._client
    client.split_shard(
        StreamName=stream.stream,
        ShardToSplit="shardId-000000000000",
        NewStartingHashKey=str(2**126),
    )
    while len(stream.list_shards()) < 4:
        pass
    client.merge_shards(
        StreamName=stream.stream,
        ShardToMerge="shardId-000000000003",
        AdjacentShardToMerge="shardId-000000000001",
    )
    while len(stream.list_shards()) < 5:
        pass
    shards = {shard.shard_id[-1]: shard for shard in stream.list_shards()}
    assert [number for number, shard in sorted(shards.items()) if shard.closed] == ["0", "1", "3"]
    assert shards["2"].parents == shards["3"].parents == ("shardId-000000000000",)
    assert shards["4"].parents == ("shardId-000000000003", "shardId-000000000001")
    assert (shards["2"].first_hash_key, shards["2"].last_hash_key) == (0, 2**126 - 1)
    assert (shards["4"].first_hash_key, shards["4"].last_hash_key) == (2**126, 2**128 - 1)
    assert stream.describe_stream_summary().open_shards == 2
    closed: str | None = stream.get_shard_iterator("shardId-000000000000", "TRIM_HORIZON")
    for _ in range(10):
        if closed is None:
            return
        closed = stream.get_records(closed).next_iterator
    pytest.fail("The iterator of a closed shard never ends.")


def test_a_stream_that_is_not_there_is_missing(url: str) -> None:
    with pytest.raises(StreamMissing) as caught:
        KinesisStream("nowhere", endpoint_url=url).list_shards()
    assert str(caught.value).startswith(
        "Could not list the shards of the stream 'nowhere': Kinesis answered "
        "ResourceNotFoundException (HTTP 400,"
    )


def test_a_sequence_number_that_is_none_is_refused(stream: KinesisStream) -> None:
    with pytest.raises(ArgumentRefused):
        stream.get_shard_iterator("shardId-000000000000", "AFTER_SEQUENCE_NUMBER", "nonsense")


def test_the_producer_loses_nothing_through_faults_and_a_reshard(url: str) -> None:
    target = made(url, "faults-and-a-reshard")
    client: Any = target._client
    faults = Faults(throttled=5, partial=3, dropped_before=7, dropped_after=11)
    count = 2_000
    chance = random.Random(7)
    with faulty_proxy(url, faults) as address:
        through = KinesisStream(target.stream, endpoint_url=address)
        options = Options(linger=0.01, aggregate_bytes=5_000)
        with Producer(through, options, jitter=lambda: 0.1) as producer:
            for number in range(count):
                producer.put(b"%06d" % number + b"x" * 200, f"key {chance.randrange(50)}")
                if number == count // 2:
                    client.split_shard(
                        StreamName=target.stream,
                        ShardToSplit="shardId-000000000000",
                        NewStartingHashKey=str(2**126),
                    )
    done = producer.statistics
    assert (done.put, done.acknowledged, done.failed) == (count, count, 0)
    assert done.retries > 0
    assert done.refreshes > 0
    for fault in ("throttled", "partial", "dropped_before", "dropped_after"):
        assert faults.happened[fault, "PutRecords"] > 0
    stored = {data for _, data in user_records(target)}
    assert {int(data[:6]) for data in stored} == set(range(count))


def test_the_producer_keeps_the_order_of_each_key_through_faults(url: str) -> None:
    target = made(url, "order-through-faults")
    faults = Faults(throttled=5, partial=2, dropped_before=7, dropped_after=11)
    key_of = [f"key {random.Random(number).randrange(9)}" for number in range(2_000)]
    with faulty_proxy(url, faults) as address:
        through = KinesisStream(target.stream, endpoint_url=address)
        options = Options(linger=0, aggregate_bytes=1_000)
        with Producer(through, options, jitter=lambda: 0.0) as producer:
            for number, key in enumerate(key_of):
                producer.put(b"%d" % number, key)
    first: dict[str | None, dict[int, None]] = defaultdict(dict)
    for stored_key, data in user_records(target):
        first[stored_key].setdefault(int(data))
    for key in set(key_of):
        assert list(first[key]) == [index for index, owner in enumerate(key_of) if owner == key]


def user_records(stream: KinesisStream) -> Iterator[tuple[str | None, bytes]]:
    """Yield partition keys and payloads, shard after shard."""
    for shard in stream.list_shards():
        if not (records := read(stream, shard.shard_id)):
            continue
        chunk, rejects = deaggregate(Batch("stream", shard.shard_id, tuple(records)))
        assert not rejects
        for unit, payload in zip(chunk.unit, chunk.payloads, strict=True):
            yield chunk.provenance.partition_key[unit], payload


# ---------------------------------------------------------------------------------- answers


def stubbed() -> tuple[KinesisStream, Stubber]:
    client = boto3.client("kinesis")
    stubber = Stubber(client)
    stubber.activate()
    return KinesisStream("arn:aws:kinesis:eu-central-1:123456789012:stream/shop", client), stubber


def test_records_that_are_not_stored_keep_their_place() -> None:
    stream, stubber = stubbed()
    throttled = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Too much"}
    stubber.add_response(
        "put_records",
        {
            "FailedRecordCount": 1,
            "Records": [{"SequenceNumber": "7", "ShardId": "shardId-000000000000"}, throttled],
        },
        {
            "StreamARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/shop",
            "Records": [
                {"Data": b"one", "PartitionKey": "a"},
                {"Data": b"two", "PartitionKey": "b", "ExplicitHashKey": "0"},
            ],
        },
    )
    assert stream.stream == "shop"
    assert stream.put_records([PutRecord("a", b"one"), PutRecord("b", b"two", "0")]) == [
        Stored("shardId-000000000000", "7"),
        RecordNotStored("ProvisionedThroughputExceededException", "Too much"),
    ]


def test_an_answer_that_broke_off_is_tried_again() -> None:
    class Cut:
        def __getattr__(self, _: str) -> Any:
            return lambda **_: {"ResponseMetadata": {"HTTPStatusCode": 200}}

    client: Any = Cut()
    stream = KinesisStream("shop", client)
    calls: list[Callable[[], object]] = [
        lambda: stream.put_records([PutRecord("a", b"one")]),
        stream.list_shards,
        stream.describe_stream_summary,
        lambda: stream.get_records("iterator"),
        lambda: stream.get_shard_iterator("shardId-000000000000", "TRIM_HORIZON"),
    ]
    for call in calls:
        with pytest.raises(StreamUnavailable, match="the stream 'shop': the response broke off"):
            call()


def test_an_answer_about_fewer_records_than_were_put_is_tried_again() -> None:
    stream, stubber = stubbed()
    one = {"SequenceNumber": "7", "ShardId": "shardId-000000000000"}
    stubber.add_response("put_records", {"Records": [one]})
    with pytest.raises(StreamUnavailable, match="the response broke off"):
        stream.put_records([PutRecord("a", b"one"), PutRecord("b", b"two")])


def test_all_pages_of_the_shards_are_read() -> None:
    stream, stubber = stubbed()
    entries = [
        {
            "ShardId": f"shardId-00000000000{number}",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        for number in range(2)
    ]
    name = {"StreamARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/shop"}
    stubber.add_response("list_shards", {"Shards": entries[:1], "NextToken": "more"}, name)
    stubber.add_response("list_shards", {"Shards": entries[1:]}, {"NextToken": "more"})
    assert [shard.shard_id[-1] for shard in stream.list_shards()] == ["0", "1"]


def test_what_is_received_is_a_stream_record() -> None:
    stream, stubber = stubbed()
    record: Any = {
        "SequenceNumber": "7",
        "ApproximateArrivalTimestamp": datetime(2026, 11, 23, 9, 30, 0, 250_000, tzinfo=UTC),
        "Data": b"{}",
        "PartitionKey": "a",
    }
    stubber.add_response("get_records", {"Records": [record], "MillisBehindLatest": 1_500})
    received = stream.get_records("iterator")
    assert received.records == (StreamRecord("7", "a", 1_795_426_200_250_000, b"{}"),)
    assert (received.next_iterator, received.behind) == (None, 1_500)
    # A stream whose distribution is the service's own has no partition keys.
    del record["PartitionKey"]
    assert kinesis._record(record).partition_key is None


# ----------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "code", "kind", "remedy"),
    [
        (400, "ProvisionedThroughputExceededException", StreamThrottled, "add shards"),
        (400, "LimitExceededException", StreamThrottled, "try again later"),
        (400, "ThrottlingException", StreamThrottled, "try again later"),
        (400, "KMSThrottlingException", StreamThrottled, "try again later"),
        (400, "ResourceInUseException", StreamUnavailable, "try again later"),
        (400, "ExpiredNextTokenException", StreamUnavailable, "try again later"),
        (500, "InternalFailure", StreamUnavailable, "try again later"),
        (503, "ServiceUnavailable", StreamUnavailable, "try again later"),
        (502, "Bad Gateway", StreamUnavailable, "try again later"),
        (408, "Request Timeout", StreamUnavailable, "try again later"),
        (429, "Too Many Requests", StreamThrottled, "try again later"),
        (400, "ExpiredIteratorException", IteratorExpired, "ask for a new iterator"),
        (400, "ResourceNotFoundException", StreamMissing, "check the stream's name"),
        (400, "InvalidArgumentException", ArgumentRefused, "kinesis:PutRecords"),
        (400, "ValidationException", ArgumentRefused, "kinesis:PutRecords"),
        (400, "AccessDeniedException", StreamRefused, "grant kinesis:PutRecords on the stream"),
        (400, "KMSDisabledException", StreamRefused, "check that the KMS key"),
        (400, "ExpiredTokenException", StreamRefused, "renew the credentials"),
        (400, "UnrecognizedClientException", StreamRefused, "renew the credentials"),
        (418, "Teapot", StreamRefused, "check the request against the documentation"),
    ],
)
def test_each_answer_has_its_kind_and_its_remedy(
    status: int, code: str, kind: type[StreamError], remedy: str
) -> None:
    answer: Any = {
        "Error": {"Code": code, "Message": "What\nKinesis says."},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    with pytest.raises(StreamError) as caught, translate_errors(CALL):
        raise boto.ClientError(answer, "PutRecords")
    assert type(caught.value) is kind
    sentence = str(caught.value)
    assert sentence.startswith(
        f"Could not write to the stream 'shop': Kinesis answered {code} (HTTP {status}, "
        '"What Kinesis says"); '
    )
    assert remedy in sentence


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (boto.EndpointConnectionError(endpoint_url="http://x/"), StreamUnavailable, "http://x/"),
        (boto.ReadTimeoutError(endpoint_url="http://x/"), StreamUnavailable, "try again"),
        (boto.NoCredentialsError(), StreamRefused, "set AWS_ACCESS_KEY_ID"),
        (boto.NoRegionError(), StreamRefused, "set AWS_DEFAULT_REGION"),
    ],
)
def test_without_an_answer_the_sentence_says_what_to_check(
    error: Exception, kind: type[StreamError], says: str
) -> None:
    with pytest.raises(StreamError) as caught, translate_errors(CALL):
        raise error
    assert type(caught.value) is kind
    assert says in str(caught.value)


def test_arguments_that_botocore_refuses_are_not_quoted() -> None:
    stream = KinesisStream("shop", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(ArgumentRefused) as caught:
        stream.put_records([PutRecord("", b"secret")])
    shown = repr(caught.value) + repr(caught.value.__cause__)
    assert "kinesis:PutRecords" in shown
    assert "secret" not in shown


def test_the_region_is_read_where_the_sentence_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(StreamRefused, match="set AWS_DEFAULT_REGION"):
        KinesisStream("shop")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert KinesisStream("shop")._client.meta.region_name == "eu-west-3"


def test_an_endpoint_that_is_no_url_is_told_in_a_sentence() -> None:
    with pytest.raises(StreamRefused, match="Invalid endpoint: nonsense; check --endpoint-url"):
        KinesisStream("shop", endpoint_url="nonsense")
