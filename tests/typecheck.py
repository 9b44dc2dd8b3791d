"""A copy of the package that tests may break, and what mypy says of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMAND = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "pipeline"]
_ERROR = re.compile(r"(?m)^pipeline/(\S+?):(\d+): error: (.*)$")


class TypeFault(NamedTuple):
    """An error of mypy's; `path` is the module's in the package, `line` the text of its line."""

    path: str
    line: str
    message: str


class CheckedCopy:
    """The package in a folder of its own, with mypy's cache beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        source = Path(pipeline.__file__).parent
        # Of a wheel, the example schemas lie in the package, too.
        ignored = shutil.ignore_patterns("__pycache__", "schemas")
        shutil.copytree(source, folder / "pipeline", ignore=ignored)

    def faults(self, path: str, changes: dict[str, str]) -> list[TypeFault]:
        """Return what mypy says when each of these texts of a module is replaced."""
        with self._changed(self._folder / "pipeline" / path, changes):
            run = subprocess.run(
                _COMMAND,
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": ""},
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode in (0, 1), run.stdout + run.stderr
            return [
                TypeFault(found, self._line(found, int(number)), message)
                for found, number, message in _ERROR.findall(run.stdout)
            ]

    @contextmanager
    def _changed(self, module: Path, changes: dict[str, str]) -> Iterator[None]:
        text = changed = module.read_text()
        for before, after in changes.items():
            assert changed.count(before) == 1, before
            changed = changed.replace(before, after)
        module.write_text(changed)
        try:
            yield
        finally:
            module.write_text(text)

    def _line(self, path: str, number: int) -> str:
        return (self._folder / "pipeline" / path).read_text().splitlines()[number - 1].strip()
