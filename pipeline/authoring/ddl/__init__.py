"""A dataset as its readers declare it: Athena, Glue, DuckDB, Spark, pandas, polars.

    columns.py     what a table has: fields, flattened CSV columns, partition columns
    wording.py     what all dialects share: type spelling, comments, `<dataset>_once`
    projection.py  where Athena may list the partitions itself
    hive.py        the external tables, as DDL and as the JSON of Glue
    athena.py      these tables, and Athena's views over them
    duckdb.py      DuckDB's views
    spark.py       Spark's temporary views
    pandas.py      Python that reads the Parquet files with pandas, or pyarrow
    polars.py      Python that reads them with polars
    now.py         an Iceberg table together with what has landed since
    dead_letters.py  the dead letters themselves, for Athena, Glue, DuckDB and Spark

For every format that is written there is `<dataset>` (CSV: `<dataset>_csv`), with types, and
`<dataset>_once`, which shows each identity once.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

from pipeline.authoring.ddl import athena, dead_letters, duckdb, hive, now, pandas, polars, spark
from pipeline.core.dataset import Dataset
from pipeline.core.errors import SettingsError
from pipeline.core.formats import Format

Dialect = Literal["athena", "glue", "duckdb", "spark", "pandas", "polars"]
DIALECTS: tuple[Dialect, ...] = ("athena", "glue", "duckdb", "spark", "pandas", "polars")
# Kinesis is not older: without a date of the operator's, no row arrived before it.
FIRST_ARRIVAL = date(2013, 11, 1)
_S3_ALONE = "Athena and Glue read S3 alone: the location must be s3://bucket/prefix."


def statements(
    dataset: Dataset,
    location: str,
    dialect: Dialect,
    formats: Sequence[Format] = (),
    since: date | None = FIRST_ARRIVAL,
) -> str:
    """Write what one reader needs for these formats, by default all that the dataset has.

    `location` is the output's root, as a URI. `since` is when the first rows arrived: Athena's
    projected partitions begin there; None: a function registers what has landed. For Glue it is one
    table, as JSON. Raises `SettingsError`.
    """
    location = _root(location)
    for as_format in formats:
        if as_format not in dataset.formats:
            message = f"Dataset {dataset.name} is not written as {as_format}; see its dataset.toml."
            raise SettingsError(message)
    formats = tuple(formats) or dataset.formats
    if dialect in {"athena", "glue"} and not location.startswith("s3://"):
        raise SettingsError(_S3_ALONE)
    if dialect == "glue":
        as_format = min(formats, key=list(Format).index)
        return hive.glue_json(hive.table(dataset, location, as_format, since))
    if dialect == "athena":
        return "\n\n".join(
            athena.statements(dataset, location, as_format, since) for as_format in formats
        )
    if dialect in {"pandas", "polars"}:
        if Format.PARQUET not in formats:
            message = (
                f"What is printed for {dialect} reads Parquet, which typed columns come from; of "
                f"{dataset.name} CSV is asked for. DuckDB's views read it."
            )
            raise SettingsError(message)
        return {"pandas": pandas.statements, "polars": polars.statements}[dialect](
            dataset, location
        )
    write = {"duckdb": duckdb.statements, "spark": spark.statements}[dialect]
    return "\n\n".join(write(dataset, location, as_format) for as_format in formats)


def dead_letter_statements(
    datasets: Sequence[str], location: str, dialect: Dialect, since: date | None = FIRST_ARRIVAL
) -> str:
    """Write what one reader needs for the dead letters of these datasets.

    `location` is the root of the dead letters, as a URI. Raises `SettingsError`.
    """
    location = _root(location)
    if dialect in {"athena", "glue"} and not location.startswith("s3://"):
        raise SettingsError(_S3_ALONE)
    if dialect == "glue":
        return hive.glue_json(dead_letters.table(location, datasets, since))
    if dialect == "athena":
        return dead_letters.athena(location, datasets, since)
    if dialect in {"pandas", "polars"}:
        message = f"Dead letters are gzipped lines of JSON: {dialect} reads one file by read_json."
        raise SettingsError(message)
    return {"duckdb": dead_letters.duckdb, "spark": dead_letters.spark}[dialect](location)


def now_statement(dataset: Dataset, table: str, dialect: Dialect) -> str:
    """Write `<dataset>_now`, over the dataset's Iceberg table and `<dataset>_once`.

    `table` is what the reader calls the Iceberg table. Raises `SettingsError`.
    """
    write = {"athena": now.athena, "duckdb": now.duckdb, "spark": now.spark}.get(dialect)
    if write is None or Format.PARQUET not in dataset.formats:
        message = "--lake makes a view of Athena, DuckDB or Spark, over Parquet: give --dialect."
        raise SettingsError(message)
    return write(dataset, table)


def landing_table(dataset: Dataset, location: str, as_format: Format) -> hive.Table:
    """Return the table over one format, whose partitions a function registers."""
    return hive.table(dataset, location, as_format, None)


def dead_letter_table(datasets: Iterable[str], location: str) -> hive.Table:
    """Return the table over the dead letters, whose partitions a function registers."""
    return dead_letters.table(location, datasets, None)


def _root(location: str) -> str:
    if not location.startswith(("s3://", "file:///")) or "\0" in location:
        message = f"The location {location!r} is neither s3://bucket/prefix nor file:///directory."
        raise SettingsError(message)
    return location.rstrip("/")
