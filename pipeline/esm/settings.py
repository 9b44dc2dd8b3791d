"""The settings of an event source mapping, with Lambda's defaults and limits."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.core.errors import SettingsError

_MOST_RECORDS = 10_000
_LONGEST_WINDOW = 300
_MOST_RETRIES = 10_000
_AGES = (60, 604_800)


@dataclass(frozen=True, slots=True)
class Mapping:
    """How one event source mapping cuts batches and deals with failed ones.

    `window_seconds` is how long records are gathered for a batch. `retry_attempts` N means N + 1
    invocations; -1 means no end to them. `record_age_seconds` -1 means as long as the stream
    keeps the record. `report_failures` is ReportBatchItemFailures; Lambda's own default is off.

    Raises `SettingsError` that names every value beyond Lambda's limits, a line each.
    """

    batch_size: int = 100
    window_seconds: int = 0
    retry_attempts: int = -1
    record_age_seconds: int = -1
    bisect: bool = False
    report_failures: bool = True

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise SettingsError("\n".join(faults))

    def _faults(self) -> Iterator[str]:
        if not _is_within(self.batch_size, 1, _MOST_RECORDS):
            yield f"batch_size is {self.batch_size!r}; Lambda accepts 1 to 10,000 records."
        if not _is_within(self.window_seconds, 0, _LONGEST_WINDOW):
            yield f"window_seconds is {self.window_seconds!r}; Lambda accepts 0 to 300 seconds."
        if not _is_within(self.retry_attempts, -1, _MOST_RETRIES):
            yield (
                f"retry_attempts is {self.retry_attempts!r}; Lambda accepts 0 to 10,000, "
                "or -1 for no limit."
            )
        if self.record_age_seconds != -1 and not _is_within(self.record_age_seconds, *_AGES):
            yield (
                f"record_age_seconds is {self.record_age_seconds!r}; Lambda accepts 60 to 604,800 "
                "seconds, or -1 for no limit."
            )


def _is_within(value: int, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
