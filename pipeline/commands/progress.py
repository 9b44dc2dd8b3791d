"""Progress on stderr: a bar on a terminal, else a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.commands.terminal import stderr_terminal

_EVERY = 5.0  # seconds between lines where there is no terminal


@contextmanager
def progress(name: str, total: int | None, unit: str = "bytes") -> Iterator[Callable[[int], None]]:
    """Show how much of `total` (None: unknown) is done; yields a function to add to it."""
    console = stderr_terminal()
    if console is None:
        yield _Lines(name, total, unit).advance
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    in_bytes = (DownloadColumn(), TransferSpeedColumn())
    measure = in_bytes if unit == "bytes" else (MofNCompleteColumn(), TextColumn(unit))
    columns = (TextColumn("{task.description}"), BarColumn(), *measure, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda size: bar.advance(task, size)


class _Lines:
    """Progress for a log: nothing for short work, then a line every few seconds."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self.unit = "MB" if unit == "bytes" else unit
        self.per = 1e6 if unit == "bytes" else 1.0
        self.name = name
        self.total = total
        self.done = 0
        self.next = time.monotonic() + _EVERY

    def advance(self, size: int) -> None:
        self.done += size
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + _EVERY
            share = f" ({self.done / self.total:.0%})" if self.total else ""
            done = f"{self.done / self.per:,.0f} {self.unit}{share}"
            print(f"{self.name}: {done}", file=sys.stderr, flush=True)
