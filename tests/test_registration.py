"""What has landed and what is registered become the same, whatever the folders are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.adapters.aws.glue_partitions import AT_ONCE, Partition
from pipeline.core.partition import HIVE_NULL, escape, value_in_catalog
from pipeline.registration import LATEST, LISTED_AGAIN, LandingTable, Run, register, shares_of

PLACE = "s3://lake/orders/parquet/"
BY_DAY = LandingTable("orders", PLACE, ("date",))
BY_COUNTRY = LandingTable("orders", PLACE, ("date", "by_country"))


@dataclass
class Catalog:
    """A catalog in memory, which refuses what Glue refuses."""

    found: dict[tuple[str, ...], str] = field(default_factory=dict)
    outdated: set[tuple[str, ...]] = field(default_factory=set)
    changes: int = 0

    def partitions(self) -> Iterator[tuple[Partition, bool]]:
        for values, location in list(self.found.items()):
            yield Partition(values, location), values not in self.outdated

    def create(self, partitions: Sequence[Partition]) -> None:
        assert 0 < len(partitions) <= AT_ONCE
        assert not self.found.keys() & {partition.values for partition in partitions}
        assert len({partition.values for partition in partitions}) == len(partitions)
        self.found |= {partition.values: partition.location for partition in partitions}
        self.changes += 1

    def update(self, partitions: Sequence[Partition]) -> None:
        assert 0 < len(partitions) <= AT_ONCE
        for partition in partitions:
            assert self.found[partition.values] == partition.location
            self.outdated.remove(partition.values)
        self.changes += 1


@dataclass
class Bucket:
    """Folders, as S3 lists them; the requests are counted."""

    paths: set[str]
    listed: list[str] = field(default_factory=list)

    def below(self, uri: str) -> Iterable[str]:
        self.listed.append(uri)
        prefix = uri.removeprefix(PLACE)
        below = (path.removeprefix(prefix) for path in self.paths if path.startswith(prefix))
        return sorted({path.partition("/")[0] for path in below})


def run(bucket: Bucket, turn: int = 0, seconds: int = 10_000, share: int = LISTED_AGAIN) -> Run:
    left = iter(range(seconds, -1, -1))
    return Run(
        bucket.below,
        lambda: next(left, 0) == 0,
        turn,
        "2026-11-24",
        {"orders": share, "letters": share},
    )


def days(count: int) -> list[str]:
    return [f"date=20{number // 12:02}-{1 + number % 12:02}-01" for number in range(count)]


# -------------------------------------------------------------------------- the names of values

VALUES = st.text(max_size=12) | st.sampled_from(
    [HIVE_NULL, f"%5F{HIVE_NULL[1:]}", f"%255F{HIVE_NULL[1:]}", "", "%", "%2F", "a/b", "01067"]
)


@given(st.lists(VALUES, unique=True))
@example([HIVE_NULL, f"%5F{HIVE_NULL[1:]}", f"%255F{HIVE_NULL[1:]}", ""])
def test_no_two_values_are_one_partition_and_a_catalog_knows_them_as_they_were_sent(
    values: list[str],
) -> None:
    folders = [escape(value) for value in values]
    known = [value_in_catalog(folder) for folder in folders]
    assert len(set(known)) == len(known)
    for value, found in zip(values, known, strict=True):
        if not unquote(value).endswith(HIVE_NULL[1:]):
            assert found == (value or HIVE_NULL)


@given(st.lists(VALUES, unique=True, min_size=1, max_size=6))
def test_every_folder_is_registered_where_it_is_and_once(countries: list[str]) -> None:
    folders = {f"date=2026-11-23/by_country={escape(country)}/" for country in countries}
    catalog, bucket = Catalog(), Bucket(folders)
    done = register(BY_COUNTRY, catalog, run(bucket))
    assert sorted(catalog.found.values()) == sorted(f"{PLACE}{folder}" for folder in folders)
    assert (done.created, done.updated, done.unfinished) == (len(folders), 0, False)
    changes = catalog.changes
    assert register(BY_COUNTRY, catalog, run(bucket)).created == 0
    assert catalog.changes == changes


def test_what_is_not_the_tables_is_not_registered() -> None:
    bucket = Bucket({"_temporary/x/", "date=2026-11-23/by_country=DE/", "hour=09/by_country=DE/"})
    catalog = Catalog()
    register(BY_COUNTRY, catalog, run(bucket))
    assert list(catalog.found) == [("2026-11-23", "DE")]


def test_named_folders_are_values_and_others_are_passed_over() -> None:
    table = LandingTable("letters", PLACE, (frozenset({"orders", "unrouted"}), "date", "hour"))
    paths = {
        "orders/date=2026-11-23/hour=09/",
        "unrouted/date=2026-11-24/hour=00/",
        "_redriven/orders/date=2026-11-23/hour=09/",
    }
    catalog = Catalog()
    register(table, catalog, run(Bucket(paths)))
    assert set(catalog.found) == {("orders", "2026-11-23", "09"), ("unrouted", "2026-11-24", "00")}


# ------------------------------------------------------------------------ what a run may cost


@pytest.mark.parametrize("count", [AT_ONCE, AT_ONCE + 1, 250])
def test_many_are_registered_a_hundred_at_a_time(count: int) -> None:
    catalog = Catalog()
    assert register(BY_DAY, catalog, run(Bucket(set(days(count))))).created == count
    assert catalog.changes == -(-count // AT_ONCE)


def test_a_run_lists_all_that_is_unknown_and_of_the_known_the_latest_and_some_in_turn() -> None:
    old = [f"{day}/by_country=DE/" for day in days(300)]
    new = ["date=2026-11-23/by_country=DE/", "date=2026-11-24/by_country=DE/"]
    catalog, bucket = Catalog(), Bucket({*old, *new})
    assert register(BY_COUNTRY, catalog, run(bucket, share=10)).created == 302
    assert len(bucket.listed) == 1 + 302
    bucket.listed.clear()
    register(BY_COUNTRY, catalog, run(bucket, share=10))
    assert len(bucket.listed) == 1 + 10
    assert [place for place in bucket.listed if "2026" in place] == [
        f"{PLACE}date=2026-11-{day}/" for day in ("23", "24")
    ]


def test_a_late_folder_in_an_old_day_is_registered_before_all_days_had_their_turn() -> None:
    paths = {f"{day}/by_country=DE/" for day in days(100)}
    catalog, bucket, share = Catalog(), Bucket(paths), LATEST + 7
    register(BY_COUNTRY, catalog, run(bucket))
    late = {f"{day}/by_country=AT/" for day in days(100)}
    bucket.paths |= late
    for turn in range(5, 5 + -(-98 // 7)):
        register(BY_COUNTRY, catalog, run(bucket, turn, share=share))
    assert len(catalog.found) == 200


def test_a_run_whose_time_is_over_says_so_and_the_next_one_goes_on() -> None:
    catalog, bucket = Catalog(), Bucket({f"{day}/by_country=DE/" for day in days(150)})
    runs = 0
    while register(BY_COUNTRY, catalog, run(bucket, seconds=60, share=10)).unfinished:
        runs += 1
        assert runs < 5
    assert (len(catalog.found), runs) == (150, 2)


def test_partitions_get_the_tables_new_columns_unless_they_are_somebody_elses() -> None:
    found: dict[tuple[str, ...], str] = {
        (f"{number}",): f"{PLACE}date={number}/" for number in range(AT_ONCE + 1)
    }
    found[("elsewhere",)] = "s3://other/date=elsewhere/"
    catalog = Catalog(found, set(found))
    bucket = Bucket({f"date={number}/" for number in range(AT_ONCE + 1)})
    done = register(BY_DAY, catalog, run(bucket))
    assert (done.created, done.updated) == (0, AT_ONCE + 1)
    assert (catalog.outdated, catalog.changes) == ({("elsewhere",)}, 2)


def test_what_a_run_lists_again_is_shared_by_the_tables_that_need_it() -> None:
    letters = LandingTable("letters", PLACE, (frozenset("abcdefgh"), "date", "hour"))
    others = [LandingTable(f"{number}", PLACE, ("date", "hour")) for number in range(100)]
    assert shares_of([BY_COUNTRY]) == {"orders": LISTED_AGAIN}
    days = LandingTable("days", PLACE, ("date",))
    assert shares_of([days, BY_COUNTRY, letters, *others[:1]]) == {
        "orders": LISTED_AGAIN // 2,
        "0": LISTED_AGAIN // 2,
        "letters": LATEST + 1,
    }
    assert set(shares_of(others).values()) == {LATEST + 1}
