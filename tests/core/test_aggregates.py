"""The second count of an aggregate's user records: as protobuf and aws_kinesis_agg count them."""

from __future__ import annotations

import hashlib

import pytest
from aws_kinesis_agg.deaggregator import deaggregate_records
from hypothesis import example, given
from hypothesis import strategies as st
from support import batch_of, kinesis_event

from pipeline.core import kpl
from pipeline.core.aggregates import count_user_records
from pipeline.core.magic import KPL_MAGIC

NUMBERS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 2**21])
KEYS = 3


def varint(number: int, padding: int = 0) -> bytes:
    """Write a number as protobuf does, or longer than it has to be, by so many bytes."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    for _ in range(padding):
        written[-1] |= 0x80
        written.append(0)
    return bytes(written)


@st.composite
def varints(draw: st.DrawFn, number: int) -> bytes:
    return varint(number, draw(st.sampled_from([0, 0, 0, 1, 2])))


@st.composite
def fields(draw: st.DrawFn, number: int, content: bytes) -> bytes:
    """Write a field of bytes; its tag and its length may be longer than they have to be."""
    return draw(varints(number << 3 | 2)) + draw(varints(len(content))) + content


@st.composite
def unknown_fields(draw: st.DrawFn) -> bytes:
    """Write a field that the format does not have, of any wire type."""
    number = draw(st.sampled_from([5, 15, 16, 2_047, 2_048, 2**29 - 1]))
    content = {
        0: draw(NUMBERS.flatmap(lambda value: st.just(varint(value)))),
        1: draw(st.binary(min_size=8, max_size=8)),
        2: draw(st.binary(max_size=200).map(lambda data: varint(len(data)) + data)),
        5: draw(st.binary(min_size=4, max_size=4)),
    }
    inside = b"".join(varint(4 << 3 | kind) + content[kind] for kind in sorted(content))
    group = varint(7 << 3 | 3) + b"\x1a\x01x" + varint(7 << 3 | 4)  # a 3 in it is not a record
    content[3] = inside + group + varint(number << 3 | 4)
    wire_type = draw(st.sampled_from(sorted(content)))
    return varint(number << 3 | wire_type) + content[wire_type]


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Write one user record, its fields in any order."""
    parts = [
        b"\x08" + draw(varints(draw(st.integers(0, KEYS - 1)))),
        draw(fields(3, draw(st.binary(max_size=300)))),
    ]
    if draw(st.booleans()):
        parts.append(b"\x10" + draw(varints(draw(st.integers(0, KEYS - 1)))))
    tag = b"\x0a\x01t" + draw(st.sampled_from([b"", b"\x12\x01v"]))
    parts += [draw(fields(4, tag)) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        parts.append(draw(unknown_fields()))
    return draw(fields(3, b"".join(draw(st.permutations(parts)))))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Write an AggregatedRecord, its tables before, between or behind its records."""
    parts = draw(st.lists(records(), max_size=6))
    for number in (1, 2):
        parts += [
            draw(fields(number, draw(st.sampled_from([b"k", b"7" * 200])))) for _ in range(KEYS)
        ]
    parts += draw(st.lists(unknown_fields(), max_size=2))
    return b"".join(draw(st.permutations(parts)) if draw(st.booleans()) else parts)


def sealed(body: bytes) -> bytes:
    """Put magic and MD5 around a body."""
    return KPL_MAGIC + body + hashlib.md5(body).digest()


@given(bodies())
@example(b"")
def test_user_records_are_counted_as_others_count_them(body: bytes) -> None:
    data = sealed(body)
    count = count_user_records(data)
    assert count == len(kpl._messages.AggregatedRecord.FromString(body).records)
    chunk, rejects = kpl.deaggregate(batch_of(data))
    if count == 0:
        assert len(rejects) == 1
        return
    assert count == len(chunk) + len(rejects)
    assert count == len(deaggregate_records(kinesis_event([data])["Records"]))


@given(st.integers(1, 20_000).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, 4))))
def test_the_count_does_not_depend_on_what_was_counted_before(given_sizes: tuple[int, int]) -> None:
    """It remembers how long records are that begin alike."""
    size, count = given_sizes
    record = b"\x08\x00" + b"\x1a" + varint(size) + bytes(size)
    body = b"\x0a\x01k" + (b"\x1a" + varint(len(record)) + record) * count
    assert count_user_records(sealed(body)) == count
    assert count_user_records(sealed(body)) == count


def test_what_is_remembered_of_a_record_is_not_used_for_another_spelling_of_its_tag() -> None:
    """A tag may be spelled in more bytes than it needs, and its length is elsewhere then."""
    tag = b"\x9a\x80\x00"
    for content in (bytes(200), b"", bytes(300)):
        record = b"\x08\x00\x1a" + varint(len(content)) + content
        assert count_user_records(sealed((tag + varint(len(record)) + record) * 2)) == 2


@pytest.mark.parametrize("body", [b"\x23\x2c", b"\x23\x08\x01", b"\x24", b"\x23\x26\x24"])
def test_a_group_that_does_not_end_has_no_count(body: bytes) -> None:
    assert count_user_records(sealed(body)) is None


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_what_is_not_a_run_of_fields_has_no_count(cut: int) -> None:
    body = b"\x0a\x01k" + b"\x1a\x07\x08\x00\x1a\x03abc"
    assert count_user_records(sealed(body)) == 1
    assert count_user_records(sealed(body[:-cut])) is None
