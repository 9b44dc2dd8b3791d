"""The command line: `pipeline <command>`.

A command is a module that offers `register(subparsers)`: it adds its parser, and sets `run` to a
function from the parsed arguments to an exit code. To add one, import it and name it in
`COMMANDS`. Command modules import what they need inside `run`, so that `pipeline --help` waits
for none of it.

Exit codes: 0 done, 1 something failed or was refused, 2 used wrongly; 130, 141 and 143 as a shell
reports Ctrl-C, a closed pipe and SIGTERM. What goes wrong is one sentence on stderr, and never a
payload.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from pipeline import demo
from pipeline.commands import (
    backfill,
    bench,
    check,
    convert,
    ddl,
    infer,
    produce,
    redrive,
    rejects,
    run,
)
from pipeline.core.errors import PipelineError, place_of

COMMANDS = (demo, infer, check, convert, ddl, rejects, redrive, backfill, produce, run, bench)

_FAILED = 1
# What a shell reports of a program that a signal ended: 128 and the signal's number.
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what runs is interrupted as by Ctrl-C, and can clean up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    if not _has_streams():
        return _FAILED
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a character shows "?", rather than ending the command.
            stream.reconfigure(errors="replace")
    try:
        with _terminable():
            return _run(arguments)
    except BrokenPipeError:
        _forget_stdout()
        return _BROKEN_PIPE
    except Terminated:
        return _failed("terminated.", _TERMINATED)
    except KeyboardInterrupt:
        return _failed("interrupted.", _INTERRUPTED)
    except PipelineError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(_sentence(error))
    except Exception as error:  # noqa: BLE001 - its text may quote payload, so it is not shown
        message = (
            f"an unexpected {place_of(error)}. This is a defect of the pipeline. Its text is not "
            "shown, as it may quote payload."
        )
        return _failed(message)


def _has_streams() -> bool:
    """Tell whether there is a standard output; say so on stderr where it was closed."""
    if sys.stderr is None:
        # Nobody reads it, and the next file that is opened must not take its place.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open to the end, as it always is
    if sys.stdout is None:
        print("pipeline: standard output is closed; send it somewhere.", file=sys.stderr)
    return sys.stdout is not None


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit:
        sys.stdout.flush()  # --help
        raise
    code: int = options.run(options)
    # Here, where a closed pipe or a full disk can still be told, and not as the interpreter ends.
    sys.stdout.flush()
    return code


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM an exception; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: object) -> None:
    raise Terminated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pipeline",
        description="JSON events from Kinesis to Parquet and CSV on S3, with nothing lost.",
        epilog="`pipeline <command> --help` tells more of a command. "
        "Exit codes: 0 done, 1 failed or refused, 2 used wrongly.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('kinesis-s3-pipeline')}"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="<command>", required=True)
    for command in COMMANDS:
        command.register(subparsers)
    return parser


def _failed(sentence: str, code: int = _FAILED) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    print(f"pipeline: {sentence}", file=sys.stderr)
    return code


def _sentence(error: OSError) -> str:
    """Say what the system refused, and on what."""
    what = error.strerror or type(error).__name__
    # Whatever has a name is opened by it; what has none is a stream that was open already.
    return f"{error.filename or 'a standard stream'}: {what}."


def _forget_stdout() -> None:
    """Send what is still buffered nowhere: nobody reads it, and the interpreter would complain."""
    # Where it is no real file, there is nothing to complain about.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
