"""Spark with Iceberg beside the committer: it reads, compacts and expires; the committer goes on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Stored, as_json, dataset, deliver, kinesis_event

from conformance.test_conformance import JAVA, PYTHON, SCRIPTS
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.memory import MemoryStore
from pipeline.lake.declarations import Declared, declaration
from pipeline.lake.forget import forget
from pipeline.lake.places import Lake, open_lake
from pipeline.lake.rewrite import merge

IDENTITY = "_source, _sequence_number, _sub_sequence_number, _document"
CONFIG = 'partition_by = ["date()"]\nformats = ["parquet"]\n[lake]\n'
FIELDS = (
    {"name": "n", "type": "int"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "at", "type": ["null", {"type": "record", "name": "At", "fields": [
        {"name": "city", "type": "string"},
        {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]}]},
    {"name": "counts", "type": {"type": "map", "values": "long"}},
)  # fmt: skip
NEWER = (*FIELDS, {"name": "note", "type": ["null", "string"], "default": None})
EVERY = 60


class Spark:
    """A Spark that runs SQL over the tables of a lake in a directory."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, sql: str) -> list[list[Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(sql) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "It ended."}')
        assert "error" not in answer, answer["error"]
        rows: list[list[Any]] = answer["rows"]
        return rows


class Shared:
    """A table that is the committer's and Spark's in turn: each finds it by its own pointer."""

    def __init__(self, root: Path) -> None:
        self.lake: Lake = open_lake(root.as_uri())
        self.stored = Stored(output=DirectoryStore(root), dead_letters=MemoryStore())  # type: ignore[arg-type]  # a store
        self.folder = root / "_lake" / "tables" / "lake" / "things" / "metadata"
        self._catalog = root / "_lake" / "catalog.db"

    def send(self, first: int, last: int, fields: Any = FIELDS) -> None:
        """Deliver the records from `first` on."""
        documents = [
            as_json(
                {
                    "n": number, "price": f"{number}.25", "tags": ["a", str(number)],
                    "at": {"city": "Köln", "seen": "2026-11-23T09:30:00Z"} if number % 2 else None,
                    "counts": {"x": number},
                }
            )
            for number in range(first, last)
        ]  # fmt: skip
        made = dataset(*fields, config=CONFIG, name="things")
        deliver(kinesis_event(documents, start=first), [made], self.stored)

    def commit(self, fields: Any = FIELDS) -> Any:
        return self.lake.committer(dataset(*fields, config=CONFIG, name="things")).run()

    def declared(self) -> str:
        """Return the statement that `pipeline lake ddl --for spark` prints."""
        table = self.lake.catalog.catalog.load_table(("lake", "things"))
        one = Declared("sqlite", "", "lake", "things", table.location(), table.metadata_location)
        lines = declaration(one, "spark").splitlines()
        return "\n".join(line for line in lines if not line.startswith("--")).rstrip(";")

    def to_spark(self) -> None:
        """Show Spark's catalog the table as it is."""
        location = self.lake.catalog.catalog.load_table(("lake", "things")).metadata_location
        number = 1 + max([int(path.name[1:].partition(".")[0]) for path in self._versions()] or [0])
        current = self.folder / f"v{number}.metadata.json"
        shutil.copyfile(location.removeprefix("file://"), current)
        (self.folder / "version-hint.text").write_text(str(number))

    def from_spark(self) -> None:
        """Have our catalog point to what Spark has made."""
        newest = self.folder / f"v{(self.folder / 'version-hint.text').read_text()}.metadata.json"
        with contextlib.closing(sqlite3.connect(self._catalog)) as database, database:
            database.execute(
                "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = 'things'",
                [f"file://{newest}"],
            )

    def _versions(self) -> list[Path]:
        return list(self.folder.glob("v*.metadata.json"))


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path / "out")


@pytest.fixture
def spark(shared: Shared) -> Iterator[Spark]:
    if not JAVA:
        assert "PIPELINE_JAVA_REQUIRED" not in os.environ, "There is no java on PATH."
        pytest.skip("There is no java on PATH, which Spark needs.")
    process = subprocess.Popen(
        [PYTHON, str(SCRIPTS / "spark_iceberg.py"), str(shared.folder.parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield Spark(process)
    process.communicate(timeout=60)


def numbers(spark: Spark) -> Counter[int]:
    return Counter(row[0] for row in spark("SELECT n FROM ours.lake.things"))


def test_spark_reads_and_compacts_and_expires_and_the_committer_goes_on(
    shared: Shared, spark: Spark
) -> None:
    for first in range(0, EVERY, 5):
        shared.send(first, first + 5)
        shared.send(max(0, first - 2), first + 3)
        shared.commit()
    shared.to_spark()
    assert numbers(spark) == Counter(range(EVERY))
    assert spark(
        "SELECT n, CAST(price AS STRING), tags[1], at.city, CAST(at.seen AS STRING), counts['x'] "
        "FROM ours.lake.things WHERE n IN (6, 7) ORDER BY n"
    ) == [
        [6, "6.25", "6", None, None, 6],
        [7, "7.25", "7", "Köln", "2026-11-23 09:30:00", 7],
    ]

    spark(shared.declared())
    assert spark("SELECT count(*) FROM things") == [[EVERY]]

    spark(
        "CALL ours.system.rewrite_data_files(table => 'lake.things', "
        "options => map('min-input-files', '2'))"
    )
    spark("CALL ours.system.rewrite_manifests('lake.things')")
    spark(
        "CALL ours.system.expire_snapshots(table => 'lake.things', retain_last => 1, "
        "older_than => TIMESTAMP '2099-01-01 00:00:00')"
    )
    assert spark("SELECT count(*) FROM ours.lake.things.files") == [[1]]
    spark("DELETE FROM ours.lake.things WHERE n = 9")
    shared.from_spark()

    # Everything comes again, in other batches, and more of a newer version.
    for first in range(0, EVERY, 7):
        shared.send(first, min(first + 7, EVERY))
    shared.send(EVERY - 3, EVERY + 10, NEWER)
    outcome = shared.commit(NEWER)
    assert (outcome.rows, outcome.finished, outcome.refused) == (11, True, [])  # and 9 is back
    shared.to_spark()
    assert numbers(spark) == Counter(range(EVERY + 10))
    assert spark(f"SELECT count(*), count(DISTINCT {IDENTITY}) FROM ours.lake.things") == [
        [EVERY + 10, EVERY + 10]
    ]


def test_rows_that_spark_deletes_beside_their_file_do_not_come_back_when_files_are_merged(
    shared: Shared, spark: Spark
) -> None:
    for first in range(0, 20, 2):
        shared.send(first, first + 2)
        shared.commit()
    shared.to_spark()
    spark(
        "ALTER TABLE ours.lake.things SET TBLPROPERTIES "
        "('write.delete.mode' = 'merge-on-read', 'write.delete.granularity' = 'file')"
    )
    spark("DELETE FROM ours.lake.things WHERE n = 3")
    shared.from_spark()
    shared.send(2, 6)
    assert shared.commit().rows == 0
    merged = merge(shared.lake.catalog, "things")
    assert (merged.before, merged.after) == (9, 1)
    assert forget(shared.lake.catalog, "things", lambda rows: rows.slice(0, 0)) == 0
    shared.to_spark()
    assert numbers(spark) == Counter(set(range(20)) - {3})
