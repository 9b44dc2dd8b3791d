"""How protobuf writes numbers and fields: as much of it as the KPL's format needs."""

import functools


def written(number: int, content: bytes) -> bytes:
    """Write a field of bytes, of a message or of text, as protobuf does."""
    return varint(number << 3 | 2) + varint(len(content)) + content


@functools.lru_cache(maxsize=8_192)
def varint(number: int) -> bytes:
    """Write a number as protobuf does: 7 bits a byte, the lowest first, all but the last marked."""
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - what fits into 7 bits
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
