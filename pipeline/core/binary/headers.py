"""What stands before a binary payload and names the schema that it was written with.

    Confluent  00 <4 bytes: id, big-endian>                            then the value
    Glue       03 <00: plain | 05: zlib> <16 bytes: UUID of the version>    then the value

Nothing is taken off by guess: the stream says which header its payloads have.
"""

import uuid
import zlib

from pipeline.core.inflating import Meter, inflate
from pipeline.core.payload_format import Header
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation

_CONFLUENT_MAGIC, _CONFLUENT_BYTES = 0x00, 5
_GLUE_MAGIC, _GLUE_BYTES = 0x03, 18
_PLAIN, _ZLIB = 0x00, 0x05


def take_off(
    header: Header, payload: bytes, limit: int, meter: Meter
) -> tuple[str, bytes] | Violation:
    """Return the id in a payload's header, and what stands behind it, of at most `limit` bytes.

    Without a header, the id is "". The meter counts what was unpacked.
    """
    if header is Header.CONFLUENT:
        return _confluent(payload)
    return _glue(payload, limit, meter) if header is Header.GLUE else ("", payload)


def _confluent(payload: bytes) -> tuple[str, bytes] | Violation:
    if len(payload) < _CONFLUENT_BYTES:
        return _too_short(payload, "Confluent", _CONFLUENT_BYTES)
    if payload[0] != _CONFLUENT_MAGIC:
        return _bad(f"begins with byte {payload[0]:#04x}; Confluent's header begins with 0x00")
    return str(int.from_bytes(payload[1:_CONFLUENT_BYTES])), payload[_CONFLUENT_BYTES:]


def _glue(payload: bytes, limit: int, meter: Meter) -> tuple[str, bytes] | Violation:
    if len(payload) < _GLUE_BYTES:
        return _too_short(payload, "Glue", _GLUE_BYTES)
    magic, compression = payload[0], payload[1]
    if magic != _GLUE_MAGIC:
        return _bad(f"begins with byte {magic:#04x}; Glue's header begins with 0x03")
    if compression not in {_PLAIN, _ZLIB}:
        return _bad(
            f"has the byte {compression:#04x} for its compression; Glue has 0x00 (none) and "
            "0x05 (zlib)"
        )
    value = payload[_GLUE_BYTES:]
    if compression == _ZLIB:
        unpacked = _inflated(value, limit, meter)
        if isinstance(unpacked, Violation):
            return unpacked
        value = unpacked
    return str(uuid.UUID(bytes=payload[2:_GLUE_BYTES])), value


def _inflated(value: bytes, limit: int, meter: Meter) -> bytes | Violation:
    try:
        unpacked, end, is_whole = inflate(zlib.MAX_WBITS, value, 0, limit + 1, meter)
    except zlib.error as error:
        message = f"What stands behind Glue's header cannot be unpacked as zlib: {error}."
        return Violation(Reason.CORRUPT_COMPRESSION, message)
    if len(unpacked) > limit:
        message = f"The payload unpacks to more than {limit} bytes; send it in several records."
        return Violation(Reason.UNPACKED_TOO_LARGE, message)
    if not is_whole or end < len(value):
        what_is_wrong = "it goes on behind its end" if is_whole else "it ends before its end"
        message = f"What stands behind Glue's header cannot be unpacked as zlib: {what_is_wrong}."
        return Violation(Reason.CORRUPT_COMPRESSION, message)
    return unpacked


def _too_short(payload: bytes, name: str, size: int) -> Violation:
    return _bad(f"has {len(payload)} bytes; {name}'s header alone has {size}")


def _bad(problem: str) -> Violation:
    return Violation(
        Reason.BAD_HEADER,
        f"The payload {problem}. Compare framing in stream.toml with what the producer sends.",
    )
