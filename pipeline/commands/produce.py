"""`pipeline produce`: put lines of files, or documents made from a schema, into a stream."""

import argparse
import contextlib
import dataclasses
import itertools
import math
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.commands.options import (
    STANDARD_INPUT,
    Commands,
    add_framing,
    add_schemas,
    add_stream,
    check_files,
    open_input,
    positive_integer,
)
from pipeline.commands.reporting import add_report, complain
from pipeline.commands.terminal import stderr_terminal

if TYPE_CHECKING:
    from pipeline.producer import FailedRecord, Producer, Statistics

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|KB|MB|GB|)/s", re.IGNORECASE)
_UNITS = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_KEYS: Final = 65_536  # partition keys that documents without one of their own take turns with
_TAKE_EVERY: Final = 1_000  # documents between two collections of failed ones
_SHORTEST_SLEEP: Final = 0.01  # seconds; a shorter one would not be exact
_CATCH_UP: Final = 1.0  # seconds; a longer delay is not made up for
_SHOW_EVERY: Final = 1.0  # seconds, on a terminal
_LINE_EVERY: Final = 10.0  # seconds, in a log


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "produce",
        help="put documents into a stream",
        description="Put files of one JSON document a line (plain, gzip or zstd; - is standard "
        "input), or documents made from a schema, into a stream of any service with Kinesis' API: "
        "aggregated as by the KPL, and retried for 30 seconds. At least once: where a response is "
        "lost, a document may be stored twice.",
        epilog="Exit codes: 0 every document is acknowledged; 1 some failed, or a file could not "
        "be read.",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="default: standard input")
    add_stream(parser, "put into this stream", required=True)
    parser.add_argument(
        "--rate",
        metavar="R",
        type=_rate,
        help="put at most 5MB/s, 500KB/s, or 1000/s (documents)",
    )
    parser.add_argument(
        "--partition-key",
        metavar="FIELD",
        help="read the partition key from this top-level member; documents that share a key stay "
        "in order (default: keys that spread over all shards)",
    )
    add_framing(parser, "documents")
    parser.add_argument("--compression", choices=("gzip", "zstd"), help="compress each document")
    parser.add_argument(
        "--failed", metavar="FILE", help="write the documents that failed to this file"
    )
    _add_generate(parser)
    add_report(parser)
    parser.set_defaults(run=run)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    add_schemas(parser)
    group = parser.add_argument_group("generated documents")
    group.add_argument(
        "--generate", metavar="DATASET", help="make documents that fit this dataset's schema"
    )
    group.add_argument(
        "--documents",
        metavar="N",
        type=positive_integer,
        help="make N documents (default: until interrupted)",
    )
    group.add_argument(  # an earlier name
        "--count", dest="documents", type=positive_integer, help=argparse.SUPPRESS
    )
    group.add_argument(
        "--seed", metavar="N", type=int, help="the same number makes the same documents"
    )


def _rate(text: str) -> "Pace":
    match = _RATE.fullmatch(text)
    if match is None or not float(match[1]):
        message = f"{text!r} is not a rate: give one as 5MB/s, 500KB/s, or 1000/s (documents)"
        raise argparse.ArgumentTypeError(message)
    unit = match[2].upper()
    return Pace(float(match[1]) * _UNITS.get(unit, 1), of_bytes=bool(unit))


def run(options: argparse.Namespace) -> int:
    """Put everything and report; return the exit code."""
    from pipeline.producer import Options, Producer

    documents = _documents(options)
    with _failures(options.failed) as keep:
        start = time.perf_counter()
        producer = Producer(
            options.stream,
            Options(compression=options.compression),
            endpoint_url=options.endpoint_url,
        )
        load = Load(producer, _partition_key(options.partition_key), keep)
        try:
            with _shown(producer):
                load.put_all(documents, options.rate or Pace(0, of_bytes=True))
        finally:
            # An interruption, or a file that breaks off, leaves nothing waiting.
            load.close()
            seconds = time.perf_counter() - start
            options.report = {
                **dataclasses.asdict(producer.statistics),
                "refused": load.refused,
                "seconds": seconds,
            }
            _report(load, options.failed, seconds)
    return 1 if load.failed else 0


# ---------------------------------------------------------------------------------- documents


def _documents(options: argparse.Namespace) -> Iterator[bytes]:
    """Return the documents. Wrong options and missing files are reported at once, not later."""
    from pipeline.core.errors import SettingsError

    if options.generate is None:
        names = options.files or [STANDARD_INPUT]
        check_files(names)
        return _documents_of(names, each_line=options.framing == "lines")
    if options.files:
        raise SettingsError("Give files or --generate, not both.")
    return _generated(options)


def _documents_of(names: Sequence[str], *, each_line: bool) -> Iterator[bytes]:
    from pipeline.files.blocks import documents_of, start_of

    start = start_of(each_line=each_line)
    for name in names:
        with open_input(name) as file:
            if name == STANDARD_INPUT:
                # Below the buffer, which would wait until it is full.
                yield from documents_of(getattr(file, "raw", file), "standard input", start)
            else:
                yield from documents_of(file, name, start)


def _generated(options: argparse.Namespace) -> Iterator[bytes]:
    """Make documents, each of the moment in which it is asked for."""
    from pipeline.adapters.schemas import read_dataset
    from pipeline.authoring.generate import documents_of

    dataset = read_dataset(Path(options.schemas) / options.generate)
    make = documents_of(dataset, random.Random(options.seed))  # noqa: S311 - made-up documents
    numbers = itertools.count() if options.documents is None else range(options.documents)
    return (make(time.time_ns() // 1_000) for _ in numbers)


def _partition_key(field: str | None) -> Callable[[bytes], str]:
    """Return a function that reads a document's partition key, or gives it one of many in turn."""
    import msgspec

    turns = itertools.cycle(range(_KEYS))
    if field is None:
        return lambda _: f"{next(turns):x}"
    keyed = msgspec.defstruct("Keyed", [("key", Any, None)], rename={"key": field})
    decode = msgspec.json.Decoder(keyed).decode

    def key_of(document: bytes) -> str:
        try:
            key = decode(document).key  # type: ignore[attr-defined]  # made at run time
        except (msgspec.DecodeError, RecursionError):
            key = None  # not an object; it will be a dead letter that says so
        if key is None or key == "":
            return f"{next(turns):x}"
        return key if isinstance(key, str) else msgspec.json.encode(key).decode()

    return key_of


# --------------------------------------------------------------------------------------- load


class Pace:
    """Limits bytes, or documents, a second; 0 does not limit."""

    def __init__(self, per_second: float, *, of_bytes: bool) -> None:
        self.per_second, self.of_bytes = per_second, of_bytes
        self._due = math.inf  # when the next one may go; the first may at once

    def wait(self, size: int) -> None:
        """Wait until a document of `size` bytes may go."""
        if not self.per_second:
            return
        now = time.monotonic()
        if self._due == math.inf or now - self._due > _CATCH_UP:
            self._due = now
        if self._due - now > _SHORTEST_SLEEP:
            time.sleep(self._due - now)
        self._due += (size if self.of_bytes else 1) / self.per_second


class Load:
    """Puts documents, and counts those that a stream refuses or does not accept in time."""

    def __init__(
        self,
        producer: "Producer",
        key_of: Callable[[bytes], str],
        keep: Callable[["FailedRecord"], None],
    ) -> None:
        self.producer = producer
        self.refused = 0
        self.first_error: str | None = None
        self._key_of, self._keep = key_of, keep

    @property
    def failed(self) -> int:
        """The number of documents that failed, or were refused at once."""
        return self.producer.statistics.failed + self.refused

    def put_all(self, documents: Iterator[bytes], pace: Pace) -> None:
        """Put documents at a pace, and collect the failed ones every so often."""
        for number, document in enumerate(documents, 1):
            pace.wait(len(document))
            self._put(document)
            if number % _TAKE_EVERY == 0:
                self._take(self.producer.take_failed())

    def close(self) -> None:
        """Wait until everything is settled."""
        self._take(self.producer.close())

    def _put(self, document: bytes) -> None:
        from pipeline.producer import FailedRecord, ProducerError, RecordRefused

        key = self._key_of(document)
        try:
            self.producer.put(document, key)
        except ProducerError as error:
            self.refused += 1
            self._take([FailedRecord(document, key, str(error))])
            if not isinstance(error, RecordRefused):
                raise  # no other document would be accepted, either

    def _take(self, failed: Sequence["FailedRecord"]) -> None:
        for record in failed:
            self.first_error = self.first_error or record.error
            self._keep(record)


@contextmanager
def _failures(name: str | None) -> Iterator[Callable[["FailedRecord"], None]]:
    """Open the file for failed documents; yields a function that writes to it."""
    if name is None:
        yield lambda _: None
        return
    path = Path(name)
    # Never overwrite a file: it may hold earlier failures, or be the input.
    with path.open("wb" if path.exists() and not path.is_file() else "xb") as file:
        yield lambda record: file.writelines((record.payload, b"\n"))
    if path.is_file() and not path.stat().st_size:
        path.unlink()


# -------------------------------------------------------------------------------- what is shown


@contextmanager
def _shown(producer: "Producer") -> Iterator[None]:
    """Show on stderr how fast it goes, from a thread of its own: `put` may wait for long."""
    with contextlib.ExitStack() as stack:
        show, every = _screen(stack)
        ended = threading.Event()

        def report() -> None:
            before, then = producer.statistics, time.monotonic()
            while not ended.wait(every):
                now = time.monotonic()
                after = producer.statistics
                show(_speed(before, after, now - then))
                before, then = after, now

        reporter = threading.Thread(target=report, daemon=True)
        reporter.start()
        try:
            yield
        finally:
            ended.set()
            reporter.join()


def _screen(stack: contextlib.ExitStack) -> tuple[Callable[[str], object], float]:
    """Return a function that shows a line, and the seconds between lines."""
    console = stderr_terminal()
    if console is not None:
        status = stack.enter_context(console.status("connected"))
        return status.update, _SHOW_EVERY
    return lambda line: print(line, file=sys.stderr, flush=True), _LINE_EVERY


def _speed(before: "Statistics", after: "Statistics", seconds: float) -> str:
    size = (after.acknowledged_bytes - before.acknowledged_bytes) / 1e6 / seconds
    count = (after.acknowledged - before.acknowledged) / seconds
    return (
        f"{size:,.1f} MB/s, {count:,.0f} records/s, {after.throttled - before.throttled:,} "
        f"throttled; {after.acknowledged:,} acknowledged, {after.waiting:,} waiting, "
        f"{after.failed:,} failed"
    )


def _report(load: Load, failed_file: str | None, seconds: float) -> None:
    """Print what became of everything."""
    done = load.producer.statistics
    size = done.acknowledged_bytes / 1e6
    print(
        f"put {done.put + load.refused:,} = acknowledged {done.acknowledged:,} "
        f"+ failed {load.failed:,}"
    )
    print(
        f"{size:,.1f} MB in {seconds:.1f} s: {size / seconds:,.1f} MB/s, "
        f"{done.acknowledged / seconds:,.0f} records/s; {done.stream_records:,} stream records, "
        f"{done.throttled:,} throttled, {done.retries:,} retried"
    )
    if load.first_error is not None:
        complain(f"the first failure: {load.first_error}")
        kept = f"they are in {failed_file}" if failed_file else "--failed FILE keeps the documents"
        complain(f"{load.failed:,} documents failed; {kept}")
