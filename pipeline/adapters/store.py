"""What every object store promises: its operations, its errors, its keys.

An object store holds whole objects under keys. The pipeline asks little of it, and every store
keeps the same promises, which `tests/adapters/test_stores.py` checks for each:

* `put` is whole or absent, overwrites, and has stored the object when it returns;
* `list` yields keys in the order of their UTF-8 bytes;
* `delete` of a key that is not there is fine, `get` of one raises `ObjectMissing`;
* every error is a `StoreError` whose text is one sentence: what happened, where, what to do.

The stores are in `memory`, `directory` and `aws.s3`; `uri` opens them by their URIs, `retry` has
the one that tries again, `writer` writes to any of them from several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from pipeline.core.errors import KeyRefused

LONGEST_KEY: Final = 1024
"""Bytes of UTF-8 that S3 allows a key; the other stores keep the same limit."""

_LONGEST_QUOTE: Final = 200
"""Characters of a refused key that its message shows."""


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
    if fault is not None:
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
