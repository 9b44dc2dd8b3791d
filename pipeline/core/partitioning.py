"""`partition_by`: the levels of the Hive path, and where each has its values from.

A level is never named like a column of the files: many readers guess its type from the text in the
path (01067 is the number 1067), and some then take it for the column, or refuse the table.
"""

import re
from typing import Literal, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.schema.types import Field, LogicalType, Record, Scalar

Part = Literal["year", "month", "date", "hour", "value"]

_FIELD = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_ZONE = r"""\s*,\s*(?:"([A-Za-z0-9_+\-/]+)"|'([A-Za-z0-9_+\-/]+)')\s*"""
_Groups = tuple[Part, str | None, str | None, str | None, str | None]
_COLUMN = re.compile(rf"(year|month|date|hour)\(\s*({_FIELD})?\s*(?:{_ZONE})?\)|({_FIELD})")
# Types whose values have a short text, and so can be partitioned by.
_BY_VALUE = frozenset({
    LogicalType.BOOLEAN, LogicalType.INT, LogicalType.LONG, LogicalType.STRING, LogicalType.ENUM,
    LogicalType.UUID, LogicalType.DATE, LogicalType.EPOCH_DAYS,
})  # fmt: skip


class UnusablePartition(Exception):
    """A text of `partition_by` cannot be used; the message says why."""


class PartitionColumn(msgspec.Struct, frozen=True):
    """One level of the Hive path.

    `field` is the path of fields' names, with dots; None: the record's arrival. Times are looked at
    in `zone`, or in UTC.
    """

    name: str
    part: Part
    field: str | None
    zone: str | None = None

    @property
    def text(self) -> str:
        """The level as `partition_by` has it, in one way only."""
        if self.part == "value":
            return str(self.field)
        zone = f', "{self.zone}"' if self.zone is not None else ""
        return f"{self.part}({self.field or ''}{zone})"

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that lead to its value."""
        return () if self.field is None else tuple(self.field.split("."))


def read_partition_column(text: str, record: Record, schema_file: str) -> PartitionColumn:
    """Read one level, as in `country` or `date(placed_at)`. Raises `UnusablePartition`."""
    match = _COLUMN.fullmatch(text.strip())
    if not match:
        raise UnusablePartition(
            f"partition_by {text!r} is not a field, or date(field), hour(field), month(field) or "
            "year(field), or date() and the like, of arrival. A time zone goes beside the field: "
            'date(field, "Europe/Berlin").'
        )
    part, time, zone, quoted, plain = cast("_Groups", match.groups())
    zone = zone or quoted
    if plain is not None:
        kind = find_fields(plain, record, schema_file)[-1].type
        if not isinstance(kind, Scalar) or kind.logical not in _BY_VALUE:
            raise UnusablePartition(f"one cannot partition by {plain}; its type has no short text.")
        return PartitionColumn(f"by_{plain.replace('.', '_')}", "value", plain)
    arrow = pa.timestamp("us", "UTC")
    if time is not None:
        arrow = find_fields(time, record, schema_file)[-1].type.arrow
    if not pa.types.is_timestamp(arrow) and not (part != "hour" and arrow == pa.date32()):
        raise UnusablePartition(f"{text}: {time} is not a timestamp.")
    if zone is not None:
        _check_zone(zone, text)
        if not pa.types.is_timestamp(arrow) or arrow.tz is None:
            raise UnusablePartition(f"{text}: {time} has no time zone that could be another.")
    return PartitionColumn(part, part, time, zone)


# Texts that pandas trips over: the empty one, which is null in the path, and those of numbers that
# have another text, too (01067 and 1067).
_TRIPPING = ["", *(first + "1" * size for first in ("0", "00") for size in range(20))]


def remark_on(column: PartitionColumn, record: Record) -> str | None:
    """Say where pandas, which guesses types from paths, cannot read a directory as it is."""
    if column.field is None:
        return None
    fields = find_fields(column.field, record, "")
    may_be_null, cases = any(field.nullable for field in fields), list[str]()
    if column.part == "value" and _is_text(fields[-1]) and _may_trip(fields[-1].rules.pattern):
        cases = ["is empty", "has two values that are one number, as 01067 and 1067 are"]
    if may_be_null:
        cases.insert(0, "is null")
    if not cases:
        return None
    return (
        f"Where {column.name} {', or '.join(cases)}, pandas and dask cannot read the directory as "
        "it is: use what `pipeline ddl --dialect pandas` prints. What the files have of "
        f"{column.field} is right in every reader."
    )


def _is_text(field: Field) -> bool:
    return isinstance(field.type, Scalar) and field.type.logical is LogicalType.STRING


def _may_trip(pattern: str | None) -> bool:
    if pattern is None:
        return True
    return bool(pc.any(pc.match_substring_regex(pa.array(_TRIPPING), pattern)).as_py())


def find_fields(path: str, record: Record, schema_file: str) -> tuple[Field, ...]:
    """Return the fields that a dotted path of names leads through. Raises `UnusablePartition`."""
    found = list[Field]()
    inside: Record | None = record
    for name in path.split("."):
        fields = inside.fields if inside is not None else ()
        field = next((field for field in fields if field.name == name), None)
        if field is None:
            which = "a top-level field" if "." not in path else "a field in records"
            raise UnusablePartition(f"{path!r} is not {which} of {schema_file}.")
        found.append(field)
        inside = field.type if isinstance(field.type, Record) else None
    return tuple(found)


def _check_zone(zone: str, text: str) -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - few datasets have zones, and it costs a start

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        message = f"{text}: there is no time zone {zone!r}; one is named as in Europe/Berlin."
        raise UnusablePartition(message) from None
