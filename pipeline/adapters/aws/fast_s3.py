"""The fast way to write to S3: `put` by a client in Rust, everything else by boto3.

A PUT of a small object costs boto3 several times the processor time that encoding it did, and its
import and its client are half of a cold start. `obstore`, Python's door to the object store of
arrow-rs, writes the same object for a fraction, and boto3 is made when something else is asked for:
to read, to list, to delete, or to say why a PUT failed. What the fast client cannot do is done
again by boto3, so every error, and every sentence about it, is boto3's (see `errors`).

Only what is plainly the same to both comes here (`fast_store`): credentials from the environment,
as in Lambda, S3's own endpoint (or one on this machine), and no other setting of either client.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as FastClient

from pipeline.adapters.aws.requests import PROJECT, content_type_of
from pipeline.adapters.store import LONGEST_KEY, check_key
from pipeline.bucket_settings import S3Settings
from pipeline.core.errors import StoreThrottled

if TYPE_CHECKING:
    from pipeline.adapters.aws.s3 import S3Store

# The fast client would make of other variables something else than boto3 does, so these alone may
# be set: the credentials and the region, and what neither looks at to write an object.
_KNOWN: Final = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|REGION|DEFAULT_REGION|ENDPOINT_URL(_[A-Z0-9_]+)?"
    r"|LAMBDA_[A-Z0-9_]+|EXECUTION_ENV|XRAY_[A-Z0-9_]+|ACCOUNT_ID|EC2_METADATA_DISABLED|MAX_ATTEMPTS"
    r"|RETRY_MODE|PAGER|DEFAULT_OUTPUT|STS_REGIONAL_ENDPOINTS|SDK_[A-Z0-9_]+)"
)
_BOTO3_ALONE: Final = ("REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
# Elsewhere something else than S3 may answer: the client would follow a redirect to its login page.
_ENDPOINT: Final = re.compile(
    r"https?://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?/?|https://[a-z0-9.-]+\.amazonaws\.com/?"
)
_PRINTABLE: Final = re.compile(r"[!-~]+")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""A bucket that is a label of a host name: one with dots is not, and an access point is none."""
_REGION: Final = re.compile(r"(?!cn-|us-iso|eu-isoe)[a-z]{2}(?:-[a-z]+)+-[0-9]")
"""A region under amazonaws.com."""
_THROTTLED: Final = re.compile(r"status code: (?:429|503)\b")


class FastS3Store:
    """Objects under `s3://bucket/prefix/`, written by `obstore`.

    `exact` makes the same store by boto3, at the first call that needs it.
    """

    def __init__(
        self,
        client: FastClient,
        bucket: str,
        prefix: str,
        settings: S3Settings,
        exact: "Callable[[], S3Store]",
    ) -> None:
        """Write through `client`. Nothing is sent yet."""
        self.uri = f"s3://{bucket}/{prefix}".removesuffix("/")
        self._base = f"{prefix}/" if prefix else ""
        self.longest_key = LONGEST_KEY - len(self._base.encode())
        self._client = client
        self._make_exact = exact
        self._exact_store: S3Store | None = None
        self._tags = dict(settings.tags) or None
        storage_class = settings.storage_class
        self._attributes = {} if storage_class is None else {"Storage-Class": storage_class}

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`."""
        check_key(key, self.longest_key, self.uri)
        attributes = {"Content-Type": content_type_of(key), **self._attributes}
        try:
            result = obstore.put(
                self._client,
                self._base + key,
                body,
                attributes=attributes,
                tags=self._tags,
                use_multipart=False,
            )
        # A missing bucket is a FileNotFoundError, a key that is no path to it a ValueError.
        except (BaseError, OSError, ValueError) as error:
            # Not by boto3 at once: the store asks for fewer requests.
            if throttled := _THROTTLED.search(str(error)):
                message = (
                    f"Could not write {self.uri}/{key}: S3 answered HTTP "
                    f"{throttled[0][-3:]}; try again later."
                )
                raise StoreThrottled(message) from None
        else:
            if (result["e_tag"] or "").strip('"'):  # or it was not S3 that answered
                return
        self._exact().put(key, body)

    def get(self, key: str) -> bytes:
        """Return the whole object under `key`."""
        return self._exact().get(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, a page of up to 1,000 at a time."""
        return self._exact().list(prefix)

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one."""
        self._exact().delete(key)

    def _exact(self) -> "S3Store":
        if self._exact_store is None:  # two threads may make one each, which does no harm
            self._exact_store = self._make_exact()
        return self._exact_store


def fast_store(
    bucket: str,
    prefix: str,
    settings: S3Settings,
    environment: Mapping[str, str],
    exact: "Callable[[], S3Store]",
    *,
    connect_timeout: float,
    read_timeout: float,
) -> FastS3Store | None:
    """Return the store, or None where boto3 would do anything that it does not.

    The time-outs are in seconds.
    """
    config = _config(bucket, settings, environment)
    if config is None:
        return None
    try:
        client = _client(bucket, config, connect_timeout, read_timeout)
    except (BaseError, ValueError):  # boto3 says what is wrong
        return None
    return FastS3Store(client, bucket, prefix.removesuffix("/"), settings, exact)


def _client(bucket: str, config: Any, connect_timeout: float, read_timeout: float) -> FastClient:
    return FastClient(
        bucket,
        config=config,
        client_options={
            "connect_timeout": timedelta(seconds=connect_timeout),
            "read_timeout": timedelta(seconds=read_timeout),
            "user_agent": PROJECT,
            "allow_http": config.get("endpoint", "").startswith("http://"),
        },
        retry_config={"max_retries": 0},
    )


def _is_unknown(name: str) -> bool:
    """Tell whether a variable may mean to either client what it does not to the other."""
    if name.startswith("AWS_"):
        return _KNOWN.fullmatch(name) is None
    return name.upper() in _BOTO3_ALONE


def _config(bucket: str, settings: S3Settings, environment: Mapping[str, str]) -> Any:
    """Return the client's configuration; None where boto3 has to be asked."""
    get = environment.get
    region = get("AWS_DEFAULT_REGION") or ""
    key, secret = get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")
    others = settings.acl is not None or settings.expected_owner is not None
    # The fast client sends the bucket key's header with an encryption alone.
    others = others or (settings.bucket_key is not None and settings.encryption is None)
    unknown = any(value and _is_unknown(name) for name, value in environment.items())
    if not (key and secret) or others or unknown:
        return None
    if not all(map(_PRINTABLE.fullmatch, (key, secret, get("AWS_SESSION_TOKEN") or "-"))):
        return None
    if Path("~/.aws/config").expanduser().exists():
        return None
    if not (_BUCKET.fullmatch(bucket) and _REGION.fullmatch(region)):
        return None
    endpoint = get("AWS_ENDPOINT_URL_S3") or get("AWS_ENDPOINT_URL") or None
    if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
        return None
    config: dict[str, Any] = {
        "access_key_id": key,
        "secret_access_key": secret,
        "session_token": get("AWS_SESSION_TOKEN") or None,
        "region": region,
        "endpoint": endpoint,
        "virtual_hosted_style_request": endpoint is None,
        "checksum_algorithm": "CRC64NVME",
        "server_side_encryption": settings.encryption,
        "sse_kms_key_id": settings.kms_key,
        "sse_bucket_key_enabled": settings.bucket_key,
        "request_payer": settings.requester_pays or None,
    }
    return {name: value for name, value in config.items() if value is not None}
