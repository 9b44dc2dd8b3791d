"""Law: any stream record is done with, whatever is in it, within bounds of memory and time."""

from __future__ import annotations

from functools import partial

import pytest
from attack.measure import Measuring, run_stream_record
from attack.poison import LARGEST, POISON, POISONED_ENVELOPES
from support import ROOT

_MOST_MEGABYTES, _MOST_SECONDS = 700, 30  # of memory, all of a process'; of one processor


@pytest.fixture(scope="module")
def measuring() -> Measuring:
    return Measuring()


@pytest.mark.parametrize("name", POISON)
def test_a_stream_record_is_done_with_within_its_bounds(name: str, measuring: Measuring) -> None:
    check_bounds(POISON[name](), "", measuring)


@pytest.mark.parametrize("name", POISONED_ENVELOPES)
def test_a_stream_record_of_envelopes_is_too(name: str, measuring: Measuring) -> None:
    rules, record = POISONED_ENVELOPES[name]
    check_bounds(record(), rules, measuring)


def check_bounds(record: bytes, rules: str, measuring: Measuring) -> None:
    assert len(record) <= LARGEST
    cost = measuring.measure(partial(run_stream_record, record, ROOT / "schemas", rules))
    assert not cost.failed
    assert cost.units, "its documents"
    assert cost.megabytes <= _MOST_MEGABYTES
    assert cost.seconds <= _MOST_SECONDS
