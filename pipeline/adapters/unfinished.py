"""What this process has stored of batches that it did not finish."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from pipeline.core.records import Batch

Stored = Mapping[tuple[str, str], int]
"""Acknowledged objects, by URI of the store and key, with their sizes in bytes."""

_MOST_BATCHES: Final = 8


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
        # By source, first and last sequence number, with all sequence numbers.
        self._batches: OrderedDict[tuple[str, ...], tuple[tuple[str, ...], Stored]] = OrderedDict()

    def stored(self, batch: Batch) -> Stored:
        """Return what is stored of exactly this batch."""
        with self._lock:
            records, stored = self._batches.get(_name(batch), ((), {}))
            return stored if records == _records(batch) else {}

    def remember(self, batch: Batch, stored: Stored) -> None:
        """Note what has been acknowledged of a batch that failed."""
        with self._lock:
            self._batches.pop(_name(batch), None)
            if stored:
                self._batches[_name(batch)] = (_records(batch), stored)
            while len(self._batches) > _MOST_BATCHES:
                self._batches.popitem(last=False)

    def forget(self, batch: Batch) -> None:
        """Note that a batch is done, or that its objects may have been replaced."""
        with self._lock:
            self._batches.pop(_name(batch), None)


def _name(batch: Batch) -> tuple[str, ...]:
    return batch.source, batch.key_stem or "", batch.first, batch.last


def _records(batch: Batch) -> tuple[str, ...]:
    return tuple(record.sequence_number for record in batch.records)
