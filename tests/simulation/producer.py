"""A producer: aggregates what it predicts for one shard, and puts again what failed."""

from __future__ import annotations

from random import Random

from .clock import SECOND, SimulatedClock
from .documents import Payload, some_aggregate, some_payload
from .faults import Faults
from .history import History
from .stream import SimulatedStream

_MOST_TRIES = 5


class SimulatedProducer:
    """Puts stream records. One that the stream stored and did not confirm is put again.

    The second copy has an identity of its own: the stream cannot know that it is one, and both are
    delivered.
    """

    def __init__(
        self,
        random: Random,
        stream: SimulatedStream,
        clock: SimulatedClock,
        faults: Faults,
        history: History,
    ) -> None:
        self.random = random
        self.stream = stream
        self.clock = clock
        self.faults = faults
        self.history = history
        self.skew = 0
        self._predicted = self._ranges()

    def produce(self) -> None:
        """Put one stream record, under a hash key that may be predicted from an old shard map."""
        if self.random.random() < 0.2:
            self._predicted = self._ranges()
        low, high = self.random.choice(self._predicted)
        hash_key = self.random.randrange(low, high)
        payload, partition_key = self._payload(hash_key)
        for _ in range(_MOST_TRIES):
            if self.faults.strikes("put_throttled"):
                self.history.add("put: throttled")
                self.clock.advance(0.1)
                continue
            place = self.stream.put(hash_key, payload, partition_key, self._arrival())
            lost = self.faults.strikes("put_timed_out")
            self.history.add(f"put: {place}{', response lost' if lost else ''}")
            if not lost:
                return

    def _payload(self, hash_key: int) -> tuple[Payload, str]:
        """Return what to put, and under which partition key; KPL's own is "a"."""
        count = self.random.choice((1, 1, 1, 2, 3))
        payloads = [some_payload(self.random) for _ in range(count)]
        if count == 1 and self.random.random() < 0.7:
            return payloads[0], f"key {self.random.randrange(5)}"
        return some_aggregate(self.random, payloads, hash_key), "a"

    def _arrival(self) -> int:
        """Return what the shard's clock shows: it may be off, and go back."""
        if self.faults.strikes("skewed"):
            self.skew = self.random.randint(-90 * SECOND, 90 * SECOND)
            self.history.add(f"the stream's clock is off by {self.skew / SECOND:+.1f} s")
        return self.clock.now + self.skew

    def _ranges(self) -> list[tuple[int, int]]:
        return [(shard.low, shard.high) for shard in self.stream.open_shards]
