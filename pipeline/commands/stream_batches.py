"""Batches out of a stream, for commands that look at it and store nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.core.records import Batch

if TYPE_CHECKING:
    from pipeline.adapters.aws.kinesis import Kinesis, Shard
    from pipeline.local.reader import Records, ShardReader, Start

_Answer = TypeVar("_Answer")

_PATIENCE: Final = 60.0  # seconds that a stream may not answer, while a command has an end
_LONGEST_WAIT: Final = 1.0  # seconds at once


class StreamBatches:
    """Yields what is on a stream, a read of one shard at a time, each shard in its order.

    Without `follow`, up to what was there when it was begun; with it, for ever. A shard is begun
    when its parents, as far as they are still listed, were read to their end. `notify` is called
    with sentences for the operator. Raises `StreamError`, as soon as it is made where there is no
    such stream.
    """

    def __init__(
        self,
        kinesis: "Kinesis",
        start: "Start",
        notify: Callable[[str], object],
        *,
        follow: bool = False,
    ) -> None:
        self._kinesis = kinesis
        self._notify = notify
        self._follow = follow
        self._begun_at = _now()
        self._summary = patiently(kinesis.describe_stream_summary)
        self._readers: dict[str, ShardReader] = {}
        self._begun = set[str]()
        self._ended = set[str]()
        self._begin(start)

    @property
    def source(self) -> str:
        """The stream's ARN."""
        return self._summary.arn

    def __iter__(self) -> Iterator[Batch | None]:
        """Yield batches, and None where there is nothing more for a moment."""
        while self._readers:
            shard_id, reader = min(self._readers.items(), key=lambda item: item[1].delay)
            if reader.delay > 0:
                yield None
                time.sleep(min(reader.delay, _LONGEST_WAIT))
                continue
            records = self._read(shard_id, reader)
            if records:
                yield Batch(f"{self.source}/{shard_id}", shard_id, records)
            if reader.ended or self._is_over(reader):
                del self._readers[shard_id]
                self._ended.add(shard_id)
                self._begin_ready()

    def _read(self, shard_id: str, reader: "ShardReader") -> "Records":
        if self._follow:
            return _persistently(reader.read, shard_id, self._notify)
        return patiently(reader.read)

    def _is_over(self, reader: "ShardReader") -> bool:
        """Tell whether a shard was read as far as it is wanted."""
        if self._follow:
            return False
        return reader.at_tip or (reader.complete_until or 0) > self._begun_at

    def _begin(self, start: "Start") -> None:
        """Begin with what is there now; what comes of it later is read from its beginning."""
        from pipeline.local.reader import FROM_NOW, FROM_OLDEST

        if start == FROM_NOW:
            # Nothing more comes to what is closed, and what is there already is not wanted.
            self._ended |= {shard.shard_id for shard in self._shards() if shard.closed}
            self._begun |= self._ended
        self._start = start
        self._begin_ready()
        self._start = FROM_OLDEST if start == FROM_NOW else start

    def _begin_ready(self) -> None:
        """Begin the shards that are not begun yet, and whose parents are done."""
        from pipeline.local.reader import ShardReader
        from pipeline.local.state import Checkpoint

        shards = self._shards()
        unread = {shard.shard_id for shard in shards} - self._ended
        for shard in shards:
            if shard.shard_id in self._begun or not unread.isdisjoint(shard.parents):
                continue
            self._begun.add(shard.shard_id)
            self._readers[shard.shard_id] = ShardReader(
                self._kinesis,
                Checkpoint(self.source, shard.shard_id),
                self._summary.retention,
                self._notify,
                _now,
                start=self._start,
            )

    def _shards(self) -> "list[Shard]":
        return patiently(self._kinesis.list_shards)


def _now() -> int:
    return time.time_ns() // 1_000


def patiently(call: Callable[[], _Answer]) -> _Answer:
    """Call a stream, and again for a while where it does not answer."""
    from pipeline.core.errors import StreamUnavailable

    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return call()
        except StreamUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(1.0)


def _persistently(
    call: Callable[[], _Answer], name: str, notify: Callable[[str], object]
) -> _Answer:
    """Call a stream until it answers, and say now and then that it does not."""
    from pipeline.core.errors import StreamUnavailable
    from pipeline.local import FailureBackoff

    backoff = FailureBackoff(name, notify, threading.Event())
    while True:
        try:
            return call()
        except StreamUnavailable as error:
            backoff.pause_after(error)
