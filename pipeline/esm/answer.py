"""What a function's answer means, with ReportBatchItemFailures on.

| the function returns | meaning |
|---|---|
| `null`, `""`, `[]`, or an object whose `batchItemFailures` is absent, null or `[]` | all done |
| identifiers, each a sequence number of the batch | again from the lowest of them on |
| among them one that is `""`, null, no string, under another key, or not of the batch | all again |
| anything else | all again |
"""

from collections.abc import Sequence
from typing import Any

from pipeline.core.records import StreamRecord


def retry_from_index(answer: Any, records: Sequence[StreamRecord]) -> int:
    """Return the index of the first record of the batch to deliver again; its length if none."""
    if answer is None or answer in ("", []):
        return len(records)
    if not isinstance(answer, dict):
        return 0
    items = answer.get("batchItemFailures", [])
    if items is None or items == []:
        return len(records)
    if not isinstance(items, list):
        return 0
    at = {record.sequence_number: index for index, record in enumerate(records)}
    return min(_position(item, at) for item in items)


def _position(item: Any, at: dict[str, int]) -> int:
    """Return the index that an item names; 0, the whole batch, if it names none."""
    identifier = item.get("itemIdentifier") if isinstance(item, dict) else None
    return at.get(identifier, 0) if isinstance(identifier, str) else 0
