"""DuckDB: a bare directory, README's query, or what `pipeline ddl` prints."""

from __future__ import annotations

from typing import Any

import duckdb

MODES = ("bare", "union", "ddl")
CSV_MODES = ("csv", "csv_ddl")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    names = ", ".join(
        f'"{name}" AS "{column}"'
        for name, column in zip(
            case["columns"] if mode == "csv" else case["names"], case["columns"], strict=True
        )
    )
    source = f"read_parquet('{case['directory']}/**/*.parquet')"
    if mode.endswith("ddl"):
        connection.execute(case["ddl"]["duckdb"])
        source = "things" if mode == "ddl" else "things_csv"
    if mode == "csv":
        source = f"read_csv('{case['directory']}/**/*.csv*')"
    if mode == "union":
        source = source.replace("')", "', hive_partitioning = true, union_by_name = true)")
    rows: list[dict[str, Any]] = (
        connection.sql(f"SELECT {names} FROM {source}").to_arrow_table().to_pylist()
    )
    return rows
