"""Files as the text that they hold: gzip, zlib and zstd are unpacked as they are read.

What a file unpacks to does not depend on how much is read at once. As in payloads (see
`core.unpack`), members and frames follow each other, white space or zero bytes may stand between
them, and one format may stand within another.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from pipeline.core.errors import FileError
from pipeline.core.magic import GZIP, ZSTD_FRAME
from pipeline.core.unpack import (
    DEEPEST,
    GLUE_ZLIB_HEADER,
    GZIP_WINDOW,
    PADDING,
    ZSTD,
    is_zlib,
    zstd_block,
    zstd_header_bytes,
)

_GLUE_BYTES, _SHORTEST_ZLIB = 18, 8
_HEAD_BYTES = _GLUE_BYTES + _SHORTEST_ZLIB
_BITE = 16 * 2**10  # bytes: what is not used of one is copied, and members may be small


class Readable(Protocol):
    """What the documents are read from; one that can `seek` need not be read from its start."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


def unpacked(file: Readable, name: str) -> "Peeked":
    """Look at a file's first bytes, and unpack what is compressed. Raises `FileError`."""
    source = Peeked(file, name)
    for _ in range(DEEPEST):
        if source.head.startswith(GLUE_ZLIB_HEADER) and _is_zlib(source.head[_GLUE_BYTES:]):
            source.drop(_GLUE_BYTES)
        if source.head.startswith(GZIP) or _is_zlib(source.head):
            source = Peeked(_Members(source), name)
        elif ZSTD.match(source.head):
            frames = pa.CompressedInputStream(pa.PythonFile(_Frames(source), "r"), "zstd")
            source = Peeked(frames, name)
        else:
            break
    return source


def _is_zlib(head: bytes) -> bool:
    """Tell zlib from text that begins with the same two letters, by what follows them."""
    if not is_zlib(head) or len(head) < _SHORTEST_ZLIB:
        return False
    try:
        zlib.decompressobj().decompress(head)
    except zlib.error:
        return False
    return True


def read(file: Readable, name: str, offset: int, wanted: int, *, eager: bool = False) -> bytes:
    """Read so many bytes, less only where the file ends; or, eager, what there is.

    `offset` is where this is in what the file unpacks to. Raises `FileError`.
    """
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


class Peeked:
    """A file, or a pipe, whose first bytes were looked at and are read again."""

    mode = "rb"
    closed = False

    def __init__(self, file: Readable, name: str) -> None:
        self._file = file
        try:
            self.offset = 0  # bytes that were handed out, or skipped
            self.head = self._rest = read(file, name, 0, _HEAD_BYTES, eager=True)
            while self._may_be_more():
                more = read(file, name, len(self.head), _HEAD_BYTES - len(self.head), eager=True)
                if not more:
                    break
                self.head = self._rest = self.head + more
        except FileError as error:
            if isinstance(error.__context__, OSError) and error.__context__.strerror:
                message = f"{name} cannot be read: {error.__context__.strerror}."
                raise FileError(message) from None
            raise

    def _may_be_more(self) -> bool:
        """Tell whether to wait for more of the head; not for another line of a pipe's text."""
        is_line = b"\n" in self.head and not self.head.startswith(GLUE_ZLIB_HEADER)
        return 0 < len(self.head) < _HEAD_BYTES and not is_line

    def drop(self, size: int) -> None:
        """Forget the first bytes."""
        self.head = self._rest = self._rest[size:]

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if self._rest:
            end = len(self._rest) if size < 0 else size
            taken, self._rest = self._rest[:end], self._rest[end:]
            taken = taken if size >= 0 else taken + self._file.read()
        else:
            taken = self._file.read(size)
        self.offset += len(taken)
        return taken

    def skip(self, offset: int) -> bool:
        """Go to a byte of the file, if it can; return whether it did."""
        seek = getattr(self._file, "seek", None)
        if not offset or seek is None or isinstance(self._file, _Members | pa.NativeFile):
            return not offset
        seek(offset)
        self._rest, self.offset = b"", offset
        return True

    def readable(self) -> bool:
        """Return whether it can be read, which Arrow asks."""
        return True

    def close(self) -> None:
        """Leave the file to whoever opened it."""


class _Members:
    """The content of gzip members or zlib streams, one after the other."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._packed = b""
        self._member: zlib._Decompress | None = None

    def read(self, size: int = -1, /) -> bytes:
        wanted = size if size >= 0 else 2**62
        pieces = list[bytes]()
        while wanted and (self._member is not None or self._begin()):
            piece = self._next(wanted)
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _begin(self) -> bool:
        """Begin the next member; return whether there is one."""
        while not (start := self._packed.lstrip(PADDING)) or len(start) < len(GZIP):
            more = self._source.read(_BITE)
            if not more:
                break
            self._packed = start + more
        self._packed = start
        if not start:
            return False
        if start.startswith(GZIP):
            self._member = zlib.decompressobj(GZIP_WINDOW)
        elif is_zlib(start):
            self._member = zlib.decompressobj(zlib.MAX_WBITS)
        else:
            raise OSError("a compressed part is followed by something else")
        return True

    def _next(self, wanted: int) -> bytes:
        """Return some of the member's content."""
        member = self._member
        assert member is not None  # noqa: S101 - `read` has begun it
        self._packed = self._packed or self._source.read(_BITE)
        ended = not self._packed
        piece = member.decompress(self._packed, wanted)
        self._packed = member.unconsumed_tail
        if member.eof:
            self._packed, self._member = member.unused_data, None
        elif ended and not piece:
            raise EOFError("it ends before its trailer")
        return piece


class _Frames:
    """A file's zstd frames alone, without what stands between them."""

    mode = "rb"
    closed = False

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._ahead = b""
        self._rest = b""
        self._parts = self._frames()

    def read(self, size: int = -1, /) -> bytes:
        pieces, wanted = list[bytes](), size if size >= 0 else 2**62
        while wanted:
            if not self._rest:
                self._rest = next(self._parts, b"")
                if not self._rest:
                    break
            pieces.append(self._rest[:wanted])
            self._rest = self._rest[wanted:]
            wanted -= len(pieces[-1])
        return b"".join(pieces)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file to whoever opened it."""

    def _frames(self) -> Iterator[bytes]:
        """Yield the bytes of each frame, header by header and block by block."""
        while magic := self._magic():
            if magic != ZSTD_FRAME:
                self._take(int.from_bytes(self._take(4), "little"))
                continue
            descriptor = self._take(1)
            yield magic + descriptor + self._take(zstd_header_bytes(descriptor[0]) - 1)
            last = False
            while not last:
                header = self._take(3)
                size, last = zstd_block(header)
                yield header + self._take(size)
            if descriptor[0] & 4:
                yield self._take(4)

    def _magic(self) -> bytes:
        """Return the first four bytes of the next frame; none at the end of the file."""
        while (first := self._source.read(1)) and first in PADDING:
            pass
        if not first:
            return b""
        magic = first + self._take(3)
        if not ZSTD.match(magic):
            raise OSError("a compressed part is followed by something else")
        return magic

    def _take(self, size: int) -> bytes:
        pieces, wanted = list[bytes](), size
        while wanted and (piece := self._source.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        if wanted:
            raise EOFError("it ends within a frame")
        return b"".join(pieces)
