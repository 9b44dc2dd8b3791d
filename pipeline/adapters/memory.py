"""The object store that is a dict."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pipeline.adapters.store import LONGEST_KEY, check_key, key_order
from pipeline.core.errors import ObjectMissing


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
        keys = [key for key in self.objects.copy() if key.startswith(prefix)]
        yield from sorted(keys, key=key_order)

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one."""
        self.objects.pop(key, None)
