"""`make simulate SEEDS=1-5000`: run histories, report progress, stop at the first that fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from . import slow
from .history import History, LawBroken, SimulationFailed
from .world import simulate

_EVERY = 100  # histories between two lines of progress


def main() -> int:
    """Run the seeds of the command line; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("seeds", type=_seeds, help="from-to, or a count: 500 is 1-500")
    parser.add_argument(
        "--history", action="store_true", help="print the histories instead of the progress"
    )
    arguments = parser.parse_args()
    seeds: range = arguments.seeds
    totals = _Totals()
    for number, seed in enumerate(seeds, 1):
        try:
            history = simulate(seed)
            slow.judge_progress(seed)
        except (SimulationFailed, LawBroken) as error:
            _say(str(error))
            return 1
        totals.add(history)
        if arguments.history:
            _say(history.text)
        elif number % _EVERY == 0 or number == len(seeds):
            _say(f"{number:,} of {len(seeds):,} histories: {totals}")
    if not arguments.history:
        _say(f"faults: {totals.listed}")
    return 0


class _Totals:
    """What was simulated so far, and how fast."""

    def __init__(self) -> None:
        self.started = time.process_time()
        self.invocations = 0
        self.faults: Counter[str] = Counter()

    def add(self, history: History) -> None:
        self.invocations += history.invocations
        self.faults.update(history.faults)

    @property
    def listed(self) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in self.faults.most_common())

    def __str__(self) -> str:
        spent = time.process_time() - self.started
        return (
            f"{self.invocations:,} invocations, {self.faults.total():,} faults, "
            f"{self.invocations / spent:,.0f} invocations/s of processor time, all laws hold"
        )


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it is a command


def _seeds(text: str) -> range:
    first, dash, last = text.partition("-")
    seeds = range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)
    if not seeds:
        message = f"{text!r} names no seeds; write 1-500, or 500."
        raise argparse.ArgumentTypeError(message)
    return seeds


if __name__ == "__main__":
    sys.exit(main())
