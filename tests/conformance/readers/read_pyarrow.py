"""pyarrow: a dataset of a bare directory, or by the schema that `pipeline ddl` prints for pandas."""

from __future__ import annotations

from typing import Any

import pyarrow.dataset as ds

MODES = ("bare", "ddl")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    if mode == "ddl":
        found: dict[str, Any] = {}
        exec(case["ddl"]["pandas"], found)
        place, schema, levels = (found[name] for name in ("location", "schema", "partitioning"))
        data = ds.dataset(place, schema=schema, partitioning=levels)
    else:
        data = ds.dataset(case["directory"], partitioning="hive")
    rows: list[dict[str, Any]] = data.to_table(columns=case["columns"]).to_pylist()
    return rows
