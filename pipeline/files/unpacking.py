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
    SPACE_BEFORE,
    ZSTD,
    is_zlib,
    zstd_block,
    zstd_header_bytes,
)

_GLUE_BYTES, _SHORTEST_ZLIB = 18, 8
_HEAD_BYTES = _GLUE_BYTES + _SHORTEST_ZLIB
_PIECE = 2**20
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
        if space := SPACE_BEFORE.match(source.head):
            source.drop(space.end())
        head = source.head
        if head.startswith(GLUE_ZLIB_HEADER):
            head = head[_GLUE_BYTES:]
        if not (head.startswith(GZIP) or ZSTD.match(head) or _is_zlib(head)):
            break
        source = Peeked(_Unpacked(source), name)
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
        if not offset or seek is None or isinstance(self._file, _Unpacked):
            return not offset
        seek(offset)
        self._rest, self.offset = b"", offset
        return True

    def readable(self) -> bool:
        """Return whether it can be read, which Arrow asks."""
        return True

    def close(self) -> None:
        """Leave the file to whoever opened it."""


class _Unpacked:
    """The content of gzip members, zlib streams and zstd frames, one after the other.

    White space and zero bytes may stand between them, and Glue's header before a zlib stream.
    """

    def __init__(self, source: Readable) -> None:
        self._source = _Ahead(source)
        self._part: Readable | None = None

    def read(self, size: int = -1, /) -> bytes:
        pieces, wanted = list[bytes](), size if size >= 0 else 2**62
        while wanted:
            self._part = self._part or self._next()
            if self._part is None:
                break
            piece = self._part.read(min(wanted, _PIECE))
            if piece:
                pieces.append(piece)
                wanted -= len(piece)
            else:
                self._part = None
        return b"".join(pieces)

    def _next(self) -> Readable | None:
        """Return the next compressed part; None at the end of the file."""
        source = self._source
        while (first := source.peek(1)) and first in PADDING:
            source.read(1)
        if source.peek(2) == GLUE_ZLIB_HEADER and is_zlib(source.peek(_GLUE_BYTES + 2)[-2:]):
            source.read(_GLUE_BYTES)
        head = source.peek(4)
        if not head:
            return None
        if head.startswith(GZIP):
            return _Member(source, GZIP_WINDOW)
        if ZSTD.match(head):
            return _Unpacking(pa.CompressedInputStream(pa.PythonFile(_Frames(source), "r"), "zstd"))
        if is_zlib(head):
            return _Member(source, zlib.MAX_WBITS)
        raise OSError("a compressed part is followed by something else")


class _Unpacking:
    """A stream of Arrow's, whose own `read` keeps what it has allocated where it fails."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        content: bytes = self._stream.read_buffer(size).to_pybytes()
        return content


class _Ahead:
    """A source that can be looked ahead in."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._rest = b""

    def peek(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end; they are read again."""
        while len(self._rest) < size and (more := self._source.read(_BITE)):
            self._rest += more
        return self._rest[:size]

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if not self._rest:
            return self._source.read(size)
        end = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken

    def unread(self, rest: bytes) -> None:
        """Give back what was read too much."""
        self._rest = rest + self._rest


class _Member:
    """The content of one gzip member, or of one zlib stream."""

    def __init__(self, source: _Ahead, window: int) -> None:
        self._source = source
        self._member = zlib.decompressobj(window)
        self._packed = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return some of it; none at its end."""
        piece = b""
        while not piece and not self._member.eof:
            piece = self._next(size)
        return piece

    def _next(self, size: int) -> bytes:
        self._packed = self._packed or self._source.read(_BITE)
        ended, member = not self._packed, self._member
        piece = member.decompress(self._packed, size)
        self._packed = member.unconsumed_tail
        if member.eof:
            self._source.unread(member.unused_data)
        elif ended and not piece:
            raise EOFError("it ends before its trailer")
        return piece


class _Frames:
    """Zstd frames that follow each other without anything but padding between them."""

    mode = "rb"
    closed = False

    def __init__(self, source: _Ahead) -> None:
        self._source = source
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
        while ZSTD.match(self._source.peek(4)):
            magic = self._take(4)
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

    def _take(self, size: int) -> bytes:
        pieces, wanted = list[bytes](), size
        while wanted and (piece := self._source.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        if wanted:
            raise EOFError("it ends within a frame")
        return b"".join(pieces)
