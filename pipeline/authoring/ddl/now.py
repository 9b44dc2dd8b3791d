"""`<dataset>_now`: a dataset's Iceberg table, and what has landed since, each identity once."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from pipeline.authoring.ddl.columns import IDENTITY_NAMES
from pipeline.authoring.ddl.dialect import (
    ansi,
    ansi_text,
    backticked,
    comment,
    holds,
    joined,
    listed,
    named,
)
from pipeline.core.dataset import Dataset

_NOTE = (
    "The table, and of what has landed only what it does not have yet. A query that begins while a "
    "commit ends may show some rows in neither: ask again."
)


def athena(dataset: Dataset, table: str) -> str:
    """Write Athena's view; `table` is named as in `pipeline_lake.orders`."""
    kept = _same_in_both(dataset, lambda kind: pa.types.is_timestamp(kind) or _is_of_day(kind))
    selected = [named(_plain_time(field), ansi(field.name)) for field in kept]
    return _view(dataset, kept, selected, _quoted(table, ansi), ansi, "CREATE OR REPLACE VIEW")


def spark(dataset: Dataset, table: str) -> str:
    """Write Spark's view; `table` is named as in `glue.pipeline_lake.orders`."""
    kept = _same_in_both(dataset, _is_of_day)
    selected = [backticked(field.name) for field in kept]
    create = "CREATE OR REPLACE TEMPORARY VIEW"
    return _view(dataset, kept, selected, _quoted(table, backticked), backticked, create)


def duckdb(dataset: Dataset, table: str) -> str:
    """Write DuckDB's view; `table` is the table's metadata file, or the name of one attached."""
    read = f"iceberg_scan({ansi_text(table)})" if table.endswith(".json") else _quoted(table, ansi)
    kept = list(dataset.schema)
    selected = [ansi(field.name) for field in kept]
    return _view(dataset, kept, selected, read, ansi, "CREATE OR REPLACE VIEW")


def _view(
    dataset: Dataset,
    kept: Sequence[pa.Field],
    selected: Sequence[str],
    table: str,
    quote: Callable[[str], str],
    create: str,
) -> str:
    left_out = [field.name for field in dataset.schema if field not in kept]
    lacking = f"Left out, as its type differs in the two: {', '.join(left_out)}."
    same = " AND ".join(
        f"{quote('had')}.{quote(name)} = {quote('landed')}.{quote(name)}" for name in IDENTITY_NAMES
    )
    return joined(
        comment(_NOTE, *([lacking] if left_out else [])),
        f"{create} {quote(f'{dataset.name}_now')} AS",
        f"SELECT\n{listed(selected)}\nFROM {table}",
        "UNION ALL",
        f"SELECT\n{listed(quote(field.name) for field in kept)}",
        f"FROM {quote(f'{dataset.name}_once')} AS {quote('landed')}",
        "WHERE NOT EXISTS (",
        "  SELECT 1",
        f"  FROM {table} AS {quote('had')}",
        f"  WHERE {same}",
        ");",
    )


def _same_in_both(dataset: Dataset, differs: Callable[[pa.DataType], bool]) -> list[pa.Field]:
    """Return the fields with no such type inside, or that are a timestamp themselves."""
    return [
        field
        for field in dataset.schema
        if pa.types.is_timestamp(field.type) or not holds(field.type, differs)
    ]


def _is_of_day(kind: pa.DataType) -> bool:
    return bool(pa.types.is_time(kind))


def _plain_time(field: pa.Field) -> str:
    """Select a time as the landing's table has it: in UTC, with milliseconds, without a zone."""
    column = ansi(field.name)
    if not pa.types.is_timestamp(field.type):
        return column
    in_utc = f"{column} AT TIME ZONE 'UTC'" if field.type.tz else column
    return f"CAST({in_utc} AS timestamp(3))"


def _quoted(table: str, quote: Callable[[str], str]) -> str:
    return ".".join(map(quote, table.split(".")))
