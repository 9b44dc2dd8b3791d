"""The cases as directories of real output, with what `pipeline ddl` prints for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support import as_json, deliver, kinesis_event

from conformance.cases import CASES, Case
from conformance.readers.canonical import canonical
from pipeline.authoring.ddl import FIRST_ARRIVAL, Dialect, hive, statements
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.formats import Format

if TYPE_CHECKING:
    from pathlib import Path

DIALECTS: tuple[Dialect, ...] = ("duckdb", "spark", "pandas", "polars")


def build(root: Path) -> Path:
    """Store every case under a directory; return the file that describes them to readers."""
    described = [_stored(case, root / case.name) for case in CASES]
    file = root / "cases.json"
    file.write_text(json.dumps(described), "utf-8")
    return file


def expected(case: Case) -> list[dict[str, Any]]:
    """Return the rows that a reader should see, as readers' results are written."""
    return [{name: canonical(row[name]) for name in case.columns} for row in case.rows]


def _stored(case: Case, root: Path) -> dict[str, Any]:
    datasets = [_dataset(case, fields) for fields, _ in case.deliveries]
    for number, (made, (_, documents)) in enumerate(zip(datasets, case.deliveries, strict=True)):
        event = kinesis_event(map(as_json, documents), start=10 * number)
        stored = deliver(event, [made])
        assert not stored.letters, (case.name, stored.letters)
        for key, body in stored.output.objects.items():
            path = root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    # The newest version, which is not always what came last.
    newest = max(datasets, key=lambda one: (len(str(one.schema)), one is datasets[-1]))
    if case.name.startswith("old_first"):
        newest = datasets[-1]
    elif case.name.startswith("new_first"):
        newest = datasets[0]
    uri = root.as_uri()
    return {
        "name": case.name,
        "directory": str(root / "things" / "parquet"),
        "columns": case.columns,
        "ddl": {dialect: statements(newest, uri, dialect) for dialect in DIALECTS}
        | {"hive": hive.create_table(hive.table(newest, uri, Format.PARQUET, FIRST_ARRIVAL))},
    }


def _dataset(case: Case, fields: Any) -> Dataset:
    schema = {"type": "record", "name": "Thing", "fields": list(fields)}
    return parse_dataset("things", {1: json.dumps(schema)}, case.config)
