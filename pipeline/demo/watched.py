"""The demo with --live: slower, and with the page that shows it in a browser."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import open_pipeline
from pipeline.core.errors import BatchNotStored
from pipeline.core.report import Report
from pipeline.demo.count import count
from pipeline.demo.place import Place, prepare, write_sample
from pipeline.demo.run import (
    Afterwards,
    Handler,
    deliver,
    deliver_again,
    environment,
    nothing_more,
)
from pipeline.demo.shard import Event
from pipeline.demo.show import show
from pipeline.demo.stream import Stream
from pipeline.demo.verdict import judge
from pipeline.esm import Raised
from pipeline.local import Function
from pipeline.page import Board, serve, stay
from pipeline.settings import Settings

_EVENT_BYTES: Final = 120_000  # so that there is something to see with few documents, too
_PAUSE: Final = 0.4  # seconds, between events


def run_watched(
    documents: int,
    out: Path | None,
    seed: int,
    *,
    port: int,
    afterwards: Afterwards = nothing_more,
    everything: bool = False,
    pause: float = _PAUSE,
    until: Callable[[], object] = stay,
) -> int:
    """Run the demo with its page, which stays; return 0 if everything balances and 1 if not."""
    start = time.perf_counter()
    place = prepare(out)
    stream = Stream(documents, seed, event_bytes=_EVENT_BYTES)
    with environment(place), _page(place, port) as (board, handler):
        delivered, last = deliver(stream, handler, lambda: time.sleep(pause))
        redelivery = deliver_again(last, place)
        delivered.small_events = board.ended = True
        verdict = judge(stream.totals, delivered, count(place), redelivery)
        write_sample(place, verdict.sample)
        show(place, verdict, delivered, lambda: time.perf_counter() - start, everything=everything)
        right = afterwards(place, verdict)
        sys.stdout.flush()
        print("The page stays until Ctrl-C.", file=sys.stderr, flush=True)
        until()
    return 0 if verdict.balanced and right else 1


@contextlib.contextmanager
def _page(place: Place, port: int) -> Iterator[tuple[Board, Handler]]:
    """Serve the page, and yield what it shows, and the handler that tells it."""
    settings = Settings.from_environment(os.environ)
    pipeline = open_pipeline(settings)
    board = Board("pipeline demo --live", pipeline, place.schemas)
    telemetry = Telemetry(print, time.time, settings.metrics_namespace)
    function = Function(pipeline, telemetry, settings.response_reserve)
    listener = _Listener(board)

    def handler(event: Event, _context: None) -> Any:
        outcome = function.invoke(event, listener)
        if isinstance(outcome, Raised):
            raise BatchNotStored(outcome.error)
        return outcome.value

    with serve(board, port) as url:
        print(f"Open {url} in a browser.", file=sys.stderr, flush=True)
        yield board, handler


class _Listener:
    """Counts what is stored, shard by shard."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def stored(self, report: Report) -> None:
        self._board.status.shard(report.batch.shard).add(report)
        self._board.add(report)

    def failed(self, message: str) -> None:
        self._board.notify(message)
