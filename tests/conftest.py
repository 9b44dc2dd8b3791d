"""The settings of hypothesis, and the fixtures that several files share."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from servers import CREDENTIALS
from support import ROOT, Function
from typecheck import CheckedCopy

from pipeline import attempt, handlers
from pipeline.adapters.schemas import read_datasets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.core.dataset import Dataset

# Other programs read there what we wrote. `make conformance` runs it, which installs them.
collect_ignore = [] if "PIPELINE_READERS" in os.environ else ["conformance"]

# The same examples at every run: whether a change may stand is not left to chance.
settings.register_profile("same", deadline=None, max_examples=60, derandomize=True)
# New ones at every run, to look for what those do not show: HYPOTHESIS_PROFILE=search make test.
settings.register_profile("search", deadline=None, max_examples=200)
# For hours.
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Never name a test by binary data: gzip puts the time in, and workers would differ."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of the collector's way, as it stays to the end."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of each preset's sample, where those tests were run."""
    shown = sorted(
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", ())
        if name == "preset"
    )
    if not shown:
        return
    terminalreporter.section("presets")
    line = "{:<26} {:>8} {:>10} {:>6} {:>13}  {}".format
    terminalreporter.line(line("preset", "records", "documents", "rows", "dead letters", "drops"))
    for preset, records, rows, letters, drops in shown:
        named = ", ".join(f"{name} {count}" for name, count in sorted(drops.items()))
        documents = rows + letters + sum(drops.values())
        terminalreporter.line(line(preset, records, documents, rows, letters, named).rstrip())


def by_columns(folder: Path) -> tuple[Dataset, ...]:
    """Read a folder's datasets, with the columnar path for so few documents as tests have."""
    return tuple(dataset.by_columns() for dataset in read_datasets(folder))


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Function:
    """Return the Lambda function, configured for the repository's orders."""
    made = Function()
    kept = "PIPELINE_FAST_PATHS"  # the tests are run with the fast paths and without them
    for name in [
        variable for variable in os.environ if variable.startswith("PIPELINE_") and variable != kept
    ]:
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


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Run moto over HTTP in this process, and return its URL: the endpoint of all of AWS.

    The module's tests share it. Nothing of an earlier module's clients is left, in boto3 or in the
    handlers.
    """
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        handlers.forget()
        yield url
    handlers.forget()
    server.stop()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, which a shell's background job starts with ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
