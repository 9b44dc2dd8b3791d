"""What is answered for files of S3: which are stored, and which shall be brought again."""

from collections import Counter
from typing import Any

from pipeline.adapters.telemetry import Telemetry
from pipeline.core.errors import (
    DeadlineExceeded,
    FilesFailed,
    FilesUnfinished,
    FileUnfinished,
    ObjectMissing,
    PipelineError,
    StoreError,
)
from pipeline.core.layout import is_pipeline_key
from pipeline.core.report import Report, UnknownFields
from pipeline.files.ingest import FileReport, Ingestion, Objects
from pipeline.files.notifications import (
    Delivery,
    ObjectReference,
    is_awaited,
    read_notifications,
)
from pipeline.flow import Pipeline
from pipeline.handlers.invocation import LARGEST_RESERVE, deadline, describe_unexpected

UNKNOWN = "unknown field of "
"""What the response's counts of unknown fields begin with; the dataset and the path follow."""


def answer_files(
    event: Any,
    context: Any,
    pipeline: Pipeline,
    objects: Objects,
    answer_reserve: float,
    telemetry: Telemetry,
) -> dict[str, Any]:
    """Store the files an event tells of; of those that are not, tell who sent the event.

    SQS is answered with the messages that it shall deliver again, which takes
    ReportBatchItemFailures as Kinesis does. Everyone else is told by an exception, after all files
    were tried: `FilesFailed`, or `FilesUnfinished` where time alone was missing and some was
    stored; who waits for the answer is told that by a count, as it is no error. What was stored is
    not done again.
    """
    deliveries = read_notifications(event)
    remaining = deadline(context)
    request_id = getattr(context, "aws_request_id", None)
    unknown: dict[str, UnknownFields] = {}

    def tell(report: Report) -> None:
        telemetry.stored(report, request_id)
        for name, tally in report.datasets.items():
            unknown.setdefault(name, UnknownFields()).merge(tally.unknown)

    ingestion = Ingestion(
        pipeline,
        objects,
        remaining,
        min(answer_reserve, remaining() * LARGEST_RESERVE),
        tell,
    )
    files = _Files(ingestion, telemetry, request_id)
    failed = [of.message_id for of in deliveries if not files.take(of)]
    if deliveries[0].message_id is not None:
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
    files.raise_failures(awaited=is_awaited(event))
    return {**files.counts, **_counts(unknown)}


def _counts(unknown: dict[str, UnknownFields]) -> dict[str, int]:
    """Return in how many documents which unknown field was."""
    return {
        f"{UNKNOWN}{name}: {field}": count
        for name, fields in unknown.items()
        for field, count in fields.counts()
    }


class _Files:
    """Takes what came in one event, and counts what became of it."""

    def __init__(self, ingestion: Ingestion, telemetry: Telemetry, request_id: str | None) -> None:
        self.ingestion = ingestion
        self.telemetry = telemetry
        self.request_id = request_id
        # Why they are not stored, and whether they only are not yet.
        self.failures: list[tuple[str, bool]] = []
        self.counts = Counter[str]()

    def take(self, delivery: Delivery) -> bool:
        """Store all files of one notification; return whether it is done with."""
        before = len(self.failures)
        if delivery.fault is not None:
            self._failed("not_a_notification", "", delivery.fault)
        self.counts["ignored"] += delivery.ignored
        for wanted in delivery.objects:
            self._take(wanted)
        return len(self.failures) == before

    def raise_failures(self, *, awaited: bool) -> None:
        """Raise what is to be told of those that are not stored."""
        unfinished = all(unfinished for _, unfinished in self.failures)
        if self.failures and not (awaited and unfinished):
            sentences = " ".join(why for why, _ in self.failures)
            raise (FilesUnfinished if unfinished else FilesFailed)(sentences)

    def _take(self, wanted: ObjectReference) -> None:
        report = FileReport(wanted.uri)
        if _is_output(wanted, self.ingestion.pipeline):
            self.counts["ignored"] += 1
            self.telemetry.file("ignored", wanted.uri, {}, self.request_id)
            return
        try:
            self.ingestion.ingest(wanted, report)
        except ObjectMissing as error:
            self._tell("gone", report, {"FilesGone": 1}, str(error))
        except FileUnfinished as error:
            self.failures.append((str(error), True))
            self._tell("unfinished", report, {"FilesUnfinished": 1}, str(error))
        except StoreError as error:
            self._failed("store_failed", report.source, str(error))
        except DeadlineExceeded as error:
            self._failed("too_slow", report.source, str(error))
        except PipelineError as error:
            self._failed("failed", report.source, str(error))
        except Exception as error:  # noqa: BLE001 - it is told as failed, only without its text
            self._failed("defect", report.source, describe_unexpected(error))
        else:
            outcome = "already_stored" if report.was_complete else "stored"
            self._tell(outcome, report, {"FilesStored": int(not report.was_complete)}, None)
        self.counts.update(report.numbers)

    def _tell(
        self, outcome: str, report: FileReport, values: dict[str, float], message: str | None
    ) -> None:
        self.counts[outcome] += 1
        self.telemetry.file(outcome, report.source, values, self.request_id, message)

    def _failed(self, outcome: str, source: str, why: str) -> None:
        self.failures.append((f"{source}: {why}" if source not in why else why, False))
        self.telemetry.file(outcome, source, {"FilesFailed": 1}, self.request_id, why)


def _is_output(wanted: ObjectReference, pipeline: Pipeline) -> bool:
    """Tell what this program wrote from what it shall read, or it would feed itself for ever."""
    stores = [f"{store.uri}/" for store in (pipeline.output, pipeline.dead_letters)]
    return any(
        wanted.uri.startswith(store) and is_pipeline_key(wanted.uri.removeprefix(store))
        for store in stores
    )
