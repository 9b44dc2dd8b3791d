"""How hypothesis searches, and the fixtures of more than one file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from support import ROOT, Function
from typecheck import CheckedCopy

from pipeline import attempt
from pipeline.adapters.schemas import read_datasets

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.dataset import Dataset

# CI sees the same examples every time; on a developer's machine they are new ones every time.
settings.register_profile("developer", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
# On demand, for hours: HYPOTHESIS_PROFILE=long make test.
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "developer")
)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name no test by binary data: what packs it puts the time in, and workers would differ."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


def by_columns(folder: Path) -> tuple[Dataset, ...]:
    """Read a folder's datasets, with the columnar path for so few documents as tests have."""
    return tuple(dataset.by_columns() for dataset in read_datasets(folder))


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Function:
    """Return the Lambda function, configured for the repository's orders."""
    made = Function()
    kept = "PIPELINE_FAST_PATHS"  # the tests are run with the fast paths and without them
    for name in [of for of in os.environ if of.startswith("PIPELINE_") and of != kept]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIPELINE_OUTPUT", "file:///lake")
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", "file:///dead")
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(ROOT / "schemas"))
    monkeypatch.setattr(attempt, "open_store", made.open_store)
    monkeypatch.setattr(attempt, "read_datasets", by_columns)
    return made


@pytest.fixture(scope="session")
def checked_copy(tmp_path_factory: pytest.TempPathFactory) -> CheckedCopy:
    """Return a copy of the package for mypy; one, as the first look at it is the long one."""
    return CheckedCopy(tmp_path_factory.mktemp("checked"))
