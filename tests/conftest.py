"""How hypothesis searches, and the fixtures of more than one file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

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

# So few documents as tests have would all be read one by one; PIPELINE_COLUMNAR=off does that.
convert.FEWEST = 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name no test by binary data: what packs it puts the time in, and workers would differ."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Function:
    """Return the Lambda function, configured for the repository's orders."""
    made = Function()
    kept = "PIPELINE_COLUMNAR"  # the tests are run with the columnar path and without it
    for name in [of for of in os.environ if of.startswith("PIPELINE_") and of != kept]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIPELINE_OUTPUT", "file:///lake")
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", "file:///dead")
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    monkeypatch.setattr(attempt, "open_store", made.open_store)
    return made


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, which a shell's background job starts with ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
