"""What a payload is that is not JSON: formats that producers send by mistake, known by their bytes.

Only payloads in which no document was found come here, so nothing in here can cost a row: it gives
a dead letter the reason that tells its reader what the producer sends, and keeps the bytes.
"""

import re
from collections.abc import Callable

import msgspec
import pybase64

from pipeline.core.jsontext import is_json
from pipeline.core.magic import BYTE_ORDER_MARK, GZIP, KPL_MAGIC, ZSTD_FRAME
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation

_AVRO_FILE, _AVRO_SINGLE = b"Obj\x01", b"\xc3\x01"
_REGISTRY_HEADER = re.compile(rb"\x03[\x00\x05].{16}|\x00.{5}", re.DOTALL)
# Others, by their first bytes.
_MAGIC = {
    b"PAR1": "a Parquet file",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow file",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\0": "compressed with xz",
    b"\x04\x22\x4d\x18": "compressed with lz4",
    b"\xff\x06\0\0sNaPpY": "compressed with snappy",
    b"PK\x03\x04": "a zip archive",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"\xd9\xd9\xf7": "CBOR",
}
# Each ASCII character has a zero byte beside it.
_UTF_16 = re.compile(rb"(?:\0[\t\r\n -~]){4}|(?:[\t\r\n -~]\0){4}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\r\n]{8,}={0,2}\s*")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_MORE = 0x80
_LONGEST_VARINT = 10
_LARGEST_FIELD = 2**29 - 1
_BEHIND_THE_FIRST = re.compile(r"trailing characters \(byte (\d+)\)")
_MAPS = frozenset({*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})  # MessagePack's maps and arrays


# No text begins with one of these bytes: control characters, and those that go on in UTF-8. With
# them MessagePack and CBOR begin, and there may be line breaks and whole documents in both.
_BINARY = frozenset({*range(0x20), *range(0x7F, 0xC0)}) - frozenset(b" \t\r\n\x1e")


def is_binary(data: bytes) -> bool:
    """Tell by its first bytes whether data is not text at all, whatever stands further on in it.

    What may stand before a document (white space, a registry's header) has to be taken off before.
    """
    return bool(data) and (data[0] in _BINARY or _is_avro(data) or data.startswith((*_MAGIC,)))


def is_meant_as_json(text: bytes) -> bool:
    """Tell whether a text begins like a document, broken or not; in UTF-16 it does not."""
    return text[:1] in (b"{", b"[") and text[1:2] != b"\0"


def violation_of(text: bytes, payload: bytes = b"") -> Violation | None:
    """Say what a text without a document is, if it is plainly something else than JSON.

    `payload` is what it was taken out of, where something stood around it.
    """
    for is_it, reason, name in _KINDS:
        if is_it(text):
            return _sent_as(reason, name)
    for magic, name in _MAGIC.items():
        if text.startswith(magic):
            return _sent_as(Reason.OTHER_FORMAT, name)
    return _sent_as(*_REGISTRY) if _has_registry_header(payload) else None


def _sent_as(reason: Reason, name: str) -> Violation:
    return Violation(reason, f"The payload is {name}; have the producer send JSON.")


def _is_aggregate(payload: bytes) -> bool:
    return payload.startswith(KPL_MAGIC)


def _is_avro(payload: bytes) -> bool:
    return payload.startswith((_AVRO_FILE, _AVRO_SINGLE))


def _is_utf_16(payload: bytes) -> bool:
    return _UTF_16.match(payload) is not None


def _has_registry_header(payload: bytes) -> bool:
    return _REGISTRY_HEADER.match(payload) is not None


def _is_base64(payload: bytes) -> bool:
    """Tell whether a payload is base64 of JSON, or of compressed data; or several, one a line."""
    return _is_one_base64(payload) or (
        b"=" in payload and all(map(_is_one_base64, payload.split()))
    )


def _is_one_base64(payload: bytes) -> bool:
    if not _BASE64.fullmatch(payload):
        return False
    text = payload.translate(_URL_SAFE, b"\r\n \t=")
    try:
        inner = pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    if inner.startswith((GZIP, ZSTD_FRAME, KPL_MAGIC)):
        return True
    # Not by its first byte alone, as words may begin like base64 of a bracket.
    inner = inner.removeprefix(BYTE_ORDER_MARK).strip()
    whole = is_json(inner) or all(map(is_json, inner.splitlines()))
    return inner[:1] in (b"{", b"[") and whole


def _is_messagepack(payload: bytes) -> bool:
    if not payload or payload[0] not in _MAPS:
        return False
    try:
        msgspec.msgpack.decode(payload, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        # The first one is whole, and another one begins behind it.
        behind = _BEHIND_THE_FIRST.search(str(error))
        return behind is not None and payload[int(behind[1])] in _MAPS
    except RecursionError:
        return False
    return True


def _is_protobuf(payload: bytes) -> bool:
    """Tell whether a payload is a run of protobuf's fields from its first byte to its last."""
    start, fields = 0, 0
    while start < len(payload):
        tag, start = _varint(payload, start)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number <= _LARGEST_FIELD:
            return False
        if wire_type == _LENGTH_DELIMITED:
            length, start = _varint(payload, start)
            start += length
        elif wire_type == _VARINT:
            _, start = _varint(payload, start)
        elif wire_type in (_FIXED64, _FIXED32):
            start += 8 if wire_type == _FIXED64 else 4
        else:
            return False
        fields += 1
    return fields > 0 and start == len(payload)


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte; (0, 0) stands for none, as field 0 does not exist."""
    number = 0
    for index, byte in enumerate(data[start : start + _LONGEST_VARINT]):
        number |= (byte & ~_MORE) << 7 * index
        if byte < _MORE:
            return number, start + index + 1
    return 0, len(data) + 1


_REGISTRY = (Reason.REGISTRY_DATA, "a registry's header, and then something else")
_KINDS: tuple[tuple[Callable[[bytes], bool], Reason, str], ...] = (
    (_is_aggregate, Reason.NESTED_AGGREGATE, "a KPL aggregate within compression or an aggregate"),
    (_is_avro, Reason.AVRO_DATA, "Avro's binary data"),
    (_is_messagepack, Reason.MESSAGEPACK, "MessagePack"),
    (_is_utf_16, Reason.OTHER_FORMAT, "text in UTF-16"),
    (_has_registry_header, *_REGISTRY),
    (_is_base64, Reason.BASE64_TEXT, "base64 of JSON or of compressed data"),
    (_is_protobuf, Reason.PROTOBUF, "what looks like a protobuf message"),
)
