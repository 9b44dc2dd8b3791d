"""What the page shows of a run: counted from the reports of stored batches."""

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.core.dataset import UNROUTED
from pipeline.core.reasons import MEANINGS, Reason
from pipeline.core.records import Batch, StreamRecord
from pipeline.core.report import Refused, Report, Tally
from pipeline.flow import Pipeline
from pipeline.local.status import ShardStatus, StreamStatus

_HISTORY: Final = 120  # seconds
_MOST_KINDS: Final = 200  # of dead letters; the rest are counted together
_MOST_HELD: Final = 64 * 2**20  # bytes of stream records whose samples nobody has looked at
_MOST_SHARDS: Final = 100
_MOST_NOTICES: Final = 20


class Kind(msgspec.Struct):
    """Dead letters of one dataset, reason and field: how many, and where the first one is.

    `record` is held until somebody looks at the sample in it.
    """

    number: int
    dataset: str
    reason: str
    path: str
    count: int
    first: Refused
    source: str
    record: StreamRecord | None = None

    @property
    def batch(self) -> Batch | None:
        """The stream record of the first one, as a batch of its own."""
        if self.record is None:
            return None
        return Batch(self.source, self.source.rpartition("/")[2], (self.record,))


class Board:
    """The numbers of a run. Safe to use from several threads."""

    def __init__(
        self,
        title: str,
        pipeline: Pipeline,
        schemas: Path,
        *,
        notify: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Begin with no numbers. `notify` is told, too, what the operator is to know."""
        self.pipeline = pipeline
        self.schemas = schemas
        self.status = StreamStatus()
        """How the shards are; of a runner, its own."""
        self.ended = False
        self._title = title
        self._notify = notify
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._totals = dict.fromkeys(("batches", "records", "bytes", "bytes_out", "objects"), 0)
        self._datasets: dict[str, Tally] = {}
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._other_kinds = 0
        self._held = 0
        self._history: deque[list[int]] = deque(maxlen=_HISTORY)
        self._notices: deque[str] = deque(maxlen=_MOST_NOTICES)

    def add(self, report: Report) -> None:
        """Count a batch that is stored."""
        with self._lock:
            totals = self._totals
            totals["batches"] += 1
            totals["records"] += len(report.batch.records)
            totals["bytes"] += report.bytes_in
            totals["bytes_out"] += report.total("bytes_out")
            totals["objects"] += report.total("objects")
            for name, tally in report.datasets.items():
                self._add_tally(name, tally)
            for refused in report.refused.values():
                self._add_kind(refused, report)
            self._add_to_history(report)

    def notify(self, sentence: str) -> None:
        """Show a sentence that the operator is told."""
        with self._lock:
            self._notices.append(sentence)
        self._notify(sentence)

    def kinds(self) -> list[Kind]:
        """Return the kinds of dead letters, the most frequent first."""
        with self._lock:
            return sorted(self._kinds.values(), key=lambda kind: (-kind.count, kind.number))

    def let_go(self, kind: Kind) -> None:
        """Forget the stream record of a kind, whose sample is known now."""
        with self._lock:
            if kind.record is not None:
                self._held -= len(kind.record.data)
                kind.record = None

    def state(self) -> dict[str, Any]:
        """Return all that is shown without a click; nothing in it is payload."""
        shards = self.status.living()
        with self._lock:
            tallies = self._datasets.items()
            datasets = [{"name": name, **_shown(tally)} for name, tally in sorted(tallies)]
            return {
                "title": self._title,
                "seconds": time.monotonic() - self._began,
                "ended": self.ended,
                "totals": {**self._totals, **_sums(datasets)},
                "datasets": datasets,
                "shards": [_shard(shard) for shard in _furthest_behind(shards)],
                "shards_not_shown": max(0, len(shards) - _MOST_SHARDS),
                "shards_done": self.status.past_shards,
                "given_up": self.status.total("given_up"),
                "kinds": [_kind(kind) for kind in self._kinds.values()],
                "other_dead_letters": self._other_kinds,
                "history": self._recent(),
                "notices": list(self._notices),
            }

    def _add_tally(self, name: str, tally: Tally) -> None:
        into = self._datasets.setdefault(name, Tally())
        into.documents += tally.documents
        into.rows += tally.rows
        into.rejects += tally.rejects
        into.drops += tally.drops

    def _add_kind(self, refused: Refused, report: Report) -> None:
        known = refused.dataset, refused.reason, refused.path
        kind = self._kinds.get(known)
        if kind is not None:
            kind.count += refused.count
        elif len(self._kinds) < _MOST_KINDS:
            record = self._held_record(refused, report)
            source = report.batch.source
            number = len(self._kinds)
            self._kinds[known] = Kind(number, *known, refused.count, refused, source, record)
        else:
            self._other_kinds += refused.count

    def _held_record(self, refused: Refused, report: Report) -> StreamRecord | None:
        """Return the stream record that a dead letter came of, if there is room to hold it."""
        records = report.batch.records
        number = refused.sequence_number
        record = next((each for each in records if each.sequence_number == number), None)
        if record is None or self._held + len(record.data) > _MOST_HELD:
            return None
        self._held += len(record.data)
        return record

    def _add_to_history(self, report: Report) -> None:
        second = int(time.monotonic() - self._began)
        if not self._history or self._history[-1][0] != second:
            self._history.append([second, 0, 0, 0])
        latest = self._history[-1]
        latest[1] += report.total("documents")
        latest[2] += report.rejects
        latest[3] += report.bytes_in

    def _recent(self) -> list[list[int]]:
        """Return documents, dead letters and bytes of each of the last seconds with any."""
        since = time.monotonic() - self._began - _HISTORY
        return [list(entry) for entry in self._history if entry[0] >= since]


def _shown(tally: Tally) -> dict[str, Any]:
    return {
        "documents": tally.documents,
        "rows": tally.rows,
        "dead_letters": tally.rejects.total(),
        "drops": tally.drops.total(),
    }


def _sums(datasets: list[dict[str, Any]]) -> dict[str, int]:
    names = ("documents", "rows", "dead_letters", "drops")
    return {name: sum(dataset[name] for dataset in datasets) for name in names}


def _furthest_behind(shards: list[ShardStatus]) -> list[ShardStatus]:
    """Return the shards that most need to be seen, in the order of their ids."""
    urgent = sorted(shards, key=lambda shard: (not shard.trouble, -(shard.behind or 0)))
    return sorted(urgent[:_MOST_SHARDS], key=lambda shard: shard.shard_id)


def _shard(shard: ShardStatus) -> dict[str, Any]:
    return {
        "id": shard.shard_id,
        "doing": shard.doing,
        "behind": shard.behind,
        "documents": shard.documents,
        "rows": shard.rows,
        "dead_letters": shard.dead_letters,
        "given_up": shard.given_up,
        "trouble": shard.trouble,
    }


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "number": kind.number,
        "dataset": None if kind.dataset == UNROUTED else kind.dataset,
        "reason": kind.reason,
        "meaning": MEANINGS[Reason(kind.reason)],
        "path": kind.path,
        "count": kind.count,
    }
