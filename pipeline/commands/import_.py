"""`pipeline import`: a dataset from what others describe data with."""

import argparse
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.options import Commands
from pipeline.commands.reporting import add_json

if TYPE_CHECKING:
    from pipeline.authoring.importing import Imported


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "import",
        help="make a dataset of a JSON Schema, or of a table of AWS Glue",
        description="Make a dataset's 1.avsc and dataset.toml of a JSON Schema (2020-12), or of a "
        "table of AWS Glue, and list what could not be carried over.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        choices=["json-schema", "glue"],
        help="json-schema: of a file; glue: of a table",
    )
    parser.add_argument(
        "what", metavar="FILE|DATABASE.TABLE", help="the file, or the table with its database"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="the dataset's name (default: as the source)"
    )
    parser.add_argument(
        "--out", metavar="DIR", default="schemas", help="where its folder goes (default: schemas)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, write and report; return the exit code."""
    from pipeline.authoring.infer import check_name, dataset_name
    from pipeline.core.errors import DatasetError

    is_file = options.source == "json-schema"
    name = options.name or dataset_name(options.what if is_file else options.what.split(".")[-1])
    check_name(name, None)
    folder = Path(options.out) / name
    if folder.exists() or folder.is_symlink():
        message = (
            f"{folder} exists already, and nothing in it was changed: give another --name or "
            "--out, or move it away."
        )
        raise DatasetError(message)
    imported = _of_file(options.what, name) if is_file else _of_table(options.what, name)
    avsc, config = imported.texts()
    _write(folder, avsc, config)
    print(f"wrote 1.avsc and dataset.toml to {folder}: {len(imported.fields)} fields")
    if imported.left:
        print("\nnot carried over, or not as it was:")
    for place, why in imported.left:
        print(f"  {place}: {why}")
    options.report = {
        "dataset": name,
        "folder": str(folder),
        "fields": len(imported.fields),
        "left": [{"path": place, "why": why} for place, why in imported.left],
    }
    print(f"\nread and correct them, then: pipeline check {options.out}")
    return 0


def _of_file(file: str, name: str) -> "Imported":
    from pipeline.authoring.importing.json_schema import import_json_schema
    from pipeline.core.errors import FileError

    try:
        text = Path(file).read_text("utf-8")
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8 (byte {error.start})."
        raise FileError(message) from None
    return import_json_schema(text, name, file)


def _of_table(table: str, name: str) -> "Imported":
    from pipeline.adapters.aws.glue import glue_client, glue_errors
    from pipeline.authoring.importing.glue_table import import_glue_table
    from pipeline.core.errors import SettingsError

    parts = re.fullmatch(r"([^.]+)\.([^.]+)", table)
    if parts is None:
        message = f"{table!r} is not a table with its database; write DATABASE.TABLE."
        raise SettingsError(message)
    with glue_errors("read", f"the table {table} of Glue"):
        found = glue_client().get_table(DatabaseName=parts[1], Name=parts[2])
    return import_glue_table(found["Table"], name)


def _write(folder: Path, avsc: str, config: str) -> None:
    """Write the whole folder, or nothing under its name."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        (partial / "1.avsc").write_text(avsc, "utf-8", newline="\n")
        (partial / "dataset.toml").write_text(config, "utf-8", newline="\n")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
