"""docs/analysts.md: its statements are SQL of the reader that each is for, and of columns there are."""

from __future__ import annotations

import re

import pytest
import sqlglot
from sqlglot import exp
from support import ROOT

from pipeline.adapters.schemas import read_dataset

PAGE = (ROOT / "docs" / "analysts.md").read_text("utf-8")
STATEMENTS = re.findall(r"^```sql (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_statements_for_every_reader() -> None:
    assert {dialect for dialect, _ in STATEMENTS} == {
        "athena", "duckdb", "snowflake", "spark", "trino",
    }  # fmt: skip
    assert PAGE.count("```") == 2 * (len(STATEMENTS) + 1)  # and a command


@pytest.mark.parametrize(("dialect", "text"), STATEMENTS)
def test_a_statement_is_its_readers_and_names_columns_that_there_are(
    dialect: str, text: str
) -> None:
    (parsed,) = sqlglot.parse(text, dialect="trino" if dialect == "athena" else dialect)
    assert parsed is not None
    assert not list(parsed.find_all(exp.Command))  # which sqlglot does not understand
    of_orders = {*read_dataset(ROOT / "schemas" / "orders").schema.names, "day"}
    of_snapshots = {"committed_at", "snapshot_id", "operation"}
    named = {column.name for column in parsed.find_all(exp.Column)}
    assert named <= (of_snapshots if "snapshots" in text else of_orders)


@pytest.mark.parametrize(
    "text", [text for dialect, text in STATEMENTS if "TIMESTAMP AS OF" in text]
)
def test_a_table_as_it_was_is_understood_as_that(text: str) -> None:
    parsed = sqlglot.parse_one(text, dialect="trino" if "FOR " in text else "spark")
    assert list(parsed.find_all(exp.Version))
