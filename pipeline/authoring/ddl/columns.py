"""What a table of a dataset has: its fields, the columns of its CSV, its partition columns.

The path has columns of its own, which no file has: `date`, or `by_country` beside the field
`country`. A filter on them skips files. Null and the empty string share a directory, and are null
there; the field itself tells them apart.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.core.dataset import ARRIVED_AT, IDENTITY, Dataset
from pipeline.core.partitioning import Part, find_fields
from pipeline.core.schema.types import LogicalType, Scalar

IDENTITY_NAMES = tuple(field.name for field in IDENTITY)


@dataclass(frozen=True, slots=True)
class PathColumn:
    """A level of the Hive path.

    `source` is the field of the files it is a function of, named by its path with dots, and
    `symbols` what an enum's values are. A time is looked at in `zone`, or in UTC. Of text,
    `may_be_empty` says that null in the path may be the empty string.
    """

    name: str
    part: Part
    source: pa.Field
    symbols: tuple[str, ...]
    may_be_empty: bool
    zone: str | None = None

    @property
    def type(self) -> pa.DataType:
        """The type its values have."""
        if self.part in ("year", "month", "hour"):
            return pa.int32()
        return pa.date32() if self.part == "date" else self.source.type


@dataclass(frozen=True, slots=True)
class CsvColumn:
    """A column of the CSV files: a field, or a record's field at any depth."""

    header: str
    name: str
    type: pa.DataType
    nullable: bool


def path_columns(dataset: Dataset) -> tuple[PathColumn, ...]:
    """Return the levels of the path, the outermost first."""
    columns = list[PathColumn]()
    for column in dataset.partition_by:
        if column.field is None:
            source, kind = dataset.schema.field(ARRIVED_AT.name), None
        else:
            fields = find_fields(column.field, dataset.record, "")
            nullable = any(field.nullable for field in fields)
            source, kind = pa.field(column.field, fields[-1].type.arrow, nullable), fields[-1].type
        scalar = kind if isinstance(kind, Scalar) else None
        text = scalar is not None and scalar.logical is LogicalType.STRING
        symbols = scalar.symbols if scalar else ()
        columns.append(PathColumn(column.name, column.part, source, symbols, text, column.zone))
    return tuple(columns)


def path_names(dataset: Dataset) -> list[str]:
    """Return the names of the levels of the path."""
    return [column.name for column in path_columns(dataset)]


def names(dataset: Dataset) -> list[str]:
    """Return the columns of the views over Parquet, in order."""
    return [*dataset.schema.names, *path_names(dataset)]


def csv_names(dataset: Dataset) -> list[str]:
    """Return the columns of the views over CSV, in order."""
    files = [column.name for column in csv_columns(dataset)]
    return [*files, *path_names(dataset)]


def csv_columns(dataset: Dataset) -> list[CsvColumn]:
    """Return the columns of the CSV files, in order; `a.b` is named `a__b`, if that is free."""
    flat = [leaf for field in dataset.schema for leaf in _leaves(field, "", nullable=False)]
    taken = {name.lower() for name in [*dataset.schema.names, *names(dataset)]}
    columns = list[CsvColumn]()
    for header, kind, nullable in flat:
        name = free(header.replace(".", "__"), taken) if "." in header else header
        taken.add(name.lower())
        columns.append(CsvColumn(header, name, kind, nullable))
    return columns


def _leaves(field: Any, above: str, *, nullable: bool) -> list[tuple[str, pa.DataType, bool]]:
    header, nullable = above + field.name, nullable or field.nullable
    if not pa.types.is_struct(field.type):
        return [(header, field.type, nullable)]
    return [
        leaf for inner in field.type for leaf in _leaves(inner, f"{header}.", nullable=nullable)
    ]


def free(name: str, taken: set[str]) -> str:
    """Return the name, with as many `_` behind it as make it unlike all of `taken` (lower case)."""
    while name.lower() in taken:
        name += "_"
    return name
