"""Every way a producer can get it wrong, and the reason that must be given for it.

Three reasons have no kind here, because the demo's datasets cannot give them. `partition_too_long`:
the one partition column that a producer fills, an order's country, has a pattern of two letters,
which is checked first. `unknown_field`: both datasets ignore what they do not know.
`envelope_mismatch`: nothing on this stream is in an envelope.
"""

import bz2
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pybase64

from pipeline.core.kpl import DIGEST_BYTES, UserRecord, aggregate
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits
from pipeline.demo.documents import Shop

_LIMITS = Limits()
_NO_SUCH_KEY = 99
encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class BrokenKind:
    """One way to be broken.

    `dataset` is whose dead letter it becomes; None: nobody can say. What `make` returns is sent
    as a whole stream record, as a user record, or as a document among others. `good_orders` are
    in the same stream record and not broken. A `costly` kind is sent once. One that `is_open` does
    not end: what follows it in its payload may be a part of it, and so would not be a row.
    """

    name: str
    reason: Reason
    dataset: str | None
    sent_as: Literal["stream record", "user record", "document"]
    make: Callable[[Shop], bytes]
    good_orders: int = 0
    costly: bool = False
    is_open: bool = False


def _order(name: str, reason: Reason, spoil: Callable[[dict[str, Any]], Any]) -> BrokenKind:
    def make(shop: Shop) -> bytes:
        order = shop.order()
        spoil(order)
        return encode(order)

    return BrokenKind(name, reason, "orders", "document", make)


def _click(name: str, reason: Reason, **changes: Any) -> BrokenKind:
    return BrokenKind(
        name, reason, "clicks", "document", lambda shop: encode({**shop.click(), **changes})
    )


def _set(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda order: order.update(changes)


def _set_item(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda order: order["items"][0].update(changes)


def _literal(literal: bytes) -> Callable[[Shop], bytes]:
    """Write what Python's json module writes, and JSON does not have."""
    return lambda shop: encode({**shop.order(), "weight_kg": 0})[:-2] + literal + b"}"


def _some_orders(shop: Shop, count: int = 2) -> bytes:
    return aggregate(UserRecord(shop.key(), encode(shop.order())) for _ in range(count))


def _sealed(body: bytes) -> bytes:
    """Make an aggregate of any bytes: its MD5 is right, whatever they are."""
    return KPL_MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


def _changed_on_the_way(shop: Shop) -> bytes:
    data = bytearray(_some_orders(shop))
    data[-1] ^= 0xFF
    return bytes(data)


def _with_a_bad_key_index(shop: Shop) -> bytes:
    """Append a user record that points outside the key table to an aggregate, by hand."""
    body = _some_orders(shop)[len(KPL_MAGIC) : -DIGEST_BYTES]
    data = encode(shop.order())
    record = bytes([0x08, _NO_SUCH_KEY, 0x1A]) + _varint(len(data)) + data
    return _sealed(body + b"\x1a" + _varint(len(record)) + record)


def _varint(number: int) -> bytes:
    """Encode a number as protobuf does."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _lines(shop: Shop) -> bytes:
    return b"\n".join(encode(shop.order()) for _ in range(3))


def _protobuf(shop: Shop) -> bytes:
    """Make a message of one field: an order's id, as text."""
    order_id = str(shop.order()["order_id"]).encode()
    return b"\x0a" + _varint(len(order_id)) + order_id


def _too_deep(shop: Shop) -> bytes:
    levels = 100_000
    return encode({**shop.click(), "tags": 0})[:-2] + b"[" * levels + b"]" * levels + b"}"


def _too_large(shop: Shop) -> bytes:
    """Make one document over the limit; compressed, since Kinesis might not accept it as it is."""
    return _zip(encode({**shop.order(), "note": "x" * _LIMITS.document_bytes}))


def _zip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)


_ON_THE_STREAM = (
    BrokenKind("aggregate with a wrong MD5", Reason.KPL_CHECKSUM, None, "stream record",
         _changed_on_the_way),
    BrokenKind("aggregate cut short", Reason.KPL_TRUNCATED, None, "stream record",
         lambda shop: _some_orders(shop)[:-200]),
    BrokenKind("no protobuf under a right MD5", Reason.KPL_PROTOBUF, None, "stream record",
         lambda _: _sealed(b"\xff" * 64)),
    BrokenKind("aggregate of no records", Reason.KPL_NO_RECORDS, None, "stream record",
         lambda _: aggregate([])),
    BrokenKind("user record with a bad key index", Reason.KPL_KEY_INDEX, None, "stream record",
         _with_a_bad_key_index, good_orders=2),
    BrokenKind("empty record", Reason.EMPTY_RECORD, None, "stream record", lambda _: b""),
)  # fmt: skip
_PAYLOADS = (
    BrokenKind("white space alone", Reason.EMPTY_RECORD, None, "user record", lambda _: b" \r\n"),
    BrokenKind("corrupt gzip", Reason.CORRUPT_COMPRESSION, None, "user record",
         lambda shop: _zip(_lines(shop))[:-12]),
    BrokenKind("corrupt zstd", Reason.CORRUPT_COMPRESSION, None, "user record",
         lambda shop: pa.Codec("zstd").compress(_lines(shop), asbytes=True)[:-12]),
    BrokenKind("aggregate in an aggregate", Reason.NESTED_AGGREGATE, None, "user record",
         _some_orders),
    BrokenKind("Avro data", Reason.AVRO_DATA, None, "user record",
         lambda shop: b"Obj\x01" + encode(shop.order())),
    BrokenKind("protobuf", Reason.PROTOBUF, None, "user record", _protobuf),
    BrokenKind("MessagePack", Reason.MESSAGEPACK, None, "user record",
         lambda shop: msgspec.msgpack.encode(shop.order())),
    BrokenKind("registry's header before protobuf", Reason.REGISTRY_DATA, None, "user record",
         lambda shop: b"\0\0\0\0\7" + _protobuf(shop)),
    BrokenKind("base64 of a document", Reason.BASE64_TEXT, None, "user record",
         lambda shop: pybase64.b64encode(encode(shop.order()))),
    BrokenKind("bzip2", Reason.OTHER_FORMAT, None, "user record",
         lambda shop: bz2.compress(_lines(shop))),
    BrokenKind("gzip that unpacks past the limit", Reason.UNPACKED_TOO_LARGE, None, "user record",
         lambda _: _zip(bytes(_LIMITS.unpacked_bytes + 1)), costly=True),
    BrokenKind("too many documents", Reason.TOO_MANY_DOCUMENTS, None, "user record",
         lambda _: _zip(b"{}\n" * (_LIMITS.documents + 1)), costly=True),
    BrokenKind("document over 1 MiB", Reason.DOCUMENT_TOO_LARGE, None, "user record",
         _too_large, costly=True),
    BrokenKind("100,000 levels deep", Reason.TOO_DEEP, None, "user record", _too_deep, costly=True),
)  # fmt: skip
_TEXTS = (
    BrokenKind("not UTF-8", Reason.NOT_UTF8, None, "document",
         lambda shop: encode({**shop.order(), "coupon": "Grüße"}).decode().encode("latin-1")),
    BrokenKind("not JSON", Reason.NOT_JSON, None, "document",
         lambda shop: encode(shop.order())[:-9], is_open=True),
    BrokenKind("not an object", Reason.NOT_OBJECT, None, "document",
         lambda shop: encode([shop.now.isoformat(), "order placed", 3])),
    BrokenKind("NaN", Reason.NOT_JSON, None, "document", _literal(b"NaN")),
    BrokenKind("Infinity", Reason.NOT_JSON, None, "document", _literal(b"-Infinity")),
    BrokenKind("a document no dataset matches", Reason.NO_DATASET, None, "document",
         lambda shop: encode({**shop.order(), "@stream": "refunds"})),
)  # fmt: skip
_ORDERS = (
    _order("required field is missing", Reason.MISSING_FIELD, lambda order: order.pop("order_id")),
    _order("wrong type", Reason.WRONG_TYPE, lambda order: order["customer"].update(id="17")),
    _order("integer out of range", Reason.OUT_OF_RANGE, _set_item(quantity=3_000_000_000)),
    _order("unknown symbol", Reason.UNKNOWN_SYMBOL, _set(status="lost")),
    _order("number below its minimum", Reason.BELOW_MINIMUM, _set_item(quantity=0)),
    _order("pattern not matched", Reason.PATTERN_MISMATCH, _set(country="Germany")),
    _order("string too short", Reason.TOO_SHORT, _set_item(sku="")),
    _order("decimal that does not fit", Reason.DECIMAL_MISFIT, _set(total="19.999")),
    _order("time without a zone", Reason.BAD_FORMAT, _set(placed_at="2026-11-23T22:45:00")),
    _order("event time outside its window", Reason.OUTSIDE_WINDOW,
           _set(placed_at="2021-01-01T00:00:00Z")),
)  # fmt: skip
_CLICKS = (
    _click("unknown symbol in a click", Reason.UNKNOWN_SYMBOL, event="swipe"),
    _click("number above its maximum", Reason.ABOVE_MAXIMUM, scroll_depth=1.5),
    _click("string too long", Reason.TOO_LONG, session_id="s-" + "0" * 64),
    _click("number below its minimum in a click", Reason.BELOW_MINIMUM, duration_ms=-1),
)

KINDS: tuple[BrokenKind, ...] = (*_ON_THE_STREAM, *_PAYLOADS, *_TEXTS, *_ORDERS, *_CLICKS)
