"""What became of a batch, in numbers."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from pipeline.core.dataset import UNROUTED
from pipeline.core.records import Batch, OutputObject, Reject


class Tally(msgspec.Struct):
    """One dataset's share: documents = rows + rejects."""

    documents: int = 0
    rows: int = 0
    objects: int = 0
    bytes_out: int = 0
    rejects: Counter[str] = msgspec.field(default_factory=Counter)


class Report(msgspec.Struct):
    """One invocation's numbers; `datasets` has an entry "unrouted" for what no dataset took.

    `milliseconds` is the time of each phase, `bytes_in` what Kinesis held, after base64.
    """

    batch: Batch
    datasets: dict[str, Tally] = msgspec.field(default_factory=dict)
    milliseconds: dict[str, float] = msgspec.field(default_factory=dict)
    parts: int = 0
    retries: int = 0

    @property
    def bytes_in(self) -> int:
        """Bytes of the batch's stream records."""
        return sum(len(record.data) for record in self.batch.records)

    @property
    def oldest_arrival(self) -> int:
        """The earliest arrival in the batch, in microseconds since 1970."""
        return min(record.arrived_at for record in self.batch.records)

    def total(self, name: str) -> int:
        """Sum `documents`, `rows`, `objects` or `bytes_out` over all datasets."""
        return sum(getattr(tally, name) for tally in self.datasets.values())

    @property
    def rejects(self) -> int:
        """All dead letters of the batch."""
        return sum(tally.rejects.total() for tally in self.datasets.values())

    def tally(self, dataset: str) -> Tally:
        """Return a dataset's share, to add to."""
        return self.datasets.setdefault(dataset, Tally())

    def add_part(self, rejects: Iterable[Reject], stored: Iterable[OutputObject]) -> None:
        """Count what was stored of one part; rejects of no dataset are its documents, too."""
        self.parts += 1
        reasons = Counter((reject.dataset, reject.violation.reason) for reject in rejects)
        for (dataset, reason), count in reasons.items():
            tally = self.tally(dataset or UNROUTED)
            tally.rejects[reason] += count
            tally.documents += count if dataset is None else 0
        for output_object in stored:
            tally = self.tally(output_object.dataset)
            tally.objects += 1
            tally.bytes_out += output_object.size
