"""Rows deleted on purpose, so that what comes again does not bring them back.

First their identities are written down, and then they are deleted. In the other order, a run that
is killed between the two would leave rows that the next delivery of their records brings back.
"""

import uuid
from collections.abc import Callable
from functools import partial
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
from pipeline.core.dataset import IDENTITY
from pipeline.core.errors import StoreRefused, StoreUnavailable
from pipeline.core.lake.identities import identities_of, sequence_numbers, without
from pipeline.core.lake.spans import Span
from pipeline.core.lake_settings import FORGOTTEN_TABLE, LakeSettings
from pipeline.lake.rewrite import rewrite, rows_of
from pipeline.lake.writer import TableWriter

_MOST_CONFLICTS: Final = 20
_NONE: Final = pa.schema(list(IDENTITY)).empty_table()
Choose = Callable[[pa.Table], pa.Table]
"""Returns those of some rows that are to be deleted."""


def forget(catalog: LakeCatalog, name: str, choose: Choose) -> int:
    """Delete the chosen rows of a table for good; return how many. Raises `StoreError`."""
    for _ in range(_MOST_CONFLICTS):
        table = load_table(catalog, name)
        found = [] if table is None else _found(table, choose)
        if table is None or not found:
            return 0
        identities = pa.concat_tables([rows for _, rows in found])
        try:
            _write_down(catalog, name, table, identities)
            # Of the version that was looked at: what somebody else deletes meanwhile stays deleted.
            rewrite(table, [file for file, _ in found], partial(without, others=[identities]))
        except Conflict:
            continue
        return int(identities.num_rows)
    message = f"{name} changes faster than rows are deleted from it; run it again."
    raise StoreUnavailable(message)


def _found(table: LakeTable, choose: Choose) -> list[tuple[TableFile, pa.Table]]:
    """Return the files that have such rows, each with their identities."""
    found = []
    for file in table.files():
        identities = (identities_of(choose(rows)) for rows in rows_of(table, file))
        chosen = pa.concat_tables([_NONE, *identities])
        if chosen.num_rows and file.is_fixed:
            message = (
                f"{file.path} has rows to delete, and rows that were deleted in a file of their "
                "own, or another partitioning than the table has now; compact the table first."
            )
            raise StoreRefused(message)
        if chosen.num_rows:
            found.append((file, chosen))
    return found


def _write_down(catalog: LakeCatalog, name: str, table: LakeTable, rows: pa.Table) -> None:
    """Append identities to the table of those that are forgotten, which are not there yet."""
    forgotten = load_table(catalog, f"{name}{FORGOTTEN_TABLE}") or create_table(
        catalog, f"{name}{FORGOTTEN_TABLE}", rows.schema, LakeSettings(())
    )
    if not table.has_forgotten:
        # In a version of its own, as the other is the one to delete from.
        (load_table(catalog, name) or table).set_property(FORGOTTEN, "true")
    for source in set(rows["_source"].to_pylist()):
        rows = without(rows, forgotten.identities(source))
    if not rows.num_rows:
        return
    spans = []
    for source in set(rows["_source"].to_pylist()):
        of_it = rows.filter(pc.equal(rows["_source"], source))
        numbers = list(sequence_numbers(of_it))
        spans.append(Span(source, min(numbers), max(numbers)))
    commit = uuid.uuid4().hex
    with TableWriter(forgotten, commit) as writer:
        writer.add(rows.cast(forgotten.schema))
        forgotten.append(writer.finish(), commit, spans, [])
