"""Lambda entry points: wiring, and what to answer.

An answer is a promise that Lambda acts on, so the whole of it stands in `kinesis`: success only
for a batch that is stored; the first sequence number for a store that failed, which brings the
same batch again; an exception for what a smaller batch may mend, which makes Lambda bisect it.
"""

import functools
import os
import time
import traceback
from pathlib import Path
from typing import Any

from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.store import (
    ConcurrentWriter,
    DeadlineExceeded,
    RetryingStore,
    StoreError,
    StoreHealth,
    open_store,
)
from pipeline.adapters.telemetry import Stopwatch, Telemetry
from pipeline.core.errors import PipelineError
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import Batch
from pipeline.core.report import Report
from pipeline.core.routing import Router
from pipeline.flow import System, process
from pipeline.settings import Settings

_WITHOUT_CONTEXT = 60.0  # seconds that a call without Lambda's context may take
_LARGEST_RESERVE = 0.25  # of the time left, so that short time-outs leave time to work


class UnexpectedError(PipelineError):
    """An error nobody foresaw. It names type and place, not the text, which may quote payload."""


def kinesis(event: Any, context: Any) -> dict[str, Any]:
    """Handle one event of a Kinesis event source mapping with ReportBatchItemFailures."""
    settings = Settings.from_environment(os.environ)
    system = _system(settings)
    batch = read_kinesis_event(event)
    invocation = _Invocation(settings, system, context)
    try:
        invocation.store(batch)
    except StoreError as error:
        invocation.report_failure("store_failed", str(error), batch)
        return {"batchItemFailures": [{"itemIdentifier": batch.first}]}
    except DeadlineExceeded as error:
        invocation.report_failure("too_slow", str(error), batch)
        raise
    except PipelineError as error:
        invocation.report_failure("defect", str(error), batch)
        raise
    except Exception as error:  # noqa: BLE001 - raised again, only without its text
        place = _place_of(error)
        invocation.report_failure("defect", place, batch)
        raise UnexpectedError(place) from None
    return {"batchItemFailures": []}


class _Invocation:
    """The live things of one invocation: its time, its retries, its numbers."""

    def __init__(self, settings: Settings, system: System, context: Any) -> None:
        self.remaining = _deadline(context)
        self.reserve = min(settings.answer_reserve, self.remaining() * _LARGEST_RESERVE)
        self.request_id = getattr(context, "aws_request_id", None)
        self.health = StoreHealth()
        self.output = self._retrying(system.output)
        self.dead_letters = self._retrying(system.dead_letters)
        self.system = System(system.router, system.bounds, self.output, self.dead_letters)
        self.watch = Stopwatch(time.perf_counter)
        self.telemetry = Telemetry(_print_line, time.time, settings.metrics_namespace)

    def _retrying(self, store: Any) -> RetryingStore:
        return RetryingStore(
            store, remaining=self.remaining, reserve=self.reserve, health=self.health
        )

    @property
    def retries(self) -> int:
        return self.output.retries + self.dead_letters.retries

    def store(self, batch: Batch) -> Report:
        writer = ConcurrentWriter(
            remaining=self.remaining,
            reserve=self.reserve,
            most_waiting=self.system.bounds.open_partitions,
            health=self.health,
        )
        with writer:
            report = process(batch, self.system, writer, self.watch)
        report.retries = self.retries
        self.telemetry.stored(report, self.request_id)
        return report

    def report_failure(self, outcome: str, message: str, batch: Batch) -> None:
        self.telemetry.failed(outcome, message, batch, self.watch, self.retries, self.request_id)


@functools.lru_cache(maxsize=4)
def _system(settings: Settings) -> System:
    """Build what outlives an invocation; a wrong configuration stops the start here."""
    datasets = read_datasets(Path(settings.schemas))
    return System(
        Router(datasets),
        settings.bounds,
        open_store(settings.output),
        open_store(settings.dead_letters),
    )


def _deadline(context: Any) -> Any:
    """Return a function that tells the seconds left."""
    if context is not None:
        return lambda: context.get_remaining_time_in_millis() / 1_000
    end = time.monotonic() + _WITHOUT_CONTEXT
    return lambda: end - time.monotonic()


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - Lambda's log is stdout


def _place_of(error: Exception) -> str:
    """Say what kind of error happened where, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    calls = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return (
        f"An unexpected {type(error).__name__} at {calls}. This is a defect of the pipeline; the "
        "batch will be delivered again. Its text is not shown, as it may quote payload."
    )
