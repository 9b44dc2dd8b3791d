"""DataFusion, over a bare directory."""

from __future__ import annotations

from typing import Any

import datafusion

MODES = ("bare",)


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    del mode
    context = datafusion.SessionContext()
    context.register_parquet("things", case["directory"])
    names = ", ".join(f'"{name}"' for name in case["columns"])
    rows: list[dict[str, Any]] = context.sql(f"SELECT {names} FROM things").to_pylist()
    return rows
