"""The door to the object stores: each is opened by its URI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.writer import CONCURRENCY
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.errors import UriRefused

if TYPE_CHECKING:
    from pipeline.adapters.aws.s3 import S3Store


def open_store(
    uri: str,
    s3: S3Settings = NO_DEMANDS,
    *,
    concurrency: int = CONCURRENCY,
    connect_timeout: float = 2.0,
    read_timeout: float = 10.0,
) -> ObjectStore:
    """Return the store that `uri` names, or raise `UriRefused` if it names none.

    `s3://bucket[/prefix]` (its clients are imported only then; `s3` is what goes with requests,
    `concurrency` the number of pooled connections, the time-outs are in seconds), `file:///dir`, or
    `memory://[name]`, which is new and empty at each call. Raises `StoreRefused` if the AWS
    configuration is unusable.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "s3":
        bucket, prefix = _bucket_and_prefix(uri, rest)
        return _s3_store(bucket, prefix, s3, concurrency, connect_timeout, read_timeout)
    if separator and scheme == "file":
        from pipeline.adapters.directory import DirectoryStore  # noqa: PLC0415 - no Lambda has one

        return DirectoryStore(_directory(uri, rest))
    if separator and scheme == "memory":
        return MemoryStore(rest or None)
    message = f"{uri!r} does not name a store; write s3://bucket/prefix or file:///directory."
    raise UriRefused(message)


def _s3_store(
    bucket: str,
    prefix: str,
    settings: S3Settings,
    concurrency: int,
    connect_timeout: float,
    read_timeout: float,
) -> ObjectStore:
    def by_boto3() -> S3Store:
        from pipeline.adapters.aws.s3 import S3Store, s3_client  # noqa: PLC0415 - 0.3 s to import

        client = s3_client(
            settings,
            concurrency=concurrency,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        return S3Store(bucket, prefix, client)

    if not settings.boto3_alone:
        from pipeline.adapters.aws.fast_s3 import fast_store  # noqa: PLC0415 - S3 alone needs it

        fast = fast_store(
            bucket,
            prefix,
            settings,
            os.environ,
            by_boto3,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        if fast is not None:
            return fast
    return by_boto3()


def _bucket_and_prefix(uri: str, rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        message = f"{uri!r} does not name an S3 bucket; write s3://bucket/prefix."
        raise UriRefused(message)
    return bucket, prefix


def _directory(uri: str, rest: str) -> Path:
    path = unquote(rest)
    if not rest.startswith("/") or not path.strip("/") or "\0" in path:
        message = f"{uri!r} does not name a directory; write file:///directory, with three slashes."
        raise UriRefused(message)
    return Path(path)
