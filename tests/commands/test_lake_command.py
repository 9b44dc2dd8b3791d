"""`pipeline lake` on a directory: commit, status, merge, clean, forget."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support import Stored, as_json, deliver, kinesis_event

from pipeline import cli
from pipeline.adapters.directory import DirectoryStore
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.schemas import read_dataset

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
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 2)
    place.run("commit")
    (kept,) = place.files()
    young, old = kept.with_name("young.parquet"), kept.with_name("old.parquet")
    young.write_bytes(b"")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    os.utime(kept, (0, 0))
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
