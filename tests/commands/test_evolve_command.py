"""`pipeline evolve`: from what was kept, rejected and sent since, to the next version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from lake import letters, rows, write_dataset
from support import as_json

from pipeline.cli import main

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Thing",
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "old", "type": ["null", "string"], "default": None},
    ],
}
DOCUMENTS = [{"n": 1}, {"n": "2", "new": 2.5}, {"n": [], "new": 1}, {"n": 4, "new": None}]


class Place:
    """A dataset, documents that have drifted from it, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.schemas = folder / "schemas"
        write_dataset(self.schemas / "things", SCHEMA, 'partition_by = ["date()"]\n')
        (self.schemas / "things" / "good.ndjson").write_bytes(b'{"n": 7}\n')
        self.file = folder / "in.json"
        self.file.write_bytes(b"".join(map(as_json, DOCUMENTS)))
        self.out, self.dead_letters = folder / "lake", folder / "lake-dead-letters"
        assert self.run("convert", self.file, "--out", self.out) == 0

    def run(self, *arguments: object) -> int:
        """Run a command on the dataset."""
        return main([*map(str, arguments), "--schemas", str(self.schemas)])


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    """Return a place; what was printed to make it is forgotten."""
    made = Place(tmp_path)
    capsys.readouterr()
    return made


def test_the_next_version_brings_dead_letters_back(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = ("--from", place.file, "--from", place.dead_letters)
    assert place.run("evolve", "things", *sources) == 0
    shown = capsys.readouterr().out
    assert "4 documents, 2 dead letters and 0 rows with a _rest looked at\n" in shown
    assert "$.new  double, nullable     5" in shown
    assert (
        "wrong_type at $.n: Expected an integer, got a string. version 2 reads it: accept" in shown
    )
    assert "  $.old\n" in shown
    assert "wrong_type             2       1             1\n" in shown
    assert main(["check", str(place.schemas), "--quiet"]) == 0
    assert place.run("redrive", place.dead_letters, "--out", place.out) == 0
    assert [row["n"] for row in rows(place.out) if "new" in row and row["new"] == 2.5] == [2]
    assert len(letters(place.dead_letters)) == 1


def test_against_is_its_dry_run(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("infer", place.file, "--against", "things") == 0
    first = capsys.readouterr().out
    assert place.run("evolve", "things", "--from", place.file, "--dry-run") == 0
    assert capsys.readouterr().out == first
    assert f"would write {place.schemas / 'things' / '2.avsc'}" in first
    assert sorted(path.name for path in (place.schemas / "things").iterdir()) == [
        "1.avsc", "dataset.toml", "good.ndjson",
    ]  # fmt: skip


def test_what_has_not_drifted_writes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.file.write_bytes(b'{"n": 1, "old": "x"}')
    assert place.run("evolve", "things", "--from", place.file) == 0
    assert "the schema stays as it is" in capsys.readouterr().out
    assert not (place.schemas / "things" / "2.avsc").exists()


def test_bad_samples_stay_bad(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {"reason": "wrong_type", "path": "$.n", "document": {"n": "5"}}
    (place.schemas / "things" / "bad.ndjson").write_bytes(as_json(bad) + b"\n")
    assert place.run("evolve", "things", "--from", place.file) == 0
    assert "version 2 reads it" not in capsys.readouterr().out
    fields = json.loads((place.schemas / "things" / "2.avsc").read_text())["fields"]
    assert [field["name"] for field in fields] == ["n", "old", "new"]
    assert "accept" not in fields[0]


def test_samples_that_are_wrong_already_are_in_nobodys_way(place: Place) -> None:
    (place.schemas / "things" / "good.ndjson").write_bytes(b'{"n": 7}\n{"n": null}\n')
    assert place.run("evolve", "things", "--from", place.file) == 0
    assert (place.schemas / "things" / "2.avsc").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none", "--from", "in.json"], "There is no dataset 'none' in "),
        (["things"], "There is nothing of things to look at"),
        (["things", "--from", "nowhere"], "nowhere: No such file or directory"),
    ],
)
def test_what_cannot_be_looked_at_is_one_sentence(
    arguments: list[str],
    sentence: str,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (place.schemas / "things" / "good.ndjson").unlink()
    monkeypatch.chdir(place.folder)
    assert place.run("evolve", *arguments) == 1
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
