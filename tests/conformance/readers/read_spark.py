"""Spark: a bare directory, and the views of `pipeline ddl`; Spark 3 also Hive's own serdes."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pyspark
from pyspark.sql import SparkSession, types

MODES = ("bare", "ddl", "hive") if pyspark.__version__.startswith("3.") else ("bare", "ddl")
CSV_MODES = () if "hive" in MODES else ("csv_ddl",)  # one of the two will do
_HOME = tempfile.mkdtemp()
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.default.parallelism": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.warehouse.dir": f"{_HOME}/warehouse",
    # Compiled briefly, and collected by one thread: the queries are many and small.
    "spark.driver.extraJavaOptions": f"-Duser.timezone=UTC -Dderby.system.home={_HOME} "
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    # Hive's reader of Parquet, not Spark's, for Hive's tables.
    "spark.sql.hive.convertMetastoreParquet": "false",
    "spark.log.level": "OFF",
}
_opened: list[Any] = []
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(case: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    """Return rows."""
    session = _session()
    table = "things"
    if mode == "bare":
        table = "bare"
        session.read.parquet(case["directory"]).createOrReplaceTempView(table)
    elif mode.endswith("ddl"):
        _run(session, case["ddl"]["spark"])
        table = "things" if mode == "ddl" else "things_csv"
    else:
        table = "lake.things"
        session.sql("DROP TABLE IF EXISTS lake.things")
        _run(session, case["ddl"]["hive"].replace("`things`", "lake.things"))
    found = session.table(table)
    instants = {
        field.name for field in found.schema if isinstance(field.dataType, types.TimestampType)
    }
    # As numbers: Python's times of the year 1 break where it looks for the local offset.
    asked = [
        f"unix_micros({name}) AS {name}" if name in instants else name for name in case["names"]
    ]
    return [
        {
            column: EPOCH + timedelta(microseconds=value)
            if name in instants and value is not None
            else value
            for column, name, value in zip(case["columns"], case["names"], row, strict=True)
        }
        for row in found.selectExpr(*asked).collect()
    ]


def _run(session: Any, text: str) -> None:
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    for statement in re.split(r";\n", code + "\n"):
        if statement.strip() and "_once` AS" not in statement:
            session.sql(statement)


def _session() -> Any:
    if not _opened:
        os.chdir(_HOME)  # Derby writes here
        builder = SparkSession.builder.master("local[1]").appName("conformance")
        for name, value in _SETTINGS.items():
            builder = builder.config(name, value)
        if "hive" in MODES:
            builder = builder.enableHiveSupport()
        session = builder.getOrCreate()
        if "hive" in MODES:
            session.sql("CREATE DATABASE IF NOT EXISTS lake")
        _opened.append(session)
    return _opened[0]
