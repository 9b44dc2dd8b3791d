"""Events as Zeek wrote them, through the real handler, read back by DuckDB."""

from __future__ import annotations

import gzip
import json
import os
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import (
    ROOT,
    SOURCE,
    kinesis_event,
    letter_identity,
    letter_payload,
    row_identity,
    sequence_number,
)

from pipeline import handlers
from pipeline.core.kpl import UserRecord, aggregate

ROWS = {"conn": 479, "dns": 21, "files": 379, "ssl": 376, "x509": 376}
OTHERS = 94
VALIDITY = ("certificate_not_valid_before", "certificate_not_valid_after")
TIMES = {kind: ("ts", *VALIDITY) if kind == "x509" else ("ts",) for kind in ROWS}
# What fields that the documents lack become, where that is not null.
DEFAULTS: dict[str, dict[str, Any]] = {
    "conn": {"missed_bytes": 0},
    "dns": dict.fromkeys(("AA", "TC", "RD", "RA", "rejected"), False) | {"Z": 0},
    "files": dict.fromkeys(("depth", "duration", "seen_bytes", "missing_bytes"), 0)
    | {"overflow_bytes": 0, "analyzers": [], "timedout": False},
    "ssl": {"resumed": False, "established": False},
    "x509": {},
}
AGGREGATE_BYTES = 51_200  # what the KPL fills an aggregate to, by default
RECORDS_PER_EVENT = 4


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Return the documents of zeek.ndjson, one a line."""
    named = os.environ.get("PIPELINE_SHARED_DATA")
    file = (Path(named) if named else ROOT.parent / "shared" / "data") / "zeek.ndjson"
    if not file.is_file():
        message = (
            f"The real-input test did not run: there is no {file} "
            "(PIPELINE_SHARED_DATA names the directory to look in)."
        )
        if named:
            pytest.fail(message)
        pytest.skip(message)
    return file.read_bytes().removesuffix(b"\n").split(b"\n")


class Delivery:
    """The whole file on a stream: lines by their place in it, and the folders the handler writes to."""

    def __init__(self, lines: list[bytes], folder: Path) -> None:
        self.output = folder / "lake"
        self.dead_letters = folder / "dead"
        aggregates = in_aggregates(lines)
        self.lines = {
            (sequence_number(number), sub): line
            for number, members in enumerate(aggregates)
            for sub, line in enumerate(members)
        }
        self.stream_records = [
            aggregate(UserRecord(f"sensor-{sub % 3}", line) for sub, line in enumerate(members))
            for members in aggregates
        ]

    def run(self) -> list[Any]:
        """Invoke the handler for every event, and return its responses."""
        return [
            handlers.kinesis(
                kinesis_event(self.stream_records[start : start + RECORDS_PER_EVENT], start=start),
                None,
            )
            for start in range(0, len(self.stream_records), RECORDS_PER_EVENT)
        ]

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Read all Parquet files of one dataset; times as microseconds since 1970."""
        files = f"{self.output}/zeek_{kind}/parquet/**/*.parquet"
        times = ", ".join(f"epoch_us({name}) AS {name}" for name in (*TIMES[kind], "_arrived_at"))
        found = duckdb.connect().execute(
            f"SELECT * REPLACE ({times}) FROM read_parquet($files, hive_partitioning = false)",
            {"files": files},
        )
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]

    def letters(self) -> list[dict[str, Any]]:
        """Read all dead letters."""
        return [
            json.loads(line)
            for file in sorted(self.dead_letters.rglob("*.jsonl.gz"))
            for line in gzip.decompress(file.read_bytes()).removesuffix(b"\n").split(b"\n")
        ]


def in_aggregates(lines: list[bytes]) -> list[list[bytes]]:
    """Cut documents into runs that fill an aggregate each."""
    runs, size = list[list[bytes]]([[]]), 0
    for line in lines:
        if size + len(line) > AGGREGATE_BYTES:
            runs.append([])
            size = 0
        runs[-1].append(line)
        size += len(line)
    return runs


def expected_columns(line: bytes, kind: str, names: set[str]) -> dict[str, Any]:
    """Return a document's row, by Python's json alone; times exactly, by their digits."""
    document = {key.removeprefix("@"): value for key, value in json.loads(line).items()}
    assert set(document) <= names, "A key of the document has no column."
    exactly = json.loads(line, parse_float=Decimal)
    times = {name: micros(exactly[name]) for name in TIMES[kind]}
    return dict.fromkeys(names) | DEFAULTS[kind] | document | times


def micros(seconds: Decimal) -> int:
    """Return microseconds, rounded half to even."""
    return int((seconds * 1_000_000).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@pytest.fixture
def delivery(lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    """Return the whole file on a stream, with the handler configured for it."""
    made = Delivery(lines, tmp_path)
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIPELINE_OUTPUT", made.output.as_uri())
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", made.dead_letters.as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    return made


def test_every_real_event_becomes_an_equal_row_or_an_identical_dead_letter(
    delivery: Delivery,
) -> None:
    """Laws 2, 3 and 6: no real document is lost, stored twice or altered, and each keeps its place."""
    responses = delivery.run()
    rows = {kind: delivery.rows(kind) for kind in ROWS}
    letters = delivery.letters()

    assert len(responses) > 1
    assert responses == [{"batchItemFailures": []}] * len(responses)
    assert {kind: len(found) for kind, found in rows.items()} == ROWS
    assert len(letters) == OTHERS
    identities = [
        *(row_identity(row) for found in rows.values() for row in found),
        *map(letter_identity, letters),
    ]
    assert len(set(identities)) == len(identities)
    assert set(identities) == {(SOURCE, number, sub, 0) for number, sub in delivery.lines}
    for kind, found in rows.items():
        for row in found:
            line = delivery.lines[row["_sequence_number"], row["_sub_sequence_number"]]
            columns = {name: value for name, value in row.items() if not name.startswith("_")}
            assert columns == expected_columns(line, kind, set(columns))
            assert columns["stream"] == kind
    for letter in letters:
        line = delivery.lines[letter["sequence_number"], letter["sub_sequence_number"]]
        assert letter_payload(letter) == line
        assert (letter["stage"], letter["reason"], letter["dataset"]) == (
            "route",
            "no_dataset",
            None,
        )
        assert json.loads(line)["@stream"] not in ROWS


def test_delivered_again_the_real_events_overwrite_themselves(delivery: Delivery) -> None:
    """Law 5: the same events write the same keys with the same bytes."""

    def files() -> dict[Path, bytes]:
        folder = delivery.output.parent
        return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    delivery.run()
    once = files()
    delivery.run()
    assert files() == once
