"""Records that were received and are not in a batch yet."""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from pipeline.core.records import StreamRecord
from pipeline.esm.event import EVENT_BYTES, event_size

Records = tuple[StreamRecord, ...]


_AROUND = event_size([0])  # bytes of an event's text beside its records


class _Held(NamedTuple):
    record: StreamRecord
    received: int
    size: int


class Buffer:
    """Gathers records in order, and cuts batches of at most `batch_size` and 6 MB off them."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._held: deque[_Held] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, record: StreamRecord, received: int, size: int) -> None:
        """Add one record; `size` is its share of the text of an event, in bytes."""
        self._held.append(_Held(record, received, size))
        self._size += size

    @property
    def records(self) -> Records:
        """The waiting records, in order."""
        return tuple(held.record for held in self._held)

    @property
    def since(self) -> int:
        """When the record that has waited longest was received."""
        return self._held[0].received

    @property
    def is_full(self) -> bool:
        """Whether a batch need not wait for more records."""
        return len(self) >= self._batch_size or _AROUND + self._size >= EVENT_BYTES

    @property
    def head_too_large(self) -> bool:
        """Whether the first record alone is too large for any event."""
        return bool(self._held) and _AROUND + self._held[0].size > EVENT_BYTES

    def cut(self) -> Records:
        """Take off the longest batch that fits, or the one record that never will."""
        count, size = 0, 0
        for held in islice(self._held, self._batch_size):
            if count and _AROUND + size + held.size > EVENT_BYTES:
                break
            count, size = count + 1, size + held.size
        self._size -= size
        return tuple(self._held.popleft().record for _ in range(count))

    def remove(self, is_gone: Callable[[StreamRecord], bool]) -> None:
        """Drop the records that are gone."""
        self._held = deque(held for held in self._held if not is_gone(held.record))
        self._size = sum(held.size for held in self._held)
