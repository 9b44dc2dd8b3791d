"""What botocore's exceptions mean: try again, fix something, or it does not exist.

One translator for all services, and a table for each: what its error codes mean, and what to do.
What botocore raises without a response of the service (no network, no credentials, no region) means
the same for every service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from pipeline.adapters.aws.denials import read_denial, remedy_for, remedy_in_words
from pipeline.core.errors import (
    ArgumentRefused,
    FunctionError,
    IteratorExpired,
    NotifyError,
    ObjectChanged,
    ObjectMissing,
    ServiceError,
    StoreRefused,
    StoreThrottled,
    StoreUnavailable,
    StreamMissing,
    StreamRefused,
    StreamThrottled,
    StreamUnavailable,
)

_LONGEST_MESSAGE: Final = 1_000
"""Characters of a service's own message that ours quotes: a denial's reason is at its end."""


class Meaning(msgspec.Struct, frozen=True):
    """What an error code means, and what to do, as the end of a sentence.

    In the remedy, `{action}` and `{resource}` are the call's, and `{region}` is the bucket's.
    """

    error: type[ServiceError]
    remedy: str = "try again later"


_SETTINGS: Final = "the AWS settings in the environment and in the AWS configuration files"


class Service(msgspec.Struct, frozen=True):
    """One service's table of errors.

    What a response means is looked up in this order: `codes`, throttling by its name or the status
    429, `is_transient` of the HTTP status, `prefixes` of codes, the status 403 as `denied`. What is
    left is `refused`. The remedy of a refusal whose message is a denial that we can read is the
    denial's own; of one that says nothing, `elsewhere` is where else to look.
    """

    name: str
    unavailable: type[ServiceError]
    refused: type[ServiceError]
    bad_argument: type[ServiceError]
    throttled: Meaning
    codes: Mapping[str, Meaning]
    is_transient: Callable[[int], bool]
    prefixes: Mapping[str, str] = {}
    denied: str = "grant {action} on {resource} to the role or user this runs as"
    elsewhere: str = ""
    unknown: str = "check the request against the documentation of this error code"
    settings: str = _SETTINGS


def service_of_one_error(
    name: str,
    error: type[ServiceError],
    remedy: str,
    codes: Mapping[str, Meaning] | None = None,
    *,
    settings: str = _SETTINGS,
) -> Service:
    """Return the table of a service of which whatever fails is the same error to whoever asked."""
    return Service(
        name,
        unavailable=error,
        refused=error,
        bad_argument=error,
        throttled=Meaning(error),
        codes=codes or {},
        is_transient=lambda status: status >= 500,  # noqa: PLR2004 - HTTP
        denied=remedy,
        unknown=remedy,
        settings=settings,
    )


class Call(msgspec.Struct, frozen=True):
    """One call to a service, in the words of its error messages."""

    service: Service
    verb: str
    """What it does: `write`, `read`, `list the shards of`."""
    action: str
    """The IAM action it needs, as `s3:PutObject`."""
    where: str
    """The object's URI, or the stream, the function, the topic."""
    resource: str = ""
    """The ARN on which the action is to be granted."""

    def sentence(self, reason: str, remedy: str) -> str:
        """Say what failed, why, and what to do."""
        return f"Could not {self.verb} {self.where}: {reason}; {remedy}."


@contextlib.contextmanager
def translate_errors(call: Call) -> Iterator[None]:
    """Turn what botocore raises into the service's error."""
    try:
        yield
    except boto.ClientError as error:
        raise _error_for_response(error.response, call) from error
    except boto.ParamValidationError:
        # Its text quotes the parameters, and so payload; it is not even kept as the cause.
        reason = f"botocore refused the arguments of {call.action}"
        remedy = "check sizes and keys against the limits of this call"
        raise call.service.bad_argument(call.sentence(reason, remedy)) from None
    except RecursionError:
        # botocore asks for the bucket's region after a redirect, and is redirected again.
        reason = "the endpoint redirects every request"
        remedy = "give the address that it redirects to, perhaps with https, as AWS_ENDPOINT_URL…"
        raise call.service.refused(call.sentence(reason, remedy)) from None
    except (boto.BotoCoreError, ResponseParserError, urllib3.exceptions.HTTPError) as error:
        raise _error_for_failure(error, call) from error


# ------------------------------------------------------------------------------- the responses


def _error_for_response(response: Any, call: Call) -> ServiceError:
    """Return the error for a response that is not a success."""
    details = response.get("Error", {})
    code = str(details.get("Code", "no error code"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if call.action == "s3:GetObject" and code in {"NoSuchKey", "NoSuchVersion", "404"}:
        return ObjectMissing.at(call.where)
    if call.action == "s3:GetObject" and status == 412:  # noqa: PLR2004 - not the one of If-Match
        return ObjectChanged.at(call.where)
    text = " ".join(str(details.get("Message") or "no message").split())
    meaning = _meaning(code, status, call.service)
    remedy = _remedy(meaning, text, call, response)
    quoted = text[:_LONGEST_MESSAGE].rstrip(".")
    reason = f'{call.service.name} answered {code} (HTTP {status}, "{quoted}")'
    return meaning.error(call.sentence(reason, remedy))


def _remedy(meaning: Meaning, text: str, call: Call, response: Any) -> str:
    """Return what to do, by the message itself where that says more than its code."""
    remedy = meaning.remedy.format(
        action=call.action, resource=call.resource, region=_bucket_region(response)
    )
    denial = read_denial(text) if meaning.error is call.service.refused else None
    is_about_signing = "Signature" in str(response.get("Error", {}).get("Code"))
    may_say_more = denial is None and (meaning.remedy == call.service.denied or is_about_signing)
    if may_say_more and (in_words := remedy_in_words(text)):
        remedy = in_words
    elif denial is not None:
        remedy = remedy_for(denial, call.action, call.resource)
        if denial.action == "s3:ListBucket" and call.action == "s3:GetObject":
            remedy += ", or see why the object is missing: S3 denies so to those who may not list"
    elif meaning.remedy == call.service.denied:
        # To callers that may not list the bucket, S3 denies a missing object like a forbidden one.
        if call.action == "s3:GetObject":
            remedy += ", and s3:ListBucket on the bucket if the object may be missing"
        remedy += call.service.elsewhere
    return remedy


def _meaning(code: str, status: int, service: Service) -> Meaning:
    if code in service.codes:
        return service.codes[code]
    # AWS has many codes for throttling, and they come with the status 400 as well as 503.
    if "Throttl" in code or status == 429:  # noqa: PLR2004 - Too Many Requests
        return service.throttled
    if service.is_transient(status):
        return Meaning(service.unavailable)
    for prefix, remedy in service.prefixes.items():
        if code.startswith(prefix):
            return Meaning(service.refused, remedy)
    denied = status == 403  # noqa: PLR2004 - Forbidden
    return Meaning(service.refused, service.denied if denied else service.unknown)


def _bucket_region(response: Any) -> str:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region")
    return region or "the bucket's own"


# -------------------------------------------------------------------------------- the failures

_TRANSIENT_FAILURES: Final = (
    # Time-outs, name resolution, connections refused, reset, closed early.
    *(boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError),
    *(boto.ResponseStreamingError, urllib3.exceptions.HTTPError, ResponseParserError),
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


def _error_for_failure(error: Exception, call: Call) -> ServiceError:
    """Return the error for a call without a response, or with one that could not be read.

    An exception's text is quoted only if it names an endpoint: others can hold parts of a body.
    """
    text = f" ({error})".replace(".)", ")") if isinstance(error, _NAMING_THE_ENDPOINT) else ""
    reason = f"{type(error).__name__}{text}"
    if isinstance(error, _TRANSIENT_FAILURES) and not _is_bad_certificate(error):
        remedy = "try again, and check the network and the endpoint"
        return call.service.unavailable(call.sentence(reason, remedy))
    remedies = (remedy for kind, remedy in _FAILURE_REMEDIES.items() if isinstance(error, kind))
    remedy = next(remedies, f"check {call.service.settings}")
    return call.service.refused(call.sentence(reason, remedy))


def _is_bad_certificate(error: Exception) -> bool:
    return isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)


# ---------------------------------------------------------------------------------- the tables


def _codes(meaning: Meaning, codes: str) -> dict[str, Meaning]:
    """Return a part of a table: these codes, apart by blanks, mean the same."""
    return dict.fromkeys(codes.split(), meaning)


def _refusals(error: type[ServiceError], remedies: Mapping[str, str]) -> dict[str, Meaning]:
    """Return a part of a table: for each remedy its codes, apart by blanks."""
    return {
        code: Meaning(error, remedy) for remedy, codes in remedies.items() for code in codes.split()
    }


S3: Final = Service(
    "S3",
    unavailable=StoreUnavailable,
    refused=StoreRefused,
    bad_argument=StoreRefused,
    throttled=Meaning(StoreThrottled),
    is_transient=lambda status: (
        status in {307, 408, 409} or (status >= 500 and status not in {501, 505})  # noqa: PLR2004 - HTTP
    ),
    codes=_codes(
        Meaning(StoreThrottled),
        # S3 answers 503 with the text "Please reduce your request rate", under several codes.
        "SlowDown RequestLimitExceeded LimitExceededException BandwidthLimitExceeded "
        "TooManyRequests TooManyRequestsException "
        "ProvisionedThroughputExceededException Busy ServerBusy ServiceUnavailable 503",
    )
    | _codes(
        Meaning(StoreUnavailable),
        "PriorRequestNotComplete InternalError InternalFailure RequestTimeout "
        "RequestTimeoutException OperationAborted ConditionalRequestConflict TemporaryRedirect "
        "KMS.InternalException KMS.DependencyTimeoutException KMS.KeyUnavailableException "
        # What arrived is not what was sent: the bytes changed, or ended early, on the way.
        "BadDigest IncompleteBody XAmzContentChecksumMismatch XAmzContentSHA256Mismatch",
    )
    | _refusals(
        StoreRefused,
        {
            "create the bucket or correct its name": "NoSuchBucket",
            "correct the name of the bucket": "InvalidBucketName",
            "renew the credentials, or give the function a role": (
                "ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken"
            ),
            "check the access key and the secret in the environment or the profile": (
                "InvalidAccessKeyId SignatureDoesNotMatch"
            ),
            "set this machine's clock right": "RequestTimeTooSkewed RequestExpired",
            "make the object smaller, S3 accepts 5 GiB in one write": "EntityTooLarge",
            "restore the object from its archive first": "InvalidObjectState",
            "ask AWS support why access to the bucket is disabled": "AllAccessDisabled",
            "ask AWS support about the account": "AccountProblem",
            "check that the endpoint is an S3 service that allows this": "MethodNotAllowed",
            "leave out PIPELINE_S3_ACL, or give bucket-owner-full-control, which alone is accepted "
            "where the bucket's owner owns all objects": "AccessControlListNotSupported",
            "correct PIPELINE_S3_STORAGE_CLASS": "InvalidStorageClass",
            "correct PIPELINE_S3_TAGS": "InvalidTag",
            "correct PIPELINE_S3_ENCRYPTION": "InvalidEncryptionAlgorithmError",
            "the bucket is in another region, set AWS_DEFAULT_REGION to {region}": (
                "PermanentRedirect 301 AuthorizationHeaderMalformed IllegalLocationConstraint "
                "IllegalLocationConstraintException"
            ),
        },
    ),
    elsewhere="; where it is granted, look for what denies it in the policies of the bucket, of "
    "its KMS key, of the VPC endpoint and of the organisation, and for what the bucket demands of "
    "a request, which the settings PIPELINE_S3_… send",
    prefixes={
        "KMS.": "check that the KMS key of the bucket is there and enabled, and grant "
        "kms:GenerateDataKey and kms:Decrypt on it"
    },
)

_MORE_SHARDS: Final = Meaning(StreamThrottled, "try again later, or add shards")
KINESIS: Final = Service(
    "Kinesis",
    unavailable=StreamUnavailable,
    refused=StreamRefused,
    bad_argument=ArgumentRefused,
    throttled=_MORE_SHARDS,
    is_transient=lambda status: status == 408 or status >= 500,  # noqa: PLR2004 - HTTP
    codes={
        "ExpiredIteratorException": Meaning(IteratorExpired, "ask for a new iterator"),
        "ResourceNotFoundException": Meaning(
            StreamMissing, "check the stream's name, the region and the endpoint"
        ),
    }
    | _codes(
        _MORE_SHARDS,
        "ProvisionedThroughputExceededException LimitExceededException RequestLimitExceeded "
        "TooManyRequestsException SlowDown",
    )
    | _codes(
        Meaning(StreamUnavailable),
        "InternalFailure InternalFailureException ServiceUnavailable RequestTimeout "
        # While a stream is being made or resharded, some calls are refused for a while.
        "ResourceInUseException ExpiredNextTokenException",
    )
    | _codes(
        Meaning(ArgumentRefused, "check it against the documentation of {action}"),
        "InvalidArgumentException ValidationException SerializationException",
    )
    | _codes(
        Meaning(StreamRefused, "check or renew the credentials in the environment or the profile"),
        "UnrecognizedClientException InvalidClientTokenId InvalidSignatureException "
        "IncompleteSignatureException IncompleteSignature MissingAuthenticationTokenException "
        "ExpiredTokenException ExpiredToken",
    ),
    prefixes={
        "KMS": "check that the KMS key of the stream is there, enabled, and granted to this role",
        "AccessDenied": "grant {action} on the stream to the role or user this runs as",
    },
    denied="check the request against the documentation of this error code",
    settings="--endpoint-url, and the AWS settings in the environment and in the AWS "
    "configuration files",
)

GLUE: Final = Service(
    "Glue",
    unavailable=StoreUnavailable,
    refused=StoreRefused,
    bad_argument=StoreRefused,
    throttled=Meaning(StoreThrottled),
    is_transient=lambda status: status >= 500,  # noqa: PLR2004 - HTTP
    codes=_codes(
        Meaning(StoreUnavailable),
        "ConcurrentModificationException InternalServiceException OperationTimeoutException",
    )
    | _refusals(
        StoreRefused,
        {
            "check that the database is there, and the region": "EntityNotFoundException",
            "grant {action} on it to the role or user this runs as": "AccessDeniedException",
            "renew the credentials": (
                "ExpiredTokenException UnrecognizedClientException InvalidSignatureException"
            ),
        },
    ),
)

_BUSY: Final = Meaning(StoreUnavailable, "try again later, or fewer at once")
LAMBDA: Final = Service(
    "Lambda",
    # What a `Retrier` tries again.
    unavailable=StoreUnavailable,
    refused=FunctionError,
    bad_argument=FunctionError,
    throttled=_BUSY,
    # A function that cannot be started is answered with 502, and stays so.
    is_transient=lambda _: False,
    codes=_codes(
        _BUSY,
        "TooManyRequestsException EC2ThrottledException ServiceException InternalFailure "
        "ServiceUnavailable EC2UnexpectedException "
        # It is being deployed, or was asleep.
        "ResourceConflictException ResourceNotReadyException SnapStartNotReadyException",
    )
    | _refusals(
        FunctionError,
        {
            "check its name and the region": "ResourceNotFoundException",
            "grant {action} on it to the role or user this runs as": "AccessDeniedException",
            "renew the credentials": (
                "ExpiredTokenException UnrecognizedClientException InvalidSignatureException"
            ),
        },
    ),
    denied="look this code up in the documentation of Invoke",
    unknown="look this code up in the documentation of Invoke",
)

_TOPIC: Final = (
    "check that the topic is there, and grant {action} on it (and on its KMS key, if it has one) "
    "to the function's role"
)

_LOG: Final = "grant {action} on the log group to the function's role"

_OF_FUNCTION: Final = "the network and the AWS settings of the function"
LOGS: Final = service_of_one_error("Logs", NotifyError, _LOG, settings=_OF_FUNCTION)
SNS: Final = service_of_one_error("SNS", NotifyError, _TOPIC, settings=_OF_FUNCTION)
