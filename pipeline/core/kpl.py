"""The aggregated-record format of the Kinesis Producer Library (KPL), in both directions.

    magic F3 89 9A C2 | AggregatedRecord (protobuf) | MD5 of the protobuf, 16 bytes

    message AggregatedRecord {
      repeated string partition_key_table     = 1;
      repeated string explicit_hash_key_table = 2;
      repeated Record records                 = 3;
    }
    message Record {
      required uint64 partition_key_index     = 1;
      optional uint64 explicit_hash_key_index = 2;
      required bytes  data                    = 3;
      repeated Tag    tags                    = 4;
    }

A stream record that does not begin with the magic is one user record. One that does is an
aggregate or a reject: its producer counted every record in it as delivered, so passing a broken
one on as if it were a document would only hide the loss. The position of a user record in its
aggregate is its sub-sequence number, whatever becomes of its siblings.
"""

import functools
import hashlib
import importlib
import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from operator import attrgetter, methodcaller
from typing import Any

import aws_kinesis_agg
import msgspec
from google.protobuf.message import DecodeError

from pipeline.core.integers import INT32, INT64, between, integers, up_to, zeros
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.protobuf import varint, written
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Batch, Chunk, Provenance, Reject, Violation
from pipeline.core.simple_aggregates import SimpleAggregate, fast_parse, text_of

DIGEST_BYTES = 16
_key_index = attrgetter("partition_key_index")
_hash_key_index = attrgetter("explicit_hash_key_index")
_has_hash_key = methodcaller("HasField", "explicit_hash_key_index")
_data = attrgetter("data")
_WIDEST_VARINT = 70  # bits in ten bytes: protobuf reads no more
_LENGTH_DELIMITED_TAGS = frozenset({0x0A, 0x12, 0x1A})  # the three fields of AggregatedRecord


def _message_classes() -> Any:
    """Import aws_kinesis_agg's generated protobuf classes.

    Its `messages_pb2` imports `config_pb2` by a bare name, so the package's own folder has to
    be on the path while it loads, and only then.
    """
    before = list(sys.path)
    sys.path[:0] = list(aws_kinesis_agg.__path__)
    try:
        return importlib.import_module("aws_kinesis_agg.messages_pb2")
    finally:
        sys.path[:] = before


_messages = _message_classes()


class UserRecord(msgspec.Struct, frozen=True):
    """What a producer puts: `explicit_hash_key` is a decimal 128-bit number as text."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


def aggregate(records: Iterable[UserRecord]) -> bytes:
    """Encode user records, in this order, as one KPL aggregate."""
    return pack_aggregate(
        (record.partition_key, record.data, record.explicit_hash_key) for record in records
    )[1]


def pack_aggregate(
    records: Iterable[tuple[Any, ...]], limit: float = math.inf, most: float = math.inf
) -> tuple[int, bytes]:
    """Encode records, from the first on, as one aggregate of at most `limit` bytes.

    A record is a tuple that begins with partition key, data, and explicit hash key or None.
    Returns how many went in, at most `most`, and the aggregate, the same as protobuf would write.
    Written by hand, as this is the producer's innermost loop, and protobuf's objects cost several
    times as much.
    """
    keys, hash_keys = dict[str, bytes](), dict[str, bytes]()  # each with its index, written
    table, parts = list[bytes](), list[bytes]()
    count, size = 0, len(KPL_MAGIC) + DIGEST_BYTES
    for record in records:
        key, data, hash_key = record[0], record[1], record[2]
        indices, entry = keys.get(key), None
        if indices is None:
            indices, text = varint(len(keys)), key.encode()
            entry = (_key_head(len(text)), text)
            size += len(entry[0]) + len(text)
        index = indices
        if hash_key is not None:
            hash_index, growth = _hash_index(hash_key, hash_keys)
            indices += hash_index
            size += growth
        before, middle, whole = _frame(len(indices), len(data))
        size += whole
        if size > limit or count >= most:
            break
        if entry is not None:
            keys[key] = index
            table += entry
        if hash_key is not None:
            hash_keys[hash_key] = hash_index
        parts += (before, indices, middle, data)
        count += 1
    body = b"".join([*table, *map(_hash_key_entry, hash_keys), *parts])
    return count, b"".join((KPL_MAGIC, body, _digest(body)))


def _hash_index(hash_key: str, hash_keys: dict[str, bytes]) -> tuple[bytes, int]:
    """Return how a record refers to its hash key, and the bytes that the key's table grows by."""
    known = hash_keys.get(hash_key)
    if known is not None:
        return known, 0
    return b"\x10" + varint(len(hash_keys)), len(_hash_key_entry(hash_key))


def pack_stream_record(
    records: Sequence[tuple[Any, ...]], limit: float, most: float = math.inf
) -> tuple[int, bytes]:
    """Pack records, from the first on, into one stream record, as the KPL does.

    `records` are those of `pack_aggregate`, at least one. Returns how many it took, and the data:
    an aggregate of at most `limit` bytes and `most` records, or the first record as it is, since an
    aggregate of one only costs bytes.
    """
    count, data = pack_aggregate(records, limit, most)
    if count > 1:
        return count, data
    first = records[0]
    # As it is, every consumer would read it as an aggregate.
    return 1, pack_aggregate((first,))[1] if first[1].startswith(KPL_MAGIC) else first[1]


@functools.lru_cache(maxsize=8_192)
def _frame(indices: int, length: int) -> tuple[bytes, bytes, int]:
    """Return what stands before a record's key indices, between them and its data, and its size.

    `indices` and `length` are the bytes of the key indices and of the data.
    """
    middle = b"\x1a" + varint(length)
    inner = 1 + indices + len(middle) + length
    before = b"\x1a" + varint(inner)
    return before + b"\x08", middle, len(before) + inner


@functools.lru_cache(maxsize=2_048)
def _key_head(length: int) -> bytes:
    """Return what stands before a partition key of so many bytes in its table."""
    return b"\x0a" + varint(length)


def _hash_key_entry(hash_key: str) -> bytes:
    return written(2, hash_key.encode())


def deaggregate(
    batch: Batch, numbers: Iterable[int] | None = None, *, fast: bool = True
) -> tuple[Chunk, list[Reject]]:
    """Take stream records of a batch apart into their user records, in order.

    `numbers` are the records to take apart; by default all.
    """
    numbers = range(len(batch.records)) if numbers is None else list(numbers)
    if fast and not any(batch.records[number].data.startswith(KPL_MAGIC) for number in numbers):
        return _fast_unaggregated(batch, numbers), []
    chunk, rejects = Chunk(Provenance(batch), array(INT32), []), list[Reject]()
    for number in numbers:
        record = batch.records[number]
        if not record.data.startswith(KPL_MAGIC):
            chunk.unit.append(chunk.provenance.add(number, 0, 0, record.partition_key))
            chunk.payloads.append(record.data)
            continue
        opened = _open(record.data, fast=fast)
        if isinstance(opened, Violation):
            unit = chunk.provenance.add(number, 0, 0, record.partition_key)
            rejects.append(
                Reject(chunk.provenance, unit, RejectStage.AGGREGATE, opened, record.data)
            )
        elif isinstance(opened, SimpleAggregate):
            _append(chunk, number, opened.partition_keys, opened.payloads)
        else:
            _append_message(opened, number, chunk, rejects)
    return chunk, rejects


def _fast_unaggregated(batch: Batch, numbers: Sequence[int]) -> Chunk:
    """Return stream records of which none is an aggregate as the user records that they are."""
    records = [batch.records[number] for number in numbers]
    size = len(records)
    keys = [record.partition_key for record in records]
    provenance = Provenance(batch, integers(numbers), zeros(size, INT64), zeros(size), keys)
    return Chunk(provenance, up_to(size), [record.data for record in records])


def _append(
    chunk: Chunk, number: int, keys: Iterable[str | None], payloads: Sequence[bytes]
) -> None:
    """Append user records, all that stream record `number` has."""
    provenance, start, size = chunk.provenance, len(chunk.provenance), len(payloads)
    provenance.record.extend(array(INT32, [number]) * size)
    provenance.sub.extend(up_to(size, INT64))
    provenance.document.extend(zeros(size))
    provenance.partition_key.extend(keys)
    chunk.unit.extend(between(start, start + size))
    chunk.payloads.extend(payloads)


def _append_message(message: Any, number: int, chunk: Chunk, rejects: list[Reject]) -> None:
    """Append an aggregate's user records to `chunk`; those with a bad key index are rejects."""
    records = list(message.records)  # each look into the message makes a new Python object
    keys = [text_of(key) for key in message.partition_key_table]
    hash_keys = len(message.explicit_hash_key_table)
    indices = list(map(_key_index, records))
    if max(indices) < len(keys) and _hash_keys_hold(records, hash_keys):
        _append(chunk, number, [keys[index] for index in indices], list(map(_data, records)))
        return
    for sub, record in enumerate(records):
        violation = _key_violation(record, len(keys), hash_keys)
        key = None if violation else keys[record.partition_key_index]
        unit = chunk.provenance.add(number, sub, 0, key)
        if violation is None:
            chunk.unit.append(unit)
            chunk.payloads.append(record.data)
        else:
            rejects.append(
                Reject(chunk.provenance, unit, RejectStage.AGGREGATE, violation, record.data)
            )


def _hash_keys_hold(records: Any, table_size: int) -> bool:
    """Say whether every explicit hash key index given leads into its table."""
    if table_size == 0:
        return not any(map(_has_hash_key, records))
    largest: int = max(map(_hash_key_index, records))
    return largest < table_size


def _key_violation(record: Any, keys: int, hash_keys: int) -> Violation | None:
    """Name the first of a user record's key indices that leads outside its table."""
    given = [("partition", record.partition_key_index, keys)]
    if record.HasField("explicit_hash_key_index"):
        given.append(("explicit hash", record.explicit_hash_key_index, hash_keys))
    for name, index, size in given:
        if index >= size:
            return Violation(
                Reason.KPL_KEY_INDEX,
                f"The user record's {name} key index is {index}, but the aggregate's table of "
                f"them has {size} entries.",
            )
    return None


def _open(data: bytes, *, fast: bool) -> Any:
    """Parse an aggregate: its records, its protobuf message, or the `Violation` it has."""
    body, digest = data[len(KPL_MAGIC) : -DIGEST_BYTES], data[-DIGEST_BYTES:]
    if len(data) < len(KPL_MAGIC) + DIGEST_BYTES or _digest(body) != digest:
        return _broken(data)
    return (fast_parse(body) if fast else None) or _exact_parse(body)


def _exact_parse(body: bytes) -> Any:
    """Parse an aggregate's protobuf: its message, or the `Violation` it has."""
    try:
        message = _messages.AggregatedRecord.FromString(body)
    except DecodeError:
        return Violation(
            Reason.KPL_PROTOBUF,
            "The record is marked as a KPL aggregate and its MD5 is right, but what it holds is "
            "not an AggregatedRecord.",
        )
    if not message.records:
        return Violation(Reason.KPL_NO_RECORDS, "The KPL aggregate holds no user records.")
    return message


def _broken(data: bytes) -> Violation:
    """Distinguish an aggregate that was cut short from one whose bytes were changed."""
    end = _end_of_fields(data)
    if end is None or end + DIGEST_BYTES > len(data):
        return Violation(
            Reason.KPL_TRUNCATED,
            f"The KPL aggregate ends after {len(data)} bytes, before its records or its MD5 do.",
        )
    return Violation(
        Reason.KPL_CHECKSUM, "The KPL aggregate's MD5 does not match its bytes: they were changed."
    )


def _end_of_fields(data: bytes) -> int | None:
    """Offset where the run of whole AggregatedRecord fields ends; None if one runs past the end.

    Reads on while a tag of the format stands there and the 16 bytes of the MD5 are still to
    come; what the digest's own bytes look like does not matter.
    """
    offset = len(KPL_MAGIC)
    while offset + DIGEST_BYTES < len(data) and data[offset] in _LENGTH_DELIMITED_TAGS:
        length, shift, offset = 0, 0, offset + 1
        while True:
            if offset >= len(data) or shift >= _WIDEST_VARINT:
                return None
            length |= (data[offset] & 0x7F) << shift
            shift, offset = shift + 7, offset + 1
            if data[offset - 1] < 0x80:  # noqa: PLR2004 - the continuation bit of a varint
                break
        offset += length
        if offset > len(data):
            return None
    return offset


def _digest(body: bytes) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).digest()
