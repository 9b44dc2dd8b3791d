"""Nothing stands still: a slow store with errors, many partitions, a record that is too much.

The real handler under Lambda's rules, with bisecting, on the simulated clock of `simulation.slow`.
"""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import pytest
from simulation.slow import FACTOR, Day, Outcome, judge_progress, live
from support import FIRST, SOURCE

from pipeline.adapters.concurrency import AdaptiveConcurrency


def counts(outcome: Outcome) -> Counter[str]:
    """Return how many invocations ended how."""
    return Counter(said for _, said in outcome.said)


@pytest.mark.parametrize("first", range(1, 121, 40))
def test_any_mixture_of_slow_writes_and_errors_gets_through(first: int) -> None:
    """Up to 20 % of errors: all is stored, in at most three times as many invocations as without."""
    factors = []
    for seed in range(first, first + 40):
        fair, foul = judge_progress(seed)
        factors.append(foul.invocations / fair.invocations)
    assert 1.0 < max(factors) <= FACTOR


SENSORS = Day(records=20, documents=50, put_seconds=0.06)
"""A thousand sensors, each a partition; an invocation has time for a third of them."""


@pytest.mark.parametrize(
    "day",
    [
        SENSORS,
        Day(records=20, documents=50, put_seconds=0.06, throttled=0.02),
        Day(records=20, documents=50, put_seconds=0.06, failed=0.02),
    ],
    ids=["no errors", "2 % throttled", "2 % failed"],
)
def test_a_slow_batch_is_halved_whatever_errors_retries_put_right(day: Day) -> None:
    """Seven invocations, with errors as without; never is the same batch asked for again."""
    outcome = live(day)
    assert outcome.said == [
        (20, "too slow"),
        (10, "too slow"), (5, "stored"), (5, "stored"),
        (10, "too slow"), (5, "stored"), (5, "stored"),
    ]  # fmt: skip
    assert len(outcome.stored) == 1_000


def test_an_outage_halves_nothing() -> None:
    """Where the store acknowledges nothing, the same batch comes again, whole."""
    outcome = live(Day(records=20, documents=5, failed=1.0, record_age=60))
    assert set(outcome.said) == {(20, "replayed")}
    assert [len(failed.records) for failed in outcome.given_up] == [20]


def test_a_store_that_is_short_of_capacity_is_asked_less_often() -> None:
    """A writer that slows down is throttled less, and gets as far in the time."""
    day = Day(records=20, documents=50, capacity=2, timeout=30.0)
    adaptive = live(day)
    with patch.object(AdaptiveConcurrency, "count", lambda *_, **__: None):
        fixed = live(day)
    assert adaptive.said == fixed.said == [(20, "stored")]
    assert adaptive.throttles < 0.7 * fixed.throttles


# ------------------------------------------------------------------------------- many partitions


def test_an_event_of_too_many_partitions_is_halved_until_it_fits_and_named() -> None:
    """Encoding alone takes longer than an invocation has; none runs into its time-out."""
    outcome = live(Day(records=30, documents=100, encode_seconds=0.0025, timeout=5.0))
    assert len(outcome.stored) == 3_000
    assert counts(outcome) == {"too slow": 3, "stored": 4}
    assert outcome.messages[0].endswith(
        " The 3,000 rows of dataset sensors fall into 3,000 partitions, and each of these is an "
        "object in every format; a coarser partition_by makes fewer. Lambda delivers its 30 stream "
        "records again, in halves."
    )


# -------------------------------------------------------------------------------- a single record


def test_a_single_record_that_is_too_much_for_one_invocation_gets_through_in_several() -> None:
    """What is stored of it is not stored again, so each invocation gets further."""
    day = Day(records=1, documents=2_000, throttled=0.05)
    outcome = live(day)
    assert counts(outcome) == {"too slow": 2, "stored": 1}
    assert len(outcome.stored) == 2_000
    assert outcome.tries - outcome.throttles < 2_000 + 2 * 16  # abandoned at each deadline


def test_a_single_record_that_never_gets_through_ends_in_the_failure_destination() -> None:
    """Lambda gives it up when it is too old, and the message has said so before."""
    outcome = live(Day(records=1, documents=1, put_seconds=30.0, record_age=60))
    assert set(counts(outcome)) == {"too slow"}
    (failed,) = outcome.given_up
    assert (failed.condition, len(failed.records)) == ("RecordAgeExceeded", 1)
    assert outcome.messages[0].endswith(
        f" It is a single stream record ({SOURCE}, {FIRST}), which Lambda cannot halve: it delivers "
        "it again, and the function continues behind the objects that this instance of it has "
        "stored. If that does not get through, the shard waits until the record is older than the "
        "mapping's maximum record age and goes to the on-failure destination, for `pipeline "
        "redrive`; give the function more time or memory before."
    )
