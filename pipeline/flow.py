r"""The whole road on one page: a batch of stream records to objects in a store.

    stream records > user records > documents > Arrow table > partitions > CSV, Parquet
          \______________\____________\____________\____________\_______> dead letters

Where a stream has envelopes, its rules take the documents out of what the user records hold.

Every station accepts a chunk, and returns what is good and what is rejected. Nothing here
decides anything about a document: read the stations in `pipeline.core` for that.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import NamedTuple, ParamSpec, TypeVar

import msgspec

from pipeline.adapters.stopwatch import Phase, Stopwatch
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.unfinished import Unfinished
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core.binary.decoder import Decoder
from pipeline.core.census import Census
from pipeline.core.convert import convert
from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.deadletter import ReplayBatch, encode_dead_letters, group_by_arrival_hour
from pipeline.core.decode import Originals, decode_payloads
from pipeline.core.encode import encode
from pipeline.core.envelope import MOST_DOCUMENTS, Envelope, Unwrapped, as_they_are, unwrap
from pipeline.core.errors import DeadlineExceeded
from pipeline.core.integers import Integers
from pipeline.core.kpl import deaggregate
from pipeline.core.layout import ObjectKeys, path_bytes
from pipeline.core.ledger import DEAD_LETTERS, Coverage, Ledger, Names
from pipeline.core.partition import split
from pipeline.core.parts import NARROW, Part
from pipeline.core.payload import check_documents, unpack_payloads
from pipeline.core.records import (
    Batch,
    Chunk,
    Fuse,
    Limits,
    OutputObject,
    Partition,
    Reject,
    units_of,
)
from pipeline.core.report import Report
from pipeline.core.routing import Router
from pipeline.core.rules import check_rules

_Args = ParamSpec("_Args")
_Good = TypeVar("_Good")


class Pipeline(msgspec.Struct, frozen=True):
    """What stays the same from one batch to the next.

    Without `fast_paths` every station works the exact way alone: slower, to the same end. With
    `each_line` the owner of the stream says that each line of a payload is a document, by
    `envelope` what is to be taken out of documents, by `decoder` what payloads are that are not
    JSON. With a `fuse`, a batch of which too much is refused fails. Only `unfinished` changes: it
    spares work when a batch comes again, and no result depends on it.
    """

    router: Router
    limits: Limits
    output: ObjectStore
    dead_letters: ObjectStore
    fast_paths: bool = True
    each_line: bool = False
    envelope: Envelope | None = None
    fuse: Fuse | None = None
    decoder: Decoder | None = None
    names: Names = msgspec.field(default_factory=Names)
    unfinished: Unfinished = msgspec.field(default_factory=Unfinished)

    @property
    def payload_limits(self) -> Limits:
        """The limits of what a payload holds; those of a document are for what comes of it."""
        return _payload_limits(self.limits, self.envelope)


class Opened(NamedTuple):
    """A batch as far as its documents: what did not open, parts, and all that must be in these.

    Where payloads are decoded, dead letters hold the `originals`.
    """

    unopened: list[Reject]
    parts: Iterator[Unwrapped]
    coverage: Coverage
    originals: Originals | None


def process(
    batch: Batch, pipeline: Pipeline, writer: ConcurrentWriter, timings: Stopwatch
) -> Report:
    """Take one batch all the way; return only when every document of it is stored.

    Raises `StoreError` or `DeadlineExceeded` for a batch that could not be stored whole,
    `FuseBlown` where that is asked for, and `ConservationError` for a defect of ours; the same
    batch may then simply be processed again.
    """
    fast = pipeline.fast_paths
    user_records, unopened = timings.run("decode", deaggregate, batch, fast=fast)
    parts = _unwrapped(_unpacked(user_records, pipeline), pipeline)
    coverage = Coverage(batch, range(len(batch.records)), [user_records.provenance])
    opened = Opened(unopened, parts, coverage, _originals([user_records], pipeline))
    return _deliver(batch, opened, pipeline, writer, timings)


def replay(
    letters: ReplayBatch, pipeline: Pipeline, writer: ConcurrentWriter, timings: Stopwatch
) -> Report:
    """Take dead letters the rest of the way, each from the stage that had rejected it.

    There is no fuse: what is refused again is where it was.
    """
    pipeline = msgspec.structs.replace(pipeline, fuse=None)
    return _deliver(letters.batch, reopen(letters, pipeline, timings), pipeline, writer, timings)


def reopen(letters: ReplayBatch, pipeline: Pipeline, timings: Stopwatch) -> Opened:
    """Open what is replayed."""
    batch, fast = letters.batch, pipeline.fast_paths
    numbers = letters.stream_records
    user_records, unopened = timings.run("decode", deaggregate, batch, numbers, fast=fast)
    limits, width = pipeline.payload_limits, pipeline.router.width
    packed = chain(
        _unpacked(user_records, pipeline),
        _unpacked(letters.user_records, pipeline),
        check_documents(letters.documents, limits, width),
    )
    elements = check_documents(letters.elements, pipeline.limits, width)
    parts = chain(_unwrapped(packed, pipeline), as_they_are(elements))
    opened = [user_records, letters.user_records, letters.documents, letters.elements]
    coverage = Coverage(batch, numbers, [chunk.provenance for chunk in opened])
    originals = _originals([user_records, letters.user_records], pipeline)
    return Opened(unopened, parts, coverage, originals)


def open_documents(
    batch: Batch, limits: Limits, envelope: Envelope | None = None, *, each_line: bool = False
) -> Iterator[Unwrapped]:
    """Take a batch as far as its documents, for whoever only looks at what there is."""
    user_records, unopened = deaggregate(batch)
    within = _payload_limits(limits, envelope)
    parts = unpack_payloads(user_records, within, each_line=each_line)
    opened = as_they_are(parts) if envelope is None else unwrap(parts, envelope, limits, NARROW)
    for part in opened:
        yield part._replace(rejects=[*unopened, *part.rejects])
        unopened = []


def _payload_limits(limits: Limits, envelope: Envelope | None) -> Limits:
    if envelope is None:
        return limits
    documents = min(limits.documents, MOST_DOCUMENTS)
    return msgspec.structs.replace(
        limits, documents=documents, document_bytes=limits.unpacked_bytes
    )


def _originals(user_records: list[Chunk], pipeline: Pipeline) -> Originals | None:
    return Originals(pipeline.decoder.format, user_records) if pipeline.decoder else None


def _unpacked(user_records: Chunk, pipeline: Pipeline) -> Iterator[Part]:
    is_file = user_records.provenance.batch.one_document_per_record
    if pipeline.decoder is not None and not is_file:
        limits, width = pipeline.payload_limits, pipeline.router.width
        return decode_payloads(user_records, pipeline.decoder, limits, width)
    return unpack_payloads(
        user_records,
        pipeline.payload_limits,
        pipeline.router.width,
        each_line=pipeline.each_line,
        fast=pipeline.fast_paths,
    )


def _unwrapped(parts: Iterator[Part], pipeline: Pipeline) -> Iterator[Unwrapped]:
    if pipeline.envelope is None:
        return as_they_are(parts)
    limits, width = pipeline.limits, pipeline.router.width
    return unwrap(parts, pipeline.envelope, limits, width, fast=pipeline.fast_paths)


def _deliver(
    batch: Batch,
    opened: Opened,
    pipeline: Pipeline,
    writer: ConcurrentWriter,
    timings: Stopwatch,
) -> Report:
    """Store part after part, in this order; what did not open at all goes with the first.

    Parts are unpacked one at a time, as the loop asks for the next: only one is in memory.
    """
    report = Report(batch, milliseconds=timings.milliseconds)
    try:
        _store(report, opened, pipeline, writer, timings)
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}{report.too_fine}", report.partitions) from error
    opened.coverage.check()
    return report


def _store(
    report: Report,
    opened: Opened,
    pipeline: Pipeline,
    writer: ConcurrentWriter,
    timings: Stopwatch,
) -> None:
    """Take part after part through the stations; give up when time has run out."""
    keys = ObjectKeys(report.batch)
    census = Census.of_batch(report.batch, keys.digest)
    route, fast = pipeline.router.route, pipeline.fast_paths
    unopened = opened.unopened
    for documents, refused, drops, unkept in timings.each("decode", opened.parts):
        part = _Part(report, keys, pipeline, writer, timings, [*unopened, *refused])
        unopened = []
        part.drop(documents, drops)
        if unkept is not None:
            report.unkept.add_counts(unkept.envelopes, unkept.fields, unkept.others)
        routed = part.run("route", route, documents, fast=fast)
        part.count(routed, census)
        for dataset, chunk in routed:
            part.ledger.routed(dataset, chunk)
            rows = part.run("convert", convert, chunk, dataset, fast=fast)
            rows = part.run("rules", check_rules, rows, dataset)
            room = path_bytes(dataset, min(pipeline.limits.key_bytes, pipeline.output.longest_key))
            partitions = part.run("partition", split, rows, dataset, pipeline.limits, room)
            tally = report.tally(dataset.name)
            tally.documents += len(chunk)
            tally.add_rows(rows, partitions)
            said = part.census(dataset, partitions)
            for partition in partitions:
                part.put_rows(partition, dataset, said)
        if pipeline.fuse is not None:
            report.check_fuse(pipeline.fuse, part.rejects)
        part.put_dead_letters(opened.originals)
        part.settle(opened.coverage)


class _Part:
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
        self.ledger = Ledger()
        self.rejects = rejects
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
        self.rejects += rejects
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
            encoder = partial(encode_dead_letters, letters, self._censuses[dataset].to_name())
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
