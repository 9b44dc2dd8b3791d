"""Deflate, bounded: what is unpacked is counted while it is, and never goes past what is wanted."""

import zlib

import msgspec

_FIRST_BITE = 512  # bytes: what is not used of a bite is copied, so small members want small ones
_MOST_OF_A_BITE = 64  # bytes for each of a bite: deflate makes up to 1,032 of one


class Meter(msgspec.Struct):
    """Counts the bytes that came out of compression, those that were thrown away again, too.

    Where something turns out to be broken, what was asked for last counts as unpacked: it may have
    been, and nobody says how much of it was.
    """

    spent: int = 0


def inflate(
    window: int, data: bytes, start: int, most: int, meter: Meter
) -> tuple[bytes, int, bool]:
    """Unpack one stream of zlib, or one member of gzip, that begins at `start`.

    Returns at most `most` bytes, where they end in the data, and whether that is all that there is
    or was wanted; else it is cut short. Raises `zlib.error`. `window` is as zlib has it.
    """
    member, pieces, bite = zlib.decompressobj(window), list[bytes](), _FIRST_BITE
    wanted, asked = most, 0
    try:
        while not member.eof and start < len(data) and wanted > 0:
            taken = data[start : start + bite]
            asked = min(wanted, _MOST_OF_A_BITE * len(taken))
            pieces.append(member.decompress(taken, asked))
            wanted -= len(pieces[-1])
            start += len(taken) - len(member.unconsumed_tail)
            bite *= 2
        if not member.eof and wanted > 0:
            pieces.append(member.flush(wanted))
            wanted -= len(pieces[-1])
    except zlib.error:
        meter.spent += asked
        raise
    finally:
        meter.spent += most - wanted
    return b"".join(pieces), start - len(member.unused_data), member.eof or wanted <= 0
