"""Each preset, as its user meets it: datasets drafted from a sample, which then take all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from presets import SAMPLES
from support import Stored, as_json, kinesis_event

from pipeline.adapters.schemas import preset_names, read_datasets, read_stream
from pipeline.attempt import Attempt, envelope_of
from pipeline.cli import main
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_every_preset_has_a_sample() -> None:
    assert sorted(SAMPLES) == sorted(preset_names())


@pytest.mark.parametrize("preset", sorted(SAMPLES))
def test_a_preset_drafts_datasets_that_take_its_sample(
    preset: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    sample = SAMPLES[preset]
    records = list(map(as_json, sample.records))
    (tmp_path / "sample.json").write_bytes(b"\n".join(records))
    drafts = tmp_path / "drafts"
    arguments = ["infer", str(tmp_path / "sample.json"), "--preset", preset, "--out", str(drafts)]
    assert main([*arguments, "--name", "things"]) == 0
    datasets, stored, limits = read_datasets(drafts), Stored(), Limits()
    pipeline = Pipeline(
        Router(datasets),
        limits,
        stored.output,
        stored.dead_letters,
        envelope=envelope_of(read_stream(drafts), limits),
    )
    report = Attempt.untimed(pipeline).process(read_kinesis_event(kinesis_event(records)))
    rows, letters = report.total("rows"), len(stored.letters)
    assert (rows, letters, dict(report.drops)) == (sample.rows, sample.dead_letters, sample.drops)
    assert report.total("documents") == rows + letters + sum(sample.drops.values())
    assert [letter["stage"] for letter in stored.letters] == ["envelope"] * letters
    record_property("preset", (preset, len(records), rows, letters, sample.drops))
