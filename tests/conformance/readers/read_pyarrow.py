"""pyarrow: a dataset of a bare directory, or by the schema that `pipeline ddl` prints for pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds

MODES = ("bare", "ddl")
CSV_MODES = ("csv", "csv_text")


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    if mode in CSV_MODES:
        return _read_csv(case, mode)
    if mode == "ddl":
        found: dict[str, Any] = {}
        exec(case["ddl"]["pandas"], found)
        place, schema, levels = (found[name] for name in ("location", "schema", "partitioning"))
        data = ds.dataset(place, schema=schema, partitioning=levels)
    else:
        data = ds.dataset(case["directory"], partitioning="hive")
    rows: list[dict[str, Any]] = data.to_table(columns=case["columns"]).to_pylist()
    return rows


def _read_csv(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Read file after file; for text, by the options that docs/csv.md names."""
    parse, convert = pa_csv.ParseOptions(), pa_csv.ConvertOptions()
    if mode == "csv_text":
        parse.newlines_in_values = True
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(case["headers"], pa.string()), strings_can_be_null=True,
            quoted_strings_can_be_null=False, null_values=[""],
        )  # fmt: skip
    tables = [
        pa_csv.read_csv(file, parse_options=parse, convert_options=convert)
        for file in sorted(Path(case["directory"]).rglob("*.csv*"))
    ]
    table = pa.concat_tables(tables, promote_options="default")
    rows: list[dict[str, Any]] = table.select(case["columns"]).to_pylist()
    return rows
