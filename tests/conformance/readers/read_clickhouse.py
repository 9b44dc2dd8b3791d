"""ClickHouse, as chdb, over a bare directory."""

from __future__ import annotations

import io
from typing import Any

import chdb
import pyarrow as pa

MODES = ("bare",)


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    del mode
    names = ", ".join(f"`{name}`" for name in case["columns"])
    query = f"SELECT {names} FROM file('{case['directory']}/**/*.parquet')"
    found = chdb.query(query, "Arrow").bytes()
    rows: list[dict[str, Any]] = pa.ipc.open_file(io.BytesIO(found)).read_all().to_pylist()
    return rows
