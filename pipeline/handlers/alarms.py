"""What is done with an alarm: a message to people, and a line in the log."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from pipeline.core.alert import (
    Alarm,
    Surroundings,
    malformed_message,
    message_of,
    read_alarms,
    topics_of,
)
from pipeline.core.errors import SettingsError
from pipeline.settings import AlertSettings


class Topic(Protocol):
    """Where messages go; see `pipeline.adapters.notify`."""

    def publish(self, subject: str, text: str) -> None:
        """Send a message."""
        ...


def open_topic(arn: str) -> Topic:
    """Return the topic of SNS."""
    from pipeline.adapters.notify import Topic as SnsTopic  # noqa: PLC0415 - 0.3 s to import

    return SnsTopic(arn)


def answer_alarms(
    event: Any,
    settings: AlertSettings,
    topic: Topic,
    write: Callable[[str], object],
    request_id: str | None,
) -> dict[str, int]:
    """Tell people of each alarm in an event, and of what came in an alarm's place.

    Returns how many alarms there were, and how many could not be read. Raises `NotifyError` where
    nobody could be told, so that Lambda tries again, and `SettingsError` for a function that would
    answer its own messages.
    """
    if settings.topic in topics_of(event):
        message = (
            "The alert function is subscribed to the topic that it publishes to "
            f"({settings.topic}), and would answer itself for ever: let alarms go to another topic "
            "than PIPELINE_ALERT_TOPIC."
        )
        raise SettingsError(message)
    around = Surroundings(settings.dashboard, settings.dead_letters, settings.log_group)
    counts = {"alarms": 0, "unreadable": 0}
    for found in read_alarms(event):
        if isinstance(found, Alarm):
            counts["alarms"] += 1
            said = message_of(found, around)
            line = {"level": "INFO", "outcome": found.state, "alarm": found.name}
        else:
            counts["unreadable"] += 1
            said = malformed_message(found, around, request_id)
            line = {
                "level": "ERROR",
                "outcome": "unreadable",
                "message": f"{found.where}: {found.why}",
            }
        write(json.dumps({**line, "request_id": request_id}))
        topic.publish(said.subject, said.text)
    return counts
