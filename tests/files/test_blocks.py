"""Files as blocks of whole documents: in any framing, resumed at any block, in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import chunk_of

from pipeline.core.errors import ConservationError, FileError
from pipeline.core.framing import Mode, Stretch
from pipeline.core.framing.arrays import split_elements
from pipeline.core.kpl import deaggregate
from pipeline.core.payload import unpack_payloads
from pipeline.core.records import Batch, Limits
from pipeline.files import blocks, unpacking
from pipeline.files.blocks import START, START_OF_LINES, Block, Cut, Place, blocks_of, documents_of

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS = [b'{"id":%d,"note":"}{"}' % number for number in range(200)]


def zstd(data: bytes) -> bytes:
    """Compress with zstd, by Arrow."""
    return bytes(pa.compress(data, "zstd", asbytes=True))


def blocks_in(text: bytes, start: Place = START, **cut: int) -> list[Block]:
    """Cut a file of this text."""
    return list(blocks_of(io.BytesIO(text), "in", start, cut=Cut(**cut)))


def texts_in(text: bytes, start: Place = START, **cut: int) -> list[bytes]:
    """Return the documents and broken pieces of a file of this text."""
    blocks = blocks_in(text, start, **cut)
    return [document for block in blocks for _, document in block.documents]


FRAMINGS = {
    "lines": b"\n".join(DOCUMENTS),
    "lines of Windows": b"\r\n".join(DOCUMENTS) + b"\r\n",
    "blank lines": b"\n\n \n".join(DOCUMENTS),
    "back to back": b"".join(DOCUMENTS),
    "array": b"[" + b",".join(DOCUMENTS) + b"]",
    "array of lines": b"[\n" + b",\n".join(DOCUMENTS) + b"\n]\n",
    "mark": b"\xef\xbb\xbf" + b"\n".join(DOCUMENTS),
    "registry": b"".join(b"\0\0\0\0\7" + document for document in DOCUMENTS),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("block_bytes", [7, 100, 2**23])
def test_a_file_in_any_framing_is_its_documents(framing: str, block_bytes: int) -> None:
    assert texts_in(FRAMINGS[framing], block_bytes=block_bytes) == DOCUMENTS


@pytest.mark.parametrize("indent", [0, 1, 4])
def test_pretty_printed_documents_are_documents_and_not_lines(indent: int) -> None:
    pretty = [json.dumps(json.loads(document), indent=indent).encode() for document in DOCUMENTS]
    for separator in (b"\n", b"", b"\n\n"):
        assert texts_in(separator.join(pretty), block_bytes=100) == pretty
    assert texts_in(b"[" + b", ".join(pretty) + b"]", block_bytes=100) == pretty


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstd])
@pytest.mark.parametrize("between", [b"", b"\n", b"\0\0"])
def test_compressed_parts_follow_each_other(
    compress: Callable[[bytes], bytes], between: bytes
) -> None:
    packed = b"".join(compress(document) + between for document in DOCUMENTS)
    assert texts_in(packed, block_bytes=1_000) == DOCUMENTS
    assert texts_in(gzip.compress(packed), block_bytes=1_000) == DOCUMENTS


def glue_zlib(data: bytes) -> bytes:
    """Put Glue's header before compressed data."""
    return b"\3\5" + bytes(range(16)) + zlib.compress(data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([gzip.compress, zlib.compress, zstd, glue_zlib]),
            st.sampled_from([b"", b"\n", b"\0\0", b" \r\n"]),
            st.integers(0, 40),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([b"", b"\n", b"\xef\xbb\xbf"]),
)
def test_a_file_opens_what_a_payload_opens(
    parts: list[tuple[Callable[[bytes], bytes], bytes, int]], before: bytes
) -> None:
    """Law: whatever stands around documents on a stream may stand around them in a file."""
    if parts[0][0] not in {gzip.compress, zstd}:
        before = b""  # by two bytes behind white space, zlib would be chance
    packed = before + b"".join(
        compress(b'{"id":%d}\n' % number * count) + space
        for number, (compress, space, count) in enumerate(parts)
    )
    ((chunk, rejects),) = unpack_payloads(chunk_of(packed), Limits(documents=1_000))
    if not rejects:
        assert texts_in(packed, block_bytes=100) == chunk.payloads
    assert sum(count for _, _, count in parts) == len(chunk.payloads)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Obj\x01\x04\x14avro.codec\x08null\0", "avro_data"),
        (b"eyJpZCI6MX0=", "base64_text"),
        (b"PAR1\0\0", "other_format"),
        ('{"id": 1}'.encode("utf-16"), "other_format"),
        (b"\x82\xa2id\x01\xa1a\x02", "messagepack"),
    ],
)
def test_what_a_file_holds_instead_of_json_is_named(line: bytes, reason: str) -> None:
    (block,) = blocks_in(line)
    batch = block.batch("s3://bucket/file", 0)
    user_records, _ = deaggregate(batch)
    ((chunk, (reject,)),) = unpack_payloads(user_records, Limits())
    assert not chunk.payloads
    assert (reject.violation.reason.value, reject.payload) == (reason, line)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstd])
def test_what_is_damaged_is_refused_and_not_quoted(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(b'{"secret":1}\n' * 1_000)
    for broken in (packed[:-3], packed + b"secret", packed[:20]):
        with pytest.raises(FileError, match="cannot be read past byte") as error:
            texts_in(broken)
        assert "secret" not in str(error.value)


@given(
    st.text('{}[],:"\\a1 \n', max_size=80).map(str.encode) | st.binary(max_size=60),
    st.integers(1, 30),
    st.integers(1, 5),
    st.sampled_from([START, START_OF_LINES]),
)
def test_a_file_goes_on_from_the_end_of_any_block(
    text: bytes, block_bytes: int, block_documents: int, start: Place
) -> None:
    """Law: what was stopped after any block, and is resumed, is cut as if it had not been."""
    cut = {"block_bytes": block_bytes, "block_documents": block_documents}
    try:
        blocks = blocks_in(text, start, **cut)
    except FileError:
        return  # what looked like something compressed
    for number, block in enumerate(blocks):
        assert blocks_in(text, block.end, **cut) == blocks[number + 1 :]
    for block in blocks:
        for offset, document in block.documents:
            assert text[offset:].startswith(document)


def test_a_line_that_goes_on_takes_what_is_behind_it_along_block_by_block() -> None:
    text = b'{"a":1}\n{"a":[\n' + b'{"a":2}\n' * 40
    pieces = texts_in(text, block_bytes=64, longest_value=100)
    assert pieces[0] == b'{"a":1}'
    assert b"".join(pieces[1:]) == text[8:]
    assert max(map(len, pieces)) <= 256


def test_where_each_line_is_a_document_each_is_judged_alone() -> None:
    text = b'{"a":1}\n{"a":[\n\n{"a":2}\r\n  {"a":3}'
    lines = [b'{"a":1}', b'{"a":[', b'{"a":2}', b'  {"a":3}']
    assert texts_in(text, START_OF_LINES, block_bytes=5) == lines
    assert texts_in(text, START_OF_LINES) == lines


def test_an_array_that_never_closes_is_linear() -> None:
    """Law: twice the file takes twice the time, whatever it is made of."""
    seconds = []
    for size in (2**20, 2**22):
        begun = time.process_time()
        assert b"".join(texts_in(b"[" * size, block_bytes=2**16, longest_value=2**19))
        seconds.append(time.process_time() - begun)
    assert seconds[1] < 4 * 2.5 * max(seconds[0], 0.02)


@given(st.lists(st.recursive(
    st.none() | st.integers() | st.text('a"\\{}[],', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"}', max_size=2), inner, max_size=3),
    max_leaves=6,
)), st.sampled_from([None, 1]))  # fmt: skip
def test_any_array_is_cut_into_its_elements(values: list[Any], indent: int | None) -> None:
    """Law: the elements found by brackets and commas are those that Python reads."""
    text = json.dumps(values, indent=indent).encode()
    elements = split_elements(text[1:])
    assert [json.loads(element) for _, element in elements.found] == values
    assert elements.closed
    assert elements.end == len(text) - 1


def test_documents_of_a_pipe_come_as_they_arrive() -> None:
    """The next line need not be there before the last one is handed on."""
    arrived: list[bytes] = []

    class Pipe:
        def __init__(self) -> None:
            self.lines = [b'{"a":1}\n', b'{"a":2}\n', b""]

        def read(self, _size: int = -1, /) -> bytes:
            line = self.lines.pop(0)
            arrived.append(line)
            return line

    documents = documents_of(Pipe(), "pipe")
    first = next(documents)
    assert (first, b"" in arrived) == (b'{"a":1}', False)
    assert list(documents) == [b'{"a":2}']


def test_a_block_that_lost_a_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 12: the bytes of a block are its documents and what may stand between them."""
    from pipeline.core.framing import scan

    def loses(text: bytes, mode: Mode, **how: Any) -> Stretch:
        found = scan(text, mode, **how)
        return Stretch(found.documents[1:], found.end, found.mode, found.is_broken)

    monkeypatch.setattr("pipeline.files.blocks.scan", loses)
    with pytest.raises(ConservationError, match="Bytes of in were lost between 0 and"):
        texts_in(FRAMINGS["lines"])


def test_a_file_whose_end_was_not_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = unpacking.read
    monkeypatch.setattr(blocks, "read", lambda *given, **how: whole(*given, **how)[:-9])
    with pytest.raises(ConservationError, match="Bytes of in were lost"):
        texts_in(FRAMINGS["lines"])


def test_a_block_that_was_left_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks_in(FRAMINGS["lines"], block_documents=50)
    monkeypatch.setattr(blocks, "blocks_of", lambda *_given, **_how: [found[0], *found[2:]])
    with pytest.raises(ConservationError, match="Bytes of in were lost"):
        list(blocks.batches_of(io.BytesIO(), "in", lambda _block: "in", 0, lambda _size: None))


def test_a_batch_that_lost_a_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def loses(source: str, shard: str, records: tuple[Any, ...], **how: Any) -> Batch:
        return Batch(source, shard, records[:-1], **how)

    monkeypatch.setattr(blocks, "Batch", loses)
    with pytest.raises(ConservationError, match="Bytes of in were lost"):
        blocks_in(FRAMINGS["lines"])[0].batch("in", 0)


def test_a_value_is_not_cut_where_there_are_enough_documents() -> None:
    """What one changed byte left of a document is one piece with the rest of it, wherever it is."""
    piece = b'{"a":1}"b":2,"c":3}'
    for before in range(12):
        lines = [b'{"a":0}'] * before + [piece] + [b'{"a":0}'] * 3
        assert texts_in(b"\n".join(lines), block_documents=4) == lines


@pytest.mark.parametrize("text", [b'\3\5{"id":1}\n{"id":2}\n', b"\3\5", b"\3\5\n"])
def test_what_only_begins_like_a_header_of_glue_is_kept(text: bytes) -> None:
    assert texts_in(text) == [text]


BINARY = {
    "MessagePack": b'\x82\xa2id\xa8{"id":5}\xa1x\xaa\n{"id":6}\n',
    "CBOR": b'\xa2bid\x01axj\n{"id":9}\n',
    "Avro": b'Obj\x01\x04\x16avro.schema\n{"type":"record"}\n\x00',
    "UTF-16": b"\xff\xfe{\x00}\x00\n\x00",
}


@pytest.mark.parametrize("data", BINARY.values(), ids=BINARY)
def test_no_part_of_a_binary_file_is_a_document(data: bytes) -> None:
    assert texts_in(data) == [data]
    assert b"".join(texts_in(data * 9, block_bytes=16)) == data * 9


@pytest.mark.parametrize("data", BINARY.values(), ids=BINARY)
def test_no_part_of_a_binary_payload_is_a_document(data: bytes) -> None:
    for [(chunk, rejects)] in (
        list(unpack_payloads(chunk_of(data * times), Limits())) for times in (1, 2)
    ):
        payloads = [*chunk.payloads, *(reject.payload for reject in rejects)]
        assert len(payloads) == 1
        assert payloads[0] in (data, data * 2)


@pytest.mark.parametrize("window", [9, 12, 15])
@pytest.mark.parametrize("schema", [bytes(16), b"\n" * 16, bytes(range(16))])
def test_what_glue_compressed_is_unpacked(schema: bytes, window: int) -> None:
    packer = zlib.compressobj(wbits=window)
    packed = packer.compress(FRAMINGS["lines"]) + packer.flush()
    assert texts_in(b"\3\5" + schema + packed) == DOCUMENTS
    assert texts_in(packed) == DOCUMENTS


@pytest.mark.parametrize("size", [8, 9, 10, 11, 12, 13, 14])
def test_a_header_that_a_block_ends_in_is_one_with_its_document(size: int) -> None:
    text = b'\0\0\0\0\n{"a":1}' * 20
    assert texts_in(text, block_bytes=size) == [b'{"a":1}'] * 20


def test_a_large_file_on_one_line_takes_the_memory_of_a_few_blocks() -> None:
    piece = b"".join(b'{"id":%d,"note":"%s"}' % (number, b"x" * 300) for number in range(200))

    total = 2**25 // len(piece) * len(piece)

    class Large:
        position = 0

        def read(self, size: int = -1, /) -> bytes:
            size = min(size, total - self.position)
            start = self.position % len(piece)
            self.position += size
            return (piece * (size // len(piece) + 2))[start : start + size]

    tracemalloc.start()
    try:
        found = sum(len(block.documents) for block in blocks_of(Large(), "in", cut=Cut(2**18)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == total // len(piece) * 200
    assert peak < 8 * 2**20
