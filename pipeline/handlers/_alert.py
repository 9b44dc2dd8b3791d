"""The response to CloudWatch alarms: a message to people, and a line in the log, for each."""

from collections.abc import Callable
from typing import Any, Protocol

from pipeline.alerts import (
    Alarm,
    AlertContext,
    Unreadable,
    malformed_message,
    message_of,
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


def respond(
    event: Any,
    settings: AlertSettings,
    topic: Topic,
    log: Log,
    request_id: str | None,
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
    notifier = _Notifier(settings, topic, log, request_id)
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
    ) -> None:
        self._context = AlertContext(settings.dashboard, settings.dead_letters, settings.log_group)
        self._topic = topic
        self._write = log
        self._request_id = request_id
        self.counts = {"alarms": 0, "unreadable": 0}
        self.failure: PipelineError | None = None

    def notify(self, item: Alarm | Unreadable) -> None:
        if isinstance(item, Alarm):
            self.counts["alarms"] += 1
            self._log("INFO", item.state, {"alarm": item.name})
            message = message_of(item, self._context)
        else:
            self.counts["unreadable"] += 1
            self._log("ERROR", "unreadable", {"message": f"{item.where}: {item.why}"})
            message = malformed_message(item, self._context, self._request_id)
        try:
            self._topic.publish(message.subject, message.text)
        except PipelineError as error:
            self._log("ERROR", "not_notified", {"message": str(error)})
            self.failure = error

    def _log(self, level: str, outcome: str, members: dict[str, str]) -> None:
        self._write(level, {"outcome": outcome, **members, "request_id": self._request_id})
