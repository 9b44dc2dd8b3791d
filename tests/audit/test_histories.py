"""Over random histories of the simulated world, an audit names what is missing, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulation.documents import RULES
from simulation.world import World

from pipeline.adapters.memory import MemoryStore
from pipeline.audit.dropped import dropped_of
from pipeline.audit.findings import Answers, ask
from pipeline.audit.gather import add_stream_records, gather
from pipeline.core.records import Limits
from pipeline.core.stream import parse_stream

HISTORIES = 30
"""Each with the real encoders, as an object of the cheap ones has no census."""


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def lived(seed: int) -> World:
    world = World(seed)
    world.run()
    return world


def asked(database: duckdb.DuckDBPyConnection, world: World) -> Answers:
    """Audit a world's stores against its stream."""
    found = gather(database, world.lake, world.dead_letters)
    rules = RULES if world.stream.has_rules else ""
    is_dropped = dropped_of(parse_stream(rules, "stream.toml"), Limits())
    for shard in world.stream.shards.values():
        add_stream_records(found, shard.source, shard.records, is_dropped)
    return ask(found)


def lost_records(database: duckdb.DuckDBPyConnection, world: World) -> set[tuple[str, str]]:
    """Return the stream records of which nothing is stored, by another way than the audit's."""
    query = "SELECT source, sequence_number FROM {}"
    stored = {
        row
        for table in ("audit_rows", "audit_letters")
        for row in database.execute(query.format(table)).fetchall()
    }
    every = {
        (shard.source, record.sequence_number)
        for shard in world.stream.shards.values()
        for record in shard.records
    }
    return every - stored - dropped_records(world)


def dropped_records(world: World) -> set[tuple[str, str]]:
    """Return the stream records of which each document is dropped."""
    return {
        place
        for place, units in world.stream.units.items()
        if all(unit.verdict[0] == "drop" for unit in units)
    }


@pytest.mark.parametrize("seed", range(1, HISTORIES + 1))
def test_an_audit_names_what_a_history_has_lost_and_nothing_else(
    database: duckdb.DuckDBPyConnection, seed: int
) -> None:
    world = lived(seed)
    answers = asked(database, world)
    lost = lost_records(database, world)
    assert lost <= world.laws.given_up
    named = Counter[str]()
    for finding in answers.findings:
        if finding.kind == "undelivered":
            named[finding.source] += finding.documents
        else:
            assert finding.kind == "missing"
            assert any(
                source == finding.source and int(finding.first) <= int(number) <= int(finding.last)
                for source, number in world.laws.given_up
            )
    assert named == Counter(source for source, _ in lost)
    every = [unit for units in world.stream.units.values() for unit in units]
    stored = sum(unit.verdict[0] != "drop" for unit in every)
    if not world.laws.given_up:
        assert answers.findings == []
        assert sum(hour.documents - hour.drops for hour in answers.hours) == stored


@pytest.mark.parametrize("seed", range(101, 113))
def test_rows_that_a_history_loses_are_named(
    database: duckdb.DuckDBPyConnection, seed: int
) -> None:
    """By a census, where an object of their batch is left, or else by the stream."""
    world = lived(seed)
    with duckdb.connect() as before:
        before.execute("SET TimeZone = 'UTC'")
        known = named(asked(before, world))
    lose_rows(world.lake, Random(seed))
    assert named(asked(database, world)) - known


def named(answers: Answers) -> Counter[tuple[str, str, str]]:
    """Count the documents and records that are named as missing, by where they are."""
    counts = Counter[tuple[str, str, str]]()
    for finding in answers.findings:
        counts[finding.source, finding.first, finding.format] += finding.documents
    return counts


def lose_rows(store: MemoryStore, random: Random) -> None:
    """Delete a Parquet object, and all others that have one of its rows, CSV among them."""
    keys = [key for key in store.list() if key.endswith(".parquet")]
    rows = {key: identities(store.get(key)) for key in keys}
    victim = random.choice(keys)
    for key in keys:
        if rows[key] & rows[victim]:
            store.delete(key)
            twin = key.replace("/parquet/", "/csv/").removesuffix("parquet") + "csv"
            if twin in store.objects:
                store.delete(twin)


def identities(body: bytes) -> set[tuple[object, ...]]:
    names = ["_source", "_sequence_number", "_sub_sequence_number", "_document"]
    table = pq.ParquetFile(pa.BufferReader(body)).read(columns=names, use_threads=False)
    return {tuple(row.values()) for row in table.to_pylist()}
