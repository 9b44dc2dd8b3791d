"""polars: a bare directory, or what `pipeline ddl` prints."""

from __future__ import annotations

from typing import Any

import polars as pl

MODES = ("bare", "ddl")
CSV_MODES = ("csv", "csv_text")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    if mode in CSV_MODES:
        files = case["directory"] + "/**/*.csv*"
        # Without the override it guesses that this is a number, and refuses its 56 digits.
        guess: Any = {"schema_overrides": {"_sequence_number": pl.String}, "try_parse_dates": True}
        table = pl.read_csv(files, **(guess if mode == "csv" else {"infer_schema": False}))
    elif mode == "ddl":
        found: dict[str, Any] = {}
        exec(case["ddl"]["polars"], found)
        table = found["things"].collect()
    else:
        table = pl.read_parquet(case["directory"] + "/")
    rows: list[dict[str, Any]] = table.select(case["columns"]).to_dicts()
    return rows
