"""KPL aggregates: the same as the reference reads and writes, and never an exception."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any

import pytest
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records
from hypothesis import example, given
from hypothesis import strategies as st
from support import PLAIN, batch_of, kinesis_event

from pipeline.core import kpl
from pipeline.core.kpl import UserRecord, aggregate, deaggregate, pack_aggregate
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.payload import unpack_payloads
from pipeline.core.protobuf import varint
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk
from pipeline.core.simple_aggregates import fast_parse

HASH_KEYS = st.integers(0, 2**128 - 1).map(str)
USER_RECORDS = st.builds(UserRecord, st.text(min_size=1, max_size=8), st.binary(max_size=40))
HASHED = st.builds(UserRecord, st.text(min_size=1, max_size=8), st.binary(max_size=40), HASH_KEYS)
MIXED = st.lists(USER_RECORDS | HASHED, min_size=1, max_size=8)


def user_records(chunk: Chunk) -> list[tuple[int, int, str | None, bytes]]:
    """List stream record, sub-sequence number, partition key and payload of each user record."""
    origins = chunk.provenance
    return [
        (origins.record[unit], origins.sub[unit], origins.partition_key[unit], payload)
        for unit, payload in zip(chunk.unit, chunk.payloads, strict=True)
    ]


def sealed(body: bytes) -> bytes:
    """Put magic and a right MD5 around any bytes."""
    return KPL_MAGIC + body + hashlib.md5(body).digest()


# ------------------------------------------------------------------------- the valid format


@given(MIXED)
def test_decoding_undoes_encoding(records: list[UserRecord]) -> None:
    chunk, rejects = deaggregate(batch_of(aggregate(records)))
    assert not rejects
    assert user_records(chunk) == [
        (0, number, record.partition_key, record.data) for number, record in enumerate(records)
    ]


@given(st.lists(HASHED, min_size=1, max_size=8) | st.lists(USER_RECORDS, min_size=1, max_size=8))
def test_the_reference_reads_what_we_write(records: list[UserRecord]) -> None:
    """All with explicit hash keys, or none: the reference gives the others entry 0."""
    read = deaggregate_records(kinesis_event([aggregate(records)])["Records"])
    assert [
        UserRecord(
            record["kinesis"]["partitionKey"],
            base64.b64decode(record["kinesis"]["data"]),
            record["kinesis"]["explicitHashKey"],
        )
        for record in read
    ] == records


def by_protobuf(records: list[UserRecord]) -> bytes:
    """Write an aggregate with protobuf's own serializer."""
    message = kpl._messages.AggregatedRecord()
    keys = list(dict.fromkeys(record.partition_key for record in records))
    hash_keys = list(
        dict.fromkeys(record.explicit_hash_key for record in records if record.explicit_hash_key)
    )
    message.partition_key_table.extend(keys)
    message.explicit_hash_key_table.extend(hash_keys)
    for record in records:
        entry = message.records.add()
        entry.partition_key_index = keys.index(record.partition_key)
        if record.explicit_hash_key is not None:
            entry.explicit_hash_key_index = hash_keys.index(record.explicit_hash_key)
        entry.data = record.data
    return sealed(message.SerializeToString())


@given(MIXED)
def test_what_we_write_is_what_protobuf_writes(records: list[UserRecord]) -> None:
    assert aggregate(records) == by_protobuf(records)


@pytest.mark.parametrize("length", [1, 127, 128, 129, 16_383, 16_384, 2**20])
def test_lengths_of_every_size_are_written_as_protobuf_writes_them(length: int) -> None:
    records = [UserRecord("k" * length, b"x" * length, "7"), UserRecord("k", b"x" * (length - 1))]
    assert aggregate(records) == by_protobuf(records)


def test_indices_of_every_size_are_written_as_protobuf_writes_them() -> None:
    records = [UserRecord(f"key {number}", b"", str(number)) for number in range(20_000)]
    assert aggregate(records[:300]) == by_protobuf(records[:300])
    chunk, rejects = deaggregate(batch_of(aggregate(records)))
    assert not rejects
    assert chunk.provenance.partition_key == [record.partition_key for record in records]


@given(MIXED, st.integers(0, 300), st.integers(1, 8))
def test_an_aggregate_takes_records_as_far_as_its_limits_go(
    records: list[UserRecord], limit: int, most: int
) -> None:
    given_records = [
        (record.partition_key, record.data, record.explicit_hash_key) for record in records
    ]
    count, data = pack_aggregate(given_records, limit, most)
    sizes = [len(aggregate(records[:number])) for number in range(1, len(records) + 1)]
    assert count == min(most, sum(size <= limit for size in sizes))
    assert data == aggregate(records[:count])


@given(MIXED)
def test_we_read_what_the_reference_writes(records: list[UserRecord]) -> None:
    aggregator = RecordAggregator()
    for record in records:
        aggregator.add_user_record(record.partition_key, record.data, record.explicit_hash_key)
    _, _, data = aggregator.clear_and_get().get_contents()
    chunk, rejects = deaggregate(batch_of(data))
    assert not rejects
    assert [(key, payload) for _, _, key, payload in user_records(chunk)] == [
        (record.partition_key, record.data) for record in records
    ]


# What begins with the magic and is no aggregate is a reject of ours, and a document of theirs.
LONE = st.binary(max_size=40).filter(lambda data: not data.startswith(b"\xf3\x89\x9a\xc2"))


@given(st.lists(LONE | MIXED, min_size=1, max_size=6))
def test_we_read_a_batch_as_the_reference_does(records: list[bytes | list[UserRecord]]) -> None:
    """Lone records and aggregates side by side, in the order of the stream."""
    raw = [record if isinstance(record, bytes) else aggregate(record) for record in records]
    chunk, rejects = deaggregate(batch_of(*raw))
    assert not rejects
    reference = deaggregate_records(kinesis_event(raw)["Records"])
    assert [(sub, key, payload) for _, sub, key, payload in user_records(chunk)] == [
        (
            record["kinesis"].get("subSequenceNumber", 0),
            record["kinesis"]["partitionKey"],
            base64.b64decode(record["kinesis"]["data"]),
        )
        for record in reference
    ]


# ------------------------------------------------------------------------- what is broken

FEW = [UserRecord("key", b'{"number":%d}' % number) for number in range(3)]


def only_reject(data: bytes) -> Any:
    """Return the one reject that a stream record becomes, having checked that it keeps it."""
    chunk, (reject,) = deaggregate(batch_of(data))
    assert not len(chunk)
    assert (reject.payload, reject.stage) == (data, RejectStage.AGGREGATE)
    return reject


def test_a_changed_byte_is_told_by_the_checksum() -> None:
    """Of the bytes that frame no field, which could look like a cut as well."""
    whole = aggregate(FEW)
    for index in [whole.index(b"number"), whole.index(b"key"), len(whole) - 1, len(whole) - 16]:
        changed = bytearray(whole)
        changed[index] ^= 1
        assert only_reject(bytes(changed)).violation.reason is Reason.KPL_CHECKSUM


@given(MIXED)
def test_an_aggregate_cut_short_anywhere_is_told_as_such(records: list[UserRecord]) -> None:
    """Only where the cut leaves 16 bytes after a whole field can a cut look like a change."""
    whole = aggregate(records)
    boundaries = {len(KPL_MAGIC)} | {len(KPL_MAGIC) + end for end in field_ends(whole[4:-16])}
    for length in range(len(KPL_MAGIC), len(whole)):
        reason = only_reject(whole[:length]).violation.reason
        if length - 16 in boundaries:
            assert reason in {Reason.KPL_TRUNCATED, Reason.KPL_CHECKSUM}
        else:
            assert reason is Reason.KPL_TRUNCATED


def field_ends(body: bytes) -> list[int]:
    """Where the length-delimited fields of a protobuf message end."""
    ends, offset = list[int](), 0
    while offset < len(body):
        length, shift, offset = 0, 0, offset + 1
        while True:
            length |= (body[offset] & 0x7F) << shift
            shift, offset = shift + 7, offset + 1
            if body[offset - 1] < 0x80:
                break
        offset += length
        ends.append(offset)
    return ends


@pytest.mark.parametrize("body", [b"\xff", b"\x1a\x05abc", b"\x0b"])
def test_a_sealed_body_that_is_no_aggregate_is_told_as_such(body: bytes) -> None:
    """The MD5 is right; what it seals is no protobuf."""
    assert only_reject(sealed(body)).violation.reason is Reason.KPL_PROTOBUF


@pytest.mark.parametrize("body", [b"", b"\x0a\x01a"])
def test_an_aggregate_of_no_records_is_a_reject(body: bytes) -> None:
    """The reference lets it vanish."""
    assert only_reject(sealed(body)).violation.reason is Reason.KPL_NO_RECORDS


def record_field(key_index: int, data: bytes, hash_index: int | None = None) -> bytes:
    """Encode one Record of the format by hand."""
    hashed = b"" if hash_index is None else bytes([0x10, hash_index])
    inner = bytes([0x08, key_index]) + hashed + bytes([0x1A, len(data)]) + data
    return bytes([0x1A, len(inner)]) + inner


@pytest.mark.parametrize("bad", [record_field(1, b"bad"), record_field(0, b"bad", 0)])
def test_a_bad_key_index_costs_its_own_record_only(bad: bytes) -> None:
    """The reference prints the payload and loses the rest."""
    body = b"\x0a\x01k" + record_field(0, b"one") + bad + record_field(0, b"two")
    chunk, (reject,) = deaggregate(batch_of(sealed(body)))
    assert user_records(chunk) == [(0, 0, "k", b"one"), (0, 2, "k", b"two")]
    assert (reject.payload, reject.violation.reason) == (b"bad", Reason.KPL_KEY_INDEX)
    assert reject.provenance.sub[reject.unit] == 1


def test_a_partition_key_that_is_not_utf8_is_no_text_and_no_exception() -> None:
    """Keys are text or absent, whatever stands in the aggregate."""
    chunk, _ = deaggregate(batch_of(sealed(b"\x0a\x01\xff" + record_field(0, b"one"))))
    assert all(key is None or isinstance(key, str) for key in chunk.provenance.partition_key)


# ------------------------------------------------------------------------- anything at all


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Change, drop or insert a few bytes."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(data)))
        end = draw(st.integers(index, min(index + 4, len(data))))
        data[index:end] = draw(st.binary(max_size=4))
    return bytes(data)


AGGREGATES = MIXED.map(aggregate)


@st.composite
def odd_bodies(draw: st.DrawFn) -> bytes:
    """Write records of the format in ways that the usual writers do not, and broken ones."""
    keys = draw(st.integers(1, 200))
    table = [b"\x0a\x01" + bytes((97 + number % 26,)) for number in range(keys)]
    table += [b"\x12\x011"] * draw(st.integers(0, 5))
    return b"".join(table) + b"".join(draw(st.lists(odd_record(), min_size=1, max_size=4)))


@st.composite
def odd_record(draw: st.DrawFn) -> bytes:
    fields = (
        st.integers(0, 300).map(lambda number: b"\x08" + varint(number)),
        st.just(b"\x08\x80\x00"),  # a zero that is longer than it has to be
        st.integers(0, 3).map(lambda number: b"\x10" + varint(number)),
        st.binary(max_size=140).map(lambda data: b"\x1a" + varint(len(data)) + data),
        st.just(b"\x1a\x81\x00x"),
        st.just(b"\x22\x03\x0a\x01t"),  # a tag
        st.binary(max_size=3),
    )
    usual = st.tuples(fields[0], fields[3])
    with_hash_key = st.tuples(fields[0], fields[2], fields[3])
    inner = b"".join(draw(st.one_of(usual, with_hash_key, st.lists(st.one_of(fields), max_size=3))))
    return b"\x1a" + varint(len(inner)) + inner


def by_reference(body: bytes) -> tuple[list[str], list[bytes]]:
    """Read an aggregate with protobuf's own classes; raises where it is none."""
    message = kpl._messages.AggregatedRecord.FromString(body)
    # Protobuf returns a key that is not UTF-8 as bytes; keys here are text whatever they hold.
    table = message.partition_key_table
    keys = [key if isinstance(key, str) else key.decode(errors="replace") for key in table]
    indices = [record.partition_key_index for record in message.records]
    hash_keys = len(message.explicit_hash_key_table)
    assert all(
        record.explicit_hash_key_index < hash_keys
        for record in message.records
        if record.HasField("explicit_hash_key_index")
    )
    return [keys[index] for index in indices], [record.data for record in message.records]


@given(odd_bodies() | mutated(MIXED.map(lambda records: aggregate(records)[4:-16])))
@example(b"\n\x05\x08\x00\x1a\x01\x80\x1a\x04\x08\x00\x1a\x00")  # a key that is not UTF-8
def test_what_is_cut_out_without_protobuf_is_what_protobuf_reads(body: bytes) -> None:
    usual = fast_parse(body)
    if usual is not None:
        assert (usual.partition_keys, usual.payloads) == by_reference(body)


@pytest.mark.parametrize("length", [*range(4, 300), *range(16_380, 16_400), 2**21 + 6])
def test_a_record_with_more_than_data_is_not_cut_out_whatever_its_length(length: int) -> None:
    """Whose bytes are as many as a usual record's may be, or just as many as none's can be."""
    for extra in (b"\x10\x00", b"\x10\x01", b"\x22\x00", b"\x10\x00\x10\x00"):
        for width in (1, 2, 3, 4):
            size = length - 3 - width - len(extra)
            if size < 0 or len(varint(size)) != width:
                continue
            record = b"\x08\x00\x1a" + varint(size) + bytes(size) + extra
            body = b"\x0a\x01k" + b"\x1a" + varint(len(record)) + record
            assert len(record) == length
            assert fast_parse(body) is None


@given(st.lists(USER_RECORDS, min_size=1, max_size=8))
def test_usual_records_are_cut_out(records: list[UserRecord]) -> None:
    assert fast_parse(aggregate(records)[4:-16]) is not None


def keys_of(style: str, number: int) -> tuple[str, str | None]:
    """Return the partition key and the explicit hash key of a record, as a style of writer does."""
    keys, _, hash_keys = style.partition(" ")
    key = {"one": 0, "each": number, "few": number % 7}[keys]
    hash_key = {"hash": str(key * 11), "random": str(number * 7), "": None}[hash_keys]
    return f"k{key}", hash_key


@pytest.mark.parametrize(
    "style",
    ["one", "each", "few", "one hash", "each hash", "few hash", "one random", "each random",
     "few random"],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 2, 3, 127, 128, 129, 400])
def test_what_usual_writers_write_is_cut_out(style: str, count: int) -> None:
    """One key or many, with a hash key for each key (as Java's aggregator does) or each record."""
    records = []
    for number in range(count):
        key, hash_key = keys_of(style, number)
        records.append(UserRecord(key, b"%d" % number * (number % 90), hash_key))
    body = aggregate(records)[4:-16]
    usual = fast_parse(body)
    assert usual is not None
    assert (usual.partition_keys, usual.payloads) == by_reference(body)


@pytest.mark.parametrize("tag", [b"\x08", b"\x10"])
def test_indices_of_three_bytes_are_left_to_protobuf(tag: bytes) -> None:
    """A record that begins otherwise than with its index is none, whatever stands there."""
    count = 2**14 + 2
    body = b"".join(b"\x0a\x05%05d\x12\x05%05d" % (n, n) for n in range(count))
    for n in range(count):
        index = varint(n)
        key = b"\0" if tag == b"\x08" and n >= 2**14 else b"\x08" + index
        hash_key = b"\0" if tag == b"\x10" and n >= 2**14 else b"\x10" + index
        record = key + hash_key + b"\x1a\x01x"
        body += b"\x1a" + varint(len(record)) + record
    assert fast_parse(body) is None


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 16_383, 16_384, 2**20, 2**21])
def test_records_of_every_length_are_cut_out(length: int) -> None:
    data = bytes(length)
    usual = fast_parse(aggregate([UserRecord("k", data), UserRecord("l", b"x")])[4:-16])
    assert usual is not None
    assert usual.payloads == [data, b"x"]


ZSTD = bytes.fromhex("28b52ffd")
ANYTHING = st.one_of(
    st.binary(),
    mutated(AGGREGATES),
    mutated(MIXED.map(lambda records: aggregate(records)[4:-16])).map(sealed),
    st.binary().map(sealed),
    st.binary().map(lambda data: KPL_MAGIC + data),
    st.binary().map(lambda data: ZSTD + data),
    mutated(st.binary().map(gzip.compress)),
)


@given(st.lists(ANYTHING, min_size=1, max_size=4))
def test_any_bytes_give_records_or_rejects(records: list[bytes]) -> None:
    """Never an exception, and every stream record is accounted for."""
    chunk, rejects = deaggregate(batch_of(*records))
    seen = {reject.provenance.record[reject.unit] for reject in rejects}
    for documents, refused in unpack_payloads(chunk, PLAIN):
        seen |= {documents.provenance.record[unit] for unit in documents.unit}
        seen |= {reject.provenance.record[reject.unit] for reject in refused}
    assert seen == set(range(len(records)))


@given(
    st.lists(ANYTHING | AGGREGATES | odd_bodies().map(sealed), min_size=1, max_size=4)
    | st.lists(LONE, min_size=1, max_size=4)
)
def test_the_fast_path_deaggregates_as_the_exact_one_does(records: list[bytes]) -> None:
    batch = batch_of(*records)
    assert deaggregate(batch, fast=True) == deaggregate(batch, fast=False)
