"""What stands around the text of a payload, taken off: compression, and schema registries' headers.

    gzip   1F 8B                      members, one after the other
    zlib   78 01, 78 5E, 78 9C, 78 DA and the other headers that are multiples of 31
    zstd   28 B5 2F FD                frames, one after the other; skippable ones between them
    Glue       03 00 <16 bytes: UUID>     then JSON, or one of the above; 03 05: then zlib
    Confluent  00 <4 bytes: id>           then JSON, or one of the above

White space and zero bytes between members and behind the last one are passed over, and white space
before the first: what collects compressed records often puts a line break behind each. One of these
may stand within another, at most four deep. Everything is linear in what comes in and what comes
out, and stops at the limit.
"""

import re
import zlib
from collections.abc import Callable

import msgspec
import pyarrow as pa

from pipeline.core.inflating import Meter, inflate
from pipeline.core.magic import GZIP, ZSTD_FRAME
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation

# A frame; or, as parallel compressors write first, a skippable one.
ZSTD = re.compile(re.escape(ZSTD_FRAME) + rb"|[\x50-\x5f]\x2a\x4d\x18")
PADDING = b"\0 \t\r\n"
GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's way to say: expect a gzip header and trailer
_PADDING = re.compile(rb"[\0 \t\r\n]*+")
ZLIB_HEADERS = frozenset({b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"})
_DEFLATE, _LARGEST_WINDOW, _DICTIONARY = 8, 7, 0x20
GLUE_ZLIB_HEADER = b"\3\5"
_GLUE_PLAIN_HEADER, _GLUE_BYTES = b"\3\0", 18
_CONFLUENT_HEADER, _CONFLUENT_BYTES = b"\0", 5
_OPENS_JSON = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+[{\[]")
SPACE_BEFORE = re.compile(rb"(?:\xef\xbb\xbf|[ \t\r\n])++(?=\x1f\x8b|\x28\xb5\x2f\xfd)")
DEEPEST = 4
_FIRST_PIECE, _PIECE = 2**13, 2**20
_BLOCK = 2**17  # bytes: what a frame of zstd is unpacked by at least


class _Corrupt(Exception):
    """What began as a format does not go on as it; the text says why."""


class _Codec(msgspec.Struct, frozen=True):
    """A compression format: how it is known, and how one stretch of it is unpacked.

    `unpack` takes the data, an offset, the most bytes that are wanted, and a meter; it returns what
    it unpacked, and the offset behind what it unpacked it from.
    """

    name: str
    unpack: Callable[[bytes, int, int, Meter], tuple[bytes, int]]


def unpack(payload: bytes, limit: int, meter: Meter | None = None) -> bytes | Violation:
    """Take off what stands around a payload's text; what has nothing around it comes back as it is.

    Stops at most a piece past `limit` bytes. The meter counts what was unpacked.
    """
    meter = meter or Meter()
    for _ in range(DEEPEST):
        start = _start_of_member(payload, 0)
        codec = _codec_of(payload, start)
        try:
            inner = _members(payload, limit, meter) if codec else _without_header(payload)
        except _Corrupt as error:
            if codec is _ZLIB and not start and not _is_meant_as_zlib(payload):
                break
            return Violation(
                Reason.CORRUPT_COMPRESSION,
                f"The payload begins as {codec.name if codec else 'Glue'} and cannot be unpacked: "
                f"{error}.",
            )
        if inner is payload:
            break
        payload = inner
        if len(payload) > limit:
            break
    if len(payload) > limit:
        return Violation(
            Reason.UNPACKED_TOO_LARGE,
            f"The payload unpacks to more than {limit} bytes; send it in several records.",
        )
    return payload


def is_packed(payload: bytes) -> bool:
    """Tell whether a payload is compressed, or begins with a registry's header."""
    return payload[:1] in b"\0\3" or _codec_of(payload, _start_of_member(payload, 0)) is not None


def is_zlib(head: bytes) -> bool:
    """Tell whether the first two bytes are a header of zlib, by its check bits."""
    if len(head) < 2:  # noqa: PLR2004 - a header's length
        return False
    method, window = head[0] & 0x0F, head[0] >> 4
    return (
        method == _DEFLATE
        and window <= _LARGEST_WINDOW
        and not head[1] & _DICTIONARY
        and (head[0] << 8 | head[1]) % 31 == 0
    )


def zstd_block(header: bytes) -> tuple[int, bool]:
    """Read the 3 bytes before a block: the bytes that it takes, and whether it is the last."""
    number = int.from_bytes(header, "little")
    kind, size = number >> 1 & 3, number >> 3
    return 1 if kind == 1 else size, bool(number & 1)


def zstd_header_bytes(descriptor: int) -> int:
    """Return the length of a frame's header from its descriptor, the byte behind the magic.

    The descriptor itself counts, the magic does not.
    """
    single = descriptor >> 5 & 1
    content_size = (single, 2, 4, 8)[descriptor >> 6]
    return 1 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content_size


def _is_meant_as_zlib(payload: bytes) -> bool:
    """Tell damaged zlib from what begins with the same two bytes, as text with `x^` may."""
    if payload[:2] not in ZLIB_HEADERS:
        return False  # so rare a header is more likely chance
    try:
        payload.decode()
    except UnicodeDecodeError:
        return True
    return False


def _start_of_member(data: bytes, offset: int) -> int:
    """Return where a member begins that has white space or Glue's header before it."""
    if data.startswith(GLUE_ZLIB_HEADER, offset):
        behind = offset + _GLUE_BYTES
        return behind if is_zlib(data[behind : behind + 2]) else offset
    space = None if offset else SPACE_BEFORE.match(data)
    return space.end() if space else offset


def _codec_of(data: bytes, start: int) -> _Codec | None:
    if data.startswith(GZIP, start):
        return _GZIP
    if ZSTD.match(data, start):
        return _ZSTD
    return _ZLIB if is_zlib(data[start : start + 2]) else None


def _members(data: bytes, limit: int, meter: Meter) -> bytes:
    """Unpack members or frames, one after the other, to at most about one piece past the limit."""
    pieces, size, start = list[bytes](), 0, 0
    while start < len(data) and size <= limit:
        start = _start_of_member(data, start)
        following = _codec_of(data, start)
        if following is None:
            raise _Corrupt(f"it goes on with something else at byte {start}")
        piece, end = following.unpack(data, start, limit + 1 - size, meter)
        pieces.append(piece)
        size += len(piece)
        padding = _PADDING.match(data, end)
        start = padding.end() if padding else end
    return b"".join(pieces)


def _inflate(window: int) -> Callable[[bytes, int, int, Meter], tuple[bytes, int]]:
    """Make what unpacks one member of gzip, or one stream of zlib."""

    def unpack_member(data: bytes, start: int, most: int, meter: Meter) -> tuple[bytes, int]:
        try:
            content, end, is_whole = inflate(window, data, start, most, meter)
        except zlib.error as error:
            raise _Corrupt(str(error)) from None
        if not is_whole:
            message = "it ends before its trailer"
            raise _Corrupt(message)
        return content, end

    return unpack_member


def _unpack_frames(data: bytes, start: int, most: int, meter: Meter) -> tuple[bytes, int]:
    """Unpack frames of zstd that follow each other without anything between them."""
    end = start
    while ZSTD.match(data, end):
        end = _end_of_frame(data, end)
    pieces, size, room = list[pa.Buffer](), 0, _FIRST_PIECE
    try:
        buffer = pa.py_buffer(data).slice(start, end - start)
        with pa.CompressedInputStream(pa.BufferReader(buffer), "zstd") as stream:
            # `read` would leave what it has allocated in memory for good where it fails.
            while size < most and (piece := stream.read_buffer(min(room, most - size))).size:
                pieces.append(piece)
                size += piece.size
                room = min(4 * room, _PIECE)
    except (OSError, pa.ArrowException) as error:
        meter.spent += max(room, _BLOCK)
        raise _Corrupt(str(error)) from None
    finally:
        meter.spent += size
    return b"".join(pieces), end


def _end_of_frame(data: bytes, start: int) -> int:
    """Return the offset behind a frame, or a skippable frame, from the sizes that it gives."""
    begun = start
    try:
        if not data.startswith(ZSTD_FRAME, start):
            end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        else:
            descriptor, last = data[start + 4], False
            end = start + 4 + zstd_header_bytes(descriptor)
            while not last:
                size, last = zstd_block(data[end : end + 3])
                _check(end + 3 <= len(data))
                end += 3 + size
            end += 4 if descriptor & 4 else 0  # a checksum
        _check(end <= len(data))
    except IndexError:
        raise _Corrupt(f"the frame at byte {begun} is cut short") from None
    return end


def _check(is_there: bool) -> None:  # noqa: FBT001 - an index out of range, told early
    if not is_there:
        raise IndexError


def _without_header(payload: bytes) -> bytes:
    """Take off a schema registry's header, if JSON or compressed data follows it."""
    for header, size in ((_GLUE_PLAIN_HEADER, _GLUE_BYTES), (_CONFLUENT_HEADER, _CONFLUENT_BYTES)):
        if payload.startswith(header) and _opens(payload, size):
            return payload[size:]
    return payload


def _opens(payload: bytes, start: int) -> bool:
    """Tell whether JSON, gzip or zstd begins there; by two bytes, zlib could be chance."""
    return bool(
        _OPENS_JSON.match(payload, start)
        or payload.startswith(GZIP, start)
        or ZSTD.match(payload, start)
    )


_GZIP = _Codec("gzip", _inflate(GZIP_WINDOW))
_ZLIB = _Codec("zlib", _inflate(zlib.MAX_WBITS))
_ZSTD = _Codec("zstd", _unpack_frames)
