"""How a deployed pipeline does now, by its metrics: lag, failures, dead letters, tables, cost."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from pipeline.adapters.aws.account import Refusal
from pipeline.core.errors import FunctionError
from pipeline.doctor.findings import Asked
from pipeline.doctor.places import Places
from pipeline.measure.prices import PRICES

_RECENT: Final = timedelta(minutes=15)
_DAY: Final = timedelta(days=1)
_HOUR: Final = 3600
_FIVE_MINUTES: Final = 300
_MOST_QUERIES: Final = 400  # of one request; AWS takes 500
_OF_STREAM: Final = ("Documents", "Rows", "Rejects", "UnknownFields", "Objects", "BatchFailed")
_OF_FUNCTION: Final = ("Duration", "Invocations", "Errors")


class DeadLetters(msgspec.Struct, frozen=True):
    """Those of one dataset and reason, since the day began."""

    dataset: str
    reason: str
    count: int


class Status(msgspec.Struct):
    """Numbers since the day began, in UTC; `cost` is in dollars, of the function's work alone.

    The lag is of the last quarter of an hour; None: there was no batch.
    """

    asked_at: datetime
    lag_seconds: float | None
    failed_batches: int
    errors: int
    documents: int
    rows: int
    rejects: int
    unknown_fields: int
    cost: float
    dead_letters: list[DeadLetters]
    last_commits: dict[str, datetime]


def status_of(places: Places, namespace: str, account: Asked, now: datetime) -> Status:
    """Ask CloudWatch. Raises `FunctionError` where it does not answer."""
    metrics = _Metrics(account, now)
    stream = [("Stream", places.stream.rpartition("/")[2])]
    function = [("FunctionName", places.function)]
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    asked = [_Asked(namespace, name, stream) for name in _OF_STREAM]
    asked += [_Asked("AWS/Lambda", name, function) for name in _OF_FUNCTION]
    of_reasons = metrics.listed(namespace, "Rejects", stream, ("Dataset", "Reason"))
    sums = metrics.sums([*asked, *of_reasons], midnight)
    total = dict(zip([*_OF_STREAM, *_OF_FUNCTION], sums, strict=False))
    lag = metrics.values(
        [_Asked("AWS/Lambda", "IteratorAge", function, "Maximum")], now - _RECENT, _FIVE_MINUTES
    )[0]
    letters = [
        DeadLetters(dict(one.dimensions)["Dataset"], dict(one.dimensions)["Reason"], round(count))
        for one, count in zip(of_reasons, sums[len(asked) :], strict=True)
        if count
    ]
    return Status(
        asked_at=now,
        lag_seconds=lag[-1][1] / 1_000 if lag else None,
        failed_batches=round(total["BatchFailed"]),
        errors=round(total["Errors"]),
        documents=round(total["Documents"]),
        rows=round(total["Rows"]),
        rejects=round(total["Rejects"]),
        unknown_fields=round(total["UnknownFields"]),
        cost=_cost(total, places.configuration),
        dead_letters=sorted(letters, key=lambda one: -one.count),
        last_commits=_last_commits(metrics, namespace, places.output, now),
    )


def _cost(total: dict[str, float], configuration: dict[str, Any]) -> float:
    seconds, megabytes = total["Duration"] / 1_000, float(configuration.get("MemorySize", 0))
    machine = "arm64" if "arm64" in configuration.get("Architectures", []) else "x86"
    return (
        seconds * megabytes / 1_024 * PRICES[f"Lambda, duration ({machine})"].dollars
        + total["Invocations"] * PRICES["Lambda, requests"].dollars
        + total["Objects"] * PRICES["S3 Standard, PUT"].dollars
    )


def _last_commits(
    metrics: "_Metrics", namespace: str, output: str, now: datetime
) -> dict[str, datetime]:
    """Return when rows were last committed to each table, of the last day."""
    tables = metrics.listed(namespace, "LakeRows", [("Output", output)], ("Dataset",))
    values = metrics.values(tables, now - _DAY, _FIVE_MINUTES)
    return {
        dict(table.dimensions)["Dataset"]: max(when for when, rows in found if rows)
        for table, found in zip(tables, values, strict=True)
        if any(rows for _, rows in found)
    }


class _Asked(msgspec.Struct, frozen=True):
    """A metric, and what of it."""

    namespace: str
    name: str
    dimensions: list[tuple[str, str]]
    statistic: str = "Sum"

    def query(self, number: int, period: int) -> dict[str, Any]:
        """Return it as CloudWatch wants it."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions]
        metric = {
            "Namespace": self.namespace,
            "MetricName": self.name,
            "Dimensions": dimensions,
        }
        stat = {"Metric": metric, "Period": period, "Stat": self.statistic}
        return {"Id": f"q{number}", "MetricStat": stat}


class _Metrics:
    """CloudWatch's metrics, up to now."""

    def __init__(self, account: Asked, now: datetime) -> None:
        self._account, self._now = account, now

    def listed(
        self, namespace: str, name: str, known: list[tuple[str, str]], others: Iterable[str]
    ) -> list[_Asked]:
        """Return the metrics of a name with these dimensions and, of any value, these others."""
        filters: list[dict[str, str]] = [{"Name": key, "Value": value} for key, value in known]
        filters += [{"Name": key} for key in others]
        found, asked = [], {"Namespace": namespace, "MetricName": name, "Dimensions": filters}
        while True:
            page = self._ask("list_metrics", **asked)
            for metric in page["Metrics"]:
                pairs = [(one["Name"], one["Value"]) for one in metric["Dimensions"]]
                if len(pairs) == len(filters) and set(known) <= set(pairs):
                    found.append(_Asked(namespace, name, pairs))
            if not page.get("NextToken"):
                return found[:_MOST_QUERIES]
            asked["NextToken"] = page["NextToken"]

    def sums(self, asked: list[_Asked], since: datetime) -> list[float]:
        """Return the sum of each since a time."""
        return [sum(number for _, number in found) for found in self.values(asked, since, _HOUR)]

    def values(
        self, asked: list[_Asked], since: datetime, period: int
    ) -> list[list[tuple[datetime, float]]]:
        """Return the values of each since a time, the oldest first."""
        found = dict[str, list[tuple[datetime, float]]]()
        queries = [metric.query(number, period) for number, metric in enumerate(asked)]
        request: dict[str, Any] = {
            "MetricDataQueries": queries,
            "StartTime": since,
            "EndTime": self._now + timedelta(minutes=1),
            "ScanBy": "TimestampAscending",
        }
        while queries:
            page = self._ask("get_metric_data", **request)
            for result in page["MetricDataResults"]:
                pairs = zip(result["Timestamps"], result["Values"], strict=True)
                found.setdefault(result["Id"], []).extend(pairs)
            if not page.get("NextToken"):
                break
            request["NextToken"] = page["NextToken"]
        return [sorted(found.get(query["Id"], [])) for query in queries]

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        answer = self._account.ask("cloudwatch", operation, **arguments)
        if isinstance(answer, Refusal):
            action = "".join(word.capitalize() for word in operation.split("_"))
            message = (
                f"CloudWatch did not answer {action}: {answer.code} ({answer.text}); `pipeline "
                "doctor` says what is in the way."
            )
            raise FunctionError(message)
        return answer.found


def in_utc(moment: datetime) -> str:
    """Write a time to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"
