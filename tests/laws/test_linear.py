"""Law: twice the input takes twice the work, in every reader of bytes that others have written."""

from __future__ import annotations

import base64
import gc
import gzip
import io
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pytest
from attack.measure import run
from attack.recipes import Recipe
from support import chunk_of

from pipeline.alerts.alarm import read_alarms
from pipeline.core.foreign import violation_of
from pipeline.core.framing import split_documents
from pipeline.core.jsontext import deeper_than
from pipeline.core.kpl import UserRecord, aggregate, deaggregate
from pipeline.core.magic import KPL_MAGIC, ZSTD_FRAME
from pipeline.core.payload import unpack_payloads
from pipeline.core.protobuf import written
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.unpack import unpack
from pipeline.files.blocks import blocks_of
from pipeline.files.notifications import ObjectReference, notify_of, read_notifications

_MOST_RATIO = 2.5
_LONG_ENOUGH = 0.02  # seconds of processor time: below it, what is measured is chance
_LARGEST = 2**21
_TRIES = 5
_NOT_CACHED = bytes(2**26)
_TICK = 1 / os.sysconf("SC_CLK_TCK")


def read_file(text: bytes) -> None:
    for _ in blocks_of(io.BytesIO(text), "file"):
        pass


def open_payload(payload: bytes) -> None:
    """Open one user record, whatever is in it and however deep."""
    limits = Limits(documents=2**30, record_documents=2**30, document_bytes=2**30)
    for _ in unpack_payloads(chunk_of(payload), limits):
        pass


def open_aggregate(data: bytes) -> None:
    deaggregate(Batch("stream/shard", "shard", (StreamRecord("1", "a", 0, data),)))


def open_user_records(data: bytes) -> None:
    """Take an aggregate apart, and open all that is in it."""
    chunk, _ = deaggregate(Batch("stream/shard", "shard", (StreamRecord("1", "a", 0, data),)))
    for _ in unpack_payloads(chunk, Limits()):
        pass


def depth(text: bytes) -> None:
    deeper_than(text, 256)


def unpacked(data: bytes) -> None:
    unpack(data, 2**26)


def foreign(data: bytes) -> None:
    violation_of(data)


def notified(body: bytes) -> None:
    read_notifications(json.loads(body))


def alarmed(body: bytes) -> None:
    read_alarms(json.loads(body))


def record_of(count: int, payload: bytes, key: str = "a") -> bytes:
    return aggregate(UserRecord(key, payload) for _ in range(count))


def unsigned(body: bytes) -> bytes:
    """Return an aggregate whose MD5 is wrong, so that its end is looked for."""
    return KPL_MAGIC + body + bytes(16)


def document(leaf: str, schema: str) -> Callable[[int], Recipe]:
    """Describe one document with a leaf of so many bytes, down all of the road."""
    return lambda n: Recipe("schemas", leaf=leaf, schema=schema, length=n, size=n)


def documents(leaf: str, schema: str, **genes: Any) -> Callable[[int], Recipe]:
    """Describe small documents, many."""
    return lambda n: Recipe("schemas", leaf=leaf, schema=schema, size=n, **genes)


def notification(keys: Iterable[str]) -> bytes:
    return json.dumps(notify_of(ObjectReference("bucket", key) for key in keys)).encode()


def wrapped_notification(times: int) -> dict[str, Any]:
    """Return a notification in SNS' events, one in another, with one beside each."""
    inner: dict[str, Any] = {"Records": _NOTIFIED}
    for _ in range(times):
        inner = {"Records": [{"EventSource": "aws:sns", "Sns": inner}, *_NOTIFIED]}
    return inner


_NOTIFIED = notify_of([ObjectReference("bucket", "key")])["Records"]


def alarm(reason: str, dimensions: int = 1) -> bytes:
    metric = {"name": "M", "dimensions": {str(n): "v" for n in range(dimensions)}}
    detail = {
        "alarmName": "a",
        "state": {"value": "ALARM", "reason": reason, "timestamp": "2026-11-23T09:30:00.000+0000"},
        "configuration": {"metrics": [{"metricStat": {"metric": metric}}]},
    }
    return json.dumps({"source": "aws.cloudwatch", "detail": detail}).encode()


_SKIPPABLE = b"\x50\x2a\x4d\x18" + bytes(4)
_FRAME = pa.compress(b"{}\n", "zstd", asbytes=True)


SHAPES: dict[str, tuple[Callable[[Any], object], Callable[[int], Any]]] = {
    # File blocks.
    "file: brackets": (read_file, lambda n: b"[" * n),
    "file: closing braces": (read_file, lambda n: b"[" + b"}" * n),
    "file: commas": (read_file, lambda n: b"[" + b"," * n),
    "file: empty arrays": (read_file, lambda n: b"[" + b"[]," * (n // 3)),
    "file: broken arrays": (read_file, lambda n: b"[" + b"[x]," * (n // 4)),
    "file: empty objects": (read_file, lambda n: b"[" + b"{}," * (n // 3)),
    "file: strings": (read_file, lambda n: b"[" + b'"a",' * (n // 4)),
    "file: numbers": (read_file, lambda n: b"1\n" * (n // 2)),
    "file: a string": (read_file, lambda n: b'["' + b"a" * n),
    "file: deep arrays": (read_file, lambda n: b"[%b%b]" % (b"[" * 500, b"]" * 500) * (n // 1_002)),
    "file: gzip": (read_file, lambda n: gzip.compress(b"[" + b"," * n)),
    "file: gzip members": (read_file, lambda n: gzip.compress(b"{}\n") * (n // 23)),
    "file: zstd frames": (read_file, lambda n: _FRAME * (n // len(_FRAME))),
    # Framing, arrays, and JSON.
    "payload: record separators": (open_payload, lambda n: b"1\n\x1e" * (n // 3)),
    "payload: numbers and objects": (open_payload, lambda n: b"1\n{}\n" * (n // 5)),
    "payload: blank lines": (open_payload, lambda n: b"{}\n\n" * (n // 4)),
    "payload: broken lines": (open_payload, lambda n: b'{"a":1}\n{"a":1]\n' * (n // 16)),
    "payload: odd quotes": (open_payload, lambda n: b'{"a":"}\n' * (n // 8)),
    "payload: Confluent headers": (open_payload, lambda n: b"\0\0\0\0\7{}" * (n // 7)),
    "payload: Glue headers": (open_payload, lambda n: b"\3\0%b{}" % bytes(16) * (n // 20)),
    "array: elements": (open_payload, lambda n: b"[%b1]" % (b'{"a":1},' * (n // 8))),
    "array: broken elements": (open_payload, lambda n: b"[%b1]" % (b'{"a":x},' * (n // 8))),
    "array: nested": (open_payload, lambda n: b"[%b1]" % (b"[[[1]]]," * (n // 8))),
    "split: open objects": (split_documents, lambda n: b'{"a":' * (n // 5)),
    "split: exact": (lambda text: split_documents(text, fast=False), lambda n: b'{"a":"b"} ' * (n // 10)),
    "split: a quote on each line": (split_documents, lambda n: b'"\n' * (n // 2)),
    "split: empty arrays": (split_documents, lambda n: b"[]" * (n // 2)),
    "split: values behind a broken line": (split_documents, lambda n: b"x\n" + b"{}" * (n // 2)),
    "split: broken arrays on one line": (split_documents, lambda n: b"[,{}{}%b]" % (b" " * 500) * (n // 507)),
    "split: array without commas": (split_documents, lambda n: b"[%b]" % (b"[]\n{}" * (n // 5))),
    "depth: brackets in strings": (depth, lambda n: b'"[",' * (n // 4)),
    "depth: one document": (depth, lambda n: b"[" * (n // 2) + b"]" * (n // 2)),
    # Compression.
    "payload: gzip members": (open_payload, lambda n: gzip.compress(b"") * (n // 20)),
    "payload: zlib streams": (open_payload, lambda n: zlib.compress(b"{}\n") * (n // 11)),
    "unpack: zstd magic": (unpacked, lambda n: ZSTD_FRAME * (n // 4)),
    "unpack: zstd frames": (unpacked, lambda n: _FRAME * (n // len(_FRAME))),
    "unpack: skippable frames": (unpacked, lambda n: _SKIPPABLE * (n // len(_SKIPPABLE))),
    "unpack: padding": (unpacked, lambda n: gzip.compress(b"1") + bytes(n)),
    "unpack: gzip in gzip": (unpacked, lambda n: gzip.compress(gzip.compress(os.urandom(n)))),
    # Aggregates.
    "aggregate: user records": (open_user_records, lambda n: record_of(n // 8, b"{}")),
    "aggregate: odd user records": (open_user_records, lambda n: record_of(n // 9, b"1 \n")),
    "aggregate: endless length": (open_aggregate, lambda n: unsigned(b"\x0a" + b"\xff" * n)),
    "aggregate: empty fields": (open_aggregate, lambda n: unsigned(b"\x0a\0" * (n // 2))),
    "aggregate: in another": (open_user_records, lambda n: record_of(2, record_of(n // 16, b"{}"))),
    # What is meant as another format.
    "protobuf: fields": (foreign, lambda n: written(9, b"x") * (n // 3)),
    "protobuf: long numbers": (foreign, lambda n: b"\x08" + b"\xff" * n),
    "MessagePack: in a row": (foreign, lambda n: b"\x81\xa1a\x01" * (n // 4)),
    "MessagePack: deep": (foreign, lambda n: b"\x91" * n),
    "base64: lines": (foreign, lambda n: (base64.b64encode(b"{}") + b"\n") * (n // 5)),
    "base64: one": (foreign, lambda n: base64.b64encode(b"[" + b"{}," * (n // 3) + b"{}]")),
    "UTF-16": (open_payload, lambda n: ('{"a":1}\n' * (n // 16)).encode("utf-16")),
    # Values: escapes, decimals, and what else a document may be full of.
    "escapes": (run, document("escapes", "string")),
    "escapes: unicode": (run, document("unicode escapes", "string")),
    "escapes: quotes, in what is kept": (run, document("quotes in a string", "keep")),
    "decimals: one long": (run, document("long fraction", "decimals")),
    "decimals: many": (run, documents("long fraction", "decimals", length=16)),
    "numbers: one long": (run, document("long integer", "long")),
    "values: empty objects": (run, document("empty objects", "items")),
    "values: wide object": (run, document("wide object", "keep")),
    "values: deep": (run, documents("deep arrays", "json", length=500)),
    "values: nearly base64": (run, document("nearly base64", "bytes")),
    "values: nearly a time": (run, document("nearly a time", "times")),
    "rules": (run, document("garbage", "rules")),
    # Partitions: as many documents in each.
    "partitions": (run, lambda n: Recipe("partitions", schema="partitioned", size=n, partitions=max(1, n // 2_000))),
    # Notifications and alarms.
    "notifications": (notified, lambda n: notification(str(i) for i in range(n // 150))),
    "notifications: a long key": (notified, lambda n: notification(["%" * (n // 3)])),
    "notifications: wrapped": (read_notifications, lambda n: wrapped_notification(n // 150)),
    "alarms: a long reason": (alarmed, lambda n: alarm("x" * n)),
    "alarms: dimensions": (alarmed, lambda n: alarm("", n // 16)),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _what_other_tests_left() -> None:
    """Keep it out of the collector's way, which runs before each measurement."""
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_input_takes_twice_the_work(shape: str) -> None:
    """What is quadratic takes four times as long, at each size, however busy the machine is."""
    act, make = SHAPES[shape]
    size, ratios = 2**14, list[float]()
    act(make(size))  # what is made once
    while size < _LARGEST and spent(act, make(size)) < _LONG_ENOUGH:
        size *= 2
    for times in (1, 2, 3):  # not at one size alone: where a bound begins to hold, there is a step
        ratios.append(ratio(act, make(times * size), make(2 * times * size)))
        if ratios[-1] <= _MOST_RATIO:
            return
    pytest.fail(f"twice {size:,} and more take {ratios} times as long")


def test_what_is_quadratic_is_found() -> None:
    """A law that no reader can break would prove nothing."""

    def quadratic(count: int) -> None:
        for _ in range(count):
            sum(range(count))

    assert ratio(quadratic, 1_000, 2_000) > _MOST_RATIO


def ratio(act: Callable[[Any], object], small: Any, large: Any) -> float:
    """Return how many times as long the larger one takes; the quickest of several runs each."""
    quickest, slowest = float("inf"), float("inf")
    for _ in range(_TRIES):
        quickest = min(quickest, max(spent(act, small), _TICK))
        slowest = min(slowest, spent(act, large))
        if slowest <= _MOST_RATIO * quickest:
            break
    return slowest / quickest


def spent(act: Callable[[Any], object], made: Any) -> float:
    """Return the processor time that a call takes, without the collector's.

    The processor's caches are emptied before: an input that fits into them would seem quicker.
    """
    gc.collect()
    _NOT_CACHED.count(1)
    gc.disable()
    try:
        begun = time.process_time()
        act(made)
        return time.process_time() - begun
    finally:
        gc.enable()
