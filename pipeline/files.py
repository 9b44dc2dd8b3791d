"""Files of NDJSON as batches: streamed, in bounded memory, cut at fixed byte boundaries.

A line's identity is its file and the offset of its first byte, counted in what the file unpacks
to. The cut depends on the file alone, so converting it again writes the same objects again.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

from pipeline.core.errors import PipelineError
from pipeline.core.jsontext import WHITESPACE
from pipeline.core.records import Batch, StreamRecord

BATCH_BYTES = 8 * 2**20
_LONGEST_LINE = 64 * 2**20
_GZIP, _ZSTD, _BYTE_ORDER_MARK = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"
_MAGIC_BYTES = 4
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


class Readable(Protocol):
    """What the lines are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class FileError(PipelineError):
    """A file cannot be read to its end; the text names it and says where it stops."""


def batches_of(
    file: BinaryIO, name: str, arrived_at: int, progress: Callable[[int], None]
) -> Iterator[Batch]:
    """Cut a file, plain or compressed, into batches of whole lines.

    `name` is the first part of the lines' identity, `arrived_at` their arrival in microseconds
    since 1970. `progress` is told how many bytes each batch took, unpacked. Raises `FileError`.
    """
    shard = _NOT_IN_NAMES.sub("_", Path(name).name)[-64:].strip(".") or "file"
    for offset, block in _blocks(_unpacked(file, name), name):
        records = tuple(
            StreamRecord(str(start), None, arrived_at, line)
            for start, line in _lines(block, offset)
        )
        if records:
            yield Batch(name, shard, records)
        progress(len(block))


def _blocks(file: Readable, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, and the offset at which each begins."""
    offset, rest = 0, b""
    while piece := _read(file, name, offset + len(rest)):
        whole, newline, after = (rest + piece).rpartition(b"\n")
        if newline:
            yield offset, whole + newline
            offset += len(whole) + 1
        rest = after
        if len(rest) > _LONGEST_LINE:
            message = (
                f"{name}: the line at byte {offset} is longer than {_LONGEST_LINE:,} bytes; this "
                "is no file of one JSON document a line."
            )
            raise FileError(message)
    if rest:
        yield offset, rest


def _lines(block: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a block that are not blank, each with its offset in the file."""
    for line in block.split(b"\n"):
        start = offset
        offset += len(line) + 1
        if start == 0 and line.startswith(_BYTE_ORDER_MARK):
            start, line = len(_BYTE_ORDER_MARK), line[len(_BYTE_ORDER_MARK) :]  # noqa: PLW2901 - Windows' files
        if line.strip(WHITESPACE):
            yield start, line


def _read(file: Readable, name: str, offset: int) -> bytes:
    """Read one batch's worth, all of it unless the file ends."""
    pieces, wanted = list[bytes](), BATCH_BYTES
    try:
        while wanted and (piece := file.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        message = f"{name} cannot be read past byte {offset:,} of what it unpacks to: {error}."
        raise FileError(message) from None
    return b"".join(pieces)


def _unpacked(file: BinaryIO, name: str) -> Readable:
    """Look at the first bytes, and unpack what is gzip or zstd."""
    try:
        source = _Peeked(file)
    except OSError as error:
        message = f"{name} cannot be read: {error.strerror}."
        raise FileError(message) from None
    unpacked: Readable = source
    if source.head.startswith(_GZIP):
        unpacked = gzip.GzipFile(fileobj=cast("BinaryIO", source), mode="rb")
    elif source.head.startswith(_ZSTD):
        unpacked = pa.CompressedInputStream(pa.PythonFile(source, "r"), "zstd")
    return unpacked


class _Peeked:
    """A file, a pipe for one, whose first bytes were looked at and come again."""

    mode = "rb"
    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.head = self._rest = file.read(_MAGIC_BYTES)

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest:
            return self._file.read(size)
        end = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken if size >= 0 else taken + self._file.read()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file to who opened it."""
