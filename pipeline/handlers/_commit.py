"""The response to a schedule: what has landed is committed to the tables, dataset by dataset.

Where a run does not get through, nothing is lost: the next one goes on from what it finds. By
another schedule the tables are held against their ledger.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.telemetry import Telemetry, Values
from pipeline.core.dataset import Dataset
from pipeline.core.errors import ConfigurationError, ServiceError
from pipeline.handlers.invocation import remaining_time, reserve_within
from pipeline.lake.audit import Audited, audit_table
from pipeline.lake.commit import CommitLimits, Outcome
from pipeline.lake.places import Lake, open_lake
from pipeline.settings import CommitSettings

_RESERVE = 60.0  # seconds, or a quarter of a shorter time-out
_GRACE = 900.0  # seconds in which what comes in several objects is on its way
_MOST_HOURS = 24 * 366
_MOST_TOLD = 10


def respond(
    event: Any, context: Any, settings: CommitSettings, telemetry: Telemetry
) -> dict[str, Any]:
    """Commit each dataset that has a table. Raises the last `ServiceError`, which Lambda counts.

    With `{"dataset": "orders"}` as the event, only that one. With `{"audit_hours": 2}`, each table
    is held against what its commits of the last two hours have read, and nothing is committed.
    """
    asked = event if isinstance(event, dict) else {}
    hours = _hours(asked.get("audit_hours"))
    remaining = remaining_time(context)
    reserve = reserve_within(remaining(), _RESERVE)
    limits = CommitLimits(reserve=reserve)
    request_id = getattr(context, "aws_request_id", None)
    lake, datasets = prepare(settings)
    results, failure = dict[str, Any](), None
    for dataset in datasets:
        if asked.get("dataset") not in {None, dataset.name}:
            continue
        try:
            if hours is None:
                outcome, error = _commit(lake, dataset, limits, remaining)
                values, message = _values(outcome), _message(lake, outcome, error)
                failure = error or failure
            else:
                audited = _audit(lake, dataset, hours, lambda: remaining() < reserve)
                values, message = {"LakeRowsMissing": audited.missing}, _said(dataset.name, audited)
        except ServiceError as error:
            failure = error
            continue
        telemetry.committed(settings.output, dataset.name, values, request_id, message)
        results[dataset.name] = values
    if failure is not None:
        raise failure
    return {"datasets": results}


def _hours(given: Any) -> float | None:
    """Read how many hours the audit is to look back; None to commit."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < _MOST_HOURS:
        message = "audit_hours of the event is not a number of hours; the schedule says 2."
        raise ConfigurationError(message)
    return float(given)


@functools.lru_cache(maxsize=4)
def prepare(settings: CommitSettings) -> tuple[Lake, tuple[Dataset, ...]]:
    """Open it once. A wrong configuration stops the start here."""
    with schema_folder(settings.schemas) as folder:
        datasets = [one for one in read_datasets(folder) if one.lake is not None]
    if not datasets:
        message = (
            f"No dataset of {settings.schemas} has [lake] in its dataset.toml, so there is no table"
            " to commit to."
        )
        raise ConfigurationError(message)
    lake = open_lake(settings.output, settings.catalog, settings.warehouse, settings.s3)
    return lake, tuple(datasets)


def _commit(
    lake: Lake, dataset: Dataset, limits: CommitLimits, remaining: Callable[[], float]
) -> tuple[Outcome, ServiceError | None]:
    committer = lake.committer(dataset, limits)
    try:
        return committer.run(remaining), None
    except ServiceError as error:
        return committer.outcome, error


def _audit(lake: Lake, dataset: Dataset, hours: float, is_time_over: Callable[[], bool]) -> Audited:
    until = time.time() - _GRACE
    return audit_table(lake, dataset, until - hours * 3_600, until, is_time_over)


def _said(dataset: str, audited: Audited) -> str | None:
    """Say which batches lack rows, and what could not be asked."""
    sentences = [
        f"{each.claim.rows - each.found:,} of {each.claim.rows:,} rows are missing in the table of "
        f"{dataset}: the batch {each.claim.span.first} to {each.claim.span.last} of "
        f"{each.claim.span.source} had so many. `pipeline audit` says where to get them back."
        for each in audited.short[:_MOST_TOLD]
    ]
    sentences += [
        f"{uri} is not a whole segment of the ledger; restore it from the bucket's versions."
        for uri in audited.unreadable[:_MOST_TOLD]
    ]
    if not audited.finished:
        sentences.append(f"There was not enough time to ask for each source of {dataset}.")
    return " ".join(sentences) or None


def _values(outcome: Outcome) -> Values:
    return {
        "LakeLagSeconds": round(outcome.lag, 3),
        "LakeRows": outcome.rows,
        "LakeDuplicates": outcome.duplicates,
        "LakeConflicts": outcome.conflicts,
        "LakeObjectsRefused": len(outcome.refused),
    }


def _message(lake: Lake, outcome: Outcome, error: ServiceError | None) -> str | None:
    """Say what was not committed, and why."""
    sentences = [
        f"{lake.landing.uri}/{refused.version.key} cannot be committed: {refused.why}."
        for refused in outcome.refused[:10]
    ]
    if error is not None:
        sentences.insert(0, str(error))
    return " ".join(sentences) or None
