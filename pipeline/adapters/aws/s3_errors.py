"""What botocore's exceptions mean: try again, fix something, or there is no such object."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from pipeline.core.errors import (
    ObjectChanged,
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)

_LONGEST_MESSAGE: Final = 300
"""Characters of S3's own message that ours quotes."""


class Call(msgspec.Struct, frozen=True):
    """One call to S3, in the words of its error messages."""

    verb: str
    """What it does: `write`, `read`, `list`, `delete`."""
    action: str
    """The IAM action it needs, as `s3:PutObject`."""
    where: str
    """The object's URI."""
    resource: str
    """The ARN on which the action is to be granted."""


@contextlib.contextmanager
def translate_errors(call: Call) -> Iterator[None]:
    """Turn what botocore raises into the store error it means."""
    try:
        yield
    except boto.ClientError as error:
        raise error_for_response(error.response, call) from error
    except (boto.BotoCoreError, ResponseParserError, urllib3.exceptions.HTTPError) as error:
        raise _meaning_of_failure(error, call) from error


_TRANSIENT_CODES: Final = frozenset(
    {
        *("SlowDown", "RequestLimitExceeded", "LimitExceededException", "BandwidthLimitExceeded"),
        *("TooManyRequests", "TooManyRequestsException", "PriorRequestNotComplete"),
        *("ProvisionedThroughputExceededException", "Busy", "ServerBusy", "ServiceUnavailable"),
        *("InternalError", "InternalFailure", "RequestTimeout", "RequestTimeoutException"),
        *("OperationAborted", "ConditionalRequestConflict", "TemporaryRedirect"),
        *("KMS.InternalException", "KMS.DependencyTimeoutException", "KMS.KeyUnavailableException"),
        # What arrived is not what was sent: the bytes changed, or ended early, on the way.
        *("BadDigest", "IncompleteBody"),
        *("XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
    }
)
_TRANSIENT_STATUS: Final = frozenset({307, 408, 409, 429})
_PERMANENT_SERVER_STATUS: Final = frozenset({501, 505})

_NEW_CREDENTIALS: Final = "renew the credentials, or give the function a role"
_RIGHT_CREDENTIALS: Final = "check the access key and the secret in the environment or the profile"
_CLOCK: Final = "set this machine's clock right"
_REMEDIES: Final = {
    "NoSuchBucket": "create the bucket or correct its name",
    "InvalidBucketName": "correct the name of the bucket",
    "ExpiredToken": _NEW_CREDENTIALS,
    "ExpiredTokenException": _NEW_CREDENTIALS,
    "TokenRefreshRequired": _NEW_CREDENTIALS,
    "InvalidToken": _NEW_CREDENTIALS,
    "InvalidAccessKeyId": _RIGHT_CREDENTIALS,
    "SignatureDoesNotMatch": _RIGHT_CREDENTIALS,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "EntityTooLarge": "make the object smaller, S3 takes 5 GiB in one write",
    "InvalidObjectState": "restore the object from its archive first",
    "AllAccessDisabled": "ask AWS support why access to the bucket is disabled",
    "AccountProblem": "ask AWS support about the account",
    "MethodNotAllowed": "check that the endpoint is an S3 service that allows this",
}
_REGION_CODES: Final = frozenset(
    {
        *("PermanentRedirect", "301", "AuthorizationHeaderMalformed"),
        *("IllegalLocationConstraint", "IllegalLocationConstraintException"),
    }
)


def error_for_response(response: Any, call: Call) -> StoreError:
    """Return the error for an answer of S3 that is not a success."""
    fault = response.get("Error", {})
    code = str(fault.get("Code", "no error code"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if call.action == "s3:GetObject" and code in {"NoSuchKey", "NoSuchVersion", "404"}:
        return ObjectMissing.at(call.where)
    if call.action == "s3:GetObject" and status == 412:  # noqa: PLR2004 - not the one of If-Match
        return ObjectChanged.at(call.where)
    said = " ".join(str(fault.get("Message") or "no message").split())
    said = said[:_LONGEST_MESSAGE].rstrip(".")
    what = f'Could not {call.verb} {call.where}: S3 answered {code} (HTTP {status}, "{said}")'
    if _is_transient(code, status):
        return StoreUnavailable(f"{what}; try again later.")
    return StoreRefused(f"{what}; {_remedy(code, status, response, call)}.")


def _is_transient(code: str, status: int) -> bool:
    if code in _REMEDIES or code in _REGION_CODES:
        return False
    # AWS has many codes for throttling, and they come with the status 400 as well as 503.
    if code in _TRANSIENT_CODES or "Throttl" in code or status in _TRANSIENT_STATUS:
        return True
    return status >= 500 and status not in _PERMANENT_SERVER_STATUS  # noqa: PLR2004


def _remedy(code: str, status: int, response: Any, call: Call) -> str:
    """Return what to fix, as the end of a sentence."""
    if code in _REMEDIES:
        return _REMEDIES[code]
    if code in _REGION_CODES:
        return _region_remedy(response)
    if code.startswith("KMS."):
        grant = "grant kms:GenerateDataKey and kms:Decrypt on it"
        return f"check that the KMS key of the bucket is there and enabled, and {grant}"
    if status == 403:  # noqa: PLR2004
        return _grant(call)
    return "check the request against the documentation of this error code"


def _grant(call: Call) -> str:
    remedy = f"grant {call.action} on {call.resource} to the role or user this runs as"
    if call.action == "s3:GetObject":
        # To whom may not list the bucket, S3 does not tell a missing object from a forbidden one.
        return remedy + ", and s3:ListBucket on the bucket if the object may be missing"
    return remedy


def _region_remedy(response: Any) -> str:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region")
    if region:
        return f"the bucket is in another region, set AWS_DEFAULT_REGION to {region}"
    return "the bucket is in another region, set AWS_DEFAULT_REGION to the bucket's own"


_TRANSIENT_FAILURES: Final = (
    # Time-outs, name resolution, connections refused, reset, closed early.
    *(boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError),
    *(urllib3.exceptions.HTTPError, ResponseParserError),
    # The bytes changed on the way.
    *(boto.ChecksumError, boto.FlexibleChecksumError),
    # The service that hands out the role's credentials did not answer.
    *(boto.MetadataRetrievalError, boto.CredentialRetrievalError),
)
_FAILURE_REMEDIES: Final[dict[type[Exception], str]] = {
    boto.NoCredentialsError: "give the function a role, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    boto.PartialCredentialsError: "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    boto.NoRegionError: "set AWS_DEFAULT_REGION, or a region in the profile",
    boto.ProfileNotFound: "correct AWS_PROFILE or add the profile to the AWS configuration file",
    boto.SSLError: "check the endpoint's certificate, and AWS_CA_BUNDLE if you set it",
}


_NAMING_THE_ENDPOINT: Final = (
    boto.ConnectionError,
    boto.ReadTimeoutError,
    boto.ConnectionClosedError,
)


def _meaning_of_failure(error: Exception, call: Call) -> StoreError:
    """Return the error for a call that got no answer, or none that could be read.

    Of the exception's text nothing is quoted but what names an endpoint: others can hold parts of
    a body.
    """
    named = isinstance(
        error, (boto.ConnectionError, boto.ReadTimeoutError, boto.ConnectionClosedError)
    )
    said = f" ({error})".replace(".)", ")") if named else ""
    what = f"Could not {call.verb} {call.where}: {type(error).__name__}{said}"
    if isinstance(error, _TRANSIENT_FAILURES) and not _is_bad_certificate(error):
        return StoreUnavailable(f"{what}; try again, and check the network and the endpoint.")
    default = "check the AWS settings in the environment and in the AWS configuration files"
    remedies = (remedy for kind, remedy in _FAILURE_REMEDIES.items() if isinstance(error, kind))
    return StoreRefused(f"{what}; {next(remedies, default)}.")


def _is_bad_certificate(error: Exception) -> bool:
    return isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
