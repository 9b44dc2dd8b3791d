"""The second half of the road: what there is of a part of a batch, into objects in a store."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ParamSpec, TypeVar

from pipeline.adapters.stopwatch import Phase, Stopwatch
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core.census import Census
from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.decode import Originals
from pipeline.core.encode import encode
from pipeline.core.integers import Integers
from pipeline.core.layout import ObjectKeys
from pipeline.core.ledger import DEAD_LETTERS, Coverage, Ledger
from pipeline.core.letter_lines import encode_dead_letters, group_by_arrival_hour
from pipeline.core.records import Chunk, OutputObject, Partition, Reject, units_of
from pipeline.core.report import Report
from pipeline.opening import Pipeline

_Args = ParamSpec("_Args")
_Good = TypeVar("_Good")


class Stations:
    """Runs stations, and keeps what they reject."""

    def __init__(self, rejects: list[Reject]) -> None:
        self.rejects = rejects

    def run(
        self,
        phase: Phase,  # noqa: ARG002 - for whoever measures
        station: Callable[_Args, tuple[_Good, list[Reject]]],
        *args: _Args.args,
        **kwargs: _Args.kwargs,
    ) -> _Good:
        """Run a station in a phase of its batch, and return what it hands on."""
        good, rejects = station(*args, **kwargs)
        self.rejects += rejects
        return good


class PartStore(Stations):
    """The part of a batch that is unpacked in memory at once; usually the whole batch."""

    def __init__(
        self,
        report: Report,
        keys: ObjectKeys,
        pipeline: Pipeline,
        writer: ConcurrentWriter,
        timings: Stopwatch,
        rejects: list[Reject],
    ) -> None:
        super().__init__(rejects)
        self.ledger = Ledger()
        self._report = report
        self._keys = keys
        self._pipeline = pipeline
        self._writer = writer
        self._timings = timings
        self._handed_over: list[OutputObject] = []
        self._censuses: dict[str, Census] = {}
        self._dropped = 0

    def run(
        self,
        phase: Phase,
        station: Callable[_Args, tuple[_Good, list[Reject]]],
        *args: _Args.args,
        **kwargs: _Args.kwargs,
    ) -> _Good:
        """Run a station if there is time; what it rejects becomes dead letters."""
        self._writer.check()
        good, rejects = self._timings.run(phase, station, *args, **kwargs)
        protection = self._pipeline.protection
        self.rejects += rejects if protection is None else protection.public(rejects)
        return good

    def drop(self, documents: Chunk, drops: Mapping[str, Integers]) -> None:
        """Enter what rules drop, by their names: it is of no dataset, and in no object."""
        for name, units in drops.items():
            self.ledger.dropped(documents, units)
            self._report.add_drops(name, len(units))
            self._dropped += len(units)

    def count(self, routed: list[tuple[Dataset, Chunk]], batch: Census) -> None:
        """Take the part's census: what was rejected so far is of no dataset."""
        documents = {dataset.name: len(chunk) for dataset, chunk in routed}
        if self.rejects:
            documents[UNROUTED] = len(self.rejects) + self._dropped
        self._census = batch.of_part(self._report.parts, documents)
        self._censuses[UNROUTED] = self._census.of_dataset(UNROUTED, 0, 0, 0, self._dropped)

    def census(self, dataset: Dataset, partitions: list[Partition]) -> bytes:
        """Return the census that a dataset's objects carry."""
        rows = sum(len(partition.rows) for partition in partitions)
        census = self._census.of_dataset(dataset.name, dataset.version, rows, len(partitions))
        self._censuses[dataset.name] = census
        return census.to_bytes()

    def put_rows(self, partition: Partition, dataset: Dataset, census: bytes) -> None:
        """Hand one partition to the writer, in every format, which stores it meanwhile."""
        path, rows = partition.path, partition.rows
        for as_format in dataset.formats:
            key = self._keys.rows(dataset, as_format, path, self._report.parts)
            encoder = partial(encode, rows, dataset, as_format, census)
            size = self._put(self._pipeline.output, key, path, encoder)
            self._handed_over.append(OutputObject(key, dataset.name, as_format, rows.units, size))

    def put_dead_letters(self, originals: Originals | None) -> None:
        """Hand the part's dead letters to the writer; of what was decoded, as it was sent."""
        self._writer.check()
        rejects = originals.put_back(self.rejects) if originals else self.rejects
        for dataset, hour, letters in group_by_arrival_hour(rejects):
            key = self._keys.dead_letters(dataset, hour, self._report.parts)
            said = self._censuses[dataset].to_name()
            encoder = partial(encode_dead_letters, letters, said, self._pipeline.protection)
            size = self._put(self._pipeline.dead_letters, key, hour, encoder)
            units = units_of(letters)
            self._handed_over.append(OutputObject(key, dataset, DEAD_LETTERS, units, size))

    def settle(self, coverage: Coverage) -> None:
        """Wait until everything is acknowledged, and prove that it is everything."""
        self._timings.run("store", self._writer.wait)
        self.ledger.refused([reject for reject in self.rejects if reject.dataset is None])
        self.ledger.stored(self._handed_over)
        self._timings.run("check", self.ledger.check)
        coverage.add(self.ledger, self.rejects)
        if self._handed_over:
            self._report.add_part(self.rejects, self._handed_over)

    def _put(self, store: ObjectStore, key: str, folder: str, encoder: Callable[[], bytes]) -> int:
        """Encode and hand over an object that is not stored yet; return its size.

        What tells a batch's objects apart is their folder and the number of their part.
        """
        owner = hash((self._keys.owner, folder, self._report.parts))
        self._pipeline.names.claim(store.uri, key, owner)
        size = self._writer.size_stored(store, key)
        if size is None:
            body = self._timings.run("encode", encoder)
            self._timings.run("store", self._writer.put, store, key, body)
            size = len(body)
        return size
