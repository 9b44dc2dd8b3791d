"""Conservation: every unit of a batch is accounted for exactly once, or nothing is answered.

The unit is the document; a record that did not open, or held none, counts as one. What the
ledger counts are units (indices into `Positions`), not totals: two mistakes cannot cancel out.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import pyarrow as pa

from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.errors import ConservationError
from pipeline.core.integers import INT32, Integers, to_arrow, up_to
from pipeline.core.records import Artifact, Batch, Chunk, Positions, Reject, Units, units_of

DEAD_LETTERS = "dead-letters"


class Ledger:
    """What has to be stored of one part of a batch, against what was acknowledged as stored."""

    def __init__(self) -> None:
        self._expected: dict[tuple[str, str], list[Units]] = defaultdict(list)
        self._stored: dict[tuple[str, str], list[Units]] = defaultdict(list)
        self._formats: dict[str, tuple[str, ...]] = {UNROUTED: (DEAD_LETTERS,)}

    def routed(self, dataset: Dataset, chunk: Chunk) -> None:
        """Expect these documents once in each of the dataset's formats, or as dead letters."""
        self._formats[dataset.name] = dataset.formats
        for as_format in dataset.formats:
            self._expected[dataset.name, as_format].append(((chunk.positions, chunk.at),))

    def refused(self, rejects: Iterable[Reject]) -> None:
        """Expect what was rejected before a dataset was found for it as dead letters."""
        self._expected[UNROUTED, DEAD_LETTERS].append(units_of(rejects))

    def stored(self, artifacts: Iterable[Artifact]) -> None:
        """Enter objects whose writes were acknowledged."""
        for artifact in artifacts:
            is_letters = artifact.format == DEAD_LETTERS
            for as_format in self._formats[artifact.dataset] if is_letters else [artifact.format]:
                self._stored[artifact.dataset, as_format].append(artifact.units)

    def check(self) -> None:
        """Raise `ConservationError` unless what is stored is exactly what was expected."""
        for key in self._expected.keys() | self._stored.keys():
            expected, stored = _flat(self._expected[key]), _flat(self._stored[key])
            # Most often they are in the same order, too.
            if expected != stored and _in_order(expected) != _in_order(stored):
                raise ConservationError(_difference(key, expected, stored))

    def units(self) -> Iterator[tuple[Positions, Integers]]:
        """Yield what was expected, each unit once: a dataset's in the first of its formats."""
        for (dataset, as_format), entries in self._expected.items():
            if self._formats[dataset][0] == as_format:
                for units in entries:
                    yield from units


class Coverage:
    """The units that the parts of a batch held, against all that the batch was opened into."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Positions, Integers]] = {}

    def add(self, ledger: Ledger) -> None:
        """Enter the units of a part whose ledger was checked."""
        for positions, at in ledger.units():
            self._seen.setdefault(id(positions), (positions, array(INT32)))[1].extend(at)

    def check(self, batch: Batch) -> None:
        """Raise `ConservationError` unless no unit, and no stream record, was left out."""
        records: set[int] = set()
        for positions, at in self._seen.values():
            every = up_to(len(positions))
            if at != every and to_arrow(at).sort() != to_arrow(every):
                raise ConservationError(_left_out(batch))
            records.update(positions.record)
        if len(records) != len(batch.records):
            raise ConservationError(_left_out(batch))


def _left_out(batch: Batch) -> str:
    return (
        f"Documents of {batch.source}, {batch.first} to {batch.last}, were lost before they were "
        "routed. This is a defect of the pipeline; the batch will be delivered again."
    )


_Flat = dict[int, Integers]


def _flat(entries: list[Units]) -> _Flat:
    """All units by the identity of their positions."""
    flat: _Flat = {}
    for units in entries:
        for positions, at in units:
            if at:
                flat.setdefault(id(positions), array(INT32)).extend(at)
    return flat


def _in_order(flat: _Flat) -> dict[int, pa.Array]:
    return {of: to_arrow(at).sort() for of, at in flat.items()}


def _difference(key: tuple[str, str], expected: _Flat, stored: _Flat) -> str:
    wanted, found = (
        Counter((of, unit) for of, units in side.items() for unit in units)
        for side in (expected, stored)
    )
    return (
        f"Conservation is violated for {key[0]} as {key[1]}: {wanted.total()} documents came in, "
        f"{(wanted - found).total()} of them are in no object and {(found - wanted).total()} are "
        "in one too many. This is a defect of the pipeline; the batch will be delivered again."
    )
