"""Stream records of which nothing is stored, as rules of stream.toml drop all that is in them."""

from collections.abc import Callable
from pathlib import Path

from pipeline.adapters.schemas import read_stream
from pipeline.attempt import decoder_of, envelope_of
from pipeline.core.binary.decoder import Decoder
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.stream import Framing, Stream
from pipeline.flow import open_documents

IsDropped = Callable[[str, StreamRecord], bool]
"""Tells of a record of a source, a shard, whether it leaves nothing on purpose."""


def nothing_is(source: str, record: StreamRecord) -> bool:  # noqa: ARG001 - an `IsDropped`
    """Tell that a record is not dropped, as none is where there are no rules."""
    return False


def dropped_by_rules(schemas: Path, limits: Limits, credentials: str = "") -> IsDropped:
    """Return what opens records as the function does, by the rules beside these datasets.

    `credentials` are those of the registry that has the payloads' schemas. Raises `DatasetError`
    for rules that are not valid.
    """
    stream = read_stream(schemas)
    if not stream.rules:
        return nothing_is
    return dropped_of(stream, limits, decoder_of(stream, schemas, credentials))


def dropped_of(stream: Stream, limits: Limits, decoder: Decoder | None = None) -> IsDropped:
    """Return the same for what is known of a stream."""
    envelope = envelope_of(stream, limits)
    if envelope is None:
        return nothing_is
    each_line = stream.framing is Framing.LINES

    def is_dropped(source: str, record: StreamRecord) -> bool:
        batch = Batch(source, source.rpartition("/")[2], (record,))
        dropped = 0
        for part in open_documents(batch, limits, envelope, decoder, each_line=each_line):
            if len(part.documents) or part.rejects:
                return False
            dropped += sum(map(len, part.drops.values()))
        return dropped > 0

    return is_dropped
