"""How all the others come to user records: AWS's own deaggregator for Python."""

import base64
from typing import Any

from aws_kinesis_agg.deaggregator import deaggregate_records


def user_records(event: Any) -> list[bytes]:
    """Return the data of an event's user records."""
    return [
        base64.b64decode(record["kinesis"]["data"])
        for record in deaggregate_records(event["Records"])
    ]
