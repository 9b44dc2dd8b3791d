"""The files of a table in S3, by their URIs: whole ones, stretches of them, new ones."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline.adapters.aws.errors import S3, Call, translate_errors
from pipeline.adapters.aws.landing import TRIES
from pipeline.adapters.aws.s3 import s3_client
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.errors import ObjectMissing

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_MOST_DELETED = 1_000
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_BLOCK = 1 << 20


class S3Files:
    """Reads, writes and deletes by URI, with boto3 alone: the artifact has no other S3."""

    def __init__(self, settings: S3Settings = NO_DEMANDS, client: S3Client | None = None) -> None:
        """Use `client`, or one of its own. Nothing is sent yet."""
        self._client = client or s3_client(settings, concurrency=16, tries=TRIES, read_timeout=60.0)

    def size(self, uri: str) -> int:
        """Return how many bytes a file has. Raises `FileNotFoundError`."""
        bucket, key = _split(uri)
        with _missing(uri), self._errors("read", "s3:GetObject", uri):
            return self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]

    def read(self, uri: str, first: int = 0, count: int | None = None) -> bytes:
        """Return a file, or a stretch of it. Raises `FileNotFoundError`."""
        bucket, key = _split(uri)
        with _missing(uri), self._errors("read", "s3:GetObject", uri):
            if count is None and not first:
                response = self._client.get_object(Bucket=bucket, Key=key)
            else:
                last = "" if count is None else first + count - 1
                stretch = f"bytes={first}-{last}"
                response = self._client.get_object(Bucket=bucket, Key=key, Range=stretch)
            with contextlib.closing(response["Body"]) as stream:
                body: bytes = stream.read()
        return body

    def open(self, uri: str) -> io.BufferedReader:
        """Open a file to be read here and there. Raises `FileNotFoundError`."""
        return io.BufferedReader(_Stretches(self, uri, self.size(uri)), _BLOCK)

    def create(self, uri: str, body: bytes) -> None:
        """Write a new file. Raises `FileExistsError`."""
        self._put(uri, body, len(body))

    def upload(self, uri: str, path: Path) -> None:
        """Write a new file from one on this machine. Raises `FileExistsError`."""
        with path.open("rb") as file:
            self._put(uri, file, path.stat().st_size)

    def _put(self, uri: str, body: object, size: int) -> None:
        bucket, key = _split(uri)
        with self._errors("write", "s3:PutObject", uri):
            try:
                self._client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=body,  # type: ignore[arg-type]  # bytes, or a file
                    ContentLength=size,
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in _EXISTS:
                    raise
                # Names are new at each try of ours, so this is what an earlier request wrote whose
                # answer was lost; unless it is not.
                if self.size(uri) != size:
                    raise FileExistsError(uri) from error

    def delete(self, uris: Iterable[str]) -> None:
        """Delete files, as many at once as S3 takes."""
        by_bucket: dict[str, list[str]] = {}
        for uri in uris:
            bucket, key = _split(uri)
            by_bucket.setdefault(bucket, []).append(key)
        for bucket, keys in by_bucket.items():
            for start in range(0, len(keys), _MOST_DELETED):
                chosen = keys[start : start + _MOST_DELETED]
                with self._errors("delete", "s3:DeleteObject", f"s3://{bucket}/{chosen[0]}"):
                    self._client.delete_objects(
                        Bucket=bucket,
                        Delete={"Objects": [{"Key": key} for key in chosen], "Quiet": True},
                    )

    def list(self, uri: str) -> Iterator[tuple[str, float]]:
        """Yield the files below a URI, each with the time of its last change, in seconds."""
        bucket, prefix = _split(uri)
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/"
            )
        )
        while True:
            with self._errors("list", "s3:ListBucket", uri):
                page = next(pages, None)
            if page is None:
                return
            for entry in page.get("Contents", ()):
                yield f"s3://{bucket}/{entry['Key']}", entry["LastModified"].timestamp()

    @contextlib.contextmanager
    def _errors(self, verb: str, action: str, uri: str) -> Iterator[None]:
        bucket, key = _split(uri)
        resource = f"arn:{self._client.meta.partition}:s3:::{bucket}/{key.rpartition('/')[0]}/*"
        with translate_errors(Call(S3, verb, action, uri, resource)):
            yield


class _Stretches(io.RawIOBase):
    """A file in S3 as a raw stream: each read is a request for a stretch of it."""

    def __init__(self, files: S3Files, uri: str, size: int) -> None:
        self._files = files
        self._uri = uri
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # of any buffer
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        body = self._files.read(self._uri, self._position, count)
        buffer[: len(body)] = body
        self._position += len(body)
        return len(body)


@contextlib.contextmanager
def _missing(uri: str) -> Iterator[None]:
    """Raise what Iceberg expects where there is no such file."""
    try:
        yield
    except ObjectMissing:
        raise FileNotFoundError(uri) from None


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key
