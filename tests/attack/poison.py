"""Stream records of few bytes that are much work: Lambda cannot cut one, so each has to be done with.

Each is legal, and accepted by Kinesis, which takes up to 10 MiB.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pyarrow as pa
from google.protobuf import descriptor_pb2

from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.magic import ZSTD_FRAME

LARGEST = 10 * 2**20
_MOST_DOCUMENTS = 9_999  # of a payload: one less than its limit
_LARGEST_DOCUMENT = 2**20 - 400
_HEAD = (
    b'{"@stream":"orders","order_id":"0e984725-c51c-4bf4-9960-e1c80e27aba0",'
    b'"placed_at":"2026-11-23T09:30:00.123456Z","country":"DE","total":64.97,'
    b'"customer":{"id":1001},"items":['
)


def _lines(document: bytes, count: int = _MOST_DOCUMENTS) -> bytes:
    return (document + b"\n") * count


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def _order(price: bytes) -> bytes:
    item = b'{"sku":"a","quantity":1,"price":%b}' % price
    return _HEAD + b",".join([item] * ((_LARGEST_DOCUMENT - 400) // (len(item) + 1))) + b"]}"


def _of(payload: bytes, most: int = 2**20) -> bytes:
    """Return an aggregate of one payload again and again, as often as a stream record takes it."""
    count = min(most, (LARGEST - 100) // (len(payload) + 12))
    return aggregate(UserRecord("a", payload) for _ in range(count))


def _control_characters() -> bytes:
    """Return text of which every byte takes six in a dead letter, and an emoji to widen it."""
    return b"\1" * (2**26 - 8) + "\N{GRINNING FACE}".encode()


def breaking_zstd() -> bytes:
    """Return a frame of 1 MiB in 40 bytes, whose last block is of a kind that does not exist."""
    block = (2**17 << 3 | 2).to_bytes(3, "little") + b"1"  # so many times the same byte
    return ZSTD_FRAME + b"\0\x58" + 7 * block + b"\7\0\0"


POISON: dict[str, Callable[[], bytes]] = {
    "gzip of empty objects": lambda: _of(_gzip(_lines(b"{}")), 130),
    "gzip of numbers": lambda: _of(_gzip(_lines(b"1"))),
    "zstd of valid orders": lambda: _of(_zstd(_lines(_order(b"1"), 63)), 8),
    "zstd of orders that do not fit": lambda: _of(_zstd(_lines(_order(b"1.23456789"), 63)), 8),
    "gzip of control characters": lambda: _of(_gzip(_control_characters()), 2),
    "gzip in gzip": lambda: _of(_gzip(_gzip(_lines(b"1" * 6_000)))),
    "gzip that is cut short": lambda: _of(_gzip(_lines(b"1" * 6_000))[:-8]),
    "zstd that breaks at its end": lambda: _of(breaking_zstd(), 5_000),
    "lines of numbers": lambda: _of(_lines(b"1")),
    "lines of empty objects": lambda: _of(_lines(b"{}")),
    "user records of empty objects": lambda: _of(b"{}"),
    "user records of nothing": lambda: _of(b""),
    "gzip of empty arrays": lambda: _of(_gzip(b"[]" * 2**25), 1),
    "gzip of an array without commas": lambda: _of(_gzip(b"[%b]" % (b"[]\n" * 2**24)), 1),
    "gzip of brackets that do not match": lambda: _of(_gzip(b"[{},%b" % (b"{]" * 2**24)), 1),
    "gzip of objects behind a broken line": lambda: _of(_gzip(b"x\n" + b"{}" * 2**25), 1),
    "gzip of an array of objects": lambda: _of(_gzip(b"[%b{}]" % (b"{}," * (2**26 // 3 - 1))), 1),
    "gzip of an array of arrays": lambda: _of(_gzip(b'[%b["{"]]' % (b"[]," * (2**26 // 3 - 3))), 1),
    "one line of brackets": lambda: b"[" * LARGEST,
    "one array of numbers": lambda: b"[%b1]" % (b"1," * (LARGEST // 2 - 2)),
}


# A stream's rules, for records that are much work only where envelopes are opened.
_EACH = """
[[envelope]]
each = "$.e"
keep = ["$.k"]
"""
_EACH_OF_EACH = """
[[envelope]]
each = "$.e"
keep = ["$.k", "$.f"]

[[envelope]]
when = { "$.x" = 1 }
drop = "x"

[[envelope]]
each = "$.f"
keep = ["$.k"]
"""
_DYNAMODB = """
[[envelope]]
lift = "$.v"
decode = "dynamodb"
"""
_PARSE = "".join(
    f"""
[[envelope]]
when = {{ "$.p" = {{ present = true }} }}
parse = "$.p"
keep = {{ k{n} = "$.k" }}
"""
    for n in range(32)
)


def _envelope(element: bytes, count: int, kept: int, beside: bytes = b'"f":0') -> bytes:
    """Return an envelope of so many elements, which has `kept` bytes to keep."""
    return b'{"k":"%b",%b,"e":[%b]}' % (b"k" * kept, beside, b",".join([element] * count))


def _nested(count: int) -> bytes:
    """Return JSON text in a string in JSON text in a string, as deep as a document may go."""
    text = b'{"q":0}'
    for _ in range(count):
        text = b'{"p":%b}' % json.dumps(text.decode()).encode()
    return text


POISONED_ENVELOPES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "much that is kept for each": (_EACH, lambda: _of(_envelope(b"{}", 4_500, 14_000), 370)),
    "envelopes of empty objects": (
        _EACH,
        lambda: _of(_gzip(_lines(_envelope(b"{}", 131_000, 0), 60)), 370),
    ),
    "envelopes of empty objects, and what is kept": (
        _EACH,
        lambda: _of(_gzip(_lines(_envelope(b"{}", 131_000, 500), 60)), 370),
    ),
    "elements that are not objects": (_EACH, lambda: _of(_envelope(b"1", 131_000, 10), 30)),
    "elements that are not objects, in a long envelope": (
        _EACH,
        lambda: _of(_envelope(b"1", 2_000, 14_000), 370),
    ),
    "elements with a member of the same name": (
        _EACH,
        lambda: _of(_envelope(b'{"k":1}', 4_500, 14_000), 370),
    ),
    "elements with names that have escapes": (
        _EACH,
        lambda: _of(_envelope(rb'{"\u006a":1}', 9_000, 7_000), 80),
    ),
    "elements that are dropped, with much that is kept": (
        _EACH_OF_EACH,
        lambda: _of(_envelope(b'{"x":1}', 4_500, 14_000), 370),
    ),
    "elements of elements": (
        _EACH_OF_EACH,
        lambda: _of(_envelope(b"{}", 300, 100, b'"f":[%b]' % b",".join([b"{}"] * 300)), 370),
    ),
    "elements of elements that are not objects": (
        _EACH_OF_EACH,
        lambda: _of(_envelope(b"{}", 300, 100, b'"f":[%b]' % b",".join([b"1"] * 300)), 370),
    ),
    "attribute values of long lists": (
        _DYNAMODB,
        lambda: _of(b'{"v":{"l":{"L":[%b]}}}' % b",".join([b'{"N":"1"}'] * 99_000), 10),
    ),
    "attribute values of long numbers": (
        _DYNAMODB,
        lambda: _of(b'{"v":{"l":{"N":"%b"}}}' % (b"1" * 1_000_000), 10),
    ),
    "text in text": (_PARSE, lambda: _of(_gzip(_lines(_nested(7), 9_000)), 20)),
    "one document each, lifted": (_EACH, lambda: _of(_envelope(b"{}", 1, 0))),
}
"""Stream records with the rules of their streams."""


def rules_of(format_: str, framing: str) -> str:
    """Return the rules of a stream of such payloads, whose writers' schema is in `_w`."""
    without = f'schema = "{WRITTEN[format_][0]}"\n' if framing == "none" else ""
    return f'[payload]\nformat = "{format_}"\nframing = "{framing}"\nschemas = "_w"\n{without}'


def _descriptors() -> bytes:
    """Return a message that may have itself many times, and whose other fields have defaults."""
    file = descriptor_pb2.FileDescriptorProto(name="many.proto", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="Many")
    message.field.add(
        name="n", number=1, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE, type_name=".Many"
    )
    for number in range(2, 100):
        kind = field.TYPE_INT32
        message.field.add(name=f"f{number}", number=number, label=field.LABEL_OPTIONAL, type=kind)
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def _schema() -> bytes:
    """Return a record whose arrays have elements of no bytes, and whose first may be empty."""
    none = {"type": "record", "name": "None", "fields": []}
    fields = [
        {"name": "a", "type": {"type": "array", "items": "null"}},
        {"name": "b", "type": {"type": "array", "items": none}},
        {"name": "c", "type": {"type": "array", "items": {"type": "array", "items": "null"}}},
    ]
    return json.dumps({"type": "record", "name": "Many", "fields": fields}).encode()


WRITTEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "avro": ("7.avsc", _schema),
    "protobuf": ("7.desc", _descriptors),
}
"""The writers' schema of a format: the name of its file, and what is in it."""
_ID = b"\0\0\0\0\7"


def _nulls(count: int, element: bytes = b"") -> bytes:
    """Return an array of Avro, whose elements take no bytes, or few."""
    number, written = count << 1, bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(written) + bytes([number]) + element * count + b"\0"


_SOME, _MANY = 2**14, 2**18  # payloads; what they cost is in proportion
POISONED_PAYLOADS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "messages of one field": ("protobuf", "none", lambda: _of(b"\x10\1", _MANY)),
    "messages of nothing": ("protobuf", "none", lambda: _of(b"", _SOME)),
    "headers before nothing": ("protobuf", "confluent", lambda: _of(_ID + b"\0", _SOME)),
    "messages of empty messages": ("protobuf", "none", lambda: _of(b"\n\0" * 2**19)),
    "messages of some empty messages": ("protobuf", "none", lambda: _of(b"\n\0" * 900)),
    "messages that break at their end": ("protobuf", "none", lambda: _of(b"\n\0" * 900 + b"\n")),
    "records of empty arrays": ("avro", "none", lambda: _of(b"\0\0\0", _MANY)),
    "headers of unknown schemas": ("avro", "confluent", lambda: _of(b"\0\0\0\1\0\0", _SOME)),
    "records of a billion nulls": ("avro", "none", lambda: _of(_nulls(2**30) + b"\0\0", _SOME)),
    "records of many nulls": ("avro", "none", lambda: _of(_nulls(200_000) + b"\0\0", _SOME)),
    "records of many empty records": (
        "avro",
        "none",
        lambda: _of(b"\0" + _nulls(340_000) + b"\0", _SOME),
    ),
    "records of empty arrays in an array": (
        "avro",
        "none",
        lambda: _of(b"\0\0" + _nulls(170_000, b"\0"), 10),
    ),
    "records that break at their end": (
        "avro",
        "none",
        lambda: _of(_nulls(200_000) + b"\0", _SOME),
    ),
}
"""Stream records with the format and the framing of their payloads."""
