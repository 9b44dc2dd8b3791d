"""An alarm becomes a message a person can act on; what is no alarm is told, and not swallowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from support import ROOT, Context, as_json, kinesis_event, order

from pipeline import handlers
from pipeline.adapters.aws.logs import LogGroup
from pipeline.adapters.aws.sns import Topic
from pipeline.adapters.telemetry import FILE_METRICS, LAKE_METRICS, METRICS, Telemetry
from pipeline.alerts import AlertContext, Message, message_of, read_alarms
from pipeline.alerts.advice import (
    ADVICE,
    COMMIT_ADVICE,
    DATASET_ADVICE,
    FILES_ADVICE,
    TABLES_ADVICE,
    UNKNOWN,
    Advice,
)
from pipeline.alerts.alarm import Alarm
from pipeline.core.errors import NotifyError, SettingsError
from pipeline.handlers._alert import respond
from pipeline.settings import AlertSettings

ACCOUNT, REGION = "123456789012", "eu-central-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:people"
ALARMS = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
DASHBOARD = "https://example.com/dashboard"
SETTINGS = AlertSettings(TOPIC, DASHBOARD, "s3://dead/letters", "/aws/lambda/pipeline")
AROUND = AlertContext(DASHBOARD, "s3://dead/letters", "/aws/lambda/pipeline")
ARN = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:"


def told(
    metric: str, name: str = "pipeline-SomeAlarm-1X", state: str = "ALARM", **dimensions: str
) -> dict[str, Any]:
    """Return what an alarm's action sends to SNS."""
    return {
        "AlarmName": name,
        "AlarmDescription": "What the template says.",
        "AWSAccountId": ACCOUNT,
        "NewStateValue": state,
        "NewStateReason": "Threshold Crossed: 1 datapoint [5.0]\n was greater than 0.",
        "StateChangeTime": "2026-11-23T09:30:00.250+0000",
        "Region": "EU (Frankfurt)",
        "AlarmArn": f"{ARN}{name}",
        "OldStateValue": "OK",
        "Trigger": {
            "MetricName": metric,
            "Namespace": "Pipeline",
            "Dimensions": [{"value": value, "name": key} for key, value in dimensions.items()],
        },
    }


def told_of_math(metric: str, **dimensions: str) -> dict[str, Any]:
    """Return it for an alarm of an expression."""
    plain = told(metric, **dimensions)
    stat = {"Metric": plain.pop("Trigger"), "Period": 300, "Stat": "Maximum"}
    metrics = [
        {"Id": "percent", "Expression": "m / 10", "ReturnData": True},
        {"Id": "m", "MetricStat": stat},
    ]
    return {**plain, "Trigger": {"Period": 300, "Metrics": metrics}}


def by_sns(*documents: Any, topic: str = ALARMS) -> dict[str, Any]:
    texts = [
        document if isinstance(document, str) else json.dumps(document) for document in documents
    ]
    return {"Records": [
        {"EventSource": "aws:sns", "Sns": {"MessageId": f"m-{number}", "TopicArn": topic, "Message": text}}
        for number, text in enumerate(texts)
    ]}  # fmt: skip


def detail(metric: str, name: str, state: str, dimensions: dict[str, str]) -> dict[str, Any]:
    measured = {"metric": {"namespace": "Pipeline", "name": metric, "dimensions": dimensions}}
    return {
        "alarmName": name,
        "configuration": {
            "description": "What the template says.",
            "metrics": [{"id": "e", "expression": "m"}, {"id": "m", "metricStat": measured}],
        },
        "state": {
            "value": state,
            "reason": "Threshold Crossed: 1 datapoint [5.0] was greater than 0.",
            "timestamp": "2026-11-23T09:30:00.250+0000",
        },
    }


def by_eventbridge(metric: str, name: str, state: str, **dimensions: str) -> dict[str, Any]:
    return {
        "id": "e-1",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "resources": [f"{ARN}{name}"],
        "detail": detail(metric, name, state, dimensions),
    }


def by_alarm(metric: str, name: str, state: str, **dimensions: str) -> dict[str, Any]:
    data = detail(metric, name, state, dimensions)
    return {"source": "aws.cloudwatch", "alarmArn": f"{ARN}{name}", "alarmData": data}


class People:
    """A topic whose messages are kept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, subject: str, text: str) -> None:
        self.messages.append(Message(subject, text))


def no_log(_level: str, _line: dict[str, Any]) -> None:
    pass


def into(lines: list[str]) -> Callable[[str, dict[str, Any]], None]:
    """Log as the handler does."""
    return Telemetry(lines.append, lambda: 0.0).log


def sent(event: Any, settings: AlertSettings = SETTINGS) -> list[Message]:
    people = People()
    respond(event, settings, people, no_log, "r-1")
    return people.messages


# ------------------------------------------------------------------------------ what is said


def test_a_message_says_all_that_a_person_needs() -> None:
    (message,) = sent(by_sns(told("Rejects", Stream="shop", Dataset="orders")))
    assert message.subject == "ALARM: pipeline-SomeAlarm-1X"
    assert message.text == (
        "ALARM: pipeline-SomeAlarm-1X\n"
        "\n"
        "Documents were rejected. They are kept as dead letters and can be sent again.\n"
        "\n"
        "Since:     2026-11-23 09:30:00 UTC\n"
        "Stream:    shop\n"
        "Dataset:   orders\n"
        "Account:   eu-central-1, 123456789012\n"
        "Dashboard: https://example.com/dashboard\n"
        "\n"
        "Likely causes:\n"
        "  - a producer has changed what it sends\n"
        "  - a schema, or a rule in it, was changed\n"
        "  - something other than the pipeline's producers writes to the stream\n"
        "\n"
        "Type first:\n"
        "  pipeline dead-letters s3://dead/letters\n"
        "\n"
        "CloudWatch says: Threshold Crossed: 1 datapoint [5.0] was greater than 0.\n"
        "The alarm says: What the template says.\n"
    )


def test_a_recovery_says_so_and_gives_no_command() -> None:
    (message,) = sent(by_sns(told("Rejects", state="OK", Stream="shop")))
    assert message.subject == "RECOVERED: pipeline-SomeAlarm-1X"
    assert "No more documents are rejected." in message.text
    assert "Type first" not in message.text
    (message,) = sent(by_sns(told("Rejects", state="INSUFFICIENT_DATA")))
    assert message.subject.startswith("NO DATA: ")


@pytest.mark.parametrize("metric", ADVICE)
def test_however_an_alarm_comes_it_is_told_alike(metric: str) -> None:
    name, dimensions = "pipeline-SomeAlarm-1X", {"FunctionName": "shop"}
    ways = [
        by_sns(told(metric, name, **dimensions)),
        by_sns(told_of_math(metric, **dimensions)),
        by_eventbridge(metric, name, "ALARM", **dimensions),
        by_alarm(metric, name, "ALARM", **dimensions),
    ]
    (first,), *others = (sent(way) for way in ways)
    assert ADVICE[metric].problem in first.text
    assert all(messages == [first] for messages in others)


def template_alarms() -> Iterator[tuple[str, list[str]]]:
    """Each alarm of the template, and the metrics it watches."""

    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", lambda *_: None)
    text = (ROOT / "infra" / "template.yaml").read_text("utf-8")
    template = yaml.load(text, loader)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties = resource["Properties"]
            stats = [
                m["MetricStat"]["Metric"]
                for m in properties.get("Metrics", [])
                if "MetricStat" in m
            ]
            yield name, [metric["MetricName"] for metric in stats] or [properties["MetricName"]]


def test_every_alarm_of_the_template_has_words_of_its_own() -> None:
    found = dict(template_alarms())
    assert len(found) >= 8
    for metrics in found.values():
        assert ADVICE.keys() & set(metrics), metrics


def test_every_metric_of_ours_that_is_advised_on_is_written() -> None:
    of_aws = {
        "IteratorAge", "IncomingRecords", "Errors", "Throttles", "Duration", "MaxMemoryUsed",
        "OnFailureDestinationDeliveredEventCount", "DroppedEventCount",
        "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage",
    }  # fmt: skip
    ours = METRICS.keys() | FILE_METRICS.keys() | LAKE_METRICS.keys()
    assert ADVICE.keys() - of_aws <= ours


def test_an_alarm_of_an_unknown_metric_is_told_in_general_words() -> None:
    (message,) = sent(by_sns(told("CPUUtilization", "it's hot")))
    assert UNKNOWN.problem in message.text
    assert "--alarm-names 'it'\"'\"'s hot' --region eu-central-1" in message.text
    assert "What the template says." in message.text


@pytest.mark.parametrize("metric", FILES_ADVICE)
def test_of_the_function_for_files_nothing_is_said_of_batches_and_shards(metric: str) -> None:
    ways = [
        by_sns(told(metric, Bucket="incoming")),
        by_sns(told(metric, FunctionName="pipeline-FilesFunction-0aBc")),
        by_sns(told("", f"pipeline-Files{metric}Alarm-1X")),
    ]
    for (message,) in map(sent, ways):
        assert FILES_ADVICE[metric].problem in message.text
    for (message,) in map(sent, [by_sns(told(metric, FunctionName="MyFiles-Function-0aBc"))]):
        assert ADVICE[metric].problem in message.text


@pytest.mark.parametrize(
    ("which", "advice"), [("Tables", TABLES_ADVICE), ("Commit", COMMIT_ADVICE)]
)
def test_of_a_function_that_runs_by_a_schedule_nothing_is_said_of_batches(
    which: str, advice: dict[str, Advice]
) -> None:
    for metric, expected in advice.items():
        ways = [
            by_sns(told(metric, FunctionName=f"pipeline-{which}Function-0aBc")),
            by_sns(told("", f"pipeline-{which}{metric}Alarm-1X")),
        ]
        for (message,) in map(sent, ways):
            assert expected.problem in message.text


def test_a_composite_alarm_is_known_by_the_alarm_that_set_it_off() -> None:
    plain = told("", "shop-is-in-trouble")
    del plain["Trigger"]
    reason = f"{ARN}pipeline-BatchFailedAlarm-1X transitioned to ALARM at Monday 23 November, 2026"
    (message,) = sent(by_sns({**plain, "AlarmRule": "ALARM(x)", "NewStateReason": reason}))
    assert ADVICE["BatchFailed"].problem in message.text
    (message,) = sent(by_sns({**plain, "NewStateReason": "unknown"}))
    assert (
        "--alarm-types MetricAlarm CompositeAlarm --alarm-names shop-is-in-trouble" in message.text
    )


def test_an_alarm_of_an_anomaly_band_is_known_by_the_metric_in_it() -> None:
    plain = told_of_math("IteratorAge", FunctionName="shop")
    band = {"Id": "ad1", "Expression": "ANOMALY_DETECTION_BAND(m, 2)", "ReturnData": True}
    plain["Trigger"] |= {
        "Metrics": [*plain["Trigger"]["Metrics"], band],
        "ThresholdMetricId": "ad1",
    }
    (message,) = sent(by_sns(plain))
    assert ADVICE["IteratorAge"].problem in message.text


def test_the_queue_of_an_alarm_is_named() -> None:
    (message,) = sent(by_sns(told("ApproximateNumberOfMessagesVisible", QueueName="files-dead")))
    assert "Queue:     files-dead\n" in message.text


def test_commands_are_whole_and_safe_to_paste() -> None:
    for metric in ADVICE:
        (message,) = sent(by_sns(told(metric, FunctionName="a; rm -rf /")))
        assert not re.search(r"\{\w+\}", message.text)
        command = message.text.partition("Type first:\n  ")[2].partition("\n")[0]
        assert command.startswith(("aws ", "pipeline "))
        assert "a; rm -rf /" not in command.replace("'a; rm -rf /'", "")


def test_without_surroundings_the_message_still_leads_somewhere() -> None:
    bare = AlertSettings(TOPIC)
    (message,) = sent(by_sns(told("Errors", FunctionName="shop")), bare)
    assert "Dashboard: https://eu-central-1.console.aws.amazon.com/cloudwatch/" in message.text
    assert "get-function-configuration --function-name shop" in message.text


@given(st.text(max_size=300), st.sampled_from(["ALARM", "OK", "INSUFFICIENT_DATA"]))
def test_any_name_gives_a_subject_that_sns_takes(name: str, state: str) -> None:
    for found in read_alarms(by_sns(told("Errors", name or "x", state))):
        assert isinstance(found, Alarm)
        assert re.fullmatch(r"[A-Z][ -~]{0,98}", message_of(found, AROUND).subject)


# -------------------------------------------------------------------------- what is no alarm


@pytest.mark.parametrize(
    ("event", "where", "why"),
    [
        (by_sns("secret"), "the SNS message m-0", "Its text is not JSON."),
        (by_sns({"secret": 1}), "the SNS message m-0", "It does not name an alarm."),
        (by_sns("[]"), "the SNS message m-0", "It is not a JSON object."),
        (by_sns({**told("Errors"), "NewStateValue": "secret"}), "m-0", "is in a state that CloudWatch does not have"),
        (by_sns({**told("Errors"), "StateChangeTime": "secret"}), "m-0", "does not say when it changed"),
        (by_sns({**told("Errors"), "StateChangeTime": "0001-01-01T00:00:00+14:00"}), "m-0", "does not say when it changed"),
        (by_sns({**told("Errors"), "NewStateValue": {"secret": 1}}), "m-0", "is in a state that CloudWatch does not have"),
        (by_sns({**told("Errors"), "NewStateValue": ["ALARM"]}), "m-0", "is in a state that CloudWatch does not have"),
        (by_sns("[" * 100_000), "the SNS message m-0", "Its text is not JSON."),
        ({"Records": [{"eventSource": "aws:s3"}]}, "a record of the event", "It did not come from SNS."),
        ({"id": "e-9", "detail": {"secret": 1}}, "the event e-9", "It does not name an alarm."),
        ("secret", "the event without an id", "It is not a JSON object."),
        ({"Records": []}, "the event without an id", "It does not name an alarm."),
        (by_sns(told("Errors", "secret" * 50)), "the SNS message m-0", "It does not name an alarm."),
        ({"id": "secret" * 50}, "the event without an id", "It does not name an alarm."),
        (by_eventbridge("Errors", "x", "ALARM") | {"detail-type": "CloudWatch Alarm Configuration Change"},
         "the event e-1", "It is not a change of an alarm's state: let the rule match only 'CloudWatch Alarm State Change'."),
    ],
)  # fmt: skip
def test_what_is_no_alarm_is_told_without_its_text(event: Any, where: str, why: str) -> None:
    lines: list[str] = []
    people = People()
    counts = respond(event, SETTINGS, people, into(lines), "r-1")
    assert counts == {"alarms": 0, "unreadable": 1}
    (message,) = people.messages
    assert message.subject == "ALERT: an alarm could not be read"
    assert where in message.text
    assert why in message.text
    assert "aws cloudwatch describe-alarms --state-value ALARM" in message.text
    assert "secret" not in message.text + "".join(lines)
    assert json.loads(lines[0])["level"] == "ERROR"


def test_one_that_cannot_be_read_does_not_hide_the_others() -> None:
    subjects = [message.subject for message in sent(by_sns("?", told("Errors", "real")))]
    assert subjects == ["ALERT: an alarm could not be read", "ALARM: real"]


@pytest.mark.parametrize(
    "changed",
    [
        {"AlarmName": "a \ud800 name"},
        {"AlarmDescription": "\udfff"},
        {"NewStateReason": "\ud83d"},
        {
            "Trigger": {
                "MetricName": "\ud800",
                "Dimensions": [{"name": "\udfff", "value": "\ud800"}],
            }
        },
        {
            "Trigger": {
                "MetricName": "Errors",
                "Dimensions": [{"name": "QueueName", "value": "\ud800"}],
            }
        },
        {"Trigger": {"Dimensions": [{"name": [1], "value": "x"}, {"name": "Stream", "value": []}]}},
        {"AlarmArn": ["x"]},
        {"AlarmArn": json.loads("[" * 900 + "]" * 900)},
    ],
    ids=range(8),
)
def test_an_alarm_of_an_impossible_shape_is_told_as_far_as_it_can_be(
    changed: dict[str, Any],
) -> None:
    """Half a surrogate pair is in no text that can be sent; the rest of the event is told, too."""
    messages = sent(by_sns(told("Errors") | changed, told("Errors", "real")))
    assert [message.subject for message in messages][1:] == ["ALARM: real"]
    assert messages[0].subject.startswith("ALARM: ")
    assert all(message.text.encode() for message in messages)


TEXTS = st.text(st.characters(), max_size=3) | st.sampled_from(["ALARM", "\ud800", "\udfff x"])


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["Records", "Sns", "Message", "detail", "alarmData", "alarmName", "state",
                         "value", "configuration", "metrics", "AlarmName", "Trigger", "Metrics"]),
        inner, max_size=4),
    max_leaves=12,
), st.dictionaries(st.sampled_from(sorted(told("x"))), TEXTS | st.lists(TEXTS)))  # fmt: skip
def test_nothing_that_comes_breaks_it(event: Any, changed: dict[str, Any]) -> None:
    assert len(sent(event)) >= 1
    messages = sent(by_sns(event, told("Errors") | changed, told("Errors", "real")))
    assert len(messages) == 3
    assert messages[2].subject == "ALARM: real"
    for message in messages:
        assert re.fullmatch(r"[A-Z][ -~]{0,98}", message.subject)
        assert message.text.encode()


def test_its_own_messages_are_never_answered() -> None:
    with pytest.raises(SettingsError, match="would notify itself for ever"):
        sent(by_sns("any text", topic=TOPIC))


# ------------------------------------------------------------------------------- to the topic


@pytest.fixture
def inbox(aws: str) -> tuple[str, Callable[[], list[dict[str, Any]]]]:
    """Return the ARN of a topic, and a function that receives what was sent there."""
    sns: Any = boto3.client("sns")
    sqs: Any = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="people")["QueueUrl"]
    topic = sns.create_topic(Name="people")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:people")

    def received() -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    return topic, received


def test_the_handler_publishes_alarm_and_recovery(
    inbox: tuple[str, Callable[[], list[dict[str, Any]]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic, received = inbox
    monkeypatch.setenv("PIPELINE_ALERT_TOPIC", topic)
    monkeypatch.setenv("PIPELINE_DASHBOARD_URL", DASHBOARD)
    context = Context(10)
    for state in ("ALARM", "OK"):
        event = by_sns(told("BatchFailed", "é batches", state, Stream="shop"))
        assert handlers.alert(event, context) == {"alarms": 1, "unreadable": 0}
    messages = received()
    assert [message["Subject"] for message in messages] == [
        "ALARM: ? batches",
        "RECOVERED: ? batches",
    ]
    assert DASHBOARD in messages[0]["Message"]
    assert ADVICE["BatchFailed"].resolved in messages[1]["Message"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # Lambda believes a line's level only beside a time.
    assert all(datetime.fromisoformat(line["timestamp"]).tzinfo for line in lines)
    assert [line["outcome"] for line in lines] == ["ALARM", "OK"]


def test_what_is_not_sns_has_not_told_anybody() -> None:
    """A proxy or a wrong endpoint answers 200, too: without a message id nothing was sent."""
    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:people"

    class Proxy:
        def publish(self, **_: str) -> dict[str, Any]:
            return {"ResponseMetadata": {"HTTPStatusCode": 200}}

    with pytest.raises(NotifyError) as caught:
        Topic(arn, Proxy()).publish("subject", "text")
    assert str(caught.value) == (
        f"Could not publish to {arn}: the response has no MessageId, and so is not from SNS; check "
        "the endpoint (AWS_ENDPOINT_URL…)."
    )


def test_a_topic_that_is_not_there_raises_so_that_lambda_tries_again(aws: str) -> None:
    missing = AlertSettings(f"arn:aws:sns:{REGION}:{ACCOUNT}:missing")
    topic = Topic(missing.topic)
    with pytest.raises(NotifyError, match=r"SNS answered NotFound.*grant sns:Publish"):
        respond(by_sns(told("Errors")), missing, topic, no_log, None)


def test_one_that_cannot_be_told_does_not_hide_the_others() -> None:
    class Deaf(People):
        def publish(self, subject: str, text: str) -> None:
            if "first" in subject:
                message = "Could not publish to the topic."
                raise NotifyError(message)
            super().publish(subject, text)

    people, lines = Deaf(), list[str]()
    event = by_sns(told("Errors", "first"), told("Errors", "second"))
    with pytest.raises(NotifyError):
        respond(event, SETTINGS, people, into(lines), "r-1")
    assert [message.subject for message in people.messages] == ["ALARM: second"]
    assert [json.loads(line)["outcome"] for line in lines] == ["ALARM", "not_notified", "ALARM"]


def test_texts_of_any_length_are_sent(
    inbox: tuple[str, Callable[[], list[dict[str, Any]]]],
) -> None:
    topic, received = inbox
    long = {**told("Errors", "é" * 255), "NewStateReason": "é\n" * 200_000}
    settings = AlertSettings(topic)
    respond(by_sns(long), settings, Topic(topic), no_log, None)
    (message,) = received()
    assert len(message["Message"].encode()) <= 200_000


def test_wrong_settings_are_all_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        AlertSettings.from_environment({
            "PIPELINE_ALERT_TOPIC": "people", "PIPELINE_DASHBOARD_URL": "somewhere", "PIPELINE_DEAD_LETTERS": "x",
        })  # fmt: skip
    names = [line.partition(" ")[0] for line in str(error.value).splitlines()]
    assert names == ["PIPELINE_ALERT_TOPIC", "PIPELINE_DASHBOARD_URL", "PIPELINE_DEAD_LETTERS"]
    with pytest.raises(SettingsError, match="PIPELINE_ALERT_TOPIC is not set"):
        AlertSettings.from_environment({})


# ------------------------------------------------------------------------ what the log adds


class Lines:
    """A log group with these lines."""

    def __init__(self, lines: list[Any], error: str = "", *, whole: bool = True) -> None:
        self.found, self.error, self.whole = lines, error, whole
        self.asked: list[tuple[str, datetime, datetime]] = []

    def lines(self, pattern: str, since: datetime, until: datetime) -> tuple[list[Any], bool]:
        self.asked.append((pattern, since, until))
        if self.error:
            raise NotifyError(self.error)
        return self.found, self.whole


def line(*kinds: tuple[str, str, str, int], stream: str = "shop", documents: int = 100) -> Any:
    refused = [
        {
            "dataset": dataset, "reason": reason, "path": path, "count": count,
            "sequence_number": "4959", "sub_sequence_number": 3, "document": 0,
        }
        for dataset, reason, path, count in kinds
    ]  # fmt: skip
    source = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}/shardId-000000000000"
    total = sum(kind[-1] for kind in kinds)
    return {"source": source, "Documents": documents, "Rejects": total, "refused": refused}


def message_with(log: Lines | LogGroup, alarm: dict[str, Any]) -> str:
    people = People()
    respond(by_sns(alarm), SETTINGS, people, lambda *_: None, None, log)
    (message,) = people.messages
    return message.text


def test_the_message_says_how_many_of_which_dataset_why_and_shows_one() -> None:
    log = Lines(
        [
            line(("orders", "wrong_type", "$.total", 9), ("clicks", "missing", "$.at", 1)),
            line(("orders", "wrong_type", "$.total", 2), ("orders", "not_json", "$", 4)),
            line(("clicks", "too_long", "$.url", 3)),
            line(("others", "missing", "$.x", 99), stream="another"),
            None,
            {"refused": "no list"},
        ]
    )
    text = message_with(log, told("Rejects", Stream="shop"))
    one = (
        f"one is arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/shop/shardId-000000000000, sequence number "
        "4959, sub-sequence number 3, document 0"
    )
    assert (
        "In the log, from 09:15 to 09:31 UTC:\n"
        "  19 dead letters in batches of 300 documents\n"
        "  11 of dataset orders: wrong_type at $.total\n"
        f"    {one}\n"
        "  4 of dataset orders: not_json at $\n"
        f"    {one}\n"
        "  3 of dataset clicks: too_long at $.url\n"
        f"    {one}\n"
        "  and 1 other kinds\n"
        "  This shows it:\n"
        "    pipeline rejects s3://dead/letters --since 2h --dataset orders --reason wrong_type "
        "--samples 1\n"
    ) in text
    ((pattern, since, until),) = log.asked
    assert pattern == '{ $.outcome = "stored" && $.Rejects > 0 }'
    assert (until - since).total_seconds() == 16 * 60


def test_of_one_dataset_only_its_own_are_told_and_of_its_hour() -> None:
    log = Lines([line(("orders", "wrong_type", "$.total", 9), ("clicks", "missing", "$.at", 1))])
    text = message_with(log, told("Rejects", Stream="shop", Dataset="clicks"))
    assert "  1 dead letter\n  1 of dataset clicks: missing at $.at\n" in text
    assert "orders" not in text
    ((_, since, until),) = log.asked
    assert (until - since).total_seconds() == 66 * 60


def test_the_message_names_unknown_fields() -> None:
    unknown = {"orders": {"documents": 12, "fields": {"$.coupon": 12, "$.lines[].sku": 2}}}
    log = Lines([line() | {"UnknownFields": 12, "unknown_fields": unknown}] * 2)
    text = message_with(log, told("UnknownFields", Stream="shop"))
    assert (
        "  24 documents of dataset orders with unknown fields\n"
        "  $.coupon in 24 of dataset orders\n"
        "  $.lines[].sku in 4 of dataset orders\n"
    ) in text


def test_a_log_that_cannot_be_read_does_not_keep_the_message() -> None:
    text = message_with(Lines([], "Could not read it; grant it."), told("Rejects", Stream="shop"))
    assert "Which documents these are, the log did not tell: Could not read it; grant it." in text
    assert ADVICE["Rejects"].problem in text
    assert "(the first part of it)" in message_with(
        Lines([line(("a", "b", "$", 1))], whole=False), told("Rejects", Stream="shop")
    )
    assert "The log says nothing about it" in message_with(Lines([]), told("Rejects", Stream="x"))


def test_the_log_is_asked_of_alarms_that_it_can_tell_of_alone() -> None:
    log = Lines([])
    for alarm in (told("BatchFailed", Stream="shop"), told("Rejects", state="OK", Stream="shop")):
        message_with(log, alarm)
    assert log.asked == []


def test_a_dataset_that_goes_silent_is_told_as_such() -> None:
    silent = told("Documents", state="INSUFFICIENT_DATA", Stream="shop", Dataset="orders")
    (message,) = sent(by_sns(silent))
    assert message.subject == "SILENT: pipeline-SomeAlarm-1X"
    assert ADVICE["Documents"].problem in message.text
    assert "Type first" in message.text
    (message,) = sent(by_sns(told("Documents", state="OK", Dataset="orders")))
    assert ADVICE["Documents"].resolved in message.text


def test_a_dataset_of_which_all_is_refused_is_told_as_such() -> None:
    alarm = told_of_math("Rejects", Stream="shop", Dataset="orders")
    stat = {"Metric": {"MetricName": "Documents", "Dimensions": []}}
    alarm["Trigger"]["Metrics"].append({"Id": "documents", "MetricStat": stat})
    (message,) = sent(by_sns(alarm))
    assert DATASET_ADVICE["Rejects"].problem in message.text


def test_the_functions_own_log_has_what_the_message_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real handler writes it, moto keeps it, and the real reader finds it."""
    monkeypatch.setenv("PIPELINE_OUTPUT", (tmp_path / "rows").as_uri())
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", (tmp_path / "letters").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    secret = as_json(order(total="s3cret"))
    handlers.kinesis(kinesis_event([secret, b"{", as_json(order() | {"novel": 1})]), Context(60.0))
    written = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        logs = boto3.client("logs")
        logs.create_log_group(logGroupName="group")
        logs.create_log_stream(logGroupName="group", logStreamName="stream")
        now = datetime.now(UTC)
        events: Any = [
            {"timestamp": round(now.timestamp() * 1_000), "message": text} for text in written
        ]
        logs.put_log_events(logGroupName="group", logStreamName="stream", logEvents=events)
        log = LogGroup("group", Unfiltered(logs))
        alarm = told("Rejects", Stream="shop") | {"StateChangeTime": now.isoformat()}
        text = message_with(log, alarm)
        with pytest.raises(NotifyError, match="Could not read the log nobody: Logs answered"):
            LogGroup("nobody", logs).lines("", now, now)
    handlers.forget()
    assert "2 dead letters in batches of 3 documents\n" in text
    assert "1 of dataset orders: bad_format at $.total\n" in text
    assert "s3cret" not in text


class Unfiltered:
    """moto knows no patterns of JSON: lines are filtered here as they are there."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def filter_log_events(self, filterPattern: str, **asked: Any) -> Any:  # noqa: N803 - AWS' name
        assert filterPattern == '{ $.outcome = "stored" && $.Rejects > 0 }'
        page = self.client.filter_log_events(**asked)
        page["events"] = [
            event
            for event in page["events"]
            if json.loads(event["message"]).get("outcome") == "stored"
        ]
        return page
