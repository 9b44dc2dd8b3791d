"""Stored objects back to identities and verdicts; and the cheap encoder of most seeds."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from support import ORDERS, dataset, letter_payload

from pipeline import storing
from pipeline.core.dataset import Dataset, check_together
from pipeline.core.records import Rows

from .documents import Verdict
from .stream import Identity

# Small, as most of the time goes into columns; and by arrival, where the orders go by a field.
_CLICKS = """
partition_by = ["date()", "hour()"]
match = { field = "@stream", equals = "clicks" }
"""
DATASETS = check_together(
    [ORDERS, dataset({"name": "click_id", "type": "string"}, config=_CLICKS, name="clicks")]
)
LETTERS = "dead letters"
LAKE, DEAD = "memory://lake", "memory://dead"
_ID = {"orders": "order_id", "clicks": "click_id"}
_IDENTITY = ("_source", "_sequence_number", "_sub_sequence_number", "_document")
_CHEAP = b"\x00cheap"


class Found(NamedTuple):
    """One row or dead letter: `format` is a dataset's or LETTERS, `place` its directory."""

    identity: Identity
    verdict: Verdict
    format: str
    place: str
    content: bytes


def formats_of(verdict: Verdict) -> tuple[str, ...]:
    """Return in which formats a document with this verdict must be stored."""
    if verdict[0] == "drop":
        return ()
    return _FORMATS[verdict[1]] if verdict[0] == "row" else (LETTERS,)


_FORMATS = {dataset.name: dataset.formats for dataset in DATASETS}


def encode_cheaply(rows: Rows, dataset: Dataset, as_format: str, census: bytes) -> bytes:
    """Stand in for `pipeline.core.encode.encode`: identities and ids alone, as JSON."""
    del as_format, census
    names = (*_IDENTITY, _ID[dataset.name])
    return _CHEAP + msgspec.json.encode([rows.table.column(name).to_pylist() for name in names])


@contextmanager
def cheap_encoder() -> Iterator[None]:
    """Encode rows cheaply while the context lasts."""
    with patch.object(storing, "encode", encode_cheaply):
        yield


@functools.lru_cache(maxsize=512)
def read_object(uri: str, key: str, body: bytes) -> tuple[Found, ...]:
    """Read one object of the lake or of the dead letters, whole."""
    folder, _, _ = key.rpartition("/")
    dataset, _, place = folder.partition("/")
    if uri == DEAD:
        lines = gzip.decompress(body).splitlines()
        return tuple(_letter(dataset, place, json.loads(line)) for line in lines)
    as_format, _, place = place.partition("/")
    return tuple(
        Found(
            Identity(source, number, int(sub), int(document)),
            ("row", dataset),
            as_format,
            place,
            content.encode(),
        )
        for source, number, sub, document, content in _rows(dataset, as_format, body)
    )


def _rows(dataset: str, as_format: str, body: bytes) -> Iterator[Any]:
    names = [*_IDENTITY, _ID[dataset]]
    if body.startswith(_CHEAP):
        return zip(*msgspec.json.decode(body.removeprefix(_CHEAP)), strict=True)
    if as_format == "parquet":
        # Without Arrow's threads: they sometimes abort a process that ends while they do.
        table = pq.ParquetFile(pa.BufferReader(body)).read(use_threads=False)
        assert table.schema.metadata[b"pipeline.rows"] == str(table.num_rows).encode()
        return zip(*(table.column(name).to_pylist() for name in names), strict=True)
    rows = csv.DictReader(io.StringIO(body.decode()))
    return ([row[name] for name in names] for row in rows)


def _letter(dataset: str, place: str, letter: dict[str, Any]) -> Found:
    identity = Identity(
        letter["source"],
        letter["sequence_number"],
        letter["sub_sequence_number"],
        letter["document"],
    )
    return Found(identity, (dataset, letter["reason"]), LETTERS, place, letter_payload(letter))
