"""Each object tells what its batch was, and every reader passes that over."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    ARRIVED,
    FIRST,
    ORDERS,
    SOURCE,
    Stored,
    as_json,
    dataset,
    deliver,
    kinesis_event,
    order,
    read_parquet,
)

from pipeline.core.census import CENSUS, OTHERS, Census, named, of_gzip, of_parquet
from pipeline.core.dataset import check_together
from pipeline.core.records import Limits

if TYPE_CHECKING:
    from pathlib import Path

CLICKS = dataset(
    {"name": "click_id", "type": "string"},
    config='formats = ["parquet", "csv"]\nmatch = { field = "@stream", equals = "clicks" }\n',
    name="clicks",
)
DATASETS = check_together([ORDERS, CLICKS])
CLICK = {"@stream": "clicks", "click_id": "a"}
GOOD_ORDER, OTHER_COUNTRY = as_json(order()), as_json(order(country="FR"))
BAD_ORDER, GOOD_CLICK, BROKEN = as_json(order(total="x")), as_json(CLICK), b'{"x"'
MICROSECONDS = round(ARRIVED.timestamp() * 1_000_000)
CENSUSES = st.builds(
    Census,
    source=st.text(max_size=400),
    first=st.integers(0, 10**56).map(str),
    last=st.integers(0, 10**56).map(str),
    part=st.integers(0, 99),
    records=st.integers(1, 10_000),
    digest=st.from_regex(r"\A[0-9a-f]{32}\Z"),
    arrived=st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)),
    documents=st.dictionaries(st.from_regex(r"\A[a-z][a-z0-9_]{0,30}\Z"), st.integers(0, 10**6)),
    dataset=st.from_regex(r"\A[a-z][a-z0-9_]{0,30}\Z"),
    version=st.integers(0, 99),
    rows=st.integers(0, 10**6),
    rejects=st.integers(0, 10**6),
    drops=st.integers(0, 10**6),
    objects=st.integers(0, 99),
)


def stored(*records: bytes, limits: Limits | None = None) -> Stored:
    return deliver(kinesis_event(records), DATASETS, limits=limits or Limits())


def censuses(found: Stored) -> dict[str, Census]:
    """Return the census of each object that has one, by its key."""
    said = {}
    for key, body in found.objects.items():
        census = (
            of_parquet(pq.ParquetFile(io.BytesIO(body)).metadata.metadata)
            if key.endswith(".parquet")
            else of_gzip(body[:1_024])
        )
        if census is not None:
            said[key] = census
    return said


def test_any_one_object_of_a_batch_tells_what_the_batch_was() -> None:
    found = stored(GOOD_ORDER, OTHER_COUNTRY, BAD_ORDER, GOOD_CLICK, BROKEN)
    said = censuses(found)
    assert set(said) == {key for key in found.objects if not key.endswith(".csv")}
    for key, census in said.items():
        assert census.source == SOURCE
        assert (census.first, census.last) == (str(FIRST), str(FIRST + 4))
        assert census.records == 5
        assert census.part == 0
        assert census.arrived == (MICROSECONDS, MICROSECONDS)
        assert census.documents == {"orders": 3, "clicks": 1, "unrouted": 1}
        assert census.dataset == key.split("/")[1]


def test_all_objects_of_a_dataset_say_the_same_and_their_rows_and_letters_are_as_many() -> None:
    found = stored(GOOD_ORDER, OTHER_COUNTRY, BAD_ORDER, GOOD_CLICK, BROKEN)
    by_dataset: dict[str, set[str]] = {}
    for census in censuses(found).values():
        by_dataset.setdefault(census.dataset, set()).add(census.to_bytes().decode())
    numbers = {
        name: [
            json.loads(said)[field] for field in ("version", "rows", "rejects", "drops", "objects")
        ]
        for name, (said,) in by_dataset.items()
    }
    assert numbers == {
        "orders": [ORDERS.version, 2, 1, 0, 2],
        "clicks": [1, 1, 0, 0, 1],
        "unrouted": [0, 0, 1, 0, 0],
    }


def test_the_parts_of_a_batch_are_numbered_and_their_documents_sum_to_all() -> None:
    records = [GOOD_ORDER, GOOD_CLICK, BROKEN, BAD_ORDER, GOOD_CLICK, GOOD_ORDER, GOOD_ORDER]
    said = censuses(stored(*records, limits=Limits(part_documents=3)))
    parts = {census.part: census for census in said.values()}
    assert sorted(parts) == [0, 1, 2]
    assert {census.digest for census in said.values()} == {parts[0].digest}
    assert {census.records for census in said.values()} == {7}
    total: dict[str, int] = {}
    for census in parts.values():
        for name, count in census.documents.items():
            total[name] = total.get(name, 0) + count
    assert total == {"orders": 4, "clicks": 2, "unrouted": 1}


def test_a_record_that_did_not_open_is_counted_in_the_first_part() -> None:
    aggregate = b"\xf3\x89\x9a\xc2" + bytes(20)
    said = censuses(stored(GOOD_ORDER, aggregate, limits=Limits(part_documents=1)))
    assert {census.documents.get("unrouted") for census in said.values()} == {1}


def test_the_digest_tells_a_batch_with_a_hole_from_the_whole_one() -> None:
    whole = kinesis_event([GOOD_CLICK] * 3)
    hole = {"Records": [whole["Records"][0], whole["Records"][2]]}
    digests = {
        census.digest
        for event in (whole, hole)
        for census in censuses(deliver(event, DATASETS)).values()
    }
    assert len(digests) == 2


def test_the_same_batch_makes_the_same_bytes() -> None:
    records = [GOOD_ORDER, BAD_ORDER, GOOD_CLICK, BROKEN]
    assert stored(*records).objects == stored(*records).objects


# --------------------------------------------------------------------------------- its bytes


@given(CENSUSES)
def test_a_census_is_read_as_it_was_written(census: Census) -> None:
    assert Census.from_bytes(census.to_bytes()) == census
    assert of_parquet({CENSUS.encode(): census.to_bytes(), b"other": b""}) == census
    assert census.to_bytes().isascii()
    assert b"\0" not in census.to_bytes()


@given(CENSUSES)
def test_the_name_in_a_gzip_header_is_short_and_has_the_census_or_is_not_there(
    census: Census,
) -> None:
    name = census.to_name()
    assert len(name) <= 511
    found = of_gzip(named(gzip.compress(b"a line\n", mtime=0), name))
    own = census.documents.get(census.dataset, 0)
    if census.to_bytes() == name:
        assert found == census
    elif name:
        assert found is not None
        assert found.documents == {
            census.dataset: own,
            OTHERS: sum(census.documents.values()) - own,
        }
    else:
        assert found is None


def test_a_census_with_members_that_nobody_knows_is_read_without_them() -> None:
    census = censuses(stored(GOOD_CLICK)).popitem()[1]
    later = json.dumps({**json.loads(census.to_bytes()), "new": [1]}).encode()
    assert Census.from_bytes(later) == census


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"orders.jsonl",
        b"{}",
        b"[1]",
        b'{"census":2}',
        b'{"census":1}',
        b"\xff",
        b'{"census":"1"}',
    ],
)
def test_what_is_not_a_census_of_this_version_is_none(text: bytes) -> None:
    assert Census.from_bytes(text) is None
    assert of_parquet({CENSUS.encode(): text}) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b\x08",
        b"no gzip at all",
        gzip.compress(b"x"),
        named(gzip.compress(b"x"), b"letters.jsonl"),
        named(gzip.compress(b"x"), b'{"census":1}')[:15],
    ],
)
def test_a_gzip_file_without_a_census_is_none(body: bytes) -> None:
    assert of_gzip(body) is None


def test_a_file_without_metadata_has_no_census() -> None:
    assert of_parquet(None) is None
    assert of_parquet({}) is None


# ------------------------------------------------------------------------- every reader of it


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """A file of two dead letters with a census."""
    found = stored(BAD_ORDER, BAD_ORDER, GOOD_CLICK)
    ((key, body),) = found.dead_letters.objects.items()
    assert of_gzip(body) is not None
    path = tmp_path / key.rpartition("/")[2]
    path.write_bytes(body)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A Parquet file of two rows with a census."""
    found = stored(GOOD_CLICK, GOOD_CLICK, BROKEN)
    body = next(body for key, body in found.objects.items() if key.endswith(".parquet"))
    path = tmp_path / "rows.parquet"
    path.write_bytes(body)
    return path


def reasons(lines: str | bytes) -> list[str]:
    return [json.loads(line)["reason"] for line in lines.splitlines()]


def test_python_reads_the_dead_letters_under_a_census(letters: Path) -> None:
    with gzip.open(letters) as file:
        assert reasons(file.read()) == ["bad_format"] * 2


@pytest.mark.parametrize("program", [["zcat"], ["gunzip", "-c"], ["gzip", "-dc"]], ids=" ".join)
def test_gzip_reads_the_dead_letters_under_a_census(letters: Path, program: list[str]) -> None:
    command = shutil.which(program[0])
    assert command is not None
    done = subprocess.run([command, *program[1:], str(letters)], capture_output=True, check=True)
    assert reasons(done.stdout) == ["bad_format"] * 2
    assert not done.stderr


def test_duckdb_reads_the_dead_letters_under_a_census(letters: Path) -> None:
    found = duckdb.connect().execute(f"SELECT reason FROM read_json_auto('{letters}')").fetchall()
    assert found == [("bad_format",)] * 2


def test_polars_reads_the_dead_letters_under_a_census(letters: Path) -> None:
    assert pl.read_ndjson(letters)["reason"].to_list() == ["bad_format"] * 2


def test_arrow_reads_the_dead_letters_under_a_census(letters: Path) -> None:
    with pa.input_stream(letters, compression="gzip") as file:
        assert reasons(file.read()) == ["bad_format"] * 2


def test_parquet_readers_find_the_columns_and_rows_under_a_census(rows: Path) -> None:
    names = [*CLICKS.schema.names]
    table: Any = read_parquet(rows.read_bytes())
    assert table.schema.names[: len(names)] == names
    assert table["click_id"].to_pylist() == ["a", "a"]
    assert pl.read_parquet(rows)["click_id"].to_list() == ["a", "a"]
    assert duckdb.connect().execute(f"SELECT click_id FROM '{rows}'").fetchall() == [("a",)] * 2


def test_duckdb_finds_the_census_in_the_footer(rows: Path) -> None:
    query = f"SELECT value FROM parquet_kv_metadata('{rows}') WHERE key = 'pipeline.census'"
    ((value,),) = duckdb.connect().execute(query).fetchall()
    census = Census.from_bytes(value)
    assert census is not None
    assert census.documents == {"clicks": 2, "unrouted": 1}


def test_the_census_is_in_the_footer_once(rows: Path) -> None:
    """Arrow's schema, which the footer has as base64, does not have it another time."""
    written = base64.b64decode(pq.read_metadata(rows).metadata[b"ARROW:schema"])
    assert b"pipeline.source" in written
    assert CENSUS.encode() not in written
