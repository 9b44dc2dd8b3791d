"""Athena: the external tables, and views over them. Athena runs one statement at a time."""

from datetime import date
from typing import assert_never

import pyarrow as pa

from pipeline.authoring.ddl import hive
from pipeline.authoring.ddl.columns import (
    CsvColumn,
    csv_columns,
    csv_names,
    path_names,
)
from pipeline.authoring.ddl.dialect import ansi, comment, is_nested, is_wide, listed, named, once
from pipeline.core.dataset import Dataset
from pipeline.core.formats import Format


def statements(dataset: Dataset, location: str, as_format: Format, since: date | None) -> str:
    """Write the table over one format and the views over the table."""
    table = hive.table(dataset, location, as_format, since)
    created = hive.create_table(table)
    match as_format:
        case Format.PARQUET:
            view, columns = dataset.name, [name for name, _ in [*table.columns, *table.keys]]
        case Format.CSV:
            view, columns = f"{dataset.name}_csv", csv_names(dataset)
            created += "\n\n" + _casting_view(dataset, table.name, view)
        case _:
            assert_never(as_format)
    return f"{created}\n\n{once(dataset, view, columns, ansi)}"


def _casting_view(dataset: Dataset, table: str, view: str) -> str:
    selected = [
        named(_cast(column, ansi(column.name)), ansi(column.name))
        for column in csv_columns(dataset)
    ]
    selected += map(ansi, path_names(dataset))
    notes = comment(
        "The strings with their types. An empty string is null where the field may be null. Arrays "
        "and maps stay JSON text, for views here have no JSON type: json_parse(x) reads it, and "
        "CAST(json_parse(x) AS ARRAY(VARCHAR)) and the like give it types. Times of day and "
        "decimals of more than 38 digits stay text.",
    )
    return (
        f"{notes}\nCREATE OR REPLACE VIEW {ansi(view)} AS\n"
        f"SELECT\n{listed(selected)}\nFROM {ansi(table)};"
    )


def _cast(cell: CsvColumn, column: str) -> str:
    """Turn one string into its type."""
    text = f"NULLIF({column}, '')"
    if pa.types.is_string(cell.type):
        return text if cell.nullable else column
    if pa.types.is_binary(cell.type) or pa.types.is_fixed_size_binary(cell.type):
        return f"from_base64({text if cell.nullable else column})"
    if is_nested(cell.type) or is_wide(cell.type) or pa.types.is_time(cell.type):
        return text
    if pa.types.is_timestamp(cell.type):
        if cell.type.tz:
            return f"CAST(from_iso8601_timestamp_nanos({text}) AS timestamp(6))"
        return f"CAST(replace({text}, 'T', ' ') AS timestamp(6))"
    kind = "real" if pa.types.is_float32(cell.type) else hive.scalar(cell.type)
    return f"CAST({text} AS {kind})"
