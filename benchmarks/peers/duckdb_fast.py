"""duckdb, with a deaggregator as fast as ours: see benchmarks/floor.py."""

from collections.abc import Callable
from typing import Any

from benchmarks import floor
from benchmarks.peers import with_duckdb


def prepare(event: Any) -> Callable[[], list[bytes]]:
    return with_duckdb.prepare(event, floor.documents)
