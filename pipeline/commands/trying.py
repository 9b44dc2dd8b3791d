"""What `pipeline try` does with what it reads: samples to draft from, and events to process."""

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline.authoring.infer import Samples
from pipeline.commands.batches import batches_of_files, batches_of_stream
from pipeline.commands.estimate import events_of, full_event
from pipeline.commands.sampling import Text, add, batch_texts
from pipeline.core.events import kinesis_event
from pipeline.core.kpl import deaggregate
from pipeline.core.records import Batch, StreamRecord
from pipeline.local.reader import FROM_OLDEST
from pipeline.measure.events import FULL_EVENT, SHARD, STREAM, pack
from pipeline.measure.invocation import invoke

if TYPE_CHECKING:
    from pipeline.commands.unwrapping import Preset
    from pipeline.core.binary.decoder import Decoder
    from pipeline.core.records import Limits
    from pipeline.flow import Pipeline

_MOST_BYTES: Final = 256 * 2**20  # of records, which are in memory
_SHORTEST_SPAN: Final = 10_000_000  # microseconds of arrivals, to tell how much comes in a day
_DAY: Final = 86_400e6
_GIGABYTE: Final = 1e9


@dataclass(slots=True)
class Taken:
    """What was read: the stream records, what is in them, and of how many shards they are.

    Documents of a file are packed as the KPL would pack them. `payload_bytes` is their sum. `event`
    is a full event of such records, over and over where they are few.
    """

    samples: Samples
    records: list[StreamRecord] = field(default_factory=list)
    event: list[StreamRecord] = field(default_factory=list)
    shards: set[str] = field(default_factory=set)
    payloads: int = 0
    payload_bytes: int = 0
    more: bool = False

    @property
    def size(self) -> int:
        """Bytes of the stream records."""
        return sum(len(record.data) for record in self.records)

    @property
    def gigabytes_a_day(self) -> float | None:
        """What would come in a day, by the arrivals; None where they are too close to tell."""
        arrivals = [record.arrived_at for record in self.records]
        span = max(arrivals, default=0) - min(arrivals, default=0)
        return None if span < _SHORTEST_SPAN else self.size * _DAY / span / _GIGABYTE


@dataclass(slots=True)
class Became:
    """What the documents became: documents = rows + rejects + drops."""

    documents: int = 0
    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)

    @property
    def drops(self) -> int:
        """Documents that rules drop."""
        return self.documents - self.rows - self.rejects.total()


def take(
    options: argparse.Namespace,
    limits: "Limits",
    preset: "Preset | None",
    decoder: "Decoder | None" = None,
) -> Taken:
    """Read documents until there are enough; keep the records that they came in."""
    taken = Taken(Samples(None, limits))
    for batch in _batches(options):
        if taken.payloads >= options.documents or taken.payload_bytes >= _MOST_BYTES:
            taken.more = True
            break
        kept = _first(batch, options.documents - taken.payloads)
        taken.more = taken.more or kept is not batch
        texts = _texts(kept, options, limits, decoder)
        for text in preset.documents(texts) if preset else texts:
            add(taken.samples, text)
        _keep(taken, kept)
    if not options.files:
        taken.event = full_event(taken.records)
    elif taken.records:
        _pack(taken)
    return taken


def process(pipeline: "Pipeline", records: Sequence[StreamRecord]) -> Became:
    """Process records, event by event, into memory."""
    became, number = Became(), 0
    for event in events_of(records):
        numbered = [
            msgspec.structs.replace(record, sequence_number=str(place))
            for place, record in enumerate(event, number)
        ]
        number += len(event)
        done = invoke(kinesis_event(numbered, STREAM, SHARD), pipeline)
        became.documents += done.documents
        became.rows += done.rows
        became.rejects.update(done.rejects)
    return became


def _batches(options: argparse.Namespace) -> Iterator[Batch]:
    batches = (
        batches_of_files(options.files, options, each_line=options.framing == "lines")
        if options.files
        else batches_of_stream(options, FROM_OLDEST)
    )
    return (batch for batch in batches if batch is not None)


def _first(batch: Batch, count: int) -> Batch:
    """Return so many documents of a batch at most; stream records stay together."""
    if not batch.one_document_per_record or len(batch.records) <= count:
        return batch
    return msgspec.structs.replace(batch, records=batch.records[:count])


def _texts(
    batch: Batch, options: argparse.Namespace, limits: "Limits", decoder: "Decoder | None"
) -> Iterator[Text]:
    if not batch.one_document_per_record:
        stream = batch.source.rpartition("/")[0]
        return batch_texts(batch, stream, limits, options, decoder)
    return (
        Text(record.data, batch.source, int(record.sequence_number)) for record in batch.records
    )


def _keep(taken: Taken, batch: Batch) -> None:
    payloads = [record.data for record in batch.records]
    if not batch.one_document_per_record:
        payloads = deaggregate(batch)[0].payloads
    taken.records += batch.records
    taken.shards.add(batch.shard)
    taken.payloads += len(payloads)
    taken.payload_bytes += sum(map(len, payloads))


def _pack(taken: Taken) -> None:
    """Put documents of files into stream records, as the KPL does, that arrive now."""
    payloads = [record.data for record in taken.records]
    taken.records = _packed(payloads, 2**62)
    taken.event = _packed(itertools.cycle(payloads), FULL_EVENT)
    taken.shards = {SHARD}


def _packed(payloads: Iterable[bytes], room: int) -> list[StreamRecord]:
    now = time.time_ns() // 1_000
    packed = pack(payloads, room, aggregated=True)
    return [StreamRecord(str(number), "a", now, data) for number, data in enumerate(packed.records)]
