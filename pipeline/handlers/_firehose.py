"""The response to Firehose, which has its records transformed: what is good, and nothing else.

A record's good documents go back, one a line; its bad ones are dead letters, and are stored before
the response. What cannot be answered for, because it would not fit into the response or because its
dead letters could not be stored, is `ProcessingFailed`: Firehose keeps it as it came, in
`processing-failed/`, from where `pipeline redrive` takes it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Literal

import msgspec
import pybase64

from pipeline.adapters.telemetry import Telemetry, Transformed
from pipeline.attempt import Attempt
from pipeline.core.deadletter import DeadLetter, ReplayBatch, to_replay
from pipeline.core.errors import PipelineError, StoreError, UnexpectedError
from pipeline.core.firehose_events import SentRecord, read_transformation_event
from pipeline.core.integers import from_arrow
from pipeline.core.layout import ObjectKeys
from pipeline.core.letter_lines import encode_dead_letters, group_by_arrival_hour
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.reasons import RejectStage
from pipeline.core.records import Reject
from pipeline.flow import Pipeline
from pipeline.handlers.invocation import describe_unexpected, remaining_time, reserve_within
from pipeline.judgement import Judged, judge

Result = Literal["Ok", "Dropped", "ProcessingFailed"]

MOST_BYTES: Final = 6_000_000
"""Of a response as JSON: Lambda takes 6 MB (6,291,556 bytes) of one."""
_MOST_REJECTED: Final = 64 * 2**20  # bytes of dead letters in memory
_A_REJECT: Final = 256  # bytes that a reject takes beside its payload
_AROUND: Final = 100  # bytes of JSON around what a record of the response holds, at most
_COMPACT: Final = -1


class _Answer:
    """What is to be answered for one record."""

    def __init__(self, record: SentRecord) -> None:
        self.record = record
        self.texts: list[bytes] = []
        self.keys = set[tuple[str, str]]()
        self.rejects: list[Reject] = []
        self.size = self.rejected = 0
        self.failure: str | None = None

    @property
    def result(self) -> Result:
        """What becomes of the record at Firehose."""
        if self.failure is not None:
            return "ProcessingFailed"
        return "Ok" if self.texts else "Dropped"

    def fail(self, why: str) -> None:
        """Leave the record to Firehose, whole."""
        self.failure = why
        self.texts, self.rejects = [], []
        self.size = self.rejected = 0

    def response(self) -> dict[str, Any]:
        """Return the record of the response."""
        answer: dict[str, Any] = {"recordId": self.record.record_id, "result": self.result}
        if self.texts:
            answer["data"] = pybase64.b64encode_as_string(b"".join(self.texts))
            answer |= self._metadata()
        return answer

    def cost(self) -> int:
        """Return how many bytes the record of the response has at most."""
        data = -(-self.size // 3) * 4
        return data + len(json.dumps([self.record.record_id, self._metadata()])) + _AROUND

    def _metadata(self) -> dict[str, Any]:
        """Return the keys of dynamic partitioning, where they are those of all documents."""
        if len(self.keys) != 1:
            return {}
        ((dataset, path),) = self.keys
        levels = (level.partition("=") for level in path.split("/") if level)
        keys = {"dataset": dataset, **{name: value for name, _, value in levels}}
        return {"metadata": {"partitionKeys": keys}}


def respond(
    event: Any, context: Any, pipeline: Pipeline, response_reserve: float, telemetry: Telemetry
) -> dict[str, Any]:
    """Transform the records of one event. Raises `EventError`, and what is a defect of ours.

    After an exception Firehose calls again, three times by default; then it keeps all records in
    `processing-failed/`.
    """
    stream, records = read_transformation_event(event)
    request_id = getattr(context, "aws_request_id", None)
    remaining = remaining_time(context)
    attempt = Attempt(pipeline, remaining, reserve_within(remaining(), response_reserve))
    answers = [_Answer(record) for record in records]
    try:
        transformation = _Transformation(answers, attempt)
        for source in dict.fromkeys(record.source for record in records):
            transformation.take(source, stream)
        transformation.store()
    except PipelineError:
        raise
    except Exception as error:  # noqa: BLE001 - raised again, only without its text
        raise UnexpectedError(describe_unexpected(error)) from None
    results = Counter[str](answer.result for answer in answers)
    failures = [answer.failure for answer in answers if answer.failure is not None]
    telemetry.transformed(stream, dict(results), transformation.numbers(), failures, request_id)
    return {"records": [answer.response() for answer in answers]}


class _Transformation:
    """The work on one event, source by source."""

    def __init__(self, answers: Sequence[_Answer], attempt: Attempt) -> None:
        self._answers = answers
        self._attempt = attempt
        self._pipeline = attempt.pipeline
        self._batches: list[tuple[ReplayBatch, list[_Answer]]] = []
        self._left = MOST_BYTES - sum(answer.cost() for answer in answers) - _AROUND
        self._rejected = 0
        self._documents = 0
        self._drops = Counter[str]()

    def take(self, source: str, stream: str) -> None:
        """Judge the records of one source, and keep what is to be answered."""
        chosen = [answer for answer in self._answers if answer.record.source == source]
        chosen.sort(key=lambda answer: answer.record.position)
        letters = to_replay(
            [_letter(answer.record) for answer in chosen],
            _which(stream, [a.record for a in chosen]),
        )
        self._batches.append((letters, chosen))
        parts = judge(letters, self._pipeline)
        while self._has_time():
            part = next(parts, None)
            if part is None:
                return
            self._add(part, chosen)
        for answer in chosen:
            if answer.failure is None:
                self._give_up(answer, "there was no time for it beside the others")

    def _has_time(self) -> bool:
        return self._attempt.remaining() > self._attempt.reserve

    def _add(self, part: Judged, chosen: Sequence[_Answer]) -> None:
        for name, units in part.documents.drops.items():
            self._drops[name] += len(units)
        self._documents += len(part.documents.documents) + len(part.documents.rejects)
        for number, found in groupby(sorted(_documents(part)), key=lambda each: each[0]):
            self._add_texts(chosen[number], found)
        for reject in part.rejects:
            number = reject.provenance.record[reject.unit]
            self._add_reject(chosen[number], reject)

    def _add_texts(
        self, answer: _Answer, found: Iterable[tuple[int, int, bytes, tuple[str, str]]]
    ) -> None:
        """Add a record's good documents, if all of them fit into the response."""
        if answer.failure is not None:
            return
        before = answer.cost()
        for _, _, text, key in found:
            answer.texts.append(text)
            answer.keys.add(key)
            answer.size += len(text)
        self._left -= answer.cost() - before
        if self._left < 0:
            self._give_up(
                answer, "its documents do not fit into the 6 MB of a response beside the others"
            )

    def _add_reject(self, answer: _Answer, reject: Reject) -> None:
        if answer.failure is not None:
            return
        answer.rejects.append(reject)
        size = len(reject.payload) + _A_REJECT
        answer.rejected += size
        self._rejected += size
        if self._rejected > _MOST_REJECTED:
            self._give_up(answer, "its dead letters do not fit into memory beside the others")

    def _give_up(self, answer: _Answer, why: str) -> None:
        self._rejected -= answer.rejected
        self._left += answer.cost()
        answer.keys.clear()
        answer.fail(f"{why}; Firehose keeps it in processing-failed/, for pipeline redrive")
        self._left -= answer.cost()

    def store(self) -> None:
        """Store the dead letters; where that fails, Firehose keeps their records."""
        for letters, chosen in self._batches:
            rejects = [reject for answer in chosen for reject in answer.rejects]
            keys = ObjectKeys(letters.batch)
            for dataset, hour, group in group_by_arrival_hour(rejects):
                try:
                    self._attempt.dead_letters.put(
                        keys.dead_letters(dataset, hour, 0), encode_dead_letters(group)
                    )
                except StoreError as error:
                    for number in {reject.provenance.record[reject.unit] for reject in group}:
                        self._give_up(chosen[number], str(error))

    def numbers(self) -> Transformed:
        """Return what was answered and stored, after `store`."""
        rejects = Counter[tuple[str, str]](
            (reject.dataset or "unrouted", str(reject.violation.reason))
            for answer in self._answers
            for reject in answer.rejects
        )
        rows = sum(len(answer.texts) for answer in self._answers)
        size = sum(len(answer.record.data) for answer in self._answers)
        return Transformed(self._documents, rows, size, rejects, self._drops)


def _documents(part: Judged) -> Iterator[tuple[int, int, bytes, tuple[str, str]]]:
    """Yield each good document: its record's index, its own, its line, and where it belongs."""
    for dataset, partition in part.partitions:
        rows, key = partition.rows, (dataset.name, partition.path)
        records, payloads = rows.chunk.provenance.record, rows.chunk.payloads
        for index, unit in zip(from_arrow(rows.index), from_arrow(rows.unit), strict=True):
            yield records[unit], unit, _line(payloads[index]), key


def _line(document: bytes) -> bytes:
    """Return a document as a line; its values stay as they were written."""
    if b"\n" in document or b"\r" in document:
        document = msgspec.json.format(document, indent=_COMPACT)
    return document + b"\n"


def _which(stream: str, records: Iterable[SentRecord]) -> str:
    """Return what tells these records from any others: an aggregate may be cut between events."""
    digest = hashlib.sha256(stream.encode())
    for record in records:
        number, sub = record.position
        digest.update(b"\0%d %d %d\0" % (number, sub, len(record.data)))
        digest.update(record.data)
    return digest.hexdigest()


def _letter(record: SentRecord) -> DeadLetter:
    """Return a record as what a redrive takes up: a user record, or an aggregate of some."""
    is_aggregate = record.data.startswith(KPL_MAGIC) and not record.sub_sequence_number
    return DeadLetter(
        line=b"",
        stage=RejectStage.AGGREGATE if is_aggregate else RejectStage.PAYLOAD,
        reason="",
        message="",
        path="$",
        dataset=None,
        source=record.source,
        sequence_number=record.sequence_number,
        sub_sequence_number=record.sub_sequence_number,
        document=0,
        arrived_at=record.arrived_at,
        partition_key=record.partition_key,
        payload=record.data,
    )
