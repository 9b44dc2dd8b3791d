"""What became a dead letter can be redriven, and however often that is done, it becomes one row."""

import contextlib
import json
import re
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    FAST_PATHS,
    ORDERS,
    SHARD,
    Stored,
    as_json,
    dataset,
    deliver,
    kinesis_event,
    letter_identity,
    letter_payload,
    order,
    row_identity,
    sequence_number,
)

from pipeline.adapters.memory import MemoryStore
from pipeline.attempt import Attempt
from pipeline.core.dataset import Dataset
from pipeline.core.deadletter import DeadLetter
from pipeline.core.errors import DeadLetterError
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.layout import ARCHIVE, is_pipeline_key
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.routing import Router
from pipeline.core.unpack import unpack
from pipeline.flow import Pipeline
from pipeline.redrive import redrivable, redrive_batch, redrive_letters

STRICT = dataset({"name": "n", "type": "int", "maximum": 0})
LOOSER = dataset({"name": "n", "type": "int", "maximum": 10})
LOOSE = dataset({"name": "n", "type": "int"})


def numbers(*values: object) -> dict[str, Any]:
    """Return an event of an aggregate of documents {"n": value}, and of one without."""
    records = [UserRecord("k", as_json({"n": value})) for value in values]
    return kinesis_event([aggregate(records), b'{"m": 1}'])


def every(_: DeadLetter) -> bool:
    return True


def redrive(
    stored: Stored, *datasets: Dataset, limits: Limits | None = None, **options: Any
) -> None:
    """Send all dead letters again."""
    pipeline = Pipeline(
        Router(datasets), limits or Limits(), stored.output, stored.dead_letters, FAST_PATHS
    )
    select = options.pop("select", every)
    for key, is_batch in redrivable(stored.dead_letters).items():
        assert not is_batch
        redrive_letters(
            stored.dead_letters, key, pipeline, select, dry_run=options.get("dry_run", False)
        )


def state(stored: Stored) -> tuple[dict[str, bytes], dict[str, bytes]]:
    return dict(stored.output.objects), dict(stored.dead_letters.objects)


def whereabouts(stored: Stored) -> Counter[Any]:
    """Count each identity, with whether it is a row or a dead letter that waits."""
    waiting = Stored(dead_letters=_without_archive(stored.dead_letters))
    rows = Counter(("row", row_identity(row)) for row in stored.rows)
    return rows + Counter(("letter", letter_identity(letter)) for letter in waiting.letters)


def _without_archive(store: MemoryStore) -> MemoryStore:
    found = MemoryStore()
    found.objects = {
        key: body for key, body in store.objects.items() if not key.startswith(ARCHIVE)
    }
    return found


def test_what_now_succeeds_becomes_rows_with_its_own_identity_and_arrival() -> None:
    """Law 6: a redriven document keeps the identity and the arrival of its record."""
    stored = deliver(numbers(1, 20, 300), [STRICT])
    before = {letter_identity(letter): letter["arrived_at"] for letter in stored.letters}
    redrive(stored, LOOSER)
    (row,) = stored.rows
    assert row["n"] == 1
    assert f"{row['_arrived_at']:%Y-%m-%dT%H:%M:%S.%fZ}" == before[row_identity(row)]
    assert whereabouts(stored).total() == 4


def test_redriving_twice_changes_nothing() -> None:
    """Law 5: a second redrive with the same schema writes nothing new."""
    stored = deliver(numbers(1, 20, 300), [STRICT])
    redrive(stored, LOOSER)
    once = state(stored)
    redrive(stored, LOOSER)
    assert state(stored) == once


def test_a_later_redrive_keeps_what_an_earlier_one_had_brought_back() -> None:
    """Law 2: a later redrive writes an object that it shares again with all of its rows."""
    stored = deliver(numbers(1, 20, 300), [STRICT])
    redrive(stored, LOOSER)
    redrive(stored, LOOSE)
    assert sorted(row["n"] for row in stored.rows) == [1, 20, 300]
    assert set(whereabouts(stored).values()) == {1}


def test_a_batch_that_lambda_delivers_again_doubles_nothing() -> None:
    """Law 2: a batch that is redelivered after its redrive stores every document once."""
    stored = deliver(numbers(1, 20, 300), [STRICT])
    redrive(stored, LOOSER)
    deliver(numbers(1, 20, 300), [STRICT], stored)
    redrive(stored, LOOSER)
    assert sorted(row["n"] for row in stored.rows) == [1]
    assert set(whereabouts(stored).values()) == {1}
    assert whereabouts(stored).total() == 4


def test_what_was_not_asked_for_stays_as_it_was() -> None:
    """A redrive leaves the dead letters that it does not select unchanged."""
    stored = deliver(numbers(1, "x"), [STRICT])
    before = [letter for letter in stored.letters if letter["reason"] == "wrong_type"]
    redrive(stored, LOOSE, select=lambda letter: letter.reason == "above_maximum")
    assert [row["n"] for row in stored.rows] == [1]
    waiting = Stored(dead_letters=_without_archive(stored.dead_letters)).letters
    assert [letter for letter in waiting if letter["reason"] == "wrong_type"] == before


def test_a_dry_run_writes_nothing() -> None:
    """A dry run changes neither store."""
    stored = deliver(numbers(1, 20), [STRICT])
    before = state(stored)
    redrive(stored, LOOSE, dry_run=True)
    assert state(stored) == before


def test_a_record_that_opens_at_last_brings_back_each_of_its_documents_once() -> None:
    """Law 2: its siblings survive the redrives of one document that fails on its own."""
    lines = b"\n".join(as_json({"n": n}) for n in (1, 99, 2))
    stored = deliver(kinesis_event([lines]), [LOOSER], limits=Limits(documents=2))
    assert [letter["reason"] for letter in stored.letters] == ["too_many_documents"]
    redrive(stored, LOOSER)
    assert sorted(row["n"] for row in stored.rows) == [1, 2]
    redrive(stored, LOOSER)
    assert sorted(row["n"] for row in stored.rows) == [1, 2]
    redrive(stored, LOOSE)
    assert sorted(row["n"] for row in stored.rows) == [1, 2, 99]
    assert set(whereabouts(stored).values()) == {1}


class Killed(Exception):
    """The process ended."""


class Mortal(MemoryStore):
    """A store whose process is killed at its n-th write, counted over all that share `lives`."""

    def __init__(self, objects: dict[str, bytes], lives: list[int]) -> None:
        super().__init__()
        self.objects = objects
        self.lives = lives

    def put(self, key: str, body: bytes) -> None:
        self._step()
        super().put(key, body)

    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)

    def _step(self) -> None:
        self.lives[0] -= 1
        if self.lives[0] < 0:
            raise Killed


@pytest.mark.parametrize("lives", range(7))
def test_a_process_killed_at_any_write_loses_and_doubles_nothing(lives: int) -> None:
    """Law 2: a redrive that is killed at any write and run again ends as an undisturbed one."""
    orders = [order(), order(total="x"), order(country="xx"), order(total="1.234")]
    event = kinesis_event([aggregate(UserRecord("k", as_json(document)) for document in orders)])
    tame = msgspec.structs.replace(ORDERS, match=None)
    loose = dataset(
        {"name": "total", "type": ["null", "string"]}, name="loose", config='formats = ["csv"]'
    )
    undisturbed = deliver(event, [tame])
    redrive(undisturbed, loose)

    stored = deliver(event, [tame])
    budget = [lives]
    mortal = Stored(
        Mortal(stored.output.objects, budget), Mortal(stored.dead_letters.objects, budget)
    )
    with contextlib.suppress(Killed):
        redrive(mortal, loose)
    assert (budget[0] < 0) == (lives < 5)  # a run makes five writes
    redrive(stored, loose)
    assert state(stored) == state(undisturbed)


@given(st.lists(st.integers(-5, 20), min_size=1, max_size=6), st.permutations([0, 5, 10, 30]))
def test_each_document_is_in_one_place_after_any_series_of_redrives(
    values: list[int], limits: list[int]
) -> None:
    """Law 2: after any series of redrives each document is a row or a dead letter, once."""
    stored = deliver(numbers(*values), [STRICT])
    for limit in limits:
        redrive(stored, dataset({"name": "n", "type": "int", "maximum": limit}))
        assert set(whereabouts(stored).values()) == {1}
        assert whereabouts(stored).total() == len(values) + 1


@pytest.mark.parametrize("as_text", [True, False])
def test_a_batch_that_lambda_gave_up_on_is_stored_under_its_own_keys(as_text: bool) -> None:
    """Law 5: a failure document is stored as its batch would have been, in both of its forms.

    Lambda writes the payload as text, by its documentation, or as an object, as observed.
    """
    event = numbers(0, -1, 7)
    stored = deliver(event, [STRICT])
    failed = MemoryStore()
    key = "aws/lambda/0f8fad5b/shardId-000000000003/2026/11/23/2026-11-23T09.30.00-1"
    failed.put(key, as_json({"payload": json.dumps(event) if as_text else event}))
    late = Stored()
    pipeline = Pipeline(Router([STRICT]), Limits(), late.output, late.dead_letters, FAST_PATHS)
    assert redrivable(failed) == {key: True}
    redrive_batch(failed, key, pipeline, dry_run=False)
    assert late.objects == stored.objects
    assert redrivable(failed) == {}


GARBLED = b"\x1f\x8bgarbled"
STEPS = st.one_of(
    st.just("delivered again"),
    st.tuples(
        st.sampled_from([None, "too_many_documents", "corrupt_compression", "above_maximum"]),
        st.integers(0, 30),
    ),
)


@given(st.lists(STEPS, max_size=6), st.lists(st.integers(-5, 20), min_size=3, max_size=5))
def test_no_series_of_redrives_and_redeliveries_doubles_a_row_or_loses_one(
    steps: list[Any], values: list[int]
) -> None:
    """Law 2: any redrives and redeliveries store every document once.

    Of a record over its limit, one that cannot be unpacked, and an aggregate.
    """
    lines = b"\n".join(as_json({"n": n}) for n in values)
    aggregated = aggregate(UserRecord("k", as_json({"n": n})) for n in values)
    event = kinesis_event([lines, GARBLED, aggregated])
    two = Limits(documents=2)
    stored = deliver(event, [STRICT], limits=two)
    for step in [*steps, "delivered again", (None, 30)]:
        if step == "delivered again":
            deliver(event, [STRICT], stored, limits=two)
        else:
            reason, limit = step
            today = dataset({"name": "n", "type": "int", "maximum": limit})
            redrive(stored, today, select=lambda letter, only=reason: only in (None, letter.reason))
        assert set(Counter(map(row_identity, stored.rows)).values()) <= {1}
    assert sorted(row["n"] for row in stored.rows) == sorted(values * 2)
    waiting = Stored(dead_letters=_without_archive(stored.dead_letters)).letters
    assert [letter["reason"] for letter in waiting] == ["corrupt_compression"]


@pytest.mark.parametrize("below", ["", "aws/", "aws/lambda/", "aws/lambda/0f8fad5b/"])
def test_a_failed_batch_is_known_from_any_folder_above_its_shard(below: str) -> None:
    """A failure document is recognised from every folder above its shard."""
    key = "aws/lambda/0f8fad5b/shardId-000000000003/2026/11/23/2026-11-23T09.30.00-1"
    store = MemoryStore()
    store.put(key.removeprefix(below), b"{}")
    assert redrivable(store) == {key.removeprefix(below): True}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("date=2026-11-23/hour=09/x.jsonl.gz", "give their root"),
        ("hour=09/x.jsonl.gz", "give their root"),
        ("x.jsonl.gz", "give their root"),
        ("things/parquet/date=2026-11-23/x.parquet", "holds neither"),
    ],
)
def test_a_folder_that_is_not_a_root_is_refused(key: str, said: str) -> None:
    """A folder that is not a root of dead letters is refused in a sentence."""
    store = MemoryStore()
    store.put(key, b"")
    with pytest.raises(DeadLetterError, match=said):
        redrivable(store)


@pytest.mark.parametrize(
    "name", ["dead/_redriven", "dead/things/date=2026-11-23", "dead/things/x.jsonl.gz"]
)
def test_a_uri_inside_the_dead_letters_is_refused(name: str) -> None:
    """A folder inside the dead letters is refused in a sentence."""
    with pytest.raises(DeadLetterError, match="give their root"):
        redrivable(MemoryStore(name))


@given(
    st.lists(
        st.binary(max_size=40) | st.text('{}[],:"\\a1 \n\r\t', max_size=40).map(str.encode),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_a_dead_letter_keeps_the_exact_bytes_through_redrive_and_back(
    payloads: list[bytes], aggregated: bool
) -> None:
    """Law 10: of any payload at all, what is not a row is in dead letters, byte for byte.

    A document's dead letter is a slice of what its payload unpacks to; one of a whole payload is
    the payload. Sent again without a change, it is the same dead letter.
    """
    records = [UserRecord(f"key {number}", data) for number, data in enumerate(payloads)]
    event = kinesis_event([aggregate(records)] if aggregated else payloads)
    stored = deliver(event, [STRICT])
    before = stored.letters
    for letter in before:
        origin = payloads[letter["sub_sequence_number"] if aggregated else number_of(letter)]
        text = unpack(origin, 2**20)
        payload = letter_payload(letter)
        assert payload == origin or (isinstance(text, bytes) and payload in text)
    redrive(stored, STRICT)
    assert stored.letters == before


def number_of(letter: dict[str, Any]) -> int:
    """Return which of an event's records a dead letter came from."""
    return int(letter["sequence_number"]) - int(sequence_number(0))


def test_what_is_sent_again_has_names_of_this_program_unlike_all_others() -> None:
    """Law 13: neither its batch, nor another redrive of the same file, has one of them."""
    lines = b"\n".join(as_json({"n": n}) for n in (1, 99, 2))
    stored = deliver(
        kinesis_event([lines, as_json({"n": 5})]), [STRICT], limits=Limits(documents=2)
    )
    for select in (
        lambda letter: letter.reason == "above_maximum",
        lambda letter: letter.reason == "too_many_documents",
    ):
        redrive(stored, LOOSER, select=select)
    redrive(stored, LOOSE)
    keys = [*stored.output.list(), *stored.dead_letters.list()]
    assert all(map(is_pipeline_key, keys))
    names = {key.rpartition("/")[2] for key in keys if not key.startswith(ARCHIVE)}
    found = [
        re.fullmatch(rf"{SHARD}-\d+-\d+-1-redrive-[0-9a-f]{{32}}\.\w+", name) for name in names
    ]
    assert len(list(filter(None, found))) == len(names) == 3
    assert sorted(row["n"] for row in stored.rows) == [1, 2, 5, 99]


def test_dead_letters_of_a_file_are_sent_again_under_names_that_any_store_takes() -> None:
    """The source of a file may hold anything; what its objects are called may not."""
    source = "s3://bucket/in/\u65e5 a=b?c*.json?3HL4kqtJvjVBH40Nrjfkd"
    records = (StreamRecord("0", None, 0, as_json({"n": 5})),)
    batch = Batch(source, "ignored", records, one_document_per_record=True)
    stored = Stored()
    pipeline = Pipeline(Router([STRICT]), Limits(), stored.output, stored.dead_letters, FAST_PATHS)
    Attempt(pipeline, lambda: 60.0, 0.0).process(batch)
    redrive(stored, LOOSE)
    (key,) = stored.output.list()
    assert re.fullmatch(r"things/parquet/a_b_c_\.json-0-0-1-redrive-[0-9a-f]{32}\.parquet", key)
    assert [row["_source"] for row in stored.rows] == [source]
