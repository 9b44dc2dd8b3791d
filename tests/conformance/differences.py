"""Where a reader shows something else than was stored, in a sentence.

Each is tested to be still true: what begins to work has to be taken out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.csv_differences import CSV_DIFFERENCES, Difference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.cases import Case


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader in one mode: the script that runs it, and what a page calls it."""

    script: str
    mode: str
    title: str
    java: bool = False
    own: bool = False  # of the tests' own environment, not of the readers'

    @property
    def name(self) -> str:
        """Name it as the table below does."""
        version = "4" if self.java and self.own else "2" if self.own else ""
        return f"{self.script}{version}.{self.mode}"

    @property
    def is_csv(self) -> bool:
        """Whether it reads CSV; otherwise it reads Parquet."""
        return self.mode.startswith("csv")


READERS = (
    Reader("pandas", "bare", "pandas"),
    Reader("pandas", "ddl", "pandas, `ddl`"),
    Reader("pyarrow", "bare", "pyarrow"),
    Reader("pyarrow", "ddl", "pyarrow, `ddl`"),
    Reader("polars", "bare", "polars"),
    Reader("polars", "ddl", "polars, `ddl`"),
    Reader("duckdb", "bare", "DuckDB 1.5"),
    Reader("duckdb", "union", "DuckDB 1.5, README's query"),
    Reader("duckdb", "ddl", "DuckDB 1.5, `ddl`"),
    Reader("duckdb", "bare", "DuckDB 2.0", own=True),
    Reader("duckdb", "union", "DuckDB 2.0, README's query", own=True),
    Reader("duckdb", "ddl", "DuckDB 2.0, `ddl`", own=True),
    Reader("dask", "bare", "dask"),
    Reader("daft", "bare", "Daft"),
    Reader("datafusion", "bare", "DataFusion"),
    Reader("clickhouse", "bare", "ClickHouse"),
    Reader("spark", "bare", "Spark 3.5", java=True),
    Reader("spark", "ddl", "Spark 3.5, `ddl`", java=True),
    Reader("spark", "hive", "Hive 2.3's readers, Athena's table", java=True),
    Reader("spark", "bare", "Spark 4", java=True, own=True),
    Reader("spark", "ddl", "Spark 4, `ddl`", java=True, own=True),
    Reader("pandas", "csv", "pandas"),
    Reader("pandas", "csv_text", "pandas, as text"),
    Reader("pyarrow", "csv", "pyarrow"),
    Reader("pyarrow", "csv_text", "pyarrow, as text"),
    Reader("polars", "csv", "polars"),
    Reader("polars", "csv_text", "polars, as text"),
    Reader("duckdb", "csv", "DuckDB 1.5"),
    Reader("duckdb", "csv_ddl", "DuckDB 1.5, `ddl`"),
    Reader("duckdb", "csv", "DuckDB 2.0", own=True),
    Reader("duckdb", "csv_ddl", "DuckDB 2.0, `ddl`", own=True),
    Reader("spark", "csv_ddl", "Spark 4, `ddl`", java=True, own=True),
    Reader("postgresql", "csv_ddl", "PostgreSQL 18, `COPY`"),
)


NEW_FIELDS = ("*_a_new_nullable_field", "*_a_new_field_with_a_default")
NEW_MEMBERS = ("*_a_new_field_in_a_record", "*_a_new_field_in_records_of_an_array")
DIFFERENCES = (
    Difference(
        ("pandas.bare", "pyarrow.bare", "daft.bare", "duckdb*.bare", "clickhouse.bare", "spark*.bare"),
        tuple(name.replace("*", "old_first") for name in (*NEW_FIELDS, *NEW_MEMBERS)),
        "It takes the columns of the first file, and does not show those that later files have more. Use "
        "what `pipeline ddl` prints, or the union of the files' schemas.",
    ),
    Difference(
        ("duckdb*.bare",), tuple(name.replace("*", "new_first") for name in NEW_FIELDS),
        "It refuses files that lack a column of the first one, without `union_by_name`.",
    ),
    Difference(
        ("polars.bare",), (*NEW_FIELDS, *NEW_MEMBERS),
        "It refuses files whose columns are not those of the first one, unless it is told otherwise, as "
        "`pipeline ddl --dialect polars` does.",
    ),
    Difference(
        ("dask.bare",), (*NEW_FIELDS, *NEW_MEMBERS),
        "It does not show columns that some files lack, and reads records as each file has them.",
    ),
    Difference(
        ("pandas.bare", "pyarrow.bare"),
        ("old_first_null_within_a_record", "old_first_a_record_to_nullable"),
        "It refuses null where the first file says that a member of a record is never null. The schema "
        "that `pipeline ddl --dialect pandas` prints allows it.",
    ),
    Difference(
        ("pandas.bare", "pandas.csv", "dask.bare"), ("type_long", "csv_type_long"),
        "Integers among which is null become floats, which are exact to 2⁵³; with "
        '`dtype_backend="pyarrow"` they stay.',
    ),
    Difference(
        ("pandas.bare", "dask.bare"), ("path_one_number_in_two_spellings",),
        "It guesses that `by_v` is a number, of which there then are two alike, and refuses the "
        "directory. `partitioning=None` reads it without the path's columns.",
    ),
    Difference(
        ("pandas.bare", "dask.bare"), ("path_null_and_empty", "path_null_alone", "path_times"),
        "It cannot read a directory that has a level for null. `partitioning=None` reads it without the "
        "path's columns.",
    ),
    Difference(
        ("pyarrow.bare",), ("path_null_alone",),
        "It cannot guess the type of a level that is null alone.",
    ),
    Difference(
        ("duckdb*",), ("type_decimal_of_50_digits",),
        "Decimals of more than 38 digits are rounded to DOUBLE.",
    ),
    Difference(
        ("polars.bare", "daft.bare", "spark*.bare"), ("type_decimal_of_50_digits",),
        "It has no decimals of more than 38 digits, and does not open the file.",
    ),
    Difference(
        ("polars.ddl", "spark*.ddl", "spark.hive"), ("type_decimal_of_50_digits",),
        "Columns of decimals of more than 38 digits are left out: it has no such type.",
    ),
    Difference(
        ("daft.bare",), ("type_time_millis",),
        "It has no times of day in milliseconds, and does not open the file.",
    ),
    Difference(
        ("datafusion.bare",), ("*_a_new_field_with_a_default",),
        "It refuses to show null for the rows of old files, as new files say that the field is never "
        'null. Make a new field `["null", …]` rather than give it a default.',
    ),
    Difference(
        ("datafusion.bare",), ("*_null_among_a_maps_values",),
        "It cannot read maps together of which one kind has null among its values.",
    ),
    Difference(
        ("clickhouse.bare",), ("type_bytes",),
        "Bytes and text are one type, which is handed out as text: ask for `hex(v)`.",
    ),
    Difference(
        ("clickhouse.bare",), ("type_time_millis", "type_time_micros"),
        "Times of day are shown as times of 1970-01-01.",
    ),
    Difference(
        ("clickhouse.bare",), ("type_local_timestamp",),
        "It has no times without a zone, and shows them as instants in UTC.",
    ),
    Difference(
        ("clickhouse.bare",),
        ("type_record_in_a_record", "type_array", "type_map", "*_a_record_to_nullable"),
        "Arrays, maps and records are never null: it shows an empty array or map, and a record of nulls "
        "or zeros.",
    ),
    Difference(
        ("clickhouse.bare",),
        (
            "old_first_required_to_nullable", "old_first_null_within_a_record",
            "old_first_null_among_items", "old_first_null_among_a_maps_values",
            "new_first_a_new_field_with_a_default",
        ),
        'Where the first file says that there is no null, it shows 0 or "" for null.',
    ),
    Difference(
        ("spark.bare",), ("type_old_dates", "type_old_timestamps", "path_date"),
        "Dates before 1582 and times before 1900 want the option `datetimeRebaseMode`, which the views of "
        "`pipeline ddl` have.",
    ),
    Difference(
        ("spark*.bare",), ("type_time_millis", "type_time_micros"),
        "It has no times of day, and does not open the file; the views of `pipeline ddl` do.",
    ),
    Difference(
        ("spark*.ddl",), ("type_time_millis", "type_time_micros"),
        "Times of day are numbers since midnight.",
    ),
    Difference(
        ("spark.hive",), ("type_time_millis", "type_time_micros"),
        "Columns of times of day are left out: Hive and Athena have no such type.",
    ),
    Difference(
        ("spark.hive",),
        ("type_timestamp", "type_old_timestamps", "type_local_timestamp", "path_times"),
        "Hive before 3 reads no timestamps of 64 bits. Athena has a reader of its own, which is not tried here.",
    ),
    Difference(
        ("spark.hive",), ("type_old_dates", "path_date"),
        "Hive before 3 has the Julian calendar for days before 1582. Athena is not tried here.",
    ),
    Difference(
        ("spark.hive",), ("path_boolean", "path_enum"),
        "The table's partitions are projected, which is Athena's alone: other readers of the catalogue "
        "see no row until they are registered, by `MSCK REPAIR TABLE` or the function of infra/.",
    ),
    Difference(
        ("polars.*", "duckdb*.union", "duckdb*.ddl", "dask.bare"), ("layout_*",),
        "It refuses directories of two layouts. The pipeline does not make them: `check` and the start "
        "refuse another `partition_by` for a dataset that has rows.",
    ),
    Difference(
        ("spark*.bare", "spark*.ddl", "spark.hive"), ("layout_*",),
        "It refuses directories of two layouts, or does not show the rows above those with a level more. "
        "The pipeline does not make them: `check` and the start refuse another `partition_by` for a "
        "dataset that has rows.",
    ),
    *CSV_DIFFERENCES,
)  # fmt: skip


def pairs(cases: Iterable[Case]) -> list[tuple[Reader, Case]]:
    """Return each reader with each case of its format."""
    return [(one, case) for case in cases for one in READERS if one.is_csv == case.is_csv]


def difference(reader: str, case: str) -> str | None:
    """Return the sentence about a reader in a case; None where it shows what was stored."""
    found = [one.sentence for one in DIFFERENCES if one.covers(reader, case)]
    assert len(found) < 2, (reader, case, found)
    return found[0] if found else None
