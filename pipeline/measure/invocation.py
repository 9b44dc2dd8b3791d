"""One event through the real handler, into stores in memory, and what it reported."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.stopwatch import PHASES
from pipeline.adapters.telemetry import Telemetry
from pipeline.core.dataset import Dataset
from pipeline.core.envelope import Envelope
from pipeline.core.envelope_rules import Rule
from pipeline.core.errors import BatchNotStored
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.handlers import respond

PUT_SECONDS: Final = 0.1
"""Until S3 acknowledges a small object: its guide says 100 to 200 ms."""
PUT_BYTES_PER_SECOND: Final = 50e6
_NO_RESERVE: Final = 0.0
_STORED: Final[dict[str, Any]] = {"batchItemFailures": []}


class DistantStore(MemoryStore):
    """A store in memory that responds as late as S3."""

    def put(self, key: str, body: bytes) -> None:
        """Store after the time that S3 needs."""
        time.sleep(PUT_SECONDS + len(body) / PUT_BYTES_PER_SECOND)
        super().put(key, body)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the handler reported of one batch; `phases` in milliseconds, sizes in bytes."""

    documents: int
    rows: int
    rejects: dict[str, int]
    bytes_in: int
    bytes_out: int
    objects: int
    phases: dict[str, float]


def make_pipeline(
    datasets: Sequence[Dataset], *, distant: bool = False, rules: Sequence[Rule] = ()
) -> Pipeline:
    """Return a pipeline on empty stores in memory; `distant` ones are as slow as S3.

    With `rules`, documents are taken out of envelopes.
    """
    store, limits = DistantStore if distant else MemoryStore, Limits()
    envelope = Envelope(rules, limits) if rules else None
    return Pipeline(Router(datasets), limits, store(), store(), envelope=envelope)


def invoke(
    event: Any, pipeline: Pipeline, *, handler: Callable[..., dict[str, Any]] = respond
) -> Invocation:
    """Hand one event to the handler. Raises `BatchNotStored` if not all of it was stored."""
    lines = list[str]()
    telemetry = Telemetry(lines.append, time.time)
    response = handler(event, None, pipeline, _NO_RESERVE, telemetry)
    logged = json.loads(lines[0])
    if response != _STORED:
        message = f"The handler did not store the batch: {logged['message']}"
        raise BatchNotStored(message)
    rejects: dict[str, int] = {}
    for reasons in logged["rejects"].values():
        for reason, count in reasons.items():
            rejects[reason] = rejects.get(reason, 0) + count
    return Invocation(
        documents=logged["Documents"],
        rows=logged["Rows"],
        rejects=rejects,
        bytes_in=logged["BytesIn"],
        bytes_out=logged["BytesOut"],
        objects=logged["Objects"],
        phases={phase: logged[f"{phase.title()}Milliseconds"] for phase in PHASES},
    )
