"""What CloudWatch says about an alarm, in its three shapes, as one noun."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.core.errors import EventError

_STATES = frozenset({"ALARM", "OK", "INSUFFICIENT_DATA"})
_CHANGE = "CloudWatch Alarm State Change"
_LONGEST_NAME = 255  # CloudWatch's limit; what is not an alarm's name may be a document
_ARN = re.compile(r"arn:aws[a-z-]*:cloudwatch:([a-z0-9-]+):([0-9]*):alarm:.+", re.DOTALL)


class Alarm(msgspec.Struct, frozen=True):
    """An alarm that changed its state.

    `metrics` are the names of the metrics it watches, `dimensions` theirs, together. `since` is
    when it changed. `region` and `account` are "" where they are unknown.
    """

    name: str
    state: str
    reason: str
    since: datetime
    description: str
    metrics: tuple[str, ...]
    dimensions: dict[str, str]
    region: str
    account: str


class Unreadable(msgspec.Struct, frozen=True):
    """What arrived and is not an alarm: an identifier to find it by, and why it is not one.

    Nothing of its text is kept.
    """

    where: str
    why: str


def read_alarms(event: Any) -> list[Alarm | Unreadable]:
    """Read an event of Lambda; what cannot be read as an alarm is an `Unreadable`."""
    items = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(items, list) or not items:
        return [_read(event, f"the event {_id_of(event, 'id')}")]
    return [_from_sns(item) for item in items]


def topics_of(event: Any) -> set[str]:
    """Return the ARNs of the SNS topics that an event came through."""
    items = event.get("Records") if isinstance(event, dict) else None
    named = (_dict(item.get("Sns")).get("TopicArn") for item in _dicts(items))
    return {arn for arn in named if isinstance(arn, str)}


def _from_sns(item: Any) -> Alarm | Unreadable:
    sns = item.get("Sns") if isinstance(item, dict) else None
    if not isinstance(sns, dict):
        return Unreadable("a record of the event", "It did not come from SNS.")
    where = f"the SNS message {_id_of(sns, 'MessageId')}"
    try:
        document = json.loads(sns["Message"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return Unreadable(where, "Its text is not JSON.")
    return _read(document, where)


def _read(document: Any, where: str) -> Alarm | Unreadable:
    if not isinstance(document, dict):
        return Unreadable(where, "It is not a JSON object.")
    detail = document.get("detail", document.get("alarmData"))
    try:
        return _from_event(document, detail) if isinstance(detail, dict) else _from_action(document)
    except EventError as error:
        return Unreadable(where, str(error))


def _from_action(document: dict[str, Any]) -> Alarm:
    """Read what an alarm's action sends to SNS."""
    trigger = _dict(document.get("Trigger"))
    measured = [trigger, *(_metric_of(query) for query in _dicts(trigger.get("Metrics")))]
    return _alarm(
        {
            "name": document.get("AlarmName"),
            "state": document.get("NewStateValue"),
            "reason": document.get("NewStateReason"),
            "since": document.get("StateChangeTime"),
            "description": document.get("AlarmDescription"),
        },
        [(metric.get("MetricName"), _pairs(metric.get("Dimensions"))) for metric in measured],
        document.get("AlarmArn"),
    )


def _metric_of(query: dict[str, Any]) -> dict[str, Any]:
    return _dict(_dict(query.get("MetricStat")).get("Metric"))


def _from_event(document: dict[str, Any], detail: dict[str, Any]) -> Alarm:
    """Read what EventBridge delivers, or an alarm whose action is the function."""
    kind = document.get("detail-type", _CHANGE)
    if kind != _CHANGE:
        raise EventError(
            f"It is not a change of an alarm's state: let the rule match only {_CHANGE!r}."
        )
    state, configuration = _dict(detail.get("state")), _dict(detail.get("configuration"))
    stats = [_dict(query.get("metricStat")) for query in _dicts(configuration.get("metrics"))]
    metrics = [_dict(stat.get("metric")) for stat in stats]
    resources = document.get("resources")
    named = resources[0] if isinstance(resources, list) and resources else document.get("alarmArn")
    return _alarm(
        {
            "name": detail.get("alarmName"),
            "state": state.get("value"),
            "reason": state.get("reason"),
            "since": state.get("timestamp"),
            "description": configuration.get("description"),
        },
        [(metric.get("name"), _dict(metric.get("dimensions"))) for metric in metrics],
        named,
    )


def _alarm(
    texts: dict[str, Any], measured: Iterable[tuple[Any, dict[str, Any]]], arn: Any
) -> Alarm:
    name, state = texts["name"], texts["state"]
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise EventError("It does not name an alarm.")
    name = _writable(name)
    if not isinstance(state, str) or state not in _STATES:
        raise EventError(f"The alarm {name!r} is in a state that CloudWatch does not have.")
    found, dimensions = list[str](), dict[str, str]()
    for metric, named in measured:
        if isinstance(metric, str):
            found.append(metric)
        dimensions |= {
            _writable(key): _writable(value)
            for key, value in named.items()
            if isinstance(value, str)
        }
    place = _ARN.fullmatch(arn) if isinstance(arn, str) else None
    region, account = place.groups() if place else ("", "")
    return Alarm(
        name,
        state,
        _text(texts["reason"]),
        _moment(texts["since"], name),
        _text(texts["description"]),
        tuple(found),
        dimensions,
        region,
        account,
    )


def _moment(text: Any, name: str) -> datetime:
    """Read a time as `2026-11-23T09:30:00.250+0000`, or with Z."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):  # the last: it is not within UTC's years
        raise EventError(f"The alarm {name!r} does not say when it changed.") from None


def _pairs(dimensions: Any) -> dict[str, Any]:
    named = ((item.get("name"), item.get("value")) for item in _dicts(dimensions))
    return {name: value for name, value in named if isinstance(name, str)}


def _text(value: Any) -> str:
    return " ".join(_writable(value).split()) if isinstance(value, str) else ""


def _writable(text: str) -> str:
    """Return a text without half surrogate pairs, which JSON has and UTF-8 has not."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _id_of(document: Any, name: str) -> str:
    found = document.get(name) if isinstance(document, dict) else None
    known = isinstance(found, str) and 0 < len(found) <= _LONGEST_NAME
    return _writable(str(found)) if known else "without an id"
