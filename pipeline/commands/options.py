"""Options that several commands share, and how their values are read."""

import argparse
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol
from urllib.parse import unquote

import msgspec

from pipeline.bucket_settings import VARIABLES, S3Settings, read_s3_settings
from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.flow import Pipeline
    from pipeline.settings import Settings


_HIGHEST_PORT = 65_535
STANDARD_INPUT = "-"
"""The name of a file that stands for standard input."""


class Parser(argparse.ArgumentParser):
    """A parser of a command, whose help names the environment variables that it reads.

    What it does not know is refused with the usage of the command at hand, and with what was
    probably meant.
    """

    reads_settings = False

    def parse_known_args(  # type: ignore[override]  # others are for namespaces of one's own
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse. An option that is not known ends the program, where argparse hands it upwards."""
        parsed, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            if word.startswith("-"):
                self.check_word("option", word.partition("=")[0], self._option_string_actions)
        if unknown:
            self.error(f"unexpected: {' '.join(unknown)}")
        return parsed, unknown

    def check_word(self, kind: str, word: str, known: Iterable[str]) -> None:
        """End the program with a sentence if `word` is not known: as wrong usage, exit code 2."""
        words = list(known)
        if word in words:
            return
        import difflib  # only for a fault, and it costs a start

        close = difflib.get_close_matches(word, words, 1)
        meant = f"; probably {close[0]!r} is meant" if close else ""
        self.error(f"there is no {kind} {word!r}{meant}.")

    def format_help(self) -> str:
        """Return the help; only now is there time to ask for the variables."""
        text = super().format_help()
        if not self.reads_settings:
            return text
        sentence = (
            f"Like the function, the command reads {', '.join(_variables())} from the environment "
            "(docs/reference/settings.md says what they mean), and the variables of AWS that boto3 "
            "reads."
        )
        return f"{text}\n{textwrap.fill(sentence, 79, break_on_hyphens=False)}\n"


class _Environment(Mapping[str, str]):
    """An environment with what is required, which takes note of what else is read."""

    def __init__(self) -> None:
        self.read = dict[str, None]()
        self._required = {
            "PIPELINE_OUTPUT": "file:///out",
            "PIPELINE_DEAD_LETTERS": "file:///dead-letters",
            "PIPELINE_SCHEMAS": "schemas",
        }

    def __getitem__(self, name: str) -> str:
        if name not in self._required:
            self.read[name] = None
        return self._required[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._required)

    def __len__(self) -> int:
        return len(self._required)


def _variables() -> list[str]:
    """Return the variables that `Settings` reads and no option stands for, in its order."""
    from pipeline.settings import Settings

    environment = _Environment()
    Settings.from_environment(environment)
    with_options = {variable.name for variable in VARIABLES}
    return [name for name in environment.read if name not in with_options]


class Commands(Protocol):
    """Where a command adds its parser: what `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> Parser:
        """Add a parser, with the options of `ArgumentParser`."""
        ...


def add_framing(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option that says how documents stand in the input."""
    parser.add_argument(
        "--framing",
        choices=["documents", "lines"],
        help="documents: in any way that JSON can, one over several lines, one a line, back to "
        "back, or in an array; lines: one a line, each judged alone, whatever is in it "
        f"(default: {default})",
    )


def framed(pipeline: "Pipeline", framing: str | None) -> "Pipeline":
    """Return a pipeline for input in the framing that was asked for, if one was."""
    if framing is None:
        return pipeline
    return msgspec.structs.replace(pipeline, each_line=framing == "lines")


OnS3 = Literal["copied", "kept", "refused"]
"""What becomes of schemas on S3: a directory, for the command; its own affair; or an error."""


def add_schemas(parser: argparse.ArgumentParser, on_s3: OnS3 = "copied") -> None:
    """Add `--schemas`. What writes there refuses S3."""
    forms = "directory of the datasets"
    if on_s3 != "refused":
        forms += ", or s3://bucket/prefix"
    parser.add_argument(
        "--schemas",
        metavar="DIR",
        default=os.environ.get("PIPELINE_SCHEMAS") or "schemas",
        help=f"{forms} (default: $PIPELINE_SCHEMAS, else ./schemas)",
    )
    parser.set_defaults(schemas_on_s3=on_s3)


@contextmanager
def schemas_here(options: argparse.Namespace) -> Iterator[None]:
    """Have `options.schemas` name a directory for as long as this is open, also if it is on S3."""
    place = getattr(options, "schemas", None)
    on_s3 = getattr(options, "schemas_on_s3", "copied")
    if not place or not place.startswith("s3:") or on_s3 == "kept":
        yield
        return
    if on_s3 == "refused":
        message = (
            f"--schemas is {place}, and this command writes there: give a directory, as "
            f"`aws s3 sync {place} schemas` makes one."
        )
        raise SettingsError(message)
    from pipeline.adapters.schema_folder import schema_folder

    with schema_folder(place) as folder:
        options.schemas = str(folder)
        yield


def add_output(parser: Parser) -> None:
    """Add `--out` and `--dead-letters`, for a command that calls `settings_of`."""
    parser.reads_settings = True
    parser.add_argument(
        "--out",
        metavar="URI",
        default=os.environ.get("PIPELINE_OUTPUT"),
        help="where rows go: a directory, file:///… or s3://… (default: $PIPELINE_OUTPUT)",
    )
    parser.add_argument(
        "--dead-letters",
        metavar="URI",
        default=os.environ.get("PIPELINE_DEAD_LETTERS"),
        help="where dead letters go (default: $PIPELINE_DEAD_LETTERS, else <out>-dead-letters)",
    )
    add_s3(parser)


def add_s3(parser: argparse.ArgumentParser) -> None:
    """Add the options for what buckets demand, which `s3_of` and `settings_of` read."""
    group = parser.add_argument_group("S3", "What is sent with every request that takes it.")
    for variable in VARIABLES:
        group.add_argument(
            variable.option,
            metavar=variable.metavar,
            help=f"{variable.meaning} (default: ${variable.name})",
        )


def s3_of(options: argparse.Namespace) -> S3Settings:
    """Read what `add_s3` added, and its variables. Raises `SettingsError` that names every fault.

    For commands that only read: `settings_of` reads it with all the rest.
    """
    faults: list[str] = []
    settings = read_s3_settings({**os.environ, **_s3_variables(options)}, faults)
    if faults:
        raise SettingsError(_as_options("\n".join(faults), options))
    return settings


def _s3_variables(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that options stand for, as far as those are given."""
    given = {variable.name: _s3_option(options, variable.option) for variable in VARIABLES}
    return {name: value for name, value in given.items() if value is not None}


def _s3_option(options: argparse.Namespace, option: str) -> str | None:
    value: str | None = getattr(options, option.removeprefix("--").replace("-", "_"))
    return value


def settings_of(
    options: argparse.Namespace, dead_letters: str | None = None, *, fuse: bool = False
) -> "Settings":
    """Check the options as the function checks its environment, and read its other variables.

    `dead_letters` is the URI where dead letters go unless the options name another. Only what
    delivers a batch again can have a `fuse`. Raises
    `SettingsError` that names every fault.
    """
    from pipeline.settings import Settings

    if not options.out:
        message = "There is no output: give --out, or set PIPELINE_OUTPUT."
        raise SettingsError(message)
    output = as_uri(options.out)
    given = {
        "PIPELINE_OUTPUT": output,
        "PIPELINE_DEAD_LETTERS": _dead_letters(options, output, dead_letters),
        "PIPELINE_SCHEMAS": options.schemas,
        **_s3_variables(options),
        **({} if fuse else {"PIPELINE_FUSE_PERCENT": ""}),
    }
    try:
        return Settings.from_environment({**os.environ, **given})
    except SettingsError as error:
        raise SettingsError(_as_options(str(error), options)) from None


def _as_options(faults: str, options: argparse.Namespace) -> str:
    """Name options instead of the function's variables."""
    given = _s3_variables(options)
    of_s3 = {each.name: each.option for each in VARIABLES if each.name in given}
    for variable, option in (_OPTIONS | of_s3).items():
        faults = faults.replace(variable, option)
    return faults


_OPTIONS = {
    "PIPELINE_OUTPUT": "--out",
    "PIPELINE_DEAD_LETTERS": "--dead-letters",
    "PIPELINE_SCHEMAS": "--schemas",
}


def as_uri(place: str) -> str:
    """Return a URI as it is, and a path as a URI."""
    return place.rstrip("/") if "://" in place else Path(place).resolve().as_uri()


def existing(place: str) -> str:
    """Return the URI of a place to read. Raises `SettingsError` for a missing directory."""
    uri = as_uri(place)
    directory = Path(unquote(uri.removeprefix("file://")))
    if uri.startswith("file:///") and not directory.exists():
        message = (
            f"{directory} does not exist: nothing was ever stored there, or the name is misspelt."
        )
        raise SettingsError(message)
    return uri


def _dead_letters(options: argparse.Namespace, output: str, default: str | None) -> str:
    if options.dead_letters:
        return as_uri(options.dead_letters)
    if default:
        return default
    if output.startswith("s3://") and "/" not in output.removeprefix("s3://"):
        message = "The output is a whole bucket: say where dead letters go with --dead-letters."
        raise SettingsError(message)
    return f"{output}-dead-letters"


def positive_integer(text: str) -> int:
    """Read an option. Raises `ArgumentTypeError`."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        message = f"{text!r} is not a positive integer."
        raise argparse.ArgumentTypeError(message)
    return int(text)


def add_since(parser: argparse.ArgumentParser, chosen: str, *, required: bool = False) -> None:
    """Add `--since`, which `moment_option` reads; `chosen` begins the help."""
    parser.add_argument(
        "--since",
        metavar="TIME",
        required=required,
        help=f"{chosen} since then: 90m, 12h or 7d ago, or a time as 2026-11-23T09:30:00Z",
    )


def add_stream(parser: argparse.ArgumentParser, purpose: str, *, required: bool = False) -> None:
    """Add `--stream` and `--endpoint-url`; `purpose` says what for."""
    parser.add_argument(
        "--stream", metavar="STREAM", required=required, help=f"{purpose}, by name or ARN"
    )
    parser.add_argument(
        "--endpoint-url",
        metavar="URL",
        help="the Kinesis service (default: $AWS_ENDPOINT_URL_KINESIS, $AWS_ENDPOINT_URL, else "
        "AWS)",
    )


def add_page(parser: argparse._ActionsContainer, name: str, purpose: str) -> None:
    """Add the option that serves the page; its value is the port, None without the page."""
    parser.add_argument(
        name,
        metavar="PORT",
        nargs="?",
        type=_port,
        const=0,
        help=f"{purpose}; on 127.0.0.1, at an address that only you are told (default port: any)",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= _HIGHEST_PORT):  # noqa: PLR2004
        message = f"{text!r} is not a port, which is a number up to {_HIGHEST_PORT}."
        raise argparse.ArgumentTypeError(message)
    return int(text)


def timestamp_option(option: str, text: str) -> int:
    """Read a time, in microseconds since 1970. Raises `SettingsError` that names the option."""
    from pipeline.core.schema.values import ConversionError, timestamp

    try:
        return timestamp(text)
    except ConversionError as error:
        message = f"{option} {text}: {error}"
        raise SettingsError(message) from None


_AGO = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def moment_option(option: str, text: str) -> int:
    """Read a time, or how long ago it was (`12h`; 1970 at most), in microseconds since 1970.

    Raises `SettingsError` that names the option.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0, time.time_ns() // 1_000 - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000)
    try:
        return timestamp_option(option, text)
    except SettingsError as error:
        raise SettingsError(f"{error} Or say how long ago it was: 90m, 12h, 7d or 2w.") from None


def check_files(names: Sequence[str]) -> None:
    """Raise `OSError` for a file that is missing: before hours of work, not after."""
    for name in names:
        if name != STANDARD_INPUT:
            Path(name).stat()


@contextmanager
def open_input(name: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input. Raises `OSError`, and `SettingsError` where it is closed."""
    if name != STANDARD_INPUT:
        with Path(name).open("rb") as file:
            yield file
    elif sys.stdin is None:
        raise SettingsError("Standard input is closed; pipe something in, or name a file.")
    else:
        yield sys.stdin.buffer
