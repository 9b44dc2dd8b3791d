"""The response to CloudWatch alarms: a message to people, and a line in the log, for each."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from pipeline.alerts import (
    Alarm,
    AlertContext,
    Unreadable,
    evidence_of,
    malformed_message,
    message_of,
    question_of,
    read_alarms,
    topics_of,
)
from pipeline.core.errors import PipelineError, SettingsError
from pipeline.settings import AlertSettings

Log = Callable[[str, dict[str, Any]], object]
"""Writes a line to the log: its level, and its members."""


class Topic(Protocol):
    """Where messages go; see `pipeline.adapters.aws.sns`."""

    def publish(self, subject: str, text: str) -> None:
        """Send a message. Raises `NotifyError`."""
        ...


class LogGroup(Protocol):
    """Where the functions' lines are; see `pipeline.adapters.aws.logs`."""

    def lines(self, pattern: str, since: datetime, until: datetime) -> tuple[list[Any], bool]:
        """Return lines that match, and whether these are all. Raises `NotifyError`."""
        ...


def respond(
    event: Any,
    settings: AlertSettings,
    topic: Topic,
    log: Log,
    request_id: str | None,
    log_group: LogGroup | None = None,
) -> dict[str, int]:
    """Notify people of each alarm in an event, and of what came in an alarm's place.

    Returns how many alarms there were, and how many could not be read. Raises `NotifyError` where
    a message could not be sent, after all were tried, so that Lambda tries again, and
    `SettingsError` for a function that would receive its own messages.
    """
    if settings.topic in topics_of(event):
        message = (
            "The alert function is subscribed to the topic that it publishes to "
            f"({settings.topic}), and would notify itself for ever: send alarms to another topic "
            "than PIPELINE_ALERT_TOPIC."
        )
        raise SettingsError(message)
    notifier = _Notifier(settings, topic, log, request_id, log_group)
    for item in read_alarms(event):
        notifier.notify(item)
    if notifier.failure is not None:
        raise notifier.failure
    return notifier.counts


class _Notifier:
    """Sends a message for one alarm after the other, even after one could not be sent."""

    def __init__(
        self,
        settings: AlertSettings,
        topic: Topic,
        log: Log,
        request_id: str | None,
        log_group: LogGroup | None,
    ) -> None:
        self._context = AlertContext(settings.dashboard, settings.dead_letters, settings.log_group)
        self._topic = topic
        self._write = log
        self._request_id = request_id
        self._log_group = log_group
        self.counts = {"alarms": 0, "unreadable": 0}
        self.failure: PipelineError | None = None

    def notify(self, item: Alarm | Unreadable) -> None:
        if isinstance(item, Alarm):
            self.counts["alarms"] += 1
            self._log("INFO", item.state, {"alarm": item.name})
            message = message_of(item, self._context, self._evidence(item))
        else:
            self.counts["unreadable"] += 1
            self._log("ERROR", "unreadable", {"message": f"{item.where}: {item.why}"})
            message = malformed_message(item, self._context, self._request_id)
        try:
            self._topic.publish(message.subject, message.text)
        except PipelineError as error:
            self._log("ERROR", "not_notified", {"message": str(error)})
            self.failure = error

    def _evidence(self, alarm: Alarm) -> list[str]:
        """Ask the log; a message without its details is better than none."""
        question = question_of(alarm)
        if question is None or self._log_group is None:
            return []
        try:
            lines, whole = self._log_group.lines(question.pattern, question.since, question.until)
        except PipelineError as error:
            self._log("ERROR", "no_details", {"message": str(error)})
            return [f"Which documents these are, the log did not tell: {error}"]
        place = self._context.dead_letters
        return evidence_of(alarm, question, lines, place, whole=whole)

    def _log(self, level: str, outcome: str, members: dict[str, str]) -> None:
        self._write(level, {"outcome": outcome, **members, "request_id": self._request_id})
