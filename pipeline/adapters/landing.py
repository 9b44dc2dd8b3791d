"""Landing objects by version: what was read is what is deleted, or nothing is.

A batch that comes again writes the same key again, at any time. So whoever deletes an object after
its rows were committed has to delete the version that was read, and leave a newer one alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from pipeline.adapters.directory import DirectoryStore, translate_errors
from pipeline.adapters.memory import MemoryStore


class Version(msgspec.Struct, frozen=True):
    """One version of an object: another body under the same key has another tag.

    `size` is in bytes, `modified` in seconds since 1970.
    """

    key: str
    tag: str
    size: int
    modified: float


class Landing(Protocol):
    """A store whose objects are read and deleted by version. Safe to use from several threads."""

    uri: str

    def versions(self, prefix: str) -> Iterator[Version]:
        """Yield the objects whose keys start with `prefix`, as they are now."""
        ...

    def read(self, version: Version) -> bytes | None:
        """Return the object's bytes; None if that version is not there any more."""
        ...

    def remove(self, version: Version) -> bool:
        """Delete that version alone; return whether it was there."""
        ...


class DirectoryLanding:
    """The files of a directory. A version is known by what the file system says of its file."""

    def __init__(self, store: DirectoryStore, root: Path) -> None:
        """Read what `store` writes under `root`."""
        self.uri = store.uri
        self._store = store
        self._root = root

    def versions(self, prefix: str) -> Iterator[Version]:
        """Yield the files, those left out that are gone by now."""
        for key in self._store.list(prefix):
            with contextlib.suppress(FileNotFoundError), translate_errors("read", self.uri, key):
                yield _version(key, (self._root / key).stat())

    def read(self, version: Version) -> bytes | None:
        """Return the file's bytes, if it is that one."""
        with translate_errors("read", self.uri, version.key):
            try:
                with (self._root / version.key).open("rb") as file:
                    if _version(version.key, os.fstat(file.fileno())) != version:
                        return None
                    return file.read()
            except FileNotFoundError:
                return None

    def remove(self, version: Version) -> bool:
        """Move the file aside, and delete it if it is that one; else put it back."""
        path = self._root / version.key
        aside = path.with_name(f".{os.urandom(8).hex()}.partial")
        with translate_errors("delete", self.uri, version.key):
            try:
                # One that is another already is left where it is: moved aside, it could be lost.
                if _version(version.key, path.stat()) != version:
                    return False
                path.rename(aside)
            except FileNotFoundError:
                return False
            is_it = _version(version.key, aside.stat()) == version
            if not is_it:
                # Not by a rename: one that came in its place meanwhile is newer still.
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(aside)
            aside.unlink()
        return is_it


def _version(key: str, status: os.stat_result) -> Version:
    tag = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
    return Version(key, tag, status.st_size, status.st_mtime)


class MemoryLanding:
    """The objects of a store in memory, whose versions are known by their bytes."""

    def __init__(self, store: MemoryStore) -> None:
        """Read what is written into `store`."""
        self.uri = store.uri
        self._store = store

    def versions(self, prefix: str) -> Iterator[Version]:
        """Yield the objects."""
        for key in self._store.list(prefix):
            body = self._store.objects.get(key)
            if body is not None:
                yield Version(key, _tag(body), len(body), 0.0)

    def read(self, version: Version) -> bytes | None:
        """Return the bytes."""
        body = self._store.objects.get(version.key)
        return body if body is not None and _tag(body) == version.tag else None

    def remove(self, version: Version) -> bool:
        """Delete the object."""
        if self.read(version) is None:
            return False
        self._store.delete(version.key)
        return True


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
