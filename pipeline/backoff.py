"""Exponential backoff: the one formula for how long to wait after failures in a row."""

_MOST_DOUBLINGS = 64  # beyond any longest delay, while 2.0 ** 1024 is not a float


def backoff(failures: int, first: float, longest: float, jitter: float = 1.0) -> float:
    """Return the delay after the n-th failure in a row, n from 1: `first` doubled n - 1 times.

    `first` and `longest`, the limit of the delay, are in any one unit of time, which is the
    result's. `jitter` is the share of the delay that is waited. The doubling takes load from a
    service that is short of capacity; a jitter drawn from [0, 1) spreads the clients that failed at
    the same moment, which would otherwise come back at the same moment.
    """
    return jitter * min(longest, first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
