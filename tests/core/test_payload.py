"""User records to documents: compression, lines, and the bounds of one record."""

from __future__ import annotations

import gzip
import json
import re
import weakref
from array import array
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import PLAIN, chunk_of

from pipeline.core import payload as payload_module
from pipeline.core.documents import jsonpath as paths
from pipeline.core.inflating import Meter
from pipeline.core.integers import INT32, INT64, all_but, mask_of, up_to
from pipeline.core.jsontext import deeper_than, is_framed, unframed
from pipeline.core.parts import Part
from pipeline.core.payload import check_documents, unpack_payloads
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Violation
from pipeline.core.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    Compress = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    """Compress with zstd, by Arrow."""
    compressed: bytes = pa.compress(data, "zstd", asbytes=True)
    return compressed


def plain(data: bytes) -> bytes:
    """Leave a payload as it is."""
    return data


CODECS = st.sampled_from([plain, gzip.compress, zstd])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
DOCUMENTS = VALUES.filter(lambda value: not isinstance(value, list))


def only_part(payload: bytes, limits: Limits = PLAIN) -> Part:
    """Open one user record."""
    (part,) = unpack_payloads(chunk_of(payload), limits)
    return part


def documents_in(payload: bytes) -> list[bytes]:
    """Return the documents of one user record, having checked that they are numbered."""
    chunk, rejects = only_part(payload)
    assert not rejects
    assert [chunk.provenance.document[unit] for unit in chunk.unit] == list(range(len(chunk)))
    return chunk.payloads


def reason_of(payload: bytes, limits: Limits = PLAIN) -> Reason:
    """Return why one user record is a reject, having checked that it is kept as it came."""
    chunk, (reject,) = only_part(payload, limits)
    assert not len(chunk)
    assert reject.payload == payload
    return reject.violation.reason


@given(DOCUMENTS, st.sampled_from([None, 2]), CODECS)
def test_a_payload_that_is_one_json_text_is_one_document(
    value: object, indent: int | None, compress: Compress
) -> None:
    """Pretty-printed or not."""
    text = json.dumps(value, indent=indent).encode()
    assert documents_in(compress(b" \n" + text + b"\r\n")) == [text]


@given(
    st.lists(DOCUMENTS, min_size=2, max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n\t\n"]),
    CODECS,
)
def test_several_lines_are_several_documents(
    values: list[object], separator: bytes, compress: Compress
) -> None:
    """Blank lines count for nothing."""
    lines = [json.dumps(value).encode() for value in values]
    assert documents_in(compress(separator.join(lines) + separator)) == lines


def test_a_line_that_is_no_json_stands_beside_those_that_are() -> None:
    assert documents_in(b'{"a":1}\nnonsense\n{"b":2}') == [b'{"a":1}', b"nonsense", b'{"b":2}']


def test_lines_none_of_which_is_json_stay_together() -> None:
    """They are one broken document, not many."""
    text = b'{"a":\n"cut\nshort'
    assert documents_in(text) == [text]


def test_a_pretty_printed_document_too_deep_to_be_read_stays_together() -> None:
    """How deep a reader can follow is no property of the document."""
    text = b'{"a":\n' * 5_000 + b"1" + b"\n}" * 5_000
    assert reason_of(text) is Reason.TOO_DEEP


@given(st.lists(DOCUMENTS, min_size=1, max_size=3), st.lists(DOCUMENTS, min_size=1, max_size=3))
def test_members_and_frames_follow_each_other(first: list[object], second: list[object]) -> None:
    """gzip and zstd files may be put together with `cat`."""
    lines = [json.dumps(value).encode() for value in [*first, *second]]
    halves = [
        b"".join(line + b"\n" for line in part)
        for part in (lines[: len(first)], lines[len(first) :])
    ]
    for compress in (gzip.compress, zstd):
        assert documents_in(b"".join(map(compress, halves))) == lines


def test_padding_after_gzip_is_allowed() -> None:
    assert documents_in(gzip.compress(b"{}") + b"\0" * 7) == [b"{}"]


@pytest.mark.parametrize(
    "payload", [b"", b" \r\n\t", gzip.compress(b"", mtime=0), zstd(b""), zstd(b"\n")]
)
def test_a_record_without_a_document_is_a_reject(payload: bytes) -> None:
    assert reason_of(payload) is Reason.EMPTY_RECORD


@pytest.mark.parametrize("payload", [b"[", b" [\n", b"[]]", b"[][", b"]"])
def test_an_array_that_does_not_close_is_a_broken_document(payload: bytes) -> None:
    chunk, rejects = only_part(payload)
    assert (chunk.payloads, rejects) == ([payload], [])


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_what_is_cut_short_anywhere_is_corrupt(compress: Compress) -> None:
    """No length of it passes for a whole one."""
    whole = compress(json.dumps({"text": "abcdefgh" * 20, "numbers": list(range(40))}).encode())
    for length in range(4, len(whole)):
        assert reason_of(whole[:length]) is Reason.CORRUPT_COMPRESSION


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_what_goes_on_with_something_else_is_corrupt(compress: Compress) -> None:
    assert reason_of(compress(b"{}") + b"more") is Reason.CORRUPT_COMPRESSION


@given(st.data())
def test_a_gzip_member_with_a_changed_byte_is_never_read_otherwise(data: st.DataObject) -> None:
    """The document as it was, or a reject with the record's bytes."""
    document = b'{"text":"abcdefgh","numbers":[1,2,3,4,5,6]}'
    changed = bytearray(gzip.compress(document, mtime=0))
    index = data.draw(st.integers(3, len(changed) - 1))
    changed[index] ^= data.draw(st.integers(1, 255))
    chunk, rejects = only_part(bytes(changed))
    if rejects:
        assert [reject.payload for reject in rejects] == [bytes(changed)]
    else:
        assert chunk.payloads == [document]


@pytest.mark.parametrize("compress", [plain, gzip.compress, zstd])
def test_the_unpacked_size_is_bounded(compress: Compress) -> None:
    """A bomb is stopped at the bound; exactly the bound is fine."""
    limits = Limits(unpacked_bytes=1_000)
    fits, over = (b'"%s"' % (b"x" * size) for size in (998, 999))
    assert only_part(compress(fits), limits)[0].payloads == [fits]
    assert reason_of(compress(over), limits) is Reason.UNPACKED_TOO_LARGE
    assert reason_of(compress(b"x" * 50_000_000), limits) is Reason.UNPACKED_TOO_LARGE


def test_the_number_of_documents_is_bounded() -> None:
    limits = Limits(documents=3)
    assert len(only_part(b"{}\n" * 3, limits)[0]) == 3
    assert reason_of(b"{}\n" * 4, limits) is Reason.TOO_MANY_DOCUMENTS


def test_the_size_of_a_document_is_bounded() -> None:
    """Its neighbours in the same record do not suffer."""
    chunk, (reject,) = only_part(b'{}\n{"a":"long"}\n{}', Limits(document_bytes=5))
    assert chunk.payloads == [b"{}", b"{}"]
    assert (reject.payload, reject.violation.reason) == (b'{"a":"long"}', Reason.DOCUMENT_TOO_LARGE)
    assert reject.provenance.document[reject.unit] == 1


def test_the_depth_of_a_document_is_bounded() -> None:
    limits = Limits(depth=3)
    assert documents_in(b'{"":[[[]]]}') == [b'{"":[[[]]]}']
    assert only_part(b'{"":[["]]]]["]]}', limits)[0].payloads == [b'{"":[["]]]]["]]}']
    assert reason_of(b'{"":[[[]]]}', limits) is Reason.TOO_DEEP
    assert reason_of(b"[" * 100_000) is Reason.TOO_DEEP
    assert reason_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000) is Reason.TOO_DEEP


@pytest.mark.parametrize("text", [b"\xff", b'{"a":"\xc3"}', b'"\xed\xa0\x80"', b'"\xf8\x88\x80"'])
def test_a_document_that_is_not_utf8_is_a_reject(text: bytes) -> None:
    assert reason_of(text) is Reason.NOT_UTF8


# ---------------------------------------------------------------------------- parts of a batch


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(1, 40), st.integers(1, 9))
def test_parts_hold_all_documents_in_order_and_end_between_records(
    lines: list[int], part_bytes: int, part_documents: int
) -> None:
    """Each part is within its bounds, and each record in one part unless it alone is more."""
    payloads = [b'{"a":1}\n' * count for count in lines]
    limits = Limits(part_bytes=part_bytes, part_documents=part_documents)
    parts = list(unpack_payloads(chunk_of(*payloads), limits))
    for part, rejects in parts:
        assert len(part) + len(rejects) <= part_documents
        assert sum(map(len, part.payloads)) <= max(part_bytes, len(b'{"a":1}'))
    found = [
        (part.provenance.record[unit], part.provenance.document[unit])
        for part, _ in parts
        for unit in part.unit
    ]
    assert found == [
        (record, number) for record, count in enumerate(lines) for number in range(count)
    ]
    assert sum(len(rejects) for _, rejects in parts) == lines.count(0)
    homes = [{part.provenance.record[unit] for unit in part.unit} for part, _ in parts]
    cut = {record for one, other in pairwise(homes) for record in one & other}
    assert all(
        lines[record] > part_documents or lines[record] * len(b'{"a":1}') > part_bytes
        for record in cut
    )


def test_there_is_always_a_part() -> None:
    """So that what did not open before it is delivered, too."""
    assert len(list(unpack_payloads(chunk_of(), PLAIN))) == 1


@pytest.mark.parametrize("magic", [0x50, 0x5A, 0x5F])
def test_zstd_may_begin_with_a_skippable_frame(magic: int) -> None:
    frame = bytes(pa.Codec("zstd").compress(b'{"n": 1}', asbytes=True))
    skippable = bytes([magic]) + b"\x2a\x4d\x18\x04\0\0\0skip"
    ((documents, rejects),) = unpack_payloads(chunk_of(skippable + frame + skippable), PLAIN)
    assert (documents.payloads, rejects) == ([b'{"n": 1}'], [])


def test_documents_that_come_again_are_held_against_the_bounds_again() -> None:
    """As a dead letter that was no UTF-8 does: no reader of Parquet would open what it became."""
    again = chunk_of(b'{"a":"\xff"}', b"{}", b'{"a":' + b"[" * 300 + b"]" * 300 + b"}")
    ((good, rejects),) = check_documents(again, PLAIN)
    assert good.payloads == [b"{}"]
    assert [(reject.unit, reject.stage, reject.violation.reason) for reject in rejects] == [
        (0, RejectStage.DOCUMENT, Reason.NOT_UTF8),
        (2, RejectStage.DOCUMENT, Reason.TOO_DEEP),
    ]


def test_keys_as_long_as_documents_are_not_kept_in_memory() -> None:
    before = paths._kept_path_segment.cache_info().currsize
    assert paths.path_segment("k" * 1_000) == "." + "k" * 1_000
    assert paths._kept_path_segment.cache_info().currsize == before


# ------------------------------------------------------------------- all payloads at once, or one

ODD_PAYLOADS = st.sampled_from([
    b"1", b'"a"', b"true", b"-0.5", b"00", b'{"a":1}', b' {"a":1}', b'{"a":1}\n', b'{"a":1}\n{"b":2}\n\n', b'{\n"a":1}', b"", b" \n", b"[1]",
    b"{", b"{a}", b'{"a":"\xff"}', '{"a":"é"}'.encode(), b'{"a":' + b"[" * 9 + b"]" * 9 + b"}",
    b'{"a":"' + b"x" * 40 + b'"}', gzip.compress(b'{"a":1}\n{"b":2}'), gzip.compress(b"{")[:-1],
    zstd(b'{"a":1}'), b"\x1f\x8b", bytes.fromhex("28b52ffd"), b'{"a":1}\0{"b":2}',
])  # fmt: skip
ODD_LIMITS = st.builds(
    Limits,
    unpacked_bytes=st.sampled_from([20, 2**20]),
    documents=st.sampled_from([1, 10]),
    document_bytes=st.sampled_from([20, 2**20]),
    depth=st.sampled_from([2, 256]),
    part_bytes=st.sampled_from([1, 30, 2**20]),
    part_documents=st.sampled_from([1, 3, 100]),
    record_bytes=st.sampled_from([10, 50, 2**20]),
    record_documents=st.sampled_from([1, 3, 100]),
)


# Most are plain, and some odd ones are among them, alone or together.
FEW_ODD = st.lists(
    st.lists(st.just(b'{"a":1}') | st.just(b"1"), max_size=5) | st.lists(ODD_PAYLOADS, max_size=2),
    max_size=5,
).map(lambda lists: list(chain.from_iterable(lists)))


@given(
    st.lists(ODD_PAYLOADS, max_size=6) | st.lists(st.just(b'{"a":1}'), max_size=6) | FEW_ODD,
    ODD_LIMITS,
    st.sampled_from([1, 2, 64]),
)
def test_the_fast_path_unpacks_as_the_exact_one_does(
    payloads: list[bytes], limits: Limits, run: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payload_module, "_RUN", run)
        patch.setattr(payload_module, "_PLAIN_RUN", 2 * run)
        fast, exact = (
            [
                (part.provenance, part.unit, part.payloads, rejects)
                for part, rejects in unpack_payloads(chunk_of(*payloads), limits, fast=fast)
            ]
            for fast in (True, False)
        )
    assert fast == exact


@given(st.lists(st.sampled_from([b"", b"{", b"}", b"{}", b"{1}", b" {}", b"{} ", b"1"])))
def test_those_that_are_not_framed_are_found_at_once(texts: list[bytes]) -> None:
    odd = unframed(texts)
    assert odd == [index for index, text in enumerate(texts) if not is_framed(text)]
    others = all_but(odd, len(texts))
    assert sorted([*odd, *others]) == list(range(len(texts)))
    assert mask_of(odd, len(texts)).to_pylist() == [index in odd for index in range(len(texts))]


# --------------------------------------------------------------- what a stream record may hold


def aggregated(*payloads: bytes) -> Chunk:
    """Return the chunk of one stream record's user records."""
    chunk = chunk_of(*payloads)
    provenance = chunk.provenance
    provenance.record[:], provenance.sub[:] = provenance.document, up_to(len(payloads), INT64)
    return chunk


def test_beyond_what_a_stream_record_may_unpack_to_a_payload_is_kept_packed() -> None:
    """The plain ones among them are read on: their bytes are those of the record."""
    packed = [gzip.compress(b'{"a":%d}' % number) for number in range(4)]
    limits = Limits(record_bytes=16)
    payloads = [packed[0], b'{"p":1}', packed[1], packed[2], b'{"p":2}\n', packed[3]]
    ((chunk, rejects),) = unpack_payloads(aggregated(*payloads), limits)
    assert chunk.payloads == [b'{"a":0}', b'{"p":1}', b'{"a":1}', b'{"p":2}']
    assert [reject.payload for reject in rejects] == packed[2:]
    assert {reject.violation for reject in rejects} == {
        Violation(
            Reason.UNPACKED_TOO_LARGE,
            "With this payload, the compressed ones of its stream record hold more than 16 unpacked "
            "bytes; send them in several stream records.",
        )
    }
    # Each stream record has as much, whatever comes before it.
    ((chunk, rejects),) = unpack_payloads(chunk_of(*packed), limits)
    assert (len(chunk), rejects) == (4, [])


def test_beyond_the_documents_of_a_stream_record_a_payload_is_kept_as_it_is() -> None:
    """Packed or not: the first that goes past the limit is one dead letter, and so is each behind it."""
    packed, lines, one = gzip.compress(b"{}\n" * 3), b"{}\n" * 3, b'{"a":1}'
    payloads = [packed, one, lines, one, packed]
    ((chunk, rejects),) = unpack_payloads(aggregated(*payloads), Limits(record_documents=5))
    assert chunk.payloads == [b"{}"] * 3 + [one]
    assert [reject.payload for reject in rejects] == payloads[2:]
    assert {reject.violation for reject in rejects} == {
        Violation(
            Reason.TOO_MANY_DOCUMENTS,
            "With this payload, its stream record holds more than 5 documents; send them in "
            "several stream records.",
        )
    }


@given(st.lists(st.lists(ODD_PAYLOADS, min_size=1, max_size=9), min_size=1, max_size=4), ODD_LIMITS)
def test_a_verdict_is_a_function_of_the_stream_record_alone(
    records: list[list[bytes]], limits: Limits
) -> None:
    """Law 8: a stream record alone, and among others, fast and exact, has the same documents."""

    def found(chunk: Chunk, *, fast: bool) -> list[Any]:
        return sorted(
            (where.record[unit], where.sub[unit], where.document[unit], payload, violation)
            for part, rejects in unpack_payloads(chunk, limits, fast=fast)
            for where, unit, payload, violation in [
                *(
                    (part.provenance, *one, "")
                    for one in zip(part.unit, part.payloads, strict=True)
                ),
                *((it.provenance, it.unit, it.payload, it.violation.message) for it in rejects),
            ]
        )

    together = aggregated(*(payload for record in records for payload in record))
    together.provenance.record[:] = array(INT32, [n for n, r in enumerate(records) for _ in r])
    together.provenance.sub[:] = array(INT64, [sub for r in records for sub in range(len(r))])
    alone = [
        (number, *rest)
        for number, record in enumerate(records)
        for _, *rest in found(aggregated(*record), fast=False)
    ]
    assert found(together, fast=True) == alone
    assert found(together, fast=False) == alone


def test_what_is_beyond_a_stream_records_limit_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A record of a few kilobytes cannot make more work than its limit allows, plus one payload."""
    unpacked = list[int]()

    def counted(data: bytes, limit: int, meter: Meter) -> Any:
        before = meter.spent
        text = unpack(data, limit, meter)
        unpacked.append(meter.spent - before)
        return text

    monkeypatch.setattr(payload_module, "unpack", counted)
    bomb = gzip.compress(b" " * 10_000)
    for broken in (bomb, bomb[:-9], bomb[:-8] + b"x" * 8):
        unpacked.clear()
        limits = Limits(unpacked_bytes=9_000, record_bytes=50_000)
        ((chunk, rejects),) = unpack_payloads(aggregated(*[broken] * 100), limits)
        assert len(chunk) + len(rejects) == 100
        assert sum(unpacked) <= limits.record_bytes + 1


def test_a_part_lets_go_of_what_it_held() -> None:
    """A million documents of one record are never all in memory, nor are their positions."""
    payload = gzip.compress(b"1\n" * 9_999)
    held = []
    for part, _ in unpack_payloads(aggregated(*[payload] * 50), Limits(part_documents=20_000)):
        held.append(weakref.ref(part.provenance.record))
        assert len(part.provenance) <= 20_000
        del part, _
    assert len(held) == 25
    assert sum(ref() is not None for ref in held) <= 1


@pytest.mark.parametrize("limit", [1, 255, 256])
@given(st.data())
def test_depth_is_counted_outside_of_strings(limit: int, data: st.DataObject) -> None:
    """Law: however it is counted, a text is too deep if its brackets say so one after the other."""
    few = st.text('[]{}"\\a', max_size=40).map(str.encode)
    text = b"[" * data.draw(st.integers(0, limit + 1)) + data.draw(few)
    depth, deepest = 0, 0
    for bracket in re.sub(rb'(?s)"(?:[^"\\]|\\.)*"?', b"", text):
        depth += {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}.get(bracket, 0)
        deepest = max(deepest, depth)
    assert deeper_than(text, limit) == (deepest > limit)
