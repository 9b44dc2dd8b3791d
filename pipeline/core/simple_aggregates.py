"""The fast way to take an aggregate apart: its user records, cut out of its bytes.

    1A 0A | 08 00 | 10 00 | 1A 04 | 7B 22 61 22       a record of 10 bytes: its key index,
            key     hash    data                      its hash key index, if any, and its data

Records differ in little but their data. What stands before it, the head, follows from the indices
and from the record's length, so it is made once, and taken off where a record begins with it. A
record that does not shows in the sum of the lengths, and the aggregate is left to protobuf's own
classes, the exact way (`kpl`). What this returns is what they would.
"""

import functools
from collections.abc import Sequence
from operator import add, itemgetter, sub
from typing import Any

import msgspec
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from pipeline.core.protobuf import varint, written

_SHORTEST = 4  # bytes of a record: a key index, and no data
_SHORTEST_DATA = 2  # bytes: a tag and a length
_ONE_BYTE = 0x80  # from here on a number takes two bytes
_LONGEST_VARINT = 6  # of what a stream record holds
_MOST_LENGTHS = 1_024
_MOST_INDICES = 2**14  # that two bytes can tell apart
_KEY_TAG, _HASH_KEY_TAG, _DATA_TAG = 0x08, 0x10, 0x1A
_second = itemgetter(1)
_TEXTS = {str}


def _outer_class() -> Any:
    """Make the class of an AggregatedRecord that leaves each record as the bytes it is written as.

    Described by hand, as a FileDescriptorProto (1 name, 4 message_type) with one DescriptorProto
    (1 name, 2 field): protobuf's own classes for these take 3 ms to import.
    """
    fields = (("partition_key_table", 1, 9), ("explicit_hash_key_table", 2, 9), ("records", 3, 12))
    described = written(1, b"Outer") + b"".join(
        # 1 name, 3 number, 4 label: repeated, 5 type: string or bytes
        written(2, written(1, name.encode()) + bytes((0x18, number, 0x20, 3, 0x28, kind)))
        for name, number, kind in fields
    )
    pool = DescriptorPool()
    pool.AddSerializedFile(written(1, b"outer.proto") + written(4, described))
    return GetMessageClass(pool.FindMessageTypeByName("Outer"))


_Outer = _outer_class()


def text_of(key: str | bytes) -> str:
    """Return a key as text: what is not UTF-8 comes as bytes, and only people read it."""
    return key if isinstance(key, str) else key.decode(errors="replace")


class SimpleAggregate(msgspec.Struct, frozen=True):
    """An aggregate's user records, where each is written as the format's usual writers do."""

    partition_keys: list[str]
    payloads: list[bytes]


def fast_parse(body: bytes) -> SimpleAggregate | None:
    """Cut an aggregate's records out of their bytes; None where one has anything unusual.

    Usual is: a key index, perhaps a hash key index that is easily guessed, the data, nothing else,
    and no number longer than it has to be. So is nearly every record there is, and a protobuf
    object for each costs as much as its MD5.
    """
    try:
        outer = _Outer.FromString(body)
    except DecodeError:
        return None
    records, keys = list(outer.records), list(outer.partition_key_table)
    if set(map(type, keys)) != _TEXTS:
        keys = list(map(text_of, keys))
    lengths = list(map(len, records))
    sizes = set(lengths)  # far fewer
    if min(sizes, default=0) < _SHORTEST or len(records) > _MOST_INDICES:
        return None
    index, tag = records[0][1:3]
    if index < min(len(keys), _ONE_BYTE) and index == records[-1][1] and tag == _DATA_TAG:
        payloads = _without_heads(records, lengths, sizes, _key_heads[index])
        if payloads is not None:
            return SimpleAggregate([keys[index]] * len(records), payloads)
    indices = _indices(records)
    if max(indices) >= min(len(keys), _MOST_INDICES):
        return None
    before = list(map(_key_heads.__getitem__, indices))
    hash_indices = _hash_indices(records, indices, len(outer.explicit_hash_key_table))
    if hash_indices is not None:
        before = list(map(add, before, map(_hash_key_heads.__getitem__, hash_indices)))
    payloads = _without_different_heads(records, lengths, before)
    if payloads is None:
        return None
    return SimpleAggregate(list(map(keys.__getitem__, indices)), payloads)


def _indices(records: list[bytes]) -> Sequence[int]:
    """Return the records' key indices; some other number for one of more than two bytes."""
    indices = list(map(_second, records))
    if max(indices) < _ONE_BYTE:
        return indices
    last = len(records) - 1
    if records[last].startswith(_key_heads[last]):
        return range(len(records))  # a key for each record, most likely
    return [
        low if low < _ONE_BYTE else low & 0x7F | record[2] << 7
        for low, record in zip(indices, records, strict=True)
    ]


def _hash_indices(
    records: list[bytes], indices: Sequence[int], hash_keys: int
) -> Sequence[int] | None:
    """Guess the records' hash key indices from the first and the last; None where they have none.

    Java's aggregator writes a hash key for each partition key, others one for each record.
    """
    if not hash_keys or records[0][2] != _HASH_KEY_TAG:
        return None
    last = len(records) - 1
    for guess in (indices, range(len(records))):
        head = _key_heads[indices[last]] + _hash_key_heads[guess[last]]
        if guess[last] < hash_keys and max(guess) < hash_keys and records[last].startswith(head):
            return guess
    return None


def _without_heads(
    records: list[bytes], lengths: list[int], sizes: set[int], before: bytes
) -> list[bytes] | None:
    """Return the data of records that all have this before it; None where one has not.

    `before` is a key index.
    """
    known = _heads_by_length(before)
    widths = {len(known[size]) for size in sizes}
    if 0 in widths:
        return None  # no usual record is so long
    heads = list(map(known.__getitem__, lengths))
    payloads = list(map(bytes.removeprefix, records, heads))
    in_heads = sum(map(len, heads)) if len(widths) > 1 else widths.pop() * len(heads)
    # A record that does not begin with its head was left as it is.
    return payloads if sum(map(len, payloads)) + in_heads == sum(lengths) else None


def _without_different_heads(
    records: list[bytes], lengths: list[int], before: list[bytes]
) -> list[bytes] | None:
    """Return the data of records that have these indices before it; None where one has not."""
    rooms = list(map(sub, lengths, map(len, before)))
    if min(rooms) < _SHORTEST_DATA:
        return None
    tags = list(map(_heads_by_length(b"").__getitem__, rooms))
    if not all(tags):
        return None
    heads = list(map(add, before, tags))
    payloads = list(map(bytes.removeprefix, records, heads))
    in_heads = sum(map(len, heads))
    return payloads if sum(map(len, payloads)) + in_heads == sum(lengths) else None


class _Heads(dict[int, bytes]):
    """What stands before the data in records that begin with `before`, by the record's length.

    Empty where there is no such record: 127 bytes of data need one byte for their length, and 128
    two, so that none is one byte longer than the former. A record is at most 10 MiB long, but only
    lengths that were met are kept, at most `_MOST_LENGTHS` of them.
    """

    def __init__(self, before: bytes) -> None:
        super().__init__()
        self._begin = before + bytes((_DATA_TAG,))

    def __missing__(self, length: int) -> bytes:
        if len(self) >= _MOST_LENGTHS:
            self.clear()
        head = self[length] = self._made(length)
        return head

    def _made(self, length: int) -> bytes:
        for width in range(1, _LONGEST_VARINT):
            data = length - len(self._begin) - width
            if data >= 0 and len(varint(data)) == width:
                return self._begin + varint(data)
        return b""


class _IndexHeads(dict[int, bytes]):
    """How an index is written behind a tag."""

    def __init__(self, tag: int) -> None:
        super().__init__()
        self._tag = bytes((tag,))

    def __missing__(self, index: int) -> bytes:
        head = self._tag + varint(index)
        if len(self) < _MOST_LENGTHS:
            self[index] = head
        return head


# A look-up takes a third of the time of a cached function.
_heads_by_length = functools.cache(_Heads)  # of the 128 indices of one byte, and of none
_key_heads, _hash_key_heads = _IndexHeads(_KEY_TAG), _IndexHeads(_HASH_KEY_TAG)
