"""Spark: temporary views, which need no metastore.

The columns are declared, not found in the files and their paths: Spark would read by_zip=01067 as
the number 1067.
"""

import re
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import unquote

import pyarrow as pa

from pipeline.authoring.ddl.columns import (
    CsvColumn,
    csv_columns,
    csv_names,
    names,
    path_columns,
    path_names,
)
from pipeline.authoring.ddl.dialect import (
    Spelling,
    backticked,
    changed_text,
    comment,
    escaped_text,
    holds,
    is_nested,
    is_wide,
    listed,
    named,
    once,
)
from pipeline.core.dataset import Dataset
from pipeline.core.formats import Format

_VIEW = "CREATE OR REPLACE TEMPORARY VIEW"
# Stands for an empty field, which is null, so that "" can stand for itself.
_NULL = "\\u0001null\\u0001"
_CSV_OPTIONS = {
    "header": "'true'", "multiLine": "'true'", "quote": "'\"'", "escape": "'\"'",
    # By default NUL, which would be lost from values.
    "charToEscapeQuoteEscaping": "'\"'",
    "nullValue": f"'{_NULL}'", "emptyValue": "''",
}  # fmt: skip
# Spark 3 asks, before it reads a time before 1900 or a date before 1582, whether it is of Spark 2
# and its Julian calendar: one such value made its whole file unreadable. No file here is.
_PARQUET_OPTIONS = {"datetimeRebaseMode": "'CORRECTED'", "int96RebaseMode": "'CORRECTED'"}


@dataclass(frozen=True, slots=True)
class _View:
    """The view over the files of one format.

    `columns` are its names and `selected` what it selects; `declared` are the columns of the
    files, which are a view themselves, named `files`.
    """

    name: str
    files: str
    columns: list[str]
    declared: list[str]
    selected: list[str]
    options: dict[str, str]
    notes: list[str]


def statements(dataset: Dataset, location: str, as_format: Format) -> str:
    """Write the views over one format."""
    match as_format:
        case Format.PARQUET:
            view = _parquet_view(dataset)
        case Format.CSV:
            view = _csv_view(dataset)
        case _:
            assert_never(as_format)
    selected = [*view.selected, *map(backticked, path_names(dataset))]
    keys = path_columns(dataset)
    declared = [
        *view.declared,
        *(f"{backticked(key.name)} {_PARQUET.spell(key.type)}" for key in keys),
    ]
    path = escaped_text(f"{place(location)}/{dataset.name}/{as_format}")
    options = {"path": path, **view.options}
    name, files = backticked(view.name), backticked(view.files)
    return (
        f"{comment(*view.notes)}\n"
        f"{_VIEW} {files} (\n{listed(declared)}\n)\n"
        f"USING {as_format} OPTIONS (\n"
        f"{listed(f'{key} {value}' for key, value in options.items())}\n);\n\n"
        f"{_VIEW} {name} AS\nSELECT\n{listed(selected)}\nFROM {files};\n\n"
        f"{once(dataset, view.name, view.columns, backticked, _VIEW)}"
    )


def _parquet_view(dataset: Dataset) -> _View:
    kept = [field for field in dataset.schema if _PARQUET.spell(field.type)]
    return _View(
        name=dataset.name,
        files=f"{dataset.name}_files",
        columns=[name for name in names(dataset) if name not in _unreadable(dataset)],
        declared=[f"{backticked(field.name)} {_PARQUET.spell(field.type)}" for field in kept],
        selected=[backticked(field.name) for field in kept],
        options=_PARQUET_OPTIONS,
        notes=_parquet_notes(dataset),
    )


def _csv_view(dataset: Dataset) -> _View:
    return _View(
        name=f"{dataset.name}_csv",
        files=f"{dataset.name}_csv_text",
        columns=csv_names(dataset),
        declared=[f"{backticked(cell.name)} STRING" for cell in csv_columns(dataset)],
        selected=[
            named(_cast(cell, backticked(cell.name)), backticked(cell.name))
            for cell in csv_columns(dataset)
        ],
        options=_CSV_OPTIONS,
        notes=_csv_notes(dataset),
    )


def place(location: str) -> str:
    """Return the location as Spark takes it: not encoded, with nothing in it that is a pattern."""
    if location.startswith("file://"):
        location = "file:" + unquote(location.removeprefix("file://"))
    return re.sub(r"[*?\[\]{}\\]", r"\\\g<0>", location)


# -------------------------------------------------------------------------------------- types


def _scalar(kind: pa.DataType) -> str | None:
    if pa.types.is_decimal(kind):
        return None if is_wide(kind) else f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ"
    if pa.types.is_time(kind):
        return "INT" if kind.unit == "ms" else "BIGINT"
    return "BINARY" if pa.types.is_fixed_size_binary(kind) else _SCALARS[kind]


_SCALARS = {
    pa.bool_(): "BOOLEAN", pa.int32(): "INT", pa.int64(): "BIGINT", pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE", pa.string(): "STRING", pa.binary(): "BINARY", pa.date32(): "DATE",
}  # fmt: skip


def _json_scalar(kind: pa.DataType) -> str | None:
    return "STRING" if pa.types.is_time(kind) else _scalar(kind)


def _member(name: str, kind: str) -> str:
    return f"{backticked(name)}: {kind}"


_PARQUET = Spelling(_scalar, "ARRAY<{}>", "MAP<STRING, {}>", "STRUCT<{}>", _member)
_JSON = Spelling(_json_scalar, "ARRAY<{}>", "MAP<STRING, {}>", "STRUCT<{}>", _member)


def _unreadable(dataset: Dataset) -> set[str]:
    return {field.name for field in dataset.schema if not _PARQUET.spell(field.type)}


def _cast(cell: CsvColumn, column: str) -> str:
    """Turn one string of CSV into its type."""
    if pa.types.is_string(cell.type) or pa.types.is_time(cell.type) or holds(cell.type, is_wide):
        return column
    if pa.types.is_binary(cell.type) or pa.types.is_fixed_size_binary(cell.type):
        return f"unbase64({column})"
    if is_nested(cell.type):
        schema = escaped_text(str(_JSON.spell(cell.type)))
        return f"from_json({column}, {schema}, map('mode', 'FAILFAST'))"
    return f"CAST({column} AS {_scalar(cell.type)})"


# -------------------------------------------------------------------------------------- notes

_USE = (
    "spark.sql() takes one statement at a time, without its semicolon. Outside Amazon's Spark an "
    "S3 location is written s3a://."
)
_FLAT = (
    "Fields of records are columns of their own: a.b is a__b. Times of day, and whatever holds a "
    "decimal of more than 38 digits, stay text."
)
_TIMES = "Times of day are numbers since midnight: time-millis INT, time-micros BIGINT."


def _parquet_notes(dataset: Dataset) -> list[str]:
    notes = [_USE]
    if any(holds(field.type, pa.types.is_time) for field in dataset.schema):
        notes.append(_TIMES)
    lacking = _PARQUET.lacks(dataset.schema)
    if lacking:
        notes.append(
            f"Left out, as Spark has no such type: {', '.join(lacking)}. The files have them."
        )
    return notes


def _csv_notes(dataset: Dataset) -> list[str]:
    return [_USE, _FLAT, *changed_text(dataset)]
