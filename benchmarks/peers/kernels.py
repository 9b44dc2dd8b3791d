"""The floor: see benchmarks/floor.py."""

from collections.abc import Callable
from typing import Any

from benchmarks import floor


def prepare(event: Any) -> Callable[[], list[bytes]]:
    return lambda: [floor.whole(event)]
