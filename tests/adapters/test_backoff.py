"""The one formula of every wait after a failure."""

import pytest

from pipeline.backoff import backoff


def test_delays_double_from_the_first_to_the_longest() -> None:
    assert [backoff(failures, 1.0, 5.0) for failures in range(1, 6)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_is_the_share_that_is_waited() -> None:
    assert backoff(3, 0.1, 30.0, 0.5) == pytest.approx(0.2)


def test_no_count_of_failures_is_too_large() -> None:
    assert backoff(10**6, 0.1, 30.0) == 30.0
