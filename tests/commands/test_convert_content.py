"""`pipeline convert`: a file is its content, and nothing replaces what another file became."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lake import files, letters, rows, write_dataset
from mixed_names import mixed_names

from pipeline.adapters.memory import MemoryStore
from pipeline.cli import main
from pipeline.core import layout
from pipeline.core.errors import StoreRefused
from pipeline.files import blocks, local, unpacking
from pipeline.files.local import PathHistory, Version

ARRIVED = "2026-11-23T09:30:00Z"
READS = {"type": "record", "name": "Read", "fields": [
    {"name": "meter", "type": "string"}, {"name": "kwh", "type": "int"},
]}  # fmt: skip


class Place:
    """A directory with a dataset, `reads`, partitioned by its meter, and a file of its documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "today.ndjson"
        self.out = folder / "lake"
        self.dead_letters = folder / "lake-dead-letters"
        schemas = folder / "schemas" / "reads"
        write_dataset(schemas, READS)
        (schemas / "dataset.toml").write_text('partition_by = ["meter"]\n')

    def convert(self, *names: object) -> int:
        """Run the command, by default on the file."""
        given = map(str, names or (self.file,))
        places = ("--schemas", str(self.folder / "schemas"), "--out", str(self.out))
        return main(["convert", *given, *places, "--arrived-at", ARRIVED])

    @property
    def found(self) -> list[tuple[str, int]]:
        """The rows that are stored."""
        return sorted((row["meter"], row["kwh"]) for row in rows(self.out))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CUT", blocks.Cut(block_bytes=60))


def reads(*readings: tuple[str, int]) -> str:
    return "".join(json.dumps({"meter": meter, "kwh": kwh}) + "\n" for meter, kwh in readings)


# ---------------------------------------------------------------------------------- one path


def test_another_file_under_the_same_path_is_another_source(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """A nightly job: lines of the same lengths, at the same offsets, and another day's."""
    for day in (10, 20):
        place.file.write_text(reads(("A", day + 1), ("A", day + 2)))
        assert place.convert() == 0
    assert place.found == [("A", 11), ("A", 12), ("A", 21), ("A", 22)]
    assert len({row["_source"] for row in rows(place.out)}) == 2
    assert "has grown" not in capsys.readouterr().err


def test_dead_letters_of_another_file_under_the_same_path_are_kept_beside_the_first(
    place: Place,
) -> None:
    for payload in ("x", "y"):
        place.file.write_text(f"{payload}\n")
        assert place.convert() == 0
    assert sorted(letter["payload"] for letter in letters(place.dead_letters)) == ["x", "y"]


def test_the_same_file_again_writes_the_same_objects(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was converted under its path in between."""
    first, second = reads(("A", 1)), reads(("A", 2))
    place.file.write_text(first)
    assert place.convert() == 0
    once = files(place.out)
    for content in (first, second, first):
        place.file.write_text(content)
        os.utime(place.file, (1, 1))
        assert place.convert() == 0
    again = files(place.out)
    assert {key: again[key] for key in once if "_parts" not in key} == {
        key: body for key, body in once.items() if "_parts" not in key
    }
    assert place.found == [("A", 1), ("A", 2)]
    assert capsys.readouterr().err == ""


def test_a_grown_file_is_told_with_what_is_there_twice_and_what_to_do(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = reads(("A", 1))
    place.file.write_text(before)
    assert place.convert() == 0
    place.file.write_text(before + reads(("B", 2)))
    assert capsys.readouterr().err == ""
    assert place.convert() == 0
    size, digest = len(before), hashlib.sha256(before.encode()).hexdigest()[:32]
    assert capsys.readouterr().err == (
        f"{place.file} has grown: its first {size} bytes were converted before, and are now "
        "stored once more, with the rest, as another file. Delete the rows whose _source is "
        f"'{place.file}?{size}-{digest}'; and convert only what is appended next time "
        f"(tail -c +{place.file.stat().st_size + 1} FILE | pipeline convert -).\n"
    )
    named = [row for row in rows(place.out) if row["_source"] == f"{place.file}?{size}-{digest}"]
    assert [(row["meter"], row["kwh"]) for row in named] == [("A", 1)]
    assert place.found == [("A", 1), ("A", 1), ("B", 2)]
    assert place.convert() == 0  # the same file again
    assert len(place.found) == 3
    with place.file.open("a") as file:
        file.write(reads(("C", 3)))
    capsys.readouterr()
    assert place.convert() == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert "', and those of 1 shorter ones that it was before; and convert only what" in said


def test_a_compressed_file_that_has_grown_cannot_be_read_from_its_middle(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = gzip.compress(reads(("A", 1)).encode(), mtime=0)
    for content in (before, before + gzip.compress(reads(("B", 2)).encode(), mtime=0)):
        place.file.write_bytes(content)
        assert place.convert() == 0
    assert capsys.readouterr().err.endswith(
        "convert only what is appended next time (a file of its own).\n"
    )
    assert place.found == [("A", 1), ("A", 1), ("B", 2)]


def test_an_empty_file_that_fills_has_not_grown(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in ("", reads(("A", 1))):
        place.file.write_text(content)
        assert place.convert() == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("change", ["grows", "is overwritten", "is cut off"])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_of_a_file_that_changes_while_it_is_read_no_more_is_stored(
    change: str, when: int, place: Place, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What is stored is of the content that its source names; the rest is an error, never silent."""
    place.file.write_text(reads(*(("A", number) for number in range(10, 16))))
    size = place.file.stat().st_size
    changed = {"grows": size + 26, "is overwritten": size, "is cut off": 54}
    checks = 0

    def disturb(file: Any) -> tuple[int, int]:
        nonlocal checks
        checks += 1
        if checks == when + 2:  # before and after the digest there is one each
            if change == "is overwritten":
                place.file.write_text(reads(*(("A", number) for number in range(20, 26))))
                os.utime(place.file, (2, 2))
            elif change == "grows":
                with place.file.open("a") as grown:
                    grown.write(reads(("B", 16)))
            else:
                os.truncate(place.file, 54)
        return state(file)

    state = local._state
    monkeypatch.setattr(local, "_state", disturb)
    assert place.convert() == 1
    assert place.found == [("A", number) for number in range(10, 10 + 2 * (when - 1))]
    error = capsys.readouterr().err
    assert (
        f"{place.file} changed while it was read (it had {size} bytes, and has "
        f"{changed[change]}): no more of it is stored. Convert it, or a copy of it, when nothing "
        "writes to it; delete the rows whose _source is "
    ) in error


@pytest.mark.usefixtures("small_blocks")
def test_a_file_whose_end_is_cut_off_before_it_is_read_is_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to store, and yet not all of it was."""
    place.file.write_text(reads(("A", 10), ("A", 11), ("A", 12), ("A", 13)))
    real = unpacking.read

    def shorter(source: Any, name: str, offset: int, *rest: Any, **how: Any) -> bytes:
        if offset:
            os.truncate(place.file, offset)
        return real(source, name, offset, *rest, **how)

    monkeypatch.setattr("pipeline.files.blocks.read", shorter)
    assert place.convert() == 1


# -------------------------------------------------------------------------------- several files


def test_a_file_that_is_given_twice_is_converted_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """The balance would say that there are twice as many rows as there are."""
    place.file.write_text(reads(("A", 1)))
    assert place.convert("today.ndjson", place.file) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{place.file} is given twice; it is converted once.\n"
    assert printed.out.splitlines()[1].split()[:2] == ["reads", "1"]


def test_files_of_one_name_whose_paths_agree_in_32_bits_do_not_replace_each_other(
    place: Place,
) -> None:
    """Among some hundred thousand paths there are two."""
    seen = dict[bytes, str]()
    for number in range(1_000_000):
        path = f"/{number:06d}/data.json"
        digest = hashlib.sha256(f"{place.folder}{path}".encode()).digest()[:4]
        if digest in seen:
            break
        seen[digest] = path
    names = [Path(f"{place.folder}{name}") for name in (seen[digest], path)]
    for number, name in enumerate(names):
        name.parent.mkdir()
        name.write_text(reads(("A", number)))
    assert place.convert(*names) == 0
    assert place.found == [("A", 0), ("A", 1)]


def test_two_files_that_would_get_one_name_are_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A digest that would tell nothing apart is noticed before anything is lost."""
    monkeypatch.setattr(layout, "_measured", lambda _: "")
    for number in (1, 2):
        (place.folder / str(number)).mkdir()
        (place.folder / str(number) / "in").write_text(reads(("A", number)))
    layout_hash = layout.ObjectKeys.__init__

    def with_owner(keys: Any, batch: Any) -> None:
        layout_hash(keys, batch)
        keys.owner = hash(batch.source)

    monkeypatch.setattr(layout.ObjectKeys, "__init__", with_owner)
    assert place.convert("1/in", "2/in") == 1
    assert "Two different objects would be stored as one" in capsys.readouterr().err
    assert place.found == [("A", 1)]


# ------------------------------------------------------------------------------------- pipes


def test_what_comes_through_standard_input_is_its_content_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it is said to have arrived at the same time; and the same again is the same."""

    def pipe(content: str) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
        assert place.convert("-") == 0

    pipe(reads(("A", 1)))
    pipe(reads(("A", 2)))
    assert place.found == [("A", 1), ("A", 2)]
    once = files(place.out)
    pipe(reads(("A", 1)))
    assert files(place.out) == once
    assert len({row["_source"] for row in rows(place.out)}) == 2


@pytest.mark.usefixtures("small_blocks")
def test_what_comes_through_a_named_pipe_is_its_content_too(place: Place) -> None:
    """Also where two begin alike: the rows of what is the same overwrite themselves."""
    os.mkfifo(place.file)
    for last in (3, 4):
        data = reads(("A", 1), ("A", 2), ("A", last)).encode()
        writer = threading.Thread(target=place.file.write_bytes, args=(data,))
        writer.start()
        assert place.convert() == 0
        writer.join()
    assert place.found == [("A", 1), ("A", 2), ("A", 3), ("A", 4)]


# ------------------------------------------------------------------------- names that are mixed up

CLASHES: list[tuple[str, ...]] = [
    ("Google", "google", "bing"),
    ("\u00e9", "e\u0301", "\u00c9"),
    ("a", "a.", "A."),
    ("stra\u00dfe", "STRASSE"),
]


@pytest.mark.parametrize("meters", CLASHES)
def test_partitions_that_a_file_system_takes_for_one_lose_nothing(
    meters: tuple[str, ...], place: Place
) -> None:
    """As many rows are there as the balance says."""
    place.file.write_text(reads(*((meter, 1) for meter in meters)))
    with mixed_names(place.folder):
        for _ in range(2):
            assert place.convert() == 0
    assert place.found == sorted((meter, 1) for meter in meters)
    folders = {path.parent for path in (place.out / "reads").rglob("*.parquet")}
    assert len(folders) < len(meters)


# ---------------------------------------------------------------------------------- the history


class WriteOnly:
    """A store of somebody who may only write."""

    uri = "s3://lake"
    longest_key = 1024

    def get(self, key: str) -> bytes:
        message = f"Access to {key} is denied."
        raise StoreRefused(message)

    def put(self, key: str, body: bytes) -> None:
        raise AssertionError((key, body))

    list = delete = put


def test_who_may_only_write_is_not_told_and_is_not_stopped() -> None:
    history = PathHistory(WriteOnly(), "/data/in")  # type: ignore[arg-type]  # see above
    assert history.versions == []
    history.add(Version(1, "a"), 0)


def test_a_history_that_nobody_can_read_is_begun_anew(place: Place) -> None:
    place.file.write_text(reads(("A", 1)))
    assert place.convert() == 0
    (history,) = (place.out / "_parts").rglob("contents")
    history.write_text("?")
    assert place.convert() == 0
    assert json.loads(history.read_text())[0]["size"] == place.file.stat().st_size


def test_a_file_that_was_touched_is_the_same_file(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """What partitions by arrival, and dead letters, are where they were: nothing is there twice."""
    (place.folder / "schemas" / "reads" / "dataset.toml").write_text('partition_by = ["date()"]\n')
    place.file.write_text(reads(("A", 1)) + "broken\n")
    os.utime(place.file, (1_700_000_000, 1_700_000_000))
    assert place.convert() == 0
    before = {
        path: path.read_bytes() for path in place.folder.rglob("lake*/**/*") if path.is_file()
    }
    os.utime(place.file, (1_790_000_000, 1_790_000_000))
    assert place.convert() == 0
    after = {path: path.read_bytes() for path in place.folder.rglob("lake*/**/*") if path.is_file()}
    assert after == before
    assert "another arrival" not in capsys.readouterr().err


def test_a_history_is_bounded() -> None:
    store = MemoryStore()
    history = PathHistory(store, "/data/in")
    for number in range(local._MOST_VERSIONS + 2):
        history.add(Version(number, "a"), 0)
    assert [version.size for version in PathHistory(store, "/data/in").versions] == list(
        range(2, local._MOST_VERSIONS + 2)
    )
