"""pandas: a bare directory, or what `pipeline ddl` prints."""

from __future__ import annotations

from typing import Any

import pandas as pd

MODES = ("bare", "ddl")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    if mode == "ddl":
        found: dict[str, Any] = {}
        exec(case["ddl"]["pandas"], found)
        table = found["things"]
    else:
        table = pd.read_parquet(case["directory"])
    rows: list[dict[str, Any]] = table[case["columns"]].to_dict("records")
    return rows
