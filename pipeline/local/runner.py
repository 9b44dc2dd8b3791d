"""Runs the handler on every shard of a stream: parents before children, the rest in parallel."""

import dataclasses
import math
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final

from pipeline.adapters.aws.kinesis import Shard, StreamSummary
from pipeline.core.errors import (
    PipelineError,
    StateRefused,
    StoreError,
    StreamError,
    StreamRefused,
    place_of,
)
from pipeline.local.status import StreamStatus
from pipeline.local.trouble import FailureBackoff
from pipeline.local.watch import StreamWatch
from pipeline.local.worker import End, Job, ShardWorker

_MOST_WORKERS: Final = 10_000  # threads are made for the shards there are


class Runner:
    """Consumes one stream. `status` may be looked at, and `stop` called, from any thread."""

    def __init__(self, job: Job) -> None:
        """Begin nothing yet. Raises `StateRefused` for a checkpoint that is broken."""
        self.status = StreamStatus()
        self.failed: dict[str, str] = {}
        self._job = job
        self._watch = _watch(job)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._trouble = FailureBackoff("The list of shards", job.notify, self._stop, job.pace)
        self._closed = {
            shard_id for shard_id in job.state.shards() if job.state.checkpoint(shard_id).closed
        }
        self._running: dict[str, Future[End]] = {}
        # Where the last listing failed, nobody knows whether there is more to begin.
        self._listed = False
        # On the monotonic clock; math.inf: not again.
        self._not_before: dict[str, float] = {}

    def stop(self) -> None:
        """Have everything end: what is in the handler is finished, nothing more is begun."""
        self._stop.set()
        self._wake.set()

    def run(self) -> None:
        """Run until `stop`, or until every shard was read to its tip with `once`.

        `failed` then has a sentence for each shard that could not be read to its tip. Raises
        `StreamRefused` where the shards cannot be listed at all with `once`, and `StateRefused`
        where another stream was created in this one's place.
        """
        invocations, workers = (
            ThreadPoolExecutor(self._job.concurrency),
            ThreadPoolExecutor(_MOST_WORKERS),
        )
        with invocations, workers:
            try:
                while not self._stop.is_set():
                    self._wake.clear()
                    self._collect()
                    for shard_id in self._ready():
                        self._begin(shard_id, workers, invocations)
                    if self._watch.successor is not None and not self._running:
                        self._go_on_with(self._watch.successor)
                        continue
                    if self._job.once and not self._running and self._listed:
                        return
                    if self._listed or self._running:
                        self._wake.wait(self._job.pace.list_interval)
            finally:
                self._stop.set()

    def _begin(self, shard_id: str, workers: Executor, invocations: Executor) -> None:
        future = workers.submit(
            lambda: ShardWorker(
                shard_id,
                self._job,
                self.status.shard(shard_id),
                self._watch,
                invocations,
                self._stop,
            ).run()
        )
        future.add_done_callback(lambda _: self._wake.set())
        self._running[shard_id] = future

    # ---------------------------------------------------------------------------- which to begin

    def _ready(self) -> list[str]:
        """Return the shards to begin now: not begun, not closed, with no parent before them."""
        shards = self._list()
        listed = {shard.shard_id for shard in shards}
        if listed:
            self._forget_all_but(listed)
        waiting = time.monotonic()
        return [
            shard.shard_id
            for shard in shards
            if shard.shard_id not in self._running
            and shard.shard_id not in self._closed
            and self._not_before.get(shard.shard_id, 0) <= waiting
            # A parent that is not listed has expired with all that was on it.
            and all(parent in self._closed for parent in shard.parents if parent in listed)
        ]

    def _list(self) -> list[Shard]:
        try:
            shards = self._watch.list_shards()
        except StreamError as error:
            if self._job.once and isinstance(error, StreamRefused):
                raise
            self._trouble.pause_after(error)
            self._listed = False
            return []
        self._trouble.reset()
        self._listed = True
        return shards

    def _forget_all_but(self, listed: set[str]) -> None:
        """Let go of closed shards that have expired: in months there are many."""
        for shard_id in self._closed - listed:
            try:
                self._job.state.forget(shard_id)
            except StoreError as error:
                self._job.notify(str(error))
                return
            self._closed.discard(shard_id)
        for shard_id in self._not_before.keys() - listed:
            del self._not_before[shard_id]

    # ------------------------------------------------------------------ another stream in its place

    def _go_on_with(self, successor: StreamSummary) -> None:
        """Begin with the stream that was created in this one's place, if that is wanted."""
        sentence = (
            f"The stream {self._job.state.stream_arn} was deleted and created again while it was "
            "read. What was read of the former one is stored; what was not is gone with it. "
        )
        if not self._job.restart:
            raise StateRefused(
                f"{sentence}The checkpoints mean nothing for the new one: to read it from its "
                "oldest record on, give another --state, or --if-recreated restart."
            )
        try:
            state = self._job.state.begin_again(successor.created)
        except StoreError as error:
            self._job.notify(f"{error} The stream that was created again waits for it.")
            self._stop.wait(self._job.pace.restart_delay)
            return
        self._job.notify(f"{sentence}The new one is read from its oldest record on.")
        self._job = dataclasses.replace(self._job, state=state, retention=successor.retention)
        self._watch = _watch(self._job)
        self._closed, self._not_before = set(), {}
        for shard in self.status.living():
            self.status.let_go(shard.shard_id)

    # ------------------------------------------------------------------------------ what ended

    def _collect(self) -> None:
        """Take note of the workers that have ended."""
        for shard_id, future in list(self._running.items()):
            if future.done():
                del self._running[shard_id]
                self._ended(shard_id, future)

    def _ended(self, shard_id: str, future: Future[End]) -> None:
        error = future.exception()
        if error is not None:
            self._broke(shard_id, error)
        elif future.result() == "drained":
            self._closed.add(shard_id)
            self.status.let_go(shard_id)
        else:
            self._not_before[shard_id] = math.inf

    def _broke(self, shard_id: str, error: BaseException) -> None:
        """Begin a shard again in a while, from its checkpoint; the others go on meanwhile."""
        sentence = f"{shard_id}: {_sentence(error)}"
        again = math.inf if self._job.once else self._job.pace.restart_delay
        self._not_before[shard_id] = time.monotonic() + again
        if self._job.once:
            self.failed[shard_id] = sentence
        self._job.notify(sentence if self._job.once else f"{sentence} It is begun again.")


def _watch(job: Job) -> StreamWatch:
    return StreamWatch(job.kinesis, job.state.identity.created)


def _sentence(error: BaseException) -> str:
    """Say what ended a worker; of an unexpected error not its text, which may quote payload."""
    if isinstance(error, PipelineError):
        return str(error)
    return f"an unexpected {place_of(error)}. This is a defect of the pipeline."
