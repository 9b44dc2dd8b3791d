"""The producer for coroutines."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pipeline.producer.outcomes import Position, ProducerError, Statistics
from pipeline.producer.payloads import Payload
from pipeline.producer.producer import Producer

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


class AsyncProducer:
    """Sends records to one stream from coroutines of one event loop; waiting never holds that up.

    `async with AsyncProducer("orders") as producer:` takes what `Producer` takes. What may wait is
    done by one thread, in the order of the calls, so that records of a partition key keep it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the arguments of a `Producer`, which starts with the block."""
        self._start = partial(Producer, *arguments, **options)
        self._started: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="producer-put")

    async def put(
        self,
        payload: Payload,
        partition_key: str | None = None,
        explicit_hash_key: str | None = None,
    ) -> Position:
        """Put one record; return its position when it is stored.

        Raises as `Producer.put` does, and `RecordFailed` where the record is given up. Who is
        cancelled meanwhile does not learn the outcome; the record is sent all the same.
        """
        from asyncio import wrap_future  # noqa: PLC0415 - see `_run`

        stored: Future[Position] = await self._run(
            self._producer.submit, payload, partition_key, explicit_hash_key
        )
        return await wrap_future(stored)

    async def flush(self) -> None:
        """Send all waiting records; return when all that were put are settled."""
        await self._run(self._producer.flush)

    @property
    def _producer(self) -> Producer:
        if self._started is None:
            raise ProducerError("An AsyncProducer starts with its block: use `async with`.")
        return self._started

    @property
    def statistics(self) -> Statistics:
        """What was done so far."""
        return self._producer.statistics

    async def __aenter__(self) -> Self:
        try:
            self._started = await self._run(self._start)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, when all is settled. Every record had a coroutine that hears of it."""
        try:
            await self._run(self._producer.__exit__, kind, error, trace)
        finally:
            self._thread.shutdown(wait=False)

    async def _run(
        self, call: Callable[_Args, _Result], *arguments: _Args.args, **options: _Args.kwargs
    ) -> _Result:
        # Whoever comes here has loaded it; the plain producer starts sooner without.
        from asyncio import get_running_loop  # noqa: PLC0415

        loop = get_running_loop()
        return await loop.run_in_executor(self._thread, partial(call, *arguments, **options))
