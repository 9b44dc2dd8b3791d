"""Datasets from what others describe data with: JSON Schema, and tables of Glue.

What a dataset can hold is carried over. The rest is listed by its place, one sentence each, so that
nothing is lost without a word.
"""

from dataclasses import dataclass, field
from typing import Any

from pipeline.authoring.infer.names import column_names, type_name
from pipeline.authoring.infer.render import write_schema
from pipeline.core.dataset import parse_dataset

_RESERVED = (
    "_source",
    "_sequence_number",
    "_sub_sequence_number",
    "_document",
    "_arrived_at",
    "_rest",
)
ANY = {"type": "string", "json": True}
"""Any JSON, as its text: the type of what has no other here."""


@dataclass(slots=True)
class Imported:
    """A dataset's schema and settings as they come about, and what could not be carried over."""

    name: str
    fields: list[dict[str, Any]] = field(default_factory=list)
    doc: str = ""
    unknown_fields: str = "ignore"
    keys: str = "exact"
    left: list[tuple[str, str]] = field(default_factory=list)

    def leave(self, path: str, why: str) -> None:
        """Note what could not be carried over."""
        self.left.append((path, why))

    def texts(self) -> tuple[str, str]:
        """Return 1.avsc and dataset.toml. Raises `DatasetError` where they cannot be used."""
        schema = {"type": "record", "name": type_name([self.name], set()), "doc": self.doc}
        avsc = write_schema(schema | {"fields": self.fields})
        config = f'formats = ["parquet"]\nunknown_fields = "{self.unknown_fields}"\n'
        if self.keys != "exact":
            config += f'keys = "{self.keys}"\n'
        config += (
            'partition_by = ["date()"]  # of arrival; or of a field, as in "date(placed_at)"\n'
        )
        parse_dataset(self.name, {1: avsc}, config)
        return avsc, config


def entry(key: str, column: str, type_: dict[str, Any] | str, *, nullable: bool) -> dict[str, Any]:
    """Make a field of a schema; `type_` is a type by name, or one with attributes beside it."""
    attributes = dict(type_) if isinstance(type_, dict) else {"type": type_}
    inner = attributes.pop("type")
    made: dict[str, Any] = {"name": column, "type": ["null", inner] if nullable else inner}
    if nullable:
        made["default"] = None
    if key != column:
        made["jsonName"] = key
    return made | attributes


def columns_of(keys: list[str], *, outermost: bool) -> dict[str, str]:
    """Name the columns of keys; the outermost may not take the names of a row's identity."""
    return column_names(keys, _RESERVED if outermost else ())
