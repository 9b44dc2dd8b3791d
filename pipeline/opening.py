"""The first half of the road: a batch, or dead letters, as far as their documents."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import msgspec

from pipeline.adapters.stopwatch import Stopwatch
from pipeline.adapters.store import ObjectStore
from pipeline.adapters.unfinished import Unfinished
from pipeline.core.binary.decoder import Decoder
from pipeline.core.deadletter import ReplayBatch
from pipeline.core.decode import Originals, decode_payloads
from pipeline.core.envelope import MOST_DOCUMENTS, Envelope, Unwrapped, as_they_are, unwrap
from pipeline.core.kpl import deaggregate
from pipeline.core.ledger import Coverage, Names
from pipeline.core.parts import NARROW, Part
from pipeline.core.payload import check_documents, unpack_payloads
from pipeline.core.protection import Protection, check_protected
from pipeline.core.records import Batch, Chunk, Fuse, Limits, Reject, Width
from pipeline.core.routing import Router


class Pipeline(msgspec.Struct, frozen=True):
    """What stays the same from one batch to the next.

    Without `fast_paths` every station works the exact way alone: slower, to the same end. With
    `each_line` the owner of the stream says that each line of a payload is a document, by
    `envelope` what is to be taken out of documents, by `decoder` what payloads are that are not
    JSON. Datasets with private fields need `protection`. With a `fuse`, a batch of which too much
    is refused fails. Only `unfinished` changes: it spares work when a batch comes again, and no
    result depends on it.
    """

    router: Router
    limits: Limits
    output: ObjectStore
    dead_letters: ObjectStore
    fast_paths: bool = True
    each_line: bool = False
    envelope: Envelope | None = None
    protection: Protection | None = None
    fuse: Fuse | None = None
    decoder: Decoder | None = None
    names: Names = msgspec.field(default_factory=Names)
    unfinished: Unfinished = msgspec.field(default_factory=Unfinished)

    def __post_init__(self) -> None:
        check_protected(self.router.datasets, self.protection)

    @property
    def payload_limits(self) -> Limits:
        """The limits of what a payload holds; those of a document are for what comes of it."""
        return _payload_limits(self.limits, self.envelope)


class Opened(NamedTuple):
    """A batch as far as its documents: what did not open, parts, and all that must be in these.

    Where payloads are decoded, dead letters hold the `originals`.
    """

    unopened: list[Reject]
    parts: Iterator[Unwrapped]
    coverage: Coverage
    originals: Originals | None


def open_batch(batch: Batch, pipeline: Pipeline, timings: Stopwatch) -> Opened:
    """Open a batch of stream records; its documents are unpacked as they are asked for."""
    fast = pipeline.fast_paths
    user_records, unopened = timings.run("decode", deaggregate, batch, fast=fast)
    parts = _unwrapped(_unpacked(user_records, pipeline), pipeline)
    coverage = Coverage(batch, range(len(batch.records)), [user_records.provenance])
    return Opened(unopened, parts, coverage, _originals([user_records], pipeline))


def reopen(letters: ReplayBatch, pipeline: Pipeline, timings: Stopwatch) -> Opened:
    """Open what is replayed."""
    batch, fast = letters.batch, pipeline.fast_paths
    numbers = letters.stream_records
    user_records, unopened = timings.run("decode", deaggregate, batch, numbers, fast=fast)
    limits, width = pipeline.payload_limits, pipeline.router.width
    packed = chain(
        _unpacked(user_records, pipeline),
        _unpacked(letters.user_records, pipeline),
        check_documents(letters.documents, limits, width),
    )
    elements = check_documents(letters.elements, pipeline.limits, width)
    parts = chain(_unwrapped(packed, pipeline), as_they_are(elements))
    opened = [user_records, letters.user_records, letters.documents, letters.elements]
    coverage = Coverage(batch, numbers, [chunk.provenance for chunk in opened])
    originals = _originals([user_records, letters.user_records], pipeline)
    return Opened(unopened, parts, coverage, originals)


def open_documents(
    batch: Batch,
    limits: Limits,
    envelope: Envelope | None = None,
    decoder: Decoder | None = None,
    *,
    each_line: bool = False,
) -> Iterator[Unwrapped]:
    """Take a batch as far as its documents, for whoever only looks at what there is."""
    user_records, unopened = deaggregate(batch)
    within = _payload_limits(limits, envelope)
    parts = _opened(user_records, within, NARROW, decoder, each_line=each_line)
    opened = as_they_are(parts) if envelope is None else unwrap(parts, envelope, limits, NARROW)
    for part in opened:
        yield part._replace(rejects=[*unopened, *part.rejects])
        unopened = []


def _payload_limits(limits: Limits, envelope: Envelope | None) -> Limits:
    if envelope is None:
        return limits
    documents = min(limits.documents, MOST_DOCUMENTS)
    return msgspec.structs.replace(
        limits, documents=documents, document_bytes=limits.unpacked_bytes
    )


def _originals(user_records: list[Chunk], pipeline: Pipeline) -> Originals | None:
    return Originals(pipeline.decoder.format, user_records) if pipeline.decoder else None


def _unpacked(user_records: Chunk, pipeline: Pipeline) -> Iterator[Part]:
    return _opened(
        user_records,
        pipeline.payload_limits,
        pipeline.router.width,
        pipeline.decoder,
        each_line=pipeline.each_line,
        fast=pipeline.fast_paths,
    )


def _opened(
    user_records: Chunk,
    limits: Limits,
    width: Width,
    decoder: Decoder | None,
    *,
    each_line: bool,
    fast: bool = True,
) -> Iterator[Part]:
    """Open payloads, which a stream may say are not JSON; those of files always are."""
    is_file = user_records.provenance.batch.one_document_per_record
    if decoder is not None and not is_file:
        return decode_payloads(user_records, decoder, limits, width)
    return unpack_payloads(user_records, limits, width, each_line=each_line, fast=fast)


def _unwrapped(parts: Iterator[Part], pipeline: Pipeline) -> Iterator[Unwrapped]:
    if pipeline.envelope is None:
        return as_they_are(parts)
    limits, width = pipeline.limits, pipeline.router.width
    return unwrap(parts, pipeline.envelope, limits, width, fast=pipeline.fast_paths)
