"""What came out, counted from the files alone: tables by DuckDB, dead letters as gzip and JSON."""

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_never

import duckdb
import msgspec
import pyarrow as pa

from pipeline.adapters.schemas import read_datasets
from pipeline.core.dataset import UNROUTED
from pipeline.core.formats import Format
from pipeline.demo.place import Place
from pipeline.demo.verdict import Counted

DeadLetter = dict[str, Any]

_IDENTITY = "_source, _sequence_number, _sub_sequence_number, _document"
_COUNT = "SELECT count(*) FROM {reader}"
_COLLECT = "INSERT INTO identities SELECT ?, {identity} FROM {reader}"
# An identity that two datasets had would count for one of them, and be missed at the other.
_DISTINCT = """
    SELECT dataset, count(*)
    FROM (SELECT min(dataset) AS dataset FROM identities GROUP BY {identity}) GROUP BY dataset
"""


def count(place: Place) -> Counted:
    """Count rows, dead letters, and the identities of both."""
    with duckdb.connect() as database:
        letters, reasons = _letters(place)
        database.register("letters", letters)
        database.execute("CREATE TABLE identities AS SELECT * FROM letters")
        rows: dict[tuple[str, str], int] = {}
        for dataset in read_datasets(place.schemas):
            for as_format in dataset.formats:
                rows[dataset.name, as_format] = _rows(database, place, dataset.name, as_format)
            _collect(database, place, dataset.name, dataset.formats[0])
        identities = database.execute(_DISTINCT.format(identity=_IDENTITY)).fetchall()
    return Counted(
        rows=rows,
        dead_letters=Counter(letters["dataset"].to_pylist()),
        reasons=reasons,
        identities=Counter(dict(identities)),
    )


def query(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a query: the columns' names, and the rows."""
    with duckdb.connect() as database:
        result = database.execute(sql)
        return [column[0] for column in result.description], result.fetchall()


def pattern(folder: Path, as_format: Format) -> str:
    """Return what DuckDB finds the files of a table by."""
    literally = re.sub(r"([*?[])", r"[\1]", str(folder))
    compressed = "*" if as_format is Format.CSV else ""
    return f"{literally}/**/*.{as_format.suffix}{compressed}"


def dead_letters(place: Place) -> Iterator[DeadLetter]:
    """Read every dead letter, in the order of the files' names."""
    decode = msgspec.json.decode
    for path in sorted(place.dead_letters.rglob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            yield from map(decode, lines)


def _letters(place: Place) -> tuple[pa.Table, Counter[str]]:
    """Return the identities of all dead letters, and how many there are for each reason."""
    rows: list[tuple[str, str, str, int, int]] = []
    reasons: Counter[str] = Counter()
    for letter in dead_letters(place):
        reasons[letter["reason"]] += 1
        place_on_stream = letter["source"], letter["sequence_number"]
        number = letter["sub_sequence_number"], letter["document"]
        rows.append((letter["dataset"] or UNROUTED, *place_on_stream, *number))
    columns = ("dataset", *_IDENTITY.split(", "))
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    return pa.table(dict(zip(columns, map(list, values), strict=True))), reasons


def _rows(database: Any, place: Place, dataset: str, as_format: Format) -> int:
    folder = place.output / dataset / as_format
    if not folder.exists():
        return 0
    sql = _COUNT.format(reader=_reader(as_format))
    rows: int = database.execute(sql, [pattern(folder, as_format)]).fetchall()[0][0]
    return rows


def _reader(as_format: Format) -> str:
    match as_format:
        case Format.PARQUET:
            return "read_parquet(?, hive_partitioning = false)"
        case Format.CSV:
            return (
                "read_csv(?, hive_partitioning = false, all_varchar = true, header = true, "
                "delim = ',', quote = '\"', escape = '\"')"
            )
        case _:
            assert_never(as_format)


def _collect(database: Any, place: Place, dataset: str, as_format: Format) -> None:
    folder = place.output / dataset / as_format
    if folder.exists():
        sql = _COLLECT.format(identity=_IDENTITY, reader=_reader(as_format))
        database.execute(sql, [dataset, pattern(folder, as_format)])
