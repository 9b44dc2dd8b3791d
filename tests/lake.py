"""Shared by the tests of commands: a dataset's folder, and what directories hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support import letter_identity, row_identity

THINGS = {
    "type": "record",
    "name": "Thing",
    "fields": [
        {"name": "n", "type": "long", "maximum": 99},
        {"name": "text", "type": ["null", "string"]},
    ],
}
BY_DAY = 'partition_by = ["date()"]\nformats = ["parquet", "csv"]\n'


def write_dataset(
    folder: Path, schema: dict[str, Any], config: str = BY_DAY, version: int = 1
) -> None:
    """Write a dataset's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.avsc").write_text(json.dumps(schema))
    (folder / "dataset.toml").write_text(config)


def things_with(*, maximum: int) -> dict[str, Any]:
    """Return the schema of things with another maximum of `n`."""
    number, *others = THINGS["fields"]
    return {**THINGS, "fields": [{**dict(number), "maximum": maximum}, *others]}  # type: ignore[call-overload]  # a dict


def files(folder: Path) -> dict[str, bytes]:
    """Return all files under a directory, by their relative paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(output: Path) -> list[dict[str, Any]]:
    """Return all rows in Parquet, in the order of their identities."""
    found = [
        row
        for path in output.rglob("*.parquet")
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]
    return sorted(found, key=row_identity)


def letters(dead_letters: Path) -> list[dict[str, Any]]:
    """Return the dead letters that are not redriven yet, in the order of their identities."""
    found = [
        json.loads(line)
        for path in dead_letters.rglob("*.jsonl.gz")
        if "_redriven" not in path.parts
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    return sorted(found, key=letter_identity)
