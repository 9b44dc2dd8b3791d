"""The documents of a batch, cut into parts of which each fits in memory.

A part ends before what would be too much for it, and between two stream records where it can. Only
a stream record that alone is more than a part holds is cut, between its user records; and only a
user record that is, between its documents. So the cut depends on the batch alone. It makes more
objects, and decides nothing about a document.

Each part has a provenance of its own, which is let go with it: a stream record of a few kilobytes
may hold a million documents.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.core.errors import ConservationError
from pipeline.core.integers import INT32, INT64, Integers, between, integers, zeros
from pipeline.core.reasons import RejectStage
from pipeline.core.records import Chunk, Limits, Provenance, Reject, Violation, Width

Part = tuple[Chunk, list[Reject]]
LOST = (
    "Documents of a payload were lost as it was opened. This is a defect of the pipeline; the "
    "batch will be delivered again."
)
NARROW = Width()
_BYTES_AN_OBJECT = 3  # at least: two brackets and a comma
_NONE: Mapping[int, Violation] = {}


class _Place(NamedTuple):
    """How far a part is filled: units, documents that are good, rejects, and bytes."""

    units: int = 0
    documents: int = 0
    rejects: int = 0
    size: int = 0


_START = _Place()


class Parts:
    """Fills parts with user records, one after the other, and hands out the full ones."""

    def __init__(self, origins: Provenance, limits: Limits, width: Width) -> None:
        self._origins = origins
        self._limits = limits
        self._width = width
        self._most_documents = min(limits.part_documents, max(1, limits.part_values // width.row))
        self._most_objects = limits.part_values // max(1, width.item)
        self._added = self._handed_out = 0
        self._record = -1  # the stream record that is being added
        self._clear()

    def _clear(self) -> None:
        self._provenance = Provenance(self._origins.batch, opened_from=self._origins)
        self._units = array(INT32)
        self._documents: list[bytes] = []
        self._rejects: list[tuple[int, RejectStage, Violation, bytes]] = []
        self._size = 0
        self._objects = self._looked_at = 0  # in documents, and how many of these were looked at
        self._record_start = _START

    def add(
        self,
        unit: int,
        texts: list[bytes],
        violations: Mapping[int, Violation] = _NONE,
        stage: RejectStage = RejectStage.DOCUMENT,
    ) -> Iterator[Part]:
        """Add a user record's documents, of which some may be rejects; yield parts that are full.

        `texts` is emptied on the way, so that what was handed out need not stay in memory.
        """
        self._added += len(texts)
        size = sum(map(len, texts))
        self._begin_record(self._origins.record[unit])
        if not self._has_room(size, texts) and self._record_start != _START:
            yield self._cut(self._record_start)
        if not self._has_room(size, texts) and len(self._provenance):
            yield self._cut(self._place)
        first = 0
        while not self._has_room(size, texts) and len(texts) > 1:
            count = self.fitting(texts)
            self._append(unit, first, texts[:count], violations, stage)
            first, size = first + count, size - self._size
            del texts[:count]
            yield self._cut(self._place)
        self._append(unit, first, texts, violations, stage)

    def add_one(
        self, unit: int, opened: tuple[list[bytes], Mapping[int, Violation], object]
    ) -> bool:
        """Add a user record that is one good document, if it has room; else return False.

        To the same end as `add`, in a third of its time.
        """
        texts, violations, _ = opened
        if len(texts) > 1 or violations or not self.have_surely_room(len(texts[0]), 1):
            return False
        origins, columns = self._origins, self._provenance
        self._begin_record(origins.record[unit])
        self._units.append(len(columns.record))
        columns.record.append(origins.record[unit])
        columns.sub.append(origins.sub[unit])
        columns.document.append(0)
        columns.partition_key.append(origins.partition_key[unit])
        self._documents += texts
        self._size += len(texts[0])
        self._added += 1
        return True

    def add_run(self, units: Integers, payloads: Sequence[bytes]) -> bool:
        """Add user records of which each is one good document, if all of them have room.

        Returns whether they have. To the same end as `add`, many times as fast.
        """
        size = sum(map(len, payloads))
        if not self._has_room(size, payloads):
            return False
        records = taken(self._origins.record, units)
        new = records.index(records[-1])
        if records[-1] != self._record:
            before = self._place
            self._record_start = _Place(
                before.units + new,
                before.documents + new,
                before.rejects,
                before.size + sum(map(len, payloads[:new])),
            )
            self._record = records[-1]
        self._units.extend(between(len(self._provenance), len(self._provenance) + len(units)))
        self._provenance.record.extend(records)
        self._provenance.sub.extend(taken(self._origins.sub, units))
        self._provenance.document.extend(zeros(len(units)))
        self._provenance.partition_key.extend([self._origins.partition_key[n] for n in units])
        self._documents += payloads
        self._size += size
        self._added += len(units)
        return True

    def finish(self) -> Part:
        """Return the last part. There always is one: what did not open before goes with it."""
        last = self._cut(self._place)
        if self._added != self._handed_out:
            raise ConservationError(LOST)
        return last

    @property
    def _place(self) -> _Place:
        return _Place(len(self._provenance), len(self._documents), len(self._rejects), self._size)

    def _begin_record(self, record: int) -> None:
        if record != self._record:
            self._record, self._record_start = record, self._place

    def have_surely_room(self, size: int, count: int) -> bool:
        """Tell whether so many bytes and documents fit, without a look at what is in them."""
        return (
            self._size + size <= self._limits.part_bytes
            and len(self._provenance) + count <= self._most_documents
            and (self._size + size) * self._width.item
            <= _BYTES_AN_OBJECT * self._limits.part_values
        )

    def _has_room(self, size: int, texts: Sequence[bytes]) -> bool:
        if self.have_surely_room(size, len(texts)):
            return True
        if (
            self._size + size > self._limits.part_bytes
            or len(self._provenance) + len(texts) > self._most_documents
        ):
            return False
        self._objects += _objects_in(self._documents[self._looked_at :])
        self._looked_at = len(self._documents)
        left = self._most_objects - self._objects
        return _objects_in(texts, left) <= left

    def fitting(self, texts: Sequence[bytes]) -> int:
        """Count the texts, from the first on, that fit in an empty part; one at least."""
        size, objects = 0, None
        for count, text in enumerate(texts[: self._most_documents]):
            size += len(text)
            if size * self._width.item > _BYTES_AN_OBJECT * self._limits.part_values:
                if objects is None:
                    objects = _objects_in(texts[:count])
                objects += _objects_in([text])
            if size > self._limits.part_bytes or (objects or 0) > self._most_objects:
                return max(1, count)
        return min(len(texts), self._most_documents)

    def _append(
        self,
        unit: int,
        first: int,
        texts: Sequence[bytes],
        violations: Mapping[int, Violation],
        stage: RejectStage,
    ) -> None:
        """Append documents of one user record, of which `first` is the number of the first."""
        origins, columns, start, count = (
            self._origins,
            self._provenance,
            len(self._provenance),
            len(texts),
        )
        columns.record.extend(array(INT32, (origins.record[unit],)) * count)
        columns.sub.extend(array(INT64, (origins.sub[unit],)) * count)
        columns.document.extend(between(first, first + count))
        columns.partition_key.extend([origins.partition_key[unit]] * count)
        self._size += sum(map(len, texts))
        if not violations:
            self._units.extend(between(start, start + count))
            self._documents += texts
            return
        for number, text in enumerate(texts):
            violation = violations.get(first + number)
            if violation is None:
                self._units.append(start + number)
                self._documents.append(text)
            else:
                self._rejects.append((start + number, stage, violation, text))

    def _cut(self, end: _Place) -> Part:
        """Hand out what was added before a place; what comes after it begins the next part."""
        provenance, units, documents = self._provenance, self._units, self._documents
        rejects, size = self._rejects, self._size
        self._clear()
        if end.units < len(provenance):
            for name in ("record", "sub", "document", "partition_key"):
                column = getattr(provenance, name)
                getattr(self._provenance, name).extend(column[end.units :])
                del column[end.units :]
            self._units = integers([unit - end.units for unit in units[end.documents :]])
            self._documents = documents[end.documents :]
            self._rejects = [(unit - end.units, *rest) for unit, *rest in rejects[end.rejects :]]  # type: ignore[misc]
            self._size = size - end.size
            del units[end.documents :], documents[end.documents :], rejects[end.rejects :]
        self._handed_out += len(documents) + len(rejects)
        if len(provenance) != len(documents) + len(rejects):
            raise ConservationError(LOST)
        return Chunk(provenance, units, documents), [
            Reject(provenance, *reject) for reject in rejects
        ]


def _objects_in(texts: Iterable[bytes], enough: float = math.inf) -> int:
    """Count what may be an object in an array, until it is more than enough.

    `null` may stand for one.
    """
    objects = 0
    for text in texts:
        objects += min(text.count(b"{") + text.count(b"null"), len(text) // _BYTES_AN_OBJECT)
        if objects > enough:
            break
    return objects


def taken(column: Integers, units: Integers) -> Integers:
    """Return the column's values of these units; most often they are in a row."""
    if units[-1] - units[0] == len(units) - 1:
        return column[units[0] : units[-1] + 1]
    return array(column.typecode, [column[unit] for unit in units])
