"""The limit on writes in flight falls while a store throttles, and rises when it no longer does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.concurrency import AdaptiveConcurrency

TRIES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10)), max_size=200)


def limits(concurrency: AdaptiveConcurrency, *, throttled: bool, tries: int) -> list[int]:
    """Return the limits that there are in turn while each try ends the same way."""
    found = [concurrency.limit]
    for _ in range(tries):
        concurrency.count(written=int(not throttled), throttled=int(throttled))
        if concurrency.limit != found[-1]:
            found.append(concurrency.limit)
    return found


def test_a_store_that_only_throttles_is_soon_asked_by_one_at_a_time() -> None:
    assert limits(AdaptiveConcurrency(8), throttled=True, tries=14) == [8, 4, 2, 1]


def test_it_rises_by_one_a_round_when_nothing_is_throttled() -> None:
    concurrency = AdaptiveConcurrency(8)
    limits(concurrency, throttled=True, tries=100)
    assert limits(concurrency, throttled=False, tries=28) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_without_throttling_nothing_changes() -> None:
    assert limits(AdaptiveConcurrency(8), throttled=False, tries=1_000) == [8]


@pytest.mark.parametrize(("one_in", "least"), [(50, 8), (10, 8), (5, 7), (2, 2)])
def test_odd_errors_cost_little_and_many_cost_much(one_in: int, least: int) -> None:
    """One try in five throttled, whatever the load, keeps most of the writes in flight."""
    concurrency = AdaptiveConcurrency(8)
    seen = []
    for number in range(1_000):
        odd = number % one_in == 0
        concurrency.count(written=int(not odd), throttled=int(odd))
        seen.append(concurrency.limit)
    assert min(seen) == least


@given(most=st.integers(1, 64), tries=TRIES)
def test_it_stays_between_one_and_the_most(most: int, tries: list[tuple[int, int]]) -> None:
    concurrency = AdaptiveConcurrency(most)
    for written, throttled in tries:
        concurrency.count(written=written, throttled=throttled)
        assert 1 <= concurrency.limit <= most


@given(most=st.integers(1, 64), tries=TRIES)
def test_it_recovers_from_anything(most: int, tries: list[tuple[int, int]]) -> None:
    """After any past, so many good writes as there are in all rounds up to the most are enough."""
    concurrency = AdaptiveConcurrency(most)
    for written, throttled in tries:
        concurrency.count(written=written, throttled=throttled)
    for _ in range(sum(range(most + 1)) + 3 * most):
        concurrency.count(written=1, throttled=0)
    assert concurrency.limit == most
