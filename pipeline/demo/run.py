"""The demo itself: each event through the real handler, then the countings, then the pictures."""

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import BatchNotStored
from pipeline.demo.count import count
from pipeline.demo.place import Place, prepare, write_sample
from pipeline.demo.shard import Event
from pipeline.demo.show import progress, show
from pipeline.demo.stream import Stream
from pipeline.demo.verdict import Counted, Delivered, Redelivery, Verdict, judge
from pipeline.handlers import kinesis
from pipeline.settings import LIMITS

Handler = Callable[[Event, None], Any]
Afterwards = Callable[[Place, Verdict], bool]
"""What comes after the balance; returns whether it is right."""


def nothing_more(_place: Place, _verdict: Verdict) -> bool:
    """End the demo where it ends."""
    return True


def run(
    documents: int,
    out: Path | None,
    seed: int,
    *,
    handler: Handler = kinesis,
    count_files: Callable[[Place], Counted] = count,
    afterwards: Afterwards = nothing_more,
    everything: bool = False,
) -> int:
    """Run the demo, and `afterwards`; return 0 if everything balances and 1 if not."""
    start = time.perf_counter()
    place = prepare(out)
    stream = Stream(documents, seed)
    with environment(place):
        delivered, last = deliver(stream, handler)
        redelivery = deliver_again(last, place, handler)
    verdict = judge(stream.totals, delivered, count_files(place), redelivery)
    write_sample(place, verdict.sample)
    show(place, verdict, delivered, lambda: time.perf_counter() - start, everything=everything)
    with environment(place):
        right = afterwards(place, verdict)
    return 0 if verdict.balanced and right else 1


def deliver(
    stream: Stream, handler: Handler, between: Callable[[], object] = lambda: None
) -> tuple[Delivered, Event]:
    """Hand every event to the handler; return what it said, and the last event."""
    delivered, event = Delivered(), Event()
    with progress(len(stream), stream.totals) as advance:
        for event in stream.events():
            seconds, processor = time.perf_counter(), time.process_time()
            log = _handle(event, handler)
            delivered.seconds += time.perf_counter() - seconds
            delivered.processor_seconds += time.process_time() - processor
            delivered.add(log)
            advance(delivered)
            between()
    return delivered, event


def deliver_again(event: Event, place: Place, handler: Handler = kinesis) -> Redelivery:
    """Deliver an event once more, as Lambda may, and see whether that changes any file."""
    before = _contents(place)
    again = Delivered()
    again.add(_handle(event, handler))
    same = _contents(place) == before
    return Redelivery(again.documents.total(), again.objects, same)


def _handle(event: Event, handler: Handler) -> list[dict[str, Any]]:
    """Call the handler as Lambda does, and return the lines it logged."""
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        response = handler(event, None)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    if response != {"batchItemFailures": []}:
        why = next((line["message"] for line in lines if "message" in line), "it did not say why")
        message = f"The handler could not store an event: {why}"
        raise BatchNotStored(message)
    return lines


def _contents(place: Place) -> dict[str, bytes]:
    """The digest of every file of the output and the dead letters."""
    digests: dict[str, bytes] = {}
    for root in (place.output, place.dead_letters):
        for path in root.rglob("*"):
            if path.is_file():
                digests[str(path)] = hashlib.sha256(path.read_bytes()).digest()
    return digests


@contextlib.contextmanager
def environment(place: Place) -> Iterator[None]:
    """Set the handler's environment, and put it back after.

    Limits that are set already are somebody's own; the stream is made to break the default ones.
    """
    before = dict(os.environ)
    for variable, _, _ in LIMITS.values():
        os.environ.pop(variable, None)
    os.environ["PIPELINE_OUTPUT"] = place.output.as_uri()
    os.environ["PIPELINE_DEAD_LETTERS"] = place.dead_letters.as_uri()
    os.environ["PIPELINE_SCHEMAS"] = str(place.schemas)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
