"""DuckDB: views over the files.

Where a column is both in a file and in its path, DuckDB takes the path's. That skips files and is
right, unless the column is a nullable string: then the file's is taken, and what only the path
has is cut out of the file's name, by which DuckDB skips files just as well.
"""

import json
import re
from dataclasses import dataclass
from textwrap import indent
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
)
from pipeline.authoring.ddl.dialect import (
    Spelling,
    ansi,
    ansi_text,
    changed_text,
    comment,
    holds,
    is_nested,
    is_wide,
    joined,
    listed,
    named,
    once,
    scalars,
)
from pipeline.core.dataset import Dataset
from pipeline.core.formats import Format

# Of a file's name, and unlike any column: names of fields are letters, digits and _.
_FILE = "file name"
_PARTITION_NULL = "__HIVE_DEFAULT_PARTITION__"
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
    keys = by_value(dataset)
    return _View(
        name=dataset.name,
        files="*.parquet",
        columns=names(dataset),
        expected=[
            f"NULL::{_PARQUET.spell(field.type)} AS {ansi(field.name)}" for field in dataset.schema
        ],
        selected=[_of_path(dataset, keys.get(name), name) for name in dataset.schema.names],
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
        expected=[f"NULL::{_cell_type(dataset, cell)} AS {ansi(cell.header)}" for cell in cells],
        selected=[named(_of_file(dataset, cell), ansi(cell.name)) for cell in cells],
        reader="read_csv",
        options=_CSV_OPTIONS,
        notes=_csv_notes(dataset),
    )


def _create_view(dataset: Dataset, view: _View, location: str, as_format: Format) -> str:
    """Write a view whose columns are those of the schema, whatever the files have by now."""
    expected, selected = list(view.expected), list(view.selected)
    for column in only_in_path(dataset):
        selected.append(_only_in_path(dataset, column))
        if _by_path(dataset):
            expected.append(f"NULL::{_PARQUET.spell(column.type)} AS {ansi(column.name)}")
    if not _by_path(dataset):
        expected.append(f"NULL::VARCHAR AS {ansi(_FILE)}")
    files = f"{_path(location)}/{dataset.name}/{as_format}/**/{view.files}"
    arguments = [ansi_text(files), "union_by_name = true", *view.options, *_path_options(dataset)]
    return joined(
        f"CREATE OR REPLACE VIEW {ansi(view.name)} AS",
        f"SELECT\n{listed(selected)}",
        f"FROM (\n  SELECT\n{indent(listed(expected), '  ')}\n  WHERE false",
        "  UNION ALL BY NAME",
        f"  FROM {view.reader}(\n{indent(listed(arguments), '  ')}\n  )",
        ");",
    )


def _cell_type(dataset: Dataset, cell: CsvColumn) -> str | None:
    """Text, but for what the path has instead."""
    return (
        _PARQUET.spell(cell.type)
        if _by_path(dataset) and cell.name in by_value(dataset)
        else "VARCHAR"
    )


def _by_path(dataset: Dataset) -> bool:
    """Whether the path's columns may replace the file's."""
    return all(column.exact for column in path_columns(dataset))


def _path_options(dataset: Dataset) -> list[str]:
    """Return the options that say what DuckDB reads of the path."""
    if not _by_path(dataset):
        return ["hive_partitioning = false", f"filename = {ansi_text(_FILE)}"]
    if not path_columns(dataset):
        return ["hive_partitioning = false"]
    types = {column.name: _PARQUET.spell(column.type) for column in path_columns(dataset)}
    # Every one, so that nothing is guessed: '01' is not a number.
    pairs = ", ".join(f"{ansi_text(name)}: {kind}" for name, kind in types.items())
    return ["hive_partitioning = true", f"hive_types = {{{pairs}}}"]


def _path(location: str) -> str:
    """Return the location as DuckDB takes it, with nothing in it that is a pattern."""
    if location.startswith("file://"):
        location = unquote(location.removeprefix("file://"))
    return re.sub(r"[*?\[]", r"[\g<0>]", location)


def _only_in_path(dataset: Dataset, column: PathColumn) -> str:
    if _by_path(dataset):
        return ansi(column.name)
    # The last such directory: the location may hold others. Files are skipped by it.
    found = f"regexp_extract({ansi(_FILE)}, {ansi_text(f'.*/{column.name}=([^/]*)/')}, 1)"
    text = f"NULLIF({found}, {ansi_text(_PARTITION_NULL)})"
    if column.part == "value":
        text = f"url_decode({text})"
    # TRY_CAST: filters on what might fail are not pushed to the files, and none would be skipped.
    return f"TRY_CAST({text} AS {_PARQUET.spell(column.type)}) AS {ansi(column.name)}"


def _of_path(dataset: Dataset, column: PathColumn | None, name: str) -> str:
    """Select a column that may have been replaced by the path's, with what that cannot say."""
    if column is not None and column.hides_empty and _by_path(dataset):
        return f"COALESCE({ansi(name)}, '') AS {ansi(name)}"
    return ansi(name)


def _of_file(dataset: Dataset, cell: CsvColumn) -> str:
    path = by_value(dataset).get(cell.name)
    if path is not None and _by_path(dataset):
        column = ansi(cell.header)
        return f"COALESCE({column}, '')" if path.hides_empty else column
    return _cast(cell, ansi(cell.header))


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
