"""Athena's external tables, as DDL and as the JSON of Glue's catalogue.

A table may not name a column twice, and `country` is both in the files and in the path. Parquet
goes by name: the table takes the path's. CSV goes by position: the file's keeps its place under
another name.
"""

import json
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from pipeline.authoring.ddl.columns import PathColumn, by_value, path_columns, text_names
from pipeline.authoring.ddl.dialect import (
    LONGEST_DECIMAL,
    Spelling,
    backticked,
    comment,
    escaped_text,
    joined,
    listed,
)
from pipeline.authoring.ddl.projection import projection
from pipeline.core.dataset import Dataset, Format

_DESCRIPTION_BYTES = 2_048  # Glue's bound
# OpenCSVSerde unescapes what this character precedes, inside quotes and outside. The default is
# the backslash, and `"` means the backslash, too (Hive's CSVReader): both would eat backslashes
# of values. Doubled quotes need none; so it is one that text does not hold.
_NO_ESCAPE = "\x01"


@dataclass(frozen=True, slots=True)
class Storage:
    """How the files of a format are read."""

    input_format: str
    output_format: str
    serde: str
    serde_parameters: dict[str, str]
    parameters: dict[str, str]


STORAGE: dict[Format, Storage] = {
    "parquet": Storage(
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        {"serialization.format": "1"},
        {"classification": "parquet"},
    ),
    "csv": Storage(
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        {"separatorChar": ",", "quoteChar": '"', "escapeChar": _NO_ESCAPE},
        {"classification": "csv", "skip.header.line.count": "1"},
    ),
}


@dataclass(frozen=True, slots=True)
class Table:
    """An external table; columns and keys are pairs of name and type."""

    name: str
    columns: list[tuple[str, str]]
    keys: list[tuple[str, str]]
    location: str
    storage: Storage
    parameters: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @property
    def projected(self) -> bool:
        """Whether Athena knows the partitions by itself."""
        return "projection.enabled" in self.parameters


def table(dataset: Dataset, location: str, as_format: Format, since: date) -> Table:
    """Return the table over the files of one format."""
    place = f"{location}/{dataset.name}/{as_format}/"
    keys = [(of.name, _key_type(of)) for of in path_columns(dataset)]
    listing, notes = projection(dataset, place, since)
    storage = STORAGE[as_format]
    parameters = storage.parameters | listing
    if as_format == "csv":
        name, columns = f"{dataset.name}_csv_text", _text_columns(dataset)
        notes = [_TEXT_NOTE, *_key_notes(dataset), *notes]
    else:
        name, columns = dataset.name, _typed_columns(dataset)
        notes = [*_type_notes(dataset), *_key_notes(dataset), *notes]
    return Table(name, columns, keys, place, storage, parameters, notes)


# -------------------------------------------------------------------------------------- types


def scalar(of: pa.DataType) -> str | None:
    """Spell a scalar as Hive does."""
    if pa.types.is_decimal(of):
        return f"decimal({of.precision},{of.scale})" if of.precision <= LONGEST_DECIMAL else None
    if pa.types.is_timestamp(of):
        return "timestamp"
    if pa.types.is_fixed_size_binary(of):
        return "binary"
    return _SCALARS.get(of)


_SCALARS = {
    pa.bool_(): "boolean", pa.int32(): "int", pa.int64(): "bigint", pa.float32(): "float",
    pa.float64(): "double", pa.string(): "string", pa.binary(): "binary", pa.date32(): "date",
}  # fmt: skip
# As the catalogue stores them. In DDL a member's name may be a keyword, and is quoted.
_PLAIN = Spelling(
    scalar, "array<{}>", "map<string,{}>", "struct<{}>", lambda name, of: f"{name}:{of}"
)
_QUOTED = Spelling(
    scalar, "array<{}>", "map<string,{}>", "struct<{}>", lambda name, of: f"{backticked(name)}:{of}"
)


def _typed_columns(dataset: Dataset) -> list[tuple[str, str]]:
    keys = by_value(dataset)
    spelled = [(of.name, _PLAIN.of(of.type)) for of in dataset.schema if of.name not in keys]
    return [(name, of) for name, of in spelled if of]


def _text_columns(dataset: Dataset) -> list[tuple[str, str]]:
    return [(name, "string") for name in text_names(dataset)]


def _key_type(of: PathColumn) -> str:
    # Glue filters keys that are numbers, dates or strings, and projects enum values as strings.
    return "string" if pa.types.is_boolean(of.type) else str(scalar(of.type))


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
    for of in path_columns(dataset):
        if of.may_be_empty:
            notes.append(f"An empty {of.name} shares its directory with null, and shows as null.")
        if pa.types.is_boolean(of.type):
            notes.append(f"{of.name} is a partition, and therefore a string: 'true' or 'false'.")
    return notes


# ------------------------------------------------------------------------------ the two forms


def create_table(dataset: Dataset, of: Table) -> str:
    """Write the table as DDL, with what registers its partitions."""
    typed = {field.name: _QUOTED.of(field.type) for field in dataset.schema}
    is_text = of.storage is STORAGE["csv"]
    columns = [
        f"{backticked(name)} {kind if is_text else typed[name]}" for name, kind in of.columns
    ]
    lines = [f"CREATE EXTERNAL TABLE {backticked(of.name)} (\n{listed(columns)}\n)"]
    if of.keys:
        keys = [f"{backticked(name)} {kind}" for name, kind in of.keys]
        lines.append(f"PARTITIONED BY (\n{listed(keys)}\n)")
    lines += [_row_format(of.storage), f"LOCATION {escaped_text(of.location)}"]
    lines.append(f"TBLPROPERTIES (\n{_properties(of.parameters)}\n);")
    if of.keys and not of.projected:
        lines.append(f"\nMSCK REPAIR TABLE {backticked(of.name)};")
    return joined(comment(*of.notes), *lines)


def _row_format(of: Storage) -> str:
    if of is STORAGE["parquet"]:
        return "STORED AS PARQUET"
    return (
        f"ROW FORMAT SERDE {escaped_text(of.serde)}\n"
        f"WITH SERDEPROPERTIES (\n{_properties(of.serde_parameters)}\n)\n"
        "STORED AS TEXTFILE"
    )


def _properties(of: dict[str, str]) -> str:
    # Hive's lexer reads \u0001; the character itself would be lost on the way.
    pairs = {key: escaped_text(value).replace(_NO_ESCAPE, "\\u0001") for key, value in of.items()}
    return listed(f"{escaped_text(key)} = {value}" for key, value in pairs.items())


def glue_json(of: Table) -> str:
    """Write the table as `aws glue create-table --table-input` takes it."""

    def columns(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"Name": name.lower(), "Type": kind.replace(", ", ",")} for name, kind in pairs]

    table_input = {
        "Name": of.name,
        "Description": " ".join(of.notes).encode()[:_DESCRIPTION_BYTES].decode(errors="ignore"),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", **of.parameters},
        "PartitionKeys": columns(of.keys),
        "StorageDescriptor": {
            "Columns": columns(of.columns),
            "Location": of.location,
            "InputFormat": of.storage.input_format,
            "OutputFormat": of.storage.output_format,
            "SerdeInfo": {
                "SerializationLibrary": of.storage.serde,
                "Parameters": of.storage.serde_parameters,
            },
        },
    }
    return json.dumps(table_input, indent=2)
