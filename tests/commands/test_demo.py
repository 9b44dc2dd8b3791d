"""`pipeline demo`: that it shows the truth, and says so when the truth is bad."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.cli import main
from pipeline.core.errors import BatchNotStored, PipelineError
from pipeline.core.events import read_kinesis_event
from pipeline.core.reasons import Reason
from pipeline.demo import run as demo_run
from pipeline.demo.broken import KINDS
from pipeline.demo.count import count, dead_letters
from pipeline.demo.place import Place, prepare
from pipeline.demo.screen import command_line
from pipeline.demo.stream import Stream, StreamTotals
from pipeline.demo.verdict import Counted

DOCUMENTS = 400
LINES = 36  # a terminal that is not small
MAIN = "import sys; from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    place: Place


def run(*arguments: str, out: Path) -> Ran:
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main(["demo", "--documents", str(DOCUMENTS), "--out", str(out), *arguments])
    return Ran(code, stdout.getvalue(), stderr.getvalue(), Place(out.resolve()))


def in_a_process(*arguments: str, code: str = MAIN) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)


def make_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Run it as most people do."""
    with pytest.MonkeyPatch.context() as patch:
        make_plain(patch)
        patch.chdir(tmp_path_factory.mktemp("demo"))
        yield run("--documents", "2000", out=Path("here"))


def test_it_fits_one_screen(screen: Ran) -> None:
    lines = screen.out.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines[:-3])) <= 80  # the last three are commands


def test_the_document_shown_is_the_one_whose_row_is_shown(screen: Ran) -> None:
    shown = re.search(r'^in +\{"@stream":"orders","order_id":"(\w{8})…",', screen.out)
    assert shown is not None
    out = screen.out[screen.out.index("\nout ") : screen.out.index("\nbad ")]
    assert re.search(r"\s+orders/parquet/date=[\d-]+/by_country=[A-Z]{2}/….parquet\s", out)
    assert re.search(rf"\s{shown[1]}…  +2026-11-2\d \d\d:\d\d:\d\d  ", out)


def test_the_broken_one_is_shown_with_what_is_wrong(screen: Ran) -> None:
    bad = screen.out[screen.out.index("\nbad ") :]
    assert '"customer":{"id":"17"' in bad
    assert "wrong_type at $.customer.id: Expected an integer, got a string." in bad


def test_three_count_the_same(screen: Ran) -> None:
    counted = re.findall(r"([\d,]+) +=\s+([\d,]+) +\+ ([\d,]+)$", screen.out, re.MULTILINE)
    assert len(counted) == 3
    assert len(set(counted)) == 1
    documents, rows, letters = (int(number.replace(",", "")) for number in counted[0])
    assert documents == rows + letters


def test_the_commands_shown_can_be_pasted(screen: Ran) -> None:
    *_, everything, letters, infer = screen.out.splitlines()
    for command in (letters, infer, everything.replace("--all", "--all --documents 400")):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=screen.place.root.parent,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout
    assert (screen.place.root / "drafts" / "orders" / "1.avsc").is_file()


def test_the_time_and_the_cost_are_one_line(screen: Ran) -> None:
    said = r"[\d.]+ s in the handler, [\d.]+ s in all; [\d,]+ objects: \$[\d.]+ a GB"
    assert re.search(rf"^{said} \(Firehose: \$[\d.]+\)\.$", screen.out, re.MULTILINE)


@pytest.mark.parametrize("columns", ["40", "60", "200"])
def test_other_terminals_are_served(
    columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_plain(monkeypatch)
    monkeypatch.setenv("COLUMNS", columns)
    ran = run(out=tmp_path)
    assert ran.code == 0
    assert "wrong_type at $.customer.id" in " ".join(ran.out.split())


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert run(out=tmp_path / "out").code == 0
    assert not list((tmp_path / "temporary").iterdir())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Run it once; its directory has a name that is hard to quote."""
    with pytest.MonkeyPatch.context() as patch:
        make_plain(patch)
        patch.setenv("PIPELINE_MAX_DOCUMENTS", "1")  # somebody's own; not the demo's business
        yield run("--all", out=tmp_path_factory.mktemp("demo") / "it's [a] 100% b*c?")


def test_everything_balances(ran: Ran) -> None:
    assert ran.code == 0, ran.out
    assert ran.err == ""
    assert "Balanced: " in ran.out
    assert "same keys, same bytes" in " ".join(ran.out.split())


def test_every_kind_of_broken_is_there_and_gets_its_reason(ran: Ran) -> None:
    reasons = {letter["reason"] for letter in dead_letters(ran.place)}
    assert reasons == {kind.reason for kind in KINDS}
    assert all(reason in ran.out for reason in reasons)


def test_the_kinds_are_all_that_the_datasets_can_give() -> None:
    of_payloads = {Reason.BAD_AVRO, Reason.BAD_HEADER, Reason.BAD_PROTOBUF}
    of_writers = {Reason.UNKNOWN_SCHEMA, Reason.UNUSABLE_SCHEMA}
    of_datasets = {Reason.PARTITION_TOO_LONG, Reason.UNKNOWN_FIELD, Reason.ENVELOPE_MISMATCH}
    impossible = of_payloads | of_writers | of_datasets
    assert {kind.reason for kind in KINDS} == set(Reason) - impossible
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(
    "title", ["What came out", "Two dead letters", "The balance", "Time", "What next"]
)
def test_the_output_has_its_parts(ran: Ran, title: str) -> None:
    assert f"\n{title}\n" in ran.out


def test_without_a_terminal_it_is_plain_and_fits(ran: Ran) -> None:
    assert "\x1b" not in ran.out
    # What is there to be copied stays on one line, however long the directory's name.
    lines = [line for line in ran.out.splitlines() if "100% b*c?" not in line]
    lines = [line for line in lines if "b[*]c[?]" not in line]
    assert max(map(len, lines)) <= 80


def test_the_sql_it_shows_can_be_pasted(ran: Ran) -> None:
    import duckdb

    start = ran.out.index("SELECT ")
    sql = ran.out[start : ran.out.index(";", start) + 1]
    with duckdb.connect() as database:
        assert len(database.execute(sql).fetchall()) == 3


def test_the_environment_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OUTPUT", "s3://mine/output")
    before = dict(os.environ)
    assert run(out=tmp_path).code == 0
    assert dict(os.environ) == before


def drained(documents: int, seed: int) -> tuple[list[dict[str, Any]], StreamTotals]:
    stream = Stream(documents, seed)
    return list(stream.events()), stream.totals


def test_a_seed_makes_one_stream_byte_for_byte() -> None:
    one, again, other = (msgspec.json.encode(drained(DOCUMENTS, seed)[0]) for seed in (7, 7, 8))
    assert one == again
    assert one != other


@pytest.mark.parametrize("documents", [1, 40, 3_000])
def test_a_stream_has_its_length_and_one_in_a_hundred_broken(documents: int) -> None:
    _, totals = drained(documents, 3)
    assert set(totals.kinds) == {kind.name for kind in KINDS}
    assert totals.broken.total() == max(len(KINDS), documents // 100)
    most_in_one_put = 40
    least = max(documents, 2 * len(KINDS))
    assert least <= totals.documents.total() <= least + most_in_one_put


def test_events_are_what_lambda_would_send() -> None:
    events, _ = drained(20_000, 1)
    assert len(events) >= 4
    for event in events:
        read_kinesis_event(event)  # one shard, in order, or it raises
        assert len(msgspec.json.encode(event)) <= 6 * 2**20
        assert len(event["Records"]) <= 10_000
    assert len({event["Records"][0]["eventID"].partition(":")[0] for event in events}) == 4


def lose_a_file(place: Place) -> None:
    next(place.output.rglob("*.csv")).unlink()


def double_a_file(place: Place) -> None:
    path = next(place.output.rglob("*.parquet"))
    shutil.copy(path, path.with_name(f"again-{path.name}"))


def lose_a_dead_letter(place: Place) -> None:
    next(place.dead_letters.rglob("*.jsonl.gz")).unlink()


@pytest.mark.parametrize("damage", [lose_a_file, double_a_file, lose_a_dead_letter])
def test_what_is_lost_or_doubled_shows(
    damage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def after_damage(place: Place) -> Counted:
        damage(place)
        return count(place)

    assert demo_run.run(DOCUMENTS, tmp_path, 1, count_files=after_damage) == 1
    out = capsys.readouterr().out
    assert "NOT balanced" in out
    assert "Balanced:" not in out


def test_an_event_that_is_not_stored_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(event: Any, context: Any) -> Any:
        sys.stdout.write('{"outcome": "store_failed", "message": "The disk is full."}\n')
        return {"batchItemFailures": [{"itemIdentifier": "1"}]}

    with pytest.raises(BatchNotStored) as caught:
        demo_run.run(DOCUMENTS, tmp_path, 1, handler=fails)
    assert str(caught.value) == "The handler could not store an event: The disk is full."
    assert capsys.readouterr() == ("", "")


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    assert run("--seed", "1", out=tmp_path / "new").code == 0
    (tmp_path / "new" / "notes.txt").write_text("mine")
    (tmp_path / "new" / "drafts").mkdir()
    (tmp_path / "new" / "drafts" / "1.avsc").write_text("edited")
    again = run("--seed", "2", out=tmp_path / "new")
    assert again.code == 0
    assert again.out.rstrip().endswith("/drafts-2")
    assert (tmp_path / "new" / "drafts" / "1.avsc").read_text() == "edited"
    assert (tmp_path / "new" / "notes.txt").read_text() == "mine"


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "thesis.csv").write_text("years of work")
    ran = run(out=tmp_path)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "not empty" in ran.err
    assert [path.name for path in tmp_path.rglob("*")] == ["output", "thesis.csv"]


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = run(out=tmp_path / "file")
    assert ran.code == 1
    assert "is not a directory" in ran.err


def test_by_default_it_writes_beside_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert prepare(None).root == tmp_path.resolve() / "pipeline-demo"


@pytest.mark.parametrize(
    ("started", "named"),
    [
        ("{here}/bin/pipeline", "bin/pipeline"),
        ("{here}/on the path/pipeline", "pipeline"),
        ("{here}/it's/kinesis-s3-pipeline", "'it'\"'\"'s/kinesis-s3-pipeline'"),
        ("{here}/pipeline/__main__.py", f"{shlex.quote(sys.executable)} -m pipeline"),
    ],
)
def test_commands_are_named_as_this_one_was_started(
    started: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "on the path" / "pipeline"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [started.format(here=tmp_path)])
    assert command_line() == named


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["--version"]])
def test_it_can_be_asked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 0
    assert "pipeline" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["no-such"], ["demo", "--documents", "0"], ["demo", "--documents", "x"]]
)
def test_wrong_use_has_its_own_exit_code(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert "usage: pipeline" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PipelineError("It cannot be."), 1, "pipeline: It cannot be.\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "pipeline: /x: Permission denied.\n"),
        (KeyboardInterrupt(), 130, "pipeline: interrupted.\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_are_a_sentence_and_a_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raises(*_: Any, **__: Any) -> int:
        raise error

    monkeypatch.setattr(demo_run, "run", raises)
    assert main(["demo"]) == code
    assert capsys.readouterr().err == said


def test_an_unexpected_error_does_not_show_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(*_: Any, **__: Any) -> int:
        raise ValueError("a payload")

    monkeypatch.setattr(demo_run, "run", raises)
    assert main(["demo"]) == 1
    said = capsys.readouterr().err
    assert "unexpected ValueError at" in said
    assert "a payload" not in said


@pytest.mark.parametrize("missing", ["rich", "duckdb"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    ended = in_a_process("demo", code=f"import sys; sys.modules[{missing!r}] = None; {MAIN}")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "pip install 'kinesis-s3-pipeline[cli]'" in ended.stderr


def test_nobody_has_to_read_to_the_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "demo", "--documents", "1", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_the_help_waits_for_nothing_heavy() -> None:
    heavy = {"boto3", "duckdb", "pyarrow", "rich"}
    check = f"import sys, pipeline.cli; print({heavy} & set(sys.modules) or 'light')"
    assert in_a_process(code=check).stdout == "light\n"


def test_the_lake_is_one_table_in_which_a_redrive_lands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--documents", "3000", "--lake", "--out", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    said = re.search(
        r"([\d,]+) landing objects of orders became one table: ([\d,]+) rows, ([\d,]+) distinct "
        r"identities\. Then version 2 of the schema learned the status 'lost', (\d+) dead letters? "
        r"(?:was|were) sent again, and the table has ([\d,]+) rows; as of snapshot \d+ it still has "
        r"([\d,]+)\. Each document is there once\.",
        shown,
    )
    assert said is not None, shown
    objects, before, distinct, redriven, after, still = (
        int(number.replace(",", "")) for number in said.groups()
    )
    assert (distinct, still, after) == (before, before, before + redriven)
    assert objects > 10
    assert redriven > 0
    assert shown.endswith(
        "Nothing is missing, and nothing is there more than once that was delivered once."
    )
    assert not list(out.glob("output/orders/parquet/**/*.parquet"))  # all are in the table


def test_what_comes_afterwards_may_be_wrong(tmp_path: Path) -> None:
    chosen = 1_000, tmp_path / "demo", 1
    assert demo_run.run(*chosen, afterwards=lambda *_: False) == 1
    assert demo_run.run(*chosen, afterwards=lambda *_: True) == 0
