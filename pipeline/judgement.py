"""User records, taken as far as rows and rejects, for somebody else to store the rows.

The stations and their order are those of `flow`, and so is the proof that nothing was lost.
"""

import time
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

import msgspec

from pipeline.adapters.stopwatch import Stopwatch
from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.deadletter import ReplayBatch
from pipeline.core.envelope import Unwrapped
from pipeline.core.errors import ConfigurationError
from pipeline.core.ledger import DEAD_LETTERS, Ledger
from pipeline.core.protection import needs_protection
from pipeline.core.records import OutputObject, Partition, Reject, units_of
from pipeline.flow import Pipeline, reopen, through_stations
from pipeline.storing import Stations


class Judged(msgspec.Struct, frozen=True):
    """A part of a batch: what its documents are; `rejects` hold what their producers sent."""

    documents: Unwrapped
    partitions: list[tuple[Dataset, Partition]]
    rejects: list[Reject]


def judge(letters: ReplayBatch, pipeline: Pipeline) -> Iterator[Judged]:
    """Yield part after part of what is to be judged, each whole.

    Raises `ConservationError` for a defect of ours: behind the last part, all that must be there
    was in one; and `ConfigurationError` where private values would be handed on as they are.
    """
    if needs_protection(pipeline.router.datasets):
        message = (
            "Datasets have private fields, and whoever stores the rows would get their values as "
            "they are; use the function of a Kinesis stream for them."
        )
        raise ConfigurationError(message)
    opened = reopen(letters, pipeline, Stopwatch(time.perf_counter))
    unopened = opened.unopened
    for part in opened.parts:
        ledger, judged = _judged(part, [*unopened, *part.rejects], pipeline)
        unopened = []
        ledger.check()
        opened.coverage.add(ledger, judged.rejects)
        if opened.originals is not None:
            as_sent = opened.originals.put_back(judged.rejects)
            judged = msgspec.structs.replace(judged, rejects=as_sent)
        yield judged
    opened.coverage.check()


def _judged(part: Unwrapped, rejects: list[Reject], pipeline: Pipeline) -> tuple[Ledger, Judged]:
    """Take a part through the stations, and enter all of it."""
    ledger = Ledger()
    for units in part.drops.values():
        ledger.dropped(part.documents, units)
    stations = Stations(list(rejects))
    routed = stations.run("route", pipeline.router.route, part.documents, fast=pipeline.fast_paths)
    found = list[tuple[Dataset, Partition]]()
    for dataset, chunk in routed:
        ledger.routed(dataset, chunk)
        _, partitions = through_stations(stations, chunk, dataset, pipeline)
        found += [(dataset, partition) for partition in partitions]
    rejects = stations.rejects
    ledger.refused([reject for reject in rejects if reject.dataset is None])
    ledger.stored(_accounts(found, rejects))
    return ledger, Judged(part, found, rejects)


def _accounts(
    found: list[tuple[Dataset, Partition]], rejects: list[Reject]
) -> Iterator[OutputObject]:
    """Yield what rows and rejects account for, as if they were objects."""
    for dataset, partition in found:
        for as_format in dataset.formats:
            yield OutputObject("", dataset.name, as_format, partition.rows.units, 0)
    by_dataset = sorted(rejects, key=lambda reject: reject.dataset or UNROUTED)
    for name, letters in groupby(by_dataset, key=attrgetter("dataset")):
        yield OutputObject("", name or UNROUTED, DEAD_LETTERS, units_of(letters), 0)
