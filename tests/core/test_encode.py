"""What is written is what other readers read: Parquet and CSV, by polars and duckdb."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import (
    ARRIVED,
    ORDERS,
    ROOT,
    SOURCE,
    Stored,
    as_json,
    chunk_of,
    dataset,
    deliver,
    kinesis_event,
    order,
    read_parquet,
    sequence_number,
)

from pipeline.core.census import CENSUS
from pipeline.core.convert import convert
from pipeline.core.encode import encode
from pipeline.core.formats import Format

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CENTS = st.decimals(0, 10**9, places=2)
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", '"', ",", "\n", "\r\n", "'", "\\N", "NULL", "\0é"]
)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ORDER = st.fixed_dictionaries(
    {
        "order_id": st.uuids().map(str) | st.uuids().map(lambda uuid: str(uuid).upper()),
        "placed_at": st.builds(
            lambda age, zone: (ARRIVED - age).astimezone(zone).isoformat(),
            st.timedeltas(timedelta(hours=-20), timedelta(days=29)),
            ZONES,
        ),
        "country": st.from_regex(r"\A[A-Z]{2}\Z"),
        "total": CENTS.map(str) | st.integers(0, 10**10 - 1),
        "customer": st.fixed_dictionaries(
            {"id": st.integers(1, 2**63 - 1)},
            optional={
                "email": st.none() | TEXTS,
                "loyalty_points": st.none() | st.integers(0, 2**31 - 1),
            },
        ),
        "items": st.lists(
            st.fixed_dictionaries(
                {
                    "sku": TEXTS.filter(bool),
                    "quantity": st.integers(1, 2**31 - 1),
                    "price": st.decimals(-(10**7), 10**7, places=2).map(str),
                }
            ),
            max_size=3,
        ),
    },
    optional={
        "status": st.sampled_from([None, "placed", "paid", "shipped", "cancelled"]),
        "coupon": st.none() | TEXTS,
        "gift": st.none() | st.booleans(),
        "weight_kg": st.none() | st.floats(0, allow_infinity=False) | st.integers(0, 10**15),
        "unknown to the schema": st.none() | TEXTS,
    },
)


def expected(document: dict[str, Any], number: int) -> dict[str, Any]:
    """Say by the contract's words, with Python's own readers, which row an order becomes."""
    weight = document.get("weight_kg")
    return {
        "order_id": document["order_id"].lower(),
        "placed_at": (datetime.fromisoformat(document["placed_at"]) - EPOCH) // MICROSECOND,
        "country": document["country"],
        "status": document.get("status") or "placed",
        "total": Decimal(document["total"]),
        "customer.id": document["customer"]["id"],
        "customer.email": document["customer"].get("email"),
        "customer.loyalty_points": document["customer"].get("loyalty_points") or 0,
        "items": [item | {"price": Decimal(item["price"])} for item in document["items"]],
        "coupon": document.get("coupon"),
        "gift": document.get("gift") or False,
        "weight_kg": None if weight is None else float(weight),
        "_source": SOURCE,
        "_sequence_number": sequence_number(number),
        "_sub_sequence_number": 0,
        "_document": 0,
        "_arrived_at": (ARRIVED - EPOCH) // MICROSECOND,
    }


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Flatten the one record of a row, and name what compares otherwise than it prints."""
    customer = row.pop("customer")
    return row | {f"customer.{key}": value for key, value in customer.items()}


def files(stored: Stored, folder: Path) -> Path:
    """Write the objects of a store into an empty folder; return the folder."""
    for old in folder.rglob("*.*"):
        if old.is_file():
            old.unlink()
    for number, (key, body) in enumerate(stored.output.objects.items()):
        (folder / f"{number}.{key.rpartition('.')[2]}").write_bytes(body)
    return folder


def delivered(documents: list[dict[str, Any]], folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Deliver orders; return where the files are and which rows should be in them."""
    stored = deliver(kinesis_event([as_json(order(**changes)) for changes in documents]), [ORDERS])
    assert not stored.letters
    return files(stored, folder), [
        expected(document, number) for number, document in enumerate(documents)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the examples of one test use one after the other."""
    return tmp_path_factory.mktemp("lake")


BATCHES = st.lists(ORDER, min_size=1, max_size=5)


@settings(max_examples=25)
@given(documents=BATCHES)
def test_polars_reads_every_order_from_parquet(folder: Path, documents: list[Any]) -> None:
    where, rows = delivered(documents, folder)
    micros = pl.col("placed_at", "_arrived_at").dt.epoch("us")
    table = pl.concat(
        [pl.read_parquet(path, hive_partitioning=False) for path in where.glob("*.parquet")]
    )
    read = table.with_columns(micros).sort("_sequence_number").to_dicts()
    assert [flat(row) for row in read] == rows


@settings(max_examples=25)
@given(documents=BATCHES)
def test_duckdb_reads_every_order_from_parquet(folder: Path, documents: list[Any]) -> None:
    where, rows = delivered(documents, folder)
    query = f"""
        SELECT * REPLACE (epoch_us(placed_at) AS placed_at, epoch_us(_arrived_at) AS _arrived_at)
        FROM read_parquet('{where}/*.parquet') ORDER BY _sequence_number
    """
    found = query_of(query)
    read = [dict(zip(found.columns, values, strict=True)) for values in found.fetchall()]
    assert [flat(row) for row in read] == rows


CSV_ROW: dict[str, Any] = {
    "placed_at": lambda micros: (EPOCH + micros * MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "_arrived_at": lambda micros: (EPOCH + micros * MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "total": lambda value: f"{value:.2f}",
    "gift": lambda value: "true" if value else "false",
}


def query_of(query: str) -> duckdb.DuckDBPyRelation:
    """Ask DuckDB, which answers a query with a relation."""
    found = duckdb.sql(query)
    assert found is not None
    return found


def as_csv(row: dict[str, Any]) -> dict[str, Any]:
    """Say how the contract writes a row as CSV; what is compared by value is left out."""
    texts = {key: CSV_ROW.get(key, str)(value) for key, value in row.items() if value is not None}
    nulls: dict[str, Any] = {key: None for key, value in row.items() if value is None}
    return texts | nulls | {"items": row["items"], "weight_kg": row["weight_kg"]}


def from_csv(row: dict[str, Any]) -> dict[str, Any]:
    """Read the two columns that are compared by value."""
    weight = row["weight_kg"]
    items = [
        item | {"price": Decimal(item["price"])}
        for item in json.loads(row["items"], parse_float=Decimal)
    ]
    return row | {"items": items, "weight_kg": None if weight is None else float(weight)}


def without_nul(documents: list[Any]) -> list[Any]:
    """Take NUL out of the texts: duckdb's reader of CSV ends a text there."""
    return json.loads(json.dumps(documents).replace("\\u0000", ""))  # type: ignore[no-any-return]  # as it came


@settings(max_examples=25)
@given(documents=BATCHES)
def test_polars_reads_every_order_from_csv(folder: Path, documents: list[Any]) -> None:
    """Null and the empty string stay apart."""
    where, rows = delivered(documents, folder)
    tables = [pl.read_csv(path, infer_schema=False) for path in where.glob("*.csv")]
    read = pl.concat(tables).sort("_sequence_number").to_dicts()
    assert [from_csv(row) for row in read] == [as_csv(row) for row in rows]


@settings(max_examples=25)
@given(documents=BATCHES.map(without_nul))
def test_duckdb_reads_every_order_from_csv(folder: Path, documents: list[Any]) -> None:
    """Null and the empty string stay apart."""
    documents = [
        document for document in documents if all(item["sku"] for item in document["items"])
    ]
    if not documents:
        return
    where, rows = delivered(documents, folder)
    query = f"""
        SELECT * FROM read_csv(
            '{where}/*.csv', header=true, all_varchar=true, delim=',', quote='"', escape='"',
            nullstr='', allow_quoted_nulls=false, strict_mode=true, auto_detect=false,
            columns={{{", ".join(f"'{name}': 'VARCHAR'" for name in csv_header(where))}}}
        ) ORDER BY _sequence_number
    """
    found = query_of(query)
    read = [dict(zip(found.columns, values, strict=True)) for values in found.fetchall()]
    assert [from_csv(row) for row in read] == [as_csv(row) for row in rows]


def csv_header(folder: Path) -> list[str]:
    """Return the column names of the CSV files in a folder."""
    path = next(folder.glob("*.csv"))
    return [name.strip('"') for name in path.read_text("utf-8").partition("\n")[0].split(",")]


# ----------------------------------------------------------------------------- every type

INNER = {"type": "record", "name": "Inner", "fields": [
    {"name": "x", "type": "int"}, {"name": "y", "type": ["null", "string"], "default": None},
]}  # fmt: skip


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """Make a logical type."""
    return {"type": kind, "logicalType": name, **more}


EVERY = {
    # name: (Avro type, JSON value, value in Parquet, text in CSV)
    "boolean": ("boolean", True, True, "true"),
    "int": ("int", -1, -1, "-1"),
    "long": ("long", 2**63 - 1, 2**63 - 1, "9223372036854775807"),
    "float": ("float", 0.5, 0.5, "0.5"),
    "double": ("double", 0.1, 0.1, "0.1"),
    "double_large": ("double", 1e300, 1e300, "1e+300"),
    "string": ("string", 'a "b",\n', 'a "b",\n', '"a ""b"",\n"'),
    "enum": ({"type": "enum", "name": "E", "symbols": ["A"]}, "A", "A", '"A"'),
    "bytes": ("bytes", "AP8=", b"\0\xff", '"AP8="'),
    "fixed": ({"type": "fixed", "name": "F", "size": 2}, "AP8=", b"\0\xff", '"AP8="'),
    "decimal": (logical("bytes", "decimal", precision=38, scale=10), "0.0000000001", Decimal("0.0000000001"), '"0.0000000001"'),
    "decimal_large": (logical("bytes", "decimal", precision=76), 10**75, Decimal(10**75), f'"1{"0" * 75}"'),
    "date": (logical("int", "date"), "0001-01-01", datetime(1, 1, 1).date(), '"0001-01-01"'),  # noqa: DTZ001
    "time_millis": (logical("int", "time-millis"), "23:59:59.9999", "23:59:59.999000", '"23:59:59.999"'),
    "time_micros": (logical("long", "time-micros"), "00:00:00.000001", "00:00:00.000001", '"00:00:00.000001"'),
    "timestamp": (logical("long", "timestamp-millis"), "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC), '"0001-01-01T00:00:00.000000Z"'),
    "local": (logical("long", "local-timestamp-micros"), "9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999), '"9999-12-31T23:59:59.999999"'),  # noqa: DTZ001
    "array": ({"type": "array", "items": ["null", logical("int", "date")]}, ["2026-11-23", None], None, '"[""2026-11-23"",null]"'),
    "map": ({"type": "map", "values": logical("bytes", "decimal", precision=4, scale=2)}, {"k": 1.5}, None, '"{""k"":1.50}"'),
    "bytes_array": ({"type": "array", "items": "bytes"}, ["AP8="], [b"\0\xff"], '"[""AP8=""]"'),
    "times": ({"type": "array", "items": logical("long", "timestamp-micros")}, ["2026-11-23T09:30:00Z"], [datetime(2026, 11, 23, 9, 30, tzinfo=UTC)], '"[""2026-11-23T09:30:00.000000Z""]"'),
}  # fmt: skip


def one_column(kind: Any, value: Any) -> Stored:
    """Deliver one document of one nullable field in both formats, and one without it."""
    made = dataset(
        {"name": "f", "type": ["null", kind], "default": None},
        config='formats = ["parquet", "csv"]',
    )
    stored = deliver(kinesis_event([as_json({"f": value}), b"{}"]), [made])
    assert not stored.letters
    return stored


@pytest.mark.parametrize("name", EVERY)
def test_every_type_is_written_as_the_contract_says(name: str) -> None:
    kind, value, in_parquet, in_csv = EVERY[name]
    stored = one_column(kind, value)
    first, second = stored.rows
    assert second["f"] is None
    if in_parquet is not None:
        found = first["f"]
        assert (
            found.isoformat("microseconds") if name.startswith("time_") else found
        ) == in_parquet
    (text,) = (body.decode() for key, body in stored.output.objects.items() if key.endswith(".csv"))
    table = text.splitlines()
    position = [column.strip('"') for column in table[0].split(",")].index("f")
    assert f"{in_csv}" in text
    assert table[-1].split(",")[position] == ""


@pytest.mark.parametrize("name", sorted({*EVERY} - {"decimal_large"}))
def test_every_type_is_one_that_other_readers_know(name: str, tmp_path: Path) -> None:
    """Decimals beyond 38 digits aside, which neither holds."""
    kind, value, _, _ = EVERY[name]
    where = files(one_column(kind, value), tmp_path)
    assert pl.read_parquet(where / "*.parquet")["f"].null_count() == 1
    counts = query_of(f"SELECT count(*), count(f) FROM read_parquet('{where}/*.parquet')")
    assert counts.fetchall() == [(2, 1)]


def test_a_record_that_is_null_is_null_and_its_fields_are_empty_in_csv() -> None:
    made = dataset(
        {"name": "r", "type": ["null", INNER], "default": None},
        config='formats = ["parquet", "csv"]',
    )
    documents = [b"{}", b'{"r":{"x":1}}', b'{"r":null}', b'{"r":{"x":2,"y":""}}']
    stored = deliver(kinesis_event(documents), [made])
    assert [row["r"] for row in stored.rows] == [
        None, {"x": 1, "y": None}, None, {"x": 2, "y": ""},
    ]  # fmt: skip
    (text,) = (body.decode() for key, body in stored.output.objects.items() if key.endswith(".csv"))
    header, *lines = (line.split(",") for line in text.splitlines())
    names = [name.strip('"') for name in header]
    x, y = names.index("r.x"), names.index("r.y")
    assert [(line[x], line[y]) for line in lines] == [("", ""), ("1", ""), ("", ""), ("2", '""')]


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_doubles_survive_both_formats(values: list[float | None]) -> None:
    made = dataset(
        {"name": "f", "type": ["null", "double"], "default": None},
        config='formats = ["parquet", "csv"]',
    )
    stored = deliver(kinesis_event([as_json({"f": value}) for value in values]), [made])
    assert [repr(row["f"]) for row in stored.rows] == [repr(value) for value in values]
    (body,) = (body for key, body in stored.output.objects.items() if key.endswith(".csv"))
    texts = pl.read_csv(body, infer_schema=False)["f"].to_list()
    assert [repr(None if text is None else float(text)) for text in texts] == list(
        map(repr, values)
    )


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
@example([0.10000000149011612, 16777216.0, 3.4028234663852886e38, 1.401298464324817e-45, -0.0])
def test_floats_in_arrays_are_as_short_in_csv_as_floats_in_columns(values: list[float]) -> None:
    made = dataset(
        {"name": "f", "type": "float"},
        {"name": "list", "type": {"type": "array", "items": "float"}},
        config='formats = ["csv"]',
    )
    documents = [as_json({"f": value, "list": [value]}) for value in values]
    (body,) = deliver(kinesis_event(documents), [made]).output.objects.values()
    rows = pl.read_csv(body, infer_schema=False).to_dicts()
    lists = [json.loads(row["list"]) for row in rows]
    assert lists == [[float(row["f"])] for row in rows]
    assert [struct.unpack("f", struct.pack("f", value)) for (value,) in lists] == [
        (value,) for value in values
    ]


def test_a_float_is_the_nearest_there_is_and_never_infinite() -> None:
    made = dataset({"name": "f", "type": "float"})
    stored = deliver(kinesis_event([b'{"f":0.1}', b'{"f":1e39}', b'{"f":-1e39}']), [made])
    assert [row["f"] for row in stored.rows] == [0.10000000149011612]
    assert [letter["reason"] for letter in stored.letters] == ["out_of_range"] * 2


# ------------------------------------------------------------------------ the file as such


def test_a_parquet_file_says_where_it_came_from() -> None:
    stored = deliver(kinesis_event([as_json(order())]), [ORDERS])
    (body,) = (body for key, body in stored.output.objects.items() if key.endswith(".parquet"))
    metadata = {
        key.decode(): value.decode()
        for key, value in read_parquet(body).schema.metadata.items()
        if key.startswith(b"pipeline.")
    }
    assert metadata.pop("pipeline.schema_fingerprint")
    assert metadata == {
        "pipeline.dataset": "orders",
        "pipeline.schema_version": "1",
        "pipeline.partition_by": '["date(placed_at)", "country"]',
        "pipeline.rows": "1",
        "pipeline.source": SOURCE,
        "pipeline.first_sequence_number": sequence_number(0),
        "pipeline.last_sequence_number": sequence_number(0),
    }


def test_a_parquet_file_is_zstd_with_microseconds_and_no_null_typed_column() -> None:
    import pyarrow as pa

    stored = deliver(kinesis_event([as_json(order())]), [ORDERS])
    (body,) = (body for key, body in stored.output.objects.items() if key.endswith(".parquet"))
    file = pq.ParquetFile(pa.BufferReader(body))
    group = file.metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    assert not any(pa.types.is_null(field.type) for field in file.schema_arrow)
    assert {
        str(column.type) for column in file.schema_arrow if pa.types.is_timestamp(column.type)
    } == {"timestamp[us, tz=UTC]"}


@settings(max_examples=25)
@given(documents=BATCHES | st.just([{}] * 1_500))
def test_a_parquet_file_has_the_bytes_that_pyarrow_parquet_writes(
    documents: list[dict[str, Any]],
) -> None:
    """Law: the class that writes, which is not public, writes what the public function does."""
    import pyarrow as pa

    stored = deliver(kinesis_event([as_json(order(**changes)) for changes in documents]), [ORDERS])
    for body in (body for key, body in stored.output.objects.items() if key.endswith(".parquet")):
        file = pq.ParquetFile(pa.BufferReader(body))
        group = file.metadata.row_group(0)
        repeating = [
            column.path_in_schema
            for column in map(group.column, range(group.num_columns))
            if column.has_dictionary_page
        ]
        again = pa.BufferOutputStream()
        table = file.read().replace_schema_metadata(file.schema_arrow.metadata)
        options = {"compression": "zstd", "coerce_timestamps": "us"}
        with pq.ParquetWriter(again, table.schema, use_dictionary=repeating, **options) as writer:
            writer.write_table(table)
            census = file.metadata.metadata[CENSUS.encode()]
            writer.add_key_value_metadata({CENSUS: census})
        assert bytes(again.getvalue()) == body


DIGESTS = """
import hashlib, json, sys
from support import ORDERS, as_json, deliver, kinesis_event, order
countries = ["DE", "FR", "XX", "DE", ""]
records = [as_json(order(country=country)) for country in countries] + [b"broken", b"", b"\\xff"]
stored = deliver(kinesis_event(records), [ORDERS])
print(json.dumps({k: hashlib.sha256(v).hexdigest() for k, v in stored.objects.items()}))
"""


PATHS_FIELDS: list[Any] = [
    {"name": "id", "type": "string"},
    {"name": "kind", "type": "string"},
    {"name": "part", "type": {"type": "record", "name": "P", "fields": [
        {"name": "number", "type": "int"}, {"name": "sign", "type": "int"}]}},
    {"name": "tags", "type": {"type": "array", "items": {"type": "record", "name": "T", "fields": [
        {"name": "tag", "type": "string"}, {"name": "unlike", "type": "string"}]}}},
    {"name": "labels", "type": {"type": "map", "values": "string"}},
]  # fmt: skip


def test_only_values_that_repeat_get_a_dictionary() -> None:
    """In columns at every depth, and under the names that Parquet has for them."""
    made = dataset(*PATHS_FIELDS)
    documents = [
        as_json({
            "id": f"i{n}", "kind": "k", "part": {"number": n, "sign": n % 2},
            "tags": [{"tag": "t", "unlike": f"u{n}"}], "labels": {"key": f"l{n}"},
        })
        for n in range(2_000)
    ]  # fmt: skip
    rows, _ = convert(chunk_of(*documents), made)
    file = pq.ParquetFile(io.BytesIO(encode(rows, made, Format.PARQUET)))
    columns = [file.metadata.row_group(0).column(n) for n in range(file.metadata.num_columns)]
    with_one = {column.path_in_schema for column in columns if "RLE_DICTIONARY" in column.encodings}
    unlike = {"id", "part.number", "tags.list.element.unlike", "labels.key_value.value"}
    alike = {"kind", "part.sign", "tags.list.element.tag", "labels.key_value.key", "_source"}
    assert alike <= with_one
    assert not unlike & with_one


def test_another_process_writes_the_same_bytes() -> None:
    """Whatever its hash seed, its time zone and its locale."""

    def run(**environment: str) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**os.environ, "PYTHONPATH": path, **environment},
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)  # type: ignore[no-any-return]  # what DIGESTS prints

    one = run(PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C")
    other = run(PYTHONHASHSEED="2", TZ="Asia/Kathmandu", LC_ALL="C.UTF-8")
    assert one == other
    assert len(one) == 8  # three countries in two formats; dead letters of orders and of no dataset
    assert hashlib.sha256(b"").hexdigest() not in one.values()


def test_base64_in_csv_is_what_the_document_held() -> None:
    stored = one_column("bytes", base64.b64encode(bytes(range(256))).decode())
    assert stored.rows[0]["f"] == bytes(range(256))
