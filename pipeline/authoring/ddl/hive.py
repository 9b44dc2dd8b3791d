"""Athena's external tables, as DDL and as the JSON of Glue's catalogue.

Parquet goes by name, CSV by position. The path's columns are keys, and none is in the files.
"""

import json
from dataclasses import dataclass, field
from datetime import date
from typing import assert_never

import pyarrow as pa

from pipeline.authoring.ddl.columns import PathColumn, csv_columns, path_columns
from pipeline.authoring.ddl.dialect import (
    LONGEST_DECIMAL,
    Spelling,
    backticked,
    changed_text,
    comment,
    escaped_text,
    joined,
    listed,
)
from pipeline.authoring.ddl.projection import projection
from pipeline.core.dataset import Dataset
from pipeline.core.formats import Format

_DESCRIPTION_BYTES = 2_048  # Glue's limit
# OpenCSVSerde unescapes what this character precedes, inside quotes and outside. The default is
# the backslash, and `"` means the backslash, too (Hive's CSVReader): both would eat backslashes
# of values. Doubled quotes need none; so it is one that text does not hold.
_NO_ESCAPE = "\x01"


Columns = list[tuple[str, str]]
"""Names and types."""


@dataclass(frozen=True, slots=True)
class Storage:
    """How the files of a format are read; `row_format` says it as DDL."""

    input_format: str
    output_format: str
    serde: str
    serde_parameters: dict[str, str]
    parameters: dict[str, str]
    row_format: str


@dataclass(frozen=True, slots=True)
class Table:
    """An external table. `quoted_columns` are the columns as DDL spells their types."""

    name: str
    columns: Columns
    quoted_columns: Columns
    keys: Columns
    location: str
    storage: Storage
    parameters: dict[str, str]
    notes: list[str] = field(default_factory=list)
    registered: bool = False  # whether a function registers the partitions

    @property
    def projected(self) -> bool:
        """Whether Athena knows the partitions by itself."""
        return "projection.enabled" in self.parameters


def table(dataset: Dataset, location: str, as_format: Format, since: date | None) -> Table:
    """Return the table over the files of one format."""
    place = f"{location}/{dataset.name}/{as_format}/"
    keys = [(column.name, _key_type(column)) for column in path_columns(dataset)]
    listing, listing_notes = projection(dataset, place, since)
    match as_format:
        case Format.PARQUET:
            name, storage, notes = dataset.name, _PARQUET, _type_notes(dataset)
            columns, quoted = _typed_columns(dataset, _PLAIN), _typed_columns(dataset, _QUOTED)
        case Format.CSV:
            name, storage, notes = (
                f"{dataset.name}_csv_text",
                _CSV,
                [_TEXT_NOTE, *changed_text(dataset)],
            )
            columns = quoted = _text_columns(dataset)
        case _:
            assert_never(as_format)
    parameters = storage.parameters | listing
    notes = [*notes, *_key_notes(dataset), *listing_notes]
    return Table(name, columns, quoted, keys, place, storage, parameters, notes, since is None)


# -------------------------------------------------------------------------------------- types


def scalar(kind: pa.DataType) -> str | None:
    """Spell a scalar as Hive does."""
    if pa.types.is_decimal(kind):
        return (
            f"decimal({kind.precision},{kind.scale})" if kind.precision <= LONGEST_DECIMAL else None
        )
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_fixed_size_binary(kind):
        return "binary"
    return _SCALARS.get(kind)


_SCALARS = {
    pa.bool_(): "boolean", pa.int32(): "int", pa.int64(): "bigint", pa.float32(): "float",
    pa.float64(): "double", pa.string(): "string", pa.binary(): "binary", pa.date32(): "date",
}  # fmt: skip
# As the catalogue stores them. In DDL a member's name may be a keyword, and is quoted.
_PLAIN = Spelling(
    scalar, "array<{}>", "map<string,{}>", "struct<{}>", lambda name, kind: f"{name}:{kind}"
)
_QUOTED = Spelling(
    scalar,
    "array<{}>",
    "map<string,{}>",
    "struct<{}>",
    lambda name, kind: f"{backticked(name)}:{kind}",
)


def _typed_columns(dataset: Dataset, spelling: Spelling) -> Columns:
    spelled = [(field.name, spelling.spell(field.type)) for field in dataset.schema]
    return [(name, kind) for name, kind in spelled if kind]


def _text_columns(dataset: Dataset) -> Columns:
    return [(column.name, "string") for column in csv_columns(dataset)]


def _key_type(column: PathColumn) -> str:
    # Glue filters keys that are numbers, dates or strings, and projects enum values as strings.
    return "string" if pa.types.is_boolean(column.type) else str(scalar(column.type))


# -------------------------------------------------------------------------------------- notes

_TEXT_NOTE = (
    "All columns are strings, found by position. Athena cannot read a line break inside a value: "
    "such a row falls apart. It shows null and the empty string alike."
)


def _type_notes(dataset: Dataset) -> list[str]:
    notes = ["Athena shows timestamps in UTC, with milliseconds."]
    lacking = _PLAIN.lacks(dataset.schema)
    if lacking:
        notes.append(
            f"Left out, as Athena has no such type: {', '.join(lacking)}. The files have them."
        )
    return notes


def _key_notes(dataset: Dataset) -> list[str]:
    notes = []
    for column in path_columns(dataset):
        if column.part == "value":
            notes.append(
                f"WHERE {column.name} = … skips files; a condition on {column.source.name} alone "
                "does not."
            )
        if column.may_be_empty:
            notes.append(f"{column.name} is null where {column.source.name} is null or empty.")
        if pa.types.is_boolean(column.type):
            notes.append(
                f"{column.name} is a partition, and therefore a string: 'true' or 'false'."
            )
    return notes


# ------------------------------------------------------------------------------ the two forms


def create_table(table: Table) -> str:
    """Write the table as DDL, with what registers its partitions."""
    columns = [f"{backticked(name)} {kind}" for name, kind in table.quoted_columns]
    lines = [f"CREATE EXTERNAL TABLE {backticked(table.name)} (\n{listed(columns)}\n)"]
    if table.keys:
        keys = [f"{backticked(name)} {kind}" for name, kind in table.keys]
        lines.append(f"PARTITIONED BY (\n{listed(keys)}\n)")
    lines += [table.storage.row_format, f"LOCATION {escaped_text(table.location)}"]
    lines.append(f"TBLPROPERTIES (\n{_properties(table.parameters)}\n);")
    if table.keys and not table.projected and not table.registered:
        lines.append(f"\nMSCK REPAIR TABLE {backticked(table.name)};")
    return joined(comment(*table.notes), *lines)


def glue_json(table: Table) -> str:
    """Write the table as `aws glue create-table --table-input` takes it."""

    def columns(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"Name": name.lower(), "Type": kind.replace(", ", ",")} for name, kind in pairs]

    table_input = {
        "Name": table.name,
        "Description": " ".join(table.notes).encode()[:_DESCRIPTION_BYTES].decode(errors="ignore"),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", **table.parameters},
        "PartitionKeys": columns(table.keys),
        "StorageDescriptor": {
            "Columns": columns(table.columns),
            "Location": table.location,
            "InputFormat": table.storage.input_format,
            "OutputFormat": table.storage.output_format,
            "SerdeInfo": {
                "SerializationLibrary": table.storage.serde,
                "Parameters": table.storage.serde_parameters,
            },
        },
    }
    return json.dumps(table_input, indent=2)


# ---------------------------------------------------------------------------------- the formats


def _properties(properties: dict[str, str]) -> str:
    # Hive's lexer reads \u0001; the character itself would be lost on the way.
    pairs = {
        key: escaped_text(value).replace(_NO_ESCAPE, "\\u0001") for key, value in properties.items()
    }
    return listed(f"{escaped_text(key)} = {value}" for key, value in pairs.items())


_PARQUET = Storage(
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    {"serialization.format": "1"},
    {"classification": "parquet"},
    "STORED AS PARQUET",
)
_CSV_SERDE = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
_CSV_PARAMETERS = {"separatorChar": ",", "quoteChar": '"', "escapeChar": _NO_ESCAPE}
_CSV = Storage(
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    _CSV_SERDE,
    _CSV_PARAMETERS,
    {"classification": "csv", "skip.header.line.count": "1"},
    f"ROW FORMAT SERDE {escaped_text(_CSV_SERDE)}\n"
    f"WITH SERDEPROPERTIES (\n{_properties(_CSV_PARAMETERS)}\n)\n"
    "STORED AS TEXTFILE",
)
