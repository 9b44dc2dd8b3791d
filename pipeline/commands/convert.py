"""`pipeline convert`: process files of documents like a stream."""

import argparse
import os
import stat
import time
from dataclasses import dataclass
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

if TYPE_CHECKING:
    from pipeline.commands.balance import Balance
    from pipeline.flow import Pipeline


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "convert",
        help="convert files of JSON documents to the tables of their datasets",
        description="Convert files of JSON documents, in any framing (plain, gzip, zlib or zstd; - "
        "is standard input), exactly as the function would, in limited memory. A row's identity is "
        "its file (the absolute path; for standard input and pipes, its arrival) and byte offset: "
        "converting an unchanged file again overwrites what it wrote. A file that has grown since "
        "is another file: delete what was made of it first, or convert only the new lines.",
        epilog="Exit codes: 0 every document is stored; 1 some are not; 3 with --strict, every "
        "document is stored and some are dead letters.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+")
    add_schemas(parser)
    add_output(parser)
    add_framing(parser, "what stream.toml beside the datasets says, or documents")
    parser.add_argument(
        "--arrived-at",
        metavar="T",
        help="when the documents arrived, as 2026-11-23T09:30:00Z (default: the file's last "
        "change; for standard input, now)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 3 if there are dead letters"
    )
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
    pipeline = framed(open_pipeline(settings), options.framing)
    done, start = _Done(Balance()), time.perf_counter()
    try:
        for name in options.files:
            with open_input(name) as file:
                _convert(_source_of(name, file, arrived_at), pipeline, done)
    finally:
        seconds = time.perf_counter() - start
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


@dataclass(frozen=True, slots=True)
class _Source:
    """A file to convert.

    `identity` is what its rows have as `_source`; `size` is in bytes (None: unknown), `arrived_at`
    in microseconds since 1970.
    """

    file: BinaryIO
    identity: str
    size: int | None
    arrived_at: int


def _convert(source: _Source, pipeline: "Pipeline", done: _Done) -> None:
    """Convert one file."""
    from pipeline.attempt import Attempt, countdown
    from pipeline.commands.progress import progress
    from pipeline.files.blocks import batches_of, start_of

    with progress(source.identity, source.size) as advance:
        done_before = 0

        def count(unpacked: int) -> None:
            nonlocal done_before
            done.size += unpacked
            # Where the size of the file is known, progress is how far it was read, packed or not.
            offset = source.file.tell() if source.size else done_before + unpacked
            advance(offset - done_before)
            done_before = offset

        start = start_of(each_line=pipeline.each_line)
        for batch in batches_of(source.file, source.identity, source.arrived_at, count, start):
            attempt = Attempt(pipeline, countdown(_PATIENCE), 0.0)
            done.balance.add(attempt.process(batch))


_PATIENCE = 300.0  # seconds that the objects of one batch may take to store, retries included


def _source_of(name: str, file: BinaryIO, arrived_at: int | None) -> _Source:
    """Describe an open file, or standard input."""
    if name == STANDARD_INPUT:
        arrival = time.time_ns() // 1_000 if arrived_at is None else arrived_at
        return _Source(file, _passing("stdin", arrival), None, arrival)
    status = os.fstat(file.fileno())
    arrival = status.st_mtime_ns // 1_000 if arrived_at is None else arrived_at
    # Absolute: the same relative path is another file in another directory, and the rows of one
    # would overwrite the other's. Names may hold bytes that are not UTF-8.
    path = os.fsencode(Path(os.path.abspath(name)).as_posix())  # noqa: PTH100 - not through links
    identity = path.decode("utf-8", "backslashreplace")
    if stat.S_ISREG(status.st_mode):
        return _Source(file, identity, status.st_size or None, arrival)
    return _Source(file, _passing(identity, arrival), None, arrival)


def _passing(name: str, arrived_at: int) -> str:
    """Name the source of a pipe: the next one has another name, as it is not a replay."""
    arrived = datetime(1970, 1, 1) + timedelta(microseconds=arrived_at)  # noqa: DTZ001 - Z is added
    return f"{name}-{arrived.isoformat(timespec='microseconds')}Z"
