"""A pytest plugin: the tests run against the installed wheel, or not at all.

Tests that import the checkout by accident pass while the wheel lacks a file. This refuses to
start unless `pipeline` is inside the environment named by PIPELINE_WHEEL_HOME and the checkout
named by PIPELINE_SOURCE_ROOT cannot be imported from.
"""

import os
import sys
from pathlib import Path

import pytest

import pipeline


def pytest_configure() -> None:
    """End the run, in the controller and in each worker, unless the wheel is tested."""
    home = Path(os.environ["PIPELINE_WHEEL_HOME"]).resolve()
    root = Path(os.environ["PIPELINE_SOURCE_ROOT"]).resolve()
    package = Path(pipeline.__file__).resolve().parent
    if not package.is_relative_to(home):
        pytest.exit(f"pipeline is imported from {package}, not from {home}.", returncode=1)
    if any(Path(entry).resolve() == root for entry in sys.path):
        pytest.exit(f"The checkout {root} is on the import path.", returncode=1)
    missing = [name for name in ("py.typed", "schemas") if not (package / name).exists()]
    if missing:
        pytest.exit(f"The wheel lacks {' and '.join(missing)}.", returncode=1)


def pytest_report_header() -> str:
    """Say in the output what was tested."""
    return f"pipeline: {pipeline.__file__}"
