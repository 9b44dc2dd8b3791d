"""What a function's response means, with ReportBatchItemFailures on.

| the function returns | meaning |
|---|---|
| `null`, `""`, `[]`, or an object whose `batchItemFailures` is absent, null or `[]` | all done |
| identifiers, each a sequence number of the batch | again from the lowest of them on |
| one of them is `""`, null, not a string, under another key, or not of the batch | all again |
| anything else | all again |
"""

from collections.abc import Sequence
from typing import Any

from pipeline.core.records import StreamRecord


def retry_from_index(response: Any, records: Sequence[StreamRecord]) -> int:
    """Return the index of the first record of the batch to deliver again; its length if none."""
    if response is None or response in ("", []):
        return len(records)
    if not isinstance(response, dict):
        return 0
    items = response.get("batchItemFailures", [])
    if items is None or items == []:
        return len(records)
    if not isinstance(items, list):
        return 0
    indexes = {record.sequence_number: index for index, record in enumerate(records)}
    return min(_index(item, indexes) for item in items)


def _index(item: Any, indexes: dict[str, int]) -> int:
    """Return the index that an item names; 0, the whole batch, if it names none."""
    identifier = item.get("itemIdentifier") if isinstance(item, dict) else None
    return indexes.get(identifier, 0) if isinstance(identifier, str) else 0
