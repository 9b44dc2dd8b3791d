"""Law: any stream record is done with, whatever is in it, within bounds of memory and time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from attack.measure import Measuring, run_stream_record
from attack.poison import (
    LARGEST,
    POISON,
    POISONED_ENVELOPES,
    POISONED_PAYLOADS,
    WRITTEN,
    rules_of,
)
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


@pytest.mark.parametrize("name", POISONED_PAYLOADS)
def test_a_stream_record_that_is_not_json_is_too(
    name: str, measuring: Measuring, tmp_path: Path
) -> None:
    format_, framing, record = POISONED_PAYLOADS[name]
    file, schema = WRITTEN[format_]
    (tmp_path / "_w").mkdir()
    (tmp_path / "_w" / file).write_bytes(schema())
    check_bounds(record(), rules_of(format_, framing), measuring, tmp_path)


def check_bounds(
    record: bytes, rules: str, measuring: Measuring, written: Path | None = None
) -> None:
    assert len(record) <= LARGEST
    cost = measuring.measure(partial(run_stream_record, record, ROOT / "schemas", rules, written))
    assert not cost.failed
    assert cost.units, "its documents"
    assert cost.megabytes <= _MOST_MEGABYTES
    assert cost.seconds <= _MOST_SECONDS
