"""Runs that take turns on one core, and their median and spread."""

import gc
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("pyarrow", "msgspec", "fastavro", "pybase64", "protobuf")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of several measurements, all in one unit."""

    median: float
    least: float
    most: float

    @classmethod
    def from_values(cls, values: Sequence[float]) -> "Spread":
        """Sum up at least one measurement."""
        return cls(statistics.median(values), min(values), max(values))


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, those that it starts, and Arrow if it is loaded, on one core.

    So is a Lambda of 1,769 MB.
    """
    arrow = sys.modules.get("pyarrow")
    before = (arrow.cpu_count(), arrow.io_thread_count()) if arrow else (1, 1)
    _arrow_threads(arrow, (1, 1))
    try:
        with _pinned():
            yield
    finally:
        _arrow_threads(arrow, before)


def _arrow_threads(arrow: Any, counts: tuple[int, int]) -> None:
    if arrow:
        arrow.set_cpu_count(counts[0])
        arrow.set_io_thread_count(counts[1])


@contextmanager
def _pinned() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield  # macOS: nothing of ours is parallel there either
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def interleaved(
    cases: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.process_time,
    advance: Callable[[int], object] = lambda _: None,
) -> dict[str, Spread]:
    """Run every case once to warm up, then in turns, `rounds` times each; returns seconds.

    Taking turns, all meet the same machine. The default clock is the processor time of the
    process, which neighbours on the machine disturb least; a case that waits needs
    `time.perf_counter`. `advance` is called after each run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for run in cases.values():
        run()
        advance(1)
    with _without_old_garbage():
        for _ in range(rounds):
            for name, run in cases.items():
                start = clock()
                run()
                seconds[name].append(clock() - start)
                advance(1)
    return {name: Spread.from_values(values) for name, values in seconds.items()}


@contextmanager
def _without_old_garbage() -> Iterator[None]:
    """Hide existing objects from the garbage collector: the events of all other cases, for one.

    A Lambda holds one event. To look through the others' again and again would be charged to
    whichever case makes the collector run.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def peak_memory() -> int:
    """Return the most memory that this process ever had resident, in bytes."""
    with suppress(OSError):
        # Not what getrusage says: on Linux a program inherits that from the one that started it.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1_024
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine() -> str:
    """Name the machine, as far as a measurement depends on it."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"


def versions(names: Sequence[str] = _LIBRARIES) -> str:
    """Name the versions of Python and of the libraries that do the work."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    )


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
