"""`pipeline infer`: the draft of a dataset from sample documents."""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.options import Commands, open_input, positive_integer

if TYPE_CHECKING:
    from pipeline.authoring.infer import Draft, Samples


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "infer",
        help="draft a dataset from sample documents",
        description="Draft 1.avsc and dataset.toml from files of one JSON document a line (plain, "
        "gzip or zstd; - is standard input), say what was guessed, and keep a few documents as "
        "good.ndjson. Every document that was read becomes a row of the drafted dataset.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+")
    parser.add_argument(
        "--name", metavar="NAME", help="the dataset's name (default: after the first file's)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="schemas",
        help="the folder that holds the datasets (default: ./schemas)",
    )
    parser.add_argument(
        "--match-field",
        metavar="F",
        help="the member that tells the datasets of a stream apart, as type or "
        "metadata.table-name; it must have the same value in all documents",
    )
    parser.add_argument(
        "--documents",
        metavar="N",
        type=positive_integer,
        default=10_000,
        help="read the first N documents (default: 10,000)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, guess, write and report; return the exit code."""
    from pipeline.authoring.infer import Samples, check_name, dataset_name
    from pipeline.core.errors import DatasetError

    name = options.name or dataset_name(options.files[0])
    check_name(name, options.match_field)
    folder = Path(options.out) / name
    if folder.exists() or folder.is_symlink():
        message = (
            f"{folder} exists already, and nothing in it was changed: give another --name or "
            "--out, or move it away."
        )
        raise DatasetError(message)
    samples = Samples(options.match_field)
    for line in _lines(options.files):
        samples.add(line)
        if samples.documents == options.documents:
            break
    draft = samples.draft(name)
    _write(draft, folder)
    _report(samples, draft, folder)
    return 0


def _lines(files: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of all files, with at most one batch of them in memory."""
    from pipeline.files.blocks import batches_of

    for name in files:
        with open_input(name) as file:
            for batch in batches_of(file, name, 0, lambda _: None):
                for record in batch.records:
                    yield record.data


def _write(draft: "Draft", folder: Path) -> None:
    """Write the whole folder, or nothing under its name."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        (partial / "1.avsc").write_text(draft.avsc, "utf-8", newline="\n")
        (partial / "dataset.toml").write_text(draft.config, "utf-8", newline="\n")
        (partial / "good.ndjson").write_bytes(b"".join(text + b"\n" for text in draft.good))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _report(samples: "Samples", draft: "Draft", folder: Path) -> None:
    """Print what was drafted, and what to do next."""
    from pipeline.commands.table import print_table

    skipped = f"; skipped {samples.skipped:,} lines: not a JSON object, or over a limit"
    print(f"{samples.documents:,} documents looked at{skipped if samples.skipped else ''}\n")
    rows = [(line.path, line.type, "; ".join(line.notes)) for line in draft.lines]
    print_table(["field", "type", "notes"], rows, prose="notes")
    if draft.left_out:
        print("\nLEFT OUT, and so dropped from rows:")
    for field in draft.left_out:
        print(f"  {field.path} {field.why}")
    print(f"\nwrote 1.avsc, dataset.toml and good.ndjson to {folder}")
    print(f"read and correct them, then: pipeline check {folder.parent}")
