"""How a runner is doing, in numbers, for whoever watches."""

import threading
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.report import Report

Doing = Literal["waiting", "reading", "storing", "retrying", "done"]


@dataclass(slots=True)
class ShardStatus:
    """One shard. `behind` is in milliseconds, None before the first read.

    Only the shard's own worker writes here; others may read at any time. `retries` counts
    invocations after the first of a batch, `given_up` records that went to the failed batches.
    """

    shard_id: str
    doing: Doing = "waiting"
    behind: int | None = None
    records: int = 0
    size: int = 0
    documents: int = 0
    rows: int = 0
    dead_letters: int = 0
    retries: int = 0
    given_up: int = 0
    trouble: str = ""

    def add(self, report: Report) -> None:
        """Count a batch that is stored."""
        self.records += len(report.batch.records)
        self.size += report.bytes_in
        self.documents += report.total("documents")
        self.rows += report.total("rows")
        self.dead_letters += report.rejects


_SUMMED = ("records", "size", "documents", "rows", "dead_letters", "retries", "given_up")


@dataclass(slots=True)
class StreamStatus:
    """All shards: those being read, and the sum of those that are done, which are let go.

    A stream that is resharded for months has had many shards; memory holds the living.
    """

    shards: dict[str, ShardStatus] = field(default_factory=dict)
    past: ShardStatus = field(default_factory=lambda: ShardStatus("past", doing="done"))
    past_shards: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shard(self, shard_id: str) -> ShardStatus:
        """Return a shard's status, a new one for a new shard."""
        with self._lock:
            return self.shards.setdefault(shard_id, ShardStatus(shard_id))

    def let_go(self, shard_id: str) -> None:
        """Move what a shard has done to the sum of past ones."""
        with self._lock:
            status = self.shards.pop(shard_id)
            self.past_shards += 1
            for name in _SUMMED:
                setattr(self.past, name, getattr(self.past, name) + getattr(status, name))

    def living(self) -> list[ShardStatus]:
        """Return the shards being read, in the order of their ids."""
        with self._lock:
            return [self.shards[shard_id] for shard_id in sorted(self.shards)]

    def total(self, name: str) -> int:
        """Sum one of the numbers over all shards, past ones included."""
        with self._lock:
            return sum(getattr(shard, name) for shard in (self.past, *self.shards.values()))
