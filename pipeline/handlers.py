"""Lambda entry points: wiring, and what to answer.

An answer is a promise that Lambda acts on, so the whole of it stands in `kinesis`: success only
for a batch that is stored; the first sequence number for a store that failed, which brings the
same batch again; an exception for what a smaller batch may mend, which makes Lambda bisect it.
"""

import functools
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.store import DeadlineExceeded, StoreError
from pipeline.adapters.telemetry import Telemetry
from pipeline.core.errors import PipelineError
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import Batch
from pipeline.flow import System, process
from pipeline.session import Session, open_system, patience
from pipeline.settings import Settings

_WITHOUT_CONTEXT = 60.0  # seconds that a call without Lambda's context may take
_LARGEST_RESERVE = 0.25  # of the time left, so that short time-outs leave time to work
SessionOpener = Callable[[System, Callable[[], float], float], Session]
# What outlives an invocation. A wrong configuration stops the start here.
_system = functools.lru_cache(maxsize=4)(open_system)


class UnexpectedError(PipelineError):
    """An error nobody foresaw. It names type and place, not the text, which may quote payload."""


def kinesis(event: Any, context: Any) -> dict[str, Any]:
    """Handle one event of a Kinesis event source mapping with ReportBatchItemFailures."""
    settings = Settings.from_environment(os.environ)
    telemetry = Telemetry(_print_line, time.time, settings.metrics_namespace)
    return answer(event, context, _system(settings), settings.answer_reserve, telemetry)


def answer(
    event: Any,
    context: Any,
    system: System,
    answer_reserve: float,
    telemetry: Telemetry,
    open_session: SessionOpener = Session,
) -> dict[str, Any]:
    """Store one event's batch in a system, and return what tells Lambda to go on or to repeat.

    `answer_reserve` is in seconds. Raises `DeadlineExceeded` for a batch that was too much, and
    what else an exception has to tell Lambda.
    """
    batch = read_kinesis_event(event)
    remaining = _deadline(context)
    session = open_session(system, remaining, min(answer_reserve, remaining() * _LARGEST_RESERVE))
    told = _Told(telemetry, batch, session, getattr(context, "aws_request_id", None))
    try:
        report = session.run(functools.partial(process, batch))
    except StoreError as error:
        told.failed("store_failed", str(error))
        return {"batchItemFailures": [{"itemIdentifier": batch.first}]}
    except DeadlineExceeded as error:
        told.failed("too_slow", str(error))
        raise
    except PipelineError as error:
        told.failed("defect", str(error))
        raise
    except Exception as error:  # noqa: BLE001 - raised again, only without its text
        place = _place_of(error)
        told.failed("defect", place)
        raise UnexpectedError(place) from None
    telemetry.stored(report, told.request_id)
    return {"batchItemFailures": []}


@dataclass(frozen=True, slots=True)
class _Told:
    """Tells of a batch that is not stored."""

    telemetry: Telemetry
    batch: Batch
    session: Session
    request_id: str | None

    def failed(self, outcome: str, message: str) -> None:
        self.telemetry.failed(
            outcome, message, self.batch, self.session.watch, self.session.retries, self.request_id
        )


def _deadline(context: Any) -> Callable[[], float]:
    """Return a function that tells the seconds left."""
    if context is None:
        return patience(_WITHOUT_CONTEXT)
    return lambda: float(context.get_remaining_time_in_millis()) / 1_000


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
