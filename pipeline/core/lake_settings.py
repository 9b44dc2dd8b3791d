"""`[lake]` of dataset.toml: whether a dataset has a table, and how that is partitioned."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, cast

import msgspec
import pyarrow as pa

from pipeline.core.partitioning import PartitionColumn, UnusablePartition, find_fields
from pipeline.core.schema.types import Record

Transform = Literal["year", "month", "day", "hour", "identity"]

ARRIVAL: Final = "_arrived_at"
_FIELD = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_TEXT = re.compile(rf"(year|month|day|hour)\(\s*({_FIELD})?\s*\)|({_FIELD})")
_SETTINGS = {"partition_by"}
_BY_VALUE = (pa.types.is_string, pa.types.is_integer, pa.types.is_boolean, pa.types.is_date)
_OF_LANDING: dict[str, Transform] = {"year": "year", "month": "month", "date": "day", "hour": "day"}


_CATALOG = re.compile(r"sqlite:///.+|glue:[a-z0-9_]{1,255}|rest:https?://[^/?\s]+([/?]\S*)?")
FORGOTTEN_TABLE: Final = "_forgotten"
"""What is added to a dataset's name for the table of the identities that were deleted for good."""


class UnusableLake(Exception):
    """A setting of `[lake]` cannot be used; the message says why."""


class LakePartition(msgspec.Struct, frozen=True):
    """One of a table's partition fields: an Iceberg transform of a column, by its dotted path."""

    transform: Transform
    field: str

    @property
    def name(self) -> str:
        """Its name in the table: as Spark would call it."""
        name = self.field.replace(".", "_")
        return name if self.transform == "identity" else f"{name}_{self.transform}"

    def __str__(self) -> str:
        """Write it as in dataset.toml."""
        if self.transform == "identity":
            return self.field
        return f"{self.transform}({'' if self.field == ARRIVAL else self.field})"


class LakeSettings(msgspec.Struct, frozen=True):
    """How a dataset's table is partitioned."""

    partition_by: tuple[LakePartition, ...]


def catalog_fault(uri: str) -> str | None:
    """Say why a URI does not name a catalog; None if it may."""
    if _CATALOG.fullmatch(uri):
        return None
    return (
        f"{uri!r} does not name a catalog; write sqlite:///directory/catalog.db, glue:DATABASE or "
        "rest:https://…?namespace=NAME."
    )


def read_lake_settings(
    given: Any, record: Record, landing: Sequence[PartitionColumn], schema_file: str
) -> LakeSettings:
    """Read `[lake]`; a table has the days of the landing by default. Raises `UnusableLake`."""
    for field in record.fields:
        for path in _too_wide(field.type.arrow, field.name):
            message = (
                f"[lake]: {path} of {schema_file} has more than 38 digits, and no table of Iceberg "
                "has such decimals; give it fewer, or make it a string."
            )
            raise UnusableLake(message)
    if not isinstance(given, dict) or not set(given) <= _SETTINGS:
        message = f"[lake] has at most the settings {', '.join(sorted(_SETTINGS))}."
        raise UnusableLake(message)
    texts = given.get("partition_by")
    if texts is None:
        return _apart(LakeSettings((_days_of(landing),)), record, schema_file)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        message = '[lake] partition_by is a list of strings, as in ["day(placed_at)"].'
        raise UnusableLake(message)
    partitions = tuple(_partition(text, record, schema_file) for text in texts)
    names = [partition.name.lower() for partition in partitions]
    if len(set(names)) < len(names):
        message = "[lake] partition_by has the same field twice."
        raise UnusableLake(message)
    return _apart(LakeSettings(partitions), record, schema_file)


def _apart(settings: LakeSettings, record: Record, schema_file: str) -> LakeSettings:
    """Return the settings, if no partition of a table is named as one of its columns is."""
    fields = {field.name.lower(): field for field in record.fields}
    for partition in settings.partition_by:
        field = fields.get(partition.name.lower())
        if field is not None and partition != LakePartition("identity", field.name):
            message = (
                f"[lake]: a table calls its partitions by {partition} {partition.name}, and "
                f"{schema_file} has a field of that name. Give that field another name, and its "
                f'JSON key by "jsonName": "{field.key}"; or partition by another field.'
            )
            raise UnusableLake(message)
    return settings


def _days_of(landing: Sequence[PartitionColumn]) -> LakePartition:
    for column in landing:
        if column.part in _OF_LANDING:
            return LakePartition(_OF_LANDING[column.part], column.field or ARRIVAL)
    return LakePartition("day", ARRIVAL)


def _partition(text: str, record: Record, schema_file: str) -> LakePartition:
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        message = (
            f"[lake] partition_by {text!r} is not a field, or day(field), hour(field), "
            "month(field) or year(field), or day() and the like, of arrival."
        )
        raise UnusableLake(message)
    transform, time, plain = cast("tuple[Transform | None, str | None, str | None]", match.groups())
    if transform is None and plain is not None:
        if not any(fits(_arrow(plain, record, schema_file)) for fits in _BY_VALUE):
            message = (
                f"[lake] partition_by: one cannot partition by {plain}; choose a text, an integer, "
                "a boolean or a date, or the day of a time."
            )
            raise UnusableLake(message)
        return LakePartition("identity", plain)
    arrow = _arrow(time, record, schema_file) if time is not None else pa.timestamp("us", "UTC")
    if not pa.types.is_timestamp(arrow) and not (transform != "hour" and pa.types.is_date(arrow)):
        message = f"[lake] partition_by {text}: {time} is not a timestamp."
        raise UnusableLake(message)
    return LakePartition(cast("Transform", transform), time or ARRIVAL)


def _arrow(field: str, record: Record, schema_file: str) -> pa.DataType:
    try:
        return find_fields(field, record, schema_file)[-1].type.arrow
    except UnusablePartition as error:
        message = f"[lake] partition_by: {error}"
        raise UnusableLake(message) from None


def _too_wide(kind: pa.DataType, path: str) -> Iterator[str]:
    """Yield the paths of decimals that no table can have."""
    if pa.types.is_decimal256(kind):
        yield path
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _too_wide(field.type, f"{path}.{field.name}")
    elif pa.types.is_list(kind):
        yield from _too_wide(kind.value_type, f"{path}[]")
    elif pa.types.is_map(kind):
        yield from _too_wide(kind.item_type, f"{path}{{}}")
