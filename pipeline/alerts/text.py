"""The message: what is wrong, since when, where, why that may be, and what to do first."""

import re
import shlex
from collections.abc import Sequence

import msgspec

from pipeline.alerts.advice import (
    ADVICE,
    COMMIT_ADVICE,
    DATASET_ADVICE,
    FILES_ADVICE,
    TABLES_ADVICE,
    UNKNOWN,
    Advice,
)
from pipeline.alerts.alarm import Alarm, Unreadable

_SUBJECT_CHARACTERS = 99  # SNS accepts ASCII of less than 100 characters, without line breaks
_NOT_IN_SUBJECTS = re.compile(r"[^ -~]+")
_STATES = {"ALARM": "ALARM", "OK": "RECOVERED", "INSUFFICIENT_DATA": "NO DATA"}
_LABELS = {
    **{name: name for name in ("Stream", "Dataset", "Reason", "Bucket")},
    "FunctionName": "Function",
    "EventSourceMappingUUID": "Mapping",
    "QueueName": "Queue",
}
_LOG_OF_FUNCTION = (
    '"$(aws lambda get-function-configuration --function-name {function} '
    '--query LoggingConfig.LogGroup --output text)"'
)


class Message(msgspec.Struct, frozen=True):
    """What is sent: a subject that SNS accepts, and a text."""

    subject: str
    text: str


class AlertContext(msgspec.Struct, frozen=True):
    """What no alarm says: the dashboard's URL, the dead letters' URI, the function's log group."""

    dashboard: str | None = None
    dead_letters: str | None = None
    log_group: str | None = None


def message_of(alarm: Alarm, context: AlertContext, evidence: Sequence[str] = ()) -> Message:
    """Write the message of an alarm, with what the log says about it."""
    advice = _advice(alarm)
    head = f"{_state_of(alarm)}: {alarm.name}"
    lines = [head, "", _sentence(alarm, advice), ""]
    lines += [*evidence, ""] if evidence else []
    lines += [f"Since:     {alarm.since:%Y-%m-%d %H:%M:%S} UTC", *_places(alarm)]
    lines += [f"Dashboard: {context.dashboard or _console(alarm)}"]
    if alarm.state == "ALARM" or _is_silent(alarm):
        lines += ["", "Likely causes:", *(f"  - {cause}" for cause in advice.causes)]
        lines += ["", "Type first:", f"  {_command(advice, alarm, context)}"]
    lines += ["", *(f"{head}: {text}" for head, text in _quoted(alarm) if text)]
    return Message(_subject(head), "\n".join(lines) + "\n")


def _is_silent(alarm: Alarm) -> bool:
    """Whether it says that no documents come: their metric is there while they do."""
    return alarm.state == "INSUFFICIENT_DATA" and "Documents" in alarm.metrics[:1]


def _state_of(alarm: Alarm) -> str:
    return "SILENT" if _is_silent(alarm) else _STATES[alarm.state]


def malformed_message(item: Unreadable, context: AlertContext, request_id: str | None) -> Message:
    """Write the message about something that came in an alarm's place."""
    lines = [
        "The alert function received something that is not a CloudWatch alarm:",
        f"{item.where}. {item.why}",
        "",
        "It may have been an alarm that nobody has read: look at the dashboard.",
        "",
        f"Dashboard: {context.dashboard or _CONSOLE}",
        f"Request:   {request_id or 'without an id'}",
        "",
        "Type first:",
        "  aws cloudwatch describe-alarms --state-value ALARM",
    ]
    return Message("ALERT: an alarm could not be read", "\n".join(lines) + "\n")


def _advice(alarm: Alarm) -> Advice:
    """Find the advice by the metric, else by the alarm's name, or by what set a composite off."""
    named = [name for text in (alarm.name, alarm.reason) for name in ADVICE if name in text]
    metric = next((name for name in (*alarm.metrics, *named) if name in ADVICE), None)
    if metric is None:
        return UNKNOWN
    if "Dataset" in alarm.dimensions and "Documents" in alarm.metrics:
        return DATASET_ADVICE.get(metric, ADVICE[metric])
    if "Bucket" in alarm.dimensions or _is_of("Files", alarm, metric):
        return FILES_ADVICE.get(metric, ADVICE[metric])
    if _is_of("Tables", alarm, metric):
        return TABLES_ADVICE.get(metric, ADVICE[metric])
    if _is_of("Commit", alarm, metric):
        return COMMIT_ADVICE.get(metric, ADVICE[metric])
    return ADVICE[metric]


def _is_of(which: str, alarm: Alarm, metric: str) -> bool:
    """Whether an alarm is about the function whose name in the template begins so."""
    return f"{which}Function" in alarm.dimensions.get("FunctionName", "") or any(
        f"{which}{metric}" in text for text in (alarm.name, alarm.reason)
    )


def _sentence(alarm: Alarm, advice: Advice) -> str:
    if alarm.state == "OK":
        return advice.resolved
    if alarm.state == "ALARM" or _is_silent(alarm):
        return advice.problem
    return "CloudWatch has no data to evaluate the alarm: its metric is not written."


def _places(alarm: Alarm) -> list[str]:
    lines = [
        f"{label + ':':<10} {alarm.dimensions[name]}"
        for name, label in _LABELS.items()
        if name in alarm.dimensions
    ]
    where = ", ".join(filter(None, (alarm.region, alarm.account)))
    return [*lines, *([f"Account:   {where}"] if where else [])]


_CONSOLE = "https://console.aws.amazon.com/cloudwatch/home#alarmsV2:"
_CONSOLES = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}


def _console(alarm: Alarm) -> str:
    """Return CloudWatch's page of alarms, in the part of AWS that the region belongs to."""
    region = alarm.region
    if not region:
        return _CONSOLE
    usual = f"{region}.console.aws.amazon.com"
    others = (host for prefix, host in _CONSOLES.items() if region.startswith(f"{prefix}-"))
    host = next(others, usual)
    return f"https://{host}/cloudwatch/home?region={region}#alarmsV2:"


def _command(advice: Advice, alarm: Alarm, context: AlertContext) -> str:
    log = shlex.quote(context.log_group) if context.log_group else _LOG_OF_FUNCTION
    command = advice.command.replace("{log}", log)
    values = {
        "{function}": shlex.quote(alarm.dimensions.get("FunctionName", "FUNCTION")),
        "{dead_letters}": shlex.quote(context.dead_letters or "DEAD_LETTERS_URI"),
        "{alarm}": shlex.quote(alarm.name),
    }
    for name, value in values.items():
        command = command.replace(name, value)
    if alarm.region and command.startswith("aws "):
        command += f" --region {alarm.region}"
    return command


def _quoted(alarm: Alarm) -> list[tuple[str, str]]:
    return [("CloudWatch says", alarm.reason), ("The alarm says", alarm.description)]


def _subject(text: str) -> str:
    plain = _NOT_IN_SUBJECTS.sub("?", text)
    return plain if len(plain) <= _SUBJECT_CHARACTERS else plain[: _SUBJECT_CHARACTERS - 3] + "..."
