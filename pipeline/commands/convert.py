"""`pipeline convert`: process files of documents like a stream."""

import argparse
import functools
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.commands.options import (
    STANDARD_INPUT,
    Commands,
    add_framing,
    add_output,
    add_schemas,
    check_files,
    framed,
    open_input,
    settings_of,
    timestamp_option,
)
from pipeline.commands.reporting import add_report
from pipeline.commands.terminal import printable

if TYPE_CHECKING:
    from pipeline.commands.balance import Balance
    from pipeline.files.blocks import Block
    from pipeline.files.local import PathHistory, PinnedFile, Version
    from pipeline.flow import Pipeline


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "convert",
        help="convert files of JSON documents to the tables of their datasets",
        description="Convert files of JSON documents, in any framing (plain, gzip, zlib or zstd; - "
        "is standard input), exactly as the function would, in limited memory. A row's identity is "
        "its file (the absolute path, the size and a digest of the content; for standard input and "
        "pipes, the arrival and a digest of each block) and byte offset: converting the same file "
        "again overwrites what it wrote, and another file under the same path overwrites nothing. "
        "A file that has grown since is another file, too: the command says so, as what both hold "
        "is then stored twice; convert only what was appended, or delete the earlier rows. A file "
        "is read twice, first for its digest, and must not change meanwhile.",
        epilog="Exit codes: 0 every document is stored; 1 some are not; 3 with --strict, every "
        "document is stored and some are dead letters.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="where documents are")
    add_schemas(parser)
    add_output(parser)
    add_framing(parser, "what stream.toml beside the datasets says, or documents")
    parser.add_argument(
        "--arrived-at",
        metavar="TIME",
        help="when the documents arrived, as 2026-11-23T09:30:00Z (default: the file's last "
        "change; for standard input, now)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 3 if there are dead letters"
    )
    add_report(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Convert all files; return the exit code."""
    from pipeline.attempt import open_pipeline
    from pipeline.commands.balance import Balance

    arrived_at = None
    if options.arrived_at is not None:
        arrived_at = timestamp_option("--arrived-at", options.arrived_at)
    check_files(options.files)
    settings = settings_of(options)
    pipeline = framed(open_pipeline(settings, lists_output=True), options.framing)
    done, start = _Done(Balance()), time.perf_counter()
    try:
        for name in options.files:
            with open_input(name) as file:
                _convert(_input_of(name, file, arrived_at), pipeline, done)
    finally:
        seconds = time.perf_counter() - start
        options.report = {
            **done.balance.report(),
            "bytes": done.size,
            "seconds": seconds,
            "out": settings.output,
            "dead_letters_out": settings.dead_letters,
        }
        if done.balance.documents:
            done.balance.show()
        size = done.size / 1e6
        print(f"{size:,.1f} MB in {seconds:.1f} s: {size / seconds:,.1f} MB/s")
        print(f"rows in {settings.output}, dead letters in {settings.dead_letters}")
    return 3 if options.strict and done.balance.rejects else 0


@dataclass(slots=True)
class _Done:
    """What was converted so far; `size` is in bytes, unpacked."""

    balance: "Balance"
    size: int = 0
    sources: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Input:
    """A file to convert, or a pipe.

    `name` is the first part of what its rows have as `_source`; `size` is in bytes (None: unknown),
    `arrived_at` in microseconds since 1970.
    """

    file: BinaryIO
    name: str
    size: int | None
    arrived_at: int
    is_file: bool
    arrival_is_given: bool = True


def _convert(given: _Input, pipeline: "Pipeline", done: _Done) -> None:
    """Convert one file, or what comes through a pipe."""
    from pipeline.files.local import passing_source

    if not given.is_file:
        _store(given, functools.partial(passing_source, given.name), pipeline, done)
        return
    pinned, history = _pin(given, pipeline)
    if pinned.source in done.sources:
        print(f"{printable(given.name)} is given twice; it is converted once.", file=sys.stderr)
        return
    done.sources.add(pinned.source)
    given = _as_before(given, history.arrival_of(pinned.version))

    def unchanged(_: "Block") -> str:
        pinned.check()
        history.add(pinned.version, given.arrived_at)
        return pinned.source

    _store(given, unchanged, pipeline, done)
    pinned.check()


def _as_before(given: _Input, known: int | None) -> _Input:
    """Let a file that was converted before arrive when it did, unless another time is given."""
    if known is None or known == given.arrived_at:
        return given
    if not given.arrival_is_given:
        return replace(given, arrived_at=known)
    print(
        f"{printable(given.name)} was converted before, with another arrival: what arrival decides "
        "(partitions of it, dead letters) is now stored twice.",
        file=sys.stderr,
    )
    return given


def _pin(given: _Input, pipeline: "Pipeline") -> tuple["PinnedFile", "PathHistory"]:
    """Take a file's digest, and say so if the file has grown since it was converted."""
    from pipeline.attempt import Attempt
    from pipeline.commands.progress import progress
    from pipeline.files.local import PathHistory, PinnedFile

    history = PathHistory(Attempt.untimed(pipeline).output, given.name)
    with progress(f"{given.name}: digest", given.size) as advance:
        pinned = PinnedFile(given.file, given.name, history.versions, advance)
    if pinned.grown_from:
        print(_grown(given, pinned.grown_from), file=sys.stderr)
    return pinned, history


def _grown(given: _Input, earlier: Sequence["Version"]) -> str:
    """Say which rows are there twice, now that a file has grown."""
    longest = max(earlier, key=lambda version: version.size)
    more = len(earlier) - 1
    others = f", and those of {more} shorter ones that it was before" if more else ""
    next_time = "a file of its own"  # compressed data cannot be read from its middle
    if not _is_compressed(given.file):
        next_time = f"tail -c +{(given.size or 0) + 1} FILE | pipeline convert -"
    return (
        f"{printable(given.name)} has grown: its first {longest.size:,} bytes were converted "
        "before, and are now stored once more, with the rest, as another file. Delete the rows "
        f"whose _source is '{printable(longest.source(given.name))}'{others}; and convert only "
        f"what is appended next time ({next_time})."
    )


def _is_compressed(file: BinaryIO) -> bool:
    """Return whether a file begins as gzip and zstd do; it stays where it is."""
    from pipeline.core.magic import GZIP, ZSTD_FRAME

    where = file.tell()
    file.seek(0)
    first = file.read(len(ZSTD_FRAME))
    file.seek(where)
    return first.startswith((GZIP, ZSTD_FRAME))


def _store(
    given: _Input, source: Callable[["Block"], str], pipeline: "Pipeline", done: _Done
) -> None:
    """Store the documents of one input."""
    from pipeline.attempt import Attempt
    from pipeline.commands.progress import progress
    from pipeline.files.blocks import batches_of, start_of

    with progress(given.name, given.size) as advance:
        done_before = 0

        def count(unpacked: int) -> None:
            nonlocal done_before
            done.size += unpacked
            # Where the size of the file is known, progress is how far it was read, packed or not.
            offset = given.file.tell() if given.size else done_before + unpacked
            advance(offset - done_before)
            done_before = offset

        start = start_of(each_line=pipeline.each_line)
        for batch in batches_of(given.file, given.name, source, given.arrived_at, count, start):
            attempt = Attempt.untimed(pipeline)
            done.balance.add(attempt.process(batch))


def _input_of(name: str, file: BinaryIO, arrived_at: int | None) -> _Input:
    """Describe an open file, or standard input."""
    if name == STANDARD_INPUT:
        arrival = time.time_ns() // 1_000 if arrived_at is None else arrived_at
        return _Input(file, _passing("stdin", arrival), None, arrival, is_file=False)
    status = os.fstat(file.fileno())
    arrival = status.st_mtime_ns // 1_000 if arrived_at is None else arrived_at
    # Absolute: the same relative path is another file in another directory. Names may hold bytes
    # that are not UTF-8, and are not to be taken for those that hold what these are written as.
    path = os.fsencode(Path(os.path.abspath(name)).as_posix())  # noqa: PTH100 - not through links
    written = path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    if stat.S_ISREG(status.st_mode):
        is_given = arrived_at is not None
        size = status.st_size or None
        return _Input(file, written, size, arrival, is_file=True, arrival_is_given=is_given)
    return _Input(file, _passing(written, arrival), None, arrival, is_file=False)


def _passing(name: str, arrived_at: int) -> str:
    """Name the source of a pipe: the next one has another name, as it is not a replay."""
    arrived = datetime(1970, 1, 1) + timedelta(microseconds=arrived_at)  # noqa: DTZ001 - Z is added
    return f"{name}-{arrived.isoformat(timespec='microseconds')}Z"
