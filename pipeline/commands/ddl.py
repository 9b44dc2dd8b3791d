"""`pipeline ddl`: the statements by which readers declare a dataset's tables."""

import argparse
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.commands.options import Commands, add_schemas, as_uri
from pipeline.commands.reporting import add_json
from pipeline.core.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.authoring.ddl import Dialect
    from pipeline.core.dataset import Dataset

_DESCRIPTION = """\
Print the statements that declare a dataset's output as tables: for Athena, DuckDB and Spark, for
the Glue catalogue, or as Python for pandas (and pyarrow) and polars. Every format has a table with
types, and <dataset>_once, which shows each identity once, however often Lambda delivered it.

With --dead-letters, the tables are the dead letters of all datasets: dead_letters, and
dead_letters_once.

  pipeline ddl orders --dialect duckdb | duckdb
  pipeline ddl --dead-letters --location s3://lake/dead-letters --dialect athena
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
        help="print a dataset's tables, or the dead letters, as Athena, DuckDB, Spark, pandas and "
        "others declare them",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", metavar="DATASET", nargs="?", help="a dataset of --schemas")
    parser.add_argument(
        "--dead-letters",
        action="store_true",
        help="the dead letters of all datasets, instead of a dataset; --location is then theirs "
        "(default: $PIPELINE_DEAD_LETTERS)",
    )
    add_schemas(parser)
    parser.add_argument(
        "--location",
        metavar="URI",
        help="the output's root: s3://…, file:///… or a directory (default: $PIPELINE_OUTPUT)",
    )
    parser.add_argument(
        "--dialect",
        choices=[*_TITLES, "glue", "pandas", "polars"],
        help="only this one; for glue, the table as JSON, for pandas and polars, Python (default: "
        "Athena, DuckDB and Spark)",
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
    parser.add_argument(
        "--registered",
        action="store_true",
        help="a function registers the partitions, as that of infra/ does: no projection, no MSCK",
    )
    parser.add_argument(
        "--lake",
        metavar="TABLE",
        help="the dataset's Iceberg table as the reader of --dialect names it "
        "(pipeline_lake.orders; for duckdb, its metadata file): adds <dataset>_now, it and what "
        "has landed since, each identity once",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the statements; return the exit code."""
    from pipeline.core.errors import SettingsError

    if options.dead_letters == bool(options.dataset):
        message = "Name a dataset, or give --dead-letters for those of all datasets."
        raise SettingsError(message)
    if options.registered and options.since:
        message = "--since begins a projection, and with --registered there is none: give one."
        raise SettingsError(message)
    variable = "PIPELINE_DEAD_LETTERS" if options.dead_letters else "PIPELINE_OUTPUT"
    given = options.location or os.environ.get(variable)
    if not given:
        message = f"There is no location: give --location, or set {variable}."
        raise SettingsError(message)
    location = as_uri(given)
    write = _writer(options, location)
    if options.lake and (options.dead_letters or not options.dialect):
        message = "--lake is of a dataset and of one reader: give both, and --dialect."
        raise SettingsError(message)
    statements = dict[str, str]()
    options.report = {"location": location, "statements": statements}
    if options.dialect:
        statements[options.dialect] = write(options.dialect)
        if options.lake:
            from pipeline.authoring.ddl import now_statement

            now = now_statement(_dataset(options), options.lake, options.dialect)
            statements[options.dialect] += f"\n\n{now}"
        print(statements[options.dialect])
        return 0
    texts = list[str]()
    for dialect, title in _TITLES.items():
        texts.append(f"-- {title} {'-' * (96 - len(title))}")
        if dialect == "athena" and location.startswith("file://"):
            texts.append("-- Athena reads only S3, and the location is a directory.")
        else:
            statements[dialect] = write(dialect)
            texts.append(statements[dialect])
    print("\n\n".join(texts))
    return 0


def _writer(options: argparse.Namespace, location: str) -> "Callable[[Dialect], str]":
    """Return what writes the statements of a dialect."""
    from pipeline.adapters.schemas import read_datasets
    from pipeline.authoring.ddl import FIRST_ARRIVAL, dead_letter_statements, statements

    since = None if options.registered else options.since or FIRST_ARRIVAL
    if options.dead_letters:
        names = [dataset.name for dataset in read_datasets(Path(options.schemas))]
        return lambda dialect: dead_letter_statements(names, location, dialect, since)
    dataset = _dataset(options)
    formats = [FORMATS[options.format]] if options.format else []
    return lambda dialect: statements(dataset, location, dialect, formats, since)


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
