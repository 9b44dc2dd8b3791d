"""Lambda's event shapes to stream records, and stream records to the Kinesis event.

One Kinesis event holds records of one shard of one stream. Its shard id stands only in
`eventID` ("<shard id>:<sequence number>"). With enhanced fan-out the event source ARN names the
consumer too; the stream is the same, and so must the identity be.
"""

import binascii
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat
from operator import lt
from typing import Any

import pybase64

from pipeline.core.errors import EventError
from pipeline.core.records import Batch, StreamRecord

_VALIDATED = repeat(True)  # noqa: FBT003 - an iterator, not an argument

_CONSUMER = re.compile(r"/consumer/.*$", re.DOTALL)
_SHARD = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")
_SEQUENCE_NUMBERS = re.compile(r"(?:(?:0|[1-9][0-9]{0,128})(?:\n|\Z))+")
_KEY_TYPES = {str, type(None)}
_TIME_TYPES = {int, float}
_TOO_LATE = 253_402_300_800  # the first second of the year 10000


def read_kinesis_event(event: Any, *, fast: bool = True) -> Batch:
    """Read one Lambda event of a Kinesis event source mapping.

    Raises `EventError` where the event is anything else; the function is then misconfigured,
    and nothing was written.
    """
    items = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(items, list) or not items:
        message = (
            "The event holds no Kinesis records ('Records' is absent, empty or not a list); "
            "invoke this handler from a Kinesis event source mapping."
        )
        raise EventError(message)
    source, shard = _origin(items[0], 0)
    records = _fast_records(items, items[0]["eventSourceARN"], f"{shard}:") if fast else None
    if records is None:
        records = _exact_records(items, source, shard)
    return Batch(f"{source}/{shard}", shard, records)


def state_of_window(event: Any) -> dict[str, Any]:
    """Return what a response owes to a mapping with a tumbling window; nothing without one.

    Lambda takes a response without `state` for a failed invocation. Rows are not aggregated from
    batch to batch, so the state goes back as it came.
    """
    if isinstance(event, dict) and ("window" in event or "state" in event):
        return {"state": event.get("state") or {}}
    return {}


def ends_window(event: Any) -> bool:
    """Say whether an event only closes a tumbling window: it holds no record, and loses none."""
    return bool(state_of_window(event)) and event.get("Records") in (None, [])


def kinesis_event(records: Iterable[StreamRecord], stream_arn: str, shard: str) -> dict[str, Any]:
    """Write the event in which Lambda delivers records of one shard; `read_kinesis_event` reads it.

    `stream_arn` is the stream's ARN or, with enhanced fan-out, its consumer's.
    """
    return {"Records": [event_item(record, stream_arn, shard) for record in records]}


def event_item(record: StreamRecord, stream_arn: str, shard: str) -> dict[str, Any]:
    """Write one item of an event's `Records`."""
    region, role = _of_stream(stream_arn)
    key = {} if record.partition_key is None else {"partitionKey": record.partition_key}
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            **key,
            "sequenceNumber": record.sequence_number,
            "data": pybase64.b64encode_as_string(record.data),
            "approximateArrivalTimestamp": record.arrived_at / 1_000_000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": region,
        "eventSourceARN": stream_arn,
    }


@lru_cache(maxsize=64)
def _of_stream(arn: str) -> tuple[str, str]:
    """Return a stream's region, and the role that its events name."""
    _, partition, _, region, account, _ = arn.split(":", 5)
    return region, f"arn:{partition}:iam::{account}:role/pipeline"


def read_failed_batch(document: bytes, where: str, *, fast: bool = True) -> Batch:
    """Read what Lambda leaves in S3 of a batch it gave up on.

    Its `payload` is the whole event: documented as JSON text, seen as an object.
    Raises `EventError` for anything else.
    """
    try:
        failed = json.loads(document)
        payload = failed["payload"]
        event = json.loads(payload) if isinstance(payload, str) else payload
    except (ValueError, KeyError, TypeError):
        message = (
            f"{where} does not hold a batch: Lambda's failure destination in S3 writes JSON with "
            "the whole event in 'payload'."
        )
        raise EventError(message) from None
    return read_kinesis_event(event, fast=fast)


def _fast_records(items: list[Any], arn: str, prefix: str) -> tuple[StreamRecord, ...] | None:
    """Read all records, column by column, where all are plainly as they should be; else None.

    An event may hold ten thousand, and to look at each costs more than what is in them.
    """
    try:
        kinesis = [item["kinesis"] for item in items]
        one_stream = {item["eventSourceARN"] for item in items} == {arn}
        one_shard = all(map(str.startswith, [item["eventID"] for item in items], repeat(prefix)))
        numbers = [record["sequenceNumber"] for record in kinesis]
        keys = [record.get("partitionKey") for record in kinesis]
        seconds = [record["approximateArrivalTimestamp"] for record in kinesis]
        texts = [record["data"] for record in kinesis]
        # By position, alternative characters and `validate` take half the time.
        data = list(map(pybase64.b64decode, texts, repeat(None), _VALIDATED))
        in_order = _are_numbers(numbers) and _rise(numbers)
        arrived = set(map(type, seconds)) <= _TIME_TYPES and _are_times(seconds)
    except (AttributeError, KeyError, TypeError, ValueError):  # base64's errors are ValueErrors
        return None
    keyed = set(map(type, keys)) <= _KEY_TYPES
    if not (one_stream and one_shard and in_order and keyed and arrived):
        return None
    arrivals = [round(second * 1_000_000) for second in seconds]
    return tuple(map(StreamRecord, numbers, keys, arrivals, data))


def _are_times(seconds: list[float]) -> bool:
    """Say whether all numbers are arrivals; the comparisons also refuse NaN."""
    return all(0 <= second < _TOO_LATE for second in seconds)


def _are_numbers(texts: list[str]) -> bool:
    """Say whether all texts are sequence numbers."""
    lines = "\n".join(texts)
    return bool(_SEQUENCE_NUMBERS.fullmatch(lines)) and lines.count("\n") == len(texts) - 1


def _rise(numbers: list[str]) -> bool:
    """Say whether numbers of one length, as a shard's nearly always are, rise."""
    return len(set(map(len, numbers))) == 1 and all(map(lt, numbers, numbers[1:]))


def _exact_records(items: list[Any], source: str, shard: str) -> tuple[StreamRecord, ...]:
    """Read the records and say of the first that is not as it should be what is wrong with it."""
    for number, item in enumerate(items):
        if _origin(item, number) != (source, shard):
            message = (
                f"Record {number} of the event is of another stream or shard than the first "
                f"({source}, {shard}); an event holds one shard's records."
            )
            raise EventError(message)
    records = tuple(_record(item["kinesis"], source, shard) for item in items)
    _check_order(records, source, shard)
    return records


def _origin(item: Any, number: int) -> tuple[str, str]:
    """Stream ARN and shard id of one item of the event."""
    if not isinstance(item, dict) or not isinstance(item.get("kinesis"), dict):
        message = (
            f"Record {number} of the event is not a Kinesis record (eventSource "
            f"{item.get('eventSource') if isinstance(item, dict) else None!r}); "
            "invoke this handler from a Kinesis event source mapping."
        )
        raise EventError(message)
    arn, event_id = item.get("eventSourceARN"), item.get("eventID")
    if not isinstance(arn, str) or not isinstance(event_id, str):
        message = f"Record {number} of the event lacks 'eventSourceARN' or 'eventID'."
        raise EventError(message)
    shard = event_id.partition(":")[0]
    if not _SHARD.fullmatch(shard) or shard in {".", ".."}:
        message = f"Record {number} of the event has no shard id in its eventID {event_id!r}."
        raise EventError(message)
    return _CONSUMER.sub("", arn), shard


def _record(kinesis: dict[str, Any], source: str, shard: str) -> StreamRecord:
    sequence_number = kinesis.get("sequenceNumber")
    where = f"Record {sequence_number!r} of {source}, {shard}"
    if not isinstance(sequence_number, str) or not _SEQUENCE_NUMBER.fullmatch(sequence_number):
        message = f"{where} has no sequence number of digits."
        raise EventError(message)
    partition_key = kinesis.get("partitionKey")
    if partition_key is not None and not isinstance(partition_key, str):
        message = f"{where} has a partition key that is not a string."
        raise EventError(message)
    return StreamRecord(
        sequence_number,
        partition_key,
        _arrival(kinesis.get("approximateArrivalTimestamp"), where),
        _data(kinesis.get("data"), where),
    )


def _arrival(seconds: Any, where: str) -> int:
    """Microseconds since 1970 of an arrival in (fractional) seconds."""
    # The comparison also refuses NaN.
    if type(seconds) not in _TIME_TYPES or not 0 <= seconds < _TOO_LATE:
        message = f"{where} has no approximateArrivalTimestamp in seconds since 1970."
        raise EventError(message)
    micros: int = round(seconds * 1_000_000)
    return micros


def _data(text: Any, where: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        message = f"{where} has data that is not base64."
        raise EventError(message) from None


def _check_order(records: tuple[StreamRecord, ...], source: str, shard: str) -> None:
    """Refuse a sequence number that does not rise: identity and checkpoint rest on it."""
    last = -1
    for record in records:
        number = int(record.sequence_number)
        if number <= last:
            message = (
                f"Record {record.sequence_number} of {source}, {shard} does not follow the record "
                f"before it ({last}); a batch comes in rising order of sequence numbers."
            )
            raise EventError(message)
        last = number
