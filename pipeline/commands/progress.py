"""Progress on stderr: a bar where there is a terminal and rich, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY = 5.0  # seconds between lines where there is no terminal


@contextmanager
def progress(what: str, total: int | None, unit: str = "bytes") -> Iterator[Callable[[int], None]]:
    """Show how much of `total` (None: nobody knows) is done; yields what is told of more."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        yield _Lines(what, total, unit).advance
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what, total, unit).advance
        return
    of_bytes = (DownloadColumn(), TransferSpeedColumn())
    measure = of_bytes if unit == "bytes" else (MofNCompleteColumn(), TextColumn(unit))
    columns = (TextColumn("{task.description}"), BarColumn(), *measure, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda size: bar.advance(task, size)


class _Lines:
    """Progress for a log: nothing for short work, then a line every few seconds."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.unit = "MB" if unit == "bytes" else unit
        self.per = 1e6 if unit == "bytes" else 1.0
        self.what = what
        self.total = total
        self.done = 0
        self.next = time.monotonic() + _EVERY

    def advance(self, size: int) -> None:
        self.done += size
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + _EVERY
            share = f" ({self.done / self.total:.0%})" if self.total else ""
            done = f"{self.done / self.per:,.0f} {self.unit}{share}"
            print(f"{self.what}: {done}", file=sys.stderr, flush=True)
