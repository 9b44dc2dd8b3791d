"""A directory that mixes names up, as those of macOS and Windows do, on any machine.

Below it, a path opens whatever has the same name but for the case of letters, the normal form of
Unicode, or dots at the end. What is made keeps the name that it was made with.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

_ONE_PATH = ("stat", "lstat", "mkdir", "open", "unlink", "listdir", "scandir", "rmdir")
_TWO_PATHS = ("replace", "rename")
_listdir = os.listdir


@contextmanager
def mixed_names(root: Path) -> Iterator[None]:
    """Make a directory mix names up, as long as the context lasts."""

    def found(path: Any) -> Any:
        if not isinstance(path, str | Path):
            return path
        try:
            parts = Path(path).relative_to(root).parts
        except ValueError:
            return path
        return str(root.joinpath(*_entries(root, parts)))

    def with_found(call: Callable[..., Any], count: int) -> Callable[..., Any]:
        def calling(*given: Any, **options: Any) -> Any:
            return call(*map(found, given[:count]), *given[count:], **options)

        return calling

    with pytest.MonkeyPatch.context() as patch:
        for name in _ONE_PATH:
            patch.setattr(os, name, with_found(getattr(os, name), 1))
        for name in _TWO_PATHS:
            patch.setattr(os, name, with_found(getattr(os, name), 2))
        patch.setattr(io, "open", with_found(io.open, 1))
        yield


def _entries(here: Path, parts: tuple[str, ...]) -> Iterator[str]:
    """Yield for each part of a path what its directory has for it, or itself."""
    for part in parts:
        try:
            names = _listdir(here)
        except OSError:
            names = []
        entry = next((name for name in names if _mixed(name) == _mixed(part)), part)
        here /= entry
        yield entry


def _mixed(name: str) -> str:
    return normalize("NFD", normalize("NFD", name).casefold()).rstrip(".")
