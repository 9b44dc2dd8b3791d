"""The folders of a bucket: what stands between one `/` of the keys and the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.adapters.aws.errors import S3, Call, translate_errors
from pipeline.adapters.aws.s3 import OF_A_LISTING, check_origin

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class S3Folders:
    """Lists folders, whose objects are not looked at. Counts its requests, which cost money."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self.requests = 0

    def below(self, uri: str) -> Iterator[str]:
        """Yield the folders below `s3://bucket/folder/`, sorted. Raises `StoreError`."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        resource = f"arn:{self._client.meta.partition}:s3:::{bucket}"
        call = Call(S3, "list the folders of", "s3:ListBucket", uri, resource)
        paginator = self._client.get_paginator("list_objects_v2")
        pages = iter(paginator.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"))
        while True:
            with translate_errors(call):
                page = next(pages, None)
            if page is None:
                return
            self.requests += 1
            check_origin(page, call, OF_A_LISTING)
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"].removeprefix(prefix).removesuffix("/")
