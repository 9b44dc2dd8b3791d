"""polars: a bare directory, or what `pipeline ddl` prints."""

from __future__ import annotations

from typing import Any

import polars as pl

MODES = ("bare", "ddl")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    if mode == "ddl":
        found: dict[str, Any] = {}
        exec(case["ddl"]["polars"], found)
        table = found["things"].collect()
    else:
        table = pl.read_parquet(case["directory"] + "/")
    rows: list[dict[str, Any]] = table.select(case["columns"]).to_dicts()
    return rows
