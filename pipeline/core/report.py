"""What became of a batch, in numbers."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec

from pipeline.core.dataset import UNROUTED
from pipeline.core.errors import FuseBlown
from pipeline.core.records import (
    Batch,
    Fuse,
    OutputObject,
    Partition,
    Reject,
    Rows,
    UnknownMembers,
)

MOST_FIELDS = 50
LONGEST_FIELD = 128  # characters of its path
_FIELD = re.compile(r"\$(?:\.[^.\[]+|\['(?:[^'\\]|\\.)*'\])?")
_MANY_PARTITIONS = 100  # of one dataset in one batch: from here on they may be why it is slow


class UnknownFields(msgspec.Struct):
    """Members of one dataset's rows that no field reads, by path; of dead letters none are counted.

    `documents` is how many have at least one, `fields` how many have each. Beyond `MOST_FIELDS`
    paths, and where a path is longer than `LONGEST_FIELD` characters, `others` has the sum.
    `other_case` has the path of the field that a member is but for the case of its letters.
    """

    documents: int = 0
    fields: Counter[str] = msgspec.field(default_factory=Counter)
    others: int = 0
    other_case: dict[str, str] = msgspec.field(default_factory=dict)
    kept: bool = False

    def add(self, found: UnknownMembers, stored: Callable[[list[int]], int]) -> None:
        """Count the documents of a chunk, of which `stored` says how many have rows."""
        fields = Counter[str]()
        for paths, indices in found.documents.items():
            count = stored(indices)
            self.documents += count
            fields.update(dict.fromkeys(paths, count) if count else ())
        self.kept = self.kept or bool(found.rest)
        other_case = {_shown(path): _shown(field) for path, field in found.other_case.items()}
        self._count({_shown(path): count for path, count in fields.items()}, other_case)

    def add_counts(self, documents: int, fields: Mapping[str, int], others: int) -> None:
        """Add so many documents, and how many of them have each member."""
        self.documents += documents
        self.others += others
        self._count({_shown(path): count for path, count in fields.items()}, {})

    def merge(self, other: "UnknownFields") -> None:
        """Add those of another batch."""
        self.documents += other.documents
        self.others += other.others
        self.kept = self.kept or other.kept
        self._count(other.fields, other.other_case)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Yield what to show of each field, and how many documents have it, most frequent first."""
        for path, count in self.fields.most_common():
            field = self.other_case.get(path)
            yield path if field is None else f"{path} is {field} in another case", count
        if self.others:
            yield "others", self.others

    def _count(self, fields: Mapping[str, int], other_case: Mapping[str, str]) -> None:
        for path, count in sorted(fields.items(), key=lambda item: (-item[1], item[0])):
            known = path in self.fields
            if known or (len(self.fields) < MOST_FIELDS and len(path) <= LONGEST_FIELD):
                self.fields[path] += count
                if path in other_case:
                    self.other_case[path] = other_case[path]
            else:
                self.others += count


def _shown(path: str) -> str:
    """Return a path without characters that a terminal would act on."""
    return path if path.isprintable() else path.encode("unicode_escape").decode()


class Tally(msgspec.Struct):
    """One dataset's share: documents = rows + rejects; of none, it has the drops, by their name."""

    documents: int = 0
    rows: int = 0
    partitions: int = 0
    objects: int = 0
    bytes_out: int = 0
    rejects: Counter[str] = msgspec.field(default_factory=Counter)
    unknown: UnknownFields = msgspec.field(default_factory=UnknownFields)
    drops: Counter[str] = msgspec.field(default_factory=Counter)

    def add_rows(self, rows: Rows, partitions: Iterable[Partition]) -> None:
        """Count the rows to store, their partitions, and what is unknown in their documents."""
        parts = [partition.rows for partition in partitions]
        self.partitions += len(parts)
        stored = sum(map(len, parts))
        self.rows += stored
        if not rows.unknown.documents:
            return
        if stored == len(rows.chunk):
            self.unknown.add(rows.unknown, len)
            return
        indices = {index for part in parts for index in part.index.to_pylist()}
        self.unknown.add(rows.unknown, lambda found: len(indices.intersection(found)))


class Refused(msgspec.Struct):
    """Dead letters of one dataset, reason and field: how many, and the position of the first."""

    dataset: str
    reason: str
    path: str
    sequence_number: str
    sub_sequence_number: int
    document: int
    count: int = 0


def _field_of(path: str) -> str:
    """Return the field at the top of a path: below it, keys of maps and numbers are data."""
    found = _FIELD.match(path)
    return _shown(found[0])[:LONGEST_FIELD] if found else "$"


class Report(msgspec.Struct):
    """One invocation's numbers; `datasets` has an entry "unrouted" for what no dataset took.

    `milliseconds` is the time of each phase, `bytes_in` what Kinesis held, after base64. `refused`
    has what its dead letters have in common, by dataset, reason and field.
    """

    batch: Batch
    datasets: dict[str, Tally] = msgspec.field(default_factory=dict)
    milliseconds: dict[str, float] = msgspec.field(default_factory=dict)
    refused: dict[tuple[str | None, str, str], Refused] = msgspec.field(default_factory=dict)
    parts: int = 0
    retries: int = 0
    unkept: UnknownFields = msgspec.field(default_factory=UnknownFields)
    """Members of envelopes that no rule keeps; its documents are the envelopes."""

    @property
    def bytes_in(self) -> int:
        """Bytes of the batch's stream records."""
        return sum(len(record.data) for record in self.batch.records)

    @property
    def oldest_arrival(self) -> int:
        """The earliest arrival in the batch, in microseconds since 1970."""
        return min(record.arrived_at for record in self.batch.records)

    def total(self, name: str) -> int:
        """Sum `documents`, `rows`, `partitions`, `objects` or `bytes_out` over all datasets."""
        return sum(getattr(tally, name) for tally in self.datasets.values())

    @property
    def unknown_fields(self) -> int:
        """Documents with members that no field reads."""
        return sum(tally.unknown.documents for tally in self.datasets.values())

    @property
    def rejects(self) -> int:
        """All dead letters of the batch."""
        return sum(tally.rejects.total() for tally in self.datasets.values())

    def check_fuse(self, fuse: Fuse, rejects: Collection[Reject]) -> None:
        """Raise `FuseBlown` if too much of the batch so far, with a part's rejects, is refused."""
        refused = self.rejects + len(rejects)
        documents = self.total("documents") + sum(1 for each in rejects if each.dataset is None)
        if refused <= fuse.count or 100 * refused <= fuse.percent * documents:
            return
        kinds = Counter(
            (each.dataset or UNROUTED, each.violation.reason, _field_of(each.violation.path))
            for each in rejects
        )
        (((dataset, reason, path), count),) = kinds.most_common(1)
        message = (
            f"{refused:,} of {documents:,} documents of this batch are refused, most of them "
            f"({count:,}) of dataset {dataset} for {reason} at {path}. That is more than "
            f"PIPELINE_FUSE_PERCENT ({fuse.percent}) lets become dead letters, so the batch waits "
            "and is delivered again: deploy the schema that fits, or set it to 0 to have dead "
            "letters."
        )
        raise FuseBlown(message)

    @property
    def drops(self) -> Counter[str]:
        """What rules of stream.toml drop of the batch, by their names."""
        return self.tally(UNROUTED).drops if UNROUTED in self.datasets else Counter()

    @property
    def partitions(self) -> dict[str, int]:
        """How many partitions the rows fall into, by dataset."""
        return {name: tally.partitions for name, tally in self.datasets.items() if tally.partitions}

    @property
    def too_fine(self) -> str:
        """Sentences, each after a blank, about the datasets with many partitions in this batch."""
        return "".join(
            f" The {tally.rows:,} rows of dataset {name} fall into {tally.partitions:,} "
            "partitions, and each of these is an object in every format; a coarser partition_by "
            "makes fewer."
            for name, tally in self.datasets.items()
            if tally.partitions >= _MANY_PARTITIONS
        )

    def tally(self, dataset: str) -> Tally:
        """Return a dataset's share, to add to."""
        return self.datasets.setdefault(dataset, Tally())

    def add_drops(self, name: str, count: int) -> None:
        """Count documents that a rule drops: they are of no dataset."""
        tally = self.tally(UNROUTED)
        tally.documents += count
        tally.drops[name] += count

    def add_part(self, rejects: Iterable[Reject], stored: Iterable[OutputObject]) -> None:
        """Count what was stored of one part; rejects of no dataset are its documents, too."""
        self.parts += 1
        counts = Counter[tuple[str | None, str, str]]()
        for reject in rejects:
            violation = reject.violation
            kind = reject.dataset, str(violation.reason), _field_of(violation.path)
            if kind not in self.refused:
                self.refused[kind] = self._first_of(reject, kind)
            counts[kind] += 1
        for kind, count in counts.items():
            self.refused[kind].count += count
            dataset, reason, _ = kind
            tally = self.tally(dataset or UNROUTED)
            tally.rejects[reason] += count
            tally.documents += count if dataset is None else 0
        for output_object in stored:
            tally = self.tally(output_object.dataset)
            tally.objects += 1
            tally.bytes_out += output_object.size

    def _first_of(self, reject: Reject, kind: tuple[str | None, str, str]) -> Refused:
        dataset, reason, path = kind
        where, unit = reject.provenance, reject.unit
        record = where.batch.records[where.record[unit]]
        position = record.sequence_number, where.sub[unit], where.document[unit]
        return Refused(dataset or UNROUTED, reason, path, *position)
