"""A function of Lambda, invoked by its name."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import LAMBDA, Call, translate_errors
from pipeline.adapters.retry import Retrier, RetryPolicy
from pipeline.core.errors import FunctionError, StoreUnavailable

_LONGEST_INVOCATION: Final = 900.0  # seconds, Lambda's limit
_ACCEPTED: Final = 202  # HTTP's status, which Lambda answers to an event that it will deliver
# Lambda may be throttling, or away, for five minutes.
_POLICY: Final = RetryPolicy(first_delay=0.5, longest_delay=20.0, longest=300.0)


@dataclass(frozen=True, slots=True)
class Response:
    """What a function returned, or the type and text of what it raised."""

    value: Any = None
    error_type: str | None = None
    error: str = ""


class DeployedFunction:
    """A function by name or ARN. Safe to use from several threads.

    What Lambda cannot do for now, because it throttles or cannot be reached, is tried again.
    """

    def __init__(
        self,
        name: str,
        client: Any = None,
        *,
        concurrency: int = 8,
        retrier: Retrier | None = None,
    ) -> None:
        """Use `client`, or one that waits as long as a function may run."""
        self.name = name
        self._client = client or make_client(
            LAMBDA,
            concurrency=concurrency,
            connect_timeout=5.0,
            read_timeout=_LONGEST_INVOCATION + 30,
        )
        self._retrier = retrier or Retrier(name, lambda: math.inf, _POLICY)

    def call(self, event: Any) -> Response:
        """Invoke it and wait for its response. Raises `FunctionError`."""
        failed, text = self._invoke(event, "RequestResponse")
        payload = self._parsed(text)
        if failed is None:
            return Response(payload)
        details = payload if isinstance(payload, dict) else {}
        error = str(details.get("errorMessage") or "the function did not say why; see its log")
        return Response(None, str(details.get("errorType") or failed), error)

    def send(self, event: Any) -> None:
        """Let Lambda invoke it when it can, and again where it fails. Raises `FunctionError`."""
        self._invoke(event, "Event")

    def _invoke(self, event: Any, kind: str) -> tuple[str | None, bytes]:
        """Return the kind of error, None for none, and the text of the response."""
        body = json.dumps(event).encode()
        call = Call(LAMBDA, "invoke", "lambda:InvokeFunction", self.name)

        def once() -> tuple[str | None, bytes]:
            with translate_errors(call):
                response = self._client.invoke(
                    FunctionName=self.name, InvocationType=kind, Payload=body
                )
                with contextlib.closing(response["Payload"]) as stream:
                    answer = response.get("FunctionError"), stream.read()
            # Of what is handed over there is no other sign that Lambda has it.
            if kind == "Event" and response.get("StatusCode") != _ACCEPTED:
                reason = "the response does not say that the event was accepted"
                raise FunctionError(call.sentence(reason, "check the endpoint (AWS_ENDPOINT_URL…)"))
            return answer

        try:
            return self._retrier.call("invoke", once)
        except StoreUnavailable as error:
            raise FunctionError(str(error)) from error

    def _parsed(self, text: bytes) -> Any:
        try:
            return json.loads(text or b"null")
        except ValueError:
            message = (
                f"The response of {self.name} is not JSON; check that it is the right function."
            )
            raise FunctionError(message) from None
