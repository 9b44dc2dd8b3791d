"""`pipeline lake` on a directory: commit, status, merge, clean, forget."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table import Table
from support import Stored, as_json, deliver, kinesis_event, row_identity

from pipeline import cli
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.iceberg.catalogs import Conflict
from pipeline.adapters.iceberg.table import LakeTable
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.schemas import read_dataset
from pipeline.lake import forget
from pipeline.lake.places import open_lake

FIELDS = [{"name": "n", "type": "int"}, {"name": "who", "type": "string"}]
CONFIG = 'partition_by = ["date()"]\n[lake]\n'


class Place:
    """A folder of one dataset, and an output into which it is delivered."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.schemas = folder / "schemas"
        things = self.schemas / "things"
        things.mkdir(parents=True)
        schema = {"type": "record", "name": "Thing", "fields": FIELDS}
        (things / "1.avsc").write_text(json.dumps(schema))
        (things / "dataset.toml").write_text(CONFIG)
        store: Any = DirectoryStore(self.out)
        self.stored = Stored(output=store, dead_letters=MemoryStore())

    def send(self, first: int, last: int, who: str = "ann") -> None:
        records = [as_json({"n": number, "who": who}) for number in range(first, last)]
        event = kinesis_event(records, start=first)
        deliver(event, [read_dataset(self.schemas / "things")], self.stored)

    def run(self, name: str, *more: str) -> int:
        return cli.main(["lake", name, str(self.out), "--schemas", str(self.schemas), *more])

    def table(self, name: str = "things") -> Table:
        catalog = open_lake(self.out.as_uri()).catalog
        return catalog.catalog.load_table(catalog.identifier(name))

    def rows(self, name: str = "things") -> list[dict[str, Any]]:
        """Return the table's rows, in the order of their identities."""
        found: list[dict[str, Any]] = self.table(name).scan().to_arrow().to_pylist()
        return sorted(found, key=row_identity)

    def files(self) -> list[Path]:
        return sorted((self.out / "_lake" / "tables").rglob("*.parquet"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("PIPELINE_LAKE", raising=False)
    return Place(tmp_path)


def test_commit_says_what_it_did(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.send(0, 4)
    place.send(2, 6)
    assert place.run("commit") == 0
    assert capsys.readouterr().out == (
        "things: 6 rows of 2 landing objects, in 1 files, 2 rows were there already\n"
    )


def test_status_says_what_the_table_has(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.send(0, 4)
    place.run("commit")
    place.send(4, 5)
    capsys.readouterr()
    assert place.run("status") == 0
    shown = capsys.readouterr().out
    assert "lake.things" in shown
    assert "4" in shown.split()


def test_merge_makes_one_file_of_many_and_what_comes_again_is_still_known(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        place.send(number, number + 1)
        place.run("commit")
    assert len(place.files()) == 8
    capsys.readouterr()
    assert place.run("merge") == 0
    assert capsys.readouterr().out == "things: 8 files became 1\n"
    place.send(0, 9)
    place.run("commit")
    assert "1 rows of 1 landing objects, in 1 files, 8 rows were there already" in (
        capsys.readouterr().out
    )


def test_clean_deletes_what_nobody_needs_when_it_is_old(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = LakeTable.referenced
    place.send(0, 2)
    place.run("commit")
    (kept,) = place.files()
    young, old = kept.with_name("young.parquet"), kept.with_name("old.parquet")
    young.write_bytes(b"")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    os.utime(kept, (0, 0))
    # As Spark names files on a disk.
    monkeypatch.setattr(
        LakeTable, "referenced", lambda table: {uri.replace("///", "/") for uri in needed(table)}
    )
    capsys.readouterr()
    assert place.run("clean", "--dry-run") == 0
    assert capsys.readouterr().out == "things: 1 files would be deleted\n"
    assert place.run("clean") == 0
    assert place.files() == sorted([kept, young])


def test_what_is_forgotten_does_not_come_back(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 3)
    place.send(3, 5, who="bob")
    place.run("commit")
    assert place.run("forget", "--where", "who = 'bob'") == 0
    place.send(3, 6, who="bob")
    capsys.readouterr()
    place.run("commit")
    assert capsys.readouterr().out == (
        "things: 1 rows of 1 landing objects, in 1 files, 2 rows were there already\n"
    )


def test_a_condition_that_is_none_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 1)
    place.run("commit")
    assert place.run("forget", "--where", "nobody = 1") == 1
    assert "--where is not a condition on the table's columns: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            "n = ",
            "is not a condition on the table's columns: Parser Error: syntax error at or near ",
        ),
        ("true) --", "is not a condition on the table's columns: Parser Error: "),
        ("", "is TUPLE, and not a condition: "),
        ("true; DROP TABLE rows", "is not a condition on the table's columns: Parser Error: "),
        ("n = 1 LIMIT 1", "is not a condition on the table's columns: Parser Error: "),
        ("count(*) > 0", "is not a condition on the table's columns: Binder Error: "),
        ("n", "is INTEGER, and not a condition: write what is true of the rows to delete, "),
        ("CAST(who AS INT) = 1", "could not be asked of each row (ConversionException); nothing "),
    ],
)
def test_what_is_not_a_condition_deletes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], condition: str, said: str
) -> None:
    place.send(0, 2, who="hidden")
    place.run("commit")
    assert place.run("forget", "--where", condition) == 1
    message = capsys.readouterr().err
    assert f"--where {said}" in message
    assert "hidden" not in message
    assert len(place.rows()) == 2


def test_identities_are_forgotten_once_however_often_it_is_tried(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.send(0, 4)
    place.run("commit")

    def conflict(*_: object) -> int:
        monkeypatch.undo()
        message = "somebody was first"
        raise Conflict(message)

    monkeypatch.setattr(forget, "rewrite", conflict)
    assert place.run("forget", "--where", "n < 2") == 0
    assert [row["n"] for row in place.rows()] == [2, 3]
    assert len(place.rows("things_forgotten")) == 2


def test_forget_says_that_more_rows_have_landed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 2)
    place.run("commit")
    place.send(2, 4)
    capsys.readouterr()
    assert place.run("forget", "--where", "who = 'ann'") == 0
    assert capsys.readouterr().out == (
        "things: 2 rows deleted\n1 landing objects are not in the table yet, and may have such "
        "rows: commit them, and run this again.\n"
    )


def test_columns_that_were_renamed_or_dropped_stay_what_they_are(place: Place) -> None:
    for number in range(8):
        place.send(number, number + 1)
        place.run("commit")
    with place.table().update_schema(allow_incompatible_changes=True) as update:
        update.rename_column("n", "number")
        update.delete_column("who")
    assert place.run("forget", "--where", "number = 3") == 0
    assert place.run("merge") == 0
    assert [row["number"] for row in place.rows()] == [0, 1, 2, 4, 5, 6, 7]
    place.send(2, 9)
    place.run("commit")
    # What is sent is called as before, and gets its column again; 3 stays forgotten.
    assert [(row["number"], row["n"]) for row in place.rows()] == [
        *((number, None) for number in (0, 1, 2, 4, 5, 6, 7)), (None, 8),
    ]  # fmt: skip


def test_a_value_too_long_for_a_folder_is_committed_all_the_same(place: Place) -> None:
    (place.schemas / "things" / "dataset.toml").write_text(
        'partition_by = ["date()"]\n[lake]\npartition_by = ["who"]\n'
    )
    for who in ("é" * 200, "a/../b", "", "ann"):
        place.send(len(who), len(who) + 1, who)
    assert place.run("commit") == 0
    assert {row["who"] for row in place.rows()} == {"é" * 200, "a/../b", "", "ann"}


@pytest.mark.parametrize(
    ("pattern", "verb"),
    [("*.metadata.json", "load"), ("snap-*.avro", "read"), ("*.parquet", "read")],
)
@pytest.mark.parametrize("body", [b"", b"{", None])
def test_a_table_that_cannot_be_read_is_said_to_be_broken(
    place: Place, capsys: pytest.CaptureFixture[str], pattern: str, verb: str, body: bytes | None
) -> None:
    place.send(0, 2)
    place.run("commit")
    for path in (place.out / "_lake" / "tables").rglob(pattern):
        path.unlink() if body is None else path.write_bytes(body)
    place.send(1, 4)
    capsys.readouterr()
    assert place.run("commit") == 1
    message = capsys.readouterr().err
    assert message.startswith(f"pipeline: things: Could not {verb} the table lake.things: ")
    assert "Put it back from the bucket's versions or a backup" in message
    assert len(list((place.out / "things").rglob("*.parquet"))) == 1


def test_a_catalog_that_is_none_is_said_to_be_broken(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 2)
    (place.out / "_lake").mkdir()
    (place.out / "_lake" / "catalog.db").write_text("not a database" * 100)
    assert place.run("commit") == 1
    assert (
        "catalog.db: the catalog's database refused it (DatabaseError)" in capsys.readouterr().err
    )
    assert place.run("status", "--catalog", "rest:http://127.0.0.1:9/") == 1
    assert capsys.readouterr().err == (
        "pipeline: Could not open the catalog rest:http://127.0.0.1:9/: the catalog did not answer;"
        " run it again.\n"
    )


def test_a_directory_has_nothing_to_restore(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.out.mkdir()
    assert place.run("restore", "--since", "2026-11-23T00:00:00Z") == 1
    assert capsys.readouterr().err == (
        "pipeline: Only a bucket with versioning keeps what was deleted; this output is not on "
        "S3.\n"
    )


def test_without_a_lake_there_is_nothing_to_do(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.schemas / "things" / "dataset.toml").write_text("")
    place.send(0, 1)
    assert place.run("commit") == 1
    assert "There is no table to make: write [lake] into " in capsys.readouterr().err
