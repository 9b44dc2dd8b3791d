"""Spark: temporary views, which need no metastore.

The columns are declared, not found in the files: Spark would read country=01 as the number 1.
It lets the path's value win over the file's, in Parquet; in CSV it even counts the file's columns
without it and reads the neighbour's. So there the file's copy has another name; and where a
partition is a nullable string, whose null and "" share a directory, the path is not asked.
"""

import re
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import unquote

import pyarrow as pa

from pipeline.authoring.ddl.columns import (
    CsvColumn,
    PathColumn,
    by_value,
    csv_columns,
    csv_names,
    names,
    only_in_path,
    path_columns,
    text_names,
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
_MICROS_A_DAY = 86_400_000_000
_MICROS_AN_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class _View:
    """The view over the files of one format.

    `columns` are its names and `selected` what it selects; `declared` are the columns of the
    files, which are a view themselves, named `files`, and `keys` what that takes from the path.
    """

    name: str
    files: str
    columns: list[str]
    declared: list[str]
    keys: list[PathColumn]
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
    selected = [
        *view.selected,
        *(_only_in_path(dataset, key, as_format) for key in only_in_path(dataset)),
    ]
    declared = view.declared
    options = {"path": escaped_text(f"{_path(location)}/{dataset.name}/{as_format}")}
    if _by_path(dataset):
        keys = [f"{backticked(key.name)} {_PARQUET.spell(key.type)}" for key in view.keys]
        declared = [*declared, *keys]
    else:
        options["recursiveFileLookup"] = "'true'"
    options |= view.options
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
    keys = by_value(dataset)
    kept = [field for field in dataset.schema if _PARQUET.spell(field.type)]
    return _View(
        name=dataset.name,
        files=f"{dataset.name}_files",
        columns=[name for name in names(dataset) if name not in _unreadable(dataset)],
        declared=[f"{backticked(field.name)} {_PARQUET.spell(field.type)}" for field in kept],
        keys=only_in_path(dataset),
        selected=[_of_path(dataset, keys.get(field.name), field.name) for field in kept],
        options={},
        notes=_parquet_notes(dataset),
    )


def _csv_view(dataset: Dataset) -> _View:
    return _View(
        name=f"{dataset.name}_csv",
        files=f"{dataset.name}_csv_text",
        columns=csv_names(dataset),
        declared=[f"{backticked(name)} STRING" for name in text_names(dataset)],
        keys=list(path_columns(dataset)),
        selected=_csv_columns(dataset),
        options=_CSV_OPTIONS,
        notes=_csv_notes(dataset),
    )


def _by_path(dataset: Dataset) -> bool:
    """Whether Spark is to look at the path at all."""
    return all(column.exact for column in path_columns(dataset))


def _path(location: str) -> str:
    """Return the location as Spark takes it: not encoded, with nothing in it that is a pattern."""
    if location.startswith("file://"):
        location = "file:" + unquote(location.removeprefix("file://"))
    return re.sub(r"[*?\[\]{}\\]", r"\\\g<0>", location)


def _of_path(dataset: Dataset, key: PathColumn | None, name: str) -> str:
    """Select a column that may be the path's, with what the path cannot say."""
    column = backticked(name)
    if key is None or not key.hides_empty or not _by_path(dataset):
        return column
    return f"COALESCE({column}, '') AS {column}"


def _only_in_path(dataset: Dataset, column: PathColumn, as_format: Format) -> str:
    """Select a column of the path, or work it out as the pipeline did, in UTC or its zone."""
    if _by_path(dataset):
        return backticked(column.name)
    kind = column.source.type
    # In CSV it is text; in Parquet the cast does nothing.
    source = f"CAST({_source(dataset, column, as_format)} AS {_scalar(kind)})"
    if column.part == "value":
        value = f"NULLIF({source}, '')" if pa.types.is_string(kind) else source
    elif not (pa.types.is_timestamp(kind) and kind.tz):
        value = f"CAST({source} AS DATE)" if column.part == "date" else f"{column.part}({source})"
    else:
        if column.zone is not None:
            source = f"from_utc_timestamp({source}, {escaped_text(column.zone)})"
        days = f"CAST(floor(unix_micros({source}) / {_MICROS_A_DAY}) AS INT)"
        value = f"date_add(DATE '1970-01-01', {days})"
        if column.part == "hour":
            of_day = f"pmod(unix_micros({source}), {_MICROS_A_DAY})"
            value = f"CAST({of_day} DIV {_MICROS_AN_HOUR} AS INT)"
        elif column.part != "date":
            value = f"{column.part}({value})"
    return f"{value} AS {backticked(column.name)}"


def _source(dataset: Dataset, column: PathColumn, as_format: Format) -> str:
    """Name what a column of the path is made of, in the view over the files."""
    if as_format is Format.CSV:
        cells = zip(csv_columns(dataset), text_names(dataset), strict=True)
        return next(backticked(name) for cell, name in cells if cell.header == column.source.name)
    return ".".join(map(backticked, column.source.name.split(".")))


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


def _csv_columns(dataset: Dataset) -> list[str]:
    keys, by_path = by_value(dataset), _by_path(dataset)
    return [
        _of_path(dataset, keys[cell.name], cell.name)
        if by_path and cell.name in keys
        else named(_cast(cell, backticked(name)), backticked(cell.name))
        for cell, name in zip(csv_columns(dataset), text_names(dataset), strict=True)
    ]


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


def _path_notes(dataset: Dataset) -> list[str]:
    ambiguous = ", ".join(column.name for column in path_columns(dataset) if not column.exact)
    if not ambiguous:
        return []
    note = (
        "Null and the empty string share a directory, and only the file tells them apart: "
        f"{ambiguous}. "
        "So Spark does not look at the path, and skips no files by it."
    )
    return [note]


def _parquet_notes(dataset: Dataset) -> list[str]:
    notes = [_USE, *_path_notes(dataset)]
    if any(holds(field.type, pa.types.is_time) for field in dataset.schema):
        notes.append(_TIMES)
    lacking = _PARQUET.lacks(dataset.schema)
    if lacking:
        notes.append(
            f"Left out, as Spark has no such type: {', '.join(lacking)}. The files have them."
        )
    return notes


def _csv_notes(dataset: Dataset) -> list[str]:
    return [_USE, *_path_notes(dataset), _FLAT, *changed_text(dataset)]
