"""A function of Lambda, invoked by its name."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.core.errors import PipelineError

_LONGEST_INVOCATION: Final = 900.0  # seconds, Lambda's bound


class FunctionError(PipelineError):
    """A function could not be invoked; the text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned, or the type and text of what it raised."""

    value: Any = None
    error_type: str | None = None
    error: str = ""


class DeployedFunction:
    """A function by name or ARN. Safe to use from several threads."""

    def __init__(self, name: str, client: Any = None, *, concurrency: int = 8) -> None:
        """Use `client`, or one that waits as long as a function may run, and tries again."""
        self.name = name
        self._client = client or boto3.client(
            "lambda",
            config=Config(
                connect_timeout=5.0,
                read_timeout=_LONGEST_INVOCATION + 30,
                max_pool_connections=concurrency,
                retries={"total_max_attempts": 8, "mode": "standard"},
                tcp_keepalive=True,
            ),
        )

    def call(self, event: Any) -> Answer:
        """Invoke it and wait for its answer. Raises `FunctionError`."""
        answer = self._invoke(event, "RequestResponse")
        payload = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" not in answer:
            return Answer(payload)
        told = payload if isinstance(payload, dict) else {}
        error = str(told.get("errorMessage") or "it did not say why")
        return Answer(None, str(told.get("errorType") or answer["FunctionError"]), error)

    def send(self, event: Any) -> None:
        """Let Lambda invoke it when it can, and again where it fails. Raises `FunctionError`."""
        with contextlib.closing(self._invoke(event, "Event")["Payload"]):
            pass

    def _invoke(self, event: Any, kind: str) -> Any:
        try:
            return self._client.invoke(
                FunctionName=self.name, InvocationType=kind, Payload=json.dumps(event).encode()
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "no error code")
            message = (
                f"Could not invoke {self.name}: Lambda answered {code}; check its name and region, "
                "and grant lambda:InvokeFunction on it to whoever runs this."
            )
            raise FunctionError(message) from error
        except (BotoCoreError, ValueError) as error:
            message = (
                f"Could not invoke {self.name}: {type(error).__name__}; check the network and the "
                "AWS settings in the environment."
            )
            raise FunctionError(message) from error
