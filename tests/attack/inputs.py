"""Recipes to bytes: documents, their framing, what stands around them, and the dataset's schema."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.magic import KPL_MAGIC

from .recipes import Recipe

MARK = "Zq7PayloadXk"
"""Stands in every document's values; no byte of a payload may be printed, so nor may this."""

_NUMBER = "8675309"
_LARGEST = 2**20 - 512  # of a document
_LARGEST_RECORD = 10 * 2**20 - 200  # of a stream
_MOST_UNPACKED, _MOST_DOCUMENTS = 2**23, 100_000  # of a stream record, so that many can be tried
_UUID = "0e984725-c51c-4bf4-9960-e1c80e27aba0"


def _repeated(text: str, length: int, between: str = "") -> str:
    return between.join([text] * max(1, length // (len(text) + len(between))))


def _object(members: Iterable[str]) -> str:
    return "{" + ",".join(members) + "}"


def _array(item: str, length: int) -> str:
    return f"[{_repeated(item, length, ',')}]"


_LEAVES: dict[str, Callable[[int], str]] = {
    "long string": lambda n: f'"{MARK}{"a" * n}"',
    "escapes": lambda n: f'"{MARK}{_repeated(chr(92) + "n", n)}"',
    "unicode escapes": lambda n: f'"{MARK}{_repeated(chr(92) + "u00e9", n)}"',
    "quotes in a string": lambda n: f'"{MARK}{_repeated(chr(92) + chr(34), n)}"',
    "brackets in a string": lambda n: f'"{MARK}{_repeated("[{", n)}"',
    "control characters": lambda n: f'"{MARK}{chr(1) * n}"',
    "emoji": lambda n: f'"{MARK}{chr(0x1F600) * max(1, n // 4)}"',
    "half pair": lambda n: f'"{MARK}{_repeated(chr(92) + "ud800", n)}"',
    "long integer": lambda n: _repeated(_NUMBER, n),
    "long fraction": lambda n: f"0.{_repeated(_NUMBER, n)}",
    "exponent": lambda n: f"1e{_repeated('9', min(n, 4_000))}",
    "zeros": lambda n: f"1{'0' * n}",
    "deep arrays": lambda n: "[" * (n // 2) + f'"{MARK}"' + "]" * (n // 2),
    "deep objects": lambda n: '{"a":' * (n // 6) + f'"{MARK}"' + "}" * (n // 6),
    "wide array": lambda n: f'["{MARK}",{_repeated("1", n, ",")}]',
    "wide object": lambda n: _object(f'"k{i}":"{MARK}"' for i in range(max(1, n // 20))),
    "repeated keys": lambda n: _object([_repeated(f'"k":"{MARK}"', n, ",")]),
    "strings": lambda n: _array(f'"{MARK}"', n),
    "nulls": lambda n: _array("null", n),
    "nearly a time": lambda n: f'"2026-11-23T09:30:00.{"1" * n}"',
    "times": lambda _: '"2026-11-23T09:30:00.123456Z"',
    "nearly base64": lambda n: f'"{_repeated("QUJD", n)}="',
    "decimals": lambda n: _array('"1.25"', n),
    "decimal numbers": lambda n: _array("1.25", n),
    "uuids": lambda _: f'"{_UUID}"',
    "empty objects": lambda n: _array("{}", n),
    "open array": lambda n: "[" * n,
    "open object": lambda n: _repeated('{"a":', n),
    "open string": lambda n: f'"{MARK}{"a" * n}',
    "garbage": lambda n: f"{MARK}{'x' * n}",
}
_TIME = {"type": "long", "logicalType": "timestamp-micros"}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}


def _optional(kind: Any, count: int) -> list[dict[str, Any]]:
    return [{"name": f"f{n}", "type": ["null", kind], "default": None} for n in range(count)]


def _record(name: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": fields}


def _rules(count: int) -> list[dict[str, Any]]:
    rules = {"pattern": "^(a+)+$", "minLength": 1, "maxLength": 2**20}
    return [{**field, **rules} for field in _optional("string", count)]


_SCHEMAS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "long": ([{"name": "f0", "type": "long"}], ""),
    "string": (_optional("string", 3), ""),
    "times": (_optional(_TIME, 5), ""),
    "decimals": (_optional(_DECIMAL, 20), ""),
    "map": (_optional({"type": "map", "values": "string"}, 2), ""),
    "array": (_optional({"type": "array", "items": "string"}, 2), ""),
    "items": (_optional({"type": "array", "items": _record("Item", _optional("long", 3))}, 1), ""),
    "wide": (_optional("string", 400), ""),
    "wide items": (
        _optional({"type": "array", "items": _record("Item", _optional("string", 20))}, 1),
        "",
    ),
    "enum": (_optional({"type": "enum", "name": "E", "symbols": ["A", "B"]}, 1), ""),
    "rules": (_rules(5), ""),
    "json": ([{**field, "json": True} for field in _optional("string", 2)], ""),
    "bytes": (_optional("bytes", 2), ""),
    "keep": (_optional("string", 1), 'unknown_fields = "keep"\n'),
    "reject": (_optional("string", 1), 'unknown_fields = "reject"\n'),
    "aliases": ([{**field, "aliases": [f"{field['name']}_old"]} for field in _optional("string", 3)], ""),
    "partitioned": ([*_optional("string", 1), {"name": "p", "type": "string"}], 'partition_by = ["p"]\n'),
}  # fmt: skip


def dataset_of(recipe: Recipe) -> Dataset:
    """Return the dataset that a recipe's documents are read with."""
    fields, config = _SCHEMAS[recipe.schema]
    return parse_dataset("things", {1: json.dumps(_record("Thing", fields))}, config)


def texts_of(recipe: Recipe) -> list[bytes]:
    """Return a recipe's documents; some are none."""
    length = min(recipe.length, _LARGEST // recipe.members, recipe.size)
    leaf = _LEAVES[recipe.leaf](length)
    match recipe.document:
        case "number":
            texts = [_NUMBER[:1]]
        case "empty object":
            texts = ["{}"]
        case "leaf":
            texts = [leaf]
        case "unknown members":
            texts = [_object(f'"u{n}":{leaf}' for n in range(recipe.members))]
        case _:
            members = [f'"f{n}":{leaf}' for n in range(recipe.members)]
            texts = [
                _object([*members, *([f'"p":"{n}"'] if recipe.partitions > 1 else [])])
                for n in range(recipe.partitions)
            ]
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    size = sum(map(len, encoded)) + len(encoded)
    return encoded * max(1, min(recipe.size // size, 200_000))


_SEPARATORS = {
    "lines": b"\n", "carriage returns": b"\r\n", "back to back": b"", "record separators": b"\n\x1e",
    "blanks": b"\n" + b" " * 40 + b"\n",
}  # fmt: skip


def framed(texts: list[bytes], framing: str) -> bytes:
    """Put documents into one text."""
    match framing:
        case "array":
            return b"[%b]" % b",".join(texts)
        case "open array":
            return b"[%b," % b",".join(texts)
        case "commas":
            return b"[" + b"," * sum(map(len, texts))
        case "closers":
            return b"[" + b"}" * sum(map(len, texts))
        case "over lines":
            return b"\n".join(texts).replace(b",", b",\n").replace(b":", b":\n")
        case "cut lines":
            return b"\n".join(text[:-1] for text in texts)
        case "odd quotes":
            return b'"\n'.join(texts)
        case _:
            return _SEPARATORS[framing].join(texts)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


_MEMBERS = 20_000  # of gzip, or frames of zstd
_WRAPPERS: dict[str, Callable[[bytes, list[bytes]], bytes]] = {
    "plain": lambda text, _: text,
    "gzip": lambda text, _: _gzip(text),
    "gzip members": lambda _, texts: b"".join(_gzip(one + b"\n") for one in texts[:_MEMBERS]),
    "zlib": lambda text, _: zlib.compress(text),
    "zstd": lambda text, _: _zstd(text),
    "zstd frames": lambda _, texts: b"".join(_zstd(one + b"\n") for one in texts[:_MEMBERS]),
    "glue": lambda text, _: b"\3\0" + bytes(16) + text,
    "confluent": lambda text, _: b"\0" + struct.pack(">I", 7) + text,
    "gzip in gzip": lambda text, _: _gzip(_gzip(text)),
    "cut gzip": lambda text, _: _gzip(text)[:-9],
    "garbage behind gzip": lambda text, _: _gzip(text) + MARK.encode(),
}


def wrapped(texts: list[bytes], recipe: Recipe) -> bytes:
    """Frame documents, and compress them or put a header before them."""
    return _WRAPPERS[recipe.wrapper](framed(texts, recipe.framing), texts)


_KEEP = 'keep = ["$.k"]\n'
RULES = {
    "none": "",
    "each": f'[[envelope]]\neach = "$.e"\n{_KEEP}',
    "each of each": (
        f'[[envelope]]\neach = "$.e"\nkeep = ["$.k", "$.f"]\n[[envelope]]\neach = "$.f"\n{_KEEP}'
    ),
    "parse": '[[envelope]]\nwhen = { "$.p" = { present = true } }\nparse = "$.p"\n'
    'keep = { k0 = "$.k" }\n' + f'[[envelope]]\nparse = "$.p"\n{_KEEP}',
    "lift": f'[[envelope]]\nlift = "$.v"\n{_KEEP}',
    "dynamodb": '[[envelope]]\nlift = "$.v"\ndecode = "dynamodb"\n',
}
"""The rules of a stream, by the envelopes that stand around its documents."""


def enveloped(text: bytes, recipe: Recipe) -> bytes:
    """Put a document into an envelope, as often as it takes it; it need not be JSON."""
    kept = b'"k":"%b"' % (b"k" * recipe.kept)
    count = min(recipe.elements, (_LARGEST - recipe.kept) // (len(text) + 1))
    match recipe.envelope:
        case "each":
            return b'{%b,"e":[%b]}' % (kept, b",".join([text] * count))
        case "each of each":
            side = int(count**0.5)
            each = b",".join([text] * side)
            return b'{%b,"f":[%b],"e":[%b]}' % (kept, each, each)
        case "parse":
            twice = json.dumps(text.decode("utf-8", "replace"))
            return b'{%b,"p":%b}' % (kept, json.dumps(f'{{"p":{twice}}}').encode())
        case "lift":
            return b'{%b,"v":%b}' % (kept, text)
        case "dynamodb":
            return b'{"v":{"f0":{"L":[%b]}}}' % b",".join([b'{"N":"1"}'] * count)
        case _:
            return text


def _lines_of(recipe: Recipe) -> list[bytes]:
    """Return the documents of one payload of an aggregate."""
    texts = texts_of(recipe)
    document = enveloped(texts[0], recipe)
    return [document] * max(1, min(recipe.size // (len(document) + 1), len(texts), 9_999))


def _times(lines: list[bytes], payload: bytes, recipe: Recipe) -> int:
    """Return how often a payload is in an aggregate."""
    found = len(lines) * max(1, recipe.elements if recipe.envelope.startswith("each") else 1)
    most = (
        recipe.payloads,
        _MOST_UNPACKED // (len(lines) * (len(lines[0]) + 1)),
        _MOST_DOCUMENTS // found,
        _LARGEST_RECORD // (len(payload) + 12),
    )
    return max(1, min(most))


def stream_record_of(recipe: Recipe) -> tuple[bytes, int]:
    """Return an aggregate of the same payload again and again, and the bytes that it unpacks to."""
    lines = _lines_of(recipe)
    payload = wrapped(lines, recipe)
    count = _times(lines, payload, recipe)
    unpacked = count * len(lines) * (len(lines[0]) + 1)
    return _aggregate([payload] * count, "aggregate"), unpacked


def stream_records_of(recipe: Recipe) -> list[bytes]:
    """Return the stream records of an event."""
    texts = texts_of(recipe)
    # Small enough that none is rejected for the number of its documents alone.
    payloads = [wrapped(texts[n : n + 9_999], recipe) for n in range(0, len(texts), 9_999)]
    match recipe.record:
        case "one":
            return payloads
        case "each":
            return [wrapped([text], recipe) for text in texts[:10_000]]
        case "endless length":
            return [KPL_MAGIC + b"\x0a" + b"\xff" * recipe.size]
        case _:
            if recipe.length < 1_000:
                payloads = [wrapped([text], recipe) for text in texts[:50_000]]
            return [_aggregate(payloads, recipe.record)]


def _aggregate(payloads: list[bytes], record: str) -> bytes:
    overlong = record == "odd varints"
    body = _field(1, b"key") + b"".join(
        _field(3, b"\x08\x80\x00" + _field(3, payload, overlong=overlong), overlong=overlong)
        if overlong
        else _field(3, b"\x08\x00" + _field(3, payload))
        for payload in payloads
    )
    digest = (
        bytes(16)
        if record == "broken digest"
        else hashlib.md5(body, usedforsecurity=False).digest()
    )
    return KPL_MAGIC + body + digest


def _field(number: int, data: bytes, *, overlong: bool = False) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data), overlong=overlong) + data


def _varint(number: int, *, overlong: bool = False) -> bytes:
    written = bytearray()
    while number >= 0x80 or (overlong and len(written) < 8):
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def file_of(recipe: Recipe) -> bytes:
    """Return a file."""
    return wrapped(texts_of(recipe), recipe)
