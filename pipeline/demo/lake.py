"""The demo with --lake: one table of what landed, a redrive that lands in it, and the audit.

The story: orders come with a status that the schema does not know, and become dead letters. Version
2 of the schema knows it, the dead letters are sent again, and the next commit adds their rows. The
table as it was before is still there to be asked.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from pipeline.commands import audit
from pipeline.commands.lake import check_pyiceberg
from pipeline.commands.options import Parser
from pipeline.demo.place import Place
from pipeline.demo.tables import table_of
from pipeline.demo.verdict import Verdict

_DATASET: Final = "orders"
_SYMBOL: Final = "lost"  # see broken.py
_LAKE: Final = "\n[lake]\n"


def refuse_without_library() -> None:
    """Raise `SettingsError` where the tables' library is not installed."""
    check_pyiceberg()


def show_lake(place: Place, verdict: Verdict) -> bool:
    """Commit what landed, redrive, commit again, and audit; return whether all of it is right."""
    console = Console(highlight=False)
    landed = len(list((place.output / _DATASET).rglob("*.parquet")))
    for folder in place.schemas.iterdir():
        with (folder / "dataset.toml").open("a", encoding="utf-8") as config:
            config.write(_LAKE)
    (expected,) = (row.rows for row in verdict.balance if row.dataset == _DATASET)
    first = _commit(place)
    _know_the_symbol(place)
    redriven = _redrive(place)
    second = _commit(place)
    _title(console, "One table")
    snapshots = _snapshots(place)
    table = table_of("snapshot", "committed", "new rows", "rows", "files")
    for cells in snapshots:
        table.add_row(*cells)
    console.print(table)
    before, after = _count(place, first), _count(place, second)
    right = before == (expected, expected) and after == (expected + redriven,) * 2 and redriven > 0
    sent = f"{redriven:,} dead letters were" if redriven != 1 else "1 dead letter was"
    console.print(Text.assemble(
        f"\n{landed:,} landing objects of {_DATASET} became one table: {before[0]:,} rows, "
        f"{before[1]:,} distinct identities. Then version 2 of the schema learned the status "
        f"'{_SYMBOL}', {sent} sent again, and the table has {after[0]:,} "
        f"rows; as of snapshot {first} it still has {_count(place, first)[0]:,}. ",
        ("Each document is there once.", "green") if right else ("That is WRONG.", "bold red"),
    ))  # fmt: skip
    _title(console, "The audit")
    return _audit(place) == 0 and right


def _title(console: Console, title: str) -> None:
    console.print(Text(f"\n{title}\n", "bold cyan"))


def _commit(place: Place) -> int:
    """Commit every dataset; return the snapshot of the orders."""
    from pipeline.adapters.schemas import read_datasets
    from pipeline.lake.places import open_lake

    lake = open_lake(place.output.as_uri())
    for dataset in read_datasets(place.schemas):
        lake.committer(dataset).run()
    return int(_table(place).current_snapshot().snapshot_id)


def _table(place: Place) -> Any:
    """Return the table of the orders, as pyiceberg has it."""
    from pipeline.adapters.iceberg.table import load_table
    from pipeline.lake.places import open_lake

    loaded = load_table(open_lake(place.output.as_uri()).catalog, _DATASET)
    return loaded and loaded.table


def _know_the_symbol(place: Place) -> None:
    """Write version 2 of the schema."""
    folder = place.schemas / _DATASET
    schema = json.loads((folder / "1.avsc").read_text("utf-8"))
    (status,) = (field for field in schema["fields"] if field["name"] == "status")
    status["type"]["symbols"].append(_SYMBOL)
    (folder / "2.avsc").write_text(json.dumps(schema, indent=2) + "\n", "utf-8")


def _redrive(place: Place) -> int:
    """Send the dead letters again that the new version is about; return how many became rows."""
    import os

    from pipeline.attempt import open_pipeline, open_retrying_store
    from pipeline.core.reasons import Reason
    from pipeline.redrive import redrivable, redrive_letters
    from pipeline.settings import Settings

    pipeline = open_pipeline(Settings.from_environment(os.environ))
    store, rows = open_retrying_store(place.dead_letters.as_uri()), 0
    for key in redrivable(store):
        outcome = redrive_letters(
            store,
            key,
            pipeline,
            lambda letter: (letter.dataset, letter.reason) == (_DATASET, Reason.UNKNOWN_SYMBOL),
            dry_run=False,
        )
        if outcome is not None:
            rows += sum(report.tally(_DATASET).rows for report in outcome.reports)
    return rows


def _count(place: Place, snapshot: int) -> tuple[int, int]:
    """Return the rows of a snapshot, and their distinct identities, as DuckDB counts them."""
    import duckdb

    names = ("_source", "_sequence_number", "_sub_sequence_number", "_document")
    rows = _table(place).scan(snapshot_id=snapshot, selected_fields=names).to_arrow()
    with duckdb.connect() as database:
        database.register("rows", rows)
        sql = f"SELECT count(*), count(DISTINCT ({', '.join(names)})) FROM rows"  # noqa: S608 - of constants
        ((count, distinct),) = database.execute(sql).fetchall()
    return int(count), int(distinct)


def _snapshots(place: Place) -> list[tuple[str, ...]]:
    """Return what each snapshot of the table says of itself."""
    cells = []
    for snapshot in _table(place).snapshots():
        committed = datetime.fromtimestamp(snapshot.timestamp_ms / 1_000, UTC)
        numbers = (
            int(snapshot.summary.get(name) or 0)
            for name in ("added-records", "total-records", "total-data-files")
        )
        cells.append(
            (
                str(snapshot.snapshot_id),
                f"{committed:%H:%M:%S}Z",
                *(f"{number:,}" for number in numbers),
            )
        )
    return cells


def _audit(place: Place) -> int:
    """Run `pipeline audit` as it stands; return its exit code."""
    parser = Parser(prog="pipeline")
    audit.register(parser.add_subparsers())
    places = ["--out", place.output.as_uri(), "--dead-letters", place.dead_letters.as_uri()]
    options = parser.parse_args(["audit", *places, "--schemas", str(place.schemas)])
    code: int = options.run(options)
    return code
