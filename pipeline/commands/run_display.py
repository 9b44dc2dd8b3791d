"""What `pipeline run` shows on stderr: a table of shards where there is a terminal, else lines."""

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.commands.terminal import stderr_terminal

if TYPE_CHECKING:
    from rich.live import Live

    from pipeline.local import ShardStatus, StreamStatus

_EVERY: Final = 30.0  # seconds between lines where there is no terminal
_RATE_OVER: Final = 10.0  # seconds; a rate is the mean over them
_MOST_SHOWN: Final = 30  # shards; those furthest behind
_COLUMNS: Final = ("shard", "", "behind", "rows/s", "rows", "dead letters", "given up", "trouble")


class Screen(Protocol):
    """What an operator looks at."""

    def notify(self, sentence: str) -> None:
        """Show one sentence; may be called from any thread."""
        ...

    def show(self, status: "StreamStatus") -> None:
        """Show the numbers, if it is time to."""
        ...


@contextmanager
def display() -> Iterator[Screen]:
    """Yield a screen for as long as the block runs."""
    console = stderr_terminal()
    if console is None:
        yield _Lines()
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, redirect_stderr=False) as live:
        yield _Table(live)


class _Rates:
    """Rows a second of each shard, over the last few seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def update(self, shards: list["ShardStatus"]) -> dict[str, float]:
        """Take note of the rows so far; return each shard's rate, by its ID."""
        now = time.monotonic()
        self._seen = {shard.shard_id: self._seen.get(shard.shard_id, deque()) for shard in shards}
        rates = {}
        for shard in shards:
            seen = self._seen[shard.shard_id]
            seen.append((now, shard.rows))
            while seen[0][0] < now - _RATE_OVER:
                seen.popleft()
            seconds = now - seen[0][0]
            rates[shard.shard_id] = (shard.rows - seen[0][1]) / seconds if seconds else 0.0
        return rates


class _Table:
    """A table that is redrawn in its place."""

    def __init__(self, live: "Live") -> None:
        self._live = live
        self._rates = _Rates()

    def notify(self, sentence: str) -> None:
        self._live.console.print(f"pipeline: {sentence}", markup=False)

    def show(self, status: "StreamStatus") -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in _COLUMNS:
            left = name in {"shard", "", "trouble"}
            table.add_column(name, justify="left" if left else "right", no_wrap=name != "trouble")
        shards = status.living()
        rates = self._rates.update(shards)
        shown = sorted(shards, key=_most_behind_first)[:_MOST_SHOWN]
        for shard in sorted(shown, key=lambda shard: shard.shard_id):
            table.add_row(*map(Text, _cells(shard, rates[shard.shard_id])))
        table.add_section()
        table.add_row(*map(Text, _sum(status, sum(rates.values()), len(shards))))
        self._live.update(table, refresh=True)


class _Lines:
    """A line every half minute, for a log, and one for each shard in trouble."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _EVERY
        self._rates = _Rates()
        self._lock = threading.Lock()

    def notify(self, sentence: str) -> None:
        # What cannot be told, as on a full disk, is dropped: rows matter more.
        with self._lock, suppress(OSError):
            print(f"pipeline: {sentence}", file=sys.stderr, flush=True)

    def show(self, status: "StreamStatus") -> None:
        shards = status.living()
        rate = sum(self._rates.update(shards).values())
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        names, cells = _COLUMNS[2:-1], _sum(status, rate, len(shards))[2:-1]
        numbers = (f"{cell} {name}" for cell, name in zip(cells, names, strict=True))
        self.notify(f"{len(shards)} shards, {', '.join(numbers)}")
        for shard in shards:
            if shard.trouble:
                self.notify(f"{shard.shard_id}: {shard.trouble}")


def _cells(shard: "ShardStatus", rate: float) -> tuple[str, ...]:
    numbers = (shard.rows, shard.dead_letters, shard.given_up)
    behind = _duration(shard.behind)
    return (
        *(shard.shard_id, shard.doing, behind, f"{rate:,.0f}"),
        *(f"{number:,}" for number in numbers),
        shard.trouble,
    )


def _sum(status: "StreamStatus", rate: float, living: int) -> tuple[str, ...]:
    behind = max((shard.behind or 0 for shard in status.living()), default=0)
    numbers = (status.total(name) for name in ("rows", "dead_letters", "given_up"))
    return (
        f"{living} shards, {status.past_shards} drained",
        *("", _duration(behind), f"{rate:,.0f}"),
        *(f"{number:,}" for number in numbers),
        "",
    )


def _most_behind_first(shard: "ShardStatus") -> tuple[bool, int]:
    return not shard.trouble, -(shard.behind or 0)


def _duration(milliseconds: int | None) -> str:
    """Format a lag in a unit that suits it."""
    if milliseconds is None:
        return "?"
    seconds = milliseconds / 1_000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
