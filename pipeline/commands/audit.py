"""`pipeline audit`: whether everything that was sent is there, and is there once."""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.lake import add_catalog, catalog_of, check_pyiceberg
from pipeline.commands.options import (
    Commands,
    add_output,
    add_schemas,
    add_since,
    add_stream,
    as_uri,
    existing,
    moment_option,
    positive_integer,
    settings_of,
)

if TYPE_CHECKING:
    import duckdb

    from pipeline.audit.findings import Answers, Hour
    from pipeline.audit.gather import Gathered
    from pipeline.settings import Settings

_DESCRIPTION = """\
Ask whether everything that was sent is there, once. All objects are read, and the tables that
`pipeline lake` made, of these only identities and what each object says of its batch, its census:

  1. Is a document there more than once, that Lambda did not deliver more than once?
  2. Does a batch have more documents than there are rows and dead letters of them?
  3. With --stream: does the stream have a record with neither?

Every answer is a sentence, with the position of what is missing and where to get it back. The exit
code is 1 if there is any.

  pipeline audit --out s3://lake/out --dead-letters s3://lake/dead-letters
  pipeline audit --stream shop --since 2026-11-23T00:00:00Z --receipt s3://lake/receipts
  pipeline audit --sql athena
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEMORY = "1GB"  # of DuckDB; the rest is on disk
_NUMBERS = ("documents", "rows", "dead letters", "drops", "missing", "largest gap")


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit",
        help="ask whether everything that was sent is there, and once",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output(parser)
    add_schemas(parser)
    add_catalog(parser)
    add_stream(parser, "hold what is stored against this stream")
    add_since(
        parser,
        "ask only about what arrived (not before the oldest rows and dead letters that are kept)",
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=positive_integer,
        default=900,
        help="what arrived within so many seconds may be on its way, and is not missed "
        "(default: 900)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--receipt",
        metavar="URI",
        help="write a receipt for each hour there, as JSON and as a page",
    )
    parser.add_argument(
        "--sql",
        choices=["athena", "duckdb"],
        help="print the questions as views for this engine, and ask nothing",
    )
    parser.add_argument(
        "--table",
        metavar="TABLE",
        action="append",
        help="with --sql: a table of `pipeline lake`, as database.table, "
        "database.table_forgotten among them if it is there; repeatable",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, and report; return the exit code."""
    settings = settings_of(options)
    if options.sql:
        return _print_views(options, settings)
    existing(settings.output)
    asked_at = datetime.now(UTC)
    with _database() as database:
        answers = _answers(options, settings, database, asked_at)
    if options.receipt:
        _write_receipts(options.receipt, settings, answers, asked_at)
    if options.json:
        print(json.dumps(_as_json(answers), indent=2))
    else:
        _print(settings, answers)
    return 1 if answers.findings else 0


@contextmanager
def _database() -> "Iterator[duckdb.DuckDBPyConnection]":
    """Open a database on disk, for as long as it takes."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with duckdb.connect(path / "audit.duckdb") as database:
            database.execute("SET TimeZone = 'UTC'")
            database.execute(f"SET memory_limit = '{_MEMORY}'")
            database.execute("SET preserve_insertion_order = false")
            yield database


def _answers(
    options: argparse.Namespace,
    settings: "Settings",
    database: "duckdb.DuckDBPyConnection",
    asked_at: datetime,
) -> "Answers":
    from pipeline.adapters.aws.kinesis import KinesisStream, kinesis_client
    from pipeline.attempt import open_retrying_store
    from pipeline.audit.dropped import dropped_by_rules, nothing_is
    from pipeline.audit.findings import ask
    from pipeline.audit.gather import gather, gather_stream

    since = _EPOCH
    if options.since:
        since += timedelta(microseconds=moment_option("--since", options.since))
    output, dead_letters = (
        open_retrying_store(uri, settings.s3) for uri in (settings.output, settings.dead_letters)
    )
    held, until = None, asked_at - timedelta(seconds=options.grace)
    found = gather(database, output, dead_letters)
    _gather_tables(found, sorted(found.with_ledger), options, settings)
    if options.stream:
        # After the stores: what is delivered meanwhile arrived within the grace.
        kinesis = KinesisStream(options.stream, kinesis_client(options.endpoint_url))
        start = since.timestamp() if options.since else None
        latest = (until - _EPOCH) // timedelta(microseconds=1)
        schemas = Path(options.schemas)
        rules = (
            dropped_by_rules(schemas, settings.limits, settings.registry_credentials)
            if schemas.is_dir()
            else nothing_is
        )
        held = gather_stream(found, kinesis, start, latest, rules)
    answers = ask(found, since, until)
    answers.stream_records = held
    return answers


def _gather_tables(
    found: "Gathered", names: list[str], options: argparse.Namespace, settings: "Settings"
) -> None:
    """Read the tables of these datasets, after their landing: rows go from there to here.

    What was forgotten on purpose is not missing.
    """
    if not names:
        return
    check_pyiceberg()
    from pipeline.adapters.iceberg.table import load_table
    from pipeline.core.lake_settings import FORGOTTEN_TABLE
    from pipeline.lake.places import open_lake

    lake = open_lake(settings.output, *catalog_of(options), settings.s3)
    for name in names:
        for table_name in (name, f"{name}{FORGOTTEN_TABLE}"):
            table = load_table(lake.catalog, table_name)
            for rows in table.arrivals() if table is not None else ():
                found.add_rows(name, "parquet", f"the table {table_name}", rows)


def _print_views(options: argparse.Namespace, settings: "Settings") -> int:
    from pipeline.adapters.schemas import read_datasets
    from pipeline.audit.views import audit_views
    from pipeline.core.formats import Format

    datasets = [
        dataset.name
        for dataset in read_datasets(Path(options.schemas))
        if Format.PARQUET in dataset.formats
    ]
    places = settings.output, settings.dead_letters
    print(audit_views(datasets, *places, options.sql, options.table or ()))
    return 0


def _write_receipts(
    place: str, settings: "Settings", answers: "Answers", asked_at: datetime
) -> None:
    from pipeline.attempt import open_retrying_store
    from pipeline.audit.receipts import receipts

    store = open_retrying_store(as_uri(place), settings.s3)
    for receipt in receipts(answers, asked_at):
        store.put(f"{receipt.name}.json", receipt.to_json())
        store.put(f"{receipt.name}.html", receipt.to_html())


def _as_json(answers: "Answers") -> dict[str, Any]:
    return {
        "complete": not answers.findings,
        "objects": answers.objects,
        "without_census": answers.without_census,
        "stream_records": answers.stream_records,
        "findings": [_plain(dataclasses.asdict(finding)) for finding in answers.findings],
        "hours": [
            _plain({**dataclasses.asdict(hour), "documents": hour.documents})
            for hour in answers.hours
        ],
    }


def _plain(members: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in members.items()
    }


def _print(settings: "Settings", answers: "Answers") -> None:
    from pipeline.audit.findings import told
    from pipeline.commands.table import print_table

    print(f"{answers.objects:,} objects in {settings.output} and {settings.dead_letters}")
    if answers.without_census:
        print(
            f"{answers.without_census:,} of them have no census: they were written before there "
            "was one, and what is lost of their batches only --stream shows."
        )
    if answers.stream_records is not None:
        print(f"{answers.stream_records:,} records are in the stream and should be stored")
    if answers.hours:
        header = ("shard", "hour", *_NUMBERS)
        print_table(header, [_cells(hour) for hour in answers.hours], numbers=_NUMBERS)
    for sentence in told(answers.findings):
        print(f"\n{sentence}")
    if not answers.findings:
        print("Nothing is missing, and nothing is there more than once that was delivered once.")


def _cells(hour: "Hour") -> tuple[str, ...]:
    numbers = (hour.documents, hour.rows, hour.dead_letters, hour.drops, hour.missing)
    return (
        hour.source.rpartition("/")[2],
        f"{hour.hour.astimezone(UTC):%Y-%m-%dT%H}",
        *(f"{number:,}" for number in numbers),
        f"{hour.largest_gap:,} s",
    )
