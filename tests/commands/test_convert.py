"""`pipeline convert`: files become the rows they hold, each with its place in its file."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lake import THINGS, files, letters, rows, write_dataset
from support import letter_payload

from pipeline.cli import main
from pipeline.files import blocks as pipeline_files

ARRIVED = "2026-11-23T09:30:00Z"
LINES = [
    b'{"n": 1, "text": "\xc3\xa9"}',
    b"",
    b'{"n": 100}',
    b'  {"n": 2}\t',
    b"nonsense",
    b'{"n": 3}\r',
    b" \r",
    b'{"text": "\xff"}',
    b'{"n": 4, "text": ""}',
]


def as_zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


SKIPPABLE = b"\x5a\x2a\x4d\x18" + b"\x04\0\0\0" + b"skip"  # as parallel compressors write

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:30]) + gzip.compress(data[30:]),
    "zstd": as_zstd,
    "zstd of two frames": lambda data: as_zstd(data[:30]) + as_zstd(data[30:]),
    "zstd behind a skippable frame": lambda data: (
        SKIPPABLE + as_zstd(data[:30]) + SKIPPABLE + as_zstd(data[30:])
    ),
}


class Place:
    """A directory to work in: the dataset `things`, an output and its dead letters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "in.ndjson"
        self.out = folder / "lake"
        self.dead_letters = folder / "lake-dead-letters"
        write_dataset(folder / "schemas" / "things", THINGS)

    def convert(self, *arguments: object, arrived: str | None = ARRIVED) -> int:
        """Run the command, by default on the file."""
        arrival = () if arrived is None else ("--arrived-at", arrived)
        chosen = ("--schemas", self.folder / "schemas", "--out", self.out, *arrival)
        return main(["convert", *map(str, (*(arguments or (self.file,)), *chosen))])

    def content(self) -> tuple[list[Any], list[Any]]:
        """Return rows and dead letters without the first part of their identity."""
        found = [{**row, "_source": ""} for row in rows(self.out)]
        return found, [{**letter, "source": ""} for letter in letters(self.dead_letters)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files after some 40 bytes, so that small files have many batches."""
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=40))


def assert_identities_lead_to_their_bytes(place: Place, data: bytes) -> None:
    """Seek each row's and each dead letter's document in the file by its offset."""
    for row in rows(place.out):
        line = data[int(row["_sequence_number"]) :].partition(b"\n")[0]
        document = json.loads(line)
        assert (row["n"], row["text"]) == (document["n"], document.get("text"))
    for letter in letters(place.dead_letters):
        line = data[int(letter["sequence_number"]) :].partition(b"\n")[0]
        # A line that may not be text at all keeps its white space, too.
        assert letter_payload(letter) in (line, line.strip(b" \t\r"))


# --------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("batches", ["one", "many"])
@pytest.mark.parametrize("packed", PACKED)
def test_packed_or_not_a_file_gives_the_same_rows(
    packed: str, batches: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batches == "many":
        monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=40))
    data = b"\n".join(LINES)
    place.file.write_bytes(PACKED[packed](data))
    assert place.convert() == 0
    assert [row["n"] for row in rows(place.out)] == sorted(
        [1, 2, 3, 4], key=lambda n: str(data.index(b'"n": %d' % n))
    )
    assert Counter(letter["reason"] for letter in letters(place.dead_letters)) == {
        "above_maximum": 1, "not_json": 1, "not_utf8": 1,
    }  # fmt: skip
    sources = {row["_source"] for row in rows(place.out)}
    content = place.file.read_bytes()
    source = f"{place.file}?{len(content)}-{hashlib.sha256(content).hexdigest()[:32]}"
    assert sources == {source} == {letter["source"] for letter in letters(place.dead_letters)}
    assert_identities_lead_to_their_bytes(place, data)


@pytest.mark.parametrize("packed", PACKED)
def test_standard_input_gives_the_same_rows(
    packed: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\n".join(LINES)
    place.file.write_bytes(data)
    assert place.convert() == 0
    expected = place.content()
    place.out, place.dead_letters = place.folder / "b", place.folder / "b-dead-letters"
    piped = SimpleNamespace(buffer=io.BytesIO(PACKED[packed](data)))
    monkeypatch.setattr("sys.stdin", piped)
    assert place.convert("-") == 0
    assert place.content() == expected


def test_what_goes_through_standard_input_next_is_something_else(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same length: the same offsets, and yet no document overwrites another."""
    for number, arrived in ((1, ARRIVED), (2, "2026-11-23T10:00:00Z")):
        piped = SimpleNamespace(buffer=io.BytesIO(b'{"n": %d}\n' % number))
        monkeypatch.setattr("sys.stdin", piped)
        assert place.convert("-", arrived=arrived) == 0
    assert [(row["n"], row["_source"].partition("?")[0]) for row in rows(place.out)] == [
        (1, "stdin-2026-11-23T09:30:00.000000Z"),
        (2, "stdin-2026-11-23T10:00:00.000000Z"),
    ]


def test_the_same_relative_path_in_another_directory_is_another_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        day = place.folder / f"day{number}"
        day.mkdir()
        (day / "in.ndjson").write_text(f'{{"n": {number}}}\n')
        monkeypatch.chdir(day)
        assert place.convert("in.ndjson") == 0
    assert [row["n"] for row in rows(place.out)] == [1, 2]


def test_one_file_by_many_names_of_its_path_is_one_file(place: Place) -> None:
    place.file.write_text('{"n": 1}\n')
    (place.folder / "sub").mkdir()
    for name in ("in.ndjson", "./in.ndjson", "sub/../in.ndjson", place.file):
        assert place.convert(name) == 0
    assert len(rows(place.out)) == 1


def test_a_name_that_is_no_utf8_is_written_with_escapes_that_no_other_name_has(
    place: Place,
) -> None:
    for name in (b"/in\xff.ndjson", rb"/in\xff.ndjson"):
        place.file = Path(os.fsdecode(os.fsencode(place.folder) + name))
        try:
            place.file.write_text('{"n": 1}\n')
        except OSError:  # macOS takes no such name; nobody can hand one in there
            return
        assert place.convert() == 0
    assert sorted(row["_source"].partition("?")[0] for row in rows(place.out)) == [
        rf"{place.folder}/in\\xff.ndjson",
        rf"{place.folder}/in\xff.ndjson",
    ]


@pytest.mark.usefixtures("small_batches")
def test_a_named_pipe_is_read_like_a_file(place: Place) -> None:
    os.mkfifo(place.file)
    data = b'{"n": 1}\n' * 50
    writer = threading.Thread(target=place.file.write_bytes, args=(data,))
    writer.start()
    assert place.convert() == 0
    writer.join()
    assert len(rows(place.out)) == 50


# ----------------------------------------------------------------------------------- lines


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("data", "offsets"),
    [
        (b"", []),
        (b"\n", []),
        (b"\n\r\n \n", []),
        (b'{"n": 1}', [0]),
        (b'{"n": 1}\n{"n": 2}', [0, 9]),
        (b'{"n": 1}\n\n\n{"n": 2}\n', [0, 11]),
        (b'{"n": 1}\r\n{"n": 2}\r\n', [0, 10]),
        (b'\xef\xbb\xbf{"n": 1}\n{"n": 2}\n', [3, 12]),
        (b'{"n": 1, "text": "' + b"x" * 500 + b'"}\n{"n": 2}', [0, 521]),
        (b"\n" * 100 + b'{"n": 1}', [100]),
    ],
)  # fmt: skip
def test_a_lines_identity_is_the_offset_of_its_first_byte(
    data: bytes, offsets: list[int], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.file.write_bytes(data)
    assert place.convert() == 0
    assert sorted(int(row["_sequence_number"]) for row in rows(place.out)) == offsets
    assert letters(place.dead_letters) == []
    assert_identities_lead_to_their_bytes(place, data)
    assert "lines" not in capsys.readouterr().err


def test_a_line_over_the_documents_bound_is_one_dead_letter(place: Place) -> None:
    long = b'{"n": 1, "text": "' + b"x" * 2**20 + b'"}'
    place.file.write_bytes(long + b'\n{"n": 2}\n')
    assert place.convert() == 0
    (letter,) = letters(place.dead_letters)
    assert (letter["reason"], letter["sequence_number"]) == ("document_too_large", "0")
    assert letter_payload(letter) == long
    assert [row["n"] for row in rows(place.out)] == [2]


def test_a_value_without_end_is_kept_in_pieces_before_it_fills_the_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pipeline_files, "CUT", pipeline_files.Cut(block_bytes=40, longest_value=200)
    )
    endless = b'{"n": "' + b"x" * 1_000
    place.file.write_bytes(b'{"n": 1}\n' + endless)
    assert place.convert() == 0
    assert [row["n"] for row in rows(place.out)] == [1]
    pieces = sorted(letters(place.dead_letters), key=lambda letter: int(letter["sequence_number"]))
    assert "".join(letter["payload"] for letter in pieces).encode() == endless


ANY_LINE = st.one_of(
    st.integers(0, 120).map(lambda n: b'{"n": %d}' % n),
    st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"")),
    st.sampled_from([b"", b" ", b"\r"]),
)


@given(st.lists(ANY_LINE, max_size=20), st.integers(1, 80), st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_that_is_not_blank_comes_out_once_at_its_offset(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cut: int, ends: bool
) -> None:
    place = Place(tmp_path_factory.mktemp("any"))
    data = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    assume(data[:2] != b"\x1f\x8b" and data[:4] != b"\x28\xb5\x2f\xfd")
    assume(data[1:4] != b"\x2a\x4d\x18")
    assume(not data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"["))
    place.file.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=cut))
        assert place.convert(place.file, "--framing", "lines") == 0
    expected, offset = [], 0
    for line in data.split(b"\n"):
        mark = 3 if not offset and line.startswith(b"\xef\xbb\xbf") else 0
        if line[mark:].strip(b" \t\r"):
            expected.append(offset + mark)
        offset += len(line) + 1
    found = [int(row["_sequence_number"]) for row in rows(place.out)]
    found += [int(letter["sequence_number"]) for letter in letters(place.dead_letters)]
    assert sorted(found) == expected
    assert_identities_lead_to_their_bytes(place, data)


# ---------------------------------------------------------------------------- again, arrival


@pytest.mark.usefixtures("small_batches")
def test_converting_a_file_again_overwrites_every_object(place: Place) -> None:
    place.file.write_bytes(b"\n".join(LINES * 10))
    assert place.convert() == 0
    once = files(place.out), files(place.dead_letters)
    assert place.convert() == 0
    assert (files(place.out), files(place.dead_letters)) == once
    assert len(once[0]) > 4


@pytest.mark.parametrize(
    "arrived", ["2020-02-29T23:59:59.5Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]
)
def test_documents_arrive_when_they_are_said_to(arrived: str, place: Place) -> None:
    place.file.write_bytes(b'{"n": 1}\n{"n": 100}\n')
    assert place.convert(arrived=arrived) == 0
    (row,), (letter,) = rows(place.out), letters(place.dead_letters)
    assert f"{row['_arrived_at']:%Y-%m-%dT%H:%M:%S.%f}"[: len(arrived) - 1] == arrived[:-1]
    assert letter["arrived_at"].startswith(arrived[:-1])
    day = arrived[:10]
    assert all(f"/date={day}/" in key for key in files(place.out / "things"))
    assert all(f"/date={day}/hour={arrived[11:13]}/" in key for key in files(place.dead_letters))


def test_without_it_they_arrive_with_the_files_last_change(place: Place) -> None:
    place.file.write_bytes(b'{"n": 1}\n')
    os.utime(place.file, ns=(0, 1_582_979_696_123_456_789))
    assert place.convert(arrived=None) == 0
    (row,) = rows(place.out)
    assert f"{row['_arrived_at']:%Y-%m-%dT%H:%M:%S.%f}" == "2020-02-29T12:34:56.123456"


# -------------------------------------------------------------------- summary and exit code


def test_the_summary_is_what_duckdb_counts(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.file.write_bytes(b"\n".join(LINES * 100) + b"\n")
    assert place.convert(place.file, "--framing", "lines") == 0
    out = capsys.readouterr().out
    numbers = {
        line.split()[0]: line.replace(",", "").split()[1:] for line in out.splitlines() if line
    }
    count = duckdb.connect().execute
    (parquet,) = (
        count(f"SELECT count(*) FROM '{place.out}/things/parquet/**/*.parquet'").fetchone() or ()
    )
    (csv,) = (
        count(f"SELECT count(*) FROM read_csv('{place.out}/things/csv/**/*.csv')").fetchone() or ()
    )
    query = "SELECT reason, count(*) FROM read_json($files) GROUP BY reason"
    dead = count(query, {"files": f"{place.dead_letters}/**/*.jsonl.gz"}).fetchall()
    things = [int(number) for number in numbers["things"]]
    unrouted = int(numbers["unrouted"][2]) if "unrouted" in numbers else 0
    assert parquet == csv == things[1] == 400
    assert things[2] + unrouted == sum(number for _, number in dead) == 300
    assert things[0] == things[1] + things[2]
    reported = {
        reason: int(number)
        for number, reason in re.findall(r"^  (\d+) x \w+: (\w+)$", out, re.MULTILINE)
    }
    assert reported == dict(dead)
    stored = {
        **files(place.out / "things"),
        **{f"d/{key}": body for key, body in files(place.dead_letters / "things").items()},
    }
    assert things[3:] == [len(stored), sum(map(len, stored.values()))]
    assert f"rows in {place.out.as_uri()}, dead letters in {place.dead_letters.as_uri()}\n" in out


def test_strict_tells_dead_letters_by_the_exit_code(place: Place) -> None:
    place.file.write_bytes(b'{"n": 1}\n')
    assert place.convert(place.file, "--strict") == 0
    place.file.write_bytes(b'{"n": 100}\n')
    assert place.convert(place.file) == 0
    assert place.convert(place.file, "--strict") == 3


def test_many_files_are_one_balance(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    names = [place.folder / f"{number}.ndjson" for number in range(3)]
    for name in names:
        name.write_bytes(b'{"n": 1}\n{"n": 2}\n')
    assert place.convert(*names) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["things", "6", "6", "0"]
    assert len(rows(place.out)) == 6


def test_a_file_that_breaks_off_leaves_a_true_balance(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came before is stored and told; the rest comes when the whole file is converted."""
    monkeypatch.setattr(pipeline_files, "CUT", pipeline_files.Cut(block_bytes=50_000))
    data = b"".join(b'{"n": 1, "text": "%d"}\n' % number for number in range(20_000))
    packed = gzip.compress(data)
    place.file.write_bytes(packed[: len(packed) // 2])
    assert place.convert() == 1
    out, err = capsys.readouterr()
    stored = len(rows(place.out))
    assert 0 < stored < 20_000
    assert out.splitlines()[1].replace(",", "").split()[:4] == [
        "things",
        str(stored),
        str(stored),
        "0",
    ]
    assert "0.0 MB in" not in out
    assert err.count("\n") == 1
    assert "cannot be read past byte" in err


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("name", ["-", "in.ndjson"])
def test_progress_reaches_the_end(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.commands import progress

    monkeypatch.setattr(progress, "_EVERY", 0.0)
    data = b'{"n": 1, "text": "%s"}\n' % (b"x" * 100_000) * 20
    place.file.write_bytes(data)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert place.convert(name) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(": 2 MB" if name == "-" else ": 2 MB (100%)")


# -------------------------------------------------------------------------- how a file is cut

# Not what getrusage says where it can be helped: a process begins with its parent's peak there.
PEAK = """
import pathlib, re, resource, sys
from pipeline.cli import main
code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status")
peak = re.search("VmHWM:\\s*(\\d+)", status.read_text())[1] if status.exists() else (
    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peak, file=sys.stderr)
sys.exit(code)
"""


def test_many_tiny_documents_do_not_fill_the_memory(place: Place) -> None:
    """A quarter of a batch's bytes, were they cut by bytes alone, would take more than 1 GB."""
    place.file.write_bytes(b"1\n" * 2**19)
    options = ["--schemas", "schemas", "--out", "lake"]
    ended = subprocess.run(
        [sys.executable, "-c", PEAK, "convert", str(place.file), *options],
        cwd=place.folder, capture_output=True, check=True, text=True,
    )  # fmt: skip
    kilobytes = int(ended.stderr.split()[-1])
    assert kilobytes < 450_000


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("ends", [False, True])
def test_a_block_ends_soon_after_so_many_documents_and_work_goes_on_behind_it(
    array: bool, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pipeline_files, "CUT", pipeline_files.Cut(block_bytes=1_000, block_documents=7)
    )
    values = [b"%d" % n for n in range(600)]
    data = b"[" + b",".join(values) + b"]" * ends if array else b"\n".join(values) + b"\n" * ends
    blocks = list(pipeline_files.blocks_of(io.BytesIO(data), "in"))
    assert [text for block in blocks for _, text in block.documents] == values
    assert max(len(block.documents) for block in blocks) == 7
    for number, block in enumerate(blocks):
        again = pipeline_files.blocks_of(io.BytesIO(data), "in", block.end)
        assert list(again) == blocks[number + 1 :]


def test_a_last_line_without_newline_is_in_one_object_with_those_before(place: Place) -> None:
    place.file.write_bytes(b'{"n": 1}\n{"n": 2}')
    assert place.convert() == 0
    assert len([key for key in files(place.out) if key.endswith(".parquet")]) == 1
    assert len(rows(place.out)) == 2


def test_files_that_arrived_before_the_year_1000_have_years_of_four_digits(place: Place) -> None:
    place.file.write_bytes(b'{"n": 1}\n{"n": 100}\n')
    assert place.convert(arrived="0900-01-01T00:00:00Z") == 0
    (key,) = files(place.dead_letters)
    assert "/date=0900-01-01/hour=00/" in key
    (letter,) = letters(place.dead_letters)
    assert letter["arrived_at"] == "0900-01-01T00:00:00.000000Z"


NOTES = {"type": "record", "name": "T", "fields": [
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": None}]}  # fmt: skip


def test_very_many_partitions_are_named_in_the_summary(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "schemas" / "things" / "dataset.toml").write_text('partition_by = ["text"]\n')
    place.file.write_text("\n".join(f'{{"n": 1, "text": "{number}"}}' for number in range(120)))
    assert place.convert() == 0
    assert (
        "  In one part of what was stored: The 120 rows of dataset things fall into 120 partitions, "
        "and each of these is an object in every format; a coarser partition_by makes fewer.\n"
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "line", "note", "rest"),
    [
        ("", '{"id":2,"note":"a","discount":5}', "unknown field, dropped: $.discount", None),
        (
            'unknown_fields = "keep"\n',
            '{"id":2,"note":"a","discount":5}',
            "unknown field, kept in _rest: $.discount",
            '{"discount":5}',
        ),
        (
            "",
            '{"id":2,"Note":"b"}',
            "unknown field, dropped: $.Note is $.note in another case",
            None,
        ),
    ],
)
def test_unknown_fields_are_named_in_the_summary(
    config: str,
    line: str,
    note: str,
    rest: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "schemas" / "t"
    folder.mkdir(parents=True)
    (folder / "1.avsc").write_text(json.dumps(NOTES))
    (folder / "dataset.toml").write_text(config)
    file = tmp_path / "drift.ndjson"
    file.write_text(f'{{"id":1,"note":"a"}}\n{line}\n')
    out, dead = tmp_path / "out", tmp_path / "dead"
    places = ["--schemas", str(folder.parent), "--out", str(out), "--dead-letters", str(dead)]
    assert main(["convert", str(file), *places]) == 0
    assert f"  1 x t: {note}\n" in capsys.readouterr().out
    stored = rows(out)
    assert [row.get("_rest") for row in stored] == [None, rest]
