"""What goes wrong with a stream: try again, fix something, or begin anew.

What botocore raises without an answer of the service (no network, no credentials, no region)
means the same for every service and is read in `pipeline.adapters.aws.s3_errors`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from pipeline.adapters.aws import s3_errors
from pipeline.core.errors import (
    ArgumentRefused,
    IteratorExpired,
    StoreRefused,
    StoreUnavailable,
    StreamError,
    StreamMissing,
    StreamRefused,
    StreamThrottled,
    StreamUnavailable,
)

_LONGEST_MESSAGE: Final = 300
"""Characters of Kinesis' own message that ours quotes."""


@dataclass(frozen=True, slots=True)
class StreamCall:
    """One call to Kinesis, in the words of its error messages."""

    verb: str
    """What it does: `write to`, `read`, `list the shards of`."""
    action: str
    """The IAM action it needs, as `kinesis:PutRecords`."""
    where: str
    """The stream."""


@contextlib.contextmanager
def translate_errors(call: StreamCall) -> Iterator[None]:
    """Turn what botocore raises into the stream error it means."""
    try:
        with s3_errors.translate_errors(
            s3_errors.Call(call.verb, call.action, call.where, call.where)
        ):
            yield from _answers(call)
    except StoreUnavailable as error:
        raise StreamUnavailable(str(error)) from error
    except StoreRefused as error:
        raise StreamRefused(str(error)) from error


def _answers(call: StreamCall) -> Iterator[None]:
    """Turn what Kinesis answered, or botocore did not even send, into the stream error."""
    try:
        yield
    except ClientError as error:
        raise error_for_response(error.response, call) from error
    except ParamValidationError:
        # Its text quotes the parameters, and so payload; it is not even kept as the cause.
        raise ArgumentRefused(
            f"Could not {call.verb} {call.where}: botocore refused the arguments of "
            f"{call.action}; check sizes and keys against the limits of this call."
        ) from None


_THROTTLED: Final = frozenset(
    {
        *("ProvisionedThroughputExceededException", "LimitExceededException"),
        *("RequestLimitExceeded", "TooManyRequestsException", "SlowDown"),
    }
)
_UNAVAILABLE: Final = frozenset(
    {"InternalFailure", "InternalFailureException", "ServiceUnavailable", "RequestTimeout"}
)
# While a stream is being made or resharded, some calls are refused for a while.
_BUSY: Final = frozenset({"ResourceInUseException", "ExpiredNextTokenException"})
_CREDENTIALS: Final = frozenset(
    {
        *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"),
        *("IncompleteSignatureException", "MissingAuthenticationTokenException"),
        *("ExpiredTokenException", "ExpiredToken", "IncompleteSignature"),
    }
)


def error_for_response(response: Any, call: StreamCall) -> StreamError:
    """Return the error for an answer of Kinesis that is not a success."""
    fault = response.get("Error", {})
    code = str(fault.get("Code", "no error code"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = " ".join(str(fault.get("Message") or "no message").split())
    said = said[:_LONGEST_MESSAGE].rstrip(".")
    what = f'Could not {call.verb} {call.where}: Kinesis answered {code} (HTTP {status}, "{said}")'
    if code == "ExpiredIteratorException":
        return IteratorExpired(f"{what}; ask for a new iterator.")
    if code in _THROTTLED or "Throttl" in code or status == 429:  # noqa: PLR2004
        return StreamThrottled(f"{what}; try again later, or add shards.")
    if code in _UNAVAILABLE | _BUSY or status == 408 or status >= 500:  # noqa: PLR2004
        return StreamUnavailable(f"{what}; try again later.")
    if code == "ResourceNotFoundException":
        return StreamMissing(f"{what}; check the stream's name, the region and the endpoint.")
    if code in {"InvalidArgumentException", "ValidationException", "SerializationException"}:
        return ArgumentRefused(f"{what}; check it against the documentation of {call.action}.")
    return StreamRefused(f"{what}; {_remedy(code, call)}.")


def _remedy(code: str, call: StreamCall) -> str:
    """Return what to fix, as the end of a sentence."""
    if code in _CREDENTIALS:
        return "check or renew the credentials in the environment or the profile"
    if code.startswith("KMS"):
        return "check that the KMS key of the stream is there, enabled, and granted to this role"
    if code.startswith("AccessDenied"):
        return f"grant {call.action} on the stream to the role or user this runs as"
    return "check the request against the documentation of this error code"
