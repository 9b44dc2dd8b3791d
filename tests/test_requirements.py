"""The lock files, and what installs the smallest of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

LOCKS = ROOT / "requirements"
NOWHERE = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}


def pins(lock: str) -> set[tuple[str, str]]:
    text = (LOCKS / lock).read_text("utf-8")
    return set(re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", ["runtime.txt", "lake.txt", "demo.txt"])
def test_what_is_shipped_is_what_is_tested(lock: str) -> None:
    assert pins(lock) <= pins("dev.txt")


def test_the_demo_needs_few_packages() -> None:
    assert pins("runtime.txt") < pins("demo.txt")
    assert len(pins("demo.txt")) <= 25


def install(lock: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Install a lock as `make demo` does where there is no uv, and no network."""
    (tmp_path / "lock.txt").write_text(lock, "utf-8")
    return subprocess.run(
        [sys.executable, str(LOCKS / "install.py"), "environment", "lock.txt"],
        cwd=tmp_path,
        env=os.environ | NOWHERE | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_an_installation_leaves_a_stamp(tmp_path: Path) -> None:
    done = install("", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Installing 0 packages into environment, the first time ...\n")
    assert (tmp_path / "environment" / ".installed").is_file()


def test_one_that_broke_leaves_none(tmp_path: Path) -> None:
    done = install(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n", tmp_path)
    assert done.returncode != 0
    assert "no-such-package" in done.stderr
    assert not (tmp_path / "environment" / ".installed").exists()
