"""The producer as applications see it."""

import itertools
import os
import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.adapters.aws.kinesis import KinesisStream, WritableStream
from pipeline.core.magic import KPL_MAGIC
from pipeline.producer.dispatch import Dispatcher
from pipeline.producer.options import Options
from pipeline.producer.outcomes import (
    Callback,
    FailedRecord,
    Outcome,
    Position,
    ProducerError,
    RecordFailed,
    RecordRefused,
    Statistics,
)
from pipeline.producer.payloads import Payload, to_bytes
from pipeline.producer.shards import Record, md5_number

_DECIMAL = re.compile("0|[1-9][0-9]{0,38}")
_LONGEST_KEY = 256  # characters
_RECORD_OVERHEAD = 400  # bytes that Python's objects around a waiting record take, about
_RECORDS_OF_A_KEY = 100
_AGGREGATE_OVERHEAD = 64  # bytes around a record that has an aggregate to itself, at most


class _Keys:
    """Partition keys for records that have none.

    They change after some records and not with each, as an aggregate holds every key that it has.
    """

    def __init__(self) -> None:
        self._first = random.getrandbits(32)  # two producers should not fill the same shard
        self._numbers = itertools.count()

    def next(self) -> str:
        return f"{self._first + next(self._numbers) // _RECORDS_OF_A_KEY:x}"


def _no_check(_payload: bytes, _partition_key: str) -> None:
    """Let the consumer judge."""


def _check(folder: Path) -> Callable[[bytes, str], None]:
    from pipeline.producer.checks import Check  # noqa: PLC0415 - it needs Arrow

    return Check(folder)


class Producer:
    """Sends records to one stream. Safe to use from several threads; see the package."""

    def __init__(
        self,
        stream: str | WritableStream,
        options: Options | None = None,
        *,
        schemas: str | Path | None = None,
        endpoint_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """List the stream's shards and start. `stream` is a name or an ARN, or one in memory.

        `schemas` is the folder of the consumer's datasets: what would be refused by them is refused
        here. Raises `StreamError` where the stream cannot be reached, is not there or has no shard,
        and `DatasetError` for schemas that cannot be used.
        """
        self._judge = _no_check if schemas is None else _check(Path(schemas))
        if isinstance(stream, str):
            stream = KinesisStream(stream, endpoint_url=endpoint_url)
        self.stream = stream.stream
        self._process = os.getpid()
        self._keys = _Keys()
        self._options = options or Options()
        self._compress = self._options.compressor()
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: list[FailedRecord] = []
        self._failed_bytes = 0
        self._callback_error: BaseException | None = None
        self._dispatcher = Dispatcher(stream, self._options, self._report, clock, jitter)

    def put(
        self,
        payload: Payload,
        partition_key: str | None = None,
        explicit_hash_key: str | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Hand over one record; wait while the buffer is full.

        Bytes and text are sent as they are, any other value as JSON; see `payloads`. Records of one
        `partition_key` keep their order; without one, they are spread over the shards.
        `explicit_hash_key`, a decimal number below 2**128, decides on the shard instead of the
        partition key. `callback` is called once, with the `Position` or the `FailedRecord`, by a
        thread of the producer; it may put, and should be quick. Raises `RecordRefused` for what no
        stream accepts, its kind `DocumentRefused` for what `schemas` refuse, and `ProducerError`
        when closed, in a process that was forked since, or when too many failed records were not
        taken.
        """
        if os.getpid() != self._process:
            raise ProducerError(
                f"The producer of the stream {self.stream!r} was made before this process was "
                "forked, and its threads are in the other one. Make a producer in each process."
            )
        payload = to_bytes(payload)
        if partition_key is None:
            partition_key = self._keys.next()
        hash_key = self._check(payload, partition_key, explicit_hash_key)
        self._judge(payload, partition_key)
        if self._failed_bytes >= self._options.buffer_bytes:
            raise ProducerError(
                f"More than {self._options.buffer_bytes:,} bytes of records could not be stored on "
                f"the stream {self.stream!r} and were not taken. Take them with take_failed(), "
                "where each says why, or put with a callback."
            )
        data, cost = payload, len(payload) + len(partition_key) + _RECORD_OVERHEAD
        if self._compress is not None and len(packed := self._compress(payload)) < len(payload):
            data, cost = packed, cost + len(packed)
        now = self._clock()
        record = Record(partition_key, data, explicit_hash_key, callback, now, payload, cost)
        if not self._dispatcher.add(record, hash_key):
            raise ProducerError(
                f"The producer of the stream {self.stream!r} is closed; the record was not put."
            ) from self._dispatcher.broken

    def submit(
        self,
        payload: Payload,
        partition_key: str | None = None,
        explicit_hash_key: str | None = None,
    ) -> Future[Position]:
        """Hand over one record, as `put`, and return the future of its position.

        Where it is given up, the future's exception is a `RecordFailed` that holds the record.
        """
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()  # what is under way cannot be cancelled

        def resolve(outcome: Outcome) -> None:
            if isinstance(outcome, Position):
                future.set_result(outcome)
            else:
                future.set_exception(RecordFailed(outcome.error, [outcome]))

        self.put(payload, partition_key, explicit_hash_key, resolve)
        return future

    def flush(self) -> None:
        """Send all waiting records; return when all that any thread put are settled.

        Failed records are not raised here, but on leaving `with`, or handed back by `take_failed`.
        """
        self._dispatcher.flush()
        if self._dispatcher.broken is not None:
            raise ProducerError(
                f"The producer of the stream {self.stream!r} broke down with "
                f"{type(self._dispatcher.broken).__name__}; close it, which hands the records back."
            ) from self._dispatcher.broken

    def close(self) -> list[FailedRecord]:
        """Flush, stop, and hand back the failed records that were not taken."""
        self._dispatcher.close()
        return self.take_failed()

    def take_failed(self) -> list[FailedRecord]:
        """Hand over, once, the records that failed so far without a callback or a future."""
        with self._lock:
            failed, self._failed, self._failed_bytes = self._failed, [], 0
            return failed

    @property
    def statistics(self) -> Statistics:
        """What was done so far."""
        return self._dispatcher.statistics

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close. Raise `ProducerError` for failed records not taken, or note it on `error`."""
        failed = self.close()
        cause = self._dispatcher.broken or self._callback_error
        if not failed and cause is None:
            return
        complaint = ProducerError(self._complaint(failed, cause), failed)
        if error is None:
            raise complaint from cause
        if isinstance(error, ProducerError):
            error.failed += failed
        error.add_note(str(complaint))

    # ------------------------------------------------------------------------------------------

    def _check(self, payload: bytes, key: str, explicit_hash_key: str | None) -> int:
        """Return the number that decides on the shard. Raises `RecordRefused`."""
        if not 1 <= len(key) <= _LONGEST_KEY:
            raise RecordRefused(
                f"The partition key has {len(key)} characters; give 1 to {_LONGEST_KEY}."
            )
        try:
            hash_key = md5_number(key)
            size = len(payload) + len(key if key.isascii() else key.encode())
        except UnicodeEncodeError:
            raise RecordRefused("The partition key is not valid Unicode; give text.") from None
        if payload.startswith(KPL_MAGIC):
            size += _AGGREGATE_OVERHEAD
        if size > self._options.max_record_bytes:
            raise RecordRefused(
                f"The record has {size:,} bytes with its partition key; a stream accepts "
                f"{self._options.max_record_bytes:,}. Split it, or raise max_record_bytes if the "
                "stream allows larger ones."
            )
        if explicit_hash_key is None:
            return hash_key
        if not _DECIMAL.fullmatch(explicit_hash_key) or int(explicit_hash_key) >= 2**128:
            raise RecordRefused("The explicit hash key is not a decimal number below 2**128.")
        return int(explicit_hash_key)

    def _report(self, record: Record, outcome: Outcome) -> None:
        """Hand an outcome to its callback; keep a failed record that has none."""
        if record.callback is None:
            if isinstance(outcome, FailedRecord):
                with self._lock:
                    self._failed.append(outcome)
                    self._failed_bytes += record.cost
            return
        try:
            record.callback(outcome)
        except BaseException as error:  # noqa: BLE001 - the application's own, raised on leaving `with`
            self._callback_error = self._callback_error or error

    def _complaint(self, failed: list[FailedRecord], cause: BaseException | None) -> str:
        if failed:
            return (
                f"{len(failed):,} of {self.statistics.put:,} records were not stored on the stream "
                f"{self.stream!r}: {failed[0].error} They are in this error's `failed`."
            )
        return (
            f"All records are settled, but a callback, or the producer of the stream "
            f"{self.stream!r} itself, raised {type(cause).__name__}."
        )
