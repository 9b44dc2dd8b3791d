"""Landing objects in S3, read and deleted only as the version that was listed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline.adapters.aws.errors import S3, Call, translate_errors
from pipeline.adapters.aws.s3 import list_objects, s3_client
from pipeline.adapters.landing import Version
from pipeline.bucket_settings import NO_DEMANDS, S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

TRIES: Final = 6
"""Of each request: S3 asks for fewer where many are made, and a run that gives up begins anew."""
_ANOTHER: Final = frozenset(
    {"PreconditionFailed", "412", "NoSuchKey", "404", "409", "ConditionalRequestConflict"}
)


class S3Landing:
    """The objects under `s3://bucket/prefix/`; a version is known by its ETag."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        client: S3Client | None = None,
        settings: S3Settings = NO_DEMANDS,
    ) -> None:
        """Use `client`, or one of its own. Nothing is sent yet."""
        prefix = prefix.strip("/")
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._client = client or s3_client(settings, concurrency=16, tries=TRIES, read_timeout=60.0)

    def versions(self, prefix: str) -> Iterator[Version]:
        """Yield the objects, a page of up to 1,000 at a time."""
        call = self._call("list", "s3:ListBucket", prefix)
        for entry in list_objects(self._client, self._bucket, self._base + prefix, call):
            key = entry["Key"].removeprefix(self._base)
            yield Version(key, entry["ETag"], entry["Size"], entry["LastModified"].timestamp())

    def read(self, version: Version) -> bytes | None:
        """Return the object's bytes, if it is that version."""
        with translate_errors(self._call("read", "s3:GetObject", version.key)):
            try:
                response = self._client.get_object(
                    Bucket=self._bucket, Key=self._base + version.key, IfMatch=version.tag
                )
            except ClientError as error:
                if error.response["Error"]["Code"] in _ANOTHER:
                    return None
                raise
            with contextlib.closing(response["Body"]) as stream:
                body: bytes = stream.read()
        return body

    def remove(self, version: Version) -> bool:
        """Delete the object, if it is that version."""
        with translate_errors(self._call("delete", "s3:DeleteObject", version.key)):
            try:
                self._client.delete_object(
                    Bucket=self._bucket, Key=self._base + version.key, IfMatch=version.tag
                )
            except ClientError as error:
                if error.response["Error"]["Code"] in _ANOTHER:
                    return False
                raise
        return True

    def restore(self, prefix: str, since: float) -> int:
        """Put objects back that were deleted since a time, in seconds; return how many.

        Only in a bucket with versioning, whose delete markers are removed.
        """
        restored = 0
        pages = iter(
            self._client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=self._base + prefix
            )
        )
        while True:
            with translate_errors(self._call("list", "s3:ListBucketVersions", prefix)):
                page = next(pages, None)
            if page is None:
                return restored
            for marker in page.get("DeleteMarkers", ()):
                if not marker["IsLatest"] or marker["LastModified"].timestamp() < since:
                    continue
                key = marker["Key"]
                with translate_errors(self._call("restore", "s3:DeleteObjectVersion", key)):
                    self._client.delete_object(
                        Bucket=self._bucket, Key=key, VersionId=marker["VersionId"]
                    )
                restored += 1

    def _call(self, verb: str, action: str, key: str) -> Call:
        partition = self._client.meta.partition
        resource = f"arn:{partition}:s3:::{self._bucket}/{self._base}*"
        return Call(S3, verb, action, f"{self.uri}/{key}", resource)
