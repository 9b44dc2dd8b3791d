"""What was stored of a batch that failed is remembered of that batch, in those stores, alone."""

from __future__ import annotations

import pytest
from support import ORDERS, FaultyStore, as_json, batch_of, order

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.retry import RetryPolicy
from pipeline.adapters.unfinished import Unfinished
from pipeline.attempt import Attempt
from pipeline.core.errors import StoreError, StoreRefused
from pipeline.core.records import Batch, Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline

STORES = (MemoryStore("lake"), MemoryStore("dead"))
STORED = {("memory://lake", "a"): 1}
ONE, TWO, THREE = batch_of(b"1", b"2", b"3").records
BATCH = Batch("stream/shard", "shard", (ONE, TWO, THREE))


def test_a_batch_is_remembered_until_it_is_forgotten() -> None:
    unfinished = Unfinished()
    unfinished.remember(BATCH, STORES, STORED)
    assert unfinished.stored(BATCH, STORES) == STORED
    unfinished.forget(BATCH)
    assert unfinished.stored(BATCH, STORES) == {}


@pytest.mark.parametrize(
    ("other", "stores"),
    [
        (Batch("stream/other", "shard", (ONE, TWO, THREE)), STORES),
        (Batch("stream/shard", "shard", (ONE, THREE)), STORES),  # one out of its middle is gone
        (Batch("stream/shard", "shard", (ONE, TWO)), STORES),
        (Batch("stream/shard", "shard", (ONE, TWO, THREE), "redriven"), STORES),
        (BATCH, (MemoryStore("lake"), STORES[1])),  # of the same name, and empty
    ],
)
def test_another_batch_and_other_stores_know_nothing_of_it(
    other: Batch, stores: tuple[MemoryStore, MemoryStore]
) -> None:
    unfinished = Unfinished()
    unfinished.remember(BATCH, STORES, STORED)
    assert unfinished.stored(other, stores) == {}


def test_a_batch_with_a_hole_ends_what_is_known_of_the_whole_one() -> None:
    """They may have the same keys, so the one may have replaced the other's objects."""
    unfinished = Unfinished()
    unfinished.remember(BATCH, STORES, STORED)
    unfinished.forget(Batch("stream/shard", "shard", (ONE, THREE)))
    assert unfinished.stored(BATCH, STORES) == {}


def test_few_objects_are_remembered_but_the_last_batch_whole() -> None:
    """A batch of very many partitions would else be begun again and again."""
    unfinished = Unfinished()
    many = {("memory://lake", f"{number}"): 1 for number in range(30_000)}
    batches = [Batch(f"stream/{number}", "shard", (ONE,)) for number in range(3)]
    for batch in batches[:2]:
        unfinished.remember(batch, STORES, many)
    assert [len(unfinished.stored(batch, STORES)) for batch in batches] == [0, 30_000, 0]
    unfinished.remember(batches[2], STORES, many | {("memory://dead", key): 1 for _, key in many})
    assert [len(unfinished.stored(batch, STORES)) for batch in batches] == [0, 0, 60_000]


def test_few_batches_are_remembered() -> None:
    unfinished = Unfinished()
    batches = [Batch(f"stream/{number}", "shard", (ONE,)) for number in range(20)]
    for batch in batches:
        unfinished.remember(batch, STORES, STORED)
    known = [bool(unfinished.stored(batch, STORES)) for batch in batches]
    assert known == [False] * 12 + [True] * 8


def test_what_failed_is_stored_in_the_end_and_nothing_of_it_twice() -> None:
    """Each attempt goes on behind the objects of those before, and the result is the same."""
    documents = [as_json(order(country=country)) for country in ("DE", "FR", "IT", "ES")]
    batch = batch_of(b"\n".join(documents), as_json(order(total="x")))
    attempted: list[str] = []

    def refuse(number: int) -> None:
        if number % 3 == 0:
            raise StoreRefused("The store refuses; grant it.")

    class Store(FaultyStore):
        def put(self, key: str, body: bytes) -> None:
            super().put(key, body)
            attempted.append(key)

    def process(pipeline: Pipeline) -> int:
        attempts = 0
        while True:
            attempts += 1
            try:
                policy = RetryPolicy(sleep=lambda _: None)
                report = Attempt(pipeline, lambda: 60.0, 0.0, policy=policy).process(batch)
            except StoreError:
                continue
            assert (report.total("rows"), report.rejects) == (4, 1)
            assert report.total("objects") == 9
            assert report.total("bytes_out") == sum(
                len(body)
                for store in (pipeline.output, pipeline.dead_letters)
                for body in (store.get(key) for key in store.list())
            )
            return attempts

    faulty = Pipeline(Router([ORDERS]), Limits(), Store(refuse), MemoryStore("dead"))
    sound = Pipeline(Router([ORDERS]), Limits(), MemoryStore("lake"), MemoryStore("dead"))
    assert process(faulty) > 1
    assert process(sound) == 1
    assert len(attempted) == len(set(attempted)) == 8
    for one, other in (
        (faulty.output, sound.output),
        (faulty.dead_letters, sound.dead_letters),
    ):
        assert [(key, one.get(key)) for key in one.list()] == [
            (key, other.get(key)) for key in other.list()
        ]
