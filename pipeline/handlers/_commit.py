"""The response to a schedule: what has landed is committed to the tables, dataset by dataset.

Where a run does not get through, nothing is lost: the next one goes on from what it finds.
"""

import functools
from collections.abc import Callable
from typing import Any

from pipeline.adapters.schema_folder import schema_folder
from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.telemetry import Telemetry, Values
from pipeline.core.dataset import Dataset
from pipeline.core.errors import ConfigurationError, ServiceError
from pipeline.handlers.invocation import remaining_time, reserve_within
from pipeline.lake.commit import CommitLimits, Outcome
from pipeline.lake.places import Lake, open_lake
from pipeline.settings import CommitSettings

_RESERVE = 60.0  # seconds, or a quarter of a shorter time-out


def respond(
    event: Any, context: Any, settings: CommitSettings, telemetry: Telemetry
) -> dict[str, Any]:
    """Commit each dataset that has a table. Raises the last `ServiceError`, which Lambda counts.

    With `{"dataset": "orders"}` as the event, only that one.
    """
    remaining = remaining_time(context)
    limits = CommitLimits(reserve=reserve_within(remaining(), _RESERVE))
    request_id = getattr(context, "aws_request_id", None)
    lake, datasets = prepare(settings)
    wanted = event.get("dataset") if isinstance(event, dict) else None
    outcomes, failure = list[Outcome](), None
    for dataset in datasets:
        if wanted is not None and dataset.name != wanted:
            continue
        outcome, error = _commit(lake, dataset, limits, remaining)
        message = _message(lake, outcome, error)
        telemetry.committed(settings.output, dataset.name, _values(outcome), request_id, message)
        outcomes.append(outcome)
        failure = error or failure
    if failure is not None:
        raise failure
    return {"datasets": {outcome.dataset: _values(outcome) for outcome in outcomes}}


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
