"""Kinesis Data Streams: what producer and runner need of it, and the one place that asks boto3.

botocore does not retry here (`total_max_attempts=1`): producer and runner do, because they know
how long a record may wait, and count what they try. Every way in which a call can fail becomes a
`StreamError`, in `pipeline.adapters.aws.kinesis_errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import boto3
from botocore.config import Config

from pipeline.adapters.aws.kinesis_errors import StreamCall, translate_errors
from pipeline.core.errors import StreamRefused, StreamUnavailable
from pipeline.core.records import StreamRecord

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
    """Where a stream record stands."""

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


class Kinesis(Protocol):
    """One stream. Safe to use from several threads; every error is a `StreamError`."""

    stream: str
    """The stream's name, for messages."""

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        """Store up to 500 records, each alone: the answers are in the order of `records`.

        After a `StreamUnavailable`, any of them may have been stored.
        """
        ...

    def list_shards(self) -> list[Shard]:
        """Return all shards, the closed ones whose records have not expired included."""
        ...

    def get_shard_iterator(
        self, shard_id: str, kind: IteratorType, at: str | float | None = None
    ) -> str:
        """Return an iterator; `at` is the sequence number, or the time in epoch seconds."""
        ...

    def get_records(self, iterator: str, limit: int = MOST_RECORDS) -> Received:
        """Return what comes next; raise `IteratorExpired` for one older than 5 minutes."""
        ...

    def describe_stream_summary(self) -> StreamSummary:
        """Return what the stream is."""
        ...


def kinesis_client(
    endpoint_url: str | None = None,
    *,
    concurrency: int = 16,
    connect_timeout: float = 2.0,
    read_timeout: float = 10.0,
) -> Any:
    """Return a client for `concurrency` threads, configured by the environment as boto3 is.

    `endpoint_url` goes before `AWS_ENDPOINT_URL_KINESIS` and `AWS_ENDPOINT_URL`. The time-outs, in
    seconds, bound the silence of the other side. Raises `StreamRefused`.
    """
    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_pool_connections=concurrency,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
    )
    try:
        with translate_errors(StreamCall("make a client for", "kinesis:*", "Kinesis")):
            return boto3.client("kinesis", config=config, endpoint_url=endpoint_url)
    except ValueError as error:
        # What botocore raises for an endpoint that is no URL.
        raise StreamRefused(
            f"Could not make a client for Kinesis: {error}; check --endpoint-url, and the AWS "
            "settings in the environment and in the AWS configuration files."
        ) from error


class KinesisStream:
    """A stream, by name or ARN, of any service that speaks Kinesis' API."""

    def __init__(self, stream: str, client: Any = None, endpoint_url: str | None = None) -> None:
        """Use `client`, or one that `kinesis_client` makes. Nothing is sent yet."""
        self._client = client or kinesis_client(endpoint_url)
        self._name = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self.stream = stream.rpartition("/")[2]

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        """Store up to 500 records; see `Kinesis.put_records`."""
        entries = [_entry(record) for record in records]
        call = self._call("write to", "kinesis:PutRecords")
        with translate_errors(call):
            answer = self._client.put_records(Records=entries, **self._name)
        with _whole(call):
            pairs = zip(entries, answer["Records"], strict=True)
            return [_outcome(result) for _, result in pairs]

    def list_shards(self) -> list[Shard]:
        """Return all shards that still hold records, page by page."""
        shards: list[Shard] = []
        page: dict[str, Any] = dict(self._name)
        while True:
            call = self._call("list the shards of", "kinesis:ListShards")
            with translate_errors(call):
                answer = self._client.list_shards(**page)
            with _whole(call):
                shards += [_shard(entry) for entry in answer["Shards"]]
            if not answer.get("NextToken"):
                return shards
            page = {"NextToken": answer["NextToken"]}

    def get_shard_iterator(
        self, shard_id: str, kind: IteratorType, at: str | float | None = None
    ) -> str:
        """Return an iterator over one shard."""
        position: dict[str, Any] = {"ShardIteratorType": kind}
        if at is not None:
            position["Timestamp" if kind == "AT_TIMESTAMP" else "StartingSequenceNumber"] = at
        call = self._call(f"read {shard_id} of", "kinesis:GetShardIterator")
        with translate_errors(call):
            answer = self._client.get_shard_iterator(ShardId=shard_id, **position, **self._name)
        with _whole(call):
            iterator: str = answer["ShardIterator"]
            return iterator

    def get_records(self, iterator: str, limit: int = MOST_RECORDS) -> Received:
        """Return what comes next, 10 MB at most."""
        call = self._call("read", "kinesis:GetRecords")
        with translate_errors(call):
            answer = self._client.get_records(ShardIterator=iterator, Limit=limit)
        with _whole(call):
            return Received(
                tuple(_record(entry) for entry in answer["Records"]),
                answer.get("NextShardIterator"),
                int(answer.get("MillisBehindLatest", 0)),
            )

    def describe_stream_summary(self) -> StreamSummary:
        """Return what the stream is."""
        with translate_errors(self._call("describe", "kinesis:DescribeStreamSummary")):
            answer = self._client.describe_stream_summary(**self._name)
        summary = answer["StreamDescriptionSummary"]
        return StreamSummary(
            summary["StreamARN"],
            summary["StreamStatus"],
            int(summary.get("OpenShardCount", 0)),
            int(summary["RetentionPeriodHours"]),
            summary["StreamCreationTimestamp"].timestamp(),
        )

    def _call(self, verb: str, action: str) -> StreamCall:
        return StreamCall(verb, action, f"the stream {self.stream!r}")


@contextmanager
def _whole(call: StreamCall) -> Iterator[None]:
    """Raise `StreamUnavailable` for an answer that broke off, or that Kinesis did not give.

    botocore takes such bytes for an answer without its parts.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        message = (
            f"Could not {call.verb} {call.where}: the answer broke off, or is none of Kinesis'; "
            "try again later, and check the endpoint."
        )
        raise StreamUnavailable(message) from None


def _entry(record: PutRecord) -> dict[str, Any]:
    entry = {"Data": record.data, "PartitionKey": record.partition_key}
    if record.explicit_hash_key is not None:
        entry["ExplicitHashKey"] = record.explicit_hash_key
    return entry


def _outcome(result: dict[str, Any]) -> Stored | RecordNotStored:
    if result.get("ErrorCode"):
        return RecordNotStored(result["ErrorCode"], result.get("ErrorMessage") or "no message")
    return Stored(result["ShardId"], result["SequenceNumber"])


def _shard(entry: dict[str, Any]) -> Shard:
    parents = (entry.get("ParentShardId"), entry.get("AdjacentParentShardId"))
    hash_keys = entry["HashKeyRange"]
    return Shard(
        entry["ShardId"],
        tuple(parent for parent in parents if parent),
        int(hash_keys["StartingHashKey"]),
        int(hash_keys["EndingHashKey"]),
        # A shard takes records as long as it has no last sequence number.
        bool(entry["SequenceNumberRange"].get("EndingSequenceNumber")),
    )


def _record(entry: dict[str, Any]) -> StreamRecord:
    arrived = entry["ApproximateArrivalTimestamp"]
    return StreamRecord(
        entry["SequenceNumber"],
        entry.get("PartitionKey"),
        round(arrived.timestamp() * 1_000_000),
        entry["Data"],
    )
