"""What a command reports: as text, as one JSON object (`--json`), or not at all (`--quiet`).

A command prints its text as it goes, and leaves the same as `options.report` before it ends, also
where it fails half-way. Errors are on stderr in any case.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, for a command that sets `options.report`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(report=None, hidden_by=["json"])


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, and `--quiet`, for a command whose text has nothing that is wrong in it."""
    add_json(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing but what is wrong")
    parser.set_defaults(hidden_by=["json", "quiet"])


class _Nowhere(io.TextIOBase):
    """Takes text that nobody wants."""

    def write(self, text: str, /) -> int:
        """Forget it."""
        return len(text)


def complain(sentence: str) -> None:
    """Print what is wrong: with the rest of the text, or on stderr where the text is not wanted."""
    print(sentence, file=sys.stderr if isinstance(sys.stdout, _Nowhere) else sys.stdout)


@contextmanager
def reporting(options: argparse.Namespace) -> Iterator[None]:
    """Run a command inside: its text, or its report, is what reaches standard output."""
    if not any(getattr(options, name) for name in getattr(options, "hidden_by", ())):
        yield
        return
    try:
        with redirect_stdout(_Nowhere()):
            yield
    finally:
        if options.json and options.report is not None:
            json.dump(options.report, sys.stdout, ensure_ascii=False, allow_nan=False)
            print()
