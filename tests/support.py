"""Shared by the tests: Lambda's event, the flow with stores in memory, and what it stored."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import handlers
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.schemas import read_dataset
from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core import events
from pipeline.core.dataset import Dataset, check_together, parse_dataset
from pipeline.core.events import read_kinesis_event
from pipeline.core.integers import INT64, up_to, zeros
from pipeline.core.records import Batch, Chunk, Limits, Provenance, StreamRecord
from pipeline.core.routing import Router
from pipeline.flow import Pipeline, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipeline.adapters.store import ObjectStore
    from pipeline.core.report import Report

ROOT = Path(__file__).parent.parent
ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/shop"
SHARD = "shardId-000000000003"
SOURCE = f"{ARN}/{SHARD}"
FIRST = 49590338271490256608559692538361571095921575989136588898
ARRIVED = datetime(2026, 11, 23, 9, 30, 0, 250_000, tzinfo=UTC)
PLAIN = Limits()

Identity = tuple[str, str, int, int]


# ------------------------------------------------------------------------------ what comes in


def sequence_number(number: int) -> str:
    """Return the sequence number of the n-th stream record that these tests make."""
    return str(FIRST + number)


def kinesis_event(
    records: Iterable[bytes],
    *,
    start: int = 0,
    arn: str = ARN,
    shard: str = SHARD,
    arrived: datetime = ARRIVED,
    partition_key: str | None = "a",
) -> dict[str, Any]:
    """Build the event in which Lambda delivers these stream records of one shard.

    `start` is the number of the first of them on the shard; without a `partition_key` there is
    none, as on streams whose distribution is the service's own.
    """
    micros = round(arrived.timestamp() * 1_000_000)
    return events.kinesis_event(
        (
            StreamRecord(sequence_number(number), partition_key, micros, data)
            for number, data in enumerate(records, start)
        ),
        arn,
        shard,
    )


def batch_of(*records: bytes) -> Batch:
    """Return the batch of an event with these stream records."""
    return read_kinesis_event(kinesis_event(records))


def chunk_of(*documents: bytes, arrived: datetime = ARRIVED) -> Chunk:
    """Return a chunk of documents, each alone in its stream record."""
    micros = round(arrived.timestamp() * 1_000_000)
    records = tuple(
        StreamRecord(sequence_number(number), None, micros, document)
        for number, document in enumerate(documents)
    )
    count = len(documents)
    provenance = Provenance(
        Batch(SOURCE, SHARD, records),
        up_to(count),
        zeros(count, INT64),
        zeros(count),
        [None] * count,
    )
    return Chunk(provenance, up_to(count), list(documents))


# ----------------------------------------------------------------------------------- datasets


def dataset(*fields: dict[str, Any], config: str = "", name: str = "things") -> Dataset:
    """Make a dataset of Avro fields and the text of its dataset.toml."""
    schema = {"type": "record", "name": "Thing", "fields": list(fields)}
    return as_switched(parse_dataset(name, {1: json.dumps(schema)}, config))


FAST_PATHS = os.environ.get("PIPELINE_FAST_PATHS") != "off"
"""Whether the tests are run with the fast paths."""


def as_switched(made: Dataset) -> Dataset:
    """Return the dataset by the path that the tests are run with, for however few documents."""
    return made.by_columns() if FAST_PATHS else made.by_rows()


ORDERS = as_switched(read_dataset(ROOT / "schemas" / "orders"))
"""The example dataset of the repository."""


def order(**changes: Any) -> dict[str, Any]:
    """Return an order that is good, but for the changes."""
    assert ORDERS.match is not None
    (condition,) = ORDERS.match.conditions
    return {
        condition.name: condition.value,
        "order_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "placed_at": "2026-11-23T09:29:00.5+01:00",
        "country": "DE",
        "total": "19.90",
        "customer": {"id": 7},
        "items": [{"sku": "tea", "quantity": 2, "price": 9.95}],
    } | changes


def as_json(value: Any) -> bytes:
    """Write one document."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# ------------------------------------------------------------------------------ what comes out


@dataclass(slots=True)
class Stored:
    """The output and the dead letters of a test: two stores in memory, read back by properties.

    `deliver` and `Function` write into one. `rows` and `letters` decode what they wrote;
    `objects` has the bytes, to compare two deliveries; `verdicts` has what became of each
    document whatever object it is in, to compare deliveries that were cut differently.
    """

    output: MemoryStore = field(default_factory=MemoryStore)
    dead_letters: MemoryStore = field(default_factory=MemoryStore)

    @property
    def objects(self) -> dict[str, bytes]:
        """Every object of both stores, by its key behind `output/` or `dead/`."""
        output = {f"output/{key}": body for key, body in self.output.objects.items()}
        return output | {f"dead/{key}": body for key, body in self.dead_letters.objects.items()}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows in Parquet, by column name, in the order of their identities."""
        found = [
            row
            for key, body in tuple(self.output.objects.items())  # a runner may be at work
            if key.endswith(".parquet")
            for row in read_parquet(body).to_pylist()
        ]
        return sorted(found, key=row_identity)

    @property
    def letters(self) -> list[dict[str, Any]]:
        """All dead letters, decoded from JSON, in the order of their identities."""
        found = [
            json.loads(line)
            for body in self.dead_letters.objects.values()
            for line in gzip.decompress(body).splitlines()
        ]
        return sorted(found, key=letter_identity)

    @property
    def verdicts(self) -> Counter[str]:
        """How often each document became what: its identity with its row or its dead letter, as text."""
        rows = [f"{row_identity(row)} row {sorted(row.items())}" for row in self.rows]
        letters = [
            f"{letter_identity(letter)} letter {sorted(letter.items())}" for letter in self.letters
        ]
        return Counter(rows + letters)


def read_parquet(body: bytes) -> pa.Table:
    """Read a Parquet object with Arrow."""
    return pq.read_table(io.BytesIO(body))


def row_identity(row: dict[str, Any]) -> Identity:
    """Return which document a row came from."""
    return row["_source"], row["_sequence_number"], row["_sub_sequence_number"], row["_document"]


def letter_identity(letter: dict[str, Any]) -> Identity:
    """Return which document a dead letter is about."""
    return (
        letter["source"],
        letter["sequence_number"],
        letter["sub_sequence_number"],
        letter["document"],
    )


def letter_payload(letter: dict[str, Any]) -> bytes:
    """Return the bytes that a dead letter keeps."""
    text: str = letter["payload"]
    if letter["payload_encoding"] == "utf-8":
        return text.encode()
    return base64.b64decode(text, validate=True)


# ----------------------------------------------------------------------------------- the flow


def deliver(
    event: Any,
    datasets: Sequence[Dataset],
    into: Stored | None = None,
    *,
    limits: Limits = PLAIN,
) -> Stored:
    """Process an event with stores in memory, new ones unless given, and return these."""
    into = into or Stored()
    report_of(event, datasets, into, limits=limits)
    return into


def report_of(
    event: Any, datasets: Sequence[Dataset], into: Stored, *, limits: Limits = PLAIN
) -> Report:
    """Take an event through the flow, and return its report."""
    # By columns however few the documents are, unless the tests run without that path.
    router = Router(check_together([dataset.by_columns() for dataset in datasets]))
    pipeline = Pipeline(router, limits, into.output, into.dead_letters, FAST_PATHS)
    with ConcurrentWriter(remaining=lambda: math.inf, reserve=0, concurrency=1) as writer:
        batch = read_kinesis_event(event, fast=FAST_PATHS)
        return process(batch, pipeline, writer, Stopwatch(lambda: 0.0))


class FaultyStore(MemoryStore):
    """A store that calls `mishap(n)` before its n-th put, counted from 1.

    What that raises is the store's error; while it sleeps, the store hangs.
    """

    def __init__(self, mishap: Callable[[int], object]) -> None:
        super().__init__()
        self.mishap = mishap
        self.puts = 0
        self._lock = threading.Lock()

    def put(self, key: str, body: bytes) -> None:
        with self._lock:
            self.puts += 1
            number = self.puts
        self.mishap(number)
        super().put(key, body)


class Context:
    """The context that Lambda passes beside the event, as far as the handler uses it."""

    aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left, as Lambda does: whole milliseconds, never below 0."""
        return max(0, round((self._end - time.monotonic()) * 1_000))


@dataclass(slots=True)
class Function:
    """The Lambda function as deployed, except that its stores are in memory.

    The fixture `function` makes one, with the settings of the repository's orders. Call it with
    an event, and it returns the handler's response; `stored` has what it wrote. A test of failures
    replaces `stored` by one with a `FaultyStore`.
    """

    stored: Stored = field(default_factory=Stored)

    def open_store(self, uri: str, _: S3Settings = NO_DEMANDS) -> ObjectStore:
        """Return the store in memory for the URI that the fixture's settings name."""
        return {
            "file:///lake": self.stored.output,
            "file:///dead": self.stored.dead_letters,
        }[uri]

    def __call__(self, event: Any, seconds: float = 60.0) -> Any:
        """Invoke the handler with this many seconds left, and return its response.

        The settings are read anew each time, so that a test may change them.
        """
        handlers.forget(clients=False)
        return handlers.kinesis(event, Context(seconds))
