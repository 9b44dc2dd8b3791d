"""Hive partitions: every row in one, and none that leads out of its prefix."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import (
    PLAIN,
    Stored,
    as_json,
    chunk_of,
    dataset,
    deliver,
    kinesis_event,
    letter_payload,
)

from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset
from pipeline.core.errors import DatasetError
from pipeline.core.layout import path_bytes
from pipeline.core.partition import HIVE_NULL, escape, split
from pipeline.core.partitioning import remark_on
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits

if TYPE_CHECKING:
    from pathlib import Path

TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
NAME = {"name": "name", "type": ["null", "string"], "default": None}
BY_NAME = dataset(NAME, config='partition_by = ["name"]\nformats = ["parquet", "csv"]')
NASTY = [
    "", "/", "..", ".", "../..", "a/../b", "=", "a=b", "%", "%2F", "\0", "\n", "\r", "\x1f", "\x7f",
    "\\", "é", "日本", "\U0001f600", " ", "a b", "name=x", HIVE_NULL, "\u202e", "*", "?", "~", ":",
]  # fmt: skip
TEXTS = st.sampled_from(NASTY) | st.text(max_size=12)


def paths_of(dataset: Dataset, *documents: Any, limits: Limits = PLAIN) -> dict[int, str]:
    """Return the path that each document lies under; all of them must be good."""
    rows, unfit = convert(chunk_of(*map(as_json, documents)), dataset)
    partitions, rejects = split(rows, dataset, limits, 2_000)
    assert not unfit
    assert not rejects
    paths = [partition.path for partition in partitions]
    assert paths == sorted(set(paths))
    return {
        index: partition.path
        for partition in partitions
        for index in partition.rows.index.to_pylist()
    }


# ------------------------------------------------------------------------------- escaping


@given(TEXTS)
def test_an_escaped_value_is_one_plain_piece_of_a_path(value: str) -> None:
    """No slash, no control character, nothing that means something to Hive or a URL."""
    text = escape(value)
    assert not set(text) & {*map(chr, range(0x20)), *"\x7f\"#'*/:=?\\{[]^"}
    assert text not in {"", ".", ".."} or value in {".", ".."}
    assert f"name={text}" not in {"", ".", ".."}


@given(TEXTS.filter(bool))
def test_escaping_can_be_undone(value: str) -> None:
    """So two values share a directory only where Hive writes them alike: null and ""."""
    assert unquote(escape(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a/b", "a%2Fb"),
        ("=", "%3D"),
        ("100%", "100%25"),
        ("\n", "%0A"),
        ("é", "é"),
        ("", HIVE_NULL),
        (HIVE_NULL, "%5F_HIVE_DEFAULT_PARTITION__"),
    ],
)
def test_values_are_written_as_hive_writes_them(value: str, text: str) -> None:
    assert escape(value) == text


# ------------------------------------------------------------------------------- splitting


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=8))
@example(["a", None, "", "a", None])
def test_every_row_is_in_the_partition_of_its_value(names: list[str | None]) -> None:
    """Null and "" share one; rows keep their order within."""
    found = paths_of(BY_NAME, *[{"name": name} for name in names])
    assert found == {
        index: f"by_name={HIVE_NULL if not name else escape(name)}"
        for index, name in enumerate(names)
    }


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=6))
def test_nothing_climbs_out_of_its_prefix(names: list[str | None]) -> None:
    """Through to the store: every document is one row, under the dataset's own prefix."""
    stored = deliver(kinesis_event([as_json({"name": name}) for name in names]), [BY_NAME])
    assert not stored.letters
    assert [row["name"] for row in stored.rows] == names
    for key in stored.output.objects:
        folder, as_format, directory, file = key.split("/")
        assert (folder, directory.partition("=")[0]) == ("things", "by_name")
        assert file.endswith(f".{as_format}")


def test_null_and_the_empty_string_share_one_object() -> None:
    stored = deliver(kinesis_event([b'{"name":""}', b'{"name":null}', b"{}"]), [BY_NAME])
    assert len(stored.output.objects) == 2  # one in each format
    assert [row["name"] for row in stored.rows] == ["", None, None]


def test_the_name_of_null_as_a_value_comes_back_from_the_path_as_itself(tmp_path: Path) -> None:
    names = [HIVE_NULL, None, "a"]
    stored = deliver(kinesis_event([as_json({"name": name}) for name in names]), [BY_NAME])
    for key, body in stored.output.objects.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    query = (
        "SELECT by_name FROM read_parquet(?, hive_partitioning = true) ORDER BY _sequence_number"
    )
    found = duckdb.execute(query, [f"{tmp_path}/**/*.parquet"]).fetchall()
    assert [name for (name,) in found] == names


MOMENTS = st.datetimes(timezones=st.just(UTC))
BY_TIME = dataset(
    {"name": "at", "type": TIMESTAMP}, config='partition_by = ["date(at)", "hour(at)"]'
)


@given(st.lists(MOMENTS, min_size=1, max_size=6))
@example([datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
@example([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
def test_times_are_partitioned_as_the_calendar_has_them(moments: list[datetime]) -> None:
    """UTC, two digits, also before 1970."""
    documents = [{"at": f"{moment.replace(tzinfo=None).isoformat()}Z"} for moment in moments]
    assert paths_of(BY_TIME, *documents) == {
        index: f"date={moment.date().isoformat()}/hour={moment.hour:02}"
        for index, moment in enumerate(moments)
    }


def test_date_and_hour_alone_are_of_the_arrival() -> None:
    made = dataset(NAME, config='partition_by = ["date()", "hour()"]')
    assert paths_of(made, {}) == {0: "date=2026-11-23/hour=09"}


ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")
IN_ZONES = [
    dataset(
        {"name": "at", "type": TIMESTAMP},
        config=f"""partition_by = [
            "year(at, '{zone}')", "month(at, '{zone}')", 'date(at, "{zone}")', "hour(at,'{zone}')"]
        """,
    )
    for zone in ZONES
]


@given(
    st.sampled_from(range(len(ZONES))),
    st.lists(
        st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - UTC, by timezones
        | st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the same
        min_size=1,
        max_size=6,
    ),
)
@example(0, [datetime(2026, 10, 25, 0, 59, 59, 999_999, tzinfo=UTC)])
@example(0, [datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(1893, 3, 31, 23, 6, 32, tzinfo=UTC)])
@example(3, [datetime(2026, 4, 4, 15, 29, 59, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC)])
def test_times_are_partitioned_as_clocks_in_their_zone_show_them(
    number: int, moments: list[datetime]
) -> None:
    documents = [{"at": f"{moment.replace(tzinfo=None).isoformat()}Z"} for moment in moments]
    expected = {}
    for number_of_moment, moment in enumerate(moments):
        local = moment.astimezone(ZoneInfo(ZONES[number]))
        expected[number_of_moment] = (
            f"year={local.year:04}/month={local.month:02}/date={local.date().isoformat()}"
            f"/hour={local.hour:02}"
        )
    assert paths_of(IN_ZONES[number], *documents) == expected


@pytest.mark.parametrize("zone", ZONES)
def test_the_ends_of_the_calendar_have_partitions_in_every_zone(zone: str) -> None:
    partitioned = IN_ZONES[ZONES.index(zone)]
    found = paths_of(
        partitioned, {"at": "0001-01-01T00:00:00Z"}, {"at": "9999-12-31T23:59:59.999999Z"}
    )
    assert len(found) == 2


SHOP = {
    "type": "record", "name": "Shop", "fields": [
        {"name": "place", "type": ["null", "string"], "jsonName": "the place"},
        {"name": "opened", "type": {"type": "int", "logicalType": "date"}},
    ],
}  # fmt: skip
BY_NESTED = dataset(
    {"name": "shop", "type": ["null", SHOP]},
    config='partition_by = ["year(shop.opened)", "month(shop.opened)", "shop.place"]',
)


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=5))
def test_a_nested_field_is_partitioned_by_like_any_other(places: list[str | None]) -> None:
    documents = [{"shop": {"the place": place, "opened": "0726-03-01"}} for place in places]
    assert paths_of(BY_NESTED, *documents, {}) == {
        **{
            index: f"year=0726/month=03/by_shop_place={HIVE_NULL if not place else escape(place)}"
            for index, place in enumerate(places)
        },
        len(places): f"year={HIVE_NULL}/month={HIVE_NULL}/by_shop_place={HIVE_NULL}",
    }


def test_a_nested_value_that_is_too_long_is_found_where_it_is() -> None:
    long = {"shop": {"the place": "a" * 250, "opened": "2026-03-01"}}
    assert verdicts(BY_NESTED, long) == [(Reason.PARTITION_TOO_LONG, '$.shop["the place"]')]


def test_a_partition_named_like_a_field_stops_the_start() -> None:
    with pytest.raises(DatasetError) as error:
        dataset(
            {"name": "shop", "type": SHOP}, {"name": "By_Shop_Place", "type": "string"},
            config='partition_by = ["shop.place"]',
        )  # fmt: skip
    assert str(error.value) == (
        "schemas/things/dataset.toml: the partition column 'by_shop_place' has the name of a field "
        "of schemas/things/1.avsc. Give that field another name, and its JSON key by "
        '"jsonName": "By_Shop_Place".'
    )


def test_no_partition_is_named_like_a_column_of_the_files() -> None:
    """Readers that guess types from the path never touch what is in the files."""
    made = dataset(
        NAME, {"name": "shop", "type": SHOP}, {"name": "shop_place", "type": "string"},
        config='partition_by = ["name", "shop.place", "date()", "hour()"]',
    )  # fmt: skip
    names = [column.name for column in made.partition_by]
    assert names == ["by_name", "by_shop_place", "date", "hour"]
    assert not set(names) & set(made.schema.names)


def test_what_pandas_cannot_read_in_a_path_is_remarked_on() -> None:
    """Text that may be a number or empty, until a pattern says that it is neither; and null."""

    def remark(kind: Any, by: str = "x", **more: Any) -> str | None:
        made = dataset({"name": "x", "type": kind, **more}, config=f'partition_by = ["{by}"]')
        return remark_on(made.partition_by[0], made.record)

    assert remark("string") == (
        "Where by_x is empty, or has two values that are one number, as 01067 and 1067 are, pandas "
        "and dask cannot read the directory as it is: use what `pipeline ddl --dialect pandas` "
        "prints. What the files have of x is right in every reader."
    )
    for pattern in ("^[A-Z]{2}$", "^[1-9][0-9]*$"):
        assert remark("string", pattern=pattern) is None
    nullable = remark(["null", "string"], pattern="^[A-Z]{2}$")
    assert nullable is not None
    assert nullable.startswith("Where by_x is null, pandas and dask cannot")
    assert str(remark(["null", TIMESTAMP], "date(x)")).startswith("Where date is null, pandas")
    for kind in ("long", {"type": "enum", "name": "E", "symbols": ["A"]}):
        assert remark(kind) is None
    assert remark(TIMESTAMP, "date(x)") is None


def test_two_fields_of_one_partition_name_stop_the_start() -> None:
    with pytest.raises(DatasetError, match="two partition columns are named 'by_shop_place'"):
        dataset(
            {"name": "shop", "type": SHOP}, {"name": "shop_place", "type": "string"},
            config='partition_by = ["shop.place", "shop_place"]',
        )  # fmt: skip


def test_other_types_are_written_as_their_text() -> None:
    made = dataset(
        {"name": "b", "type": "boolean"},
        {"name": "i", "type": "long"},
        {"name": "d", "type": {"type": "int", "logicalType": "date"}},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A"]}},
        {"name": "u", "type": {"type": "string", "logicalType": "uuid"}},
        config='partition_by = ["b", "i", "d", "date(d)", "e", "u"]',
    )
    uuid = "7C9E6679-7425-40DE-944B-E07FC1F90AE7"
    document = {"b": True, "i": -5, "d": "2026-11-23", "e": "A", "u": uuid}
    (path,) = paths_of(made, document).values()
    assert path == (f"by_b=true/by_i=-5/by_d=2026-11-23/date=2026-11-23/by_e=A/by_u={uuid.lower()}")


# --------------------------------------------------------------------------------- bounds


def verdicts(
    dataset: Dataset, *documents: Any, limits: Limits = PLAIN, room: int = 2_000
) -> list[Any]:
    """Return for each document None, or reason and path."""
    rows, _ = convert(chunk_of(*map(as_json, documents)), dataset)
    _, rejects = split(rows, dataset, limits, room)
    found = {reject.unit: (reject.violation.reason, reject.violation.path) for reject in rejects}
    return [found.get(index) for index in range(len(documents))]


def test_a_directory_is_bounded_in_bytes() -> None:
    """`name=` and the escaped value together; its neighbours do not suffer."""
    too_long = (Reason.PARTITION_TOO_LONG, "$.name")
    documents = [{"name": text} for text in ("a" * 247, "a" * 248, "é" * 123, "é" * 124, "/" * 83)]
    assert verdicts(BY_NAME, *documents) == [None, too_long, None, too_long, too_long]
    assert verdicts(BY_NAME, {"name": "ab"}, limits=Limits(partition_bytes=9)) == [too_long]


def test_a_whole_path_is_bounded_in_bytes() -> None:
    assert verdicts(BY_NAME, {"name": "abc"}, room=11) == [None]
    assert verdicts(BY_NAME, {"name": "abc"}, room=10) == [(Reason.PARTITION_TOO_LONG, "$.name")]


THREE = dataset(
    *({"name": name, "type": "string"} for name in "abc"),
    config='partition_by = ["a", "b", "c"]',
    name="a" * 63,
)


@given(st.lists(st.integers(0, 253), min_size=3, max_size=3))
def test_every_key_fits_the_store_or_is_a_dead_letter(lengths: list[int]) -> None:
    """The store never refuses a key that was made of a document."""
    document = as_json(dict(zip("abc", ("x" * length for length in lengths), strict=True)))
    stored = deliver(kinesis_event([document]), [THREE])
    assert all(len(key.encode()) <= 1_024 for key in stored.output.objects)
    assert [letter_payload(letter) for letter in stored.letters] in ([], [document])
    assert len(stored.rows) + len(stored.letters) == 1


def test_the_bound_on_keys_is_the_one_that_is_set() -> None:
    """`key_bytes` below what the store takes: longer paths are dead letters."""
    document = as_json({"name": "x" * 240})
    key_bytes = 512
    assert path_bytes(BY_NAME, key_bytes) < 245
    stored = deliver(kinesis_event([document]), [BY_NAME], limits=Limits(key_bytes=key_bytes))
    assert [letter["reason"] for letter in stored.letters] == [Reason.PARTITION_TOO_LONG]


def test_no_rows_make_no_partition() -> None:
    rows, _ = convert(chunk_of(), BY_NAME)
    assert split(rows, BY_NAME, PLAIN, 100) == ([], [])
    assert Stored().objects == {}
