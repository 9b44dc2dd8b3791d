"""Files a day and dollars a month of what was sampled, here and at Firehose."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pipeline.core.events import kinesis_event
from pipeline.core.records import StreamRecord
from pipeline.flow import Pipeline
from pipeline.measure.events import FULL_EVENT, SHARD, STREAM, event_bytes
from pipeline.measure.invocation import PUT_SECONDS, DistantStore, invoke
from pipeline.measure.prices import GIGABYTE, firehose_cost, pipeline_cost
from pipeline.measure.runs import interleaved, one_core

WINDOW: Final = 60
"""Seconds that Lambda waits for an event to be full, by default of the template."""
_DAY: Final = 86_400
_MONTH: Final = 30  # days
_RUNS: Final = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """What so many GB a day become: numbers for a day, dollars for a month."""

    events: float
    files: float
    here: float
    firehose: float
    partitioned: bool
    megabytes_a_second: float


def estimate(
    pipeline: Pipeline,
    event: Sequence[StreamRecord],
    *,
    gigabytes: float,
    shards: int,
    payload_bytes: float,
    partitioned: bool,
) -> Estimate:
    """Measure one full event on one core, and extrapolate.

    `gigabytes` is what comes in a day. An event is delivered when it is full, or when its window
    ends; `payload_bytes` is the mean size of a record as Firehose would see it.
    """
    size = sum(len(record.data) for record in event)
    near, far = pipeline, _distant(pipeline)
    body = kinesis_event(event, STREAM, SHARD)
    with one_core():
        work = interleaved({"": lambda: invoke(body, near)}, _RUNS)[""].median
        whole = interleaved({"": lambda: invoke(body, far)}, _RUNS, clock=time.perf_counter)[""]
    objects = invoke(body, near).objects
    volume = gigabytes * GIGABYTE
    records_a_day = volume / size * len(event)
    events = max(volume / size, min(shards * _DAY / WINDOW, records_a_day))
    share = volume / events / size  # of a full event
    seconds = max(PUT_SECONDS, whole.median - work * (1 - share))
    cost = pipeline_cost(max(1, round(volume / events)), seconds, objects)
    return Estimate(
        events=events,
        files=events * objects,
        here=cost.total * gigabytes * _MONTH,
        firehose=firehose_cost(payload_bytes, partitioned=partitioned) * gigabytes * _MONTH,
        partitioned=partitioned,
        megabytes_a_second=size / 1e6 / work,
    )


def events_of(records: Iterable[StreamRecord]) -> Iterator[list[StreamRecord]]:
    """Cut records into events as Lambda does: as many as one holds, one at least."""
    event, room = list[StreamRecord](), FULL_EVENT
    for record in records:
        room -= event_bytes(len(record.data))
        if room < 0 and event:
            yield event
            event, room = [], FULL_EVENT - event_bytes(len(record.data))
        event.append(record)
    if event:
        yield event


def full_event(records: Sequence[StreamRecord]) -> list[StreamRecord]:
    """Return the records of a full event, over and over where they are few; none of none."""
    numbered = (
        msgspec.structs.replace(record, sequence_number=str(number))
        for number, record in enumerate(itertools.cycle(records), 1)
    )
    return next(events_of(numbered), [])


def _distant(pipeline: Pipeline) -> Pipeline:
    """Return the same pipeline, on stores as slow as S3."""
    return msgspec.structs.replace(pipeline, output=DistantStore(), dead_letters=DistantStore())
