"""An append that holds only on what it was checked against: one committer beside another."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake_simulation.foreign import append_rows, compact, expire
from pyiceberg.exceptions import CommitFailedException

from pipeline.adapters.iceberg.catalogs import Conflict, LakeCatalog, open_catalog
from pipeline.adapters.iceberg.table import LakeTable, create_table, load_table
from pipeline.core.dataset import ARRIVED_AT, IDENTITY
from pipeline.core.errors import StoreUnavailable
from pipeline.core.lake.spans import Span
from pipeline.core.lake_settings import LakeSettings
from pipeline.lake.writer import TableWriter

SCHEMA = pa.schema([*IDENTITY, ARRIVED_AT, ("n", pa.int64()), ("country", pa.string())])
SOURCE = "arn:aws:kinesis:eu-central-1:123456789012:stream/shop/shardId-000000000000"


@pytest.fixture
def catalog(tmp_path: Path) -> LakeCatalog:
    found = open_catalog(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/tables")
    table = create_table(found, "things", SCHEMA, LakeSettings(()))
    table.set_property("commit.retry.min-wait-ms", "1")
    return found


def loaded(catalog: LakeCatalog) -> LakeTable:
    table = load_table(catalog, "things")
    assert table is not None
    return table


def append(table: LakeTable, *numbers: int) -> None:
    """Append a row for each sequence number."""
    rows = pa.Table.from_pylist(
        [
            {
                "_source": SOURCE, "_sequence_number": str(number), "_sub_sequence_number": 0,
                "_document": 0, "_arrived_at": 0, "n": number, "country": "DE",
            }
            for number in numbers
        ],
        SCHEMA,
    )  # fmt: skip
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
