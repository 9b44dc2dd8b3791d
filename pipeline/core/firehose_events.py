"""The event by which Firehose has a function transform its records.

Each record is a user record: Firehose has deaggregated what it read from a stream. Such a record
says where it stood there, and its source is then that of a row: the stream's ARN and the shard;
unless others of the event say the same, as parts of an aggregate that have no number of their own.
Such a one, and what was put into Firehose itself, has the ARN of the Firehose stream for its
source, and its recordId, which is a number, for its sequence number.
"""

import re
from collections import Counter
from typing import Any

import msgspec
import pybase64

from pipeline.core.errors import EventError

_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")
_LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999


class SentRecord(msgspec.Struct, frozen=True):
    """A record to transform; `arrived_at` in microseconds since 1970."""

    record_id: str
    data: bytes
    arrived_at: int
    source: str
    sequence_number: str
    sub_sequence_number: int
    partition_key: str | None

    @property
    def position(self) -> tuple[int, int]:
        """Where it stands in its source."""
        return int(self.sequence_number), self.sub_sequence_number


class _Metadata(msgspec.Struct):
    """Where a record stood on its stream. Not all is always there."""

    shardId: str = ""  # noqa: N815 - Firehose's names
    sequenceNumber: str = ""  # noqa: N815
    subsequenceNumber: int | str = 0  # noqa: N815
    partitionKey: str | None = None  # noqa: N815


class _Record(msgspec.Struct):
    recordId: str  # noqa: N815
    data: str
    approximateArrivalTimestamp: int | float  # noqa: N815
    kinesisRecordMetadata: _Metadata | None = None  # noqa: N815


class _Event(msgspec.Struct):
    deliveryStreamArn: str  # noqa: N815
    records: list[_Record]
    invocationId: str = ""  # noqa: N815
    sourceKinesisStreamArn: str | None = None  # noqa: N815


def read_transformation_event(event: Any) -> tuple[str, list[SentRecord]]:
    """Read one event: the ARN of the Firehose stream, and its records in their order.

    Raises `EventError` where the event is anything else.
    """
    try:
        given = msgspec.convert(event, _Event)
    except msgspec.ValidationError:
        message = (
            "The event is not one by which Firehose has records transformed (deliveryStreamArn, "
            "and records with recordId, data and approximateArrivalTimestamp; records of MSK have "
            "no data): invoke this handler from a Firehose stream of Kinesis, or of Direct PUT."
        )
        raise EventError(message) from None
    numbers = [record.recordId for record in given.records]
    are_numbers = len(set(numbers)) == len(numbers) and all(map(_NUMBER.fullmatch, numbers))
    places = [None if are_numbers else place for place in range(len(numbers))]
    both = list(zip(given.records, places, strict=True))
    records = [_sent(given, record, place) for record, place in both]
    often = Counter((record.source, *record.position) for record in records)
    alone = msgspec.structs.replace(given, sourceKinesisStreamArn=None)
    for index, record in enumerate(records):
        if often[record.source, *record.position] > 1:
            records[index] = _sent(alone, *both[index])
    return given.deliveryStreamArn, records


def _sent(event: _Event, record: _Record, place: int | None) -> SentRecord:
    """Return a record; `place` is its number where recordIds are not numbers."""
    where = f"Record {record.recordId!r} of {event.deliveryStreamArn}"
    metadata, stream = record.kinesisRecordMetadata, event.sourceKinesisStreamArn
    source, number, sub = event.deliveryStreamArn, record.recordId, 0
    if stream and metadata and metadata.shardId and _NUMBER.fullmatch(metadata.sequenceNumber):
        source, number = f"{stream}/{metadata.shardId}", metadata.sequenceNumber
        sub = _sub_sequence_number(metadata.subsequenceNumber, where)
    elif place is not None:
        source, number = f"{source}/{event.invocationId}", str(place)
    return SentRecord(
        record.recordId,
        _data(record.data, where),
        _arrival(record.approximateArrivalTimestamp, where),
        source,
        number,
        sub,
        metadata.partitionKey if metadata else None,
    )


def _data(text: str, where: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        message = f"{where} has data that is not base64."
        raise EventError(message) from None


def _arrival(milliseconds: float, where: str) -> int:
    if not 0 <= milliseconds <= _LATEST:  # nor NaN
        message = f"{where} has no approximateArrivalTimestamp in milliseconds since 1970."
        raise EventError(message)
    return round(milliseconds * 1_000)


def _sub_sequence_number(value: int | str, where: str) -> int:
    """Return a number that some events have as text, or as an empty one."""
    text = str(value) or "0"
    if not _NUMBER.fullmatch(text) or int(text) >= 2**63:
        message = f"{where} has a subsequenceNumber that is not a number."
        raise EventError(message)
    return int(text)
