"""Spans, ranges, identities, partitions and columns of tables: what the committer decides by."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import dataset

from pipeline.core.dataset import IDENTITY, check_together
from pipeline.core.errors import DatasetError
from pipeline.core.lake.identities import distinct, without
from pipeline.core.lake.partitions import split
from pipeline.core.lake.schemas import DoesNotFit, fitted, merged, renamed, table_schema
from pipeline.core.lake.spans import (
    MOST_SOURCES,
    NamedObject,
    Ranges,
    Span,
    groups_of,
    spans_meet,
    spans_text,
)
from pipeline.core.lake_settings import LakePartition, catalog_fault

SPANS = st.builds(
    lambda source, first, length: Span(source, first, first + length),
    st.sampled_from("ab"),
    st.integers(0, 2**190),
    st.integers(0, 2**188),
)
IDENTITIES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), st.sampled_from(["9", "10", "11"]),
        st.integers(0, 2), st.integers(0, 2),
    ),
    max_size=40,
)  # fmt: skip


def rows_of(identities: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns: list[Any] = list(zip(*identities, strict=True)) or [[], [], [], []]
    return pa.table(
        [
            pa.array(list(column), field.type)
            for column, field in zip(columns, IDENTITY, strict=True)
        ],
        schema=pa.schema(list(IDENTITY)),
    )


def tuples_of(rows: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))


@given(st.lists(SPANS), SPANS)
def test_ranges_cover_every_span_they_were_widened_by(spans: list[Span], other: Span) -> None:
    ranges = Ranges.read(Ranges({}).widened(spans).text())
    assert all(ranges.may_have(span) for span in spans)
    if any(span.meets(other) for span in spans):
        assert ranges.may_have(other)


def test_of_a_source_that_was_left_out_everything_may_be_there() -> None:
    spans = [Span(str(number), 5, 6) for number in range(MOST_SOURCES + 1)]
    ranges = Ranges({}).widened(spans)
    assert not ranges.knows("0")
    assert ranges.may_have(Span("0", 100, 100))
    assert not ranges.may_have(Span("1", 100, 100))
    assert spans_text(spans) is None
    assert spans_meet(None, [Span("0", 100, 100)])


@pytest.mark.parametrize("text", [None, "", "no JSON", "[1]", '{"a": 1}', '{"a": ["1", 2.5]}'])
def test_a_property_that_cannot_be_read_says_nothing(text: str | None) -> None:
    assert Ranges.read(text).may_have(Span("a", 1, 2))


@given(st.lists(SPANS))
def test_objects_of_two_groups_have_no_number_in_common(spans: list[Span]) -> None:
    objects = [
        NamedObject(span.source, span.first, span.last, str(number))
        for number, span in enumerate(spans)
    ]
    groups = list(groups_of(objects))
    assert sorted(one.key for group in groups for one in group) == sorted(
        one.key for one in objects
    )
    for number, group in enumerate(groups):
        for other in groups[number + 1 :]:
            for one, another in ((a, b) for a in group for b in other):
                first, second = (Span(each.shard, each.first, each.last) for each in (one, another))
                assert not first.meets(second)


@given(IDENTITIES)
def test_the_first_row_of_each_identity_stays(identities: list[tuple[Any, ...]]) -> None:
    assert tuples_of(distinct(rows_of(identities))) == list(dict.fromkeys(identities))
    # In the order of texts they rise, which is seen in another way.
    assert tuples_of(distinct(rows_of(sorted(set(identities))))) == sorted(set(identities))


@given(IDENTITIES, IDENTITIES, IDENTITIES)
def test_rows_that_are_there_are_left_out(
    identities: list[tuple[Any, ...]], some: list[tuple[Any, ...]], more: list[tuple[Any, ...]]
) -> None:
    found = without(rows_of(identities), [rows_of(some), rows_of(more)])
    there = {*some, *more}
    assert tuples_of(found) == [one for one in identities if one not in there]


def test_rows_are_split_as_iceberg_counts_days_months_years_and_hours() -> None:
    times = [datetime(1969, 12, 31, 23, 30, tzinfo=UTC), datetime(2026, 11, 27, 9, 5, tzinfo=UTC)]
    rows = pa.table(
        {
            "at": pa.array(times, pa.timestamp("us", "UTC")),
            "on": pa.array([date(1969, 12, 31), date(2026, 11, 27)]),
            "in": pa.array([{"country": "DE"}, {"country": None}]),
        }
    )
    partition_by = [
        LakePartition("day", "at"), LakePartition("month", "at"), LakePartition("year", "at"),
        LakePartition("day", "on"), LakePartition("identity", "in.country"),
    ]  # fmt: skip
    found = {values: part.num_rows for values, part in split(rows, partition_by)}
    assert found == {(-1, -1, -1, -1, "DE"): 1, (20784, 682, 56, 20784, None): 1}
    hours = [values for values, _ in split(rows.slice(1), [LakePartition("hour", "at")])]
    assert hours == [(498825,)]


SCHEMA = pa.schema(
    [
        pa.field("_source", pa.string(), nullable=False),
        pa.field("day", pa.time32("ms")),
        pa.field("hash", pa.binary(2)),
        pa.field("in", pa.struct([pa.field("n", pa.int32(), nullable=False)]), nullable=False),
        pa.field("all", pa.list_(pa.struct([pa.field("d", pa.decimal128(5, 2))]))),
        pa.field("by", pa.map_(pa.string(), pa.int32())),
    ]
)
ROW = {
    "_source": "a", "day": 3, "hash": b"ab", "in": {"n": 1}, "all": [{"d": Decimal("1.25")}],
    "by": [("k", 7)],
}  # fmt: skip


def test_rows_fit_the_table_of_their_dataset_and_a_wider_one() -> None:
    wider = pa.schema(
        [
            *list(table_schema(SCHEMA))[:3],
            pa.field("in", pa.struct([pa.field("n", pa.int64()), pa.field("new", pa.string())])),
            pa.field("all", pa.list_(pa.struct([pa.field("d", pa.decimal128(9, 2))]))),
            pa.field("by", pa.map_(pa.string(), pa.int64())),
            pa.field("more", pa.float64()),
        ]
    )
    rows = pa.Table.from_pylist([ROW, ROW, ROW], SCHEMA).slice(1)
    assert fitted(rows, table_schema(SCHEMA)).slice(1)["in"].to_pylist() == [{"n": 1}]
    (row, _) = fitted(rows, wider).to_pylist()
    assert row["in"] == {"n": 1, "new": None}
    assert row["all"] == [{"d": Decimal("1.25")}]
    assert row["by"] == [("k", 7)]
    assert row["more"] is None
    assert merged(table_schema(SCHEMA), wider).field("in").type.field("new").type == pa.string()


@pytest.mark.parametrize(
    ("have", "message"),
    [
        (pa.schema([("a", pa.string()), ("b", pa.int32())]), "the table has no column b"),
        (pa.schema([("a", pa.int32())]), "the table's column a is string, and its own int32"),
    ],
)
def test_what_does_not_fit_is_named(have: pa.Schema, message: str) -> None:
    with pytest.raises(DoesNotFit, match=message):
        fitted(have.empty_table(), pa.schema([("a", pa.string())]))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('formats = ["csv"]\n[lake]', 'a table is made of Parquet files; add "parquet" to formats'),
        ("[lake]\nby = 1", r"\[lake\] has at most the settings partition_by\."),
        ("[lake]\npartition_by = [1]", r"\[lake\] partition_by is a list of strings"),
        ('[lake]\npartition_by = ["week(at)"]', r"'week\(at\)' is not a field, or day\(field\)"),
        ('[lake]\npartition_by = ["day(n)"]', r"partition_by day\(n\): n is not a timestamp\."),
        ('[lake]\npartition_by = ["no"]', "'no' is not a top-level field of"),
        ('[lake]\npartition_by = ["n", "n"]', "partition_by has the same field twice"),
        ('[lake]\npartition_by = ["x"]', "one cannot partition by x; choose a text"),
        (
            '[lake]\npartition_by = ["day(at)"]',
            r'partitions by day\(at\) at_day, and schemas/things/1\.avsc has .* "jsonName": "AT_day"',
        ),
        ('partition_by = ["date(at)"]\n[lake]', r"partitions by day\(at\) at_day, and"),
        ('[lake]\npartition_by = ["r.n"]', r"partitions by r\.n r_n, and"),
    ],
)
def test_a_wrong_setting_is_a_sentence(config: str, sentence: str) -> None:
    inner = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}
    fields: list[dict[str, Any]] = [
        {"name": "n", "type": "long"},
        {"name": "AT_day", "type": "string"},
        {"name": "r", "type": inner},
        {"name": "r_n", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "x", "type": "double"},
    ]
    with pytest.raises(DatasetError, match=sentence):
        dataset(*fields, config=config)


def test_a_partition_may_be_the_column_of_its_name() -> None:
    made = dataset({"name": "n", "type": "long"}, config='[lake]\npartition_by = ["n", "day()"]')
    assert made.lake is not None
    assert [str(each) for each in made.lake.partition_by] == ["n", "day()"]


def test_a_table_is_not_what_was_forgotten_of_another() -> None:
    field, made = {"name": "n", "type": "long"}, '[match]\nfield = "type"\nequals = "{}"\n'
    of_them = [
        dataset(field, name=name, config=f"{made.format(name)}[lake]")
        for name in ("orders", "orders_forgotten")
    ]
    with pytest.raises(DatasetError) as raised:
        check_together(of_them)
    assert str(raised.value) == (
        "Datasets orders and orders_forgotten have [lake], and a table orders_forgotten has the "
        "identities of the rows that `pipeline lake forget` deleted from orders. Give "
        "orders_forgotten another name."
    )
    without = dataset(field, name="orders_forgotten", config=made.format("orders_forgotten"))
    assert len(check_together([of_them[0], without])) == 2


@pytest.mark.parametrize(
    ("uri", "is_one"),
    [
        ("sqlite:///lake/catalog.db", True),
        ("glue:pipeline_lake", True),
        ("rest:https://catalog.example/v1?namespace=shop", True),
        ("rest:http://127.0.0.1:8181", True),
        ("sqlite://lake.db", False),
        ("glue:Pipeline", False),
        ("glue:", False),
        ("rest:catalog.example", False),
        ("rest:https://", False),
        ("s3://bucket/catalog", False),
        ("", False),
    ],
)
def test_a_catalog_is_known_by_its_uri(uri: str, *, is_one: bool) -> None:
    assert (catalog_fault(uri) is None) is is_one


def test_a_decimal_that_no_table_has_stops_the_start() -> None:
    wide = {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2}
    with pytest.raises(DatasetError, match=r"n of schemas/things/1\.avsc has more than 38 digits"):
        dataset({"name": "n", "type": wide}, config="[lake]")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("[lake]", LakePartition("day", "_arrived_at")),
        ('partition_by = ["date(at)", "n"]\n[lake]', LakePartition("day", "at")),
        ('partition_by = ["month()"]\n[lake]', LakePartition("month", "_arrived_at")),
        ('partition_by = ["hour(at)"]\n[lake]', LakePartition("day", "at")),
        ('[lake]\npartition_by = ["n"]', LakePartition("identity", "n")),
    ],
)
def test_a_table_has_the_days_of_the_landing_by_default(
    config: str, expected: LakePartition
) -> None:
    made = dataset(
        {"name": "n", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        config=config,
    )
    assert made.lake is not None
    assert made.lake.partition_by == (expected,)


def numbered(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(0, 9), max_size=3)), max_size=6))
def test_columns_are_found_by_their_ids_whatever_they_are_called_now(
    lists: list[list[int] | None],
) -> None:
    def schema(names: str) -> pa.Schema:
        one, two, three, inner, other = names.split()
        struct = pa.struct([numbered(inner, pa.int64(), 4), numbered(other, pa.string(), 5)])
        return pa.schema(
            [
                numbered(one, pa.list_(numbered("element", struct, 6)), 1),
                numbered(two, pa.map_(pa.string(), struct), 2),
                numbered(three, pa.int64(), 3),
            ]
        )

    structs: list[Any] = [each and [{"a": n, "b": str(n)} for n in each] for each in lists]
    maps = [each and {str(number): one for number, one in enumerate(each)} for each in structs]
    counts = list(range(len(lists)))
    # Read back, so that it is what a file has.
    sink = pa.BufferOutputStream()
    old = schema("x y z a b")
    written = pa.table([structs, maps, counts], schema=old)
    pq.write_table(written, sink)
    rows = pq.read_table(pa.BufferReader(sink.getvalue())).slice(1)
    now = schema("y z x b a")
    moved = fitted(renamed(rows, now), now)
    moved.validate(full=True)
    assert moved["x"].to_pylist() == counts[1:]
    found = moved["y"].to_pylist(), moved["z"].to_pylist()
    assert [each and [one["b"] for one in each] for each in found[0]] == lists[1:]
    assert [each and [one["b"] for _, one in each] for each in found[1]] == lists[1:]
    # It can be written, too: Arrow ends the process for what is no whole array.
    pq.write_table(moved.combine_chunks(), pa.BufferOutputStream())


def test_of_a_file_without_ids_columns_are_found_by_name() -> None:
    table = pa.schema([numbered("n", pa.int64(), 1)])
    assert renamed(pa.table({"n": [1], "more": [2]}), table).to_pylist() == [{"n": 1}]
