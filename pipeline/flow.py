r"""The whole road on one page: a batch of stream records to objects in a store.

    stream records > user records > documents > Arrow table > partitions > CSV, Parquet
          \______________\____________\____________\____________\_______> dead letters

Every station takes a chunk and gives back what is good and what is rejected. Nothing here
decides anything about a document: read the stations in `pipeline.core` for that.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import ParamSpec, TypeVar

import msgspec

from pipeline.adapters.stopwatch import Stage, Stopwatch
from pipeline.adapters.store import ConcurrentWriter, ObjectStore
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset
from pipeline.core.deadletter import Letters, encode_dead_letters, file_by_arrival
from pipeline.core.encode import encode
from pipeline.core.kpl import open_aggregates
from pipeline.core.layout import data_key, dead_letter_key, path_bytes
from pipeline.core.ledger import DEAD_LETTERS, Coverage, Ledger
from pipeline.core.partition import split
from pipeline.core.payload import Part, check_documents, open_payloads
from pipeline.core.records import Artifact, Batch, Bounds, Partition, Reject, units_of
from pipeline.core.report import Report
from pipeline.core.routing import Router
from pipeline.core.rules import check_rules

_Args = ParamSpec("_Args")
_Good = TypeVar("_Good")


class System(msgspec.Struct, frozen=True):
    """What stays the same from one batch to the next."""

    router: Router
    bounds: Bounds
    output: ObjectStore
    dead_letters: ObjectStore


def process(batch: Batch, system: System, writer: ConcurrentWriter, watch: Stopwatch) -> Report:
    """Take one batch all the way; return only when every document of it is stored.

    Raises `StoreError` or `DeadlineExceeded` for a batch that could not be stored whole, and
    `ConservationError` for a defect of ours; the same batch may then simply be processed again.
    """
    user_records, unopened = watch.run("decode", open_aggregates, batch)
    parts = open_payloads(user_records, system.bounds)
    return _deliver(batch, unopened, parts, system, writer, watch)


def resume(letters: Letters, system: System, writer: ConcurrentWriter, watch: Stopwatch) -> Report:
    """Take dead letters the rest of the way, each from the stage that had rejected it."""
    batch, bounds = letters.batch, system.bounds
    user_records, unopened = watch.run("decode", open_aggregates, batch, letters.stream_records)
    parts = chain(
        open_payloads(user_records, bounds),
        open_payloads(letters.user_records, bounds),
        [check_documents(letters.documents, bounds)],
    )
    return _deliver(batch, unopened, parts, system, writer, watch)


def _deliver(
    batch: Batch,
    unopened: list[Reject],
    parts: Iterator[Part],
    system: System,
    writer: ConcurrentWriter,
    watch: Stopwatch,
) -> Report:
    """Store part after part, in this order; what did not open at all goes with the first."""
    report, coverage = Report(batch, milliseconds=watch.milliseconds), Coverage()
    for documents, refused in watch.each("decode", parts):
        part = _Part(report, system, writer, watch, [*unopened, *refused])
        unopened = []
        for dataset, chunk in part.run("route", system.router.route, documents):
            part.ledger.routed(dataset, chunk)
            rows = part.run("convert", convert, chunk, dataset)
            rows = part.run("rules", check_rules, rows, dataset)
            room = path_bytes(dataset, min(system.bounds.key_bytes, system.output.longest_key))
            for partition in part.run("partition", split, rows, dataset, system.bounds, room):
                part.put_rows(partition, dataset)
            report.of(dataset.name).documents += len(chunk)
            report.of(dataset.name).rows += len(rows)
        part.put_dead_letters()
        part.settle(coverage)
    coverage.check(batch)
    return report


class _Part:
    """As much of a batch as is unpacked at once; nearly always all of it."""

    def __init__(
        self,
        report: Report,
        system: System,
        writer: ConcurrentWriter,
        watch: Stopwatch,
        rejects: list[Reject],
    ) -> None:
        self.ledger = Ledger()
        self.rejects = rejects
        self._report = report
        self._system = system
        self._writer = writer
        self._watch = watch
        self._put: list[Artifact] = []

    def run(
        self,
        stage: Stage,
        station: Callable[_Args, tuple[_Good, list[Reject]]],
        *args: _Args.args,
        **kwargs: _Args.kwargs,
    ) -> _Good:
        """Run a station; what it rejects becomes dead letters, what is good goes on."""
        good, rejects = self._watch.run(stage, station, *args, **kwargs)
        self.rejects += rejects
        return good

    def put_rows(self, partition: Partition, dataset: Dataset) -> None:
        """Hand one partition to the writer, in every format, which stores it meanwhile."""
        batch, rows = self._report.batch, partition.rows
        for as_format in dataset.formats:
            key = data_key(batch, dataset.name, as_format, partition.path, self._report.parts)
            body = self._watch.run("encode", encode, rows, dataset, as_format)
            artifact = Artifact(key, dataset.name, as_format, rows.units, len(body))
            self._hand_over(self._system.output, artifact, body)

    def put_dead_letters(self) -> None:
        """Hand the part's dead letters to the writer."""
        batch = self._report.batch
        for dataset, hour, letters in file_by_arrival(self.rejects):
            key = dead_letter_key(batch, dataset, hour, self._report.parts)
            body = self._watch.run("encode", encode_dead_letters, letters)
            artifact = Artifact(key, dataset, DEAD_LETTERS, units_of(letters), len(body))
            self._hand_over(self._system.dead_letters, artifact, body)

    def settle(self, coverage: Coverage) -> None:
        """Wait until everything is acknowledged, and prove that it is everything."""
        self._watch.run("store", self._writer.wait)
        self.ledger.refused([reject for reject in self.rejects if reject.dataset is None])
        self.ledger.stored(self._put)
        self._watch.run("check", self.ledger.check)
        coverage.add(self.ledger)
        self._report.add_part(self.rejects, self._put)

    def _hand_over(self, store: ObjectStore, artifact: Artifact, body: bytes) -> None:
        self._watch.run("store", self._writer.put, store, artifact.key, body)
        self._put.append(artifact)
