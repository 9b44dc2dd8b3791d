"""Lambda entry points: `kinesis`, `s3` and `alert`; wiring, and what to answer.

An answer is a promise that Lambda acts on, so the whole of it stands in `kinesis`: success only
for a batch that is stored; the first sequence number for a store that failed, which brings the
same batch again; an exception for what a smaller batch may mend, which makes Lambda bisect it.

Importing this has no effect but in the init phase of Lambda, see `prepare`.
"""

import functools
import importlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import Attempt, open_pipeline
from pipeline.core.errors import DeadlineExceeded, PipelineError, StoreError, UnexpectedError
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import Batch
from pipeline.flow import Pipeline
from pipeline.handlers.invocation import LARGEST_RESERVE, deadline, describe_unexpected, print_line
from pipeline.settings import AlertSettings, Settings

__all__ = ["UnexpectedError", "alert", "answer", "kinesis", "prepare", "s3"]

AttemptOpener = Callable[[Pipeline, Callable[[], float], float], Attempt]
# What outlives an invocation. A wrong configuration stops the start here.
_pipeline = functools.lru_cache(maxsize=4)(open_pipeline)


# A function is one of the three: what only another one needs is loaded where that is opened.


@functools.cache
def _objects() -> Any:
    from pipeline.files.ingest import open_objects  # noqa: PLC0415

    return open_objects()


@functools.lru_cache(maxsize=4)
def _topic(arn: str) -> Any:
    from pipeline.handlers.alarms import open_topic  # noqa: PLC0415

    return open_topic(arn)


def kinesis(event: Any, context: Any) -> dict[str, Any]:
    """Handle one event of a Kinesis event source mapping with ReportBatchItemFailures."""
    settings = Settings.from_environment(os.environ)
    telemetry = Telemetry(print_line, time.time, settings.metrics_namespace)
    return answer(event, context, _pipeline(settings), settings.answer_reserve, telemetry)


def answer(
    event: Any,
    context: Any,
    pipeline: Pipeline,
    answer_reserve: float,
    telemetry: Telemetry,
    open_attempt: AttemptOpener = Attempt,
) -> dict[str, Any]:
    """Store one event's batch in a system, and return what tells Lambda to go on or to repeat.

    `answer_reserve` is in seconds. Raises `DeadlineExceeded` for a batch that was too much, and
    what else an exception has to tell Lambda.
    """
    batch = read_kinesis_event(event, fast=pipeline.fast_paths)
    remaining = deadline(context)
    attempt = open_attempt(pipeline, remaining, min(answer_reserve, remaining() * LARGEST_RESERVE))
    told = _Told(telemetry, batch, attempt, getattr(context, "aws_request_id", None))
    try:
        report = attempt.process(batch)
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
        sentence = describe_unexpected(error)
        told.failed("defect", sentence)
        raise UnexpectedError(sentence) from None
    telemetry.stored(report, told.request_id)
    return {"batchItemFailures": []}


def s3(event: Any, context: Any) -> dict[str, Any]:
    """Handle notifications of new objects in S3: its own, through SNS, SQS or EventBridge."""
    from pipeline.handlers.files import answer_files  # noqa: PLC0415

    settings = Settings.from_environment(os.environ)
    telemetry = Telemetry(print_line, time.time, settings.metrics_namespace)
    pipeline = _pipeline(settings)
    return answer_files(event, context, pipeline, _objects(), settings.answer_reserve, telemetry)


def alert(event: Any, context: Any) -> dict[str, int]:
    """Handle CloudWatch alarms: through SNS, through EventBridge, or from the alarm itself."""
    from pipeline.handlers.alarms import answer_alarms  # noqa: PLC0415

    settings = AlertSettings.from_environment(os.environ)
    request_id = getattr(context, "aws_request_id", None)
    telemetry = Telemetry(print_line, time.time)
    return answer_alarms(event, settings, _topic(settings.topic), telemetry.log, request_id)


class _Told(msgspec.Struct, frozen=True):
    """Tells of a batch that is not stored."""

    telemetry: Telemetry
    batch: Batch
    attempt: Attempt
    request_id: str | None

    def failed(self, outcome: str, message: str) -> None:
        self.telemetry.failed(
            outcome,
            message,
            self.batch,
            self.attempt.timings,
            self.attempt.retries,
            self.request_id,
        )


def prepare(environment: Mapping[str, str]) -> None:
    """Open in Lambda's init phase what the function that it starts will work with.

    Half a second for boto3's client and the schemas is then not taken from the first batch's time,
    and Lambda gives a start more of a processor than a small function has. A wrong configuration
    stops there: Lambda logs its sentences, and invokes nothing. Elsewhere, and for a handler that
    is none of these, nothing is done.
    """
    if "AWS_LAMBDA_RUNTIME_API" in environment:
        opened = _OPENED_FIRST.get(environment.get("_HANDLER", ""))
        if opened is not None:
            opened(environment)


def _open_for_kinesis(environment: Mapping[str, str]) -> None:
    _pipeline(Settings.from_environment(environment))


def _open_for_s3(environment: Mapping[str, str]) -> None:
    importlib.import_module("pipeline.handlers.files")
    _pipeline(Settings.from_environment(environment))
    _objects()


def _open_for_alert(environment: Mapping[str, str]) -> None:
    _topic(AlertSettings.from_environment(environment).topic)


_OPENED_FIRST: Final[Mapping[str, Callable[[Mapping[str, str]], None]]] = {
    "pipeline.handlers.kinesis": _open_for_kinesis,
    "pipeline.handlers.s3": _open_for_s3,
    "pipeline.handlers.alert": _open_for_alert,
}

prepare(os.environ)
