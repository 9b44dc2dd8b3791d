"""Rows deleted on purpose, so that what comes again does not bring them back.

First their identities are written down, and then they are deleted. In the other order, a run that
is killed between the two would leave rows that the next delivery of their records brings back.
"""

import uuid
from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.adapters.iceberg.catalogs import Conflict, LakeCatalog
from pipeline.adapters.iceberg.table import (
    FORGOTTEN,
    LakeTable,
    TableFile,
    create_table,
    load_table,
)
from pipeline.core.errors import StoreRefused, StoreUnavailable
from pipeline.core.lake.identities import identities_of, sequence_numbers, without
from pipeline.core.lake.spans import Span
from pipeline.core.lake_settings import LakeSettings
from pipeline.lake.rewrite import rewrite, rows_of
from pipeline.lake.writer import TableWriter

_MOST_CONFLICTS: Final = 20
Choose = Callable[[pa.Table], pa.Table]
"""Returns those of some rows that are to be deleted."""


def forget(catalog: LakeCatalog, name: str, choose: Choose) -> int:
    """Delete the chosen rows of a table for good; return how many. Raises `StoreError`."""
    count = 0
    for _ in range(_MOST_CONFLICTS):
        table = load_table(catalog, name)
        found = [] if table is None else _found(table, choose)
        if table is None or not found:
            return count
        try:
            _write_down(catalog, name, table, [rows for _, rows in found])
            table = load_table(catalog, name) or table
            for file, identities in found:
                rewrite(table, [file], lambda rows, those=identities: without(rows, [those]))  # type: ignore[misc]  # of this round
                table = load_table(catalog, name) or table
                count += identities.num_rows
        except Conflict:
            continue
    message = f"{name} changes faster than rows are deleted from it; run it again."
    raise StoreUnavailable(message)


def _found(table: LakeTable, choose: Choose) -> list[tuple[TableFile, pa.Table]]:
    """Return the files that have such rows, each with their identities."""
    found = []
    for file in table.files():
        identities = [identities_of(choose(rows)) for rows in rows_of(table, file)]
        chosen = pa.concat_tables(identities)
        if chosen.num_rows and file.is_fixed:
            message = (
                f"{file.path} has rows to delete, and rows that were deleted in a file of their "
                "own, or another partitioning than the table has now; compact the table first."
            )
            raise StoreRefused(message)
        if chosen.num_rows:
            found.append((file, chosen))
    return found


def _write_down(
    catalog: LakeCatalog, name: str, table: LakeTable, identities: list[pa.Table]
) -> None:
    """Append identities to the table of those that are forgotten."""
    rows = pa.concat_tables(identities)
    forgotten = load_table(catalog, f"{name}_forgotten") or create_table(
        catalog, f"{name}_forgotten", rows.schema, LakeSettings(())
    )
    if not table.has_forgotten:
        table.set_property(FORGOTTEN, "true")
    spans = []
    for source in set(rows["_source"].to_pylist()):
        of_it = rows.filter(pc.equal(rows["_source"], source))
        numbers = list(sequence_numbers(of_it))
        spans.append(Span(source, min(numbers), max(numbers)))
    commit = uuid.uuid4().hex
    with TableWriter(forgotten, commit) as writer:
        writer.add(rows.cast(forgotten.schema))
        forgotten.append(writer.finish(), commit, spans, [])
