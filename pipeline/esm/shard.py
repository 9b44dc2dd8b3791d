"""One shard of a mapping: records in, invocations out, and what an outcome does to a batch.

Where AWS's documentation does not say, this is what happens here:

- What is left after progress (a response that names another record than the first) or after a
  bisect is a new batch: it is not filled up with later records, is invoked at once, and has all
  its retries. The former is what AWS does: of three records with three retries, the last of them
  named, it was delivered once with the others and four times alone.
- A response that names the first record, or means nothing, uses up a retry and bisects nothing.
- A batch that is tried again as it was waits before: 1 s, then twice as long each time, at most
  30 s. AWS backs off too, and publishes no figures.
- A record that no event can hold is given up as if its retries were exhausted, after none.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from pipeline.backoff import backoff
from pipeline.core.errors import EventError
from pipeline.core.events import kinesis_event
from pipeline.core.records import StreamRecord
from pipeline.esm.buffer import Buffer
from pipeline.esm.event import text_size
from pipeline.esm.failure import Condition, FailedBatch
from pipeline.esm.messages import Invoke, Outcome, Raised, Returned, Settled, Throttled, Wait
from pipeline.esm.response import retry_from_index
from pipeline.esm.settings import Mapping

Records = tuple[StreamRecord, ...]
_SECOND = 1_000_000
_LONGEST_BACKOFF = 30 * _SECOND


@dataclass(slots=True)
class _Batch:
    """Records that are delivered together, and how their deliveries went."""

    records: Records
    errors: int = 0
    throttles: int = 0
    not_before: int = 0


class ShardMapping:
    """One shard of one mapping.

    `checkpoint` is the sequence number through which everything is done: delivered or given up.
    After each `Invoke` comes `settle`, exactly once, before the next `next`. `now` is always in
    microseconds, and only what passes between two of them counts: a clock that nobody sets lets
    nothing wait longer than it should.
    """

    def __init__(
        self, mapping: Mapping, stream_arn: str, shard_id: str, checkpoint: str | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self._mapping = mapping
        self._origin = (stream_arn, shard_id)
        self._received = -1 if checkpoint is None else int(checkpoint)
        self._buffer = Buffer(mapping.batch_size)
        self._batches: deque[_Batch] = deque()
        self._invoked: _Batch | None = None
        # Done, and not yet covered by the checkpoint: an earlier record is not done.
        self._done: list[int] = []

    @property
    def has_capacity(self) -> bool:
        """Whether less than a full batch is buffered, so that there is room for more records."""
        return not self._buffer.is_full

    @property
    def is_idle(self) -> bool:
        """Whether nothing is buffered and nothing in flight."""
        return not (self._buffer or self._batches or self._invoked)

    def receive(self, records: Iterable[StreamRecord], now: int) -> None:
        """Accept records in the shard's order; those that were received before are ignored.

        Raises `EventError` where one does not follow the record before it.
        """
        last = -1
        for record in records:
            number = int(record.sequence_number)
            if number <= last:
                message = (
                    f"Record {number} of {'/'.join(self._origin)} does not follow the record "
                    f"before it ({last}); give a shard's records in ascending order."
                )
                raise EventError(message)
            last = number
            if number > self._received:
                self._buffer.add(record, now, text_size(record, *self._origin))
                self._received = number

    def next(
        self, now: int, *, closing: bool = False, date: int | None = None
    ) -> Invoke | Wait | Settled:
        """Say what to do now; `closing` does not wait for a batch to fill.

        `date` is the time since 1970, which the arrival of records is held against: `now`, if that
        is it.
        """
        if self._invoked is not None:
            raise RuntimeError("An invocation is under way; call settle() with its outcome first.")
        if self._mapping.record_age_seconds != -1:
            oldest = (now if date is None else date) - self._mapping.record_age_seconds * _SECOND
            too_old = self._remove(lambda record: record.arrived_at < oldest)
            if too_old:
                return self._settled(too_old)
        if not self._batches:
            step = self._cut(now, closing=closing)
            if step is not None:
                return step
        if now < self._batches[0].not_before:
            return Wait(self._batches[0].not_before)
        return self._invoke()

    def settle(self, outcome: Outcome, now: int) -> Settled:
        """Record the outcome of the invocation that `next` returned."""
        batch = self._invoked
        if batch is None:
            raise RuntimeError("There is no invocation to settle; call next() first.")
        self._invoked = None
        if isinstance(outcome, Throttled):
            batch.throttles += 1
            return self._retry(batch, now)
        if isinstance(outcome, Raised):
            if self._mapping.bisect and len(batch.records) > 1:
                return self._split(batch.records, len(batch.records) // 2)
            return self._failed_once(batch, outcome.error, now)
        return self._returned(batch, outcome, now)

    def expired(self, before: str) -> Settled:
        """Give up the records before this sequence number: the stream no longer keeps them.

        Except those of an invocation under way, whose outcome may still be good.
        """
        horizon = int(before)
        return self._settled(self._remove(lambda record: int(record.sequence_number) < horizon))

    # ------------------------------------------------------------------- what becomes of a batch

    def _cut(self, now: int, *, closing: bool) -> Wait | Settled | None:
        """Make a batch of what is buffered, or return what to do instead."""
        if not self._buffer:
            return Wait(None)
        if self._buffer.head_too_large:
            batch = _Batch(self._buffer.cut())
            return self._settled([self._failed(batch, "RetryAttemptsExhausted", None)])
        window_ends = self._buffer.since + self._mapping.window_seconds * _SECOND
        if not (closing or self._buffer.is_full or now >= window_ends):
            return Wait(window_ends)
        self._batches.append(_Batch(self._buffer.cut()))
        return None

    def _invoke(self) -> Invoke:
        batch = self._invoked = self._batches.popleft()
        event = kinesis_event(batch.records, *self._origin)
        return Invoke(event, batch.records, batch.errors + 1)

    def _returned(self, batch: _Batch, outcome: Returned, now: int) -> Settled:
        """Go on after a response: what it does not name is done."""
        records = batch.records
        start = len(records)
        if self._mapping.report_failures:
            start = retry_from_index(outcome.value, records)
        if start == 0:
            return self._failed_once(batch, None, now)
        if start < len(records):
            self._batches.appendleft(_Batch(records[start:]))
        self._note_done(records[:start])
        return self._settled([])

    def _split(self, records: Records, middle: int) -> Settled:
        """Put the halves in the batch's place, in order: the second waits for the first."""
        self._batches.extendleft((_Batch(records[middle:]), _Batch(records[:middle])))
        return self._settled([])

    def _failed_once(self, batch: _Batch, error: str | None, now: int) -> Settled:
        """Retry a batch as it is, while it has retries left."""
        batch.errors += 1
        if 0 <= self._mapping.retry_attempts < batch.errors:
            return self._settled([self._failed(batch, "RetryAttemptsExhausted", error)])
        return self._retry(batch, now)

    def _retry(self, batch: _Batch, now: int) -> Settled:
        delay = backoff(batch.errors + batch.throttles, _SECOND, _LONGEST_BACKOFF)
        batch.not_before = now + round(delay)
        self._batches.appendleft(batch)
        return self._settled([])

    # ----------------------------------------------------------------------------------- the end

    def _remove(self, is_gone: Callable[[StreamRecord], bool]) -> list[FailedBatch]:
        """Give up the waiting records that are gone; one failure for each run of them."""
        failures: list[FailedBatch] = []
        for batch in self._batches:
            failures += self._runs(batch.records, is_gone, batch.errors)
            batch.records = tuple(record for record in batch.records if not is_gone(record))
        self._batches = deque(batch for batch in self._batches if batch.records)
        failures += self._runs(self._buffer.records, is_gone, 0)
        self._buffer.remove(is_gone)
        return failures

    def _runs(
        self, records: Records, is_gone: Callable[[StreamRecord], bool], attempts: int
    ) -> Iterator[FailedBatch]:
        for gone, run in groupby(records, is_gone):
            if gone:
                yield self._failed(_Batch(tuple(run), attempts), "RecordAgeExceeded", None)

    def _failed(self, batch: _Batch, condition: Condition, error: str | None) -> FailedBatch:
        self._note_done(batch.records)
        return FailedBatch(condition, batch.records, batch.errors, error, *self._origin)

    def _note_done(self, records: Records) -> None:
        self._done += [int(record.sequence_number) for record in records]

    def _settled(self, failures: list[FailedBatch]) -> Settled:
        """Move the checkpoint over all that is done, and return what changed."""
        waiting = self._first_waiting()
        passed = [number for number in self._done if waiting is None or number < waiting]
        if not passed:
            return Settled(None, tuple(failures))
        self._done = [number for number in self._done if not (waiting is None or number < waiting)]
        self.checkpoint = str(max(passed))
        return Settled(self.checkpoint, tuple(failures))

    def _first_waiting(self) -> int | None:
        """Return the sequence number of the first record that is not done, if there is one."""
        if self._invoked is not None:
            return int(self._invoked.records[0].sequence_number)
        records = self._batches[0].records if self._batches else self._buffer.records
        return int(records[0].sequence_number) if records else None
