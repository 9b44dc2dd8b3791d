"""The outcomes of a record, and a producer's counters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.core.errors import PipelineError


class Position(NamedTuple):
    """Where an acknowledged record is stored: with the stream's ARN, its identity in every row."""

    shard_id: str
    sequence_number: str
    sub_sequence_number: int
    """Its place in the aggregate, 0 outside one."""


class FailedRecord(NamedTuple):
    """A record that was given up, as it was put, and why, in a sentence."""

    payload: bytes
    partition_key: str
    error: str
    explicit_hash_key: str | None = None


Outcome = Position | FailedRecord
Callback = Callable[[Outcome], object]


class ProducerError(PipelineError):
    """Records were given up without a callback or future; `failed` holds them."""

    def __init__(self, sentence: str, failed: Sequence[FailedRecord] = ()) -> None:
        super().__init__(sentence)
        self.failed = list(failed)


class RecordRefused(ProducerError, ValueError):
    """The record is not one that a stream could hold; it was not put."""


class DocumentRefused(RecordRefused):
    """The consumer would make a dead letter of it, for this reason and at this JSON path.

    `dataset` is None where none takes it; `document` is its number within the payload.
    """

    def __init__(
        self, sentence: str, *, reason: str, path: str, dataset: str | None, document: int
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.path = path
        self.dataset = dataset
        self.document = document


class RecordFailed(ProducerError):
    """The record of this future was given up; `failed` holds it."""


@dataclass(slots=True)
class Statistics:
    """What a producer did so far; put = acknowledged + failed + waiting."""

    put: int = 0
    acknowledged: int = 0
    failed: int = 0
    put_bytes: int = 0
    """Bytes of the payloads put, before compression."""
    acknowledged_bytes: int = 0
    """Bytes of the payloads acknowledged, before compression."""
    stream_records: int = 0
    """Stream records stored: aggregates, and records sent alone."""
    stream_bytes: int = 0
    """Bytes of their data."""
    calls: int = 0
    """PutRecords calls."""
    throttled: int = 0
    """Stream records that Kinesis had no capacity for, each time."""
    retries: int = 0
    """Stream records that were not stored and went back to be tried again, each time."""
    refreshes: int = 0
    """Times that the shards were listed anew."""

    @property
    def waiting(self) -> int:
        """Records put that are neither stored nor given up yet."""
        return self.put - self.acknowledged - self.failed
