"""Documents to an event of a Kinesis event source mapping, as large as Lambda sends."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.events import kinesis_event
from pipeline.core.kpl import pack_stream_record
from pipeline.core.records import StreamRecord

FULL_EVENT: Final = 6_000_000
"""Bytes of JSON in the largest event, a little under Lambda's limit for an invocation."""
AGGREGATE_BYTES: Final = 51_200
"""The KPL's default size of an aggregate."""
ENVELOPE_BYTES: Final = 550
"""Bytes of JSON around the data of one stream record."""
SHARD: Final = "shardId-000000000000"
STREAM: Final = "arn:aws:kinesis:eu-central-1:123456789012:stream/measured"
Keys = Callable[[int], tuple[str, str | None]]
_Record = tuple[str, bytes, str | None]
_FIRST: Final = 49590338271490256608559692538361571095921575989136588898


@dataclass(frozen=True, slots=True)
class Packed:
    """The data of stream records, and how many payloads are in them."""

    records: list[bytes]
    payloads: int


def one_key(_number: int) -> tuple[str, str | None]:
    """Return the keys of a producer that has one partition key, and none of hashes."""
    return "a", None


def pack(payloads: Iterable[bytes], room: int, *, aggregated: bool, keys: Keys = one_key) -> Packed:
    """Pack payloads, from the first on, into the stream records of an event of `room` bytes.

    `keys` returns the partition key and the explicit hash key of a payload by its number. At least
    one record, if there is a payload.
    """
    records, packed = list[bytes](), 0
    for data, count in (
        _aggregates(payloads, keys) if aggregated else ((payload, 1) for payload in payloads)
    ):
        room -= event_bytes(len(data))
        if room < 0 and records:
            break
        records.append(data)
        packed += count
    return Packed(records, packed)


def event_bytes(size: int) -> int:
    """Return how many bytes a stream record of `size` bytes adds to an event."""
    return -(-size // 3) * 4 + ENVELOPE_BYTES


def _aggregates(payloads: Iterable[bytes], keys: Keys) -> Iterator[tuple[bytes, int]]:
    """Yield aggregates as the KPL fills them, and how many payloads each holds."""
    waiting, size = deque[_Record](), 0
    for number, payload in enumerate(payloads):
        key, hash_key = keys(number)
        waiting.append((key, payload, hash_key))
        size += len(payload)
        if size >= AGGREGATE_BYTES:
            yield _aggregate(waiting)
            size = sum(len(data) for _, data, _ in waiting)
    while waiting:
        yield _aggregate(waiting)


def _aggregate(waiting: deque[_Record]) -> tuple[bytes, int]:
    """Take what fits into one aggregate from the front, at least one payload."""
    count, data = pack_stream_record(waiting, AGGREGATE_BYTES)
    for _ in range(count):
        waiting.popleft()
    return data, count


def measured_event(records: Sequence[bytes], arrived_at: float) -> dict[str, Any]:
    """Return the event in which Lambda delivers these stream records of one shard.

    `arrived_at` is in seconds since 1970.
    """
    micros = round(arrived_at * 1_000_000)
    return kinesis_event(
        (StreamRecord(str(_FIRST + n), "a", micros, data) for n, data in enumerate(records)),
        STREAM,
        SHARD,
    )
