"""The threads that send waiting records, and retry each until it is stored or too old.

They take turns: each looks under one lock for the next thing to do (`_take_job`), and does it
without the lock. A shard has one call under way at most, and records that it did not store go
back to the front of the queue. This, and `ShardQueue.pack`, keeps the order.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from pipeline.adapters.aws.kinesis import RecordNotStored, Stored, WritableStream
from pipeline.backoff import backoff
from pipeline.core.errors import StreamError, StreamRefused, StreamThrottled
from pipeline.producer.options import Options
from pipeline.producer.outcomes import (
    FailedRecord,
    Outcome,
    Position,
    ProducerError,
    Statistics,
)
from pipeline.producer.shards import Packed, Record, ShardMap, ShardQueue

_REQUEST_RECORDS = 500
_REQUEST_BYTES = 5 * 2**20
"""AWS accepts 10 MiB by now; others that speak Kinesis may not."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 3.0  # seconds between tries
_FIRST_REFRESH, _LONGEST_REFRESH = 1.0, 30.0  # seconds between listings of the shards
_LONGEST_MESSAGE = 300  # characters of Kinesis' own that a sentence quotes
_THROTTLED = "ProvisionedThroughputExceededException"

Job = Callable[[], None]
Request = list[tuple[ShardQueue, Packed]]
Response = Stored | RecordNotStored | StreamError


class Dispatcher:
    """Accepts records, and reports the outcome of each once, from one of its threads."""

    def __init__(
        self,
        stream: WritableStream,
        options: Options,
        report: Callable[[Record, Outcome], None],
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        """List the stream's shards and start the threads. Raises `StreamError`."""
        self._stream, self._options = stream, options
        self._report, self._clock, self._jitter = report, clock, jitter
        self._map = ShardMap(stream.list_shards(), stream.stream)
        self._new_map: ShardMap | None = None  # waits until no call is under way
        self._stale = self._listing = False
        self._refresh_at, self._refresh_delay = -math.inf, _FIRST_REFRESH
        self._in_hand: dict[int, list[Record]] = {}
        self._statistics = Statistics()
        self._buffered = 0  # bytes
        self._flushing = 0  # threads that wait in `flush`
        self._closing = False
        self.broken: BaseException | None = None
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # its waiters: this class' threads
        self._settled = threading.Condition(self._lock)  # its waiters: who puts and flushes
        # Daemons, so that a program that forgets to close ends, without the records that wait.
        self._threads = [
            threading.Thread(target=self._run, name=f"producer-{number}", daemon=True)
            for number in range(options.connections)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def statistics(self) -> Statistics:
        """What was done so far."""
        with self._lock:
            return replace(self._statistics)

    @property
    def ended(self) -> bool:
        """Whether it accepts no more records."""
        return self._closing or self.broken is not None

    def add(self, record: Record, hash_key: int) -> bool:
        """Add a record, waiting for room; say whether it was accepted, as it is not at the end."""
        with self._lock:
            if self._buffered + record.cost > self._options.buffer_bytes:
                self._wait_for_room(record.cost)
            if self.ended:
                return False
            if self._map.queue_of(hash_key).append(record, self._options):
                self._work.notify()
            self._buffered += record.cost
            self._statistics.put += 1
            self._statistics.put_bytes += len(record.payload)
            return True

    def _wait_for_room(self, cost: int) -> None:
        # A callback that puts must not wait for the thread that it runs in.
        if threading.current_thread() not in self._threads:
            most = self._options.buffer_bytes - cost
            self._settled.wait_for(
                lambda: self._buffered <= most or not self._buffered or self.ended
            )

    def flush(self) -> None:
        """Send all waiting records; return when all that any thread added are settled."""
        self._refuse_own_thread()
        with self._lock:
            self._flushing += 1
            self._work.notify_all()
            self._settled.wait_for(lambda: not self._statistics.waiting or self.broken)
            self._flushing -= 1

    def close(self) -> None:
        """Flush, and end the threads. What is left after a defect is reported as failed."""
        self._refuse_own_thread()
        with self._lock:
            self._closing = True
            self._work.notify_all()
            self._settled.notify_all()
        for thread in self._threads:
            thread.join()
        if self.broken is not None:
            waiting = (queue.pop(len(queue.records)) for queue in self._map.queues)
            left = list(chain(chain.from_iterable(waiting), *self._in_hand.values()))
            self._in_hand.clear()
            self._give_up(left, f"The producer broke down with {type(self.broken).__name__}.")

    def _refuse_own_thread(self) -> None:
        """Raise `ProducerError` where a callback would wait for itself."""
        if threading.current_thread() in self._threads:
            raise ProducerError(
                "A callback cannot flush or close the producer, whose thread it runs in; it would "
                "wait for itself. Do so from a thread of your own."
            )

    # ------------------------------------------------------------------------------ what to do

    def _run(self) -> None:
        try:
            while (job := self._take_job()) is not None:
                job()
        except BaseException as error:  # noqa: BLE001 - a defect: kept, and raised by who puts or closes
            with self._lock:
                self.broken = error
                self._work.notify_all()
                self._settled.notify_all()

    def _take_job(self) -> Job | None:
        """Wait for something to do; None at the end."""
        with self._lock:
            while True:
                if self.broken or (self._closing and not self._statistics.waiting):
                    # The others wait for nothing else.
                    self._work.notify_all()
                    return None
                now = self._clock()
                job = self._expire(now) or self._refresh(now) or self._send_next(now)
                if job is not None:
                    # Another thread has to watch the time for the records that still wait.
                    self._work.notify()
                    return job
                self._work.wait(self._pause(now))

    def _expire(self, now: float) -> Job | None:
        """Give up records that have waited too long."""
        put_until = now - self._options.record_ttl
        for queue in self._map.queues:
            if records := queue.pop_expired(put_until):
                self._in_hand[id(records)] = records
                tried = queue.last_error or "it had to wait for others, and was never sent."
                after = f"Given up after {self._options.record_ttl:g} s"
                return partial(self._give_up, records, f"{after}: {tried}")
        return None

    def _refresh(self, now: float) -> Job | None:
        """Move to a new shard map if no call is under way; list the shards if they may be new."""
        if self._new_map is not None and not any(queue.busy for queue in self._map.queues):
            self._new_map.take_over(self._map, self._options)
            self._map, self._new_map = self._new_map, None
        if self._stale and not self._listing and now >= self._refresh_at:
            self._stale, self._listing = False, True
            return self._list_shards
        return None

    def _send_next(self, now: float) -> Job | None:
        """Send the records that are ready, of all free shards, as many as one call holds."""
        if self._new_map is not None:
            return None  # first the calls under way end, so that no record overtakes theirs
        request = self._collect(now)
        if not request:
            return None
        for queue, _ in request:
            queue.busy = True
        records = [record for _, packed in request for record in packed.records]
        self._in_hand[id(records)] = records
        return partial(self._send, request, records)

    def _collect(self, now: float) -> Request:
        ready = [queue for queue in self._map.queues if self._ready_at(queue) <= now]
        ready.sort(key=lambda queue: queue.records[0].put_at)
        request: Request = []
        most, room = _REQUEST_RECORDS, max(_REQUEST_BYTES, self._options.max_record_bytes)
        for queue in ready:
            if queue.suspect and request:
                continue
            packed = queue.pack(self._options, most, room)
            request += [(queue, one) for one in packed]
            most -= len(packed)
            room -= sum(one.size for one in packed)
            if queue.suspect or not packed or not most:
                break
        return request

    def _ready_at(self, queue: ShardQueue) -> float:
        """Return when a queue is to be sent of; infinity if nothing of it can be."""
        if queue.busy or not queue.records:
            return math.inf
        return queue.ready_at(self._options, hurry=self._closing or self._flushing > 0)

    def _pause(self, now: float) -> float | None:
        """Return the seconds after which there may be something to do; None: not by itself."""
        times = [self._refresh_at] if self._stale and not self._listing else []
        if self._new_map is None:
            times += [self._ready_at(queue) for queue in self._map.queues]
        times += [
            queue.records[0].put_at + self._options.record_ttl
            for queue in self._map.queues
            if queue.records and not queue.busy
        ]
        first = min(times, default=math.inf)
        return None if first == math.inf else max(0.0, first - now)

    # --------------------------------------------------------------------------- how it is done

    def _list_shards(self) -> None:
        """Ask for the shards; where that fails, or they are the same, wait longer next time."""
        new = None
        with contextlib.suppress(StreamError):  # records that cannot be stored meanwhile say why
            new = ShardMap(self._stream.list_shards(), self._stream.stream)
        with self._lock:
            self._listing = False
            self._stale |= new is None
            self._statistics.refreshes += 1
            if new is not None and new.shards != self._map.shards:
                self._new_map = new
                self._refresh_delay = _FIRST_REFRESH
            self._refresh_at = self._clock() + self._refresh_delay
            self._refresh_delay = min(2 * self._refresh_delay, _LONGEST_REFRESH)
            self._work.notify_all()

    def _send(self, request: Request, records: list[Record]) -> None:
        """Make one call, report the records that it stored, and put the others back."""
        responses: Sequence[Response]
        try:
            responses = self._stream.put_records([packed.stream_record for _, packed in request])
        except StreamError as error:
            responses = [error] * len(request)
        for (queue, packed), response in zip(request, responses, strict=True):
            if isinstance(response, Stored):
                self._report_stored(packed, response)
            elif _is_final(queue, response):
                self._give_up(packed.records, str(response))
        with self._lock:
            del self._in_hand[id(records)]
            self._settle(request, responses)
            self._work.notify_all()
            self._settled.notify_all()

    def _report_stored(self, packed: Packed, stored: Stored) -> None:
        for sub, record in enumerate(packed.records):
            if record.callback is not None:
                self._report(record, Position(stored.shard_id, stored.sequence_number, sub))

    def _give_up(self, records: list[Record], sentence: str) -> None:
        """Report records as failed, and count them."""
        for record in records:
            put = (record.payload, record.partition_key, sentence, record.explicit_hash_key)
            self._report(record, FailedRecord(*put))
        with self._lock:
            self._in_hand.pop(id(records), None)
            self._buffered -= sum(record.cost for record in records)
            self._statistics.failed += len(records)
            self._work.notify_all()
            self._settled.notify_all()

    def _settle(self, request: Request, responses: Sequence[Response]) -> None:
        """Count stored records, and put those to be retried back in their order."""
        self._statistics.calls += 1
        unstored: dict[ShardQueue, Response] = {}
        for (queue, packed), response in reversed(list(zip(request, responses, strict=True))):
            if isinstance(response, Stored):
                self._count_stored(packed)
                # Another shard than foreseen: the stream was resharded.
                self._stale |= response.shard_id != queue.shard_id
                continue
            unstored[queue] = response
            if not _is_final(queue, response):
                queue.put_back(packed.records)
                self._statistics.retries += 1
                self._statistics.throttled += _is_throttled(response)
        for queue in {queue for queue, _ in request}:
            self._free(queue, unstored.get(queue))

    def _count_stored(self, packed: Packed) -> None:
        self._buffered -= sum([record.cost for record in packed.records])
        self._statistics.acknowledged += len(packed.records)
        self._statistics.acknowledged_bytes += sum(
            [len(record.payload) for record in packed.records]
        )
        self._statistics.stream_records += 1
        self._statistics.stream_bytes += len(packed.stream_record.data)

    def _free(self, queue: ShardQueue, unstored: Response | None) -> None:
        """Let a queue go on: at once, or where something was not stored, after a while.

        Exponential backoff with full jitter, as in `RetryingStore`; each shard has its own.
        """
        queue.busy = False
        queue.suspect = isinstance(unstored, StreamRefused)
        self._stale |= queue.suspect
        if unstored is None:
            queue.failures = 0
            return
        queue.last_error = _reason(unstored, queue)
        queue.failures += 1
        delay = backoff(queue.failures, _FIRST_DELAY, _LONGEST_DELAY, self._jitter())
        queue.not_before = self._clock() + delay


def _is_final(queue: ShardQueue, response: Response) -> bool:
    """Say whether a stream record was refused when it was sent alone, a second time."""
    return queue.suspect and isinstance(response, StreamRefused)


def _is_throttled(response: Response) -> bool:
    if isinstance(response, RecordNotStored):
        return response.code == _THROTTLED
    return isinstance(response, StreamThrottled)


def _reason(response: Response, queue: ShardQueue) -> str:
    """Say why a stream record was not stored."""
    if isinstance(response, RecordNotStored):
        said = " ".join(response.message.split())[:_LONGEST_MESSAGE].rstrip(".")
        return f'Kinesis answered {response.code} ("{said}") for {queue.shard_id}.'
    return str(response)
