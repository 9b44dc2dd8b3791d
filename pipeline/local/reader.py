"""Reads one shard, from where it is done to its end, at the pace that Kinesis allows."""

import time
from collections.abc import Callable
from typing import Final

from pipeline.adapters.aws.kinesis import MOST_RECORDS, IteratorType, Kinesis
from pipeline.core.errors import ArgumentRefused, IteratorExpired
from pipeline.core.records import StreamRecord
from pipeline.local.pace import USUAL_PACE, Pace
from pipeline.local.state import Beginning, Checkpoint

_FIRST_LIMIT: Final = 100
_WANTED_BYTES: Final = 10 * 2**20  # of one response
_HOUR: Final = 3_600_000_000

Records = tuple[StreamRecord, ...]
Start = tuple[IteratorType, float | None]
"""Where a shard is read from that has no checkpoint; a time is in seconds since 1970."""

FROM_OLDEST: Final[Start] = ("TRIM_HORIZON", None)
FROM_NOW: Final[Start] = ("LATEST", None)


def start_of(beginning: Beginning) -> Start:
    """Return where shards are read from that have no checkpoint."""
    if beginning.arrived_at is None:
        return FROM_OLDEST
    return "AT_TIMESTAMP", beginning.arrived_at / 1_000_000


class ShardReader:
    """Reads on after a checkpoint, or from `start`. Times are microseconds since 1970, UTC.

    `ended`: the shard is closed, and everything of it was read. `at_tip`: at the last response,
    there was nothing more. `behind` is in milliseconds, None before the first response.
    `notify` is called with a sentence where records may have expired unread. Of a shard that is
    younger than the time to read from, that is its oldest record.
    """

    def __init__(
        self,
        kinesis: Kinesis,
        checkpoint: Checkpoint,
        retention_hours: int,
        notify: Callable[[str], object],
        now: Callable[[], int],
        pace: Pace = USUAL_PACE,
        start: Start = FROM_OLDEST,
    ) -> None:
        self.ended = False
        self.at_tip = False
        self.behind: int | None = None
        self._kinesis = kinesis
        self._shard_id = checkpoint.shard_id
        self._after = checkpoint.sequence_number
        self._retention = retention_hours * _HOUR
        # All that arrived before this was seen.
        self._complete_until = checkpoint.arrived_at
        self._notify = notify
        self._now = now
        self._pace = pace
        self._start = start
        self._iterator: str | None = None
        self._limit = _FIRST_LIMIT
        self._not_before = 0.0

    @property
    def delay(self) -> float:
        """Seconds to wait before the next `read`."""
        return max(0.0, self._not_before - time.monotonic())

    @property
    def complete_until(self) -> int | None:
        """All that arrived before this was seen; None before the first record, or tip."""
        return self._complete_until

    def read(self) -> Records:
        """Return what comes next, which may be nothing. Raises `StreamError`; then read again."""
        self._wait(self._pace.read_interval)
        if self._iterator is None:
            self._iterator = self._new_iterator()
        try:
            received = self._kinesis.get_records(self._iterator, self._limit)
        except IteratorExpired:
            self._iterator = None
            return ()
        except ArgumentRefused:
            # An iterator that the service no longer knows, as after its restart.
            self._iterator = None
            raise
        self._iterator = received.next_iterator
        self.ended = received.next_iterator is None
        self.behind = received.behind
        self._note(received.records)
        return received.records

    def _new_iterator(self) -> str:
        if self._after is None:
            began = self._now() / 1e6
            iterator = self._kinesis.get_shard_iterator(self._shard_id, *self._start)
            if self._start == FROM_NOW:
                # Should this iterator be lost, nothing that comes meanwhile is.
                self._start = ("AT_TIMESTAMP", began)
            return iterator
        try:
            return self._kinesis.get_shard_iterator(
                self._shard_id, "AFTER_SEQUENCE_NUMBER", self._after
            )
        except ArgumentRefused as error:
            self._notify(
                f"{self._shard_id} cannot be read on after {self._after}: {error} It is read from "
                "its oldest record on; records between the two have expired unread, and it is "
                "unknown how many."
            )
            self._after = self._complete_until = None
            return self._kinesis.get_shard_iterator(self._shard_id, "TRIM_HORIZON")

    def _note(self, records: Records) -> None:
        """Take note of how far the shard was read, and when."""
        # Not every service reports truthfully how far behind a reader is: a full response is not
        # one of the tip.
        self.at_tip = self.behind == 0 and len(records) < self._limit
        if records:
            self._check_expiry()
            self._after = records[-1].sequence_number
            self._complete_until = records[-1].arrived_at
            self._fit_limit(records)
        if self.at_tip:
            self._complete_until = self._now()
            self._wait(self._pace.tip_interval)

    def _check_expiry(self) -> None:
        """Say so where the stream let go of what nobody had read."""
        if self._complete_until is None or self._complete_until >= self._now() - self._retention:
            return
        self._notify(
            f"{self._shard_id}: what arrived after record {self._after} and more than "
            f"{self._retention // _HOUR} hours ago, the stream's retention, has expired; if there "
            "was anything, it was not read, and it is unknown how much."
        )

    def _fit_limit(self, records: Records) -> None:
        """Ask for about 10 MB: Kinesis returns no more, but not every service keeps to that."""
        average = sum(len(record.data) for record in records) // len(records) + 1
        wanted = min(_WANTED_BYTES // average, 2 * self._limit, MOST_RECORDS)
        self._limit = max(1, wanted)

    def _wait(self, seconds: float) -> None:
        """Let the next read wait."""
        self._not_before = time.monotonic() + seconds
