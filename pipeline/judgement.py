"""User records, taken as far as rows and rejects, for somebody else to store the rows.

The stations, their order and the proof that nothing was lost are those of `flow`.
"""

import time
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

import msgspec

from pipeline.adapters.stopwatch import Stopwatch
from pipeline.core.convert import convert
from pipeline.core.dataset import UNROUTED, Dataset
from pipeline.core.deadletter import ReplayBatch
from pipeline.core.envelope import Unwrapped
from pipeline.core.layout import path_bytes
from pipeline.core.ledger import DEAD_LETTERS, Ledger
from pipeline.core.partition import split
from pipeline.core.records import OutputObject, Partition, Reject, units_of
from pipeline.core.rules import check_rules
from pipeline.flow import Pipeline, reopen


class Judged(msgspec.Struct, frozen=True):
    """A part of a batch: what its documents are."""

    documents: Unwrapped
    partitions: list[tuple[Dataset, Partition]]
    rejects: list[Reject]


def judge(letters: ReplayBatch, pipeline: Pipeline) -> Iterator[Judged]:
    """Yield part after part of what is to be judged, each whole.

    Raises `ConservationError` for a defect of ours: behind the last part, all that must be there
    was in one.
    """
    opened = reopen(letters, pipeline, Stopwatch(time.perf_counter))
    unopened = opened.unopened
    for part in opened.parts:
        ledger, judged = _judged(part, [*unopened, *part.rejects], pipeline)
        unopened = []
        ledger.check()
        opened.coverage.add(ledger, judged.rejects)
        yield judged
    opened.coverage.check()


def _judged(part: Unwrapped, rejects: list[Reject], pipeline: Pipeline) -> tuple[Ledger, Judged]:
    """Take a part through the stations, and enter all of it."""
    fast, ledger = pipeline.fast_paths, Ledger()
    for units in part.drops.values():
        ledger.dropped(part.documents, units)
    routed, lost = pipeline.router.route(part.documents, fast=fast)
    rejects = [*rejects, *lost]
    found = list[tuple[Dataset, Partition]]()
    for dataset, chunk in routed:
        ledger.routed(dataset, chunk)
        rows, broken = convert(chunk, dataset, fast=fast)
        rows, wrong = check_rules(rows, dataset)
        room = path_bytes(dataset, min(pipeline.limits.key_bytes, pipeline.output.longest_key))
        partitions, unwritable = split(rows, dataset, pipeline.limits, room)
        rejects += [*broken, *wrong, *unwritable]
        found += [(dataset, partition) for partition in partitions]
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
