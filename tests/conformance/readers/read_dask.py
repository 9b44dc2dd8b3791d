"""dask, over a bare directory."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd

MODES = ("bare",)


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    del mode
    rows: list[dict[str, Any]] = (
        dd.read_parquet(case["directory"]).compute()[case["columns"]].to_dict("records")
    )
    return rows
