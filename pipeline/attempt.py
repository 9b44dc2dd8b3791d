"""One attempt to store one batch: its time, its retries, its numbers."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from pipeline.adapters.privacy_key import open_protection
from pipeline.adapters.retry import DEFAULT_POLICY, RetryingStore, RetryPolicy, StoreHealth
from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets, read_stream
from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.stored_rows import check_stored_rows
from pipeline.adapters.unfinished import Stored
from pipeline.adapters.uri import open_store
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.deadletter import ReplayBatch
from pipeline.core.envelope import Envelope
from pipeline.core.errors import DeadlineExceeded, FuseBlown, StoreError
from pipeline.core.records import Batch, Limits
from pipeline.core.report import Report
from pipeline.core.routing import Router
from pipeline.core.stream import Framing, Stream
from pipeline.flow import Pipeline, process, replay
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.core.binary.decoder import Decoder

_PATIENT = RetryPolicy(longest=60.0)
_UNTIMED = RetryPolicy(longest=300.0)  # seconds without success until a store counts as down


class Attempt:
    """One attempt at a batch: stores with retries and a concurrent writer, within the time left.

    `remaining` returns the seconds left, of which `reserve` are kept for the response: it replaces
    the policy's. Where the time is simulated, so are waiting and writing: `policy` is how the
    stores retry, `writing` makes the writer, and `clock` is the stopwatch's, in seconds.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        remaining: Callable[[], float],
        reserve: float,
        *,
        policy: RetryPolicy = DEFAULT_POLICY,
        writing: Callable[..., ConcurrentWriter] = ConcurrentWriter,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.remaining = remaining
        self.reserve = reserve
        self._writing = writing
        self._stores = (pipeline.output, pipeline.dead_letters)
        self.health = StoreHealth()
        policy = msgspec.structs.replace(policy, reserve=reserve)
        self.output = RetryingStore(pipeline.output, remaining, policy, self.health)
        self.dead_letters = RetryingStore(pipeline.dead_letters, remaining, policy, self.health)
        self.pipeline = msgspec.structs.replace(
            pipeline, output=self.output, dead_letters=self.dead_letters
        )
        self.timings = Stopwatch(clock)

    @classmethod
    def untimed(cls, pipeline: Pipeline) -> Self:
        """Return one that no Lambda times: it ends when a store is down, not when it is slow."""
        return cls(pipeline, lambda: math.inf, 0.0, policy=_UNTIMED)

    @property
    def retries(self) -> int:
        """How many store calls were tried again."""
        return self.output.retries + self.dead_letters.retries

    def process(self, batch: Batch) -> Report:
        """Take a batch all the way; see `flow.process`.

        What an attempt that failed has stored of the batch is not stored again.
        """
        unfinished = self.pipeline.unfinished
        writer = self._writer(unfinished.stored(batch, self._stores))
        unfinished.forget(batch)
        try:
            with writer:
                report = process(batch, self.pipeline, writer, self.timings)
        except (StoreError, DeadlineExceeded, FuseBlown):
            unfinished.remember(batch, self._stores, writer.stored)
            raise
        report.retries = self.retries
        return report

    def replay(self, letters: ReplayBatch) -> Report:
        """Take dead letters the rest of the way; see `flow.replay`."""
        with self._writer() as writer:
            report = replay(letters, self.pipeline, writer, self.timings)
        report.retries = self.retries
        return report

    def _writer(self, stored: Stored | None = None) -> ConcurrentWriter:
        return self._writing(
            remaining=self.remaining,
            reserve=self.reserve,
            most_waiting=self.pipeline.limits.open_partitions,
            health=self.health,
            stored=stored,
        )


def open_pipeline(settings: Settings, *, lists_output: bool = False) -> Pipeline:
    """Build what outlives a batch; a wrong configuration stops the start here.

    So do rows in a directory that lie as the datasets' settings do not say any more. With
    `lists_output` they are looked for on S3, too, which a function may not.
    """
    with schema_folder(settings.schemas) as folder:
        datasets, stream = read_datasets(folder), read_stream(folder)
        decoder = decoder_of(stream, folder, settings.registry_credentials)
    output = open_store(settings.output, settings.s3)
    if lists_output or settings.output.startswith("file:"):
        check_stored_rows(output, datasets)
    return Pipeline(
        Router(datasets),
        settings.limits,
        output,
        open_store(settings.dead_letters, settings.s3),
        settings.fast_paths,
        stream.framing is Framing.LINES,
        envelope_of(stream, settings.limits),
        open_protection(datasets, settings.privacy_key),
        settings.fuse,
        decoder,
    )


def decoder_of(stream: Stream, folder: Path, credentials: str) -> "Decoder | None":
    """Return what reads payloads that are not JSON, if the stream has such payloads."""
    if stream.payload is None:
        return None
    # What fetches schemas takes a fifth of all modules, and a stream of JSON needs none of them.
    from pipeline.adapters.writer_schemas import open_decoder  # noqa: PLC0415

    return open_decoder(stream.payload, folder, credentials)


def envelope_of(stream: Stream, limits: Limits) -> Envelope | None:
    """Return what opens the documents of a stream, if it has rules for that."""
    return Envelope(stream.rules, limits) if stream.rules else None


def open_retrying_store(uri: str, s3: S3Settings = NO_DEMANDS) -> ObjectStore:
    """Open a store whose calls are tried again for a while, for work that no Lambda times."""
    return RetryingStore(open_store(uri, s3), lambda: math.inf, _PATIENT)


def countdown(seconds: float) -> Callable[[], float]:
    """Return a function that returns how many of these seconds are left."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
