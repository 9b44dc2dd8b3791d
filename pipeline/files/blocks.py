"""Files of JSON as batches: streamed, in bounded memory, cut by bytes and by documents.

A file holds one document a line, or is a JSON array whose elements are its documents, or, below
the size of a block, is one document over several lines; it may be gzip or zstd. A document's
identity is its file and the offset of its first byte, counted in what the file unpacks to. The cut
depends on the file alone, so converting it again writes the same objects again, and work that was
stopped goes on from the end of any block.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import msgspec
import pyarrow as pa

from pipeline.core.errors import FileError
from pipeline.core.framing.arrays import element, split_elements
from pipeline.core.jsontext import WHITESPACE, is_json
from pipeline.core.records import Batch, StreamRecord

BATCH_BYTES = 8 * 2**20
BATCH_DOCUMENTS = (
    20_000  # of few bytes each; what a document costs beside its bytes is bounded, too
)
_LONGEST_LINE = 64 * 2**20
_GZIP, _BYTE_ORDER_MARK = b"\x1f\x8b", b"\xef\xbb\xbf"
# A frame; or, as parallel compressors write first, a skippable one.
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_BLANK = _BYTE_ORDER_MARK + WHITESPACE
_MAGIC_BYTES = 4
_OPENING_BRACKET = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[")
_BLANK_LINES = re.compile(rb"[ \t\r\n]*\n")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


Documents = list[tuple[int, bytes]]


class Readable(Protocol):
    """What the documents are read from; one that can `seek` need not be read from its start."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class Place(msgspec.Struct, frozen=True):
    """A byte of what a file unpacks to, and whether it lies within an array or among lines."""

    offset: int = 0
    in_array: bool = False


START = Place()


class Block(msgspec.Struct, frozen=True):
    """A stretch of a file, and its documents, each with the offset of its first byte."""

    start: Place
    end: Place
    documents: Documents

    def batch(self, name: str, arrived_at: int) -> Batch:
        """Make the batch of a block that holds documents; see `batches_of`."""
        # Of a file in S3 its version, too, which tells files of one name apart. What begins with
        # "_" or "." is no data to Athena and Spark, which would not show these rows.
        shard = _NOT_IN_NAMES.sub("_", Path(name).name)[-64:].rstrip(".").lstrip("._-") or "file"
        records = (StreamRecord(str(at), None, arrived_at, text) for at, text in self.documents)
        return Batch(name, shard, tuple(records), one_document_per_record=True)


def batches_of(
    file: Readable, name: str, arrived_at: int, progress: Callable[[int], None]
) -> Iterator[Batch]:
    """Cut a file, plain or compressed, into batches of whole documents.

    `name` is the first part of the documents' identity, `arrived_at` their arrival in microseconds
    since 1970. `progress` is told how many bytes each batch took, unpacked. Raises `FileError`.
    """
    for block in blocks_of(file, name):
        if block.documents:
            yield block.batch(name, arrived_at)
        progress(block.end.offset - block.start.offset)


def lines_of(file: Readable, name: str) -> Iterator[bytes]:
    """Yield the documents of a file, plain or compressed, unread: its lines that are not blank.

    A pipe's lines come as they arrive, if `file` does not wait for more. Raises `FileError`.
    """
    for block in blocks_of(file, name, eager=True):
        for _, line in block.documents:
            yield line


def blocks_of(
    file: Readable, name: str, start: Place = START, *, eager: bool = False
) -> Iterator[Block]:
    """Cut a file into blocks: from its start, or from the end of any of its blocks.

    A block ends with the last document that ends before the next multiple of `BATCH_BYTES`, soon
    after `BATCH_DOCUMENTS` of them, or with the file; or, eager, with what was there to read.
    Raises `FileError`.
    """
    source = _unpacked(file, name)
    _skip(source, name, start.offset)
    begun, rest, ended = start, b"", False
    # To the next multiple: what comes again is cut where it was cut before.
    wanted = BATCH_BYTES - start.offset % BATCH_BYTES
    while not ended:
        piece = _read(source, name, begun.offset + len(rest), wanted, eager=eager)
        ended = not piece if eager else len(piece) < wanted
        rest, wanted = rest + piece, BATCH_BYTES
        while rest:
            documents, end = _cut(rest, begun, name, ended=ended)
            if end == begun:
                break
            yield Block(begun, end, documents)
            begun, rest = end, rest[end.offset - begun.offset :]


def _cut(text: bytes, at: Place, name: str, *, ended: bool) -> tuple[Documents, Place]:
    """Return the first documents that end within a text, and the place where the last one ends.

    Where the file has `ended`, the text's end ends a document.
    """
    if at == START and not ended and not text.strip(_BLANK) and len(text) <= _LONGEST_LINE:
        return [], at  # what it is, its first character will tell
    opening = _OPENING_BRACKET.match(text) if at == START else None
    if opening:
        at, text = Place(opening.end(), in_array=True), text[opening.end() :]
    documents = Documents()
    if at == START and ended and (only := _over_several_lines(text)):
        return only, Place(len(text))
    if at.in_array:
        documents, at, text = _elements(text, at, ended=ended)
    if at.in_array and len(text) > _LONGEST_LINE:
        # A bracket or a quote is missing: what is left is lines, that it may be kept in pieces.
        at = Place(at.offset)
    if not at.in_array and len(documents) < BATCH_DOCUMENTS:
        lines, end = _lines(text, at.offset, ended=ended)
        if len(text) - end + at.offset > _LONGEST_LINE:
            message = (
                f"{name}: the line at byte {end} is longer than {_LONGEST_LINE:,} bytes; "
                "this is no file of one JSON document a line, and no whole JSON array."
            )
            raise FileError(message)
        documents, at = documents + lines, Place(end)
    return documents, at


def _over_several_lines(text: bytes) -> Documents:
    """Return the only document of a whole file that is one, but is not one line."""
    start = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
    found = element(text[start:], start)
    return found if found and b"\n" in found[0][1] and is_json(found[0][1]) else Documents()


def _elements(text: bytes, at: Place, *, ended: bool) -> tuple[Documents, Place, bytes]:
    """Return elements of an array, the place behind them, and the rest of the text."""
    elements = split_elements(text, BATCH_DOCUMENTS)
    documents = [(at.offset + start, found) for start, found in elements.found]
    at, text = Place(at.offset + elements.end, not elements.closed), text[elements.end :]
    if ended and at.in_array and len(documents) < BATCH_DOCUMENTS:
        documents += element(text, at.offset)
        at, text = Place(at.offset + len(text), in_array=True), b""
    return documents, at, text


def _lines(text: bytes, offset: int, *, ended: bool) -> tuple[Documents, int]:
    """Return lines that are not blank, each with its offset in the file, and the offset behind."""
    documents, start = Documents(), 0
    while len(documents) < BATCH_DOCUMENTS and start < len(text):
        end = text.find(b"\n", start)
        if end < 0 and not ended:
            break
        end = len(text) if end < 0 else end
        mark = offset + start == 0 and text.startswith(_BYTE_ORDER_MARK)
        start += len(_BYTE_ORDER_MARK) if mark else 0  # Windows' files
        line = text[start:end]
        if line.strip(WHITESPACE):
            documents.append((offset + start, line))
        elif blank := _BLANK_LINES.match(text, start):
            end = blank.end() - 1  # all of them at once: there may be millions
        start = min(end + 1, len(text))
    return documents, offset + start


def _read(file: Readable, name: str, offset: int, wanted: int, *, eager: bool = False) -> bytes:
    """Read so many bytes, less only where the file ends; or, eager, what there is."""
    pieces = list[bytes]()
    try:
        while wanted and (piece := file.read(wanted)):
            pieces.append(piece)
            wanted = 0 if eager else wanted - len(piece)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        why = str(error).partition(" (b")[0].rstrip(".")  # gzip quotes what it finds
        message = (
            f"{name} cannot be read past byte {offset:,} of what it unpacks to: {why}; "
            "it is damaged, or not whole: replace it."
        )
        raise FileError(message) from None
    return b"".join(pieces)


def _skip(source: Readable, name: str, offset: int) -> None:
    """Go to a byte of what a file unpacks to; what is compressed has to be unpacked up to there."""
    if isinstance(source, _Peeked) and source.skip(offset):
        return
    at = 0
    while at < offset:
        piece = _read(source, name, at, min(BATCH_BYTES, offset - at))
        if not piece:
            message = f"{name} ends at byte {at:,}, and was to be read from byte {offset:,}."
            raise FileError(message)
        at += len(piece)


def _unpacked(file: Readable, name: str) -> Readable:
    """Look at the first bytes, and unpack what is gzip or zstd."""
    try:
        source = _Peeked(file)
    except OSError as error:
        message = f"{name} cannot be read: {error.strerror}."
        raise FileError(message) from None
    unpacked: Readable = source
    if source.head.startswith(_GZIP):
        unpacked = gzip.GzipFile(fileobj=cast("BinaryIO", source), mode="rb")
    elif _ZSTD.match(source.head):
        unpacked = pa.CompressedInputStream(pa.PythonFile(source, "r"), "zstd")
    return unpacked


class _Peeked:
    """A file, a pipe for one, whose first bytes were looked at and come again."""

    mode = "rb"
    closed = False

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.head = self._rest = file.read(_MAGIC_BYTES)

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest:
            return self._file.read(size)
        end = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken if size >= 0 else taken + self._file.read()

    def skip(self, offset: int) -> bool:
        """Go to a byte of the file, if it can; return whether it did."""
        seek = getattr(self._file, "seek", None)
        if not offset or seek is None:
            return not offset
        seek(offset)
        self._rest = b""
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file to who opened it."""
