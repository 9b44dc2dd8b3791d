"""Works on one shard: reads it, has its batches invoked, and writes down how far it is done."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from pipeline.adapters.aws.kinesis import Kinesis, Shard
from pipeline.adapters.store import ObjectStore
from pipeline.core.errors import StoreError, StreamError, StreamMissing, StreamRefused
from pipeline.core.records import StreamRecord
from pipeline.core.report import Report
from pipeline.esm import (
    FailedBatch,
    Invoke,
    Mapping,
    Outcome,
    Settled,
    ShardMapping,
    Wait,
)
from pipeline.local.function import FUNCTION_ARN, Function
from pipeline.local.pace import USUAL_PACE, Pace
from pipeline.local.reader import ShardReader, start_of
from pipeline.local.state import State
from pipeline.local.status import ShardStatus
from pipeline.local.trouble import REPORT_EVERY, FailureBackoff, Notify
from pipeline.local.watch import StreamWatch

MAPPING_ID: Final = "pipeline-run"
"""What stands for the event source mapping in the keys of failed batches."""

_LONGEST_WAIT: Final = 1.0  # seconds, after which a worker looks round again
_HOUR: Final = 3_600_000_000

Records = tuple[StreamRecord, ...]
End = Literal["drained", "caught up", "stopped", "replaced"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a runner is to do, the same for all shards.

    `retention` is the stream's, in hours. `concurrency` is how many batches may be in the handler
    at once, `once` has everything end at the tip of the stream. With `restart`, a stream that was
    created in this one's place is read from its beginning, and otherwise it is refused. `notify`
    accepts sentences for the operator, `on_stored` each stored batch's report; both are called from
    several threads.
    """

    kinesis: Kinesis
    retention: int
    state: State
    function: Function
    failures: ObjectStore
    mapping: Mapping
    concurrency: int
    once: bool
    notify: Notify
    on_stored: Callable[[Report], object]
    pace: Pace = USUAL_PACE
    restart: bool = False


def now() -> int:
    """Return the time, in microseconds since 1970."""
    return time.time_ns() // 1_000


def _passed() -> int:
    """Return microseconds of a clock that nobody sets: for waiting."""
    return time.monotonic_ns() // 1_000


class ShardWorker:
    """One shard's work, from its checkpoint on."""

    def __init__(
        self,
        shard_id: str,
        job: Job,
        status: ShardStatus,
        watch: StreamWatch,
        pool: Executor,
        stop: threading.Event,
    ) -> None:
        """Begin at the shard's checkpoint.

        `pool` runs the invocations of all shards, first come, first served: it limits how many
        batches are unpacked in memory, and no shard keeps another from its turn.
        """
        self.shard_id = shard_id
        self._job = job
        self._status = status
        self._watch = watch
        self._pool = pool
        self._stop = stop
        self._checkpoint = job.state.checkpoint(shard_id)
        self._mapping = ShardMapping(
            job.mapping, job.state.stream_arn, shard_id, self._checkpoint.sequence_number
        )
        self._reader = ShardReader(
            job.kinesis,
            self._checkpoint,
            job.retention,
            job.notify,
            now,
            job.pace,
            start_of(job.state.beginning()),
        )
        self._trouble = FailureBackoff(shard_id, job.notify, stop, job.pace)
        self._unread = ""  # the last trouble with reading
        self._failures = 0  # of batches, in a row

    def run(self) -> End:
        """Work until the shard is drained, or its tip is reached, or the runner stops.

        What was read of a stream that is replaced is delivered, as it can be read no more.
        Raises `StoreError` where a checkpoint cannot be written, and `StreamRefused` where the
        runner is to end at the tip and the shard cannot be read.
        """
        while not self._stop.is_set():
            closing = self._all_read or self._at_tip
            step = self._mapping.next(_passed(), closing=closing, date=now())
            match step:
                case Invoke():
                    self._invoke(step)
                case Settled():
                    self._settle(step, ())
                case Wait() if self._mapping.is_idle and self._watch.replaced:
                    return "replaced"
                case Wait() if self._mapping.is_idle and self._reader.ended:
                    self._save(closed=True)
                    return "drained"
                case Wait() if self._mapping.is_idle and self._at_tip and self._is_open():
                    return "caught up"
                case Wait():
                    self._read_or_wait(step)
        return "stopped"

    @property
    def _all_read(self) -> bool:
        return self._reader.ended or self._watch.replaced

    @property
    def _at_tip(self) -> bool:
        return self._job.once and self._reader.at_tip

    def _is_open(self) -> bool:
        """Whether the shard accepts records: the tip of a closed one is not yet its end."""
        # That it is the same stream, the runner looks at when all its workers have ended.
        shards = {shard.shard_id: shard for shard in self._list_shards(self._job.kinesis)}
        shard = shards.get(self.shard_id)
        return shard is not None and not shard.closed

    # ------------------------------------------------------------------------------------ reading

    def _read_or_wait(self, wait: Wait) -> None:
        """Read on where there is room and it is time; else wait, but not for long at once."""
        seconds = _LONGEST_WAIT
        if wait.until is not None:
            seconds = min(seconds, (wait.until - _passed()) / 1_000_000)
        if self._mapping.has_capacity and not self._all_read:
            if self._reader.delay <= 0:
                return self._read()
            seconds = min(seconds, self._reader.delay)
        self._status.doing = "waiting"
        self._stop.wait(max(0.0, seconds))
        return None

    def _read(self) -> None:
        self._status.doing = "reading"
        try:
            records = self._reader.read()
        except StreamMissing as error:
            self._check_existence(error)
        except StreamError as error:
            if self._job.once and isinstance(error, StreamRefused):
                raise
            self._unread = str(error)
            self._pause_after(error)
        else:
            self._trouble.reset()
            if self._status.trouble == self._unread:  # the function's own trouble may go on
                self._status.trouble = ""
            self._status.behind = self._reader.behind
            self._mapping.receive(records, _passed())

    def _check_existence(self, error: StreamMissing) -> None:
        """Distinguish a shard that has expired from a stream that somebody deleted, or replaced."""
        listed = {shard.shard_id for shard in self._list_shards(self._watch)}
        if not listed or self.shard_id in listed:
            self._pause_after(error)
            return
        self._reader.ended = True
        self._job.notify(
            f"{self.shard_id} has expired as a whole; what was on it after "
            f"{self._checkpoint.sequence_number} was not read, and it is unknown how much."
        )

    def _list_shards(self, source: Kinesis | StreamWatch) -> list[Shard]:
        """Return the stream's shards; none where they cannot be listed now."""
        try:
            return source.list_shards()
        except StreamError as error:
            self._pause_after(error)
            return []

    # --------------------------------------------------------------------------------- delivering

    def _invoke(self, step: Invoke) -> None:
        self._status.doing = "storing"
        outcome = self._pool.submit(self._outcome, step).result()
        if outcome is None:
            return  # stopped before it was this one's turn
        settled = self._mapping.settle(outcome, _passed())
        self._status.retries += step.attempt > 1
        self._settle(settled, step.records)
        if settled.checkpoint is None:
            self._give_up_expired(step.records)

    def _outcome(self, step: Invoke) -> Outcome | None:
        if self._stop.is_set():
            return None
        return self._job.function.invoke(step.event, self)

    def stored(self, report: Report) -> None:
        """Count a batch that is stored; called by the function."""
        self._status.add(report)
        self._status.trouble = ""
        if self._failures:
            self._job.notify(
                f"{self.shard_id}: batches are stored again (failures: {self._failures})"
            )
        self._failures = 0
        self._job.on_stored(report)

    def failed(self, message: str) -> None:
        """Show why a batch is not stored, and say so now and then; called by the function."""
        self._status.trouble = message
        self._failures += 1
        if self._failures == 1 or self._failures % REPORT_EVERY == 0:
            self._job.notify(
                f"{self.shard_id}: a batch is not stored: {message} (failure {self._failures} in a "
                "row)"
            )

    def _give_up_expired(self, records: Records) -> None:
        """Give up what the stream no longer holds: what follows it expires meanwhile."""
        horizon = now() - self._job.retention * _HOUR
        gone = tuple(record for record in records if record.arrived_at < horizon)
        if gone:
            after_last = str(int(gone[-1].sequence_number) + 1)
            self._settle(self._mapping.expired(after_last), gone)

    def _settle(self, settled: Settled, records: Records) -> None:
        """Store what was given up; only then move the checkpoint past it."""
        for failed in settled.failures:
            if not self._keep(failed):
                return  # stopped: the checkpoint stays, and the records come again
            records += failed.records
        if settled.checkpoint is not None:
            arrived_at = _arrival(settled.checkpoint, records) or self._checkpoint.arrived_at
            self._save(sequence_number=settled.checkpoint, arrived_at=arrived_at)

    def _keep(self, failed: FailedBatch) -> bool:
        """Store a failed batch, however long that takes; False where the runner stops first."""
        first, last = failed.records[0].sequence_number, failed.records[-1].sequence_number
        store, time_ = self._job.failures, now()
        key = failed.key(MAPPING_ID, time_, f"{first}-{last}")
        body = msgspec.json.encode(failed.document(str(uuid.uuid4()), FUNCTION_ARN, time_))
        while True:
            try:
                store.put(key, body)
                break
            except StoreError as error:
                self._pause_after(error)
                if self._stop.is_set():
                    return False
        self._trouble.reset()
        self._status.given_up += len(failed.records)
        self._job.notify(
            f"{self.shard_id}: {len(failed.records):,} records were given up "
            f"({failed.condition}) and kept as {store.uri}/{key}; `pipeline redrive` sends them "
            "again."
        )
        return True

    def _save(self, **changes: Any) -> None:
        self._checkpoint = msgspec.structs.replace(self._checkpoint, **changes)
        self._job.state.save(self._checkpoint)

    def _pause_after(self, error: StreamError | StoreError) -> None:
        self._status.trouble = str(error)
        self._trouble.pause_after(error)


def _arrival(sequence_number: str, records: Records) -> int | None:
    """Return when the last of these records up to a sequence number arrived."""
    last = int(sequence_number)
    arrivals = [record.arrived_at for record in records if int(record.sequence_number) <= last]
    return max(arrivals, default=None)
