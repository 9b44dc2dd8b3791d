"""The page of the road is type-checked: a call with wrong arguments is an error of mypy's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typecheck import CheckedCopy

WRONG = {
    "flow.py": {
        'run("convert", convert, chunk, dataset, fast=pipeline.fast_paths)': 'run("convert", convert, chunk, dataset, "extra", fast=pipeline.fast_paths)',
        'run("partition", split, rows, dataset, pipeline.limits, room)': 'run("partition", split, rows, dataset, room)',
        'part.run("route", route, documents, fast=fast)': 'part.run("route", route, fast=fast)',
    },
    "storing.py": {
        "partial(encode, rows, dataset, as_format, census)": "partial(encode, dataset, as_format, census)",
    },
}


@pytest.mark.xdist_group("mypy")
@pytest.mark.parametrize("page", WRONG)
def test_mypy_reports_each_wrong_call_of_a_station(checked_copy: CheckedCopy, page: str) -> None:
    """Stations are called through the stopwatch, which must not hide their parameters."""
    faults = checked_copy.faults(page, WRONG[page])
    assert {fault.path for fault in faults} == {page}
    for wrong in WRONG[page].values():
        assert any(wrong in fault.line for fault in faults), f"mypy does not see {wrong}"
