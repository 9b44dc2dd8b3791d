"""docs/your-own-schema.md, done as it says: every command runs, every promised line comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ROOT

PAGE = ROOT / "docs" / "your-own-schema.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A block of commands, and the lines that have to be in its output."""

    commands: str
    promised: list[str]


def steps() -> list[Step]:
    """Read the page: each block of commands, with the output that follows it, if any does."""
    found: list[Step] = []
    last = ""
    for language, text in BLOCK.findall(PAGE.read_text("utf-8")):
        assert language in {"sh", "text"}, f"a block of {language or 'no language'} is not tried"
        if language == "sh":
            found.append(Step(text, []))
        else:
            assert last == "sh", "an output stands after its command"
            found[-1].promised = text.splitlines()
        last = language
    return found


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment in which this Python's `pipeline` comes first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return kept | {"PATH": path, "PYTHONUTF8": "1"}


def test_the_page_keeps_its_promises(tmp_path: Path, environment: dict[str, str]) -> None:
    assert len(steps()) > 10
    for step in steps():
        done = subprocess.run(
            ["sh", "-e", "-c", step.commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{step.commands}\n{done.stdout}{done.stderr}"
        # Columns are as wide as the sizes of files, which hold the path that they came from.
        lines = [line.split() for line in done.stdout.splitlines()]
        for line in step.promised:
            assert line.split() in lines, f"{step.commands}\n{done.stdout}{done.stderr}"


def test_the_page_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text("utf-8"))
    assert links
    assert all((PAGE.parent / link).is_file() for link in links)
