"""What every object store promises: its operations, its errors, its keys.

An object store holds whole objects under keys. The pipeline asks little of it, and every store
keeps the same promises, which `tests/test_stores.py` checks for each:

* `put` is whole or absent, overwrites, and has stored the object when it returns;
* `list` yields keys in the order of their UTF-8 bytes;
* `delete` of a key that is not there is fine, `get` of one raises `ObjectMissing`;
* every error is a `StoreError` whose text is one sentence: what happened, where, what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

LONGEST_KEY: Final = 1024
"""Bytes of UTF-8 that S3 allows a key; the other stores keep the same bound."""

_LONGEST_QUOTE: Final = 200
"""Characters of a refused key that its message shows."""


class StoreError(Exception):
    """Something a store could not do. Its text is one sentence for an operator."""


class StoreUnavailable(StoreError):
    """The store failed for now (throttling, server error, time-out, lost connection): retry."""


class StoreRefused(StoreError):
    """The store will not do it until someone changes something: a retry does not help."""


class KeyRefused(StoreRefused, ValueError):
    """The key is none that every store could hold, or one that would leave the store's root."""


class UriRefused(StoreRefused, ValueError):
    """The URI names no store."""


class ObjectMissing(StoreError):
    """There is no object under the key that was asked for."""

    @classmethod
    def at(cls, *where: str) -> ObjectMissing:
        """Build the error for an object from its URI, or the store's URI and the key."""
        return cls(f"There is no object {'/'.join(where)}; list the store to see what it holds.")


class ObjectChanged(ObjectMissing):
    """The version of the object that was asked for is there no more: another took its place."""

    @classmethod
    def at(cls, *where: str) -> ObjectChanged:
        """Build the error for an object from its URI, or the store's URI and the key."""
        return cls(
            f"The object {'/'.join(where)} was overwritten meanwhile; what was asked for is kept "
            "only in a bucket with versions."
        )


class DeadlineExceeded(Exception):
    """Time ran out although no store reported an error.

    Not a `StoreError`: the batch is too much for the time it has. The handler lets it pass, so
    that Lambda bisects the batch instead of delivering the same one again.
    """


class ObjectStore(Protocol):
    """What the pipeline needs of a place that keeps objects. Safe to use from several threads."""

    uri: str
    """Where the store is, for messages: `s3://bucket/prefix`, `file:///dir`, `memory://name`."""

    longest_key: int
    """Bytes of UTF-8 that a key relative to this store may have."""

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`, whole or not at all, in place of what was there."""
        ...

    def get(self, key: str) -> bytes:
        """Return the object under `key`; raise `ObjectMissing` if there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` (any string), sorted by their UTF-8 bytes."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one."""
        ...


def key_order(key: str) -> bytes:
    """Return what keys are sorted by. File names that are not UTF-8 sort by their bytes, too."""
    return key.encode("utf-8", "surrogateescape")


def check_key(key: str, longest: int, uri: str) -> None:
    """Raise `KeyRefused` unless `key` is a relative path of plain segments.

    One rule for all stores, so that what was tested on a directory holds on S3: segments are
    joined by one `/`, and none is empty, `.` or `..`. `longest` is in bytes of UTF-8.
    """
    fault = _key_fault(key, longest)
    if fault:
        shown = key if len(key) <= _LONGEST_QUOTE else key[:_LONGEST_QUOTE] + "…"
        message = f"The key {shown!r} cannot be used in {uri}: {fault}."
        raise KeyRefused(message)


def _key_fault(key: str, longest: int) -> str | None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode; use text that UTF-8 can encode"
    if size > longest:
        return f"it has {size:,} bytes; shorten it to {longest:,}"
    if "\0" in key:
        return "it contains a NUL; remove it"
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        return 'a part between its slashes is empty, "." or ".."; use a plain relative path'
    return None
