"""Names of objects: one for each batch and path, whatever a store can tell apart, and no others."""

import hashlib
import string
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import ORDERS

from pipeline.core.errors import ConservationError
from pipeline.core.formats import Format
from pipeline.core.layout import FILE_NAME_BYTES, ObjectKeys, is_pipeline_key
from pipeline.core.ledger import Names
from pipeline.core.records import Batch, StreamRecord, folded

ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/shop"
SHARD = "shardId-000000000003"
SOURCE = f"{ARN}/{SHARD}"


def batch_of(
    *numbers: object, source: str = SOURCE, shard: str | None = None, replayed: str | None = None
) -> Batch:
    records = tuple(StreamRecord(str(number), None, 0, b"{}") for number in numbers)
    return Batch(source, source.rpartition("/")[2] if shard is None else shard, records, replayed)


def test_a_key_says_where_its_batch_stands_and_ends_with_a_digest_of_all_it_holds() -> None:
    """Whoever has the identity of a batch can work out the names of its objects."""
    keys = ObjectKeys(batch_of(7, 8, 10))
    digest = hashlib.sha256(f"{len(SOURCE)}:{SOURCE}0:7\n8\n10\0country=DE".encode()).hexdigest()
    name = f"{SHARD}-7-10-3-{digest[:32]}"
    assert keys.rows(ORDERS, Format.PARQUET, "country=DE", 0) == (
        f"orders/parquet/country=DE/{name}.parquet"
    )
    assert keys.rows(ORDERS, Format.CSV, "country=DE", 12) == (
        f"orders/csv/country=DE/{name}-12.csv"
    )


def test_the_names_do_not_change() -> None:
    """A replay by a later version has to overwrite what an earlier one stored."""
    keys = ObjectKeys(batch_of(7, 8, 10))
    assert keys.rows(ORDERS, Format.PARQUET, "", 0) == (
        "orders/parquet/shardId-000000000003-7-10-3-8aecbffb71085eac081d2e5f8fcf380d.parquet"
    )
    assert keys.dead_letters("unrouted", "date=2026-11-23/hour=09", 0) == (
        "unrouted/date=2026-11-23/hour=09/shardId-000000000003-7-10-3-1e1f7b5ab93d08cdc90ad67729297345.jsonl.gz"
    )
    again = ObjectKeys(batch_of(7, 8, 10, replayed="some of them"))
    assert again.rows(ORDERS, Format.PARQUET, "", 0) == (
        "orders/parquet/shardId-000000000003-7-10-3-redrive-311812fb1bcddc5a268af76b5d88ac25.parquet"
    )


# ------------------------------------------------------------------------------- nothing shared

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True).map(sorted)
SOURCES = st.sampled_from(
    [
        *(SOURCE, f"{ARN}/shardId-000000000004", f"{ARN}s/{SHARD}", f"{ARN}/SHARDid-000000000003"),
        *("/data/in.json?2-00", "/Data/in.json?2-00", "/data/sub/in.json?2-00", "/data/in.json?2-01"),
        *("/data/é.json?2-00", "/data/e\u0301.json?2-00", "s3://b/in.json?v", "1:a", "1:a1:", "a\n1"),
    ]
) | st.text(max_size=8)  # fmt: skip
PATHS = st.sampled_from(
    [
        *("", "c=A", "c=a", "C=a", "c=é", "c=e\u0301", "c=É", "c=ß", "c=ss", "c=ſ", "c=s", "c=K"),
        *("c=\u212a", "c=a.", "c=a/d=b", "c=a/D=b", "c=%41", "0c=a", "\0c=a", "7\0c=a"),
    ]
)


@given(
    st.tuples(SOURCES, NUMBERS, PATHS, st.integers(0, 2)),
    st.tuples(SOURCES, NUMBERS, PATHS, st.integers(0, 2)),
    st.booleans(),
)
def test_no_two_objects_have_one_name_on_any_store(
    one: tuple[str, list[int], str, int], other: tuple[str, list[int], str, int], letters: bool
) -> None:
    """Keys of two batches, or paths, differ after case and normal form are taken from them."""
    assume(one != other)
    names = []
    for source, numbers, path, part in (one, other):
        keys = ObjectKeys(batch_of(*numbers, source=source))
        if letters:
            names.append(keys.dead_letters("orders", path, part))
        else:
            names.append(keys.rows(ORDERS, Format.PARQUET, path, part))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        first, second = (normalize(form, normalize(form, name).casefold()) for name in names)
        assert first != second
        # A file system may as well put both into one directory.
        assert first.rpartition("/")[2] != second.rpartition("/")[2]


@given(NUMBERS, st.data())
def test_a_batch_with_a_hole_has_other_names_than_the_whole_one(
    numbers: list[int], data: st.DataObject
) -> None:
    hole = data.draw(st.sampled_from(numbers))
    rest = [number for number in numbers if number != hole]
    assume(rest)
    whole, holed = ObjectKeys(batch_of(*numbers)), ObjectKeys(batch_of(*rest))
    assert whole.rows(ORDERS, Format.CSV, "", 0) != holed.rows(ORDERS, Format.CSV, "", 0)
    assert whole.owner != holed.owner


def test_two_holes_of_one_size_are_told_apart() -> None:
    """Same first, same last, same number of records."""
    one, other = (ObjectKeys(batch_of(1, middle, 4)) for middle in (2, 3))
    first, second = (keys.rows(ORDERS, Format.CSV, "", 0) for keys in (one, other))
    assert first.rpartition("-")[0] == second.rpartition("-")[0]
    assert first != second


def test_what_is_sent_again_has_names_of_its_own() -> None:
    found = {
        ObjectKeys(batch_of(1, 2, replayed=which)).rows(ORDERS, Format.CSV, "", 0)
        for which in (None, "0", "00", "1:")
    }
    assert len(found) == 4


# ---------------------------------------------------------------------------------- the length


@given(
    st.text(st.sampled_from(string.ascii_letters + string.digits + "._-"), max_size=128)
    | st.text(max_size=90).filter(lambda text: "/" not in text),
    st.integers(0, 10**129 - 1),
    st.integers(1, 10_000),
    st.booleans(),
    st.integers(0, 10**9),
)
def test_a_files_name_fits_every_file_system_and_is_seen_by_every_reader(
    shard: str, first: int, count: int, again: bool, part: int
) -> None:
    """And does not care how long the ids of the shard and of its records are."""
    records = [StreamRecord(str(first), None, 0, b"")] * count
    batch = Batch(f"{ARN}/x", shard, tuple(records), "which" if again else None)
    keys = ObjectKeys(batch)
    for key in (
        keys.rows(ORDERS, Format.PARQUET, "", part),
        keys.dead_letters("orders", "date=2026-11-23/hour=09", part),
    ):
        name = key.rpartition("/")[2]
        longest = f"{name}.sending" if name.endswith(".gz") else name  # while it is sent again
        assert len(longest.encode()) <= FILE_NAME_BYTES
        assert name[0].isalnum()
        assert name.isascii()
        assert is_pipeline_key(key)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("s3://bucket/in/orders.ndjson?3HL4kqtJvjVBH40Nrjfkd", "orders.ndjson"),
        ("/data/in.ndjson?2048-9f86d081884c7d659a2feaa0c55ad015", "in.ndjson"),
        ("/data/what?.json?9-9f86d081884c7d659a2feaa0c55ad015", "what_.json"),
        ("/data/_.日本.json?9-9f86d081884c7d659a2feaa0c55ad015", "json"),
        ("/data/..?9-9f86d081884c7d659a2feaa0c55ad015", "file"),
    ],
)
def test_of_a_file_its_name_is_shown(source: str, shown: str) -> None:
    key = ObjectKeys(batch_of(0, source=source)).rows(ORDERS, Format.CSV, "", 0)
    assert key.startswith(f"orders/csv/{shown}-0-0-1-")


# ------------------------------------------------------------------------------- whose key it is

DIGEST = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        (f"orders/parquet/{SHARD}-7-10-3-{DIGEST}.parquet", True),
        (f"orders/csv/country=DE/{SHARD}-7-10-3-{DIGEST}-12.csv", True),
        (f"orders/csv/a=1/b=2/x-7-10-3-redrive-{DIGEST}.csv", True),
        (f"unrouted/date=2026-11-23/hour=09/{SHARD}-7-10-3-{DIGEST}.jsonl.gz", True),
        (f"_redriven/orders/date=2026-11-23/hour=09/x-0-1-2-{DIGEST}.jsonl.gz", True),
        ("_parts/9f86d081884c7d659a2feaa0c55ad015/complete", True),
        (f"orders/parquet/{SHARD}-7-10-0123abcd.parquet", False),
        (f"orders/parquet/{SHARD}-7-10-3-{DIGEST[:-1]}.parquet", False),
        (f"orders/parquet/{SHARD}-7-10-3-{DIGEST}0.parquet", False),
        (f"orders/parquet/{SHARD}-7-10-3-{DIGEST.upper()}.parquet", False),
        (f"orders/parquet/{SHARD}-7-10-3-{DIGEST}.json", False),
        (f"orders/parquet/x-7-10-{DIGEST}.parquet", False),
        (f"orders/parquet/{DIGEST}.parquet", False),
        (f"Orders/parquet/{SHARD}-7-10-3-{DIGEST}.parquet", False),
        (f"orders/{SHARD}-7-10-3-{DIGEST}.parquet", False),
        ("orders/parquet/part-00000-9f86d081-884c-7d65-9a2f-eaa0c55ad015.c000.parquet", False),
        ("raw/in.ndjson", False),
    ],
)
def test_keys_of_this_program_are_known_and_others_are_not(key: str, ours: bool) -> None:
    assert is_pipeline_key(key) is ours


# ------------------------------------------------------------------------------------ the names


def test_a_name_is_its_batchs_and_no_other_batch_gets_it() -> None:
    names = Names()
    names.claim("s3://lake", "orders/csv/c=a/1.csv", 1)
    names.claim("s3://lake", "orders/csv/c=a/1.csv", 1)  # delivered again
    names.claim("s3://dead", "orders/csv/c=a/1.csv", 2)
    for key in ("orders/csv/c=a/1.csv", "orders/csv/c=A/1.csv"):
        with pytest.raises(ConservationError) as error:
            names.claim("s3://lake", key, 2)
        assert str(error.value) == (
            f"Two different objects would be stored as one, s3://lake/{key}, and one of them would "
            "be lost. This is a defect of the pipeline; nothing was overwritten."
        )


def test_names_are_known_in_bounded_memory() -> None:
    names = Names(least=3)
    for number in range(8):
        names.claim("s3://lake", str(number), number)
    names.claim("s3://lake", "0", 9)  # forgotten
    for number in (6, 7):
        with pytest.raises(ConservationError):
            names.claim("s3://lake", str(number), 9)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a/B", "A/b"), ("é", "e\u0301"), ("É", "e\u0301"), ("ß", "SS"), ("K", "\u212a")],
)
def test_names_that_some_file_system_mixes_up_are_folded_to_one(one: str, other: str) -> None:
    assert folded(one) == folded(other)


def test_a_batch_is_hashed_once_however_many_paths_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a path costs must not grow with the batch: both may be ten thousand."""
    hashed = list[int]()
    sha256 = hashlib.sha256

    def counting(data: bytes) -> Any:
        hashed.append(len(data))
        return sha256(data)

    monkeypatch.setattr("pipeline.core.layout.hashlib.sha256", counting)
    keys = ObjectKeys(batch_of(*range(1_000)))
    names = {keys.rows(ORDERS, Format.PARQUET, f"n={number}", 0) for number in range(100)}
    assert (len(names), len(hashed)) == (100, 1)
