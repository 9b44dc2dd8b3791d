"""pandas: a bare directory, or what `pipeline ddl` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

MODES = ("bare", "ddl")
CSV_MODES = ("csv", "csv_text")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    if mode in CSV_MODES:
        text: Any = {"dtype": str, "keep_default_na": False, "na_values": [""]}
        files = sorted(Path(case["directory"]).rglob("*.csv*"))
        table = pd.concat(
            [pd.read_csv(file, **(text if mode == "csv_text" else {})) for file in files]
        )
    elif mode == "ddl":
        found: dict[str, Any] = {}
        exec(case["ddl"]["pandas"], found)
        table = found["things"]
    else:
        table = pd.read_parquet(case["directory"])
    rows: list[dict[str, Any]] = table[case["columns"]].to_dict("records")
    return rows
