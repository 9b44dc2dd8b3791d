"""`pipeline redrive`: dead letters and failed batches, sent again from the command line."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lake import THINGS, files, letters, rows, things_with, write_dataset
from support import (
    ROOT,
    as_json,
    kinesis_event,
    letter_identity,
    row_identity,
)

from pipeline import handlers
from pipeline.adapters.directory import DirectoryStore
from pipeline.cli import main
from pipeline.core.errors import StoreRefused
from pipeline.core.kpl import UserRecord, aggregate

CONFIG = 'partition_by = ["date()"]\nformats = ["parquet", "csv"]\n[match]\nfield = "kind"\nequals = "thing"'
DOCUMENTS: list[Any] = [
    {"kind": "thing", "n": 1},
    {"kind": "thing", "n": 150},
    {"kind": "thing", "n": 150_000},
    {"kind": "thing", "n": "x"},
    {"kind": "other"},
    {"kind": "thing", "n": 101},
]
FAILED = "aws/lambda/0f8fad5b/shardId-000000000003/2026/11/23/2026-11-23T09.30.00-1"


def event() -> dict[str, Any]:
    first = aggregate(UserRecord("k", as_json(document)) for document in DOCUMENTS[:4])
    return kinesis_event([first, *map(as_json, DOCUMENTS[4:])])


class Place:
    """A lake that the Lambda function wrote, and its dead letters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "lake"
        self.dead_letters = folder / "dead"
        self.schemas(maximum=99)

    def schemas(self, *, maximum: int) -> None:
        """Let things have a number of up to `maximum`."""
        write_dataset(self.folder / "schemas" / "things", things_with(maximum=maximum), CONFIG)

    def arguments(self, *options: str, source: str = "dead") -> list[str]:
        """Return the command."""
        place = ["--schemas", str(self.folder / "schemas"), "--out", str(self.out)]
        return ["redrive", str(self.folder / source), *place, *options]

    def redrive(self, *options: str, source: str = "dead") -> int:
        """Run the command."""
        return main(self.arguments(*options, source=source))

    @property
    def state(self) -> dict[str, bytes]:
        """All files but the schemas, and what a killed write left under no name that is read."""
        found = files(self.folder).items()
        return {
            key: body
            for key, body in found
            if not key.startswith("schemas/") and not key.endswith(".partial")
        }

    @property
    def whereabouts(self) -> Counter[Any]:
        """Count where each identity stands: among the rows, or among the letters that wait."""
        return Counter(map(row_identity, rows(self.out))) + Counter(
            map(letter_identity, letters(self.dead_letters))
        )


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)


def delivered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Run the event through the real handler into directories."""
    place = Place(folder)
    with monkeypatch.context() as patch:
        patch.setenv("PIPELINE_OUTPUT", place.out.as_uri())
        patch.setenv("PIPELINE_DEAD_LETTERS", place.dead_letters.as_uri())
        patch.setenv("PIPELINE_SCHEMAS", str(folder / "schemas"))
        handlers.forget()
        assert handlers.kinesis(event(), None) == {"batchItemFailures": []}
    handlers.forget()
    place.schemas(maximum=999)
    return place


@pytest.fixture
def place(bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a lake with five dead letters, of which two would be rows today."""
    made = delivered(tmp_path / "one", monkeypatch)
    assert len(letters(made.dead_letters)) == 5
    return made


def last_balance(capsys: pytest.CaptureFixture[str]) -> tuple[int, ...]:
    """Return documents, rows, those that still fail, and those not asked for."""
    out = capsys.readouterr().out
    sentence = r"([\d,]+) documents sent again(?: \(dry run\))? = ([\d,]+) rows \+ ([\d,]+) that still fail; ([\d,]+) were not asked for"
    found = re.search(sentence, out)
    assert found, out
    return tuple(int(number.replace(",", "")) for number in found.groups())


def test_what_succeeds_becomes_rows_and_the_balance_is_printed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {
        letter_identity(letter): letter["arrived_at"] for letter in letters(place.dead_letters)
    }
    everything = set(place.whereabouts)
    assert place.redrive() == 0
    assert last_balance(capsys) == (5, 2, 3, 0)
    found = rows(place.out)
    assert sorted(row["n"] for row in found) == [1, 101, 150]
    for row in found:
        arrived = f"{row['_arrived_at']:%Y-%m-%dT%H:%M:%S.%fZ}"
        assert before.get(row_identity(row), arrived) == arrived
    assert set(place.whereabouts) == everything
    assert set(place.whereabouts.values()) == {1}


def test_a_dry_run_changes_nothing_and_tells_what_would_be(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = place.state
    assert place.redrive("--dry-run") == 0
    would_be = last_balance(capsys)
    assert place.state == before
    assert place.redrive() == 0
    assert last_balance(capsys) == would_be


def test_redriving_twice_changes_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.redrive() == 0
    once = place.state
    capsys.readouterr()
    assert place.redrive() == 0
    assert place.state == once
    assert last_balance(capsys) == (3, 0, 3, 0)


def test_when_all_are_rows_there_is_nothing_left(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = {**THINGS, "fields": [{"name": "n", "type": ["null", "string"]}]}
    write_dataset(place.folder / "schemas" / "things", everything)
    text = json.dumps(
        {**json.loads(as_json(letters(place.dead_letters)[0])), "payload": '{"n": "1"}'}
    )
    for path in place.dead_letters.rglob("*.gz"):
        path.unlink()
    file = place.dead_letters / "things" / "date=2026-11-23" / "hour=09" / "x.jsonl.gz"
    file.write_bytes(gzip.compress(text.encode()))
    assert place.redrive() == 0
    assert last_balance(capsys) == (1, 1, 0, 0)
    assert letters(place.dead_letters) == []
    assert place.redrive() == 0
    assert capsys.readouterr().out == "nothing to send again\n"


@pytest.mark.parametrize(
    ("options", "balance", "values"),
    [
        (["--reason", "above_maximum"], (3, 2, 1, 1), [1, 101, 150]),
        (["--reason", "wrong_type"], (1, 0, 1, 3), [1]),
        (["--dataset", "unrouted"], (1, 0, 1, 0), [1]),
        (["--dataset", "things"], (4, 2, 2, 0), [1, 101, 150]),
        (["--dataset", "things", "--reason", "wrong_type"], (1, 0, 1, 3), [1]),
    ],
)
def test_filters_leave_the_rest_as_it_was(
    options: list[str],
    balance: tuple[int, ...],
    values: list[int],
    place: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {letter_identity(letter): letter for letter in letters(place.dead_letters)}
    sent = {
        identity
        for identity, letter in before.items()
        if "--reason" not in options or letter["reason"] in options
    }
    assert place.redrive(*options) == 0
    assert last_balance(capsys) == balance
    assert sorted(row["n"] for row in rows(place.out)) == values
    after = {letter_identity(letter): letter for letter in letters(place.dead_letters)}
    for identity, letter in after.items():  # today's bound is in the sentence of what was sent
        message = "message" if identity in sent else ""
        assert {**letter, message: ""} == {**before[identity], message: ""}
    assert set(place.whereabouts.values()) == {1}


@pytest.mark.parametrize("options", [("--reason", "too_deep"), ("--since", "2999-01-01T00:00:00Z")])
def test_what_no_letter_has_sends_nothing(
    options: tuple[str, str], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = place.state
    assert place.redrive(*options) == 0
    assert capsys.readouterr().out == "nothing to send again\n"
    assert place.state == before


# ---------------------------------------------------------------------------- failed batches


@pytest.mark.parametrize("as_text", [True, False])
def test_a_batch_that_lambda_gave_up_on_is_stored_as_it_would_have_been(
    as_text: bool, bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    expected = delivered(tmp_path / "one", monkeypatch)
    place = Place(tmp_path / "two")
    document = place.folder / "failed" / FAILED
    document.parent.mkdir(parents=True)
    document.write_bytes(as_json({"payload": json.dumps(event()) if as_text else event()}))
    options = ("--dead-letters", str(place.dead_letters))
    before = place.state
    assert place.redrive("--dry-run", *options, source="failed") == 0
    assert last_balance(capsys) == (6, 1, 5, 0)
    assert place.state == before

    assert place.redrive("--reason", "wrong_type", *options, source="failed") == 0
    assert capsys.readouterr().out == "nothing to send again\n"
    assert place.redrive(*options, source="failed") == 0
    assert last_balance(capsys) == (6, 1, 5, 0)
    assert files(place.out) == files(expected.out)
    assert files(place.dead_letters) == files(expected.dead_letters)
    assert not document.exists()
    once = place.state
    assert place.redrive(*options, source="failed") == 0
    assert place.state == once


def test_many_places_are_one_balance(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    document = place.folder / "failed" / FAILED
    document.parent.mkdir(parents=True)
    document.write_bytes(
        as_json({"payload": kinesis_event([b'{"kind": "thing", "n": 7}'], start=50)})
    )
    assert main(["redrive", str(place.folder / "failed"), *place.arguments()[1:]]) == 0
    assert last_balance(capsys) == (6, 3, 3, 0)
    assert sorted(row["n"] for row in rows(place.out)) == [1, 7, 101, 150]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"payload": "secret"}', b'{"payload": {"Records": []}}']
)
def test_what_is_no_failed_batch_is_named_and_stays(
    body: bytes, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    document = place.folder / "failed" / FAILED
    document.parent.mkdir(parents=True)
    document.write_bytes(body)
    assert place.redrive(source="failed") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "secret" not in err
    assert document.read_bytes() == body


# -------------------------------------------------------------------------- stopped half-way

# Ends the process, as a power cut would, before the n-th write to a directory.
KILLED = """
import itertools, os, signal, sys
from pipeline.adapters.directory import DirectoryStore
from pipeline.cli import main

left = int(sys.argv[1])
writes = itertools.count()

def mortal(operation):
    def until_killed(*arguments):
        if next(writes) == left:
            os.kill(os.getpid(), signal.SIGKILL)
        return operation(*arguments)
    return until_killed

DirectoryStore.put = mortal(DirectoryStore.put)
DirectoryStore.delete = mortal(DirectoryStore.delete)
sys.exit(main(sys.argv[2:]))
"""
WRITES = 6  # the journal, Parquet, CSV, the archive, what still fails, the journal again


@pytest.mark.parametrize("writes", range(WRITES))
def test_a_process_killed_before_any_write_loses_and_doubles_nothing(
    writes: int, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = ("--dataset", "things")
    undisturbed = delivered(tmp_path / "two", monkeypatch)
    assert undisturbed.redrive(*options) == 0
    everything = set(place.whereabouts)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(writes), *place.arguments(*options)],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert set(place.whereabouts) == everything

    capsys.readouterr()
    assert main(["dead-letters", str(place.dead_letters)]) == 0
    capsys.readouterr()
    assert place.redrive(*options) == 0
    assert last_balance(capsys)[1:] == (2, 2, 0)
    assert place.state == undisturbed.state
    assert set(place.whereabouts.values()) == {1}


def test_a_stopped_run_is_finished_and_told_although_nothing_else_waits(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All became rows, and only the journal is left: neither command stumbles over it."""
    real = DirectoryStore.delete

    def refuse_the_journal(store: DirectoryStore, key: str) -> None:
        if key.endswith(".sending"):
            raise StoreRefused("The power went.")
        real(store, key)

    everything = set(place.whereabouts)
    place.schemas(maximum=10**9)
    options = ("--reason", "above_maximum")
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "delete", refuse_the_journal)
        assert place.redrive(*options) == 1
    assert capsys.readouterr().err == "pipeline: The power went.\n"
    assert main(["dead-letters", str(place.dead_letters)]) == 0
    capsys.readouterr()
    assert place.redrive(*options) == 0
    assert last_balance(capsys) == (3, 3, 0, 1)
    assert set(place.whereabouts) == everything
    assert set(place.whereabouts.values()) == {1}
    assert place.redrive(*options) == 0
    assert capsys.readouterr().out == "nothing to send again\n"


def test_a_journal_whose_letters_someone_deleted_is_no_obstacle(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = place.dead_letters / "_redriven/things/date=2026-11-23/hour=09/x.jsonl.gz.sending"
    journal.parent.mkdir(parents=True)
    journal.write_text("[[1,2,3]]")
    assert main(["dead-letters", str(place.dead_letters)]) == 0
    capsys.readouterr()
    assert place.redrive("--reason", "too_deep") == 0
    assert capsys.readouterr().out == "nothing to send again\n"
    assert not journal.exists()


@pytest.mark.parametrize("body", ["{", '{"a": 1}', '["x"]'])
def test_a_journal_that_is_none_is_named(
    body: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = place.dead_letters.glob("things/*/*/*.gz")
    journal = place.dead_letters / f"_redriven/{file.relative_to(place.dead_letters)}.sending"
    journal.parent.mkdir(parents=True)
    journal.write_text(body)
    before = place.state
    assert place.redrive() == 1
    assert "is not the journal of a redrive; delete it." in capsys.readouterr().err
    assert place.state == before


def test_a_store_that_fails_leaves_the_letters_and_a_true_balance(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No row was stored, so nothing is told to be one, and nothing is lost."""
    real = DirectoryStore.put

    def full(store: DirectoryStore, key: str, body: bytes) -> None:
        if key.endswith(".parquet"):
            raise StoreRefused("The disk is full.")
        real(store, key, body)

    everything = place.whereabouts
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "put", full)
        assert place.redrive() == 1
    out, err = capsys.readouterr()
    assert err == "pipeline: The disk is full.\n"
    assert "documents sent again" not in out
    assert place.whereabouts == everything
    assert place.redrive() == 0
    assert set(place.whereabouts.values()) == {1}
    assert sorted(row["n"] for row in rows(place.out)) == [1, 101, 150]
