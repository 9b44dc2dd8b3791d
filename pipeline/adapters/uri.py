"""The door to the object stores: each is opened by its URI."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.store import ObjectStore
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.errors import UriRefused


def open_store(
    uri: str,
    s3: S3Settings = NO_DEMANDS,
    *,
    concurrency: int = 8,
    connect_timeout: float = 2.0,
    read_timeout: float = 10.0,
) -> ObjectStore:
    """Return the store that `uri` names, or raise `UriRefused` if it names none.

    `s3://bucket[/prefix]` (boto3 is imported only then; `s3` is what goes with its requests,
    `concurrency` the number of pooled connections, the time-outs are in seconds), `file:///dir`, or
    `memory://[name]`, which is new and empty at each call. Raises `StoreRefused` if the AWS
    configuration is unusable.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "s3":
        from pipeline.adapters.aws.s3 import S3Store, s3_client  # noqa: PLC0415 - 0.3 s to import

        bucket, prefix = _bucket_and_prefix(uri, rest)
        return S3Store(
            bucket,
            prefix,
            s3_client(
                s3,
                concurrency=concurrency,
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
            ),
        )
    if separator and scheme == "file":
        from pipeline.adapters.directory import DirectoryStore  # noqa: PLC0415 - no Lambda has one

        return DirectoryStore(_directory(uri, rest))
    if separator and scheme == "memory":
        return MemoryStore(rest or None)
    message = f"{uri!r} does not name a store; write s3://bucket/prefix or file:///directory."
    raise UriRefused(message)


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
