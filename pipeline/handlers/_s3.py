"""The response to notifications of files in S3: which are stored, which to deliver again."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.adapters.telemetry import Telemetry, Values
from pipeline.core.errors import (
    DeadlineExceeded,
    FileError,
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
from pipeline.handlers.invocation import describe_unexpected, remaining_time, reserve_within

UNKNOWN = "unknown field of "
"""What the response's counts of unknown fields begin with; the dataset and the path follow."""


def respond(
    event: Any,
    context: Any,
    pipeline: Pipeline,
    objects: Objects,
    response_reserve: float,
    telemetry: Telemetry,
) -> dict[str, Any]:
    """Store the files that an event names, and report those that are not stored to its sender.

    To SQS, the response names the messages to deliver again, as ReportBatchItemFailures has it. A
    damaged file is not among them: its bytes would be the same.
    Any other sender gets an exception, after all files were tried: `FilesFailed`, or
    `FilesUnfinished` where time alone was missing and some was stored. A sender that waits for the
    response gets a count of the latter, as it is not an error. What was stored is not done again.
    """
    deliveries = read_notifications(event)
    remaining = remaining_time(context)
    request_id = getattr(context, "aws_request_id", None)
    unknown: dict[str, UnknownFields] = {}

    def report_stored(report: Report) -> None:
        telemetry.stored(report, request_id)
        for name, tally in report.datasets.items():
            unknown.setdefault(name, UnknownFields()).merge(tally.unknown)

    ingestion = Ingestion(
        pipeline,
        objects,
        remaining,
        reserve_within(remaining(), response_reserve),
        report_stored,
    )
    files = _Files(ingestion, telemetry, request_id)
    failed = [delivery.message_id for delivery in deliveries if not files.store(delivery)]
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
    """Stores the files of one event, and counts what became of them."""

    def __init__(self, ingestion: Ingestion, telemetry: Telemetry, request_id: str | None) -> None:
        self.ingestion = ingestion
        self.telemetry = telemetry
        self.request_id = request_id
        # Why they are not stored, and whether they only are not yet.
        self.failures: list[tuple[str, bool]] = []
        self.damaged: list[str] = []  # why they never will be
        self.counts = Counter[str]()

    def store(self, delivery: Delivery) -> bool:
        """Store all files of one notification; return whether it is done with."""
        before = len(self.failures)
        if delivery.fault is not None:
            self._failed("not_a_notification", "", delivery.fault)
        self.counts["ignored"] += delivery.ignored
        for reference in delivery.objects:
            self._store(reference)
        return len(self.failures) == before

    def raise_failures(self, *, awaited: bool) -> None:
        """Raise the error for those that are not stored, if there are any.

        Of damaged files only who waits for the response is told: for others it would be a retry.
        """
        unfinished = all(unfinished for _, unfinished in self.failures)
        if awaited and self.damaged:
            unfinished = False
            self.failures += [(why, False) for why in self.damaged]
        if self.failures and not (awaited and unfinished):
            sentences = " ".join(why for why, _ in self.failures)
            raise (FilesUnfinished if unfinished else FilesFailed)(sentences)

    def _store(self, reference: ObjectReference) -> None:
        report = FileReport(reference.uri)
        if _is_output(reference, self.ingestion.pipeline):
            self.counts["ignored"] += 1
            self.telemetry.file("ignored", reference.uri, {}, self.request_id)
            return
        try:
            self.ingestion.ingest(reference, report)
        except ObjectMissing as error:
            self._report("gone", report, {"FilesGone": 1}, str(error))
        except FileUnfinished as error:
            self.failures.append((str(error), True))
            self._report("unfinished", report, {"FilesUnfinished": 1}, str(error))
        except StoreError as error:
            self._failed("store_failed", report.source, str(error))
        except DeadlineExceeded as error:
            self._failed("too_slow", report.source, str(error), error.partitions)
        except FileError as error:
            self._damaged(report.source, str(error))
        except PipelineError as error:
            self._failed("failed", report.source, str(error))
        except Exception as error:  # noqa: BLE001 - reported as failed, only without its text
            self._failed("defect", report.source, describe_unexpected(error))
        else:
            outcome = "already_stored" if report.was_complete else "stored"
            self._report(outcome, report, {"FilesStored": int(not report.was_complete)}, None)
        self.counts.update(report.numbers)

    def _report(
        self,
        outcome: str,
        report: FileReport,
        values: Values,
        message: str | None,
    ) -> None:
        self.counts[outcome] += 1
        self.telemetry.file(outcome, report.source, values, self.request_id, message)

    def _damaged(self, source: str, why: str) -> None:
        """Refuse a file for good: it is the same file whenever it is delivered again."""
        self.counts["damaged"] += 1
        self.damaged.append(why)
        values: Values = {"FilesFailed": 1, "FilesDamaged": 1}
        self.telemetry.file("damaged", source, values, self.request_id, why)

    def _failed(
        self, outcome: str, source: str, why: str, partitions: Mapping[str, int] | None = None
    ) -> None:
        self.failures.append((f"{source}: {why}" if source not in why else why, False))
        values: Values = {"FilesFailed": 1}
        self.telemetry.file(outcome, source, values, self.request_id, why, partitions)


def _is_output(reference: ObjectReference, pipeline: Pipeline) -> bool:
    """Whether this program wrote an object: reading those, it would feed itself for ever."""
    stores = [f"{store.uri}/" for store in (pipeline.output, pipeline.dead_letters)]
    return any(
        reference.uri.startswith(store) and is_pipeline_key(reference.uri.removeprefix(store))
        for store in stores
    )
