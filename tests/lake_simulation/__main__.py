"""`make simulate-lake SEEDS=1-5000`: run histories, report progress, stop at the first that fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from .auditing import EVERY, check_audit
from .world import LawBroken, simulate

_EVERY = 50  # histories between two lines of progress


def main() -> int:
    """Run the seeds of the command line; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m lake_simulation", description=__doc__)
    parser.add_argument("seeds", type=_seeds, help="from-to, or a count: 500 is 1-500")
    say = sys.stdout.write
    seeds: range = parser.parse_args().seeds
    started, counts = time.process_time(), Counter[str]()
    for number, seed in enumerate(seeds, 1):
        try:
            counts += simulate(seed, None if seed % EVERY else check_audit)
        except LawBroken as error:
            say(f"{error}\n")
            return 1
        except Exception:
            say(f"seed {seed}:\n")
            raise
        if number % _EVERY == 0 or number == len(seeds):
            seconds = time.process_time() - started
            say(f"{number:,} of {len(seeds):,} histories, {seconds / number:.2f} s each\n")
    say(", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) + "\n")
    return 0


def _seeds(text: str) -> range:
    first, separator, last = text.partition("-")
    return range(int(first), int(last) + 1) if separator else range(1, int(first) + 1)


if __name__ == "__main__":
    sys.exit(main())
