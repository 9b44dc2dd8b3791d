"""Batches that are never alike: spellings, members, lengths, partitions, times, shards, wrappers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
from support import dataset, kinesis_event

from pipeline.core.dataset import Dataset, check_together
from pipeline.core.kpl import pack_aggregate

_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
_LINE = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
_PRICES = 20
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def _optional(name: str, kind: Any, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None, **attributes}


def datasets() -> tuple[Dataset, ...]:
    """Return two datasets, of which one has many decimals, and keeps what it does not know."""
    match = '[match]\nfield = "type"\nequals = "{}"\n'
    things = dataset(
        {"name": "id", "type": "long"},
        {"name": "country", "type": "string"},
        *(_optional(f"price{number}", _DECIMAL) for number in range(_PRICES)),
        _optional("labels", {"type": "map", "values": "long"}),
        _optional("lines", {"type": "array", "items": _LINE}),
        config='unknown_fields = "keep"\npartition_by = ["date()", "country"]\n'
        + match.format("thing"),
        name="things",
    )
    notes = dataset(
        {"name": "id", "type": "long"},
        _optional("at", {"type": "long", "logicalType": "timestamp-micros"}),
        _optional("note", "string", pattern="^[a-z ]*$"),
        config='formats = ["parquet", "csv"]\npartition_by = ["hour()"]\n' + match.format("note"),
        name="notes",
    )
    return check_together([things, notes])


def events(random: Random) -> Iterator[dict[str, Any]]:
    """Yield events without end."""
    number = 0
    while True:
        payloads = _payloads(random)
        yield kinesis_event(
            payloads,
            start=number,
            shard=f"shardId-{random.randrange(10**6):012}",
            arrived=_BEGIN + timedelta(seconds=random.randrange(10**8)),
            partition_key=_word(random),
        )
        number += len(payloads)


def _payloads(random: Random) -> list[bytes]:
    make = random.choice((_thing, _thing, _note))
    shape = _Shape(random)
    documents = [make(random, shape) for _ in range(random.randint(1, 12))]
    if random.random() < 0.1:
        documents.append(random.choice((b"{", b'{"type": "thing"}', b"\xff", b'{"type": 1}')))
    match random.randrange(4):
        case 0:
            return documents
        case 1:
            return [gzip.compress(b"\n".join(documents), mtime=0)]
        case 2:
            return [bytes(pa.Codec("zstd").compress(b"\n".join(documents)))]
    keyed = [(_word(random), document, None) for document in documents]
    return [pack_aggregate(keyed, 10**6)[1]]


class _Shape:
    """What the documents of a batch have in common: they drift from one batch to the next."""

    def __init__(self, random: Random) -> None:
        self.as_numbers = frozenset(number for number in range(_PRICES) if random.random() < 0.5)
        self.unknown = [_word(random) for _ in range(random.randrange(4))]
        self.padding = random.randrange(2_000)


def _thing(random: Random, shape: _Shape) -> bytes:
    document: dict[str, Any] = {
        "type": "thing",
        "id": random.randrange(10**9),
        "country": _word(random)[:2],
        "labels": {_word(random): random.choice((1, "1"))},
        "lines": [{"sku": "a", _word(random): 1}],
        **{name: random.choice(("x", 1, [], {"a": _word(random)})) for name in shape.unknown},
    }
    for number in range(_PRICES):
        document[f"price{number}"] = 1.25 if number in shape.as_numbers else "1.25"
    return json.dumps(document).encode()


def _note(random: Random, shape: _Shape) -> bytes:
    moment = (_BEGIN + timedelta(seconds=random.randrange(10**8))).isoformat()
    text = random.choice(("", "A")) + "a" * shape.padding
    unknown = dict.fromkeys(shape.unknown, text[:9])
    return json.dumps({"type": "note", "id": 1, "at": moment, "note": text, **unknown}).encode()


def _word(random: Random) -> str:
    return f"{random.getrandbits(random.choice((8, 40))):x}"
