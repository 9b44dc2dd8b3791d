"""Questions to an AWS account, of which any may stay without an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.exceptions as boto
import msgspec
import urllib3
from botocore.config import Config

from pipeline.adapters.aws.denials import blames_the_clock
from pipeline.adapters.aws.requests import user_agent

_NOT_SIGNED = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.SSOTokenLoadError,
    boto.CredentialRetrievalError,
)
_EXPIRED = {"ExpiredToken", "ExpiredTokenException"}
_WRONG_TIME = {"RequestExpired", "RequestTimeTooSkewed"}
_UNKNOWN_KEY = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no answer: a code of AWS', or a word of ours.

    These are `credentials`, `expired`, `clock`, `region` and `unreachable`.
    """

    code: str
    text: str

    @property
    def denied(self) -> bool:
        """Whether whoever asks may not ask that."""
        return "AccessDenied" in self.code or self.code in {"403", "UnauthorizedOperation"}

    @property
    def missing(self) -> bool:
        """Whether what was asked about is not there."""
        return any(word in self.code for word in ("NotFound", "NoSuch", "404"))


class Answer(msgspec.Struct, frozen=True):
    """What AWS said, and when, by its own clock and by this machine's."""

    found: dict[str, Any]
    their_time: datetime | None
    our_time: datetime


class Account:
    """An account, as the environment's credentials and region see it."""

    def __init__(self, endpoint_url: str | None = None, region: str | None = None) -> None:
        """Ask of `region`, or of the environment's; `endpoint_url` is of Kinesis alone."""
        self._endpoint, self._region = endpoint_url, region
        self._clients = dict[str, Any]()

    def ask(self, service: str, operation: str, **arguments: Any) -> Answer | Refusal:
        """Call an operation, by boto3's names; never raises for what the other side does."""
        try:
            response: dict[str, Any] = getattr(self._client(service), operation)(**arguments)
        except boto.ClientError as error:
            return _of_response(error)
        except _NOT_SIGNED as error:
            return Refusal("credentials", _line(error))
        except boto.NoRegionError as error:
            return Refusal("region", _line(error))
        except (boto.BotoCoreError, urllib3.exceptions.HTTPError, ValueError) as error:
            return Refusal("unreachable", _line(error))
        metadata = response.pop("ResponseMetadata", {})
        said = metadata.get("HTTPHeaders", {}).get("date")
        return Answer(response, _time_of(said), datetime.now(UTC))

    def _client(self, service: str) -> Any:
        import boto3  # noqa: PLC0415 - 0.3 s to import

        if service not in self._clients:
            config = Config(
                connect_timeout=3,
                read_timeout=10,
                retries={"total_max_attempts": 2, "mode": "standard"},
                user_agent_extra=user_agent(),
            )
            endpoint = self._endpoint if service == "kinesis" else None
            make: Any = boto3.client  # not typed by a name that is not literal
            self._clients[service] = make(
                service, config=config, endpoint_url=endpoint, region_name=self._region
            )
        return self._clients[service]


def _of_response(error: boto.ClientError) -> Refusal:
    details: Any = error.response.get("Error", {})
    code = str(details.get("Code", "no code"))
    message = " ".join(str(details.get("Message", "")).split())[:300]
    if code in _EXPIRED:
        return Refusal("expired", code)
    # A wrong clock comes under the codes of a wrong key, too.
    if code in _WRONG_TIME or ("Signature" in code and blames_the_clock(message)):
        return Refusal("clock", f"{code}, {message}".rstrip("., "))
    if code in _UNKNOWN_KEY:
        return Refusal("credentials", code)
    return Refusal(code, message)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")


def _time_of(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
