"""Batches in one process, as in a warm function, and how much memory they have left behind."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.telemetry import Telemetry
from pipeline.core.errors import StoreRefused
from pipeline.core.ledger import Names
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.handlers._kinesis import respond

from .drift import datasets, events

_MIB = 2**20
_LEAST_NAMES = 200  # so that they are as many as they ever are after a few batches


class Sample(NamedTuple):
    """After so many batches, so many megabytes were resident."""

    batches: int
    megabytes: float


class _Void(MemoryStore):
    """Forgets what is stored, and refuses now and then."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def put(self, key: str, body: bytes) -> None:
        del key, body
        if self._random.random() < 0.002:
            raise StoreRefused("It is full.")


class _Context:
    aws_request_id = "0"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def soak(seed: int, every: int, goes_on: Callable[[int], bool]) -> Iterator[Sample]:
    """Store batches as long as `goes_on` of their number; yield a sample of memory now and then."""
    random = Random(seed)
    void = _Void(random)
    pipeline = Pipeline(Router(datasets()), Limits(), void, void, names=Names(_LEAST_NAMES))
    telemetry = Telemetry(lambda _: None, lambda: 0.0)
    for count, event in enumerate(events(random), 1):
        respond(event, _Context(), pipeline, 1.0, telemetry)
        if count % every == 0:
            yield Sample(count, resident())
        if not goes_on(count):
            return


def resident() -> float:
    """Return the megabytes that this process has in memory, of what it still needs."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        pages = int(statistics.read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / _MIB
    # The most that it ever had, for want of better.
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


def growth(samples: list[Sample]) -> float:
    """Return by how many megabytes memory has grown from the second quarter to the last one.

    In the first quarter, what is bounded is filled.
    """
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return _mean(late) - _mean(early)


def _mean(samples: list[Sample]) -> float:
    return sum(sample.megabytes for sample in samples) / len(samples)
