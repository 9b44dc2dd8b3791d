"""The datasets' schemas on S3, copied to a folder: one listing says which, and as what.

Objects that are replaced while they are copied are found by their ETags, and all is listed again:
what is copied was all there at one moment.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline.adapters.aws.errors import S3, Call, translate_errors
from pipeline.adapters.aws.s3 import OF_AN_OBJECT, check_origin, list_objects, s3_client
from pipeline.core.errors import DatasetError, ObjectChanged, ObjectMissing
from pipeline.core.payload_format import SUFFIX
from pipeline.core.stored_layout import LAYOUT_FILE
from pipeline.core.stream import NAME as STREAM_FILE

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_MOST_OBJECTS: Final = 10_000
_MOST_BYTES: Final = 64 << 20
_LISTINGS: Final = 3
_AT_ONCE: Final = 8
_NAMES: Final = frozenset({"dataset.toml", LAYOUT_FILE})
_SUFFIXES: Final = tuple(SUFFIX.values())


class SchemaObject(msgspec.Struct, frozen=True):
    """An object below the prefix, by what the listing says of it; `path` begins at the prefix."""

    path: str
    etag: str
    size: int
    changed: datetime

    @property
    def folder(self) -> str:
        """The dataset's folder, if it is in one that the reader of datasets looks into."""
        folder, slash, _ = self.path.partition("/")
        return folder if slash and folder and folder[0] != "." and folder != STREAM_FILE else ""

    @property
    def wanted(self) -> bool:
        """Whether the reader of datasets reads it: samples and notes may stand beside."""
        name = self.path.removeprefix(f"{self.folder}/") if self.folder else self.path
        if "/" in name or name.startswith("."):
            return False
        of_dataset = name in _NAMES or name.endswith(_SUFFIXES)
        return of_dataset if self.folder else name == STREAM_FILE


class SchemaPrefix:
    """What stands below `s3://bucket/prefix`."""

    def __init__(self, uri: str, client: S3Client | None = None) -> None:
        """Use `client`, or one of its own. Nothing is sent yet."""
        self.uri = uri.rstrip("/")
        self.bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._client = client or s3_client(concurrency=_AT_ONCE, tries=3)

    def list(self) -> list[SchemaObject]:
        """List it. Raises `StoreError`, and `DatasetError` where there is nothing, or too much."""
        found = list[SchemaObject]()
        for each in self._listed():
            found.append(each)
            if len(found) > _MOST_OBJECTS:
                message = (
                    f"{self.uri} has more than {_MOST_OBJECTS:,} objects; give the prefix that has "
                    "the datasets alone."
                )
                raise DatasetError(message)
        if not found:
            message = (
                f"There is nothing below {self.uri}/; copy the datasets there: aws s3 sync schemas "
                f"{self.uri}"
            )
            raise DatasetError(message)
        size = sum(each.size for each in found if each.wanted)
        if size > _MOST_BYTES:
            message = (
                f"The schemas below {self.uri}/ have {size:,} bytes, and may have {_MOST_BYTES:,}."
            )
            raise DatasetError(message)
        return found

    def copy(self, listed: Iterable[SchemaObject], folder: Path) -> None:
        """Copy what was listed. Raises `StoreError`; `ObjectChanged` where it is other by now."""
        listed = list(listed)
        try:
            for name in {each.folder for each in listed} - {""}:
                (folder / name).mkdir(exist_ok=True)
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                wanted = [each for each in listed if each.wanted]
                for each, body in zip(wanted, threads.map(self._read, wanted), strict=True):
                    (folder / each.path).write_bytes(body)
        except OSError as error:
            message = f"{self.uri} cannot be copied to {folder}: {error.strerror}."
            raise DatasetError(message) from error

    def _listed(self) -> Iterator[SchemaObject]:
        call = self._call("list", "s3:ListBucket", "", self.bucket)
        for entry in list_objects(self._client, self.bucket, self.prefix, call):
            path = entry["Key"].removeprefix(self.prefix)
            yield SchemaObject(path, entry["ETag"], entry["Size"], entry["LastModified"])

    def _read(self, listed: SchemaObject) -> bytes:
        resource = f"{self.bucket}/{self.prefix}*"
        call = self._call("read", "s3:GetObject", listed.path, resource)
        with translate_errors(call):
            response = self._client.get_object(
                Bucket=self.bucket, Key=self.prefix + listed.path, IfMatch=listed.etag
            )
            with contextlib.closing(response["Body"]) as stream:
                body: bytes = stream.read()
        check_origin(response, call, OF_AN_OBJECT)
        return body

    def _call(self, verb: str, action: str, path: str, resource: str) -> Call:
        arn = f"arn:{self._client.meta.partition}:s3:::{resource}"
        return Call(S3, verb, action, f"{self.uri}/{path}", arn)


def copy_schemas(uri: str, scratch: Path, kept_for: str | None = None) -> Path:
    """Copy the schemas below `uri` to a folder in `scratch`, and return it.

    Whoever names the same `kept_for` gets the folder that was copied first, and S3 is not asked.
    Without it, the folder is removed when this process ends.
    """
    if kept_for is None:
        folder = Path(tempfile.mkdtemp(prefix="pipeline-schemas-", dir=scratch))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _copy(SchemaPrefix(uri), folder)
        return folder
    digest = hashlib.sha256(f"{uri}\n{kept_for}".encode()).hexdigest()[:16]
    folder = scratch / f"pipeline-schemas-{digest}"
    if not folder.exists():
        part = Path(tempfile.mkdtemp(prefix="pipeline-schemas-part-", dir=scratch))
        try:
            _copy(SchemaPrefix(uri), part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _copy(prefix: SchemaPrefix, folder: Path) -> None:
    for _ in range(_LISTINGS):
        try:
            prefix.copy(prefix.list(), folder)
        except (ObjectChanged, ObjectMissing):
            for each in folder.iterdir():
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        else:
            return
    message = (
        f"The schemas below {prefix.uri}/ changed each of the {_LISTINGS} times they were read. Do "
        "not change those in use: copy the new ones to a prefix of their own, and name that."
    )
    raise DatasetError(message)
