"""Ours: the handler."""

from collections.abc import Callable
from typing import Any

from benchmarks.corpora import CORPORA
from pipeline.core.dataset import Dataset
from pipeline.measure.invocation import invoke, make_pipeline


def prepare(event: Any) -> Callable[[], list[bytes]]:
    return handler(CORPORA["typical"].datasets(), event)


def handler(datasets: tuple[Dataset, ...], event: Any) -> Callable[[], list[bytes]]:
    """Return a function that invokes the handler, and returns the objects it stored."""
    system = make_pipeline(datasets)

    def run() -> list[bytes]:
        assert not invoke(event, system).rejects
        return list(system.output.objects.values())  # type: ignore[attr-defined]  # it is in memory

    return run
