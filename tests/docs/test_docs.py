"""What the README lists is what the code has."""

from typing import get_args

import pytest
from support import ROOT

from pipeline.adapters.telemetry import FILE_METRICS, METRICS, MetricName
from pipeline.cli import COMMANDS
from pipeline.core.reasons import MEANINGS, Reason
from pipeline.core.records import Limits
from pipeline.settings import LIMITS

README = (ROOT / "README.md").read_text("utf-8")


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_the_readme_lists_every_reason(reason: Reason) -> None:
    assert f"| `{reason}` | {MEANINGS[reason]} |" in README


@pytest.mark.parametrize("name", [*METRICS, *FILE_METRICS])
def test_the_readme_lists_every_metric(name: MetricName) -> None:
    metric = (METRICS | FILE_METRICS)[name]
    assert f"| `{name}` | {metric.unit} | {metric.meaning} |" in README


def test_every_metric_is_declared_once() -> None:
    assert [*METRICS, *FILE_METRICS] == list(get_args(MetricName))


@pytest.mark.parametrize("command", [of.__name__.rpartition(".")[2] for of in COMMANDS])
def test_the_readme_lists_every_command(command: str) -> None:
    assert f"| `pipeline {command}" in README


@pytest.mark.parametrize("name", LIMITS)
def test_the_readme_lists_every_bound_with_its_default(name: str) -> None:
    assert f"| `{LIMITS[name][0]}` | {getattr(Limits(), name):,} |" in README
