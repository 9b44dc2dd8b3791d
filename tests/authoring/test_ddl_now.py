"""`<dataset>_now`: the table and what is landing, each identity once, whichever has it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from support import ORDERS, as_json, deliver, kinesis_event, order

from pipeline.authoring.ddl import now_statement, statements
from pipeline.cli import main


@pytest.mark.parametrize("committed", [0, 3, 7])
def test_what_is_in_both_and_what_came_twice_is_shown_once(tmp_path: Path, committed: int) -> None:
    """Of seven documents some are in the table, all are still landing, and three came again."""
    documents = [as_json(order(total=float(number))) for number in range(7)]
    for first in (0, 4):
        landed = deliver(kinesis_event(documents[first:], start=first), [ORDERS])
        for key, body in landed.output.objects.items():
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(body)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(statements(ORDERS, tmp_path.as_uri(), "duckdb"))
    columns = ", ".join(ORDERS.schema.names)
    connection.execute(
        f"CREATE TABLE had AS SELECT {columns} FROM orders_once ORDER BY total LIMIT {committed}"
    )
    connection.execute(now_statement(ORDERS, "had", "duckdb"))
    assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(10,)]
    shown = connection.execute("SELECT total FROM orders_now ORDER BY total").fetchall()
    assert [float(total) for (total,) in shown] == [float(number) for number in range(7)]


@pytest.mark.parametrize(
    ("dialect", "table", "grammar"),
    [
        ("athena", "pipeline_lake.orders", "trino"),
        ("spark", "glue.pipeline_lake.orders", "spark"),
        ("duckdb", "s3://lake/_lake/tables/orders/metadata/1.metadata.json", "duckdb"),
    ],
)
def test_it_is_sql_of_its_reader(
    dialect: str, table: str, grammar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["ddl", "orders", "--location", "s3://lake/out", "--dialect", dialect]
    assert main([*asked, "--lake", table]) == 0
    text = capsys.readouterr().out
    view = text[text.rindex("CREATE OR REPLACE") :]
    (parsed,) = [each for each in sqlglot.parse(view, dialect=grammar) if each is not None]
    assert not list(parsed.find_all(exp.Command))
    assert next(table.name for table in parsed.find_all(exp.Table)) == "orders_now"
    assert main([*asked[:-2], "--lake", table]) == 1
    assert "--lake is of a dataset and of one reader" in capsys.readouterr().err
