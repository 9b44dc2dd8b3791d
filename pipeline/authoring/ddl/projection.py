"""Athena's partition projection: Athena lists the partitions itself, nobody registers them.

What is not listed does not exist for Athena, and null never is. So it is used only where it cannot
hide a row: every column must be one whose values are known beforehand and never null.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa

from pipeline.authoring.ddl.columns import PathColumn, path_columns
from pipeline.core.dataset import ARRIVED_AT, Dataset

_DAY = 86_400_000_000  # in microseconds
REGISTERED = (
    "What has landed is registered as partitions within minutes, by the function of infra/."
)
_REPAIR = (
    "Athena sees the partitions that were there when MSCK REPAIR TABLE last ran: run it whenever "
    "there may be new ones."
)


def projection(
    dataset: Dataset, place: str, since: date | None
) -> tuple[dict[str, str], list[str]]:
    """Return the properties that make Athena list the partitions itself, or why it may not.

    `since` is when the first rows arrived; None: a function registers the partitions.
    """
    keys = path_columns(dataset)
    if not keys:
        return {}, []
    if since is None:
        return {}, [REGISTERED]
    properties = {"projection.enabled": "true"}
    for column in keys:
        found = _projected(dataset, column, since)
        if isinstance(found, str):
            return {}, [f"No partition projection, as {column.name} {found}.", *_repair(keys)]
        start = f"projection.{column.name.lower()}"
        properties |= {f"{start}.{key}": value for key, value in found.items()}
    if "${" in place:
        return {}, ["No partition projection, as the location holds ${.", *_repair(keys)]
    levels = "".join(f"{column.name}=${{{column.name.lower()}}}/" for column in keys)
    properties["storage.location.template"] = place + levels
    return properties, _unseen(dataset, keys, since)


def _repair(keys: Sequence[PathColumn]) -> list[str]:
    """Say how Athena learns of partitions instead."""
    capital = next((column.name for column in keys if column.name != column.name.lower()), None)
    if capital is None:
        return [_REPAIR]
    by_hand = (
        f"It passes over names with capitals, such as {capital}: register these partitions by "
        "ALTER TABLE ADD PARTITION with their LOCATION."
    )
    return [_REPAIR, by_hand]


def _unseen(dataset: Dataset, keys: Sequence[PathColumn], since: date) -> list[str]:
    """Say which rows lie outside the days that are listed."""
    dated = {column.source.name for column in keys if column.part == "date"}
    notes = [f"Rows that arrived before {since} are not seen: see --since."] if dated else []
    if dated - {ARRIVED_AT.name}:
        notes.append(
            f"Nor are rows of a time when the event_time_window of {dataset.name} was wider."
        )
    if any(column.source.name != ARRIVED_AT.name for column in keys):
        notes.append(
            "Declare the table again for every new version of the schema, and where the window "
            "changes: values that are not listed, as a new symbol, are not seen."
        )
    return notes


def _projected(dataset: Dataset, column: PathColumn, since: date) -> dict[str, str] | str:
    """Return the projection of one column, or what speaks against it."""
    if column.source.nullable:
        return "may be null, and projection never looks for null"
    if column.part == "year":
        return "has no last value"
    if column.part == "hour":
        return {"type": "integer", "range": "0,23", "digits": "2"}
    if column.part == "month":
        return {"type": "integer", "range": "1,12", "digits": "2"}
    if column.part == "date":
        return _projected_date(dataset, column, since)
    if pa.types.is_boolean(column.type):
        return {"type": "enum", "values": "true,false"}
    if column.symbols:
        return {"type": "enum", "values": ",".join(column.symbols)}
    return "has values that nobody can list beforehand"


def _projected_date(dataset: Dataset, column: PathColumn, since: date) -> dict[str, str] | str:
    """Bound the days: arrival by itself, the event time by its distance from arrival."""
    low = high = 0
    if column.source.name != ARRIVED_AT.name:
        if column.source.name != dataset.event_time or dataset.window is None:
            return f"is of {column.source.name}, which no event_time_window holds within bounds"
        low, high = dataset.window
    if column.zone is not None:  # in which it may be another day than in UTC
        low, high = low - _DAY, high + _DAY
    first = since + timedelta(days=max(low // _DAY, (date.min - since).days))
    ahead = max(-(-high // _DAY), 0) + 1  # one more: whoever asks may have a slow clock
    return {
        "type": "date",
        "format": "yyyy-MM-dd",
        "range": f"{first.isoformat()},NOW+{ahead}DAYS",
        "interval": "1",
        "interval.unit": "DAYS",
    }
