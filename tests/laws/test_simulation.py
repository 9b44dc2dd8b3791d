"""The simulated world: 500 histories keep the laws, and every planted fault is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import fields
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from simulation.faults import Rates
from simulation.history import SimulationFailed
from simulation.world import LEAST_FAULTS, LEAST_INVOCATIONS, simulate
from support import ROOT

from pipeline import handlers
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.core import layout
from pipeline.core.dataset import Dataset
from pipeline.core.integers import INT64, zeros
from pipeline.core.kpl import deaggregate
from pipeline.core.parts import Parts
from pipeline.core.payload import unpack_payloads
from pipeline.core.records import Batch, Chunk, Limits, Provenance, Reject, Width
from pipeline.core.routing import Router

CHUNK = 50
PLANTED_IS_FOUND_WITHIN = range(1, 101)  # seeds


@pytest.mark.parametrize("first", range(1, 501, CHUNK))
def test_the_laws_hold_in_fifty_histories_and_every_kind_of_fault_strikes_in_them(
    first: int,
) -> None:
    """All laws hold in any history, whatever fails in it."""
    faults = Counter[str]()
    for seed in range(first, first + CHUNK):
        history = simulate(seed)
        assert history.invocations >= LEAST_INVOCATIONS
        assert history.faults.total() >= LEAST_FAULTS
        faults += history.faults
    assert set(faults) == {rate.name for rate in fields(Rates)}


def response_before_the_write() -> AbstractContextManager[Any]:
    return patch.object(ConcurrentWriter, "wait", lambda _: None)


def key_from_the_clock() -> AbstractContextManager[Any]:
    stem = layout._stem

    def with_time(batch: Batch) -> str:
        return f"{stem(batch)}-{time.time_ns()}"

    return patch.object(layout, "_stem", with_time)


def key_blind_to_holes(owner: Callable[[Batch], int]) -> AbstractContextManager[Any]:
    """Plant keys of a batch's first and last record alone; `owner` says whose names they are."""

    def of_the_ends(batch: Batch) -> layout.ObjectKeys:
        ends = (batch.records[0], batch.records[-1])
        keys = layout.ObjectKeys(msgspec.structs.replace(batch, records=ends))
        keys.owner = owner(batch)
        return keys

    return patch("pipeline.flow.ObjectKeys", of_the_ends)


def lowest_sequence_ignored() -> AbstractContextManager[Any]:
    answer = handlers.respond

    def from_the_last(event: Any, *rest: Any) -> dict[str, Any]:
        response = answer(event, *rest)
        for item in response["batchItemFailures"]:
            item["itemIdentifier"] = event["Records"][-1]["kinesis"]["sequenceNumber"]
        return response

    return patch.object(handlers, "respond", from_the_last)


def sub_sequence_reset() -> AbstractContextManager[Any]:
    def all_first(batch: Batch, *numbers: Any, **options: Any) -> tuple[Chunk, list[Reject]]:
        chunk, rejects = deaggregate(batch, *numbers, **options)
        chunk.provenance.sub[:] = zeros(len(chunk.provenance), INT64)
        return chunk, rejects

    return patch("pipeline.opening.deaggregate", all_first)


def user_record_dropped() -> AbstractContextManager[Any]:
    def without_the_last(batch: Batch, *numbers: Any, **options: Any) -> tuple[Chunk, list[Reject]]:
        chunk, rejects = deaggregate(batch, *numbers, **options)
        return all_but_the_last(chunk), rejects

    return patch("pipeline.opening.deaggregate", without_the_last)


def user_record_never_seen() -> AbstractContextManager[Any]:
    """Plant a decoder that leaves no trace of a user record, not even in the provenance."""

    def blind_to_the_last(
        batch: Batch, *numbers: Any, **options: Any
    ) -> tuple[Chunk, list[Reject]]:
        chunk, rejects = deaggregate(batch, *numbers, **options)
        if rejects or not len(chunk):
            return chunk, rejects
        seen = Provenance(batch)
        for record, sub, document, key in list(rows_of(chunk.provenance))[:-1]:
            seen.add(record, sub, document, key)
        return Chunk(seen, chunk.unit[:-1], chunk.payloads[:-1]), rejects

    return patch("pipeline.opening.deaggregate", blind_to_the_last)


def document_dropped() -> AbstractContextManager[Any]:
    def without_the_last(
        chunk: Chunk, limits: Limits, width: Width, **options: Any
    ) -> Iterator[tuple[Chunk, list[Reject]]]:
        for documents, rejects in unpack_payloads(chunk, limits, width, **options):
            yield all_but_the_last(documents), rejects

    return patch("pipeline.opening.unpack_payloads", without_the_last)


def part_dropped() -> AbstractContextManager[Any]:
    def without_the_last(
        chunk: Chunk, limits: Limits, width: Width, **options: Any
    ) -> Iterator[tuple[Chunk, list[Reject]]]:
        return iter(list(unpack_payloads(chunk, limits, width, **options))[:-1])

    return patch("pipeline.opening.unpack_payloads", without_the_last)


def routed_document_dropped() -> AbstractContextManager[Any]:
    route = Router.route

    def without_the_last(
        router: Router, chunk: Chunk, **options: Any
    ) -> tuple[list[tuple[Dataset, Chunk]], list[Reject]]:
        routed, rejects = route(router, chunk, **options)
        return [(dataset, all_but_the_last(documents)) for dataset, documents in routed], rejects

    return patch.object(Router, "route", without_the_last)


def all_but_the_last(chunk: Chunk) -> Chunk:
    return chunk.take(range(len(chunk) - 1))


def rows_of(provenance: Provenance) -> Iterator[tuple[int, int, int, str | None]]:
    columns = provenance.record, provenance.sub, provenance.document, provenance.partition_key
    return zip(*columns, strict=True)


def reject_dropped() -> AbstractContextManager[Any]:
    add = Parts.add

    def without_rejects(parts: Parts, unit: int, texts: list[bytes], *rejected: Any) -> Any:
        return iter(()) if rejected[0] else add(parts, unit, texts, *rejected)

    return patch.object(Parts, "add", without_rejects)


REFUSED = "The handler raised ConservationError: "
PLANTED: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str]] = {
    "response before the write": (response_before_the_write, "Laws 1 and 2: .* reported"),
    "key from the clock": (key_from_the_clock, "Law [25]: "),
    "key blind to holes": (
        partial(key_blind_to_holes, lambda _: 0),
        "document .* was acknowledged as .* and is there no more",
    ),
    "key blind to holes, and noticed": (
        partial(key_blind_to_holes, hash),
        f"{REFUSED}Two different objects would be stored as one",
    ),
    "lowest sequence ignored": (lowest_sequence_ignored, "Law 1: the checkpoint"),
    "sub-sequence reset": (
        sub_sequence_reset,
        f"{REFUSED}User records",
    ),
    # What the handler itself must refuse: it counts every unit from the stream records on.
    "user record dropped": (user_record_dropped, REFUSED),
    "user record never seen": (user_record_never_seen, REFUSED),
    "document dropped": (document_dropped, REFUSED),
    "part dropped": (part_dropped, REFUSED),
    "routed document dropped": (routed_document_dropped, REFUSED),
    "reject dropped": (reject_dropped, REFUSED),
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
    """A simulation that a defect cannot fail would prove nothing: each planted one is found."""
    failure = failure_with(planted)
    assert re.search(f"^BROKEN: {PLANTED[planted][1]}", failure.history.outcome)
    seed = failure.history.seed
    assert str(failure).startswith(f"\nhistory of seed {seed}\n")
    assert ": invocation 1\n" in failure.history.text
    assert str(failure).endswith(
        f"{failure.history.outcome}\nTo see it again: make simulate SEEDS={seed}-{seed}"
    )


def test_a_failing_seed_fails_again_in_the_same_words() -> None:
    """A seed is a history: the same seed fails with the same text."""
    planted = "lowest sequence ignored"
    assert str(failure_with(planted)) == str(failure_with(planted))


def test_the_same_seed_is_the_same_history_in_another_process_with_other_hashes() -> None:
    """A seed is a history in every process, whatever its hashes."""
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
    """Different seeds make different histories."""
    assert simulate(1).lines != simulate(2).lines
