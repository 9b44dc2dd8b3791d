"""Conservation: every unit of a batch is accounted for exactly once, or nothing is answered.

The unit is the document; a record that did not open, or held none, counts as one. What the
ledger counts are units (indices into `Provenance`), not totals: two mistakes cannot cancel out.
"""

import threading
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.aggregates import count_user_records
from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.errors import ConservationError
from pipeline.core.integers import (
    INT32,
    INT64,
    Integers,
    from_arrow,
    integers,
    to_arrow,
    up_to,
    zeros,
)
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.records import (
    Batch,
    Chunk,
    OutputObject,
    Provenance,
    Reject,
    Units,
    folded,
    units_of,
)

DEAD_LETTERS = "dead-letters"


class Ledger:
    """What has to be stored of one part of a batch, against what was acknowledged as stored."""

    def __init__(self) -> None:
        self._expected: dict[tuple[str, str], list[Units]] = defaultdict(list)
        self._stored: dict[tuple[str, str], list[Units]] = defaultdict(list)
        self._formats: dict[str, tuple[str, ...]] = {UNROUTED: (DEAD_LETTERS,)}
        self._dropped: list[tuple[Provenance, Integers]] = []

    def routed(self, dataset: Dataset, chunk: Chunk) -> None:
        """Expect these documents once in each of the dataset's formats, or as dead letters."""
        self._formats[dataset.name] = dataset.formats
        for as_format in dataset.formats:
            self._expected[dataset.name, as_format].append(((chunk.provenance, chunk.unit),))

    def refused(self, rejects: Iterable[Reject]) -> None:
        """Expect what was rejected before a dataset was found for it as dead letters."""
        self._expected[UNROUTED, DEAD_LETTERS].append(units_of(rejects))

    def dropped(self, chunk: Chunk, units: Integers) -> None:
        """Expect what a rule drops, of the same part as a chunk, in no object."""
        self._dropped.append((chunk.provenance, units))

    def stored(self, objects: Iterable[OutputObject]) -> None:
        """Enter objects whose writes were acknowledged."""
        for output_object in objects:
            is_letters = output_object.format == DEAD_LETTERS
            for as_format in (
                self._formats[output_object.dataset] if is_letters else [output_object.format]
            ):
                self._stored[output_object.dataset, as_format].append(output_object.units)

    def check(self) -> None:
        """Raise `ConservationError` unless what is stored is exactly what was expected."""
        for key in self._expected.keys() | self._stored.keys():
            expected, stored = _flat(self._expected[key]), _flat(self._stored[key])
            # Most often they are in the same order, too.
            if expected != stored and _in_order(expected) != _in_order(stored):
                raise ConservationError(_difference(key, expected, stored))

    def units(self) -> Iterator[tuple[Provenance, Integers]]:
        """Yield what was expected, each unit once: a dataset's in the first of its formats."""
        yield from self._dropped
        for (dataset, as_format), entries in self._expected.items():
            if self._formats[dataset][0] == as_format:
                for units in entries:
                    yield from units


class Coverage:
    """The units that the parts of a batch held, against all that the batch must hold.

    A ledger knows what was routed; a document that decoding or routing lost is in none. So this
    begins at the stream records: each owns at least one user record, and an aggregate as many as
    its bytes say, read by other code than the decoder's; each user record has a first document in
    one part, or was settled itself; and each unit of a part was in its ledger.
    """

    def __init__(
        self, batch: Batch, stream_records: Sequence[int], opened: Sequence[Provenance]
    ) -> None:
        """Expect all units of what a batch was `opened` into, deaggregated records first.

        `stream_records` are the indices of those that were deaggregated.
        """
        self._batch = batch
        self._stream_records = stream_records
        self._opened = {id(origins): _Opened(origins) for origins in opened}
        self._unopened = set[int]()

    def add(self, ledger: Ledger, rejects: Iterable[Reject]) -> None:
        """Enter the units of a part whose ledger was checked, and its rejects."""
        settled: dict[int, tuple[Provenance, Integers]] = {}
        for origins, units in ledger.units():
            settled.setdefault(id(origins), (origins, array(INT32)))[1].extend(units)
        for origins, units in settled.values():
            if origins.opened_from is None:
                self._opened_as(origins).settled.extend(units)
            else:
                if not _is_all_of(origins, units):
                    raise self._error("Units were lost, or doubled, before they were routed")
                self._opened_as(origins.opened_from).add_part(origins)
        for reject in rejects:
            if reject.is_stream_record:
                number = reject.provenance.record[reject.unit]
                if reject.payload == self._batch.records[number].data:
                    self._unopened.add(number)

    def check(self) -> None:
        """Raise `ConservationError` unless no unit, and no stream record, was left out."""
        for opened in self._opened.values():
            if not opened.is_complete():
                raise self._error("Units were lost, or doubled, before they were routed")
        self._check_user_records()
        # Of those that were deaggregated, this has been shown.
        records = set(self._stream_records)
        for opened in list(self._opened.values())[1:]:
            records.update(opened.origins.record)
        if len(records) != len(self._batch.records):
            missing = next(n for n in range(len(self._batch.records)) if n not in records)
            raise self._error(f"Nothing came of {self._batch.records[missing].sequence_number}")

    def _opened_as(self, origins: Provenance) -> "_Opened":
        return self._opened.setdefault(id(origins), _Opened(origins))

    def _check_user_records(self) -> None:
        """Hold the user records that there are against those that the stream records hold."""
        numbers, origins = self._stream_records, next(iter(self._opened.values())).origins
        counts = [self._user_records(number) for number in numbers]
        if sum(counts) == len(counts):
            records, subs = integers(numbers), zeros(len(counts), INT64)
        else:
            records, subs = array(INT32), array(INT64)
            for number, count in zip(numbers, counts, strict=True):
                records.extend(array(INT32, (number,)) * count)
                subs.extend(up_to(count, INT64))
        if (origins.record, origins.sub) != (records, subs):
            raise self._error("User records were lost, or doubled, as aggregates were opened")

    def _user_records(self, number: int) -> int:
        """Count the user records that a stream record must own."""
        data = self._batch.records[number].data
        if not data.startswith(KPL_MAGIC) or number in self._unopened:
            return 1
        return count_user_records(data) or 0

    def _error(self, loss: str) -> ConservationError:
        batch = self._batch
        return ConservationError(
            f"{loss}, in {batch.source}, {batch.first} to {batch.last}. This is a defect of the "
            "pipeline; the batch will be delivered again."
        )


class Names:
    """Whose the names of the last objects are, so that none is given the name of another one.

    Two names are one where some file system takes them for one. Only the last ones are known, as
    a file of any size has to fit in memory; what keeps names apart is their digest, see `layout`.
    Safe to use from several threads.
    """

    def __init__(self, least: int = 25_000) -> None:
        """Know the last `least` names, and up to twice as many."""
        self._least = least
        self._owners: dict[int, int] = {}
        self._earlier: dict[int, int] = {}
        self._changing = threading.Lock()

    def claim(self, store: str, key: str, owner: int) -> None:
        """Enter what an object holds, by its `owner`; raise `ConservationError` if it is another's.

        The owner is the same for an object that is stored again, and for no other one.
        """
        name = hash((store, folded(key)))
        with self._changing:
            known = self._owners.setdefault(name, self._earlier.get(name, owner))
            if len(self._owners) >= self._least:
                self._earlier, self._owners = self._owners, {}
        if known != owner:
            raise ConservationError(
                f"Two different objects would be stored as one, {store}/{key}, and one of them "
                "would be lost. This is a defect of the pipeline; nothing was overwritten."
            )


class _Opened:
    """What came of the units of one provenance: they were settled, or opened into parts."""

    def __init__(self, origins: Provenance) -> None:
        self.origins = origins
        self.settled = array(INT32)
        self._record = array(INT32)
        self._sub = array(INT64)

    def add_part(self, part: Provenance) -> None:
        """Enter the user records whose first document is in a part, which is complete."""
        record, sub = part.record, part.sub
        if part.begins is not None or part.document != zeros(len(part)):
            first, begins = (0, part.document) if part.begins is None else (1, part.begins)
            is_first = pc.equal(to_arrow(begins), first)
            record, sub = (
                from_arrow(to_arrow(column).filter(is_first)) for column in (record, sub)
            )
        self._record.extend(record)
        self._sub.extend(sub)

    def is_complete(self) -> bool:
        """Tell whether each unit was settled once, or opened once."""
        origins = self.origins
        if not self.settled and (self._record, self._sub) == (origins.record, origins.sub):
            return True
        if not self._record:
            return _is_all_of(origins, self.settled)
        settled = to_arrow(self.settled)
        columns = zip((self._record, self._sub), (origins.record, origins.sub), strict=True)
        found = [
            pa.concat_arrays([to_arrow(opened), to_arrow(every).take(settled)])
            for opened, every in columns
        ]
        every = [to_arrow(origins.record), to_arrow(origins.sub)]
        return bool(_in_order_of_stream(found).equals(_in_order_of_stream(every)))


def _in_order_of_stream(columns: list[pa.Array]) -> pa.Table:
    table = pa.Table.from_arrays(columns, ["record", "sub"])
    return table.sort_by([("record", "ascending"), ("sub", "ascending")]).combine_chunks()


_Flat = dict[int, Integers]


def _is_all_of(origins: Provenance, units: Integers) -> bool:
    """Tell whether these are all units of a provenance, each of them once."""
    every = up_to(len(origins))
    return units == every or to_arrow(units).sort() == to_arrow(every)


def _flat(entries: list[Units]) -> _Flat:
    """All units by the identity of their positions."""
    flat: _Flat = {}
    for units in entries:
        for provenance, indices in units:
            if indices:
                flat.setdefault(id(provenance), array(INT32)).extend(indices)
    return flat


def _in_order(flat: _Flat) -> dict[int, pa.Array]:
    return {origins: to_arrow(indices).sort() for origins, indices in flat.items()}


def _difference(key: tuple[str, str], expected: _Flat, stored: _Flat) -> str:
    wanted, found = (
        Counter((origins, unit) for origins, units in side.items() for unit in units)
        for side in (expected, stored)
    )
    return (
        f"Conservation is violated for {key[0]} as {key[1]}: {wanted.total()} documents came in, "
        f"{(wanted - found).total()} of them are in no object and {(found - wanted).total()} are "
        "in one too many. This is a defect of the pipeline; the batch will be delivered again."
    )
