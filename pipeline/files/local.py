"""Files of this machine, and pipes: what tells their content from any other.

A path is not an identity: tomorrow it may hold another file. So the source of a file's documents
is `{path}?{bytes}-{digest}`, with 128 bits of the SHA-256 of its bytes as they are on disk. A file
of any size is therefore read twice, first for its digest, which is a small part of what converting
it takes. It must not change in between.

A pipe can be read only once, and its rows are stored before its end is known. There each block has
a source of its own, `{name}-{arrival}?{bytes}-{digest}`, with the digest of its documents.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import BinaryIO, Self

import msgspec

from pipeline.adapters.store import ObjectStore
from pipeline.core.errors import FileError, ObjectMissing, StoreRefused
from pipeline.core.layout import progress_folder
from pipeline.files.blocks import Block

_BITE = 2**20  # bytes
_DIGITS = 32  # 128 bits
_MOST_VERSIONS = 100


class Version(msgspec.Struct, frozen=True):
    """What a file holds: how many bytes, and the first digits of their SHA-256."""

    size: int
    digest: str
    arrived_at: int | None = None
    """When it arrived as it was first converted, in microseconds since 1970, where that is kept."""

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Return what a file holds that was read whole."""
        return cls(len(body), hashlib.sha256(body).hexdigest()[:_DIGITS])

    def source(self, path: str) -> str:
        """Return the first part of its documents' identity."""
        return f"{path}?{self.size}-{self.digest}"


class PinnedFile:
    """An open file that is read as what it was when its digest was taken."""

    def __init__(
        self,
        file: BinaryIO,
        path: str,
        earlier: Iterable[Version] = (),
        advance: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Read the file to its end, and go back. Raises `FileError`.

        `earlier` are other contents of the path, `advance` is called with bytes that were read.
        """
        self._file = file
        self._path = path
        try:
            self._state = _state(file)
            start = file.tell()
            digests = _digests(file, {version.size for version in earlier}, advance)
            self.version = Version(file.tell() - start, digests.pop(None))
            file.seek(start)
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}."
            raise FileError(message) from None
        self.grown_from = [
            version
            for version in earlier
            if version.size < self.version.size and digests.get(version.size) == version.digest
        ]
        """Those of `earlier` with which this one begins, and then goes on."""
        self.check()

    @property
    def source(self) -> str:
        """The first part of its documents' identity."""
        return self.version.source(self._path)

    def check(self) -> None:
        """Raise `FileError` if the file has changed since its digest was taken."""
        size, changed_at = _state(self._file)
        if (size, changed_at) != self._state:
            message = (
                f"{self._path} changed while it was read (it had {self._state[0]:,} bytes, and has "
                f"{size:,}): no more of it is stored. Convert it, or a copy of it, when nothing "
                f"writes to it; delete the rows whose _source is {self.source!r} first, if there "
                "are any."
            )
            raise FileError(message)


def passing_source(name: str, block: Block) -> str:
    """Return the first part of the identity of documents that came through a pipe."""
    digest = hashlib.sha256()
    for offset, document in block.documents:
        digest.update(b"%d:%d:" % (offset, len(document)))
        digest.update(document)
    size = block.end.offset - block.start.offset
    return Version(size, digest.hexdigest()[:_DIGITS]).source(name)


class PathHistory:
    """What was converted under one path, kept beside the rows, as far as the store lets it be read.

    It tells that a file has grown, and when it had arrived: the same file again arrives at the same
    time, though it was copied or touched meanwhile, and so is stored under the same keys.
    """

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store = store
        self._key = f"{progress_folder(path)}contents"
        self._readable = True
        self.versions = self._read()

    def arrival_of(self, version: Version) -> int | None:
        """Return when this content had arrived, if it was converted before."""
        found = (known for known in self.versions if _is_same(known, version))
        return next((known.arrived_at for known in found), None)

    def add(self, version: Version, arrived_at: int) -> None:
        """Note what is about to be converted."""
        is_known = any(_is_same(known, version) for known in self.versions)
        if self._readable and version.size and not is_known:
            noted = Version(version.size, version.digest, arrived_at)
            self.versions = [*self.versions, noted][-_MOST_VERSIONS:]
            self._store.put(self._key, msgspec.json.encode(self.versions))

    def _read(self) -> list[Version]:
        try:
            return msgspec.json.decode(self._store.get(self._key), type=list[Version])
        except (ObjectMissing, msgspec.DecodeError):
            return []
        except StoreRefused:  # whoever may only write
            self._readable = False
            return []


def _is_same(one: Version, other: Version) -> bool:
    return (one.size, one.digest) == (other.size, other.digest)


def _state(file: BinaryIO) -> tuple[int, int]:
    """Return a file's size and last change. Its names do not matter: logs are rotated."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _digests(
    file: BinaryIO, sizes: set[int], advance: Callable[[int], object]
) -> dict[int | None, str]:
    """Return the digests of a file's first bytes, by how many; of the whole file by None."""
    found: dict[int | None, str] = {}
    whole, done = hashlib.sha256(), 0
    for end in (*sorted(sizes), None):
        while piece := file.read(_BITE if end is None else min(_BITE, end - done)):
            whole.update(piece)
            done += len(piece)
            advance(len(piece))
        if end is None or end == done:
            found[end] = whole.hexdigest()[:_DIGITS]
    return found
