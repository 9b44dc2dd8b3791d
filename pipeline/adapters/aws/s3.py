"""The object store that is an S3 bucket, or a prefix of one.

What answers 200 is not yet S3: a proxy or a wrong endpoint may do so, and keep nothing. A response
counts only with what S3 always sends.

Nothing is tried again here: `RetryingStore` does that. Every way in which a call can fail becomes a
`StoreUnavailable`, `StoreRefused` or `ObjectMissing`, in `pipeline.adapters.aws.errors`.
"""

from __future__ import annotations

import base64
import contextlib
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import S3, Call, translate_errors
from pipeline.adapters.aws.requests import content_type_of
from pipeline.adapters.store import LONGEST_KEY, check_key
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def s3_client(
    settings: S3Settings = NO_DEMANDS,
    *,
    concurrency: int = 8,
    connect_timeout: float = 2.0,
    read_timeout: float = 10.0,
    tries: int = 1,
) -> S3Client:
    """Return an S3 client, see `make_client`. Raises `StoreRefused`.

    What the settings say goes with every request that takes it, whoever makes it.
    """
    client: S3Client = make_client(
        S3,
        concurrency=concurrency,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        tries=tries,
    )
    if demanded := _parameters(settings):

        def add(params: dict[str, Any], model: Any, **_: object) -> None:
            for name in demanded.keys() & model.input_shape.members.keys():
                params.setdefault(name, demanded[name])

        client.meta.events.register("before-parameter-build.s3", add)
    return client


def _parameters(settings: S3Settings) -> dict[str, Any]:
    """Return the settings as parameters of S3's operations."""
    parameters = {
        "ServerSideEncryption": settings.encryption,
        "SSEKMSKeyId": settings.kms_key,
        "BucketKeyEnabled": settings.bucket_key,
        "ACL": settings.acl,
        "RequestPayer": "requester" if settings.requester_pays else None,
        "ExpectedBucketOwner": settings.expected_owner,
        "StorageClass": settings.storage_class,
        "Tagging": urlencode(settings.tags) or None,
    }
    return {name: value for name, value in parameters.items() if value is not None}


OF_AN_OBJECT: Final = ("ETag",)
OF_A_LISTING: Final = ("IsTruncated", "Name", "KeyCount", "Contents")


def check_origin(response: Mapping[str, Any], call: Call, members: tuple[str, ...]) -> None:
    """Raise `StoreRefused` for a response with none of the members that S3 sends."""
    if all(response.get(member) is None for member in members):
        reason = f"the response has no {members[0]}, and so is not from S3"
        remedy = "check the endpoint (AWS_ENDPOINT_URL…), and what proxy may have answered for it"
        raise StoreRefused(call.sentence(reason, remedy))


def list_objects(client: S3Client, bucket: str, prefix: str, call: Call) -> Iterator[Any]:
    """Yield what S3 says of each object whose key starts with `prefix`, a page at a time.

    Raises `StoreError`, in the words of `call`.
    """
    pages = iter(client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))
    while True:
        with translate_errors(call):
            page = next(pages, None)
        if page is None:
            return
        check_origin(page, call, OF_A_LISTING)
        yield from page.get("Contents", ())


def _check_stored(response: Mapping[str, Any], call: Call, body: bytes) -> None:
    """Raise `StoreError` unless S3 says that it has stored this body.

    The ETag's value says nothing: with some encryptions, and on other services, it is not a digest.
    """
    check_origin(response, call, OF_AN_OBJECT)
    echoed = response.get("ChecksumCRC32")
    if echoed is not None and echoed != _crc32(body):
        reason = "the response has the checksum of other bytes"
        raise StoreUnavailable(call.sentence(reason, "try again, and check the endpoint"))


def _crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


class S3Store:
    """Objects under `s3://bucket/prefix/`, or in the whole bucket if `prefix` is empty."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        client: S3Client | None = None,
    ) -> None:
        """Use `client`, or one that `s3_client` makes. Nothing is sent yet."""
        self.uri = f"s3://{bucket}"
        prefix = prefix.removesuffix("/")
        if prefix:
            check_key(prefix, LONGEST_KEY // 2, self.uri)
            self.uri += f"/{prefix}"
        self._bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._client = client or s3_client()
        self.longest_key = LONGEST_KEY - len(self._base.encode())

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`."""
        check_key(key, self.longest_key, self.uri)
        call = self._call("write", "s3:PutObject", key)
        with translate_errors(call):
            response = self._client.put_object(
                Bucket=self._bucket,
                Key=self._base + key,
                Body=body,
                ContentType=content_type_of(key),
            )
        _check_stored(response, call, body)

    def get(self, key: str) -> bytes:
        """Return the whole object under `key`."""
        # The body is read inside, too: the connection can be lost in the middle of it.
        call = self._call("read", "s3:GetObject", key)
        with translate_errors(call):
            response = self._client.get_object(Bucket=self._bucket, Key=self._base + key)
            # closing(), as the body's own `with` hands out the raw stream, whose read() checks
            # neither length nor checksum.
            with contextlib.closing(response["Body"]) as stream:
                body: bytes = stream.read()
        check_origin(response, call, OF_AN_OBJECT)
        return body

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, a page of up to 1,000 at a time."""
        bucket = f"arn:{self._partition()}:s3:::{self._bucket}"
        call = Call(S3, "list", "s3:ListBucket", f"{self.uri}/{prefix}", bucket)
        for entry in list_objects(self._client, self._bucket, self._base + prefix, call):
            yield entry["Key"].removeprefix(self._base)

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one."""
        with translate_errors(self._call("delete", "s3:DeleteObject", key)):
            self._client.delete_object(Bucket=self._bucket, Key=self._base + key)

    def _call(self, verb: str, action: str, key: str) -> Call:
        """Return the words for one call: what an administrator would grant, and on what."""
        resource = f"arn:{self._partition()}:s3:::{self._bucket}/{self._base}*"
        return Call(S3, verb, action, f"{self.uri}/{key}", resource)

    def _partition(self) -> str:
        return self._client.meta.partition
