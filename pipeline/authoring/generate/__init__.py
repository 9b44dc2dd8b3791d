"""Documents made up from a dataset's schema: load that the pipeline accepts, whole.

Every document fits the types, the rules, the event-time window and `[match]` of its dataset. What
is drawn comes from a `RandomSource` that is handed in: the same seed makes the same documents.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.authoring.generate.random_source import CannotGenerate, RandomSource
from pipeline.authoring.generate.values import Make, TimeRange, record_maker
from pipeline.core.dataset import Dataset
from pipeline.core.errors import DatasetError

__all__ = ["RandomSource", "documents_of"]

_NEAR = 60 * 1_000_000  # event times lie in the last minute that their window allows


def documents_of(dataset: Dataset, source: RandomSource) -> Callable[[int], bytes]:
    """Return what makes one document, given the time in microseconds since 1970, UTC.

    Raises `DatasetError` naming the field for which no value can be made up.
    """
    ranges = {} if dataset.event_time is None else {dataset.event_time: _time_range(dataset)}
    try:
        make = record_maker(dataset.reading.record, ranges, source)
    except CannotGenerate as error:
        raise DatasetError(
            f"schemas/{dataset.name}: no documents can be made up, as {error}; produce a file of "
            "documents instead."
        ) from None
    return _writer(dataset, make, source)


def _writer(dataset: Dataset, make: Make, source: RandomSource) -> Callable[[int], bytes]:
    match, encode = dataset.match, msgspec.json.Encoder().encode

    def write(now: int) -> bytes:
        document: dict[str, Any] = make(source, now)
        if match is not None:
            match.put(document)
        return encode(document)

    return write


def _time_range(dataset: Dataset) -> TimeRange:
    """Return the range of the event time around now, in microseconds."""
    low, high = dataset.window or (-2 * _NEAR, 0)
    # Documents take time to arrive, and are older then: they keep clear of the window's far end.
    earliest = low + min(_NEAR, (high - low) // 2)
    latest = min(high, max(earliest + _NEAR, 0))
    return max(earliest, latest - _NEAR), latest
