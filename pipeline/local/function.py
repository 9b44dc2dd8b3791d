"""The real handler, invoked on this machine as Lambda invokes it."""

import time
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.adapters.telemetry import Telemetry
from pipeline.core.errors import PipelineError
from pipeline.core.report import Report
from pipeline.esm import Raised, Returned
from pipeline.flow import Pipeline
from pipeline.handlers import respond

FUNCTION_ARN = "arn:aws:lambda:local:000000000000:function:pipeline-run"
"""What failed batches name as the function that failed them."""


class Listener(Protocol):
    """Is called with what became of a batch."""

    def stored(self, report: Report) -> None:
        """Accept the numbers of a batch that is stored."""
        ...

    def failed(self, message: str) -> None:
        """Accept the sentence that says why a batch is not."""
        ...


class Context:
    """What Lambda hands the handler beside the event, as far as the handler looks."""

    def __init__(self, timeout: float) -> None:
        """Begin an invocation that has `timeout` seconds."""
        self.aws_request_id = str(uuid.uuid4())
        self._end = time.monotonic() + timeout

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left, never below 0."""
        return max(0, int((self._end - time.monotonic()) * 1_000))


class _ObservedTelemetry(Telemetry, frozen=True, kw_only=True):
    """Telemetry that a listener on this machine gets, too."""

    listener: Listener

    def stored(self, report: Report, request_id: str | None) -> None:
        """Report a batch that is stored."""
        super().stored(report, request_id)
        self.listener.stored(report)

    def failed(self, outcome: str, message: str, *rest: Any) -> None:
        """Report a batch that is not stored."""
        super().failed(outcome, message, *rest)
        self.listener.failed(message)


@dataclass(frozen=True, slots=True)
class Function:
    """A function as deployed. `timeout` and `response_reserve` are in seconds.

    A handler that overruns its time-out is not killed, as Lambda would; it gives up by itself
    when it next looks at its time, and what it returns late is true all the same.
    """

    pipeline: Pipeline
    telemetry: Telemetry
    response_reserve: float
    timeout: float = 60.0

    def invoke(self, event: dict[str, Any], listener: Listener) -> Returned | Raised:
        """Return the outcome. Safe to use from several threads."""
        write, now, namespace = self.telemetry.write, self.telemetry.now, self.telemetry.namespace
        telemetry = _ObservedTelemetry(write, now, namespace, listener=listener)
        context = Context(self.timeout)
        try:
            return Returned(
                respond(event, context, self.pipeline, self.response_reserve, telemetry)
            )
        except PipelineError as error:
            return Raised(f"{type(error).__name__}: {error}")
