"""The command line: `pipeline <command>`.

A command is a module with a function `register(commands)`, which adds the command's parser and sets
its default `run` to a function from the parsed arguments to an exit code. To add a command, write
the module and list it in `COMMANDS`. Command modules import what they need inside `run`, so that
`pipeline --help` does not wait for it.

Exit codes: 0 done, 1 failed or refused, 2 used wrongly; 130, 141 and 143 as a shell reports Ctrl-C,
a closed pipe and SIGTERM. An error is one sentence on stderr, and never shows a payload.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pipeline import demo
from pipeline.commands import (
    audit,
    backfill,
    bench,
    check,
    completion,
    convert,
    ddl,
    dead_letters,
    doctor,
    evolve,
    import_,
    infer,
    lake,
    produce,
    redrive,
    run,
    status,
    tap,
    try_,
)
from pipeline.commands.options import Parser, schemas_here
from pipeline.commands.reporting import reporting
from pipeline.core.errors import ConfigurationError, PipelineError, place_of

COMMANDS = (
    *(demo, tap, try_, infer, import_, check, evolve, convert, ddl),
    *(lake, audit, dead_letters, redrive, backfill, produce, run),
    *(doctor, status, bench, completion),
)

_EXTRA = ("duckdb", "pytz", "rich", "rstr", "shtab")  # what pyproject.toml lists as `cli`
_FAILED = 1
_MISUSED = 2
# What a shell reports of a program that a signal ended: 128 and the signal's number.
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: the command is interrupted as by Ctrl-C, and can clean up."""


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
    """Return whether there is a standard output; report on stderr where it is closed."""
    if sys.stderr is None:
        # Nobody reads it, and the next file that is opened must not become it.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open until the end, as stderr is
    if sys.stdout is None:
        print("pipeline: standard output is closed; redirect it somewhere.", file=sys.stderr)
    return sys.stdout is not None


def _run(arguments: Sequence[str] | None) -> int:
    _check_extra()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = _parser(words)
        if not words:
            parser.print_help(sys.stderr)
            parser.exit(_MISUSED)
        options = parser.parse_args(words)
    except SystemExit:
        sys.stdout.flush()  # --help
        raise
    with reporting(options), schemas_here(options):
        code: int = options.run(options)
    # Here, where a closed pipe or a full disk can still be reported, not as the interpreter exits.
    sys.stdout.flush()
    return code


def _check_extra() -> None:
    """Raise `ConfigurationError` where the package was installed without its command line."""
    if not all(map(find_spec, _EXTRA)):
        message = (
            f"The command line needs {', '.join(_EXTRA[:-1])} and {_EXTRA[-1]}: pip install "
            "'kinesis-s3-pipeline[cli]', or from a checkout, pip install '.[cli]'; with uv, uv "
            "tool run --from 'kinesis-s3-pipeline[cli]' pipeline."
        )
        raise ConfigurationError(message)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception; only the main thread can."""
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


def _parser(words: Sequence[str] = ()) -> Parser:
    """Return the parser. Refuses a first word that is neither a command nor an option."""
    parser = Parser(
        prog="pipeline",
        description="JSON events from Kinesis to Parquet and CSV on S3, with nothing lost.",
        epilog="`pipeline <command> --help` describes a command. "
        "Exit codes: 0 done, 1 failed or refused, 2 used wrongly.",
    )
    parser.add_argument(
        *("-V", "--version"), action=_Version, nargs=0, help="show the version and exit"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="<command>", required=True)
    parser.set_defaults(command_line=parser)
    for command in COMMANDS:
        command.register(subparsers)
    if words and not words[0].startswith("-"):
        parser.check_word("command", words[0], subparsers.choices)
    return parser


class _Version(argparse.Action):
    """Prints the version, which is read only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            number = version("kinesis-s3-pipeline")
        except PackageNotFoundError:
            number = "of a checkout that is not installed"
        print("pipeline", number)
        parser.exit()


def _failed(sentence: str, code: int = _FAILED) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    print(f"pipeline: {sentence}", file=sys.stderr)
    return code


def _sentence(error: OSError) -> str:
    """Say what failed, and for which file."""
    reason = error.strerror or type(error).__name__
    # A file is opened by its name; what has no name is a stream that was open already.
    return f"{error.filename or 'a standard stream'}: {reason}."


def _forget_stdout() -> None:
    """Discard what is still buffered: nobody reads it, and the interpreter would complain."""
    # Where stdout is not a real file, there is nothing to complain about.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
