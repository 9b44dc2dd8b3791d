"""`pipeline run`: consume a stream on this machine, with the Lambda handler."""

import argparse
import contextlib
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from pipeline.commands.options import (
    Commands,
    add_output,
    add_page,
    add_schemas,
    add_stream,
    as_uri,
    moment_option,
    positive_integer,
    settings_of,
)
from pipeline.commands.reporting import add_report, complain

if TYPE_CHECKING:
    from pipeline.adapters.aws.kinesis import KinesisStream, StreamSummary
    from pipeline.commands.balance import Balance
    from pipeline.commands.run_display import Screen
    from pipeline.core.report import Report
    from pipeline.esm import Mapping
    from pipeline.flow import Pipeline
    from pipeline.local import Beginning, Function, Runner, State, StreamIdentity
    from pipeline.page import Board
    from pipeline.settings import Settings

Notify = Callable[[str], object]
_CONNECTIONS: Final = 64
_TRIES: Final = 8
_REFRESH: Final = 0.25  # seconds

_DESCRIPTION = """\
Consume a stream of any service with Kinesis' API, and run the Lambda handler on it as Lambda's
event source mapping would: shards in parallel, parents before their children, batches of one shard
in order, each retried until it is stored or given up.

The state directory keeps a checkpoint for each shard, which moves only past what is stored. The
runner may be killed at any moment: nothing is lost, and what is delivered twice has the same
identity both times. After SIGTERM or Ctrl-C it finishes the batches in the handler and stops; a
second one ends it at once. A new state begins with the oldest record of the stream (TRIM_HORIZON);
--from begins again: `start` with that record, `now` or a time with what arrives from then on. Where
it goes on, it says at first. Leave --from out where something restarts this by itself: with `now`
each start would skip what had arrived meanwhile.

A stream that is deleted and created again meanwhile is another stream. What was read of the former
one is stored; then --if-recreated decides.
"""
_EPILOG = """\
Batches that are given up, by --retry-attempts or by age, go whole to --failures, where
`pipeline redrive` finds them.

Memory: about 10 MB of records for each shard that is behind, and what the handler needs for one
batch (about 150 MB for a full one) times --concurrency.

Exit codes: 0 stopped, or with --once everything is read to the tip; 1 something was given up, or
with --once a shard could not be read to its tip.
"""


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="consume a stream on this machine, as Lambda would",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_stream(parser, "consume this stream", required=True)
    add_schemas(parser)
    add_output(parser)
    parser.add_argument(
        "--failures",
        metavar="URI",
        help="where batches that are given up go (default: <out>-failed-batches)",
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        help="where checkpoints are kept (default: one for each stream and output, under "
        "$XDG_STATE_HOME, else ~/.local/state)",
    )
    parser.add_argument(
        "--from",
        dest="beginning",
        metavar="start|now|TIME",
        help="forget how far the stream was read, and begin with its oldest record, with what "
        "arrives from now on, or from 12h ago or 2026-11-23T00:00:00Z on (default: go on)",
    )
    parser.add_argument(
        "--if-recreated",
        choices=("stop", "restart"),
        default="stop",
        help="where the stream was deleted and created again: stop, or let go of the checkpoints "
        "and read the new stream from its oldest record on (default: stop)",
    )
    parser.add_argument(
        "--once", action="store_true", help="read every shard to its tip, then stop"
    )
    parser.add_argument(
        "--log",
        metavar="FILE",
        help="append the handler's log and metrics, as JSON lines, to FILE; - is standard output",
    )
    add_page(
        parser,
        "--ui",
        "serve a page that shows the run in a browser: the balance, the shards, what is refused "
        "and by which rule, and the schema, to change it and judge again; with --once it stays "
        "until Ctrl-C",
    )
    _add_mapping(parser)
    add_report(parser)
    parser.set_defaults(run=run)


def _add_mapping(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("event source mapping", "as Lambda's, and within its limits")
    for name, metavar, default, meaning in (
        ("--batch-size", "N", 10_000, "most records of one batch; 6 MB end it, too"),
        (
            *("--window", "SECONDS", 10),
            "how long to gather records for a batch; with 0, a quiet stream makes heaps of files",
        ),
        ("--retry-attempts", "N", -1, "give up a batch after N retries; -1: never"),
        ("--record-age", "SECONDS", -1, "give up records that are older; -1: only expired ones"),
        ("--timeout", "SECONDS", 60, "time that the handler has for one batch"),
        ("--concurrency", "N", 4, "batches in the handler at once"),
    ):
        group.add_argument(
            name,
            metavar=metavar,
            type=int if default < 0 or name == "--window" else positive_integer,
            default=default,
            help=f"{meaning} (default: {default:,})",
        )
    group.add_argument(
        "--bisect", action="store_true", help="halve a batch on which the handler raises"
    )


def run(options: argparse.Namespace) -> int:
    """Consume until the tip or the stop; return the exit code."""
    from pipeline.adapters.uri import open_store
    from pipeline.commands.balance import Balance
    from pipeline.commands.run_display import display
    from pipeline.local import Job, Runner, open_state

    settings = settings_of(options, fuse=True)
    balance, start = Balance(), time.perf_counter()
    with display() as screen, _log(options.log, screen.notify) as write:
        kinesis, summary, identity = _found(options, screen.notify)
        directory = options.state or _default_state(summary.arn, settings.output)
        failures = open_store(_failures(options, settings.output), settings.s3)
        restart = options.if_recreated == "restart"
        beginning = _beginning(options.beginning)
        function = _function(options, settings, write)
        with (
            open_state(directory, identity, restart=restart, beginning=beginning) as state,
            _page(options, function.pipeline, summary.arn, screen.notify) as board,
        ):
            job = Job(
                kinesis=kinesis,
                retention=summary.retention,
                state=state,
                function=function,
                failures=failures,
                mapping=_mapping(options),
                concurrency=options.concurrency,
                once=options.once,
                notify=board.notify if board else screen.notify,
                on_stored=_one_at_a_time(balance.add, *([board.add] if board else [])),
                restart=restart,
            )
            screen.notify(f"reading {summary.arn}, {_where_it_goes_on(state, directory)}")
            runner = Runner(job)
            _run_on_page(runner, screen, board)
    seconds = time.perf_counter() - start
    options.report = {
        **balance.report(),
        "given_up": runner.status.total("given_up"),
        "seconds": seconds,
        "out": settings.output,
        "dead_letters_out": settings.dead_letters,
        "failures_out": failures.uri,
    }
    _show(runner, balance, settings, failures.uri, seconds)
    return 1 if runner.failed or runner.status.total("given_up") else 0


def _beginning(text: str | None) -> "Beginning | None":
    """Read --from; None is to go on. Raises `SettingsError`."""
    from pipeline.local import Beginning

    if text is None:
        return None
    if text == "start":
        return Beginning()
    if text == "now":
        return Beginning(time.time_ns() // 1_000)
    return Beginning(moment_option("--from", text))


def _where_it_goes_on(state: "State", directory: Path) -> str:
    """Say from where on the stream is read, and how to begin again."""
    if state.shards():
        return f"going on where the checkpoints in {directory} say (--from start reads all again)"
    arrived_at = state.beginning().arrived_at
    if arrived_at is None:
        begin = "from its oldest record on"
    else:
        moment = datetime.fromtimestamp(arrived_at / 1_000_000, UTC)
        begin = f"from {moment:%Y-%m-%dT%H:%M:%SZ} on"
    return f"{begin}; checkpoints are in {directory}"


def _found(
    options: argparse.Namespace, notify: Notify
) -> "tuple[KinesisStream, StreamSummary, StreamIdentity]":
    """Find the stream, its summary and its identity; retries while the service is unavailable."""
    from pipeline.adapters.aws.kinesis import KinesisStream, kinesis_client
    from pipeline.core.errors import StreamUnavailable
    from pipeline.local import FailureBackoff, StreamIdentity

    client = kinesis_client(options.endpoint_url, concurrency=_CONNECTIONS)
    kinesis = KinesisStream(options.stream, client)
    trouble = FailureBackoff(f"The stream {kinesis.stream}", notify, threading.Event())
    for tries_left in reversed(range(_TRIES)):
        try:
            summary = kinesis.describe_stream_summary()
            break
        except StreamUnavailable as error:
            if not tries_left:
                raise
            trouble.pause_after(error)
    return kinesis, summary, StreamIdentity(summary.arn, summary.created)


def _function(options: argparse.Namespace, settings: "Settings", write: Notify) -> "Function":
    from pipeline.adapters.telemetry import Telemetry
    from pipeline.attempt import open_pipeline
    from pipeline.local import Function

    telemetry = Telemetry(write, time.time, settings.metrics_namespace)
    return Function(
        open_pipeline(settings, lists_output=True),
        telemetry,
        settings.response_reserve,
        options.timeout,
    )


def _mapping(options: argparse.Namespace) -> "Mapping":
    from pipeline.esm import Mapping

    limits = (options.retry_attempts, options.record_age, options.bisect)
    return Mapping(options.batch_size, options.window, *limits)


def _one_at_a_time(*adding: Callable[["Report"], object]) -> Callable[["Report"], None]:
    """Let several threads call functions that are not thread-safe."""
    lock = threading.Lock()

    def locked(report: "Report") -> None:
        with lock:
            for add in adding:
                add(report)

    return locked


def _failures(options: argparse.Namespace, output: str) -> str:
    return as_uri(options.failures) if options.failures else f"{output}-failed-batches"


def _default_state(stream_arn: str, output: str) -> Path:
    """Return a directory for this stream and output: another output holds nothing of it yet."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    digest = hashlib.sha256(f"{stream_arn} {output}".encode()).hexdigest()[:32]
    return Path(home) / "kinesis-s3-pipeline" / f"{stream_arn.rpartition('/')[2]}-{digest}"


@contextlib.contextmanager
def _page(
    options: argparse.Namespace, pipeline: "Pipeline", stream: str, notify: Notify
) -> "Iterator[Board | None]":
    """Serve the page that --ui asks for, and say where."""
    if options.ui is None:
        yield None
        return
    from pipeline.page import Board, serve

    board = Board(stream, pipeline, Path(options.schemas), notify=notify)
    with serve(board, options.ui) as url:
        notify(f"open {url} in a browser")
        yield board


def _run_on_page(runner: "Runner", screen: "Screen", board: "Board | None") -> None:
    """Run; a page stays when there is nothing more to read."""
    if board is None:
        _run_watched(runner, screen)
        return
    from pipeline.page import stay

    board.status = runner.status
    stopped = _run_watched(runner, screen)
    board.ended = True
    if not stopped:
        screen.notify("everything is read; the page stays until Ctrl-C")
        stay()


def _run_watched(runner: "Runner", screen: "Screen") -> bool:
    """Run in another thread, and handle screen and signals in this one; say whether one came."""
    with ThreadPoolExecutor(1) as thread, _signals() as signalled:
        running = thread.submit(runner.run)
        try:
            while not running.done():
                if signalled.is_set():
                    runner.stop()
                screen.show(runner.status)
                wait([running], _REFRESH)
        finally:
            runner.stop()
        running.result()
        return signalled.is_set()


@contextlib.contextmanager
def _signals() -> Iterator[Event]:
    """Take note of SIGTERM and Ctrl-C; a second one ends the process, as it does by default."""
    signalled = Event()

    def note(number: int, _frame: object) -> None:
        signalled.set()
        signal.signal(number, signal.SIG_DFL)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield signalled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _log(name: str | None, notify: Notify) -> Iterator[Notify]:
    """Open the handler's log. What cannot be logged is dropped: rows matter more."""
    if name is None:
        yield lambda _: None
        return
    lock, broken = threading.Lock(), False
    # Unbuffered: a line that could not be written is dropped, and no later write fails for it.
    to_stdout = name == "-"
    target = sys.stdout.fileno() if to_stdout else name
    with open(target, "ab", buffering=0, closefd=not to_stdout) as file:

        def write(line: str) -> None:
            nonlocal broken
            with lock:
                try:
                    file.write(f"{line}\n".encode())
                    broken = False
                except OSError as error:
                    if not broken:
                        reason = error.strerror
                        notify(f"The log {name} cannot be written: {reason}; lines are lost.")
                    broken = True

        yield write


def _show(
    runner: "Runner", balance: "Balance", settings: "Settings", failures: str, seconds: float
) -> None:
    """Print what was done, and what was not."""
    if balance.documents:
        balance.show()
    records, size, given_up, retries = map(
        runner.status.total, ("records", "size", "given_up", "retries")
    )
    print(
        f"{records:,} records of {size / 1e6:,.1f} MB stored in {seconds:.1f} s, "
        f"{retries:,} retries"
    )
    print(f"rows in {settings.output}, dead letters in {settings.dead_letters}")
    if given_up:
        complain(f"{given_up:,} records were given up, and are kept in {failures}")
    for sentence in runner.failed.values():
        complain(f"not read to its tip: {sentence}")
