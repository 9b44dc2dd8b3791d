"""Ours, document by document: what the columnar path is held against."""

from collections.abc import Callable
from typing import Any

from benchmarks.corpora import CORPORA
from benchmarks.peers.ours import handler


def prepare(event: Any) -> Callable[[], list[bytes]]:
    return handler(tuple(dataset.by_rows() for dataset in CORPORA["typical"].datasets()), event)
