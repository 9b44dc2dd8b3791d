"""What this process has stored of batches that it did not finish."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline.adapters.store import ObjectStore
from pipeline.core.records import Batch

Stored = Mapping[tuple[str, str], int]
"""Acknowledged objects, by URI of the store and key, with their sizes in bytes."""

Stores = tuple[ObjectStore, ObjectStore]
"""Of the rows, and of the dead letters."""

_MOST_BATCHES: Final = 8
_MOST_OBJECTS: Final = 40_000  # of all of them together, some 10 MB of keys


class _Unfinished(NamedTuple):
    """What is stored of a batch: its sequence numbers, where, and which objects."""

    records: tuple[str, ...]
    stores: Stores
    stored: Stored


class Unfinished:
    """Remembers what was acknowledged of batches that failed, for when they come again.

    The same batch has the same keys and bytes, so what this process has stored of it does not have
    to be encoded and stored again. A single stream record that is too much for one invocation, and
    that Lambda cannot halve, is so stored over several. Nothing depends on it: a process that
    remembers nothing stores everything. Safe to use from several threads.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        # By source, first and last sequence number.
        self._batches: OrderedDict[tuple[str, ...], _Unfinished] = OrderedDict()

    def stored(self, batch: Batch, stores: Stores) -> Stored:
        """Return what is stored of exactly this batch in these very stores."""
        with self._lock:
            found = self._batches.get(_name(batch))
        if found is None or found.records != _records(batch):
            return {}
        same = all(one is other for one, other in zip(found.stores, stores, strict=True))
        return found.stored if same else {}

    def remember(self, batch: Batch, stores: Stores, stored: Stored) -> None:
        """Note what has been acknowledged of a batch that failed."""
        if stored:
            with self._lock:
                self._batches[_name(batch)] = _Unfinished(_records(batch), stores, stored)
                self._batches.move_to_end(_name(batch))
                while self._are_too_many():
                    self._batches.popitem(last=False)

    def _are_too_many(self) -> bool:
        """Tell whether the oldest batch has to go. The last one stays, or it would never end."""
        objects = sum(len(batch.stored) for batch in self._batches.values())
        return len(self._batches) > _MOST_BATCHES or (
            len(self._batches) > 1 and objects > _MOST_OBJECTS
        )

    def forget(self, batch: Batch) -> None:
        """Note that a batch is done, or that its objects may have been replaced."""
        with self._lock:
            self._batches.pop(_name(batch), None)


def _name(batch: Batch) -> tuple[str, ...]:
    return batch.source, batch.replayed or "", batch.first, batch.last


def _records(batch: Batch) -> tuple[str, ...]:
    return tuple(record.sequence_number for record in batch.records)
