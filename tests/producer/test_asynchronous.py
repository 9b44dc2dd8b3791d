"""The producer for coroutines: order, outcomes, and an event loop that nothing holds up."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core.errors import DatasetError, StreamUnavailable
from pipeline.producer import AsyncProducer, Options, ProducerError, RecordFailed, RecordRefused
from pipeline.producer.testing import MemoryStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.adapters.aws.kinesis import PutRecord


def test_all_are_stored_in_the_order_of_the_calls() -> None:
    stream = MemoryStream(shards=2)

    async def main() -> list[Any]:
        async with AsyncProducer(stream, Options(linger=0.01)) as producer:
            stored = await asyncio.gather(*(producer.put({"n": n}, "key") for n in range(300)))
            assert producer.statistics.acknowledged == 300
            return stored

    positions = asyncio.run(main())
    assert [document["n"] for document in stream.documents] == list(range(300))
    places = [(int(each.sequence_number), each.sub_sequence_number) for each in positions]
    assert places == sorted(places)


def test_what_is_refused_or_fails_is_raised_where_it_is_awaited() -> None:
    stream = MemoryStream()

    async def main() -> list[Any]:
        async with AsyncProducer(stream, Options(linger=0, record_ttl=0.05)) as producer:
            with pytest.raises(RecordRefused, match=r"^The payload cannot be written as JSON"):
                await producer.put(object())
            stream.fail_with = StreamUnavailable("The network is down.")
            failing = producer.put({"n": 1}), producer.put({"n": 2})
            return list(await asyncio.gather(*failing, return_exceptions=True))

    outcomes = asyncio.run(main())
    assert [type(outcome) for outcome in outcomes] == [RecordFailed, RecordFailed]
    assert [outcome.failed[0].payload for outcome in outcomes] == [b'{"n":1}', b'{"n":2}']


class _Slow(MemoryStream):
    """A stream that stores when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = threading.Event()

    def put_records(self, records: Sequence[PutRecord]) -> Any:
        self.allowed.wait()
        return super().put_records(records)


def test_a_full_buffer_does_not_hold_up_the_loop() -> None:
    stream = _Slow()

    async def main() -> None:
        async with AsyncProducer(stream, Options(linger=0, buffer_bytes=1_000)) as producer:
            waiting = [asyncio.create_task(producer.put(b"x" * 400, "key")) for _ in range(10)]
            for _ in range(100):
                await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
            waiting[-1].cancel()
            stream.allowed.set()
            await producer.flush()
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(done[-1], asyncio.CancelledError)

    asyncio.run(main())
    assert len(stream.records) >= 9


def test_an_error_of_the_block_is_the_blocks() -> None:
    stream = MemoryStream()

    async def main() -> None:
        async with AsyncProducer(stream) as producer:
            await producer.put({})
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(main())
    assert len(stream.records) == 1


def test_it_starts_with_its_block() -> None:
    with pytest.raises(ProducerError, match=r"^An AsyncProducer starts with its block: use `async"):
        asyncio.run(AsyncProducer(MemoryStream()).flush())


def test_what_stops_the_start_is_raised_by_the_block() -> None:
    async def main() -> None:
        async with AsyncProducer(MemoryStream(), schemas="not there"):
            pass

    with pytest.raises(DatasetError, match=r"^not there is not a directory"):
        asyncio.run(main())
