"""An append that holds only on what it was checked against: one committer beside another."""

from __future__ import annotations

import contextlib
import random
import threading
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyiceberg.table
import pytest
from lake_simulation.foreign import append_rows, compact, expire
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions.visitors import _ManifestEvalVisitor

from pipeline.adapters.iceberg.catalogs import Conflict, LakeCatalog, open_catalog
from pipeline.adapters.iceberg.table import LakeTable, create_table, load_table
from pipeline.core.dataset import ARRIVED_AT, IDENTITY
from pipeline.core.errors import StoreUnavailable
from pipeline.core.lake.spans import Span
from pipeline.core.lake_settings import LakePartition, LakeSettings
from pipeline.lake.writer import TableWriter

SCHEMA = pa.schema([*IDENTITY, ARRIVED_AT, ("n", pa.int64()), ("country", pa.string())])
SOURCE = "arn:aws:kinesis:eu-central-1:123456789012:stream/shop/shardId-000000000000"


@pytest.fixture
def catalog(tmp_path: Path) -> LakeCatalog:
    found = open_catalog(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/tables")
    table = create_table(found, "things", SCHEMA, LakeSettings(()))
    table.set_property("commit.retry.min-wait-ms", "1")
    return found


def loaded(catalog: LakeCatalog, name: str = "things") -> LakeTable:
    table = load_table(catalog, name)
    assert table is not None
    return table


def rows_of(*numbers: int) -> pa.Table:
    """Return a row for each sequence number."""
    return pa.Table.from_pylist(
        [
            {
                "_source": SOURCE, "_sequence_number": str(number), "_sub_sequence_number": 0,
                "_document": 0, "_arrived_at": 0, "n": number % 1_000, "country": "DE",
            }
            for number in numbers
        ],
        SCHEMA,
    )  # fmt: skip


def append(table: LakeTable, *numbers: int) -> None:
    """Append a row for each sequence number."""
    rows = rows_of(*numbers)
    span = Span(SOURCE, min(numbers), max(numbers))
    known = table.ranges().span_of(SOURCE) or table.range_of(SOURCE)
    commit = uuid.uuid4().hex
    with TableWriter(table, commit) as writer:
        writer.add(rows.cast(table.schema))
        table.append(writer.finish(), commit, [span], [] if known is None else [known])


def numbers_in(catalog: LakeCatalog) -> list[int]:
    found: list[int] = loaded(catalog).table.scan().to_arrow()["n"].to_pylist()
    return sorted(found)


def test_a_commit_is_repeated_on_what_added_other_rows(catalog: LakeCatalog) -> None:
    one, other = loaded(catalog), loaded(catalog)
    append(one, 10, 11)
    append(other, 12, 13)
    assert numbers_in(catalog) == [10, 11, 12, 13]
    # Of both, not what the second one knew when it began.
    assert loaded(catalog).ranges().span_of(SOURCE) == Span(SOURCE, 10, 13)


def test_a_commit_is_not_repeated_on_what_may_have_added_the_same_rows(
    catalog: LakeCatalog,
) -> None:
    one, other = loaded(catalog), loaded(catalog)
    append(one, 10, 12)
    with pytest.raises(Conflict, match=r"Rows were added meanwhile that may be the same\."):
        append(other, 11, 12)
    assert numbers_in(catalog) == [10, 12]


def test_a_commit_is_not_repeated_on_rows_of_somebody_else(catalog: LakeCatalog) -> None:
    append(loaded(catalog), 10)
    table = loaded(catalog)
    append_rows(catalog, "things")
    with pytest.raises(Conflict):
        append(table, 20)
    # Nothing is known any more, so that everything is looked up.
    assert not loaded(catalog).ranges().knows(SOURCE)
    append(loaded(catalog), 20)
    assert loaded(catalog).ranges().span_of(SOURCE) == Span(SOURCE, 10, 20)


def test_a_commit_is_repeated_on_a_compaction_and_its_ranges_survive_an_expiry(
    catalog: LakeCatalog,
) -> None:
    append(loaded(catalog), 10)
    append(loaded(catalog), 20)
    table = loaded(catalog)
    assert compact(catalog, "things", random.Random(1))
    append(table, 30)
    assert expire(catalog, "things")
    assert numbers_in(catalog) == [10, 20, 30]
    assert loaded(catalog).ranges().span_of(SOURCE) == Span(SOURCE, 10, 30)


@pytest.mark.parametrize("error", [CommitFailedException("a conflict, with itself")])
def test_a_commit_whose_answer_is_lost_is_there_once_and_can_be_read(
    catalog: LakeCatalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real: Any = catalog.catalog.commit_table

    def commit(*arguments: Any) -> Any:
        monkeypatch.undo()
        real(*arguments)
        raise error

    monkeypatch.setattr(catalog.catalog, "commit_table", commit)
    append(loaded(catalog), 10, 11)
    assert numbers_in(catalog) == [10, 11]


def test_where_every_answer_is_lost_the_table_can_still_be_read(
    catalog: LakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = loaded(catalog)
    real: Any = catalog.catalog.commit_table

    def commit(*arguments: Any) -> Any:
        real(*arguments)
        message = "no answer"
        raise ConnectionError(message)

    monkeypatch.setattr(catalog.catalog, "commit_table", commit)
    with pytest.raises(StoreUnavailable, match=r"the catalog did not answer; run it again\."):
        append(table, 10, 11)
    assert numbers_in(catalog) == [10, 11]


def test_a_first_commit_is_not_repeated_on_a_history_that_was_expired(
    catalog: LakeCatalog,
) -> None:
    first = loaded(catalog)
    append(loaded(catalog), 10, 11)
    append(loaded(catalog), 20)
    # pyiceberg's expiry leaves the second snapshot without a parent, as the first one has none.
    assert expire(catalog, "things")
    with pytest.raises(Conflict, match=r"The history since then was expired"):
        append(first, 10, 11)
    assert numbers_in(catalog) == [10, 11, 20]


def test_what_somebody_appended_is_looked_up_even_when_their_snapshot_has_expired(
    catalog: LakeCatalog,
) -> None:
    append(loaded(catalog), 10)
    assert loaded(catalog).ranges().span_of(SOURCE) == Span(SOURCE, 10, 10)
    table = loaded(catalog)
    with TableWriter(table, "other_append") as writer:
        writer.add(rows_of(99).cast(table.schema))
        transaction = table.table.transaction()
        with transaction.update_snapshot().fast_append() as other_append:
            for file in writer.finish():
                other_append.append_data_file(file)
        transaction.commit_transaction()
    assert compact(catalog, "things", random.Random(1))
    assert expire(catalog, "things")
    assert loaded(catalog).ranges().span_of(SOURCE) is None
    assert loaded(catalog).range_of(SOURCE) == Span(SOURCE, 10, 99)


def test_a_compaction_is_trusted_as_long_as_its_snapshot_is_there(catalog: LakeCatalog) -> None:
    append(loaded(catalog), 10)
    append(loaded(catalog), 20)
    assert compact(catalog, "things", random.Random(1))
    assert expire(catalog, "things")
    assert loaded(catalog).ranges().span_of(SOURCE) == Span(SOURCE, 10, 20)


def test_bounds_of_a_shard_are_taken_from_statistics_and_others_are_read(
    catalog: LakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = 49590338271490256608559692538361571095921575989136588898
    append(loaded(catalog), first, first + 7)
    table = loaded(catalog)
    read = list[str]()
    real = LakeTable.row_groups

    def row_groups(self: LakeTable, path: str, *names: Any) -> Any:
        read.append(path)
        return real(self, path, *names)

    monkeypatch.setattr(LakeTable, "row_groups", row_groups)
    assert table.range_of(SOURCE) == Span(SOURCE, first, first + 7)
    assert read == []
    append(loaded(catalog), 5)
    read.clear()
    assert loaded(catalog).range_of(SOURCE) == Span(SOURCE, 5, first + 7)
    assert len(read) == 1


def test_files_to_replace_are_found_in_whichever_manifests_threads_look_at(
    catalog: LakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = create_table(
        catalog, "by_country", SCHEMA, LakeSettings((LakePartition("identity", "country"),))
    )
    for country in ("DE", "FR"):
        rows = rows_of(1).set_column(6, "country", pa.array([country])).cast(table.schema)
        with TableWriter(table, country) as writer:
            writer.add(rows)
            transaction = table.table.transaction()
            with transaction.update_snapshot().fast_append() as append:
                append.append_data_file(writer.finish()[0])
            transaction.commit_transaction()
        table = loaded(catalog, "by_country")
    real = _ManifestEvalVisitor.visit_equal
    waiting = threading.Barrier(2)

    def slowly(self: Any, **arguments: Any) -> bool:
        # Until the other thread has begun with its manifest, too.
        with contextlib.suppress(threading.BrokenBarrierError):
            waiting.wait(1)
        return real(self, **arguments)

    monkeypatch.setattr(_ManifestEvalVisitor, "visit_equal", slowly)
    table.replace(table.files()[:1], [])
    assert len(loaded(catalog, "by_country").files()) == 1


def test_a_commit_puts_metadata_together_as_often_as_it_changes(
    catalog: LakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = pyiceberg.table.update_table_metadata, list[int]()  # type: ignore[attr-defined]  # as it is imported there

    def update(*arguments: Any) -> Any:
        made.append(1)
        return real(*arguments)

    for number in range(3):
        append(loaded(catalog), number + 10)
    monkeypatch.setattr(pyiceberg.table, "update_table_metadata", update)
    append(loaded(catalog), 20)
    assert len(made) <= 6
    assert numbers_in(catalog) == [10, 11, 12, 20]
