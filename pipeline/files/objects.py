"""Objects of S3 as input: a version found and pinned, and read in ranges.

An object may be overwritten or deleted while it is read. Every range is asked for with its version
id, or in a bucket without versions its ETag, so that two versions never mix, and `ObjectChanged` or
`ObjectMissing` say that it is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pipeline.adapters.aws.errors import S3, Call, translate_errors
from pipeline.adapters.aws.s3 import OF_A_LISTING, OF_AN_OBJECT, check_origin, s3_client
from pipeline.bucket_settings import NO_DEMANDS, S3Settings
from pipeline.core.errors import StoreUnavailable
from pipeline.files.notifications import ObjectReference

RANGE_BYTES: Final = 8 * 2**20
_UNVERSIONED: Final = "null"


class ObjectVersion(msgspec.Struct, frozen=True):
    """One version of an object; `size` in bytes, `modified_at` in microseconds since 1970."""

    reference: ObjectReference
    size: int
    modified_at: int

    @property
    def source(self) -> str:
        """The first part of its rows' identity: the version id, in a bucket without the ETag."""
        reference = self.reference
        return f"{reference.uri}?{reference.version_id or reference.etag}"


class S3Objects:
    """The objects of all buckets. Nothing is tried again here, see `Retrier`."""

    def __init__(self, client: Any = None, settings: S3Settings = NO_DEMANDS) -> None:
        """Use `client`, or one that `s3_client` makes. Nothing is sent yet."""
        self._client = client or s3_client(settings.of_reader())

    def find(self, reference: ObjectReference) -> ObjectVersion:
        """Look at an object, and pin the version that is wanted, or else the one that is there.

        The version id is from S3's response, whether it was asked for or not: a listing does not
        have it, a notification does, and both must come to one identity.
        """
        call = self._call(reference)
        with translate_errors(call):
            found = self._client.head_object(**_pinned(reference))
        check_origin(found, call, OF_AN_OBJECT)
        version = found.get("VersionId")
        pinned = ObjectReference(
            reference.bucket,
            reference.key,
            None if version == _UNVERSIONED else version,
            found["ETag"].strip('"'),
        )
        return ObjectVersion(pinned, int(found["ContentLength"]), _micros(found["LastModified"]))

    def read(self, version: ObjectVersion, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`, which must be in the object."""
        reference = version.reference
        with translate_errors(self._call(reference)):
            response = self._client.get_object(
                **_pinned(reference), Range=f"bytes={start}-{end - 1}"
            )
            # closing(), as the body's own `with` hands out the raw stream, which checks nothing.
            with contextlib.closing(response["Body"]) as stream:
                body: bytes = stream.read()
        if len(body) != end - start:
            message = (
                f"Could not read {reference.uri}: S3 returned {len(body)} bytes "
                f"instead of {end - start}; try again later."
            )
            raise StoreUnavailable(message)
        return body

    def page(
        self, bucket: str, prefix: str, token: str | None = None
    ) -> tuple[list[ObjectVersion], str | None]:
        """Return objects whose keys start with `prefix`, each as it is now, without version.

        They are up to 1,000, with the token of the next page, None at the end.
        """
        resource = f"arn:{self._client.meta.partition}:s3:::{bucket}"
        behind: dict[str, Any] = {"ContinuationToken": token} if token else {}
        call = Call(S3, "list", "s3:ListBucket", f"s3://{bucket}/{prefix}", resource)
        with translate_errors(call):
            page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, **behind)
        check_origin(page, call, OF_A_LISTING)
        found = [_listed(bucket, entry) for entry in page.get("Contents", ())]
        return found, page.get("NextContinuationToken")

    def _call(self, reference: ObjectReference) -> Call:
        resource = f"arn:{self._client.meta.partition}:s3:::{reference.bucket}/*"
        return Call(S3, "read", "s3:GetObject", reference.uri, resource)


class ObjectReader:
    """A pinned version as a file, of which one range is in memory."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        """Read `size` bytes by `fetch(start, end)`, which retries what may be retried."""
        self._fetch = fetch
        self._size = size
        self._offset = 0
        self._start = 0
        self._range = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, of one range at most; none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(RANGE_BYTES), b""))
        if self._offset == self._start + len(self._range) and self._offset < self._size:
            self._start = self._offset
            self._range = self._fetch(self._offset, min(self._offset + RANGE_BYTES, self._size))
        within = self._offset - self._start
        taken = self._range[within : within + size]
        self._offset += len(taken)
        return taken

    def seek(self, offset: int) -> None:
        """Go to a byte, counted from the start."""
        self._offset = self._start = offset
        self._range = b""


def _pinned(reference: ObjectReference) -> dict[str, Any]:
    place = {"Bucket": reference.bucket, "Key": reference.key}
    if reference.version_id:
        return {**place, "VersionId": reference.version_id}
    return {**place, "IfMatch": f'"{reference.etag}"'} if reference.etag else place


def _listed(bucket: str, entry: Any) -> ObjectVersion:
    reference = ObjectReference(bucket, entry["Key"], etag=entry["ETag"].strip('"'))
    return ObjectVersion(reference, int(entry["Size"]), _micros(entry["LastModified"]))


def _micros(moment: Any) -> int:
    micros: int = round(moment.timestamp() * 1_000_000)
    return micros
