"""Glue's tables, held against what the datasets' schemas say now."""

import json
from collections.abc import Sequence
from typing import Any

from pipeline.adapters.aws.account import Refusal
from pipeline.authoring.ddl import statements
from pipeline.core.dataset import Dataset
from pipeline.doctor.findings import Asked, Findings
from pipeline.doctor.places import Places


def look_at_tables(
    places: Places, datasets: Sequence[Dataset], account: Asked, findings: Findings
) -> None:
    """Look at the table of each dataset and format, where a database is known."""
    if not (places.database and places.output.startswith("s3://")):
        return
    for dataset in datasets:
        for as_format in dataset.formats:
            text = statements(dataset, places.output, "glue", [as_format], None)
            _table(json.loads(text), dataset.name, places, account, findings)


def _table(
    expected: dict[str, Any], dataset: str, places: Places, account: Asked, findings: Findings
) -> None:
    name = f"{places.database}.{expected['Name']}"
    answer = account.ask("glue", "get_table", DatabaseName=places.database, Name=expected["Name"])
    remedy = f"pipeline ddl {dataset} --location {places.output} --dialect athena --registered"
    if isinstance(answer, Refusal):
        if answer.code == "EntityNotFoundException":
            findings.add_wrong("tables", f"There is no table {name}.", remedy)
        else:
            findings.refused("tables", f"the table {name}", "glue:GetTable", answer)
        return
    found, said = answer.found["Table"], []
    if _location(found) != _location(expected):
        said.append(f"it reads {_location(found)}, and rows are in {_location(expected)}")
    said += _differences("column", _columns(expected), _columns(found))
    said += _differences("partition", _partitions(expected), _partitions(found))
    if said:
        findings.add_wrong(
            "tables", f"The table {name} is not as its schema: {'; '.join(said)}.", remedy
        )
    else:
        findings.ok("tables", f"The table {name} is as its schema.")


def _differences(kind: str, expected: dict[str, str], found: dict[str, str]) -> list[str]:
    missing = [name for name in expected if name not in found]
    others = [
        f"{name} is {found[name]}, not {expected[name]}"
        for name in expected
        if name in found and found[name].lower() != expected[name].lower()
    ]
    said = [f"it has no {kind} {', '.join(missing)}"] if missing else []
    return said + others


def _location(table: dict[str, Any]) -> str:
    return str(table.get("StorageDescriptor", {}).get("Location", "nowhere")).rstrip("/")


def _columns(table: dict[str, Any]) -> dict[str, str]:
    return _named(table.get("StorageDescriptor", {}).get("Columns", ()))


def _partitions(table: dict[str, Any]) -> dict[str, str]:
    return _named(table.get("PartitionKeys", ()))


def _named(columns: Any) -> dict[str, str]:
    return {column["Name"].lower(): column.get("Type", "") for column in columns}
