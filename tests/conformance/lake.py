"""The cases as directories of real output, with what `pipeline ddl` prints for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from support import as_json, deliver, kinesis_event

from conformance.cases import CASES, Case
from conformance.csv_cases import CSV_CASES
from conformance.readers.canonical import canonical
from pipeline.authoring.ddl import FIRST_ARRIVAL, Dialect, hive, statements
from pipeline.authoring.ddl.columns import csv_columns
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.formats import Format

if TYPE_CHECKING:
    from pathlib import Path

DIALECTS: tuple[Dialect, ...] = ("duckdb", "spark", "pandas", "polars")


def build(root: Path) -> Path:
    """Store every case under a directory; return the file that describes them to readers."""
    described = [_stored(case, root / case.name) for case in (*CASES, *CSV_CASES)]
    file = root / "cases.json"
    file.write_text(json.dumps(described), "utf-8")
    return file


def expected(case: Case, mode: str) -> list[dict[str, Any]]:
    """Return the rows that a reader should see, as readers' results are written.

    CSV has no types. Who asks for text should see the cells, who reads by `pipeline ddl` the values,
    and who guesses should see values, but for what no reader can guess: base64, and arrays and maps.
    """
    rows = case.rows
    if mode == "csv_text":
        rows = case.texts
    if mode == "csv":
        opaque = {
            name for row in rows for name in row if isinstance(row[name], bytes | list | dict)
        }
        rows = tuple(
            row | {name: text[name] for name in opaque}
            for row, text in zip(rows, case.texts, strict=True)
        )
    return [{name: canonical(row[name]) for name in case.columns} for row in rows]


def _stored(case: Case, root: Path) -> dict[str, Any]:
    made_by = datasets(case)
    for number, (made, (_, documents)) in enumerate(zip(made_by, case.deliveries, strict=True)):
        event = kinesis_event(map(as_json, documents), start=10 * number)
        stored = deliver(event, [made])
        assert not stored.letters, (case.name, stored.letters)
        for key, body in stored.output.objects.items():
            path = root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    # The newest version, which is not always what came last.
    newest = max(made_by, key=lambda one: (len(str(one.schema)), one is made_by[-1]))
    if "old_first" in case.name:
        newest = made_by[-1]
    elif "new_first" in case.name:
        newest = made_by[0]
    uri = root.as_uri()
    described = {"name": case.name, "columns": case.columns}
    if case.is_csv:
        cells = {cell.header: cell for cell in csv_columns(newest)}
        return described | {
            "directory": str(root / "things" / "csv"),
            "names": [cells[header].name for header in case.columns],
            "headers": list(cells),
            "types": [_postgresql(cells[header].type) for header in cells],
            "ddl": {
                dialect: statements(newest, uri, dialect, [Format.CSV])
                for dialect in ("duckdb", "spark")
            },
        }
    table = hive.table(newest, uri, Format.PARQUET, FIRST_ARRIVAL)
    return described | {
        "directory": str(root / "things" / "parquet"),
        "names": case.columns,
        "ddl": {dialect: statements(newest, uri, dialect) for dialect in DIALECTS}
        | {"hive": hive.create_table(table)},
    }


def datasets(case: Case) -> list[Dataset]:
    """Return the dataset as it was at each delivery."""
    configs = case.configs or (case.config,) * len(case.deliveries)
    return [
        _dataset(config, fields)
        for config, (fields, _) in zip(configs, case.deliveries, strict=True)
    ]


def _dataset(config: str, fields: Any) -> Dataset:
    schema = {"type": "record", "name": "Thing", "fields": list(fields)}
    return parse_dataset("things", {1: json.dumps(schema)}, config)


_POSTGRESQL = {
    pa.bool_(): "boolean", pa.int32(): "integer", pa.int64(): "bigint", pa.float32(): "real",
    pa.float64(): "double precision", pa.string(): "text", pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamptz", pa.timestamp("us"): "timestamp",
    pa.time32("ms"): "time", pa.time64("us"): "time",
}  # fmt: skip


def _postgresql(kind: pa.DataType) -> str:
    """Return the type of a column as somebody declares it who copies the file into PostgreSQL."""
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return "json"
    return _POSTGRESQL.get(kind, "base64")
