r"""The whole road on one page: a batch of stream records to objects in a store.

    stream records > user records > documents > Arrow table > partitions > CSV, Parquet
          \______________\____________\____________\____________\_______> dead letters

Where a stream has envelopes, its rules take the documents out of what the user records hold.

Every station accepts a chunk, and returns what is good and what is rejected. Nothing here
decides anything about a document: read the stations in `pipeline.core` for that.

`opening` is the first half, up to documents, and `storing` the second, from partitions on.
"""

import msgspec

from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core.census import Census
from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset
from pipeline.core.deadletter import ReplayBatch
from pipeline.core.errors import DeadlineExceeded
from pipeline.core.layout import ObjectKeys, path_bytes
from pipeline.core.partition import split
from pipeline.core.privacy import protect
from pipeline.core.records import Batch, Chunk, Partition, Rows
from pipeline.core.report import Report
from pipeline.core.rules import check_rules
from pipeline.opening import Opened, Pipeline, open_batch, open_documents, reopen
from pipeline.storing import PartStore, Stations

__all__ = ["Pipeline", "open_documents", "process", "reopen", "replay", "through_stations"]


def process(
    batch: Batch, pipeline: Pipeline, writer: ConcurrentWriter, timings: Stopwatch
) -> Report:
    """Take one batch all the way; return only when every document of it is stored.

    Raises `StoreError` or `DeadlineExceeded` for a batch that could not be stored whole,
    `FuseBlown` where that is asked for, and `ConservationError` for a defect of ours; the same
    batch may then simply be processed again.
    """
    return _deliver(batch, open_batch(batch, pipeline, timings), pipeline, writer, timings)


def replay(
    letters: ReplayBatch, pipeline: Pipeline, writer: ConcurrentWriter, timings: Stopwatch
) -> Report:
    """Take dead letters the rest of the way, each from the stage that had rejected it.

    There is no fuse: what is refused again is where it was.
    """
    pipeline = msgspec.structs.replace(pipeline, fuse=None)
    return _deliver(letters.batch, reopen(letters, pipeline, timings), pipeline, writer, timings)


def through_stations(
    stations: Stations, chunk: Chunk, dataset: Dataset, pipeline: Pipeline
) -> tuple[Rows, list[Partition]]:
    """Take the documents of one dataset as far as partitions; some are rejected on the way."""
    run = stations.run
    rows = run("convert", convert, chunk, dataset, fast=pipeline.fast_paths)
    rows = run("rules", check_rules, rows, dataset)
    rows = run("rules", protect, rows, dataset, pipeline.protection)
    room = path_bytes(dataset, min(pipeline.limits.key_bytes, pipeline.output.longest_key))
    return rows, run("partition", split, rows, dataset, pipeline.limits, room)


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
        part = PartStore(report, keys, pipeline, writer, timings, [*unopened, *refused])
        unopened = []
        part.drop(documents, drops)
        if unkept is not None:
            report.unkept.add_counts(unkept.envelopes, unkept.fields, unkept.others)
        routed = part.run("route", route, documents, fast=fast)
        part.count(routed, census)
        for dataset, chunk in routed:
            part.ledger.routed(dataset, chunk)
            rows, partitions = through_stations(part, chunk, dataset, pipeline)
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
