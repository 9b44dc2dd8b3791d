"""The settings of hypothesis, and the fixtures that several files share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from support import ROOT, Function

from pipeline import attempt
from pipeline.core import convert

# CI sees the same examples every time; on a developer's machine they are new ones every time.
settings.register_profile("developer", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
# On demand, for hours: HYPOTHESIS_PROFILE=long make test.
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "developer")
)

# The few documents of a test would all be read one by one; only PIPELINE_COLUMNAR=off does that.
convert.FEWEST = 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Never name a test by binary data: gzip puts the time in, and workers would differ."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Function:
    """Return the Lambda function, configured for the repository's orders."""
    made = Function()
    kept = "PIPELINE_COLUMNAR"  # the tests are run with the columnar path and without it
    for name in [
        variable for variable in os.environ if variable.startswith("PIPELINE_") and variable != kept
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIPELINE_OUTPUT", "file:///lake")
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", "file:///dead")
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    monkeypatch.setattr(attempt, "open_store", made.open_store)
    return made
