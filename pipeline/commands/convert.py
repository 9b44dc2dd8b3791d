"""`pipeline convert`: files of NDJSON down the same road as a stream."""

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.commands.options import add_output, add_schemas, settings_of


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "convert",
        help="convert files of JSON lines to the tables of their datasets",
        description="Convert files of one JSON document a line (plain, gzip or zstd; - is standard "
        "input) exactly as the function would, in bounded memory. A row's identity is its file "
        "and byte offset: converting a file again overwrites what it wrote.",
        epilog="Exit codes: 0 every document is stored; 1 not; 3 with --strict, every document "
        "is stored and some are dead letters.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+")
    add_schemas(parser)
    add_output(parser)
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
    from pipeline.commands.balance import Balance
    from pipeline.session import open_system

    arrived_at = _arrival(options.arrived_at)
    settings = settings_of(options)
    system = open_system(settings)
    balance, start = Balance(), time.perf_counter()
    size = 0
    try:
        for name in options.files:
            size += _convert(name, arrived_at, system, balance)
    finally:
        seconds = time.perf_counter() - start
        if balance.documents:
            print("\n".join(balance.lines()))
        print(f"{size / 1e6:,.1f} MB in {seconds:.1f} s: {size / 1e6 / seconds:,.1f} MB/s")
        print(f"rows in {settings.output}, dead letters in {settings.dead_letters}")
    return 3 if options.strict and balance.rejects else 0


def _convert(name: str, arrived_at: int | None, system: Any, balance: Any) -> int:
    """Convert one file and return its size in bytes, unpacked."""
    from pipeline.commands.progress import progress
    from pipeline.files import batches_of
    from pipeline.flow import process
    from pipeline.session import Session, patience

    with _opened(name) as (file, size, changed), progress(name, size) as advance:
        done = 0

        def count(unpacked: int) -> None:
            nonlocal done
            done += unpacked

        tell = _position(file, advance) if size else advance
        identity = "stdin" if name == "-" else Path(name).as_posix()
        for batch in batches_of(file, identity, arrived_at or changed, count):
            road = functools.partial(process, batch)
            balance.add(Session(system, patience(_PATIENCE), 0.0).run(road))
            tell(0)
        return done


_PATIENCE = 300.0  # seconds that the objects of one batch may take to store, retries included


def _position(file: BinaryIO, advance: Callable[[int], None]) -> Callable[[int], None]:
    """Return what tells of progress by how far the packed file has been read."""
    last = 0

    def tell(_: int) -> None:
        nonlocal last
        at = file.tell()
        advance(at - last)
        last = at

    return tell


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int | None, int]]:
    """Open a file: itself, its size in bytes, and its last change in microseconds since 1970."""
    if name == "-":
        yield sys.stdin.buffer, None, time.time_ns() // 1_000
        return
    with Path(name).open("rb") as file:
        status = os.fstat(file.fileno())
        yield file, status.st_size or None, status.st_mtime_ns // 1_000


def _arrival(text: str | None) -> int | None:
    """Read `--arrived-at`; raises `SettingsError`."""
    from pipeline.core.errors import SettingsError
    from pipeline.core.values import Misfit, timestamp

    try:
        return None if text is None else timestamp(text)
    except Misfit as misfit:
        message = f"--arrived-at {text}: {misfit}"
        raise SettingsError(message) from None
