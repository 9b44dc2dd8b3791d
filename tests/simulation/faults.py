"""What may go wrong, and how often, in one history.

Each history has some kinds of fault and not others, at rates of its own: with all of
them always on, little would ever succeed, and what needs a long run of luck would never be seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from random import Random


@dataclass(slots=True)
class Rates:
    """How likely each fault is, where it can happen; 0 in histories that do without it."""

    store_throttled: float = 0.0
    store_failed: float = 0.0
    store_refused: float = 0.0
    store_timed_out: float = 0.0
    """The object is stored, and the response lost."""
    store_late: float = 0.0
    """The response is a time-out, and the object is stored some time after it."""
    store_slow: float = 0.0
    killed: float = 0.0
    out_of_memory: float = 0.0
    response_lost: float = 0.0
    invocation_throttled: float = 0.0
    delivered_again: float = 0.0
    restarted: float = 0.0
    outage: float = 0.0
    resharded: float = 0.0
    skewed: float = 0.0
    poison: float = 0.0
    expired: float = 0.0
    put_throttled: float = 0.0
    put_timed_out: float = 0.0


_HIGHEST = {"store_refused": 0.04, "skewed": 0.1}
_OTHERWISE = 0.25


@dataclass(slots=True)
class Faults:
    """Decides what goes wrong, and counts it."""

    random: Random
    rates: Rates
    seen: Counter[str] = field(default_factory=Counter)
    calm: bool = False

    @classmethod
    def drawn(cls, random: Random) -> Faults:
        """Draw which faults there are in this history, at least three kinds of them."""
        names = [rate.name for rate in fields(Rates)]
        chosen = random.sample(names, random.randint(3, len(names)))
        # One that strikes at an invocation is always there, so that every history has some.
        chosen.append(random.choice(("store_throttled", "killed", "store_timed_out")))
        highest = random.uniform(0.3, 1.0)
        rates = Rates()
        for name in chosen:
            rate = highest * random.uniform(0.3, 1.0) * _HIGHEST.get(name, _OTHERWISE)
            setattr(rates, name, rate)
        return cls(random, rates)

    def strikes(self, name: str) -> bool:
        """Decide whether a fault happens now, and count it."""
        if self.calm or self.random.random() >= getattr(self.rates, name):
            return False
        self.seen[name] += 1
        return True

    @property
    def total(self) -> int:
        """How many there were."""
        return self.seen.total()
