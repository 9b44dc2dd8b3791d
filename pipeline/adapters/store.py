"""Object stores: the door to all of them, `open_store`, and the store in memory.

What a store promises stands in `pipeline.adapters.protocol`; its names are offered here too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from pipeline.adapters.protocol import LONGEST_KEY, ObjectStore, check_key, key_order
from pipeline.adapters.retry import Retry, RetryingStore, StoreHealth
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core.errors import (
    DeadlineExceeded,
    KeyRefused,
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    UriRefused,
)

__all__ = [
    "LONGEST_KEY",
    "ConcurrentWriter",
    "DeadlineExceeded",
    "KeyRefused",
    "MemoryStore",
    "ObjectMissing",
    "ObjectStore",
    "Retry",
    "RetryingStore",
    "StoreError",
    "StoreHealth",
    "StoreRefused",
    "StoreUnavailable",
    "UriRefused",
    "open_store",
]


class MemoryStore:
    """Objects in a dict, `objects`, for tests and for trying things out."""

    _numbers = itertools.count(1)

    def __init__(self, name: str | None = None) -> None:
        """Start empty. Without a `name`, the store is numbered, so that URIs tell stores apart."""
        self.uri = f"memory://{name or next(self._numbers)}"
        self.longest_key = LONGEST_KEY
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`."""
        check_key(key, self.longest_key, self.uri)
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        """Return the object under `key`."""
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectMissing.at(self.uri, key) from None

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, as they were at the first step."""
        yield from sorted((k for k in self.objects.copy() if k.startswith(prefix)), key=key_order)

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one."""
        self.objects.pop(key, None)


def open_store(
    uri: str, *, concurrency: int = 8, connect_timeout: float = 2.0, read_timeout: float = 10.0
) -> ObjectStore:
    """Return the store that `uri` names, or raise `UriRefused` if it names none.

    `s3://bucket[/prefix]` (boto3 is imported only then; `concurrency` is the number of pooled
    connections, the time-outs are in seconds), `file:///dir`, or `memory://[name]`, which is new
    and empty at each call. Raises `StoreRefused` if the AWS configuration is unusable.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "s3":
        from pipeline.adapters.aws.s3 import S3Store, s3_client  # noqa: PLC0415 - 0.3 s to import

        bucket, prefix = _bucket_and_prefix(uri, rest)
        client = s3_client(
            concurrency=concurrency, connect_timeout=connect_timeout, read_timeout=read_timeout
        )
        return S3Store(bucket, prefix, client)
    if separator and scheme == "file":
        from pipeline.adapters.directory import DirectoryStore  # noqa: PLC0415 - no Lambda has one

        return DirectoryStore(_directory(uri, rest))
    if separator and scheme == "memory":
        return MemoryStore(rest or None)
    message = f"{uri!r} names no store; write s3://bucket/prefix or file:///directory."
    raise UriRefused(message)


def _bucket_and_prefix(uri: str, rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        message = f"{uri!r} names no S3 bucket; write s3://bucket/prefix."
        raise UriRefused(message)
    return bucket, prefix


def _directory(uri: str, rest: str) -> Path:
    path = unquote(rest)
    if not rest.startswith("/") or not path.strip("/") or "\0" in path:
        message = f"{uri!r} names no directory; write file:///directory, with three slashes."
        raise UriRefused(message)
    return Path(path)
