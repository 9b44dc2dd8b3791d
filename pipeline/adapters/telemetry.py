"""What an invocation tells about itself: one log line, and CloudWatch metrics in EMF.

Lambda turns lines of stdout in the embedded metric format into metrics. Each metric is declared
once, in `METRICS`; the README lists them from there. No payload, and no text made of one, is
ever written here.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from pipeline.adapters.stopwatch import PHASES, Stopwatch
from pipeline.core.records import Batch
from pipeline.core.report import Report, Tally, UnknownFields

Unit = Literal["Count", "Bytes", "Milliseconds"]
_S3 = "s3://"


class Metric(NamedTuple):
    """A CloudWatch metric: its unit, and what it counts, in words for an operator."""

    unit: Unit
    meaning: str


METRICS: dict[str, Metric] = {
    "Documents": Metric("Count", "Documents, and records that held none or did not open."),
    "Rows": Metric("Count", "Documents that became rows."),
    "Rejects": Metric("Count", "Documents and records that became dead letters."),
    "UnknownFields": Metric(
        "Count", "Rows of whose documents a member, at any depth, is not in the schema."
    ),
    "BytesIn": Metric("Bytes", "Data of the stream records, after base64."),
    "BytesOut": Metric("Bytes", "Objects stored, dead letters included."),
    "Objects": Metric("Count", "Objects stored, dead letters included."),
    "Retries": Metric("Count", "Store calls that were tried again."),
    "LagMilliseconds": Metric(
        "Milliseconds", "From the arrival of the oldest record to the end of the invocation."
    ),
    "BatchFailed": Metric(
        "Count", "1 for a batch that was not stored and will be delivered again, else 0."
    ),
    **{
        f"{stage.title()}Milliseconds": Metric("Milliseconds", f"Time in the stage {stage!r}.")
        for stage in PHASES
    },
}

# Of files in S3, by `Bucket`; each part of one has the metrics above, too.
FILE_METRICS: dict[str, Metric] = {
    "FilesStored": Metric("Count", "Files whose every document is stored."),
    "FilesGone": Metric(
        "Count", "Files deleted or overwritten before all of their documents were stored."
    ),
    "FilesUnfinished": Metric(
        "Count", "Files stored in part when time was over; the next invocation goes on. No failure."
    ),
    "FilesFailed": Metric("Count", "Files not stored to their end, to be delivered again."),
}

# Of what is told of a file with a message, and is no error.
_LEVELS = {"gone": "WARN", "unfinished": "INFO"}


class Telemetry(msgspec.Struct, frozen=True):
    """Writes lines for a log that Lambda reads. `now` is in seconds since 1970."""

    write: Callable[[str], Any]
    now: Callable[[], float]
    namespace: str = "Pipeline"

    def stored(self, report: Report, request_id: str | None) -> None:
        """Tell of a batch that is stored."""
        lag = self.now() * 1_000 - report.oldest_arrival / 1_000
        total = {
            "Documents": report.total("documents"),
            "Rows": report.total("rows"),
            "Rejects": report.rejects,
            "UnknownFields": report.unknown_fields,
            "BytesIn": report.bytes_in,
            "BytesOut": report.total("bytes_out"),
            "Objects": report.total("objects"),
            "Retries": report.retries,
            "LagMilliseconds": round(lag),
            "BatchFailed": 0,
            **_stages(report.milliseconds),
        }
        rejects = {name: dict(of.rejects) for name, of in report.datasets.items() if of.rejects}
        unknown = {
            name: _of_unknown(tally.unknown)
            for name, tally in report.datasets.items()
            if tally.unknown.documents
        }
        told = {**total, "rejects": rejects, "unknown_fields": unknown}
        self._log("stored", report.batch, request_id, told)
        self._metrics(_origin(report.batch), total)
        for name, tally in sorted(report.datasets.items()):
            self._metrics({"Dataset": name}, _of_tally(tally))
            for reason, count in sorted(tally.rejects.items()):
                self._metrics({"Dataset": name, "Reason": reason}, {"Rejects": count})

    def failed(
        self,
        outcome: str,
        message: str,
        batch: Batch,
        watch: Stopwatch,
        retries: int,
        request_id: str | None,
    ) -> None:
        """Tell of a batch that is not stored: why, in a sentence that quotes no payload."""
        values = {"BatchFailed": 1, "Retries": retries, **_stages(watch.milliseconds)}
        self._log(outcome, batch, request_id, {**values, "message": message})
        self._metrics(_origin(batch), values)

    def file(
        self,
        outcome: str,
        source: str,
        values: dict[str, float],
        request_id: str | None,
        message: str | None = None,
    ) -> None:
        """Tell what became of a file; `message` is why it is not stored."""
        why = {} if message is None else {"message": message}
        line = {"outcome": outcome, "request_id": request_id, "source": source, **values, **why}
        self.log("INFO" if message is None else _LEVELS.get(outcome, "ERROR"), line)
        if values:
            # What names no object is counted without a dimension, as CloudWatch takes no empty one.
            self._metrics({"Bucket": _bucket(source)} if source else {}, values)

    def _log(
        self, outcome: str, batch: Batch, request_id: str | None, values: dict[str, Any]
    ) -> None:
        line = {
            "outcome": outcome,
            "request_id": request_id,
            "source": batch.source,
            "first": batch.first,
            "last": batch.last,
            "records": len(batch.records),
            **values,
        }
        self.log("INFO" if outcome == "stored" else "ERROR", line)

    def log(self, level: str, line: dict[str, Any]) -> None:
        """Write a line for people. Lambda believes a level only beside a time, in RFC 3339."""
        moment = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        timestamp = moment.replace("+00:00", "Z")
        self.write(json.dumps({"timestamp": timestamp, "level": level, **line}))

    def _metrics(self, dimensions: dict[str, str], values: dict[str, float]) -> None:
        """Write one EMF record."""
        directive = {
            "Namespace": self.namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": _metric(name).unit} for name in values],
        }
        meta = {"Timestamp": round(self.now() * 1_000), "CloudWatchMetrics": [directive]}
        self.write(json.dumps({"_aws": meta, **dimensions, **values}))


def _metric(name: str) -> Metric:
    return METRICS.get(name) or FILE_METRICS[name]


def _stages(milliseconds: dict[str, float]) -> dict[str, float]:
    return {
        f"{stage.title()}Milliseconds": round(milliseconds.get(stage, 0.0), 3) for stage in PHASES
    }


def _of_tally(tally: Tally) -> dict[str, float]:
    return {
        "Documents": tally.documents,
        "Rows": tally.rows,
        "Rejects": tally.rejects.total(),
        "UnknownFields": tally.unknown.documents,
        "Objects": tally.objects,
        "BytesOut": tally.bytes_out,
    }


def _of_unknown(unknown: UnknownFields) -> dict[str, Any]:
    others = {"others": unknown.others} if unknown.others else {}
    other_case = {"other_case": unknown.other_case} if unknown.other_case else {}
    fields = dict(unknown.fields.most_common())
    return {"documents": unknown.documents, "fields": fields, **others, **other_case}


def _origin(batch: Batch) -> dict[str, str]:
    """Name the stream, or of a file its bucket: names of files are too many for a dimension."""
    if batch.source.startswith(_S3):
        return {"Bucket": _bucket(batch.source)}
    return {"Stream": batch.source.removesuffix(f"/{batch.shard}").rpartition("/")[2]}


def _bucket(source: str) -> str:
    return source.removeprefix(_S3).partition("/")[0]
