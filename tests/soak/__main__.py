"""`make soak MINUTES=…`: batches of drifting documents, and whether memory stays flat."""

from __future__ import annotations

import argparse
import sys
import time

from .measure import Sample, growth, soak

_BATCHES = 20_000
_MOST_GROWTH = 8.0
"""Megabytes from the second quarter to the last: half of a leak of 1 KB a batch, in 20,000."""
_SAMPLES = 40


def main() -> int:
    """Store batches for so long; return 1 if memory grows."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--batches", type=int, default=_BATCHES, help="how many at least")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long at least")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    start = time.monotonic()
    samples: list[Sample] = []

    batches, seconds = int(arguments.batches), 60 * float(arguments.minutes)

    def goes_on(count: int) -> bool:
        return count < batches or time.monotonic() - start < seconds

    _say(f"{'batches':>9} {'minutes':>8} {'MB':>7}")
    for sample in soak(arguments.seed, max(1, batches // _SAMPLES), goes_on):
        samples.append(sample)
        if len(samples) % 4 == 0:
            minutes = (time.monotonic() - start) / 60
            _say(f"{sample.batches:>9,} {minutes:>8.1f} {sample.megabytes:>7.1f}")
    grown = growth(samples)
    verdict = "flat" if grown <= _MOST_GROWTH else "IT GROWS"
    _say(f"From the second quarter to the last: {grown:+.1f} MB. {verdict}")
    return int(grown > _MOST_GROWTH)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it is a command


if __name__ == "__main__":
    sys.exit(main())
