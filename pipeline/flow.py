r"""The whole road on one page: a batch of stream records to objects in a store.

    stream records > user records > documents > Arrow table > partitions > CSV, Parquet
          \______________\____________\____________\____________\_______> dead letters

Every station takes a chunk and gives back what is good and what is rejected. Nothing here
decides anything about a document: read the stations in `pipeline.core` for that.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

from pipeline.adapters.store import ConcurrentWriter, ObjectStore
from pipeline.adapters.telemetry import Stage, Stopwatch
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset
from pipeline.core.deadletter import Letters, encode_dead_letters, file_by_arrival
from pipeline.core.encode import encode
from pipeline.core.kpl import open_aggregates
from pipeline.core.layout import data_key, dead_letter_key, path_bytes
from pipeline.core.ledger import DEAD_LETTERS, Ledger
from pipeline.core.partition import split
from pipeline.core.payload import Part, check_documents, open_payloads
from pipeline.core.records import (
    Artifact,
    Batch,
    Bounds,
    Chunk,
    Partition,
    Reject,
    Units,
    units_of,
)
from pipeline.core.report import Report
from pipeline.core.routing import Router
from pipeline.core.rules import check_rules


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
    """Store part after part; what did not open at all goes with the first."""
    report = Report(batch, milliseconds=watch.milliseconds)
    for documents, refused in watch.each("decode", parts):
        rejects, unopened = [*unopened, *refused], []
        if rejects or len(documents):
            part = _Part(report.parts, system, writer, watch, report)
            part.deliver(documents, rejects)
    return report


class _Part:
    """As much of a batch as is unpacked at once; nearly always all of it."""

    def __init__(
        self,
        number: int,
        system: System,
        writer: ConcurrentWriter,
        watch: Stopwatch,
        report: Report,
    ) -> None:
        self.number = number
        self.system = system
        self.writer = writer
        self.watch = watch
        self.report = report
        self.ledger = Ledger()
        self.rejects: list[Reject] = []
        self.stored: list[Artifact] = []

    def deliver(self, documents: Chunk, refused: Iterable[Reject]) -> None:
        """Store all of it, as rows or as dead letters, and prove that it is all."""
        self.rejects += refused
        routed = self._good("route", self.system.router.route, documents)
        self.ledger.refused(self.rejects)
        for dataset, chunk in routed:
            self.ledger.routed(dataset, chunk)
            self._store_rows(dataset, self._partitions(chunk, dataset))
            self.report.of(dataset.name).documents += len(chunk)
        self._store_dead_letters()
        self.watch.run("store", self.writer.wait)
        self.ledger.stored(self.stored)
        self.watch.run("check", self.ledger.check)
        self.report.add_part(self.rejects, self.stored)

    def _partitions(self, chunk: Chunk, dataset: Dataset) -> list[Partition]:
        bounds = self.system.bounds
        room = path_bytes(dataset, min(bounds.key_bytes, self.system.output.longest_key))
        rows = self._good("convert", convert, chunk, dataset)
        rows = self._good("rules", check_rules, rows, dataset)
        self.report.of(dataset.name).rows += len(rows)
        partitions: list[Partition] = self._good("partition", split, rows, dataset, bounds, room)
        return partitions

    def _good(self, stage: Stage, station: Callable[..., Any], *args: Any) -> Any:
        """Run a station; what it rejects becomes dead letters, what is good goes on."""
        good, rejects = self.watch.run(stage, station, *args)
        self.rejects += rejects
        return good

    def _store_rows(self, dataset: Dataset, partitions: Iterable[Partition]) -> None:
        batch, output = self.report.batch, self.system.output
        for partition in partitions:
            for as_format in dataset.formats:
                key = data_key(batch, dataset.name, as_format, partition.path, self.number)
                body = self.watch.run("encode", encode, partition.rows, dataset, as_format)
                units = partition.rows.units
                self._put(output, Artifact(key, dataset.name, as_format, units, len(body)), body)

    def _store_dead_letters(self) -> None:
        batch, store = self.report.batch, self.system.dead_letters
        for dataset, hour, letters in file_by_arrival(self.rejects):
            key = dead_letter_key(batch, dataset, hour, self.number)
            body = self.watch.run("encode", encode_dead_letters, letters)
            units: Units = units_of(letters)
            self._put(store, Artifact(key, dataset, DEAD_LETTERS, units, len(body)), body)

    def _put(self, store: ObjectStore, artifact: Artifact, body: bytes) -> None:
        """Hand an object to the writer, which stores it while the next one is encoded."""
        self.watch.run("store", self.writer.put, store, artifact.key, body)
        self.stored.append(artifact)
