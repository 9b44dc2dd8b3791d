"""Where a reader of CSV shows something else than was stored, in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Difference:
    """What the readers of these names do in the cases of these names; both are patterns."""

    readers: tuple[str, ...]
    cases: tuple[str, ...]
    sentence: str

    def covers(self, reader: str, case: str) -> bool:
        """Whether it is about a reader in a case."""
        return any(fnmatchcase(reader, one) for one in self.readers) and any(
            fnmatchcase(case, one) for one in self.cases
        )


GUESSES = ("pandas.csv", "pyarrow.csv", "polars.csv", "duckdb*.csv")
WITH_EMPTY = (
    "csv_type_string",
    "csv_type_bytes",
    "csv_null_and_the_empty_string",
    "csv_NUL_removed",
)
ZEROS = ("csv_plain_then_*", "csv_values_in_the_path")
CSV_DIFFERENCES = (
    Difference(
        GUESSES, ("csv_type_decimal*",),
        "It guesses that decimals are DOUBLE, which is exact to 15 digits.",
    ),
    Difference(
        ("pandas.csv", "pandas.csv_text"), WITH_EMPTY,
        "The empty string is null, or with `keep_default_na=False` null is the empty string.",
    ),
    Difference(
        ("duckdb*.csv",), WITH_EMPTY,
        "The empty string is null, without `allow_quoted_nulls = false`, which the views of "
        "`pipeline ddl` have.",
    ),
    Difference(
        ("pandas.csv",),
        ("csv_type_date", "csv_type_old_dates", "csv_type_time_*", "csv_type_*timestamp*"),
        "Dates and times stay text.",
    ),
    Difference(
        ("pandas.csv",), ("csv_words_for_null",),
        "Words such as NA, null and None are null, without `keep_default_na=False`.",
    ),
    Difference(
        ("pandas.csv", "pyarrow.csv"), ("csv_type_leading_zeros",),
        "It guesses that text is a number: 01067 becomes 1067, and NA is null. Ask for text.",
    ),
    Difference(
        ("pandas.csv",), ZEROS,
        "It guesses that the text of one file is a number, and shows 01 as 1. Ask for text.",
    ),
    Difference(
        ("pyarrow.csv",), ZEROS,
        "It guesses that the text of one file is a number, which then does not fit to that of another. "
        "Ask for text.",
    ),
    Difference(
        ("pyarrow.csv",), ("csv_type_time_*", "csv_type_old_timestamps"),
        "Times of day stay text, and so do times whose nanoseconds are beyond 64 bits.",
    ),
    Difference(
        ("pyarrow.csv",),
        (
            "csv_type_string", "csv_type_enum", "csv_type_uuid", "csv_type_bytes", "csv_type_fixed",
            "csv_type_record", "csv_type_array*", "csv_type_map", "csv_in_an_array", "csv_null_and_the_empty_string",
            "csv_gzip", "csv_all_options",
        ),
        "Null among text is the empty string, without the options that [CSV](csv.md) names.",
    ),
    Difference(
        ("polars.csv", "polars.csv_text"), ("csv_*_a_new_*",),
        "It refuses files whose columns are not those of the first one. Read each alone, and put them "
        'together by `polars.concat(…, how="diagonal")`.',
    ),
    Difference(
        ("duckdb*.csv",), ("csv_*_a_new_*",),
        "It refuses files of which one has a column more, without `union_by_name`, which the views of "
        "`pipeline ddl` have.",
    ),
    Difference(
        ("duckdb*.csv_ddl", "spark4.csv_ddl"), ("csv_type_decimal_of_50_digits",),
        "Decimals of more than 38 digits stay text: it has no such type.",
    ),
    Difference(
        ("spark4.csv_ddl",), ("csv_type_time_*",),
        "Times of day stay text: it has no such type.",
    ),
    Difference(
        ("postgresql.csv_ddl",), ("csv_NUL",),
        "It refuses a file with a NUL in it: see the setting `nul`.",
    ),
)  # fmt: skip
