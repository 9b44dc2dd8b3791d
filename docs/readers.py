"""Make docs/readers.md: what each reader shows of each case, from the tables of the tests.

The tests of tests/conformance hold each cell to the readers themselves.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))

from conformance.cases import CASES  # noqa: E402 - the path first
from conformance.csv_cases import CSV_CASES  # noqa: E402 - the path first
from conformance.differences import DIFFERENCES, READERS, difference, pairs  # noqa: E402 - the path first

PAGE = ROOT / "docs" / "readers.md"
_HEAD = """\
<!-- Made from tests/conformance by docs/readers.py: change it there, and run `make reference`. -->

# What readers see

Every reader below was given the same directories of Parquet, or [of CSV](#csv-types), that the pipeline had
written, and asked for the same columns. ✓ is the values that were sent, nulls and types included. A number is something else,
told [below](#what-is-not-the-same). `make conformance` runs all of it again, with the readers that
[requirements/readers.txt](../requirements/readers.txt) pins, and fails where a ✓ is none any more, or a
number is one now.

Without a mark, a reader opens the bare directory, as in `pandas.read_parquet(directory)`. `ddl` is what
`pipeline ddl` prints for it, which shows the columns of every version, as far as it has their types.
"""
_NOTES = {
    "Two layouts": """\
Directories that the pipeline does not make: where a dataset has rows, `check` and the start refuse another
`partition_by` for it ([layout.toml](../schemas/README.md#layouttoml)). These were made all the same, to see
what it is refused for.

""",
    "CSV: types": """\
CSV has no types. Without a mark a reader guesses them, and ✓ is the values that were sent, but base64, and
JSON for arrays and maps, which nobody can guess. *As text*, it was asked for text: ✓ is the cells as
[types](reference/types.md) tells them, null apart. With `ddl`, and in PostgreSQL by a table with the columns'
types, ✓ is every value. polars guesses with `schema_overrides={"_sequence_number": polars.String}` alone:
otherwise it takes that column for a number, and refuses every file.

""",
}
_TAIL = """\
## Not tried here

Athena, Redshift, Snowflake, BigQuery and Excel, which no package has. The statements for Athena are
parsed by Hive's and Trino's grammars, and its tables read by Hive's own readers, as above. Of CSV,
Hive's reader is tried in the tests of `pipeline ddl`, and Spark 3.5 is not. LibreOffice is not run by `make conformance`,
as it is too large to install for it; [CSV](csv.md) says what spreadsheets do with formulas, encodings and long
numbers.
"""


def page() -> str:
    """Return the page's text."""
    numbers = {one.sentence: number for number, one in enumerate(DIFFERENCES, 1)}
    groups = {
        "Types": [case for case in CASES if case.name.startswith("type_")],
        "Values in the path": [case for case in CASES if case.name.startswith("path_")],
        "Two versions of a schema": [case for case in CASES if "_first_" in case.name],
        "Two layouts": [case for case in CASES if case.name.startswith("layout_")],
        "CSV: types": [case for case in CSV_CASES if case.name.startswith("csv_type_")],
        "CSV: text, options and versions": [
            case for case in CSV_CASES if not case.name.startswith("csv_type_")
        ],
    }
    parts = [_HEAD]
    for title, cases in groups.items():
        names = [case.title.replace("two versions, ", "") for case in cases]
        readers = [reader for reader in READERS if reader.is_csv == cases[0].is_csv]
        rows = [
            [name, *(_cell(reader.name, case.name, numbers) for reader in readers)]
            for name, case in zip(names, cases, strict=True)
        ]
        head = ["case", *(reader.title for reader in readers)]
        lines = [head, ["---"] * len(head), *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {title}\n\n{_NOTES.get(title, '')}{table}\n")
    cells = [difference(reader.name, case.name) for reader, case in pairs((*CASES, *CSV_CASES))]
    same = cells.count(None)
    told = "\n".join(f"{number}. {sentence}" for sentence, number in numbers.items())
    count = f"Of {len(cells):,} cells {same:,} are the same, and {len(cells) - same} are told:"
    parts.append(f"## What is not the same\n\n{count}\n\n{told}\n")
    return "\n".join([*parts, _TAIL])


def _cell(reader: str, case: str, numbers: dict[str, int]) -> str:
    sentence = difference(reader, case)
    return "✓" if sentence is None else str(numbers[sentence])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(PAGE)
