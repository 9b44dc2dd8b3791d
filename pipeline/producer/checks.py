"""Whether the consumer would refuse a payload: asked of its own stations, before it is put.

This is the only module of the producer that needs Arrow; it is loaded where schemas are given.
"""

import os
import time
from pathlib import Path

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.privacy_key import protection_for_trials
from pipeline.adapters.schemas import read_datasets, read_stream
from pipeline.adapters.stopwatch import Stopwatch
from pipeline.attempt import decoder_of, envelope_of
from pipeline.core.records import Batch, Limits, Reject, StreamRecord
from pipeline.core.routing import Router
from pipeline.core.stream import Framing
from pipeline.flow import Pipeline, through_stations
from pipeline.opening import open_batch
from pipeline.producer.outcomes import DocumentRefused
from pipeline.storing import Stations

_SOURCE = "producer/0"


class Check:
    """Judges payloads by the datasets of a folder. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Read the folder. Raises `DatasetError` where the consumer would not start with it."""
        datasets, stream = read_datasets(folder), read_stream(folder)
        limits = Limits()
        credentials = os.environ.get("PIPELINE_REGISTRY_CREDENTIALS", "")
        self._pipeline = Pipeline(
            Router(datasets),
            limits,
            MemoryStore(),
            MemoryStore(),
            each_line=stream.framing is Framing.LINES,
            envelope=envelope_of(stream, limits),
            protection=protection_for_trials(datasets),
            decoder=decoder_of(stream, folder, credentials),
        )

    def __call__(self, payload: bytes, partition_key: str) -> None:
        """Raise `DocumentRefused` for what would become a dead letter if it arrived now."""
        record = StreamRecord("0", partition_key, time.time_ns() // 1_000, payload)
        rejects = self._rejects(Batch(_SOURCE, "0", (record,)))
        if rejects:
            raise _refused(rejects[0])

    def _rejects(self, batch: Batch) -> list[Reject]:
        """Return what is refused of a batch, in the order of its documents."""
        pipeline = self._pipeline
        opened = open_batch(batch, pipeline, Stopwatch(time.perf_counter))
        rejects = [*opened.unopened]
        for part in opened.parts:
            stations = Stations([*part.rejects])
            routed = stations.run("route", pipeline.router.route, part.documents)
            for dataset, chunk in routed:
                through_stations(stations, chunk, dataset, pipeline)
            rejects += stations.rejects
        if pipeline.protection is not None:
            rejects = pipeline.protection.public(rejects)
        return sorted(rejects, key=_position)


def _position(reject: Reject) -> tuple[int, int]:
    return reject.provenance.sub[reject.unit], reject.provenance.document[reject.unit]


def _refused(reject: Reject) -> DocumentRefused:
    violation, document = reject.violation, reject.provenance.document[reject.unit]
    which = f"document {document} of the payload" if document else "the payload"
    whose = f" of dataset {reject.dataset}" if reject.dataset else ""
    return DocumentRefused(
        f"The consumer would refuse {which}{whose}: {violation.reason} at {violation.path}: "
        f"{violation.message} It was not put.",
        reason=violation.reason,
        path=violation.path,
        dataset=reject.dataset,
        document=document,
    )
