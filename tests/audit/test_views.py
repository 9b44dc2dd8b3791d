"""The questions as views: DuckDB's give the audit's answers, and Athena's are Trino's SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlglot
from sqlglot import exp
from support import ORDERS, Stored, as_json, dataset, deliver, kinesis_event, order

from pipeline.adapters.directory import DirectoryStore
from pipeline.audit.findings import ask
from pipeline.audit.gather import gather
from pipeline.audit.questions import QUESTIONS
from pipeline.audit.views import LEDGER_COLUMNS, Dialect, audit_views
from pipeline.core.census_table import SCHEMA
from pipeline.core.dataset import check_together
from pipeline.core.errors import SettingsError
from pipeline.lake.forget import forget
from pipeline.lake.places import open_lake

CLICKS = dataset(
    {"name": "click_id", "type": "string"},
    config='match = { field = "@stream", equals = "clicks" }\n',
    name="clicks",
)
DATASETS = check_together([ORDERS, CLICKS])
RECORDS = [
    as_json(order()), as_json(order(country="FR")), as_json(order(total="x")), b'{"x"',
    as_json({"@stream": "clicks", "click_id": "a"}),
]  # fmt: skip
NAMES = ["clicks", "orders"]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """What two deliveries stored, of which an object was lost and another one copied."""
    stored = deliver(kinesis_event(RECORDS), DATASETS)
    deliver(kinesis_event(RECORDS[1:], start=1), DATASETS, stored)
    for key in list(stored.output.objects):
        if "by_country=FR" in key:
            del stored.output.objects[key]
        elif key.startswith("clicks/"):
            stored.output.objects[key.replace("parquet/", "parquet/copy/")] = stored.output.get(key)
    letters = list(stored.dead_letters.objects.items())
    stored.dead_letters.objects |= {f"_redriven/{key}": body for key, body in letters}
    for key, body in stored.objects.items():
        path = tmp_path / "it's [here]" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return stored


def test_duckdbs_views_answer_as_the_audit_does(stored: Stored, tmp_path: Path) -> None:
    root = tmp_path / "it's [here]"
    with duckdb.connect() as database, duckdb.connect() as viewer:
        database.execute("SET TimeZone = 'UTC'")
        found = gather(database, stored.output, stored.dead_letters)
        ask(found)
        viewer.execute(
            audit_views(NAMES, (root / "output").as_uri(), (root / "dead").as_uri(), "duckdb")
        )
        for name in QUESTIONS:
            of_parquet = (
                ""
                if name in {"audit_hours", "audit_settled", "audit_claimed"}
                else (" WHERE format = 'parquet'")
            )
            expected = answers(database, f"FROM {name}{of_parquet}")
            assert answers(viewer, f"FROM {name}") == expected
            assert expected


def answers(database: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return sorted(map(repr, database.execute(query).fetchall()))


def test_athenas_views_are_trinos_sql_over_tables_that_are_declared() -> None:
    tables = ["lake.orders", "lake.orders_forgotten"]
    text = audit_views(NAMES, "s3://lake/out", "s3://lake/dead", "athena", tables)
    known = {"clicks", "orders", "dead_letters", "orders_forgotten"}
    assert 'FROM "lake"."orders"\n' in text
    for statement in text.split(";\n"):
        if "CREATE EXTERNAL TABLE" in statement:
            known.add(statement.partition("TABLE `")[2].partition("`")[0])
        elif "VIEW" in statement:
            parsed: Any = sqlglot.parse_one(statement, dialect="trino")
            own = {cte.alias for cte in parsed.find_all(exp.CTE)} | {"said"}
            asked = {table.name for table in parsed.find_all(exp.Table)} - own - {parsed.this.name}
            assert asked <= known
            known.add(parsed.this.name)
    assert known >= {*QUESTIONS, "audit_ledger", "dead_letters_redriven_text"}
    assert "LOCATION 's3://lake/out/_lake/ledger/'" in text
    assert "LOCATION 's3://lake/dead/_redriven/'" in text


def test_the_ledger_is_declared_with_the_columns_that_a_segment_has() -> None:
    spelled = {
        pa.string(): "string",
        pa.int64(): "bigint",
        pa.timestamp("us", "UTC"): "timestamp",
        pa.map_(pa.string(), pa.int64()): "map<string,bigint>",
    }
    assert {field.name: spelled[field.type] for field in SCHEMA} == LEDGER_COLUMNS


def test_athena_reads_s3_alone() -> None:
    with pytest.raises(SettingsError) as caught:
        audit_views(NAMES, "file:///out", "file:///dead", "athena")
    assert str(caught.value) == (
        "Athena reads S3 alone: output and dead letters must be s3://bucket/prefix."
    )


def test_without_parquet_there_is_nothing_to_ask() -> None:
    with pytest.raises(SettingsError) as caught:
        audit_views([], "file:///out", "file:///dead", "duckdb")
    assert str(caught.value) == (
        "None of the datasets is written as Parquet, which the views read."
    )


@pytest.mark.parametrize(
    ("table", "dialect", "says"),
    [
        ("orders", "athena", "'orders' is not a table of a dataset; write database.dataset, such "),
        ("lake.order", "athena", "'lake.order' is not a table of a dataset"),
        ("orders", "duckdb", "'orders' is not a table of a dataset; write database.dataset, such "),
    ],
)
def test_a_table_that_is_none_is_refused(table: str, dialect: Dialect, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        audit_views(NAMES, "s3://lake/out", "s3://lake/dead", dialect, [table])


def test_duckdbs_views_ask_tables_and_their_ledger(tmp_path: Path) -> None:
    """Of the table a row is lost, one is there twice, and one was forgotten on purpose."""
    made = dataset({"name": "n", "type": "int"}, config="[lake]\n", name="things")
    for name in ("out", "dead"):
        (tmp_path / name).mkdir()
    stores: Any = DirectoryStore(tmp_path / "out"), DirectoryStore(tmp_path / "dead")
    stored = Stored(output=stores[0], dead_letters=stores[1])
    records = [*(as_json({"n": number}) for number in range(6)), b"{"]
    deliver(kinesis_event(records), [made], stored)
    lake = open_lake((tmp_path / "out").as_uri())
    assert lake.committer(made).run().rows == 6
    forget(lake.catalog, "things", lambda rows: rows.filter(pc.equal(rows["n"], 5)))
    table = lake.catalog.catalog.load_table(("lake", "things")).scan().to_arrow()
    forgotten = lake.catalog.catalog.load_table(("lake", "things_forgotten")).scan().to_arrow()
    places = (tmp_path / "out").as_uri(), (tmp_path / "dead").as_uri()
    with duckdb.connect() as viewer:
        viewer.execute("CREATE SCHEMA lake")
        viewer.register("whole", table)
        viewer.register("gone", forgotten)
        viewer.execute("CREATE VIEW lake.things AS FROM whole")
        viewer.execute("CREATE VIEW lake.things_forgotten AS FROM gone")
        names = ["lake.things", "lake.things_forgotten"]
        viewer.execute(audit_views(["things"], *places, "duckdb", names))
        assert viewer.execute("FROM audit_short").fetchall() == []
        assert viewer.execute("FROM audit_doubled").fetchall() == []
        assert viewer.execute("SELECT sum(stored) FROM audit_hours").fetchone() == (5,)
        viewer.execute(
            "CREATE OR REPLACE VIEW lake.things AS "
            "FROM whole WHERE n <> 1 UNION ALL FROM whole WHERE n = 2"
        )
        short = viewer.execute("SELECT dataset, documents, found, missing FROM audit_short")
        assert short.fetchall() == [("things", 7, 6, 1)]
        assert viewer.execute("SELECT copies FROM audit_doubled").fetchall() == [(2,)]


def test_rows_of_tables_count_as_those_of_landing_do() -> None:
    """Athena's own text, read by DuckDB: a row of a table, one of its landing, one forgotten."""
    text = audit_views(
        ["orders"], "s3://o", "s3://d", "athena", ["lake.orders", "lake.orders_forgotten"]
    )
    (view,) = (part for part in text.split(";\n") if "VIEW audit_rows" in part)
    query = view.partition(" AS\n")[2].replace('"$path"', "path")
    columns = (
        "'s' AS _source, '1' AS _sequence_number, 0 AS _sub_sequence_number, 0 AS _document, "
        "TIMESTAMPTZ '2026-11-23 09:30:00Z' AS _arrived_at, "
        "'x/shard-1-1-1-0123456789abcdef0123456789abcdef.parquet' AS path"
    )
    with duckdb.connect() as database:
        database.execute("CREATE SCHEMA lake")
        for name in ("orders", "lake.orders", "lake.orders_forgotten"):
            database.execute(f"CREATE TABLE {name} AS SELECT {columns}")
        found = database.execute(f"SELECT dataset, batch, source FROM ({query})").fetchall()
    assert found == [
        ("orders", "shard-1-1-1-0123456789abcdef0123456789abcdef", "s"),
        ("orders", "the table orders", "s"),
        ("orders", "the table orders_forgotten", "s"),
    ]
