"""What stands around a payload's text: taken off, or named; and the bytes of what is not text."""

from __future__ import annotations

import base64
import gzip
import json
import resource
import struct
import zlib
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import PLAIN, chunk_of

from pipeline.core.foreign import violation_of
from pipeline.core.inflating import Meter
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.magic import ZSTD_FRAME
from pipeline.core.payload import unpack_payloads
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation
from pipeline.core.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.records import Reject

DOCUMENT = b'{"id":1,"note":"caf\xc3\xa9"}'
UUID = bytes(range(16))
LIMIT = 2**20


def zstd(data: bytes) -> bytes:
    """Compress with zstd, by Arrow."""
    return bytes(pa.compress(data, "zstd", asbytes=True))


def glue(data: bytes) -> bytes:
    """Put Glue's header before a document."""
    return b"\3\0" + UUID + data


def glue_zlib(data: bytes) -> bytes:
    """Put Glue's header before a compressed document."""
    return b"\3\5" + UUID + zlib.compress(data)


def confluent(data: bytes) -> bytes:
    """Put Confluent's header before a document."""
    return b"\0" + struct.pack(">I", 7) + data


WRAPPERS = [gzip.compress, zlib.compress, zstd, glue, glue_zlib, confluent]
COMPRESSIONS = st.sampled_from([gzip.compress, zlib.compress, zstd, glue_zlib])


def opened(payload: bytes) -> tuple[list[bytes], list[Reject]]:
    """Open one user record; return its documents and its rejects."""
    ((chunk, rejects),) = unpack_payloads(chunk_of(payload), PLAIN)
    return chunk.payloads, rejects


def reject_of(payload: bytes) -> Reject:
    """Return the only reject of a payload without documents."""
    documents, (reject,) = opened(payload)
    assert not documents
    return reject


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_wrapper_is_taken_off(wrap: Callable[[bytes], bytes]) -> None:
    assert unpack(wrap(DOCUMENT), LIMIT) == DOCUMENT
    assert opened(wrap(DOCUMENT)) == ([DOCUMENT], [])
    assert opened(wrap(b"\xef\xbb\xbf" + DOCUMENT + b"\n" + DOCUMENT)) == ([DOCUMENT] * 2, [])


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", WRAPPERS)
def test_a_wrapper_may_stand_within_another(
    outer: Callable[[bytes], bytes], inner: Callable[[bytes], bytes]
) -> None:
    if outer in {glue, confluent} and inner not in {gzip.compress, zstd}:
        return  # these stand before JSON, or what cannot be told from chance by two bytes
    assert opened(outer(inner(DOCUMENT))) == ([DOCUMENT], [])


@given(
    st.lists(st.tuples(COMPRESSIONS, st.binary(max_size=50)), min_size=1, max_size=4),
    st.lists(st.sampled_from([b"", b"\n", b"\r\n", b"\0\0", b" "]), min_size=4, max_size=4),
)
def test_members_follow_each_other_with_white_space_between(
    members: list[tuple[Callable[[bytes], bytes], bytes]], between: list[bytes]
) -> None:
    """Law: the text is what the members hold, one after the other, whatever is between them."""
    # What they hold is no further wrapper.
    texts = [b"{" + text for _, text in members]
    packed = b"".join(
        compress(text) + space
        for (compress, _), text, space in zip(members, texts, between, strict=False)
    )
    assert unpack(packed, LIMIT) == b"".join(texts)


@pytest.mark.parametrize("space", [b"\n", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_white_space_may_stand_before_compressed_data(
    space: bytes, compress: Callable[[bytes], bytes]
) -> None:
    assert opened(space + compress(DOCUMENT)) == ([DOCUMENT], [])


@pytest.mark.parametrize("text", [b"x^2 + y^2 = z^2", b"x\x01 is no header", b"x^"])
def test_text_that_begins_like_zlib_is_not_corrupt(text: bytes) -> None:
    assert unpack(text, LIMIT) == text


@given(st.binary(min_size=1, max_size=80))
def test_no_byte_of_any_payload_is_lost(payload: bytes) -> None:
    """Law: a payload of which nothing became a document is kept, byte for byte."""
    documents, rejects = opened(payload)
    if not documents and len(rejects) == 1:
        text = unpack(payload, LIMIT)
        assert rejects[0].payload in {payload, text}
        assert rejects[0].payload == payload or text != payload


@pytest.mark.parametrize("ending", [b"\n", b" ", b"\t\r\n"])
def test_binary_data_keeps_what_looks_like_white_space(ending: bytes) -> None:
    payload = b"\n\x05hello\x12\x03abc\x99" + ending
    assert reject_of(payload).payload == payload


def test_zlib_that_ends_in_a_line_break_is_read_and_kept() -> None:
    """4 of 256 checksums end in white space."""
    packed = next(
        packed
        for number in range(10_000)
        if (packed := zlib.compress(b'{"id":%d}' % number))[-1:] in (b"\n", b"\r", b"\t", b" ")
    )
    assert opened(packed)[0]
    broken = packed[:-4] + b"\1\2\3" + packed[-1:]
    reject = reject_of(broken)
    assert (reject.violation.reason, reject.payload) == (Reason.CORRUPT_COMPRESSION, broken)


def protobuf(*fields: bytes) -> bytes:
    """Write fields of bytes, numbered from 1, as protobuf does."""
    return b"".join(
        bytes([number << 3 | 2, len(field)]) + field for number, field in enumerate(fields, 1)
    )


OTHERS = {
    Reason.PROTOBUF: [
        protobuf(b"7c9e6679-7425-40de-944b-e07fc1f90ae7", b"Lisboa"),
        protobuf(b"x" * 20) + b"\x10\x96\x01\x1d\0\0\x80?",
    ],
    Reason.MESSAGEPACK: [
        msgspec.msgpack.encode({"id": 1, "note": "\n"}),
        msgspec.msgpack.encode({"id": 10}),
        msgspec.msgpack.encode([{"id": number} for number in range(20)]),
        msgspec.msgpack.encode({"id": 1}) + msgspec.msgpack.encode({"id": 2}),
    ],
    Reason.AVRO_DATA: [b"Obj\x01\x04\x14avro.codec\x08null\0", b"\xc3\x01" + UUID + b"\2\4"],
    Reason.NESTED_AGGREGATE: [
        gzip.compress(aggregate([UserRecord("a", DOCUMENT), UserRecord("b", DOCUMENT)]), mtime=0),
        zlib.compress(aggregate([UserRecord("a", b'{"id":123}')])),
        aggregate([UserRecord("a", b'{"id":123}')]),
    ],
    Reason.REGISTRY_DATA: [
        confluent(b"\0\2\x06abc"),
        glue(b"\2\x06abc"),
        b"\3\0" + UUID + b"\x99",
        glue_zlib(b"\x02\x06abc\x00"),
    ],
    Reason.BASE64_TEXT: [
        base64.b64encode(DOCUMENT),
        base64.urlsafe_b64encode(b'{"note":"???>>>"}'),
        base64.encodebytes(json.dumps({"note": "x" * 200}).encode()),
        base64.b64encode(gzip.compress(DOCUMENT, mtime=0)),
        base64.b64encode(DOCUMENT).rstrip(b"="),
        base64.b64encode(b'{"id":1}') + b"\n" + base64.b64encode(b'{"id":21}') + b"\n",
    ],
    Reason.OTHER_FORMAT: [
        b"PAR1\0\0",
        b"BZh91AY&SY\0",
        b"\xfd7zXZ\0\0",
        b"\x04\x22\x4d\x18\0",
        b"PK\x03\x04\0",
        '{"id": 1}'.encode("utf-16"),
        '{"id": 1}'.encode("utf-16-le"),
        '{"id": 1}'.encode("utf-16-be"),
    ],
}


@pytest.mark.parametrize(
    ("reason", "payload"), [(reason, payload) for reason in OTHERS for payload in OTHERS[reason]]
)
def test_what_is_plainly_something_else_is_named_and_kept(reason: Reason, payload: bytes) -> None:
    reject = reject_of(payload)
    assert (reject.violation.reason, reject.payload) == (reason, payload)
    assert reject.violation.message.startswith("The payload is ")
    assert reject.violation.message.endswith("; have the producer send JSON.")


@pytest.mark.parametrize(
    "payload", [b"hello", b"id,note\n1,a\n", b"<a/>", b"2026-11-23 ERROR oops", b"\xff\xfa", b"'x'"]
)
def test_text_that_is_not_json_is_nothing_else_either(payload: bytes) -> None:
    assert violation_of(payload) is None
    assert opened(payload) == ([payload], []) or reject_of(payload).payload == payload


@given(st.binary(max_size=200))
def test_to_name_a_format_never_fails(payload: bytes) -> None:
    """Law: whatever the bytes, there is a reason or none."""
    violation = violation_of(payload)
    assert violation is None or violation.reason in OTHERS


def test_a_document_within_binary_data_is_no_row() -> None:
    """Bytes of a protobuf message may look like a document on a line of its own."""
    payload = b"\x0a\x01a\x1a\x0a" + b'{"id":123}' + b"\x0a\x00\x99"
    documents, rejects = opened(payload)
    assert not [document for document in documents if document == b'{"id":123}']
    assert payload in {*documents, *(reject.payload for reject in rejects)}


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstd])
def test_a_bomb_is_stopped_at_the_limit(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(b" " * 20_000_000)
    violation = unpack(packed, 1_000)
    assert not isinstance(violation, bytes)
    assert violation.reason is Reason.UNPACKED_TOO_LARGE


_RUN = (131_072 << 3 | 2).to_bytes(3, "little") + b"1"  # a block: so many times the same byte
BROKEN = {
    "zstd": ZSTD_FRAME + b"\0\x58" + 7 * _RUN + b"\7\0\0",
    "gzip": gzip.compress(bytes(2**20), mtime=0)[:-8] + bytes(8),
    "zlib": zlib.compress(bytes(2**20))[:-4] + bytes(4),
}


@pytest.mark.parametrize("form", BROKEN)
def test_what_breaks_counts_as_unpacked_all_the_same(form: str) -> None:
    """Else a stream record could hold any number of it, whatever its limit is; each is 1 MiB."""
    meter = Meter()
    violation = unpack(BROKEN[form], 2**26, meter)
    assert isinstance(violation, Violation)
    assert violation.reason is Reason.CORRUPT_COMPRESSION
    assert 2**17 <= meter.spent <= 3 * 2**20


def test_what_breaks_at_once_counts_as_little() -> None:
    """Else it would cost the payloads behind it their rows."""
    meter = Meter()
    for _ in range(100):
        unpack(gzip.compress(DOCUMENT, mtime=0)[:-8] + bytes(8), 2**26, meter)
    assert meter.spent < 2**20


def test_nothing_stays_in_memory_of_what_breaks() -> None:
    unpack(BROKEN["zstd"], 2**26)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):
        unpack(BROKEN["zstd"], 2**26)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 2**10
