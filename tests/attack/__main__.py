"""`make attack SECONDS=60`: look for inputs that cost too much, and hold the worst to bounds."""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

import msgspec

from .measure import Cost, Measuring
from .recipes import KINDS, Recipe, changed, first_of


class Bound(msgspec.Struct, frozen=True):
    """The most that a unit of an input may cost; several times what the worst one costs."""

    seconds: float
    megabytes: float


# A unit is a MiB unpacked, or 50,000 documents, or 200 objects. Usual are 0.1 to 0.7 s and 60 MB.
BOUNDS = dict.fromkeys(KINDS, Bound(5.0, 400.0))
# What docs/bounds.md says of a stream record; it holds for every input here.
_MOST_SECONDS, _MOST_MEGABYTES = 30.0, 700.0
# Found once: each was mended, and stays where it was found.
KNOWN = (
    Recipe("documents", document="number", size=2**20),
    Recipe("documents", document="empty object", size=2**20),
    Recipe("wrappers", document="empty object", wrapper="gzip", record="aggregate", length=2**19),
    Recipe("wrappers", record="endless length", size=2**20),
    Recipe("wrappers", wrapper="gzip members", document="number", size=2**16),
    Recipe("files", framing="commas", size=2**20),
    Recipe("files", framing="closers", size=2**20),
    Recipe("files", document="leaf", leaf="open array", length=2**19, size=2**20),
    Recipe("files", document="empty object", framing="open array", wrapper="gzip", size=2**20),
    Recipe("records", document="empty object", wrapper="gzip", payloads=10_000, size=2**16),
    Recipe("records", envelope="each", document="empty object", elements=1_000, kept=14_000,
           payloads=300, size=2**16),
)  # fmt: skip
_KEPT = 4  # of the worst, from which the search goes on


def main() -> int:
    """Search for so long; return 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("seconds", type=float, help="how long to search")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    end, search = time.monotonic() + arguments.seconds, Search(arguments.seed)
    for recipe in KNOWN:
        search.measure(recipe)
    while time.monotonic() < end:
        search.step()
    search.show()
    return 1 if search.broken else 0


class Search:
    """Climbs, kind by kind in turn, from the worst inputs so far to worse ones."""

    def __init__(self, seed: int) -> None:
        self.broken: list[str] = []
        self._random = Random(seed)
        self._measuring = Measuring()
        self._found: dict[str, list[tuple[Cost, Recipe]]] = {kind: [] for kind in KINDS}
        self._tried = dict.fromkeys(KINDS, 0)

    def step(self) -> None:
        """Try one more input of the kind that was tried least."""
        kind = min(KINDS, key=self._tried.__getitem__)
        worst = self._worst(kind)
        if not worst or self._random.random() < 0.3:
            recipe = first_of(kind, self._random)
        else:
            recipe = changed(self._random.choice(worst)[1], self._random)
        self.measure(recipe)

    def measure(self, recipe: Recipe) -> None:
        """Measure one input, and tell if it is the worst so far, or beyond a bound."""
        cost = self._measuring(recipe)
        self._tried[recipe.kind] += 1
        self._found[recipe.kind].append((cost, recipe))
        fault = _fault(cost, BOUNDS[recipe.kind])
        if fault:
            self.broken.append(f"{recipe.kind}: {fault}: {recipe}")
            _say(f"BROKEN  {self.broken[-1]}")
        if any(found[1] == recipe for found in self._leaders(recipe.kind)):
            _say(f"{recipe.kind:<11} {_shown(cost)}   {recipe}")
        self._found[recipe.kind] = self._worst(recipe.kind)

    def show(self) -> None:
        """Print the worst of each kind, for each of the two costs, beside its bound."""
        _say(
            f"\n{'kind':<11} {'tried':>5}   {'seconds a unit':>14} {'bound':>6}   {'MB a unit':>9} {'bound':>6}"
        )
        for kind, tried in self._tried.items():
            slow, large = self._leaders(kind)
            bound = BOUNDS[kind]
            _say(
                f"{kind:<11} {tried:>5}   {slow[0].seconds_a_unit:>14.2f} {bound.seconds:>6.1f}   "
                f"{large[0].megabytes_a_unit:>9.0f} {bound.megabytes:>6.0f}"
            )
        _say("A unit is a MiB unpacked, or 50,000 documents, or 200 objects.")
        _say(f"{len(self.broken)} bounds broken" if self.broken else "All bounds hold.")

    def _leaders(self, kind: str) -> list[tuple[Cost, Recipe]]:
        found = self._found[kind]
        return [
            max(found, key=lambda one: one[0].seconds_a_unit),
            max(found, key=lambda one: one[0].megabytes_a_unit),
        ]

    def _worst(self, kind: str) -> list[tuple[Cost, Recipe]]:
        found = self._found[kind]
        slow = sorted(found, key=lambda one: -one[0].seconds_a_unit)[:_KEPT]
        large = sorted(found, key=lambda one: -one[0].megabytes_a_unit)[:_KEPT]
        return [*slow, *(one for one in large if one not in slow)]


def _fault(cost: Cost, bound: Bound) -> str:
    """Say what is wrong with a cost, if anything is."""
    if cost.failed:
        return cost.failed
    if cost.leaked:
        return "bytes of its payload were printed"
    if cost.peak > _MOST_MEGABYTES:
        return f"it took {cost.peak:,.0f} MB"
    if cost.seconds > _MOST_SECONDS:
        return f"it took {cost.seconds:.0f} s"
    if cost.seconds_a_unit > bound.seconds and cost.seconds > 1:
        return f"{cost.seconds_a_unit:.1f} s a unit"
    if cost.megabytes_a_unit > bound.megabytes and cost.megabytes > 100:
        return f"{cost.megabytes_a_unit:,.0f} MB a unit"
    return ""


def _shown(cost: Cost) -> str:
    return (
        f"{cost.seconds:>6.2f} s {cost.megabytes:>5.0f} MB {cost.units:>5.1f} units: "
        f"{cost.seconds_a_unit:>6.2f} s {cost.megabytes_a_unit:>5.0f} MB each"
    )


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it is a command


if __name__ == "__main__":
    sys.exit(main())
