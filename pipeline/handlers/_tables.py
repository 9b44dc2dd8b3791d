"""The response to a schedule: what has landed, registered in the tables over it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pipeline.adapters.aws.folders import S3Folders
from pipeline.adapters.aws.glue import glue_client
from pipeline.adapters.aws.glue_partitions import GlueTable
from pipeline.adapters.aws.s3 import s3_client
from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.telemetry import Telemetry
from pipeline.authoring.ddl import dead_letter_table, landing_table
from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.errors import StoreError, TablesNotRegistered
from pipeline.handlers.invocation import remaining_time, reserve_within
from pipeline.registration import LandingTable, Run, register, shares_of
from pipeline.settings import TableSettings

_RESERVE: Final = 20.0
"""Seconds that one more request may take."""


class Tables:
    """What outlives an invocation: the tables, and the clients."""

    def __init__(self, settings: TableSettings) -> None:
        """Read the datasets, and make the clients. Raises `DatasetError` and `StoreError`."""
        self.settings = settings
        with schema_folder(settings.schemas) as folder:
            self.tables = landing_tables(settings, read_datasets(folder))
        self.glue = glue_client()
        self.s3 = s3_client(settings.s3, read_timeout=30.0)


def landing_tables(settings: TableSettings, datasets: Iterable[Dataset]) -> list[LandingTable]:
    """Return the tables that have partitions, as `infra/tables.py` deploys them."""
    datasets = list(datasets)
    found = []
    for dataset in datasets:
        for as_format in dataset.formats:
            table = landing_table(dataset, settings.output, as_format)
            levels = tuple(name for name, _ in table.keys)
            found.append(LandingTable(table.name, table.location, levels))
    letters = dead_letter_table([dataset.name for dataset in datasets], settings.dead_letters)
    folders = frozenset({UNROUTED, *(dataset.name for dataset in datasets)})
    dated = [name for name, _ in letters.keys[1:]]
    found.append(LandingTable(letters.name, letters.location, (folders, *dated)))
    return [table for table in found if table.levels]


def respond(
    context: Any, tables: Tables, telemetry: Telemetry, now: Callable[[], float] = time.time
) -> dict[str, int]:
    """Register what has landed in each table, even after one could not be; return what was done.

    Raises `TablesNotRegistered` with what the tables' errors say.
    """
    remaining = remaining_time(context)
    reserve = reserve_within(remaining(), _RESERVE)
    folders, moment = S3Folders(tables.s3), now()
    run = Run(
        folders.below,
        lambda: remaining() <= reserve,
        int(moment // (60 * tables.settings.minutes)),
        (datetime.fromtimestamp(moment, UTC) + timedelta(days=1)).date().isoformat(),
        shares_of(tables.tables),
    )
    counts = Counter({"tables": 0, "registered": 0, "updated": 0, "unfinished": 0})
    failures = list[StoreError]()
    for table in tables.tables:
        try:
            glue = GlueTable(tables.settings.database, table.name, tables.glue)
            done = register(table, glue, run)
        except StoreError as error:
            failures.append(error)
            continue
        counts.update(tables=1, registered=done.created, updated=done.updated)
        counts["unfinished"] += done.unfinished
    counts["listings"] = folders.requests
    request_id = getattr(context, "aws_request_id", None)
    telemetry.log("INFO", {"outcome": "registered", **counts, "request_id": request_id})
    if failures:
        raise TablesNotRegistered(" ".join(map(str, failures)))
    return dict(counts)
