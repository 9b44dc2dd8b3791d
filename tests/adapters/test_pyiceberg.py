"""What we rely on of pyiceberg, and its two faults that we go around.

Where one of the two tests of a fault fails, a new version has mended it: see `checked_append`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.update.snapshot import _FastAppendFiles, _MergeAppendFiles, _SnapshotProducer

ROWS = pa.table({"identity": ["a", "b"]})


def catalog(folder: Path) -> SqlCatalog:
    return SqlCatalog(
        "lake",
        uri=f"sqlite:///{folder}/catalog.db",
        warehouse=f"file://{folder}/tables",
        **{"py-io-impl": "pipeline.adapters.iceberg.file_io.TableIO"},
    )


@pytest.fixture
def made(tmp_path: Path) -> SqlCatalog:
    found = catalog(tmp_path)
    found.create_namespace("lake")
    found.create_table("lake.things", ROWS.schema, properties={"commit.retry.min-wait-ms": "1"})
    return found


def test_pyiceberg_repeats_an_append_onto_whatever_came_between(
    made: SqlCatalog, tmp_path: Path
) -> None:
    one, other = (catalog(tmp_path).load_table("lake.things") for _ in "ab")
    one.append(ROWS)
    other.append(ROWS)
    assert made.load_table("lake.things").scan().to_arrow().num_rows == 4


def test_without_its_retries_a_lost_answer_makes_the_table_unreadable(made: SqlCatalog) -> None:
    with made.load_table("lake.things").transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "0"})
    real = made.commit_table

    def commit(*arguments: Any) -> Any:
        real(*arguments)
        message = "as if it had not landed"
        raise CommitFailedException(message)

    table = made.load_table("lake.things")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "commit_table", commit)
        with pytest.raises(CommitFailedException):
            table.append(ROWS)
    with pytest.raises(FileNotFoundError):
        made.load_table("lake.things").scan().to_arrow()


def test_what_the_checked_append_replaces_is_there() -> None:
    for name in ("_clean_all_uncommitted", "_validate_concurrency", "_refresh_for_retry"):
        assert callable(getattr(_MergeAppendFiles, name))
    assert issubclass(_MergeAppendFiles, _FastAppendFiles)
    assert {"_commit_window", "_snapshot_id"} <= set(_SnapshotProducer.__annotations__)
