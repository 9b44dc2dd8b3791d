"""The part of an ELF file that the loader reads; the rest is symbols for debuggers and linkers."""

import struct

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian: both of Lambda's architectures
_OFFSETS = struct.Struct("<QQ")  # of the program headers and of the section headers, at byte 32
_COUNTS = struct.Struct("<HHHHH")  # sizes and numbers of both, and a section's index, at byte 54
_SEGMENT = struct.Struct("<8xQ16xQ")  # where a segment starts in the file, and its length there


def loaded(body: bytes) -> bytes:
    """Cut off what follows the last segment, section headers included.

    `strip` does this too, but here the result is the same for both architectures, on any machine.
    A file that is not an ELF file is returned as it is.
    """
    if not body.startswith(_MAGIC):
        return body
    segments, _ = _OFFSETS.unpack_from(body, 32)
    size, count, _, _, _ = _COUNTS.unpack_from(body, 54)
    ends = [segments + size * count]
    for number in range(count):
        start, length = _SEGMENT.unpack_from(body, segments + size * number)
        ends.append(start + length)
    kept = bytearray(body[: max(ends)])
    _OFFSETS.pack_into(kept, 32, segments, 0)
    _COUNTS.pack_into(kept, 54, size, count, 0, 0, 0)
    return bytes(kept)
