"""The response to a batch of a stream.

It is a promise that Lambda acts on, so the whole of it stands here: success only for a batch that
is stored; the first sequence number for an outage, or for a fuse that an operator has set, which
has the same batch delivered again; an exception for what a smaller batch may mend, which makes
Lambda bisect it. So a batch that is too
slow gets smaller until it fits, whatever errors retries have put right meanwhile.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import Attempt
from pipeline.core.errors import (
    DeadlineExceeded,
    FuseBlown,
    PipelineError,
    StoreError,
    UnexpectedError,
)
from pipeline.core.events import ends_window, read_kinesis_event, state_of_window
from pipeline.flow import Pipeline
from pipeline.handlers.invocation import (
    describe_end,
    describe_unexpected,
    last_words,
    remaining_time,
    reserve_within,
    what_lambda_does,
)

AttemptOpener = Callable[[Pipeline, Callable[[], float], float], Attempt]


def respond(
    event: Any,
    context: Any,
    pipeline: Pipeline,
    response_reserve: float,
    telemetry: Telemetry,
    open_attempt: AttemptOpener = Attempt,
) -> dict[str, Any]:
    """Store one event's batch, and return what makes Lambda go on or deliver it again.

    `response_reserve` is in seconds. Raises `DeadlineExceeded` for a batch that was too much, and
    whatever else Lambda learns from an exception.
    """
    state = state_of_window(event)
    if ends_window(event):
        return {"batchItemFailures": [], **state}
    batch = read_kinesis_event(event, fast=pipeline.fast_paths)
    remaining = remaining_time(context)
    attempt = open_attempt(pipeline, remaining, reserve_within(remaining(), response_reserve))
    request_id = getattr(context, "aws_request_id", None)

    def report_failure(
        outcome: str, message: str, partitions: Mapping[str, int] | None = None
    ) -> None:
        timings, retries = attempt.timings, attempt.retries
        telemetry.failed(outcome, message, batch, timings, retries, request_id, partitions)

    def say_last_words(seconds: float) -> None:
        message = describe_end(seconds, attempt.timings.phase, batch)
        telemetry.about_to_end(message, batch, request_id)

    try:
        with last_words(remaining, attempt.reserve, say_last_words):
            report = attempt.process(batch)
    except StoreError as error:
        report_failure("store_failed", str(error))
        return {"batchItemFailures": [{"itemIdentifier": batch.first}], **state}
    except FuseBlown as error:  # not raised: a half of the batch is refused to the same share
        report_failure("fuse_blown", str(error))
        return {"batchItemFailures": [{"itemIdentifier": batch.first}], **state}
    except DeadlineExceeded as error:
        message = f"{error} {what_lambda_does(batch)}"
        report_failure("too_slow", message, error.partitions)
        raise DeadlineExceeded(message, error.partitions) from error
    except PipelineError as error:
        report_failure("defect", str(error))
        raise
    except Exception as error:  # noqa: BLE001 - raised again, only without its text
        description = describe_unexpected(error)
        report_failure("defect", description)
        raise UnexpectedError(description) from None
    telemetry.stored(report, request_id)
    return {"batchItemFailures": [], **state}
