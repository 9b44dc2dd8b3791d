"""Whatever a command is given: one sentence, a fitting exit code, nothing half under its name."""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from lake import THINGS, files, write_dataset
from support import ROOT

from pipeline.adapters import schemas as schemas_adapter
from pipeline.adapters.directory import DirectoryStore
from pipeline.cli import main

NOBODY = 65_534
COMMANDS = ("infer", "check", "convert", "ddl", "dead-letters", "redrive")
LINES = b'{"n": 1}\n{"n": 100}\n{"n": 2, "text": "x"}\n'


class Place:
    """A directory with one of everything, from which every command can run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "in.ndjson"
        self.file.write_bytes(LINES)
        self.schemas = folder / "schemas"
        write_dataset(self.schemas / "things", THINGS)
        self.out = folder / "lake"
        self.dead_letters = folder / "lake-dead-letters"
        self.drafts = folder / "drafts"
        assert main(self.arguments("convert")) == 0
        shutil.rmtree(self.out)

    def arguments(self, command: str) -> list[str]:
        """Return a command that succeeds."""
        chosen = ["--schemas", str(self.schemas)]
        stored = [*chosen, "--out", str(self.out)]
        return {
            "infer": ["infer", str(self.file), "--name", "drafted", "--out", str(self.drafts)],
            "check": ["check", str(self.schemas)],
            "convert": ["convert", str(self.file), *stored],
            "ddl": ["ddl", "things", *chosen, "--location", str(self.out)],
            "dead-letters": ["dead-letters", str(self.dead_letters)],
            "redrive": ["redrive", str(self.dead_letters), *stored],
        }[command]

    @property
    def letter_file(self) -> Path:
        """Return the one file of dead letters."""
        (file,) = self.dead_letters.rglob("*.jsonl.gz")
        return file


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a directory that others than its owner may read: pytest's are private."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made).resolve()


@pytest.fixture
def place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Place:
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    made = Place(folder)
    capsys.readouterr()
    return made


def assert_one_sentence(said: str) -> None:
    assert said.startswith("pipeline: ")
    assert said.endswith(".\n")
    assert said.count("\n") == 1
    assert "unexpected" not in said


def refused(place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run a command that fails: one sentence, which is returned, and no file is another one.

    But for the journal of a redrive, which says that it was stopped, and for what a writer that
    was abandoned may be about to remove, under a name that no reader sees.
    """
    before = files(place.folder)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert_one_sentence(said)
    after = files(place.folder)
    final = {
        name: body for name, body in after.items() if not name.endswith((".sending", ".partial"))
    }
    assert final == before
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_succeeds_where_nothing_is_bad(command: str, place: Place) -> None:
    """Or the tests below would show nothing."""
    assert main(place.arguments(command)) == 0


# ------------------------------------------------------------------------- what is not there


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("infer", "in.ndjson"),
        ("check", "schemas"),
        ("convert", "in.ndjson"),
        ("convert", "schemas"),
        ("ddl", "schemas"),
        ("ddl", "schemas/things"),
        ("dead-letters", "lake-dead-letters"),
        ("redrive", "lake-dead-letters"),
        ("redrive", "schemas"),
    ],
)
def test_what_is_missing_is_named(
    command: str, missing: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.folder / missing
    path.rename(place.folder / "elsewhere")
    assert path.name in refused(place, capsys, place.arguments(command))


@pytest.mark.parametrize("command", ["infer", "convert"])
def test_a_directory_is_no_file_of_documents(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.file.unlink()
    place.file.mkdir()
    assert "Is a directory" in refused(place, capsys, place.arguments(command))


@pytest.mark.parametrize("command", ["dead-letters", "redrive"])
def test_a_file_is_no_place_of_dead_letters(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(place.dead_letters)
    place.dead_letters.write_text("x")
    assert "where a directory is needed" in refused(place, capsys, place.arguments(command))


@pytest.mark.parametrize("command", ["infer", "convert", "redrive"])
def test_a_file_where_the_output_should_be_is_named(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(place.schemas / "things", {**THINGS, "fields": [{"name": "n", "type": "int"}]})
    for output in (place.out, place.drafts):
        output.write_text("x")
    assert "directory" in refused(place, capsys, place.arguments(command))


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "in.ndjson", "--out", "gs://lake", "--dead-letters", "dead"],
        ["redrive", "lake-dead-letters", "--out", "gs://lake"],
        ["redrive", "gs://dead", "--out", "lake"],
        ["redrive", "gs://dead", "--out", "lake", "--dead-letters", "dead"],
        ["dead-letters", "gs://dead"],
        ["dead-letters", "s3://x"],
        ["ddl", "things", "--location", "gs://lake"],
        ["convert", "in.ndjson", "--out", "lake", "--arrived-at", "yesterday"],
        ["convert", "in.ndjson"],
        ["ddl", "things"],
    ],
)  # fmt: skip
def test_what_names_no_place_or_time_is_refused(
    arguments: list[str], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(place, capsys, arguments)


# --------------------------------------------------------------------- folders of no schemas


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def with_text(name: str, text: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "things" / name).write_bytes(text)

    return write


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "things" / name).unlink()


NO_SCHEMAS: dict[str, Callable[[Path], object]] = {
    "no dataset": emptied,
    "no dataset.toml": without("dataset.toml"),
    "no schema": without("1.avsc"),
    "a schema that is not JSON": with_text("1.avsc", b"{"),
    "a schema that is not UTF-8": with_text("1.avsc", b"\xff"),
    "a schema that is not Avro": with_text("1.avsc", b'{"type": "thing"}'),
    "a schema that is no record": with_text("1.avsc", b'"string"'),
    "a schema without version": with_text("last.avsc", b"{}"),
    "settings that are not TOML": with_text("dataset.toml", b"="),
    "settings that are not UTF-8": with_text("dataset.toml", b"\xff"),
    "unknown settings": with_text("dataset.toml", b"a = 1"),
}


@pytest.mark.parametrize("command", ["convert", "ddl", "redrive"])
@pytest.mark.parametrize("kind", NO_SCHEMAS)
def test_a_folder_of_no_schemas_is_refused_before_anything_is_stored(
    kind: str, command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    NO_SCHEMAS[kind](place.schemas)
    refused(place, capsys, place.arguments(command))


@pytest.mark.parametrize("kind", NO_SCHEMAS)
def test_check_tells_of_a_folder_of_no_schemas_as_of_every_fault(
    kind: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    NO_SCHEMAS[kind](place.schemas)
    assert main(place.arguments("check")) == 1
    out, err = capsys.readouterr()
    assert err == ""
    (fault,) = (line for line in out.splitlines() if line.startswith("FAULT  "))
    assert fault.endswith(".")


# --------------------------------------------------------------------------- corrupt archives


def flipped(packed: bytes) -> bytes:
    """Change a bit of the checksum at the end of a gzip file."""
    return packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:]


ZSTD = pa.Codec("zstd").compress(LINES * 1_000, asbytes=True)
CORRUPT = {
    "gzip cut short": gzip.compress(LINES * 1_000)[:-20],
    "gzip without trailer": gzip.compress(LINES)[:-8],
    "gzip of garbage": b"\x1f\x8bgarbage, all of it",
    "gzip with a wrong checksum": flipped(gzip.compress(LINES)),
    "gzip and then garbage": gzip.compress(LINES) + b"garbage",
    "gzip magic alone": b"\x1f\x8b",
}
CORRUPT_ZSTD = {
    "zstd cut short": ZSTD[:-20],
    "zstd of garbage": b"\x28\xb5\x2f\xfdgarbage, all of it",
    "zstd and then garbage": ZSTD + b"garbage",
    "zstd magic alone": b"\x28\xb5\x2f\xfd",
}


@pytest.mark.parametrize("command", ["infer", "convert"])
@pytest.mark.parametrize("kind", [*CORRUPT, *CORRUPT_ZSTD])
def test_a_corrupt_archive_is_named_with_the_place_where_it_stops(
    kind: str, command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.file.write_bytes((CORRUPT | CORRUPT_ZSTD)[kind])
    said = refused(place, capsys, place.arguments(command))
    assert f"{place.file} cannot be read past byte " in said


@pytest.mark.parametrize("command", ["infer", "convert"])
def test_an_archive_whose_sender_broke_off_is_no_shorter_archive(
    command: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in `zcat … | gzip | pipeline convert -`, where the middle one was killed."""
    arguments = ["-" if part == str(place.file) else part for part in place.arguments(command)]
    cut = SimpleNamespace(buffer=io.BytesIO(CORRUPT["gzip cut short"]))
    monkeypatch.setattr("sys.stdin", cut)
    assert "cannot be read past byte" in refused(place, capsys, arguments)


@pytest.mark.parametrize("command", ["dead-letters", "redrive"])
@pytest.mark.parametrize("kind", CORRUPT)
def test_a_corrupt_file_of_dead_letters_is_named(
    kind: str, command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.letter_file.write_bytes(CORRUPT[kind])
    said = refused(place, capsys, place.arguments(command))
    assert f"{place.letter_file.name} is not a gzip file of dead letters" in said


# ---------------------------------------------------------------------------------- full disk


@contextlib.contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("command", ["infer", "convert", "redrive"])
def test_where_files_cannot_grow_nothing_half_stays(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_most(20):
        assert "File too large" in refused(place, capsys, place.arguments(command))
    assert main(place.arguments(command)) == 0


@pytest.mark.parametrize("command", ["convert", "redrive"])
def test_a_full_disk_is_named_with_the_object_and_the_remedy(
    command: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = refused(place, capsys, place.arguments(command))
    assert "Could not write file://" in said
    assert "No space left on device; free space on this file system." in said
    assert main(place.arguments(command)) == 0


@pytest.mark.parametrize("name", ["1.avsc", "dataset.toml", "good.ndjson"])
def test_a_draft_is_whole_or_not_there(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Path.open

    def full(path: Path, *arguments: str, **options: str) -> object:
        if path.name == name and place.drafts in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, *arguments, **options)  # type: ignore[call-overload]  # as it came

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        assert "No space left" in refused(place, capsys, place.arguments("infer"))
    assert list(place.drafts.iterdir()) == []
    (place.drafts / ".drafted.partial").mkdir()  # of a run that was killed
    assert main(place.arguments("infer")) == 0
    assert [path.name for path in place.drafts.iterdir()] == ["drafted"]


class Full(io.RawIOBase):
    """A standard output on a full disk."""

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_takes_nothing_is_a_failure(
    command: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout = io.TextIOWrapper(io.BufferedWriter(Full()), "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        assert main(place.arguments(command)) == 1
    assert capsys.readouterr().err == "pipeline: a standard stream: No space left on device.\n"
    with contextlib.suppress(OSError):
        stdout.close()


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


def test_the_interpreter_does_not_complain_of_the_output_once_more(place: Place) -> None:
    """Its last flush fails as ours did; that would be a second message and another exit code."""
    code = "import sys; from pipeline.cli import main; sys.exit(main())"
    with (place.folder / "stdout").open("wb") as stdout:
        ended = subprocess.run(
            [sys.executable, "-c", code, *place.arguments("check")],
            cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
            preexec_fn=limit_files,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "pipeline: a standard stream: File too large.\n")


# ------------------------------------------------------------------------------ no permission


@contextlib.contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Be somebody to whom modes apply, and to whom all of the folder belongs."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("command", "path", "mode"),
    [
        ("infer", "in.ndjson", 0),
        ("infer", "drafts", 0o555),
        ("check", "schemas", 0),
        ("check", "schemas/things", 0),
        ("check", "schemas/things/good.ndjson", 0),
        ("convert", "in.ndjson", 0),
        ("convert", "schemas", 0),
        ("convert", "schemas/things/1.avsc", 0),
        ("convert", "lake", 0o555),
        ("convert", "lake-dead-letters", 0o555),
        ("ddl", "schemas", 0),
        ("ddl", "schemas/things/dataset.toml", 0),
        ("dead-letters", "lake-dead-letters", 0),
        ("redrive", "lake-dead-letters", 0),
        ("redrive", "lake", 0o555),
        ("redrive", "schemas/things", 0),
    ],
)
def test_what_one_may_not_touch_is_named(
    command: str, path: str, mode: int, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for made in (place.out, place.drafts):
        made.mkdir()
    (place.schemas / "things" / "good.ndjson").write_text('{"n": 1}\n')
    assert main(place.arguments(command)) == 0  # imports what it needs while it may
    for made in (place.out, place.drafts):
        emptied(made)
    if command == "convert":
        emptied(place.dead_letters)
    if command == "redrive":
        write_dataset(
            place.schemas / "things", {**THINGS, "fields": [{"name": "n", "type": "int"}]}
        )
    capsys.readouterr()
    before = files(place.folder)
    target = place.folder / path
    usual = target.stat().st_mode
    with unprivileged(place.folder):
        target.chmod(mode)
        code = main(place.arguments(command))
        target.chmod(usual)
    said = capsys.readouterr().err
    assert code == 1
    assert_one_sentence(said)
    assert "Permission denied" in said
    assert target.name in said
    after = files(place.folder)
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after if name not in before and mode == 0]


# ------------------------------------------------------------------- interrupted, nobody reads


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_has_to_read_to_the_end(
    command: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after `| head -1`: what a shell reports of a program that a closed pipe ended."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        assert main(place.arguments(command)) == 141
    assert capsys.readouterr().err == ""


SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("number", "code", "word"), SIGNALS)
def test_a_signal_ends_a_command_in_a_sentence_and_changes_nothing(
    number: signal.Signals, code: int, word: str, command: str, place: Place,
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It comes as the first thing is read: a line, a schema, a dead letter."""
    asked = signal.getsignal(number)
    if number == signal.SIGTERM:  # what is not caught shall fail this test alone
        request.addfinalizer(functools.partial(signal.signal, number, asked))
        asked = signal.SIG_IGN
        signal.signal(number, asked)

    def interrupted(*_: object, **__: object) -> bytes:
        signal.raise_signal(number)
        message = "The signal did nothing."
        raise AssertionError(message)

    arguments = ["-" if part == str(place.file) else part for part in place.arguments(command)]
    before = files(place.folder)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=SimpleNamespace(read=interrupted)))
        patch.setattr(DirectoryStore, "get", interrupted)
        if command in {"check", "ddl"}:
            patch.setattr(schemas_adapter, "read_texts", interrupted)
        assert main(arguments) == code
    assert capsys.readouterr().err == f"pipeline: {word}.\n"
    assert files(place.folder) == before
    assert signal.getsignal(number) is asked


# Tells on standard error when it waits for input, so that the signal comes neither early nor late.
WAITING = """
import signal, sys
from types import SimpleNamespace
from pipeline.cli import main

def read(size):
    sys.stderr.write("waiting\\n")
    sys.stderr.flush()
    return real(size)

# A shell starts what runs in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
real = sys.stdin.buffer.read
sys.stdin = SimpleNamespace(buffer=SimpleNamespace(read=read))
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS)
def test_a_conversion_that_waits_for_input_can_be_ended(
    number: signal.Signals, code: int, word: str, place: Place
) -> None:
    arguments = ["-" if part == str(place.file) else part for part in place.arguments("convert")]
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, *arguments],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        process.send_signal(number)
        assert process.stderr.read() == f"pipeline: {word}.\n"
    assert process.returncode == code
    assert files(place.folder / "lake") == {}


# --------------------------------------------------------------------------- closed and deep


@pytest.mark.parametrize(
    ("command", "closed", "said"),
    [
        ("convert", "<&-", "Standard input is closed"),
        ("infer", "<&-", "Standard input is closed"),
        ("check", ">&-", "standard output is closed"),
    ],
)
def test_a_closed_stream_is_told_in_a_sentence(
    command: str, closed: str, said: str, place: Place
) -> None:
    arguments = ["-" if part == str(place.file) else part for part in place.arguments(command)]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "pipeline", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert_one_sentence(ended.stderr)
    assert said in ended.stderr


def test_a_sample_that_nests_too_deeply_is_a_fault(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = b'{"a":' * 2_000 + b"1" + b"}" * 2_000
    sample = b'{"reason": "too_deep", "path": "$", "document": ' + deep + b"}\n"
    (place.schemas / "things" / "bad.ndjson").write_bytes(sample)
    assert main(place.arguments("check")) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "bad.ndjson, line 1: it nests too deeply" in out


@pytest.mark.parametrize("command", ["dead-letters", "redrive"])
def test_one_file_that_cannot_be_read_holds_up_none_after_it(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    good = place.letter_file
    bad = good.with_name("0.jsonl.gz")
    bad.write_bytes(b"garbage")
    assert main(place.arguments(command)) == 1
    out, err = capsys.readouterr()
    assert_one_sentence(err)
    assert bad.name in err
    assert out.startswith({"dead-letters": "1 dead letters", "redrive": "1 documents"}[command])
    assert bad.read_bytes() == b"garbage"
