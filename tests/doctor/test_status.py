"""`pipeline status` shows what the handler's own metrics say, put into CloudWatch as Lambda does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stack import REGION, Stack, simulated_account
from support import ROOT, Context, as_json, kinesis_event, order

from pipeline import cli, handlers
from pipeline.adapters.aws.account import Answer, Refusal
from pipeline.adapters.telemetry import Telemetry
from pipeline.core.errors import FunctionError
from pipeline.doctor import Places
from pipeline.doctor.status import status_of

pytestmark = pytest.mark.xdist_group("infra")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with simulated_account():
        yield Stack("pipeline")


def put(lines: list[str]) -> None:
    """Put metrics in EMF as CloudWatch takes them out of a function's log."""
    cloudwatch = boto3.client("cloudwatch", region_name=REGION)
    for line in map(json.loads, lines):
        if "_aws" not in line:
            continue
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        (names,) = directive["Dimensions"]
        data: Any = [
            {
                "MetricName": metric["Name"],
                "Dimensions": [{"Name": name, "Value": line[name]} for name in names],
                "Value": line[metric["Name"]],
                "Timestamp": datetime.now(UTC),
            }
            for metric in directive["Metrics"]
        ]
        cloudwatch.put_metric_data(Namespace=directive["Namespace"], MetricData=data)


def put_of_lambda(function: str, **values: float) -> None:
    data: Any = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "FunctionName", "Value": function}],
            "Value": value,
            "Timestamp": datetime.now(UTC),
        }
        for name, value in values.items()
    ]
    boto3.client("cloudwatch").put_metric_data(Namespace="AWS/Lambda", MetricData=data)


@pytest.fixture(scope="module")
def busy(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack whose function has stored a batch, failed once, and whose lake has committed."""
    place = tmp_path_factory.mktemp("place")
    stream = stack.outputs["StreamName"]
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_OUTPUT", (place / "rows").as_uri())
        patch.setenv("PIPELINE_DEAD_LETTERS", (place / "letters").as_uri())
        patch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
        patch.setattr(handlers, "print_line", lines.append)
        for name in (stream, "another"):  # whose numbers are not this one's
            arn = f"arn:aws:kinesis:{REGION}:123456789012:stream/{name}"
            documents = [*[as_json(order())] * 5, as_json(order(total="x")), b"{", b"["]
            handlers.kinesis(kinesis_event(documents, arn=arn), Context(60.0))
        handlers.forget()
    Telemetry(lines.append, lambda: 1.8e9).committed(
        stack.outputs["Output"], "orders", {"LakeRows": 5}, None
    )
    put(lines)
    put_of_lambda(
        stack.ids["Function"], IteratorAge=90_000, Duration=60_000, Invocations=4, Errors=1
    )
    return stack


def test_it_shows_what_the_metrics_say(busy: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--stack", "pipeline", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    numbers = {name: found[name] for name in ("documents", "rows", "rejects", "failed_batches")}
    assert numbers == {"documents": 8, "rows": 5, "rejects": 3, "failed_batches": 0}
    assert (found["lag_seconds"], found["errors"]) == (90.0, 1)
    assert found["dead_letters"] == [
        {"dataset": "unrouted", "reason": "not_json", "count": 2},
        {"dataset": "orders", "reason": "bad_format", "count": 1},
    ]
    assert list(found["last_commits"]) == ["orders"]
    # 60 s of 1,769 MB, four requests, and the objects: rows as Parquet and CSV, two of dead letters.
    expected = 60 * 1_769 / 1_024 * 0.0000166667 + 4 * 0.2e-6 + 4 * 5e-6
    assert found["cost"] == pytest.approx(expected, rel=0.05)


def test_people_read_lines(busy: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--stack", "pipeline"]) == 0
    printed = capsys.readouterr().out
    head, *lines = printed.splitlines()
    assert head.startswith(f"{busy.outputs['StreamName']}, by {busy.ids['Function']}, at 20")
    assert lines[0] == "  behind          1.5 min"
    assert lines[1] == "  failed          0 batches, 1 invocations"
    assert lines[2] == ("  documents       8: 5 rows, 3 dead letters, 0 with unknown fields")
    assert "  dead letters    2 of unrouted: not_json" in lines
    assert any(line.startswith("  last commit     orders, 20") for line in lines)
    assert lines[-1].startswith("  cost            $0.00")


def test_watching_asks_again_until_it_is_interrupted(
    busy: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.commands.status.sleep", sleep)
    assert cli.main(["status", "--stack", "pipeline", "--json", "--watch", "5"]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), waits) == (3, [5, 5, 5])
    assert all(json.loads(line)["documents"] == 8 for line in lines)


def test_a_pipeline_without_a_batch_today_has_noughts_and_no_lag(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--stream", "quiet", "--function", stack.ids["Function"], "--namespace", "Other"]
    assert cli.main(["status", *words]) == 0
    assert "  documents       0: 0 rows, 0 dead letters, 0 with unknown fields" in (
        capsys.readouterr().out
    )


@mock_aws
def test_what_is_missing_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for words, sentence in (
        ([], "Give --stack, or --stream and --function: whose status is to be shown?"),
        (["--stack", "none"], "There is no stack none in this account and region."),
        (
            ["--stream", "s", "--function", "none"],
            "There is no function none in this account and region.",
        ),
    ):
        assert cli.main(["status", *words]) == 1
        assert capsys.readouterr().err == f"pipeline: {sentence}\n"


class Pages:
    """CloudWatch, with a page for each value."""

    def ask(self, service: str, operation: str, **asked: Any) -> Answer | Refusal:
        assert service == "cloudwatch"
        now = datetime(2026, 11, 27, 12, tzinfo=UTC)
        more = {} if "NextToken" in asked else {"NextToken": "more"}
        if operation == "list_metrics":
            reason = "b" if more else "a"
            dimensions = {"Stream": "shop", "Dataset": "orders", "Reason": reason}
            longer = {**dimensions, "Other": "x"}
            listed = [
                {"Dimensions": [{"Name": name, "Value": value} for name, value in each.items()]}
                for each in (dimensions, longer)
            ]
            return Answer({"Metrics": listed, **more}, None, now)
        results = [
            {"Id": query["Id"], "Timestamps": [now - timedelta(hours=bool(more))], "Values": [2.0]}
            for query in asked["MetricDataQueries"]
        ]
        return Answer({"MetricDataResults": results, **more}, None, now)


def test_every_page_is_asked_for() -> None:
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    status = status_of(Places("shop", "f"), "Pipeline", Pages(), now)
    assert status.documents == 4
    assert [(one.reason, one.count) for one in status.dead_letters] == [("b", 4), ("a", 4)]


def test_a_refusal_says_who_refused_what() -> None:
    class Nobody:
        def ask(self, service: str, operation: str, **_: Any) -> Refusal:
            return Refusal("AccessDenied", f"no {service} {operation}")

    with pytest.raises(FunctionError, match="CloudWatch did not answer ListMetrics: AccessDenied"):
        status_of(Places("shop", "f"), "Pipeline", Nobody(), datetime.now(UTC))
