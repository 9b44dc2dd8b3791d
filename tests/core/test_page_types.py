"""The page of the road is type-checked: a call with wrong arguments is an error of mypy's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typecheck import CheckedCopy

WRONG = {
    'part.run("convert", convert, chunk, dataset, fast=fast)': 'part.run("convert", convert, chunk, dataset, "extra", fast=fast)',
    'part.run("partition", split, rows, dataset, pipeline.limits, room)': 'part.run("partition", split, rows, dataset, room)',
    "partial(encode, rows, dataset, as_format, census)": "partial(encode, dataset, as_format, census)",
}


@pytest.mark.xdist_group("mypy")
def test_mypy_reports_each_wrong_call_of_a_station(checked_copy: CheckedCopy) -> None:
    """Stations are called through the stopwatch, which must not hide their parameters."""
    faults = checked_copy.faults("flow.py", WRONG)
    assert {fault.path for fault in faults} == {"flow.py"}
    for wrong in WRONG.values():
        assert any(wrong in fault.line for fault in faults), f"mypy does not see {wrong}"
