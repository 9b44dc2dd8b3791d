"""A function of Lambda, invoked by its name."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import boto3
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.config import Config

from pipeline.adapters.retry import Retrier
from pipeline.core.errors import FunctionError, StoreUnavailable

_LONGEST_INVOCATION: Final = 900.0  # seconds, Lambda's bound
_PATIENCE: Final = 300.0  # seconds that Lambda may be throttling, or away
_LONGEST_DELAY: Final = 20.0

_TRANSIENT_CODES: Final = frozenset(
    {
        *("TooManyRequestsException", "ThrottlingException", "Throttling", "EC2ThrottledException"),
        *("ServiceException", "InternalFailure", "ServiceUnavailable", "EC2UnexpectedException"),
        # It is being deployed, or was asleep.
        *("ResourceConflictException", "ResourceNotReadyException", "SnapStartNotReadyException"),
    }
)
_TRANSIENT_FAILURES: Final = (
    *(boto.ConnectionError, boto.HTTPClientError, boto.ResponseStreamingError),
    *(boto.MetadataRetrievalError, boto.CredentialRetrievalError, urllib3.exceptions.HTTPError),
)
_NEW_CREDENTIALS: Final = "renew the credentials"
_REMEDIES: Final = {
    "ResourceNotFoundException": "check its name and the region",
    "AccessDeniedException": "grant lambda:InvokeFunction on it to whoever runs this",
    "ExpiredTokenException": _NEW_CREDENTIALS,
    "UnrecognizedClientException": _NEW_CREDENTIALS,
    "InvalidSignatureException": _NEW_CREDENTIALS,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned, or the type and text of what it raised."""

    value: Any = None
    error_type: str | None = None
    error: str = ""


class DeployedFunction:
    """A function by name or ARN. Safe to use from several threads.

    What Lambda does not do for now, as it throttles or is not reached, is tried again.
    """

    def __init__(
        self,
        name: str,
        client: Any = None,
        *,
        concurrency: int = 8,
        persistence: Retrier | None = None,
    ) -> None:
        """Use `client`, or one that waits as long as a function may run."""
        self.name = name
        self._client = client or boto3.client(
            "lambda",
            config=Config(
                connect_timeout=5.0,
                read_timeout=_LONGEST_INVOCATION + 30,
                max_pool_connections=concurrency,
                retries={"total_max_attempts": 1, "mode": "standard"},
                tcp_keepalive=True,
            ),
        )
        self._retrier = persistence or Retrier(
            name,
            remaining=lambda: math.inf,
            first_delay=0.5,
            longest_delay=_LONGEST_DELAY,
            longest=_PATIENCE,
        )

    def call(self, event: Any) -> Answer:
        """Invoke it and wait for its answer. Raises `FunctionError`."""
        failed, text = self._invoke(event, "RequestResponse")
        payload = self._parsed(text)
        if failed is None:
            return Answer(payload)
        told = payload if isinstance(payload, dict) else {}
        error = str(told.get("errorMessage") or "the function did not say why; see its log")
        return Answer(None, str(told.get("errorType") or failed), error)

    def send(self, event: Any) -> None:
        """Let Lambda invoke it when it can, and again where it fails. Raises `FunctionError`."""
        self._invoke(event, "Event")

    def _invoke(self, event: Any, kind: str) -> tuple[str | None, bytes]:
        """Return the kind of error, None for none, and the text of the answer."""
        body = json.dumps(event).encode()

        def once() -> tuple[str | None, bytes]:
            with self._explained():
                answer = self._client.invoke(
                    FunctionName=self.name, InvocationType=kind, Payload=body
                )
                with contextlib.closing(answer["Payload"]) as stream:
                    return answer.get("FunctionError"), stream.read()

        try:
            return self._retrier.call("invoke", once)
        except StoreUnavailable as error:
            raise FunctionError(str(error)) from error

    def _parsed(self, text: bytes) -> Any:
        try:
            return json.loads(text or b"null")
        except ValueError:
            message = f"The answer of {self.name} is no JSON; check that it is the right function."
            raise FunctionError(message) from None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what botocore raises into `StoreUnavailable`, to be tried again, or an end."""
        what = f"Could not invoke {self.name}"
        try:
            yield
        except boto.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "no error code")
            what += f": Lambda answered {code}"
            if code in _TRANSIENT_CODES:
                raise StoreUnavailable(f"{what}; try again later, or fewer at once.") from error
            remedy = _REMEDIES.get(code, "look this code up in the documentation of Invoke")
            raise FunctionError(f"{what}; {remedy}.") from error
        except (boto.BotoCoreError, urllib3.exceptions.HTTPError, ValueError) as error:
            what += f": {type(error).__name__}; check the network and the AWS settings"
            if isinstance(error, _TRANSIENT_FAILURES):
                raise StoreUnavailable(f"{what}.") from error
            raise FunctionError(f"{what} in the environment.") from error
