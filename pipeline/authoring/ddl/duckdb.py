"""DuckDB: views over the files."""

import json
from dataclasses import dataclass
from textwrap import indent
from typing import assert_never

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
    ansi,
    ansi_text,
    changed_text,
    comment,
    glob_free,
    holds,
    is_nested,
    is_wide,
    joined,
    listed,
    local_path,
    named,
    once,
    scalars,
)
from pipeline.core.dataset import Dataset
from pipeline.core.formats import Format

# A line of CSV may be longer than its document: quotes are doubled. The default is 2 MB.
_LINE_BYTES = 4 * 2**20
_CSV_OPTIONS = [
    "all_varchar = true", "header = true", "delim = ','", "quote = '\"'", "escape = '\"'",
    # Nothing is null, and "" is the empty string.
    "nullstr = ''", "allow_quoted_nulls = false", f"max_line_size = {_LINE_BYTES}",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _View:
    """The view over the files of one format.

    `files` is the pattern of the files' names. `columns` are the view's names and `selected` what
    it selects; `expected` are the columns of the files, as a row of NULLs, and `options` go to the
    function `reader`.
    """

    name: str
    files: str
    columns: list[str]
    expected: list[str]
    selected: list[str]
    reader: str
    options: list[str]
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
    head = comment(*view.notes, "There must be at least one file.")
    created = _create_view(dataset, view, location, as_format)
    return f"{head}\n{created}\n\n{once(dataset, view.name, view.columns, ansi)}"


def _parquet_view(dataset: Dataset) -> _View:
    return _View(
        name=dataset.name,
        files="*.parquet",
        columns=names(dataset),
        expected=[
            f"NULL::{_PARQUET.spell(field.type)} AS {ansi(field.name)}" for field in dataset.schema
        ],
        selected=[ansi(name) for name in dataset.schema.names],
        reader="read_parquet",
        options=[],
        notes=_parquet_notes(dataset),
    )


def _csv_view(dataset: Dataset) -> _View:
    cells = csv_columns(dataset)
    return _View(
        name=f"{dataset.name}_csv",
        files="*.csv*",  # compressed or not, as it was when they were written
        columns=csv_names(dataset),
        expected=[f"NULL::VARCHAR AS {ansi(cell.header)}" for cell in cells],
        selected=[named(_cast(cell, ansi(cell.header)), ansi(cell.name)) for cell in cells],
        reader="read_csv",
        options=_CSV_OPTIONS,
        notes=_csv_notes(dataset),
    )


def _create_view(dataset: Dataset, view: _View, location: str, as_format: Format) -> str:
    """Write a view whose columns are those of the schema, whatever the files have by now."""
    expected = [*view.expected, *(f"NULL::{kind} AS {ansi(name)}" for name, kind in _keys(dataset))]
    selected = [*view.selected, *map(ansi, path_names(dataset))]
    files = f"{glob_free(local_path(location))}/{dataset.name}/{as_format}/**/{view.files}"
    arguments = [ansi_text(files), "union_by_name = true", *view.options, *_path_options(dataset)]
    return joined(
        f"CREATE OR REPLACE VIEW {ansi(view.name)} AS",
        f"SELECT\n{listed(selected)}",
        f"FROM (\n  SELECT\n{indent(listed(expected), '  ')}\n  WHERE false",
        "  UNION ALL BY NAME",
        f"  FROM {view.reader}(\n{indent(listed(arguments), '  ')}\n  )",
        ");",
    )


def _keys(dataset: Dataset) -> list[tuple[str, str | None]]:
    """Return the columns of the path, with their types."""
    return [(column.name, _PARQUET.spell(column.type)) for column in path_columns(dataset)]


def _path_options(dataset: Dataset) -> list[str]:
    """Return the options that say what DuckDB reads of the path."""
    if not path_columns(dataset):
        return ["hive_partitioning = false"]
    # Every one, so that nothing is guessed: '01' is not a number.
    pairs = ", ".join(f"{ansi_text(name)}: {kind}" for name, kind in _keys(dataset))
    return ["hive_partitioning = true", f"hive_types = {{{pairs}}}"]


# -------------------------------------------------------------------------------------- types


def _scalar(kind: pa.DataType) -> str | None:
    if pa.types.is_decimal(kind):
        # What DuckDB reads a longer one of Parquet as.
        return "DOUBLE" if is_wide(kind) else f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    if pa.types.is_time(kind):
        return "TIME"
    return "BLOB" if pa.types.is_fixed_size_binary(kind) else _SCALARS[kind]


_SCALARS = {
    pa.bool_(): "BOOLEAN", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE", pa.string(): "VARCHAR", pa.binary(): "BLOB", pa.date32(): "DATE",
}  # fmt: skip
_PARQUET = Spelling(
    _scalar, "{}[]", "MAP(VARCHAR, {})", "STRUCT({})", lambda name, kind: f"{ansi(name)} {kind}"
)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _json_scalar(kind: pa.DataType) -> str | None:
    return "VARCHAR" if _is_binary(kind) else _scalar(kind)


_JSON = Spelling(
    _json_scalar,
    "{}[]",
    "MAP(VARCHAR, {})",
    "STRUCT({})",
    lambda name, kind: f"{ansi(name)} {kind}",
)


def _cast(cell: CsvColumn, column: str) -> str:
    """Turn one string of CSV into its type."""
    if pa.types.is_string(cell.type) or holds(cell.type, is_wide):
        return column
    if _is_binary(cell.type):
        return f"from_base64({column})"
    if is_nested(cell.type):
        # Not a cast, which refuses the files of older schemas for the members that they lack.
        structure = ansi_text(json.dumps(_JSON.spell(cell.type), ensure_ascii=False))
        return _decoded(cell.type, f"from_json({column}, {structure})", 0)
    return f"CAST({column} AS {_scalar(cell.type)})"


def _decoded(kind: pa.DataType, value: str, depth: int) -> str:
    """Turn base64 within nested values, which JSON holds as text, into bytes."""
    if not holds(kind, _is_binary):
        return value
    if _is_binary(kind):
        return f"from_base64({value})"
    item = f"item{depth}"
    if pa.types.is_list(kind):
        return (
            f"list_transform({value}, lambda {item}: {_decoded(kind.value_type, item, depth + 1)})"
        )
    if pa.types.is_map(kind):
        inner = _decoded(kind.item_type, f"{item}.value", depth + 1)
        entry = f"{{'key': {item}.key, 'value': {inner}}}"
        entries = f"list_transform(map_entries({value}), lambda {item}: {entry})"
        # map_entries of null is an empty list.
        return f"CASE WHEN {value} IS NOT NULL THEN map_from_entries({entries}) END"
    members = [
        f"{ansi_text(inner.name)}: {_decoded(inner.type, f'{value}.{ansi(inner.name)}', depth)}"
        for inner in kind
    ]
    return f"CASE WHEN {value} IS NOT NULL THEN {{{', '.join(members)}}} END"


# -------------------------------------------------------------------------------------- notes


def _wide_fields(dataset: Dataset) -> str:
    return ", ".join(
        path for field in dataset.schema for path, kind in scalars(field) if is_wide(kind)
    )


def _parquet_notes(dataset: Dataset) -> list[str]:
    wide = _wide_fields(dataset)
    return [f"Rounded to DOUBLE, as decimals here have 38 digits at most: {wide}."] if wide else []


def _csv_notes(dataset: Dataset) -> list[str]:
    wide = _wide_fields(dataset)
    notes = ["Fields of records are columns of their own: a.b is a__b.", *changed_text(dataset)]
    if wide:
        notes.append(f"Text, as decimals here have 38 digits at most: the column with {wide}.")
    return notes
