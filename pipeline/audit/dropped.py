"""Stream records of which nothing is stored, as rules of stream.toml drop all that is in them."""

from collections.abc import Callable
from pathlib import Path

from pipeline.adapters.schemas import read_stream
from pipeline.attempt import envelope_of
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.stream import Framing, Stream
from pipeline.flow import open_documents

IsDropped = Callable[[str, StreamRecord], bool]
"""Tells of a record of a source, a shard, whether it leaves nothing on purpose."""


def nothing_is(source: str, record: StreamRecord) -> bool:  # noqa: ARG001 - an `IsDropped`
    """Tell that a record is not dropped, as none is where there are no rules."""
    return False


def dropped_by_rules(schemas: Path, limits: Limits) -> IsDropped:
    """Return what opens records as the function does, by the rules beside these datasets.

    Raises `DatasetError` for rules that are not valid.
    """
    stream = read_stream(schemas)
    return dropped_of(stream, limits)


def dropped_of(stream: Stream, limits: Limits) -> IsDropped:
    """Return the same for what is known of a stream."""
    envelope = envelope_of(stream, limits)
    if envelope is None:
        return nothing_is
    each_line = stream.framing is Framing.LINES

    def is_dropped(source: str, record: StreamRecord) -> bool:
        batch = Batch(source, source.rpartition("/")[2], (record,))
        dropped = 0
        for part in open_documents(batch, limits, envelope, each_line=each_line):
            if len(part.documents) or part.rejects:
                return False
            dropped += sum(map(len, part.drops.values()))
        return dropped > 0

    return is_dropped
