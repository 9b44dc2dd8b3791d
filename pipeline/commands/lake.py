"""`pipeline lake`: tables made of what has landed, each document exactly once."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.commands.options import (
    Commands,
    add_s3,
    add_schemas,
    add_since,
    as_uri,
    existing,
    moment_option,
    s3_of,
)
from pipeline.commands.reporting import add_report

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.core.dataset import Dataset
    from pipeline.lake.commit import Outcome
    from pipeline.lake.places import Lake


NAMES = ("commit", "status", "merge", "clean", "forget", "restore", "ddl")
"""The command's own commands."""


def register(commands: Commands) -> None:
    """Add the command and its own commands."""
    parser = commands.add_parser(
        "lake",
        help="commit what has landed to Iceberg tables, each document exactly once",
        description="Make Iceberg tables of the rows that have landed, of each dataset that has "
        "[lake] in its dataset.toml. A run may be stopped at any time, and others may run too.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="<command>", required=True)
    commit = subparsers.add_parser(
        "commit",
        help="commit what has landed, and delete it there",
        description="Append the rows that have landed to the tables, each document once, and "
        "delete the landing objects whose rows a table then has.",
    )
    _add_places(commit)
    commit.set_defaults(run=run_commit)
    status = subparsers.add_parser(
        "status",
        help="say what the tables hold, and what has landed since",
        description="Say for each table how many rows and files it has, when the last commit was, "
        "and how much has landed that is not in it yet.",
    )
    _add_places(status)
    status.set_defaults(run=run_status)
    merge = subparsers.add_parser(
        "merge",
        help="make large files of many small ones",
        description="Write the files of a partition anew as larger ones, where it has 8 or more of "
        "less than 32 MB, up to 1 GB of a partition at once. No row changes.",
    )
    _add_places(merge)
    merge.set_defaults(run=run_merge)
    clean = subparsers.add_parser(
        "clean",
        help="delete files that no snapshot needs",
        description="Delete files below a table's location that no snapshot needs and that are "
        "older than three days: what runs left that were killed, and what expired. Not for Amazon "
        "S3 Tables, which do so themselves.",
    )
    _add_places(clean)
    clean.add_argument("--dry-run", action="store_true", help="only say how many there are")
    clean.set_defaults(run=run_clean)
    forget = subparsers.add_parser(
        "forget",
        help="delete rows for good: what comes again does not bring them back",
        description="Delete the rows of one dataset for which a condition holds, and write down "
        "their identities first, so that records that are delivered again do not bring them back. "
        "Snapshots, landing objects, dead letters and the stream have copies until they expire.",
    )
    _add_places(forget)
    forget.add_argument(
        "--where",
        metavar="SQL",
        required=True,
        help="the condition, in DuckDB's SQL: customer.id = 7",
    )
    forget.set_defaults(run=run_forget)
    restore = subparsers.add_parser(
        "restore",
        help="put landing objects back that were deleted",
        description="Put landing objects back that were deleted since a time: for a table that was "
        "lost, or rolled back. The next commit adds those of their rows that the table does not "
        "have. Only on S3, in a bucket with versioning, for as long as it keeps old versions.",
    )
    _add_places(restore)
    add_since(restore, "those that were deleted", required=True)
    restore.set_defaults(run=run_restore)
    ddl = subparsers.add_parser(
        "ddl",
        help="print how Athena, DuckDB, Snowflake, Spark or Trino read the tables",
        description="Print the statements by which an engine reads the tables, and, where it can, "
        "those by which it looks after them. What stands in <> is yours to fill in.",
    )
    _add_places(ddl)
    ddl.add_argument(
        "--for",
        dest="engine",
        required=True,
        choices=["athena", "duckdb", "snowflake", "spark", "trino"],
        help="the engine",
    )
    ddl.set_defaults(run=run_ddl)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="the output: a directory, file:///…, s3://…")
    add_schemas(parser)
    parser.add_argument(
        "--dataset", metavar="DATASET", action="append", help="only this one; repeatable"
    )
    add_catalog(parser)
    add_s3(parser)
    add_report(parser)


def run_commit(options: argparse.Namespace) -> int:
    """Commit each dataset; return the exit code: 1 if something cannot be committed."""
    from pipeline.core.errors import ServiceError

    lake, datasets = _opened(options)
    failed = False
    options.report = list[dict[str, Any]]()
    for dataset in datasets:
        committer = lake.committer(dataset)
        try:
            committer.run()
        except ServiceError as error:
            failed = True
            sys.stdout.flush()
            print(f"pipeline: {dataset.name}: {error}", file=sys.stderr)
        options.report.append(msgspec.to_builtins(committer.outcome))
        failed |= _report(committer.outcome, lake)
    return int(failed)


def _report(outcome: "Outcome", lake: "Lake") -> bool:
    """Say what came of a run; return whether an object was refused."""
    times = f", {outcome.duplicates:,} rows were there already" * bool(outcome.duplicates)
    print(
        f"{outcome.dataset}: {outcome.rows:,} rows of {outcome.objects:,} landing objects, in "
        f"{outcome.files:,} files{times}"
    )
    sys.stdout.flush()
    for refused in outcome.refused:
        print(
            f"pipeline: {lake.landing.uri}/{refused.version.key} cannot be committed: "
            f"{refused.why}. It stays where it is; move it away, or deliver its records again.",
            file=sys.stderr,
        )
    return bool(outcome.refused)


def run_status(options: argparse.Namespace) -> int:
    """Print what each table holds; return the exit code."""
    from pipeline.commands.table import print_table
    from pipeline.lake.status import status_of

    lake, datasets = _opened(options)
    found = [status_of(lake, dataset) for dataset in datasets]
    options.report = msgspec.to_builtins(found)
    rows = [status.cells() for status in found]
    print_table(
        ["table", "rows", "files", "median file", "last commit", "landing objects", "oldest"],
        rows,
        numbers=["rows", "files", "landing objects"],
    )
    return 0


def run_merge(options: argparse.Namespace) -> int:
    """Merge the small files of each table; return the exit code."""
    from pipeline.lake.rewrite import merge

    lake, datasets = _opened(options)
    options.report = list[dict[str, Any]]()
    for dataset in datasets:
        lake.table(dataset)
        merged = merge(lake.catalog, dataset.name)
        busy = f"; {merged.busy:,} partitions changed meanwhile, run it again" * bool(merged.busy)
        print(f"{dataset.name}: {merged.before:,} files became {merged.after:,}{busy}")
        options.report.append(
            {"dataset": dataset.name, "before": merged.before, "after": merged.after}
        )
    return 0


def run_clean(options: argparse.Namespace) -> int:
    """Delete what no snapshot needs; return the exit code."""
    import time

    from pipeline.lake.clean import orphans

    lake, datasets = _opened(options)
    options.report = list[dict[str, Any]]()
    for dataset in datasets:
        table = lake.table(dataset)
        found = orphans(table, time.time())
        if not options.dry_run:
            table.io.files(table.location).delete(found)
        done = "would be deleted" if options.dry_run else "deleted"
        options.report.append({"dataset": dataset.name, "files": len(found)})
        print(f"{dataset.name}: {len(found):,} files {done}")
    return 0


def run_forget(options: argparse.Namespace) -> int:
    """Delete rows for good; return the exit code."""
    import duckdb

    from pipeline.core.errors import SettingsError
    from pipeline.lake.forget import forget
    from pipeline.lake.reader import listed

    not_sql = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)

    lake, datasets = _opened(options)
    if len(datasets) != 1:
        message = "Rows are deleted of one dataset at a time: name it by --dataset."
        raise SettingsError(message)

    def choose(rows: "pa.Table") -> "pa.Table":
        connection.register("rows", rows)
        names = "_source, _sequence_number, _sub_sequence_number, _document"
        # In parentheses, and alone in its lines: nothing but a condition fits there.
        asked = f"SELECT {names}, (\n{options.where}\n) AS chosen FROM rows"  # noqa: S608 - SQL is what is asked for
        try:
            (statement,) = connection.extract_statements(asked)
            found = connection.sql(statement.query)
            if found.types[-1] != "BOOLEAN":
                message = (
                    f"--where is {found.types[-1]}, and not a condition: write what is true of the "
                    "rows to delete, such as n = 7."
                )
                raise SettingsError(message)
            return found.filter("chosen").project(names).to_arrow_table()
        except not_sql as error:
            reason = str(error).partition("\n")[0]
            message = f"--where is not a condition on the table's columns: {reason}"
            raise SettingsError(message) from None
        except (duckdb.Error, ValueError) as error:
            # Its text may quote a row.
            message = (
                f"--where could not be asked of each row ({type(error).__name__}); nothing was "
                "deleted. TRY_CAST and NULLIF help where values differ."
            )
            raise SettingsError(message) from None

    with duckdb.connect() as connection:
        count = forget(lake.catalog, datasets[0].name, choose)
    options.report = [{"dataset": datasets[0].name, "rows": count}]
    print(f"{datasets[0].name}: {count:,} rows deleted")
    waiting, _ = listed(lake.landing, datasets[0].name)
    if waiting:
        print(
            f"{len(waiting):,} landing objects are not in the table yet, and may have such rows: "
            "commit them, and run this again."
        )
    return 0


def run_restore(options: argparse.Namespace) -> int:
    """Put landing objects back; return the exit code."""
    from pipeline.core.errors import SettingsError

    since = moment_option("--since", options.since) / 1_000_000
    lake, datasets = _opened(options)
    if not lake.landing.uri.startswith("s3://"):
        message = "Only a bucket with versioning keeps what was deleted; this output is not on S3."
        raise SettingsError(message)
    from pipeline.adapters.aws.landing import S3Landing

    options.report = list[dict[str, Any]]()
    for dataset in datasets:
        landing = lake.landing
        count = 0
        if isinstance(landing, S3Landing):
            count = landing.restore(f"{dataset.name}/parquet/", since)
        options.report.append({"dataset": dataset.name, "objects": count})
        print(f"{dataset.name}: {count:,} landing objects restored")
    return 0


def run_ddl(options: argparse.Namespace) -> int:
    """Print what an engine needs for each table; return the exit code."""
    from pipeline.lake.declarations import Declared, declaration

    lake, datasets = _opened(options)
    kind, _, rest = lake.catalog.uri.partition(":")
    texts = []
    for dataset in datasets:
        table = lake.table(dataset)
        declared = Declared(
            kind,
            rest.partition("?")[0],
            lake.catalog.namespace,
            dataset.name,
            table.location,
            table.metadata_location,
        )
        texts.append(declaration(declared, options.engine))
    print("\n\n".join(texts))
    return 0


def _opened(options: argparse.Namespace) -> "tuple[Lake, list[Dataset]]":
    """Open the lake, and read the datasets that have a table. Raises `ConfigurationError`."""
    from pathlib import Path

    from pipeline.adapters.schemas import read_datasets
    from pipeline.core.errors import SettingsError

    check_pyiceberg()
    from pipeline.lake.places import open_lake

    chosen = set(options.dataset or ())
    datasets = list(read_datasets(Path(options.schemas)))
    for name in sorted(chosen - {dataset.name for dataset in datasets}):
        message = f"--dataset {name}: there is no such dataset in {options.schemas}."
        raise SettingsError(message)
    wanted = [dataset for dataset in datasets if not chosen or dataset.name in chosen]
    with_lake = [dataset for dataset in wanted if dataset.lake is not None]
    if not with_lake or (chosen and len(with_lake) < len(wanted)):
        lacking = next((dataset.name for dataset in wanted if dataset.lake is None), "<dataset>")
        message = (
            f"There is no table to make: write [lake] into {options.schemas}/{lacking}/dataset.toml"
            " of the datasets that should have one."
        )
        raise SettingsError(message)
    lake = open_lake(existing(options.uri), *catalog_of(options), s3_of(options))
    return lake, with_lake


def check_pyiceberg() -> None:
    """Raise `SettingsError` where the package was installed without the tables' library."""
    from importlib.util import find_spec

    from pipeline.core.errors import SettingsError

    if find_spec("pyiceberg") is None:
        message = (
            "Tables need pyiceberg: pip install 'kinesis-s3-pipeline[cli,lake]', or from a "
            "checkout, pip install '.[cli,lake]'."
        )
        raise SettingsError(message)


def add_catalog(parser: argparse.ArgumentParser) -> None:
    """Add `--catalog` and `--warehouse`, which `catalog_of` reads."""
    parser.add_argument(
        "--catalog",
        metavar="URI",
        help="where tables are registered: sqlite:///directory/catalog.db, glue:DATABASE or "
        "rest:https://…?namespace=NAME (default: PIPELINE_LAKE; for a directory, a file in it)",
    )
    parser.add_argument(
        "--warehouse",
        metavar="URI",
        help="below which the tables' files are (default: PIPELINE_LAKE_WAREHOUSE, or _lake/tables "
        "in the output)",
    )


def catalog_of(options: argparse.Namespace) -> tuple[str | None, str | None]:
    """Return the URIs of the catalog and of the warehouse, where they are given."""
    import os

    warehouse = as_uri(options.warehouse) if options.warehouse else None
    return (
        options.catalog or os.environ.get("PIPELINE_LAKE"),
        warehouse or os.environ.get("PIPELINE_LAKE_WAREHOUSE"),
    )
