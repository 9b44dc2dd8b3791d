"""`[match]`: which documents of a stream are a dataset's, by one member of them."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Match(msgspec.Struct, frozen=True):
    """Which documents are this dataset's: those whose member at `key` equals `value`.

    A tuple is a path of keys. A text is a key of the document itself; where the document does not
    have it and the text has dots, it is a path, too: `metadata.table-name`.
    """

    key: str | tuple[str, ...]
    value: str | int | bool

    @property
    def name(self) -> str:
        """The key as a person would say it."""
        return self.key if isinstance(self.key, str) else ".".join(self.key)

    @property
    def path(self) -> tuple[str, ...]:
        """The path of keys, where it is one; of one key where it can be no other."""
        if isinstance(self.key, tuple):
            return self.key
        parts = tuple(self.key.split("."))
        return parts if all(parts) else (self.key,)

    def find(self, document: Mapping[str, Any]) -> Any:
        """Return the member of a document that was read; None if it is absent."""
        if isinstance(self.key, str) and self.key in document:
            return document[self.key]
        value: Any = document
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def put(self, document: dict[str, Any]) -> None:
        """Make a document one of this dataset."""
        if isinstance(self.key, str) and (self.key in document or len(self.path) == 1):
            document[self.key] = self.value
            return
        *above, last = self.path
        for key in above:
            if not isinstance(document.get(key), dict):
                document[key] = {}
            document = document[key]
        document[last] = self.value
