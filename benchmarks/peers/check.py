"""Checks with another reader that a way's Parquet files hold the documents, row for row."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow.parquet as pq

_READ_BY_ARROW = (
    "polars",
    "duckdb",
    "polars, fast deaggregation",
    "duckdb, fast deaggregation",
)  # the others write with Arrow


def check(name: str, folder: Path, payloads: Iterable[bytes]) -> None:
    """Assert that the files hold exactly the documents, in any order."""
    expected = sorted(_row(_typed(msgspec.json.decode(payload))) for payload in payloads)
    found = sorted(_row(row) for row in _read(name, folder))
    assert len(found) == len(expected), f"{name} wrote {len(found)} rows of {len(expected)}"
    for one, other in zip(found, expected, strict=True):
        assert one == other, f"{name} wrote another row than was sent"


def _read(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.parquet")):
        if name in _READ_BY_ARROW:
            yield from pq.ParquetFile(path).read().to_pylist()
        else:
            yield from pl.read_parquet(path, hive_partitioning=False).to_dicts()


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    moment, amount = datetime.fromisoformat(document["at"]), Decimal(document["amount"])
    return {**document, "at": moment, "amount": amount}


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["id"], row["at"].timestamp(), row["user"], row["kind"], row["amount"], row["url"],
        row["referrer"] or "", row["score"], row["count"], row["ok"], row["device"]["os"],
        row["device"]["width"], tuple(row["tags"]),
    )  # fmt: skip
