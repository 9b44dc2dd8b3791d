"""duckdb, pytz, rich, rstr and shtab belong to the command line: nothing else loads them."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from support import ROOT

from pipeline.cli import _EXTRA

CLI = "import sys; from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"


def in_a_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)


def test_it_asks_for_what_the_extra_lists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["cli"]
    assert [requirement.partition(">")[0] for requirement in extra] == list(_EXTRA)


@pytest.mark.parametrize("missing", _EXTRA)
@pytest.mark.parametrize("arguments", [["--help"], ["check", "schemas"], ["demo"]])
def test_without_the_extra_every_command_says_what_to_install(
    arguments: list[str], missing: str
) -> None:
    ended = in_a_process(f"import sys; sys.modules[{missing!r}] = None; {CLI}", *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "pipeline: The command line needs duckdb, pytz, rich, rstr and shtab: pip install "
        "'kinesis-s3-pipeline[cli]', or from a checkout, pip install '.[cli]'; with uv, uv tool run "
        "--from 'kinesis-s3-pipeline[cli]' pipeline.\n"
    )


@pytest.mark.parametrize("module", ["pipeline.handlers", "pipeline.producer"])
def test_what_applications_import_does_without_the_extra(module: str) -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys({_EXTRA!r}))
import {module}, pkgutil, importlib
for found in pkgutil.walk_packages({module}.__path__, "{module}."):
    importlib.import_module(found.name)
"""
    ended = in_a_process(code)
    assert (ended.returncode, ended.stderr) == (0, "")
