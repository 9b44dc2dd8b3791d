"""Where a value of a flattened column comes from in its document, as a JSON path."""

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from pipeline.core.records import Violation

_Item = TypeVar("_Item")
_plain = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def path_segment(key: str) -> str:
    """Return the path segment of an object's key: `.total`, or `["@stream"]`."""
    # A producer's keys may be as long as documents: those are not kept.
    return _kept_path_segment(key) if len(key) <= _KEPT else _path_segment(key)


def path_segments(keys: Sequence[str]) -> str:
    """Return the path segments of the keys that lead to a member."""
    return "".join(map(path_segment, keys))


def _path_segment(key: str) -> str:
    return f".{key}" if _plain.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


_KEPT = 128  # characters
_kept_path_segment = lru_cache(maxsize=4_096)(_path_segment)


class LazySequence(Sequence[_Item]):
    """A sequence that is made when it is first read: violations are rare, and paths are long."""

    def __init__(self, make: Callable[[], Sequence[_Item]]) -> None:
        self._make = make
        self._items: Sequence[_Item] | None = None

    def __getitem__(self, index: Any) -> Any:
        if self._items is None:
            self._items = self._make()
        return self._items[index]

    def __len__(self) -> int:
        return len(self[:])


class ValuePath(msgspec.Struct, frozen=True):
    """Leads from the values of one (nested, flattened) column back to documents.

    `parents` gives each value's index in the column above; `segments` its own piece of the
    path, one for all or one each. The outermost column has neither: value i is document i's.
    """

    above: "ValuePath | None" = None
    parents: Sequence[int] = ()
    segments: str | Sequence[str] = ""

    def row(self, index: int) -> int:
        """Row number of the document that value `index` belongs to."""
        return index if self.above is None else self.above.row(self.parents[index])

    def path(self, index: int) -> str:
        """JSON path of value `index` in its document."""
        if self.above is None:
            return "$"
        own = self.segments if isinstance(self.segments, str) else self.segments[index]
        return self.above.path(self.parents[index]) + own


class Violations(msgspec.Struct, frozen=True):
    """The first violation found in each row."""

    by_row: dict[int, Violation] = msgspec.field(default_factory=dict)

    def add(self, row: int, violation: Violation) -> None:
        """Note a violation; a row keeps its first."""
        self.by_row.setdefault(row, violation)
