"""Lines of a log group of CloudWatch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import LOGS, Call, translate_errors

if TYPE_CHECKING:
    from datetime import datetime

_MOST_PAGES: Final = 10
_MOST_LINES: Final = 5_000


class LogGroup:
    """A log group, by its name, whose lines are JSON."""

    def __init__(self, name: str, client: Any = None) -> None:
        """Use `client`, or one that the environment configures. Nothing is read yet.

        Raises `NotifyError` if the AWS configuration is unusable.
        """
        self.name = name
        # Whoever waits for the lines can do without them.
        self._client = client or make_client(LOGS, tries=2)

    def lines(self, pattern: str, since: datetime, until: datetime) -> tuple[list[Any], bool]:
        """Return lines that match a pattern, and whether these are all. Raises `NotifyError`."""
        call = Call(LOGS, "read the log", "logs:FilterLogEvents", self.name)
        asked: dict[str, Any] = {
            "logGroupName": self.name,
            "filterPattern": pattern,
            "startTime": round(since.timestamp() * 1_000),
            "endTime": round(until.timestamp() * 1_000),
        }
        found = list[Any]()
        for _ in range(_MOST_PAGES):
            with translate_errors(call):
                page = self._client.filter_log_events(**asked)
            found += [_json(event.get("message", "")) for event in page.get("events", ())]
            if "nextToken" not in page:
                return found[:_MOST_LINES], len(found) <= _MOST_LINES
            if len(found) >= _MOST_LINES:
                break
            asked["nextToken"] = page["nextToken"]
        return found[:_MOST_LINES], False


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
