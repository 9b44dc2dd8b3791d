"""`pipeline lake ddl`: what other engines need to read a table."""

from __future__ import annotations

import itertools

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from test_lake_command import Place, place

from pipeline.lake.declarations import ENGINES, Declared, Engine, declaration

__all__ = ["place"]  # the fixture

IN_GLUE = Declared(
    "glue", "pipeline_lake", "pipeline_lake", "orders", "s3://b/lake/orders",
    "s3://b/lake/orders/metadata/00012-a.metadata.json",
)  # fmt: skip
IN_REST = Declared(
    "rest", "https://catalog/api", "lake", "orders", IN_GLUE.location, IN_GLUE.metadata
)
IN_FILE = Declared("sqlite", "///a/b.db", "lake", "orders", IN_GLUE.location, IN_GLUE.metadata)
EVERYWHERE = list(itertools.product([IN_GLUE, IN_REST, IN_FILE], ENGINES))


@pytest.mark.parametrize(("table", "engine"), EVERYWHERE, ids=lambda one: getattr(one, "kind", one))
def test_statements_are_of_the_engine_and_whole(table: Declared, engine: Engine) -> None:
    text = declaration(table, engine)
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert not code or code.endswith(";")
    for statement in filter(None, (each.strip() for each in code.split(";\n"))):
        # What has no tree of its own is kept as a command; what is broken raises.
        assert sqlglot.parse_one(statement.rstrip(";"), dialect=engine) is not None
        assert statement.count("(") == statement.count(")")
        assert statement.count("'") % 2 == 0


def test_a_view_of_duckdb_is_of_the_newest_metadata(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 2)
    place.run("commit")
    capsys.readouterr()
    assert place.run("ddl", "--for", "duckdb") == 0
    printed = capsys.readouterr().out
    location = place.table().metadata_location
    assert f"SELECT * FROM iceberg_scan('{location}');" in printed
    view = printed.partition("CREATE OR REPLACE VIEW")[2]
    (parsed,) = sqlglot.parse(f"CREATE OR REPLACE VIEW {view}", dialect="duckdb")
    assert isinstance(parsed, exp.Create)
    statements = duckdb.extract_statements(printed)
    assert [each.type.name for each in statements][-1] == "CREATE"


def test_a_table_that_is_not_there_yet_is_said_to_be_so(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.send(0, 2)
    assert place.run("ddl", "--for", "trino") == 1
    assert capsys.readouterr().err == (
        "pipeline: There is no table lake.things yet: `pipeline lake commit` makes it.\n"
    )


@pytest.mark.parametrize(
    ("table", "engine", "has"),
    [
        (IN_GLUE, "athena", 'OPTIMIZE "pipeline_lake"."orders" REWRITE DATA USING BIN_PACK;'),
        (IN_FILE, "athena", "Athena reads tables of Glue alone"),
        (IN_GLUE, "snowflake", "CATALOG_TABLE_NAME = 'orders'"),
        (IN_FILE, "snowflake", "METADATA_FILE_PATH = 'metadata/00012-a.metadata.json'"),
        (IN_GLUE, "trino", "iceberg.catalog.type=glue"),
        (IN_FILE, "trino", "metadata_file_name => '00012-a.metadata.json'"),
        (IN_REST, "spark", "spark.sql.catalog.ours.uri=https://catalog/api"),
        (IN_GLUE, "spark", "CALL ours.system.rewrite_data_files(table => 'pipeline_lake.orders');"),
        (IN_GLUE, "duckdb", "ENDPOINT_TYPE glue"),
    ],
)
def test_each_engine_is_told_where_the_table_is(table: Declared, engine: Engine, has: str) -> None:
    assert has in declaration(table, engine)
