"""Kinesis Data Streams: what producer and runner need of it, and the one place that asks boto3.

Nothing is tried again here: producer and runner do that, because they know how long a record may
wait, and count their tries. Every way in which a call can fail becomes a `StreamError`, in
`pipeline.adapters.aws.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import KINESIS, Call, translate_errors
from pipeline.core.errors import StreamUnavailable
from pipeline.core.records import StreamRecord

if TYPE_CHECKING:
    from mypy_boto3_kinesis.client import KinesisClient
    from mypy_boto3_kinesis.type_defs import (
        PutRecordsRequestEntryTypeDef,
        PutRecordsResultEntryTypeDef,
        RecordTypeDef,
        ShardTypeDef,
    )

MOST_RECORDS: Final = 10_000
"""Records that one GetRecords may return."""

IteratorType = Literal[
    "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"
]


@dataclass(frozen=True, slots=True)
class PutRecord:
    """One stream record to store; `explicit_hash_key` is a decimal 128-bit number as text."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a stream record is stored."""

    shard_id: str
    sequence_number: str


@dataclass(frozen=True, slots=True)
class RecordNotStored:
    """Why one stream record of a call was not stored, in Kinesis' words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard, open or closed; both ends of its range of hash keys belong to it."""

    shard_id: str
    parents: tuple[str, ...]
    """None, one (a split), or two (a merge). Some may have expired and be listed no more."""
    first_hash_key: int
    last_hash_key: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Received:
    """What one GetRecords returned."""

    records: tuple[StreamRecord, ...]
    next_iterator: str | None
    """None where a closed shard has been read to its end."""
    behind: int
    """Milliseconds behind the tip of the stream."""


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What a stream is; `retention` is in hours, `created` in seconds since 1970."""

    arn: str
    status: str
    open_shards: int
    retention: int
    created: float = 0.0


class WritableStream(Protocol):
    """What a producer needs of a stream. Safe to use from several threads."""

    @property
    def stream(self) -> str:
        """The stream's name, for messages."""
        ...

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        """Store up to 500 records, each alone: the results are in the order of `records`.

        After a `StreamUnavailable`, any of them may have been stored.
        """
        ...

    def list_shards(self) -> list[Shard]:
        """Return all shards, the closed ones whose records have not expired included."""
        ...


class Kinesis(WritableStream, Protocol):
    """One stream. Safe to use from several threads; every error is a `StreamError`."""

    def get_shard_iterator(
        self, shard_id: str, kind: IteratorType, start: str | float | None = None
    ) -> str:
        """Return an iterator; `start` is the sequence number, or the time in epoch seconds."""
        ...

    def get_records(self, iterator: str, limit: int = MOST_RECORDS) -> Received:
        """Return what comes next; raise `IteratorExpired` for one older than 5 minutes."""
        ...

    def describe_stream_summary(self) -> StreamSummary:
        """Return what the stream is."""
        ...


def kinesis_client(endpoint_url: str | None = None, *, concurrency: int = 16) -> KinesisClient:
    """Return a Kinesis client, see `make_client`. Raises `StreamRefused`."""
    client: KinesisClient = make_client(KINESIS, concurrency=concurrency, endpoint_url=endpoint_url)
    return client


class KinesisStream:
    """A stream, by name or ARN, of any service that speaks Kinesis' API."""

    def __init__(
        self, stream: str, client: KinesisClient | None = None, endpoint_url: str | None = None
    ) -> None:
        """Use `client`, or one that `kinesis_client` makes. Nothing is sent yet."""
        self._client = client or kinesis_client(endpoint_url)
        self._name: dict[str, Any] = {
            "StreamARN" if stream.startswith("arn:") else "StreamName": stream
        }
        self.stream = stream.rpartition("/")[2]

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        """Store up to 500 records; see `Kinesis.put_records`."""
        entries = [_entry(record) for record in records]
        call = self._call("write to", "kinesis:PutRecords")
        with translate_errors(call):
            response = self._client.put_records(Records=entries, **self._name)
        with _whole(call):
            pairs = zip(entries, response["Records"], strict=True)
            return [_outcome(result) for _, result in pairs]

    def list_shards(self) -> list[Shard]:
        """Return all shards that still hold records, page by page."""
        shards: list[Shard] = []
        page: dict[str, Any] = dict(self._name)
        while True:
            call = self._call("list the shards of", "kinesis:ListShards")
            with translate_errors(call):
                response = self._client.list_shards(**page)
            with _whole(call):
                shards += [_shard(entry) for entry in response["Shards"]]
            if not response.get("NextToken"):
                return shards
            page = {"NextToken": response["NextToken"]}

    def get_shard_iterator(
        self, shard_id: str, kind: IteratorType, start: str | float | None = None
    ) -> str:
        """Return an iterator over one shard."""
        position: dict[str, Any] = {"ShardIteratorType": kind}
        if start is not None:
            position["Timestamp" if kind == "AT_TIMESTAMP" else "StartingSequenceNumber"] = start
        call = self._call(f"read {shard_id} of", "kinesis:GetShardIterator")
        with translate_errors(call):
            response = self._client.get_shard_iterator(ShardId=shard_id, **position, **self._name)
        with _whole(call):
            iterator: str = response["ShardIterator"]
            return iterator

    def get_records(self, iterator: str, limit: int = MOST_RECORDS) -> Received:
        """Return what comes next, 10 MB at most."""
        call = self._call("read", "kinesis:GetRecords")
        with translate_errors(call):
            response = self._client.get_records(ShardIterator=iterator, Limit=limit)
        with _whole(call):
            return Received(
                tuple(_record(entry) for entry in response["Records"]),
                response.get("NextShardIterator"),
                int(response.get("MillisBehindLatest", 0)),
            )

    def describe_stream_summary(self) -> StreamSummary:
        """Return what the stream is."""
        call = self._call("describe", "kinesis:DescribeStreamSummary")
        with translate_errors(call):
            response = self._client.describe_stream_summary(**self._name)
        with _whole(call):
            summary = response["StreamDescriptionSummary"]
            return StreamSummary(
                summary["StreamARN"],
                summary["StreamStatus"],
                int(summary.get("OpenShardCount", 0)),
                int(summary["RetentionPeriodHours"]),
                summary["StreamCreationTimestamp"].timestamp(),
            )

    def _call(self, verb: str, action: str) -> Call:
        return Call(KINESIS, verb, action, f"the stream {self.stream!r}")


@contextmanager
def _whole(call: Call) -> Iterator[None]:
    """Raise `StreamUnavailable` for a response that broke off, or is not from Kinesis.

    botocore reads such bytes as a response without its members.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        reason = "the response broke off, or is not from Kinesis"
        sentence = call.sentence(reason, "try again later, and check the endpoint")
        raise StreamUnavailable(sentence) from None


def _entry(record: PutRecord) -> PutRecordsRequestEntryTypeDef:
    entry: PutRecordsRequestEntryTypeDef = {
        "Data": record.data,
        "PartitionKey": record.partition_key,
    }
    if record.explicit_hash_key is not None:
        entry["ExplicitHashKey"] = record.explicit_hash_key
    return entry


def _outcome(result: PutRecordsResultEntryTypeDef) -> Stored | RecordNotStored:
    if result.get("ErrorCode"):
        return RecordNotStored(result["ErrorCode"], result.get("ErrorMessage") or "no message")
    return Stored(result["ShardId"], result["SequenceNumber"])


def _shard(entry: ShardTypeDef) -> Shard:
    parents = (entry.get("ParentShardId"), entry.get("AdjacentParentShardId"))
    hash_keys = entry["HashKeyRange"]
    return Shard(
        entry["ShardId"],
        tuple(parent for parent in parents if parent),
        int(hash_keys["StartingHashKey"]),
        int(hash_keys["EndingHashKey"]),
        # A shard accepts records as long as it has no last sequence number.
        bool(entry["SequenceNumberRange"].get("EndingSequenceNumber")),
    )


def _record(entry: RecordTypeDef) -> StreamRecord:
    arrived = entry["ApproximateArrivalTimestamp"]
    return StreamRecord(
        entry["SequenceNumber"],
        entry.get("PartitionKey"),
        round(arrived.timestamp() * 1_000_000),
        entry["Data"],
    )
