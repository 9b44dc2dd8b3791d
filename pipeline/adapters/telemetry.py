"""What an invocation reports: one log line, and CloudWatch metrics in EMF.

Lambda turns lines of stdout in the embedded metric format into metrics. Each metric is declared
once, in `METRICS`; the README lists them from there. No payload, and no text made of one, is
ever written here.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from pipeline.adapters.stopwatch import Phase, Stopwatch
from pipeline.core.records import Batch
from pipeline.core.report import Report, Tally, UnknownFields

Unit = Literal["Count", "Bytes", "Milliseconds", "Seconds"]
MetricName = Literal[
    "Documents", "Rows", "Rejects", "Drops", "UnkeptMembers", "UnknownFields", "BytesIn",
    "BytesOut", "Partitions", "Objects", "Retries", "LagMilliseconds", "BatchFailed",
    "FilesStored", "FilesGone", "FilesUnfinished", "FilesFailed", "FilesDamaged",
    "LakeLagSeconds", "LakeRows", "LakeDuplicates", "LakeConflicts", "LakeObjectsRefused",
    "LakeRowsMissing",
]  # fmt: skip
Values = Mapping[MetricName, float]
_Line = dict[Any, Any]
"""A line of the log, by its members' names; metrics are among them."""
_S3 = "s3://"
MOST_KINDS = 10
"""Of dead letters, in one line of the log."""


class Metric(NamedTuple):
    """A CloudWatch metric: its unit, and what it counts, in words for an operator."""

    unit: Unit
    meaning: str


# In the log alone: as metrics, these eight would cost more than the function of most streams.
PHASE_MEMBERS: dict[Phase, str] = {
    "decode": "DecodeMilliseconds",
    "route": "RouteMilliseconds",
    "convert": "ConvertMilliseconds",
    "rules": "RulesMilliseconds",
    "partition": "PartitionMilliseconds",
    "encode": "EncodeMilliseconds",
    "store": "StoreMilliseconds",
    "check": "CheckMilliseconds",
}

METRICS: dict[MetricName, Metric] = {
    "Documents": Metric("Count", "Documents, and records that held none or did not open."),
    "Rows": Metric("Count", "Documents that became rows."),
    "Rejects": Metric("Count", "Documents and records that became dead letters."),
    "Drops": Metric(
        "Count", "Documents that a rule of stream.toml drops; reported where there are any."
    ),
    "UnkeptMembers": Metric(
        "Count",
        "Envelopes with a member that no rule of stream.toml keeps; reported where there are any.",
    ),
    "UnknownFields": Metric(
        "Count", "Rows of whose documents a member, at any depth, is not in the schema."
    ),
    "BytesIn": Metric("Bytes", "Data of the stream records, after base64."),
    "BytesOut": Metric("Bytes", "Objects stored, dead letters included."),
    "Partitions": Metric(
        "Count", "Hive partitions that the rows fall into; each is an object in every format."
    ),
    "Objects": Metric("Count", "Objects stored, dead letters included."),
    "Retries": Metric("Count", "Store calls that were tried again."),
    "LagMilliseconds": Metric(
        "Milliseconds", "From the arrival of the oldest record to the end of the invocation."
    ),
    "BatchFailed": Metric(
        "Count", "1 for a batch that was not stored and will be delivered again, else 0."
    ),
}

# Of the committer, by `Output` and `Dataset`.
LAKE_METRICS: dict[MetricName, Metric] = {
    "LakeLagSeconds": Metric(
        "Seconds", "Age of the oldest landing object that a run found, or was left with."
    ),
    "LakeRows": Metric("Count", "Rows committed to the table."),
    "LakeDuplicates": Metric(
        "Count", "Rows that the table, or an earlier object, had already: each is in it once."
    ),
    "LakeConflicts": Metric(
        "Count", "Commits that were begun anew, as somebody else changed the table meanwhile."
    ),
    "LakeObjectsRefused": Metric(
        "Count", "Landing objects that cannot be committed, and so stay where they are."
    ),
    "LakeRowsMissing": Metric(
        "Count", "Rows that the table lacks, by what its ledger says of batches; asked every hour."
    ),
}

# Of files in S3, by `Bucket`; each part of one has the metrics above, too.
FILE_METRICS: dict[MetricName, Metric] = {
    "FilesStored": Metric("Count", "Files whose every document is stored."),
    "FilesGone": Metric(
        "Count", "Files deleted or overwritten before all of their documents were stored."
    ),
    "FilesUnfinished": Metric(
        "Count", "Files stored in part when time was over; the next invocation goes on. No failure."
    ),
    "FilesFailed": Metric(
        "Count", "Files not stored to their end; all but the damaged ones are delivered again."
    ),
    "FilesDamaged": Metric(
        "Count", "Files that cannot be unpacked to their end: replace them. Not delivered again."
    ),
}

# The log levels of outcomes that come with a message and are not errors.
_LEVELS = {"gone": "WARN", "unfinished": "INFO"}


class Transformed(msgspec.Struct, frozen=True):
    """What a transformation answered and stored: `rejects` by dataset and reason, drops by name.

    Of records that were left to Firehose, there are documents alone.
    """

    documents: int
    rows: int
    bytes_in: int
    rejects: Counter[tuple[str, str]]
    drops: Counter[str]


class Telemetry(msgspec.Struct, frozen=True):
    """Writes lines for a log that Lambda reads. `now` is in seconds since 1970."""

    write: Callable[[str], Any]
    now: Callable[[], float]
    namespace: str = "Pipeline"

    def stored(self, report: Report, request_id: str | None) -> None:
        """Report a batch that is stored."""
        lag = self.now() * 1_000 - report.oldest_arrival / 1_000
        total: dict[MetricName, float] = {
            "Documents": report.total("documents"),
            "Rows": report.total("rows"),
            "Rejects": report.rejects,
            "UnknownFields": report.unknown_fields,
            "BytesIn": report.bytes_in,
            "BytesOut": report.total("bytes_out"),
            "Partitions": report.total("partitions"),
            "Objects": report.total("objects"),
            "Retries": report.retries,
            "LagMilliseconds": round(lag),
            "BatchFailed": 0,
        }
        rejects = {
            name: dict(tally.rejects) for name, tally in report.datasets.items() if tally.rejects
        }
        unknown = {
            name: _of_unknown(tally.unknown)
            for name, tally in report.datasets.items()
            if tally.unknown.documents
        }
        numbers: _Line = {
            **total,
            **_phases(report.milliseconds),
            "rejects": rejects,
            "unknown_fields": unknown,
        }
        if report.refused:
            numbers["refused"] = _of_refused(report)
        if report.drops:
            total["Drops"] = report.drops.total()
            numbers |= {"Drops": report.drops.total(), "drops": dict(report.drops)}
        if report.unkept.documents:
            total["UnkeptMembers"] = report.unkept.documents
            unkept_members = _of_unknown(report.unkept)
            numbers |= {"UnkeptMembers": report.unkept.documents, "unkept_members": unkept_members}
        self._log("stored", report.batch, request_id, numbers)
        origin = _origin(report.batch)
        self._metrics(origin, total)
        for name, tally in sorted(report.datasets.items()):
            dataset = {**origin, "Dataset": name}
            self._metrics(dataset, totals_of(tally))
            for reason, count in sorted(tally.rejects.items()):
                self._metrics({**dataset, "Reason": reason}, {"Rejects": count})
        for name, count in sorted(report.drops.items()):
            self._metrics({**origin, "Drop": name}, {"Drops": count})

    def failed(
        self,
        outcome: str,
        message: str,
        batch: Batch,
        timings: Stopwatch,
        retries: int,
        request_id: str | None,
        partitions: Mapping[str, int] | None = None,
    ) -> None:
        """Report a batch that is not stored; `message` says why, and quotes no payload.

        `partitions` is into how many the batch falls, by dataset, where that is known.
        """
        values: dict[MetricName, float] = {"BatchFailed": 1, "Retries": retries}
        if partitions:
            values["Partitions"] = sum(partitions.values())
        line: _Line = {**values, **_phases(timings.milliseconds), "message": message}
        self._log(outcome, batch, request_id, line)
        self._metrics(_origin(batch), values)
        for name, count in sorted((partitions or {}).items()):
            self._metrics({**_origin(batch), "Dataset": name}, {"Partitions": count})

    def about_to_end(self, message: str, batch: Batch, request_id: str | None) -> None:
        """Report an invocation that Lambda is about to end; `message` quotes no payload."""
        self._log("about_to_end", batch, request_id, {"message": message})

    def file(
        self,
        outcome: str,
        source: str,
        values: Values,
        request_id: str | None,
        message: str | None = None,
        partitions: Mapping[str, int] | None = None,
    ) -> None:
        """Report what became of a file; `message` says why it is not stored.

        `partitions` is into how many the part falls that was not stored, by dataset.
        """
        if partitions:
            values = {**values, "Partitions": sum(partitions.values())}
        why = {} if message is None else {"message": message}
        line: _Line = {"outcome": outcome, "request_id": request_id, "source": source}
        line |= values
        line |= why
        self.log("INFO" if message is None else _LEVELS.get(outcome, "ERROR"), line)
        if values:
            # What names no object is counted without a dimension: CloudWatch accepts no empty one.
            self._metrics({"Bucket": _bucket(source)} if source else {}, values)
        for name, count in sorted((partitions or {}).items()):
            self._metrics({"Bucket": _bucket(source), "Dataset": name}, {"Partitions": count})

    def committed(
        self,
        output: str,
        dataset: str,
        values: Values,
        request_id: str | None,
        message: str | None = None,
    ) -> None:
        """Report a run of the committer; `message` says why something was not committed."""
        line: _Line = {"request_id": request_id, "dataset": dataset, **values}
        if message is not None:
            line["message"] = message
        self.log("INFO" if message is None else "ERROR", line)
        self._metrics({"Output": output, "Dataset": dataset}, values)

    def transformed(
        self,
        stream: str,
        results: Mapping[str, int],
        numbers: Transformed,
        failures: Sequence[str],
        request_id: str | None,
    ) -> None:
        """Report an event of Firehose's; `failures` say why records are left to it."""
        total: dict[MetricName, float] = {
            "Documents": numbers.documents,
            "Rows": numbers.rows,
            "Rejects": numbers.rejects.total(),
            "BytesIn": numbers.bytes_in,
        }
        line: _Line = {
            "outcome": "transformed",
            "request_id": request_id,
            "source": stream,
            **total,
            "results": dict(results),
            "rejects": {f"{name}: {reason}": n for (name, reason), n in numbers.rejects.items()},
        }
        if numbers.drops:
            total["Drops"] = numbers.drops.total()
            line["drops"] = dict(numbers.drops)
        if failures:
            line["message"] = f"{len(failures):,} records are left to Firehose: {failures[0]}"
        self.log("ERROR" if failures else "INFO", line)
        self._metrics({"Stream": stream.rpartition("/")[2]}, total)
        for (name, reason), count in sorted(numbers.rejects.items()):
            self._metrics({"Dataset": name, "Reason": reason}, {"Rejects": count})
        for name, count in sorted(numbers.drops.items()):
            self._metrics({"Drop": name}, {"Drops": count})

    def _log(self, outcome: str, batch: Batch, request_id: str | None, values: _Line) -> None:
        line: _Line = {
            "outcome": outcome,
            "request_id": request_id,
            "source": batch.source,
            "first": batch.first,
            "last": batch.last,
            "records": len(batch.records),
            **values,
        }
        self.log("INFO" if outcome == "stored" else "ERROR", line)

    def log(self, level: str, line: _Line) -> None:
        """Write a line for people. Lambda believes a level only beside a time, in RFC 3339."""
        moment = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        timestamp = moment.replace("+00:00", "Z")
        self.write(json.dumps({"timestamp": timestamp, "level": level, **line}))

    def _metrics(self, dimensions: dict[str, str], values: Values) -> None:
        """Write one EMF record."""
        directive = {
            "Namespace": self.namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": _metric(name).unit} for name in values],
        }
        meta = {"Timestamp": round(self.now() * 1_000), "CloudWatchMetrics": [directive]}
        self.write(json.dumps({"_aws": meta, **dimensions, **values}))


def _metric(name: MetricName) -> Metric:
    return METRICS.get(name) or FILE_METRICS.get(name) or LAKE_METRICS[name]


def _phases(milliseconds: dict[str, float]) -> dict[str, float]:
    return {name: round(milliseconds.get(phase, 0.0), 3) for phase, name in PHASE_MEMBERS.items()}


def totals_of(tally: Tally) -> dict[MetricName, float]:
    """Return the metrics of one dataset in one batch."""
    return {
        "Documents": tally.documents,
        "Rows": tally.rows,
        "Rejects": tally.rejects.total(),
        "UnknownFields": tally.unknown.documents,
        "Partitions": tally.partitions,
        "Objects": tally.objects,
        "BytesOut": tally.bytes_out,
    }


def _of_refused(report: Report) -> list[dict[str, Any]]:
    """Return the most frequent kinds of dead letters; none of it is of a payload."""
    kinds = sorted(report.refused.values(), key=lambda kind: -kind.count)
    return [msgspec.structs.asdict(kind) for kind in kinds[:MOST_KINDS]]


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
