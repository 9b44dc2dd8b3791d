"""How often a runner asks and tries."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """All of it in seconds."""

    read_interval: float = 0.2
    """Between reads of one shard: GetRecords accepts 5 calls a second for each."""
    tip_interval: float = 1.0
    """Between reads at the tip, as Lambda polls."""
    list_interval: float = 10.0
    """Between listings of the shards, which also happen whenever a shard is drained."""
    restart_delay: float = 10.0
    """Before a shard whose worker failed is begun again."""
    first_pause: float = 0.2
    """After a failure; after each further one in a row twice as long."""


USUAL_PACE: Final = Pace()
