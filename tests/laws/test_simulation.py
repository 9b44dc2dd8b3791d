"""The simulated world: 500 histories keep the laws, and each planted fault is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any
from unittest.mock import patch

import pytest
from simulation.faults import Rates
from simulation.history import SimulationFailed
from simulation.world import LEAST_FAULTS, LEAST_INVOCATIONS, simulate
from support import ROOT

from pipeline import handlers
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core import layout, payload
from pipeline.core.integers import INT64, zeros
from pipeline.core.kpl import deaggregate
from pipeline.core.records import Batch, Chunk, Reject

CHUNK = 50
PLANTED_IS_FOUND_WITHIN = range(1, 51)  # seeds


@pytest.mark.parametrize("first", range(1, 501, CHUNK))
def test_the_laws_hold_in_fifty_histories_and_every_kind_of_fault_strikes_in_them(
    first: int,
) -> None:
    faults = Counter[str]()
    for seed in range(first, first + CHUNK):
        history = simulate(seed)
        assert history.invocations >= LEAST_INVOCATIONS
        assert history.faults.total() >= LEAST_FAULTS
        faults += history.faults
    assert set(faults) == {of.name for of in fields(Rates)}


def answer_before_the_write() -> AbstractContextManager[Any]:
    return patch.object(ConcurrentWriter, "wait", lambda _: None)


def key_from_the_clock() -> AbstractContextManager[Any]:
    batch_name = layout.batch_name

    def with_time(batch: Batch) -> str:
        return f"{batch_name(batch)}-{time.time_ns()}"

    return patch.object(layout, "batch_name", with_time)


def lowest_sequence_ignored() -> AbstractContextManager[Any]:
    answer = handlers.respond

    def from_the_last(event: Any, *rest: Any) -> dict[str, Any]:
        answered = answer(event, *rest)
        for item in answered["batchItemFailures"]:
            item["itemIdentifier"] = event["Records"][-1]["kinesis"]["sequenceNumber"]
        return answered

    return patch.object(handlers, "respond", from_the_last)


def sub_sequence_reset() -> AbstractContextManager[Any]:
    def all_first(batch: Batch, *numbers: Any) -> tuple[Chunk, list[Reject]]:
        chunk, rejects = deaggregate(batch, *numbers)
        chunk.provenance.sub[:] = zeros(len(chunk.provenance), INT64)
        return chunk, rejects

    return patch("pipeline.flow.deaggregate", all_first)


def reject_dropped() -> AbstractContextManager[Any]:
    return patch.object(payload._Part, "_reject", lambda *_: None)


PLANTED: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str]] = {
    "answer before the write": (answer_before_the_write, "Laws 1 and 2: .* answered"),
    "key from the clock": (key_from_the_clock, "Law 5: "),
    "lowest sequence ignored": (lowest_sequence_ignored, "Law 1: the checkpoint"),
    "sub-sequence reset": (
        sub_sequence_reset,
        "The handler raised ConservationError: User records",
    ),
    "reject dropped": (reject_dropped, "CRASHED|handler"),
}


def failure_with(planted: str) -> SimulationFailed:
    """Return how the first of the seeds that finds a planted fault fails."""
    plant, _ = PLANTED[planted]
    with plant():
        for seed in PLANTED_IS_FOUND_WITHIN:
            try:
                simulate(seed)
            except SimulationFailed as error:
                return error
    pytest.fail(f"No seed of {PLANTED_IS_FOUND_WITHIN} found the planted fault: {planted}.")


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found_and_shown_with_its_history_and_how_to_replay_it(
    planted: str,
) -> None:
    failure = failure_with(planted)
    assert re.search(f"^BROKEN: {PLANTED[planted][1]}", failure.history.outcome)
    seed = failure.history.seed
    assert str(failure).startswith(f"\nhistory of seed {seed}\n")
    assert ": invocation 1\n" in failure.history.text
    assert str(failure).endswith(
        f"{failure.history.outcome}\nTo see it again: make simulate SEEDS={seed}-{seed}"
    )


def test_a_failing_seed_fails_again_in_the_same_words() -> None:
    planted = "lowest sequence ignored"
    assert str(failure_with(planted)) == str(failure_with(planted))


def test_the_same_seed_is_the_same_history_in_another_process_with_other_hashes() -> None:
    seeds = range(9, 12)  # 10 has the real encoders
    expected = "".join(f"{simulate(seed).text}\n" for seed in seeds)
    for hash_seed in ("1", "2"):
        replayed = subprocess.run(
            [sys.executable, "-m", "simulation", f"{seeds[0]}-{seeds[-1]}", "--history"],
            cwd=ROOT / "tests",
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert replayed.stdout == expected


def test_different_seeds_are_different_histories() -> None:
    assert simulate(1).lines != simulate(2).lines
