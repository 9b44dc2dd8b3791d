"""What is done with an alarm: a message to people, and a line in the log."""

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
"""Takes a line for the log: its level, and what it says."""


class Topic(Protocol):
    """Where messages go; see `pipeline.adapters.aws.sns`."""

    def publish(self, subject: str, text: str) -> None:
        """Send a message."""
        ...


def open_topic(arn: str) -> Topic:
    """Return the topic of SNS."""
    from pipeline.adapters.aws.sns import Topic as SnsTopic  # noqa: PLC0415 - 0.3 s to import

    return SnsTopic(arn)


def answer_alarms(
    event: Any,
    settings: AlertSettings,
    topic: Topic,
    log: Log,
    request_id: str | None,
) -> dict[str, int]:
    """Tell people of each alarm in an event, and of what came in an alarm's place.

    Returns how many alarms there were, and how many could not be read. Raises `NotifyError` where
    people could not be told of one, after all were tried, so that Lambda tries again, and
    `SettingsError` for a function that would answer its own messages.
    """
    if settings.topic in topics_of(event):
        message = (
            "The alert function is subscribed to the topic that it publishes to "
            f"({settings.topic}), and would answer itself for ever: let alarms go to another topic "
            "than PIPELINE_ALERT_TOPIC."
        )
        raise SettingsError(message)
    teller = _Teller(settings, topic, log, request_id)
    for found in read_alarms(event):
        teller.tell(found)
    if teller.failure is not None:
        raise teller.failure
    return teller.counts


class _Teller:
    """Tells of one alarm after the other, of all of them even where one could not be told."""

    def __init__(
        self,
        settings: AlertSettings,
        topic: Topic,
        log: Log,
        request_id: str | None,
    ) -> None:
        self._around = AlertContext(settings.dashboard, settings.dead_letters, settings.log_group)
        self._topic = topic
        self._write = log
        self._request_id = request_id
        self.counts = {"alarms": 0, "unreadable": 0}
        self.failure: PipelineError | None = None

    def tell(self, found: Alarm | Unreadable) -> None:
        if isinstance(found, Alarm):
            self.counts["alarms"] += 1
            self._log("INFO", found.state, {"alarm": found.name})
            said = message_of(found, self._around)
        else:
            self.counts["unreadable"] += 1
            self._log("ERROR", "unreadable", {"message": f"{found.where}: {found.why}"})
            said = malformed_message(found, self._around, self._request_id)
        try:
            self._topic.publish(said.subject, said.text)
        except PipelineError as error:
            self._log("ERROR", "not_told", {"message": str(error)})
            self.failure = error

    def _log(self, level: str, outcome: str, more: dict[str, str]) -> None:
        self._write(level, {"outcome": outcome, **more, "request_id": self._request_id})
