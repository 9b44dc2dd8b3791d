"""Field rules and the event-time window, vectorised on the table.

They run on what was converted, by either path, so they cannot differ between paths.
"""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import ARRIVED_AT, Dataset
from pipeline.core.documents.field_rules import check_fields, ruled_fields
from pipeline.core.documents.jsonpath import Violations, path_segments
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Reject, Rows, Violation


def check_rules(rows: Rows, dataset: Dataset) -> tuple[Rows, list[Reject]]:
    """Drop the rows that break a rule of a field or the event-time window."""
    violations = Violations()
    fields = ruled_fields(dataset.record)
    columns = [rows.table.column(field.name).combine_chunks() for field in fields]
    check_fields(fields, columns, violations)
    _check_window(rows.table, dataset, violations)
    bad = sorted(violations.by_row)
    return rows.without(bad), [
        rows.reject(row, RejectStage.RULES, violations.by_row[row], dataset.id) for row in bad
    ]


def _check_window(table: pa.Table, dataset: Dataset, violations: Violations) -> None:
    """Note the rows whose event time is too far from their arrival."""
    if dataset.event_time is None or dataset.window is None:
        return
    low, high = dataset.window
    event = table.column(dataset.event_time).cast(pa.int64())
    distance = pc.subtract(event, table.column(ARRIVED_AT.name).cast(pa.int64())).combine_chunks()
    outside = pc.or_(pc.less(distance, low), pc.greater(distance, high))
    keys = next(field.path for field in dataset.record.fields if field.name == dataset.event_time)
    violation = Violation(
        Reason.OUTSIDE_WINDOW,
        f"The event time is outside the window of {_span(low)} to {_span(high)} around arrival.",
        "$" + path_segments(keys),
    )
    for row in pc.indices_nonzero(outside.fill_null(False)).to_pylist():  # noqa: FBT003 - a value
        violations.add(row, violation)


def _span(micros: int) -> str:
    """Write a duration as dataset.toml does, in the largest unit that divides it."""
    seconds = micros // 1_000_000
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    unit, size = next((unit, size) for unit, size in units if seconds % size == 0)
    return f"{seconds // size:+d}{unit}"
