"""Options that several commands share, and what they stand for."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.settings import Settings


def add_schemas(parser: argparse.ArgumentParser) -> None:
    """Add `--schemas`."""
    parser.add_argument(
        "--schemas",
        metavar="DIR",
        default=os.environ.get("PIPELINE_SCHEMAS") or "schemas",
        help="directory of the datasets (default: $PIPELINE_SCHEMAS, else ./schemas)",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `--out` and `--dead-letters`."""
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


def settings_of(options: argparse.Namespace, dead_letters: str | None = None) -> "Settings":
    """Check the options as the function checks its environment, whose bounds hold here, too.

    Raises `SettingsError` naming every fault.
    """
    from pipeline.settings import Settings

    if not options.out:
        message = "There is no output: give --out, or set PIPELINE_OUTPUT."
        raise SettingsError(message)
    output = as_uri(options.out)
    return Settings.from_environment(
        {
            **os.environ,
            "PIPELINE_OUTPUT": output,
            "PIPELINE_DEAD_LETTERS": dead_letters or _dead_letters(options, output),
            "PIPELINE_SCHEMAS": options.schemas,
        }
    )


def as_uri(place: str) -> str:
    """Return a URI as it is, and a path as a URI."""
    return place.rstrip("/") if "://" in place else Path(place).resolve().as_uri()


def _dead_letters(options: argparse.Namespace, output: str) -> str:
    if options.dead_letters:
        return as_uri(options.dead_letters)
    if output.startswith("s3://") and "/" not in output.removeprefix("s3://"):
        message = "The output is a whole bucket: say where dead letters go with --dead-letters."
        raise SettingsError(message)
    return f"{output}-dead-letters"
