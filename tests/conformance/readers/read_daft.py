"""Daft, over a bare directory."""

from __future__ import annotations

from typing import Any

import daft

MODES = ("bare",)


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    del mode
    found = daft.read_parquet(case["directory"] + "/**/*.parquet", hive_partitioning=True)
    rows: list[dict[str, Any]] = found.select(*case["columns"]).to_pylist()
    return rows
