"""What a table holds, and what has landed that is not in it."""

import time
from datetime import UTC, datetime
from statistics import median

import msgspec

from pipeline.adapters.iceberg.table import load_table
from pipeline.core.dataset import Dataset
from pipeline.lake.places import Lake
from pipeline.lake.reader import listed


class Status(msgspec.Struct, frozen=True):
    """Of one dataset: sizes in bytes, times in seconds."""

    table: str
    rows: int
    files: int
    median_file: float
    last_commit: datetime | None
    landing: int
    oldest: float

    def cells(self) -> tuple[str, ...]:
        """Return it as a row of a printed table."""
        return (
            self.table,
            f"{self.rows:,}",
            f"{self.files:,}",
            f"{self.median_file / 1e6:,.1f} MB" if self.files else "-",
            f"{self.last_commit:%Y-%m-%d %H:%M:%S}Z" if self.last_commit else "-",
            f"{self.landing:,}",
            f"{self.oldest:,.0f} s" if self.landing else "-",
        )


def status_of(lake: Lake, dataset: Dataset) -> Status:
    """Look at a dataset's table, and at its landing."""
    versions, _ = listed(lake.landing, dataset.name)
    now = time.time()
    oldest = max((now - version.modified for version in versions.values()), default=0.0)
    table = load_table(lake.catalog, dataset.name)
    name = ".".join(lake.catalog.identifier(dataset.name))
    if table is None:
        return Status(name, 0, 0, 0.0, None, len(versions), oldest)
    sizes = [(each.rows, each.bytes) for each in table.files()]
    snapshot = table.snapshot
    return Status(
        name,
        sum(rows for rows, _ in sizes),
        len(sizes),
        median(size for _, size in sizes) if sizes else 0.0,
        None if snapshot is None else datetime.fromtimestamp(snapshot.timestamp_ms / 1_000, UTC),
        len(versions),
        oldest,
    )
