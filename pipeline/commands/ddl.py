"""`pipeline ddl`: the statements by which readers declare a dataset's tables."""

import argparse
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.commands.options import Commands, add_schemas, as_uri
from pipeline.core.formats import FORMATS

if TYPE_CHECKING:
    from pipeline.core.dataset import Dataset

_DESCRIPTION = """\
Print the statements that declare a dataset's output as tables: for Athena, DuckDB and Spark, or
for the Glue catalogue. Every format has a table with types, and <dataset>_once, which shows each
identity once, however often Lambda delivered it.

  pipeline ddl orders --dialect duckdb | duckdb
  pipeline ddl orders --dialect glue > table.json
  aws glue create-table --database-name lake --table-input file://table.json
"""
_TITLES: dict[Literal["athena", "duckdb", "spark"], str] = {
    "athena": "Athena", "duckdb": "DuckDB", "spark": "Spark"
}  # fmt: skip


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ddl",
        help="print a dataset's tables as Athena, Glue, DuckDB and Spark declare them",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", metavar="DATASET", help="a dataset of --schemas")
    add_schemas(parser)
    parser.add_argument(
        "--location",
        metavar="URI",
        default=os.environ.get("PIPELINE_OUTPUT"),
        help="the output's root: s3://…, file:///… or a directory (default: $PIPELINE_OUTPUT)",
    )
    parser.add_argument(
        "--dialect",
        choices=[*_TITLES, "glue"],
        help="only this one; for glue, the table as JSON (default: all but glue)",
    )
    parser.add_argument(
        "--format",
        choices=list(FORMATS),
        help="only this one (default: all of the dataset's; for glue, Parquet if it has it)",
    )
    parser.add_argument(
        "--since",
        metavar="DATE",
        type=_date,
        help="when the first rows arrived; Athena's projected partitions begin there "
        "(default: 2013-11-01, when Kinesis was new)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the statements; return the exit code."""
    from pipeline.authoring.ddl import FIRST_ARRIVAL, statements
    from pipeline.core.errors import SettingsError

    if not options.location:
        message = "There is no location: give --location, or set PIPELINE_OUTPUT."
        raise SettingsError(message)
    dataset, location = _dataset(options), as_uri(options.location)
    formats = [FORMATS[options.format]] if options.format else []
    since = options.since or FIRST_ARRIVAL
    if options.dialect:
        print(statements(dataset, location, options.dialect, formats, since))
        return 0
    texts = list[str]()
    for dialect, title in _TITLES.items():
        texts.append(f"-- {title} {'-' * (96 - len(title))}")
        if dialect == "athena" and location.startswith("file://"):
            texts.append("-- Athena reads only S3, and the location is a directory.")
        else:
            texts.append(statements(dataset, location, dialect, formats, since))
    print("\n\n".join(texts))
    return 0


def _dataset(options: argparse.Namespace) -> "Dataset":
    """Read the dataset. Raises `SettingsError` that lists those there are."""
    from pipeline.adapters.schemas import read_dataset
    from pipeline.core.errors import SettingsError

    schemas = Path(options.schemas)
    if not (schemas / options.dataset / "dataset.toml").is_file():
        names = sorted(path.parent.name for path in schemas.glob("*/dataset.toml"))
        listed = ", ".join(names) or "none"
        message = f"{schemas} holds no dataset {options.dataset!r}; it holds {listed}."
        raise SettingsError(message)
    return read_dataset(schemas / options.dataset)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a date like 2026-11-23"
        raise argparse.ArgumentTypeError(message) from None
