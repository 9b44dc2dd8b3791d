"""The simulated lake: 200 histories end with each row once, and every planted fault is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import pytest
from lake_simulation.auditing import EVERY, check_audit
from lake_simulation.world import LawBroken, simulate

from pipeline.adapters.iceberg.checked_append import CheckedAppend
from pipeline.lake import batch, forget
from pipeline.lake.batch import CommitBatch
from pipeline.lake.commit import Committer

CHUNK = 25
PLANTED_IS_FOUND_WITHIN = range(1, 61)  # seeds
KINDS = {
    "answer lost", "appends", "compactions", "conflicts", "expiries", "forgotten", "killed",
    "merges", "throttled",
}  # fmt: skip
STEPS = {"read", "file", "metadata", "delete"}


@pytest.mark.parametrize("first", range(1, 201, CHUNK))
def test_each_row_is_there_once_whatever_happens(first: int) -> None:
    counts = Counter[str]()
    for seed in range(first, first + CHUNK):
        counts += simulate(seed, None if seed % EVERY else check_audit)
    assert set(counts) >= KINDS
    assert {name.split()[-1] for name in counts if name.startswith("killed ")} >= STEPS


def a_commit_is_repeated_unseen() -> AbstractContextManager[Any]:
    return patch.object(CheckedAppend, "_validate_concurrency", lambda _: None)


def the_table_is_not_asked() -> AbstractContextManager[Any]:
    return patch.object(CommitBatch, "_may_be_there", lambda *_: False)


def a_known_range_is_taken_for_known_rows() -> AbstractContextManager[Any]:
    real = CommitBatch._new

    def new(self: CommitBatch, rows: Any, spans: Any) -> Any:
        if any(self._may_be_there(span) for span in spans):
            return rows.slice(0, 0)
        return real(self, rows, spans)

    return patch.object(CommitBatch, "_new", new)


def a_group_is_not_made_distinct() -> AbstractContextManager[Any]:
    return patch.object(batch, "distinct", lambda rows: rows)


def the_landing_is_deleted_before_the_commit() -> AbstractContextManager[Any]:
    real = CommitBatch.write_ledger

    def write(self: CommitBatch, uri: str) -> None:
        landing = _landings[-1]
        for version in self.versions:
            landing.remove(version)
        real(self, uri)

    return patch.object(CommitBatch, "write_ledger", write)


def what_was_forgotten_is_forgotten() -> AbstractContextManager[Any]:
    return patch.object(Committer, "_forgotten", lambda *_: None)


def rows_are_deleted_before_they_are_written_down() -> AbstractContextManager[Any]:
    return patch.object(forget, "_write_down", lambda *_: None)


_landings: list[Any] = []
_made = Committer.__init__


def _note(self: Committer, *arguments: Any, **options: Any) -> None:
    _landings.append(arguments[2])
    _made(self, *arguments, **options)


@pytest.fixture(autouse=True)
def noted() -> Iterator[None]:
    with patch.object(Committer, "__init__", _note):
        yield


@pytest.mark.parametrize(
    "plant",
    [
        a_commit_is_repeated_unseen,
        the_table_is_not_asked,
        a_known_range_is_taken_for_known_rows,
        a_group_is_not_made_distinct,
        the_landing_is_deleted_before_the_commit,
        what_was_forgotten_is_forgotten,
        rows_are_deleted_before_they_are_written_down,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[], AbstractContextManager[Any]]) -> None:
    with plant(), pytest.raises(LawBroken):
        _simulate(PLANTED_IS_FOUND_WITHIN)


def _simulate(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)
