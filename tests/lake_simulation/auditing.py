"""What an audit says of a history's end: nothing, and then what is lost of it on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.adapters.iceberg.table import LakeTable, load_table
from pipeline.adapters.landing import MemoryLanding
from pipeline.adapters.memory import MemoryStore
from pipeline.audit.dropped import nothing_is
from pipeline.audit.findings import Finding, ask
from pipeline.audit.gather import add_stream_records, gather
from pipeline.core.census_table import ledger_key
from pipeline.core.lake.schemas import fitted
from pipeline.core.records import StreamRecord
from pipeline.lake.audit import audit_table
from pipeline.lake.places import Lake
from pipeline.lake.rewrite import rewrite
from pipeline.lake.writer import TableWriter

from .world import LEDGER, NAME, World

EVERY = 8
"""Of so many histories, one is audited: that takes as long as half of another."""


def check_audit(world: World) -> None:
    """Raise unless an audit of a history's end is silent, and then names what is lost."""
    findings = list(_of_ours(audit(world)))
    if findings:
        raise world.broken(f"the audit says {findings[0].sentence}")
    if every_hour(world) != 0:
        raise world.broken("the hourly audit misses rows that are there")
    planted, kinds = _LOSSES[world.seed % len(_LOSSES)]
    if not planted(world):
        return
    found = {finding.kind for finding in _of_ours(audit(world))}
    world.counts[f"audited {planted.__name__}"] += 1
    if not kinds & found:
        raise world.broken(f"{planted.__name__} is not found, but {found or 'nothing'}")
    # Rows that are in the table, and among the forgotten, too, as that was cut short, count twice.
    if "missing" in found and not world.forgotten and not every_hour(world):
        raise world.broken(f"{planted.__name__} is not found every hour")


def every_hour(world: World) -> int:
    """Return how many rows the hourly audit misses."""
    lake = Lake(MemoryLanding(world.landing), world.catalog, LEDGER)
    return audit_table(lake, world.datasets[0], 0.0, 1.0).missing


def audit(world: World) -> list[Finding]:
    """Audit the landing, the tables, the ledger and the stream of a world."""
    output = MemoryStore()
    output.objects.update(world.landing.objects)
    for uri, body in world.files.bodies.items():
        if uri.startswith(LEDGER):
            commit = uri.rpartition("/")[2].removesuffix(".parquet")
            output.put(ledger_key(NAME, commit), body)
    with _database() as database:
        found = gather(database, output, MemoryStore())
        for name in (NAME, f"{NAME}_forgotten"):
            table = load_table(world.catalog, name)
            for rows in table.arrivals() if table is not None else ():
                found.add_rows(NAME, "parquet", f"the table {name}", rows)
        for source, records in world.sources.batches.items():
            add_stream_records(found, source, records, nothing_is)
        return ask(found).findings


def _of_ours(findings: list[Finding]) -> Iterator[Finding]:
    """Yield what is not of the rows that somebody else has appended, the same each time."""
    return (finding for finding in findings if finding.source != "them")


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute("SET threads = 1")
        yield database


# ----------------------------------------------------------------------------- what is planted


def _table(world: World) -> LakeTable:
    table = load_table(world.catalog, NAME)
    assert table is not None
    return table


def a_row_is_deleted(world: World) -> bool:
    """Delete a row as others do, without a word."""
    table = _table(world)
    row = world.random.choice(world.sources.rows)
    if row[:4] in world.forgotten or row[4] % 10 in world.numbers:
        return False

    def others(rows: pa.Table) -> pa.Table:
        is_it = pc.and_(pc.equal(rows["_source"], row[0]), pc.equal(rows["n"], row[4]))
        return rows.filter(pc.invert(is_it))

    rewrite(table, table.files(), others)
    return True


def a_file_is_appended_again(world: World) -> bool:
    """Append rows that are there, as others do."""
    table = _table(world)
    if not table.files():
        return False
    (rows, *_) = table.row_groups(world.random.choice(table.files()).path)
    if "them" in rows["_source"].to_pylist():
        return False
    transaction = table.table.transaction()
    with TableWriter(table, "again") as writer:
        writer.add(fitted(rows, table.schema))
        with transaction.update_snapshot().fast_append() as append:
            for file in writer.finish():
                append.append_data_file(file)
    transaction.commit_transaction()
    return True


def a_segment_is_damaged(world: World) -> bool:
    """Cut off a segment of the ledger."""
    segments = sorted(uri for uri in world.files.bodies if uri.startswith(LEDGER))
    if not segments:
        return False
    uri = world.random.choice(segments)
    world.files.bodies[uri] = world.files.bodies[uri][:-9]
    return True


def a_record_is_never_delivered(world: World) -> bool:
    """Have a record in the stream that nobody has."""
    source = next(iter(world.sources.batches))
    last = world.sources.batches[source][-1]
    number = str(int(last.sequence_number) + 1)
    record = StreamRecord(number, "a", last.arrived_at, b'{"n":0,"country":"DE"}')
    world.sources.batches[source].append(record)
    return True


def the_table_is_emptied(world: World) -> bool:
    """Delete every row, as of a table that was made anew."""
    if not _table(world).files():
        return False
    if {row[:4] for row in world.sources.rows} <= world.forgotten:
        return False
    table = _table(world)
    rewrite(table, table.files(), lambda rows: rows.slice(0, 0))
    return True


# Where no census that is left counts a row, it is the stream that misses it.
_LOSSES: list[tuple[Callable[[World], bool], set[str]]] = [
    (a_row_is_deleted, {"missing", "undelivered"}),
    (a_file_is_appended_again, {"doubled"}),
    (a_segment_is_damaged, {"unreadable"}),
    (a_record_is_never_delivered, {"undelivered"}),
    (the_table_is_emptied, {"missing"}),
]
