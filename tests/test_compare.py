"""`python -m benchmarks.compare`: two checkouts are timed in turns, if they store the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / "pipeline").is_dir(),
    reason="It compares checkouts; where the wheel is tested, there is none.",
)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return another checkout, as far as it is compared: the package."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=ignored)
    return tmp_path


def compare(*options: str | Path) -> subprocess.CompletedProcess[str]:
    small = ["--rounds", "1", "--scale", "0.004"]
    command = [sys.executable, "-m", "benchmarks.compare", *small, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_equal_checkouts_are_compared_step_by_step(other: Path) -> None:
    done = compare("--before", other, "--corpus", "bad 100 %", "--at-most", "50")
    assert done.returncode == 0, done.stderr
    ratios = re.findall(r"^(\w.*?)  .* [\d.]+x \([\d.]+x to [\d.]+x\)$", done.stdout, re.MULTILINE)
    assert ratios == ["import", "the first event", "a full event"]


def test_a_ratio_above_the_limit_is_a_failure(other: Path) -> None:
    done = compare("--before", other, "--at-most", "0.01")
    assert done.returncode == 1
    assert "a full event" in done.stdout


def test_checkouts_that_store_different_objects_are_not_compared(other: Path) -> None:
    with (other / "pipeline" / "core" / "convert.py").open("a") as module:
        module.write(
            "\n_right = convert\n"
            "def convert(chunk, dataset, **options):\n"
            "    return _right(chunk.take(range(1, len(chunk))), dataset, **options)\n"
        )
    done = compare("--before", other)
    assert done.returncode == 1
    assert "different rows" in done.stderr or "ConservationError" in done.stderr


def test_what_is_not_a_checkout_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = compare("--before", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} is not a checkout: it has no pipeline/__init__.py." in done.stderr
