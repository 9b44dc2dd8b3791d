"""The files of a generated dataset, read by other readers, as values of its fields."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import polars as pl
from support import ARRIVED, Stored, read_parquet

from generated.scalars import Decimals, Floating, Integer, Scalar
from generated.schemas import Array, Made, Map, Record, Type
from generated.spelling import Number, read_json

POLARS_DIGITS = 38
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
Rows = dict[str, dict[str, Any]]
_NUMBERS = (Integer, Floating, Decimals)


def parquet_rows(stored: Stored, made: Made) -> Rows:
    """Read the rows in Parquet by sequence number, with polars.

    Polars holds no decimal beyond 38 digits; a dataset with one is read with Arrow.
    """
    read = _by_arrow if widest(made.record) > POLARS_DIGITS else _by_polars
    rows = [row for body in _bodies(stored, ".parquet") for row in read(body)]
    names = [field.name for field in made.record.fields]
    return {row["_sequence_number"]: {name: row[name] for name in names} for row in rows}


def _bodies(stored: Stored, suffix: str) -> list[bytes]:
    return [body for key, body in stored.output.objects.items() if key.endswith(suffix)]


def _by_polars(body: bytes) -> list[dict[str, Any]]:
    return pl.read_parquet(io.BytesIO(body)).to_dicts()


def _by_arrow(body: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_parquet(body).to_pylist(maps_as_pydicts="strict")
    return rows


def widest(avro_type: Type) -> int:
    """Return the digits of the widest decimal in a type."""
    if isinstance(avro_type, Record):
        return max(widest(part.type) for part in avro_type.fields)
    if isinstance(avro_type, Array | Map):
        return widest(avro_type.item.type)
    return avro_type.precision if isinstance(avro_type, Decimals) else 0


def exactly(value: Any) -> Any:
    """Make values differ that Python calls equal: 1, 1.0 and true; 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exactly(item) for item in value]
    return type(value).__name__, value.hex() if isinstance(value, float) else value


def found_folders(stored: Stored) -> dict[str, list[str]]:
    """Return, by sequence number, the partition folders of every row, less Hive's escapes."""
    return {
        number: [unquote(folder) for folder in key.split("/")[2:-1]]
        for key, body in stored.output.objects.items()
        if key.endswith(".parquet")
        for number in read_parquet(body)["_sequence_number"].to_pylist()
    }


def folders_of(made: Made, row: dict[str, Any]) -> list[str]:
    """Return the folders that a row belongs in."""
    fields = {field.name: field.type for field in made.record.fields}
    folders = []
    for part, name in made.partition_by:
        value = row[name] if name else ARRIVED
        if value is None or value == "":
            text = HIVE_NULL
        elif part == "value":
            text = _said(fields[name], value)
        else:
            text = f"{value.hour:02}" if part == "hour" else value.isoformat()[:10]
        folders.append(f"{f'by_{name}' if part == 'value' else part}={text}")
    return folders


# ------------------------------------------------------------------------------------------ CSV


def csv_rows(stored: Stored, made: Made) -> Rows:
    """Read the cells in CSV by sequence number, with polars, which distinguishes null from `""`."""
    columns = dict(_columns(made.record, ""))
    tables = [pl.read_csv(body, infer_schema=False) for body in _bodies(stored, ".csv")]
    return {
        row["_sequence_number"]: {
            name: None if row[name] is None else _found(avro_type, row[name])
            for name, avro_type in columns.items()
        }
        for table in tables
        for row in table.to_dicts()
    }


def csv_row(made: Made, row: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a row by the contract; for floats, the values."""
    cells = {}
    for column, avro_type in _columns(made.record, ""):
        value: Any = row
        for name in column.split("."):
            value = value and value[name]
        cells[column] = None if value is None else _said(avro_type, value)
    return cells


def _columns(record: Record, above: str) -> Iterator[tuple[str, Type]]:
    """Flatten a record: its columns' dotted names, with their types."""
    for field in record.fields:
        if isinstance(field.type, Record):
            yield from _columns(field.type, f"{above}{field.name}.")
        else:
            yield f"{above}{field.name}", field.type


def _said(avro_type: Type, value: Any) -> Any:
    """Return a value with every scalar as its text, but for floats."""
    if value is None or isinstance(avro_type, Floating):
        return value
    if isinstance(avro_type, Scalar):
        return avro_type.text(value)
    if isinstance(avro_type, Array):
        return [_said(avro_type.item.type, item) for item in value]
    if isinstance(avro_type, Map):
        return {key: _said(avro_type.item.type, item) for key, item in value.items()}
    return {part.name: _said(part.type, value[part.name]) for part in avro_type.fields}


def _found(avro_type: Type, cell: str) -> Any:
    """Return what a cell holds, in the form of `_said`."""
    if isinstance(avro_type, Floating):
        return avro_type.nearest(float(cell))
    return cell if isinstance(avro_type, Scalar) else _in_json(avro_type, read_json(cell))


def _in_json(avro_type: Type, found: Any) -> Any:
    """Return what a piece of a cell's JSON holds, in the form of `_said`."""
    if found is None:
        return None
    if isinstance(avro_type, Array):
        return [_in_json(avro_type.item.type, item) for item in found]
    if isinstance(avro_type, Map):
        return {key: _in_json(avro_type.item.type, item) for key, item in found.items()}
    if isinstance(avro_type, Record):
        assert found.keys() == {part.name for part in avro_type.fields}
        return {part.name: _in_json(part.type, found[part.name]) for part in avro_type.fields}
    assert isinstance(found, Number) == isinstance(avro_type, _NUMBERS)
    if isinstance(found, Number):
        return (
            avro_type.nearest(float(found.text)) if isinstance(avro_type, Floating) else found.text
        )
    return json.dumps(found) if isinstance(found, bool) else found
