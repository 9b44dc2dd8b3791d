"""Sample documents out of files, objects in S3, standard input, and streams."""

import argparse
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.commands.options import (
    STANDARD_INPUT,
    add_framing,
    add_s3,
    add_stream,
    open_input,
    positive_integer,
    s3_of,
)
from pipeline.commands.stream_batches import StreamBatches
from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.authoring.infer import Misfit, Place, Samples
    from pipeline.bucket_settings import S3Settings
    from pipeline.core.binary.decoder import Decoder
    from pipeline.core.records import Batch, Limits
    from pipeline.files.unpacking import Readable

_MOST_BYTES: Final = 256 * 2**20  # of documents, which are in memory
_PATIENCE: Final = 60.0  # seconds that one call may take, retries included
_S3: Final = "s3://"


class Text(NamedTuple):
    """A document as it was found: in which file, object or shard, and at which byte.

    Of a payload that is not JSON and could not be decoded, `why` says so.
    """

    text: bytes
    name: str
    offset: int | None
    why: str | None = None


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which documents are read, and how."""
    parser.add_argument(
        "--documents",
        metavar="N",
        type=positive_integer,
        default=10_000,
        help="read the first N documents, of 256 MiB at most (default: 10,000)",
    )
    add_framing(parser, "documents")
    add_stream(parser, "read this stream from its oldest record on")
    add_s3(parser)


def limits_of_environment() -> "Limits":
    """Return the limits that the function would have, from its variables."""
    from pipeline.settings import Settings

    required = {
        "PIPELINE_OUTPUT": "file:///out",
        "PIPELINE_DEAD_LETTERS": "file:///dead-letters",
        "PIPELINE_SCHEMAS": "schemas",
    }
    return Settings.from_environment({**os.environ, **required}).limits


def payload_decoder(options: argparse.Namespace) -> "Decoder | None":
    """Return what decodes a stream's payloads, where stream.toml of `--schemas` says how."""
    from pipeline.adapters.schemas import read_stream
    from pipeline.attempt import decoder_of

    folder = Path(options.schemas)
    credentials = os.environ.get("PIPELINE_REGISTRY_CREDENTIALS", "")
    return decoder_of(read_stream(folder), folder, credentials)


def fill(samples: "Samples", texts: Iterator[Text], documents: int) -> bool:
    """Add texts until there are enough documents; return whether there were more."""
    for text in texts:
        if samples.documents >= documents or samples.size >= _MOST_BYTES:
            return True
        add(samples, text)
    return False


def add(samples: "Samples", text: Text) -> None:
    """Add a document to samples, or skip it."""
    from pipeline.authoring.infer import Place

    place = Place(text.name, text.offset)
    if text.why is None:
        samples.add(text.text, place)
    else:
        samples.skip(text.why, place)


def texts_of(options: argparse.Namespace, files: Sequence[str], limits: "Limits") -> Iterator[Text]:
    """Yield the documents of files, then of the stream. Raises `SettingsError` if there is none."""
    if not files and not options.stream:
        raise SettingsError("There is nothing to read: name a file, or a stream with --stream.")
    for name in files:
        for found, file in opened(name, options):
            yield from _file_texts(file, found, each_line=options.framing == "lines")
    if options.stream:
        yield from _stream_texts(options, limits)


def place_in_words(place: "Place") -> str:
    """Say where a document stands, with its line where that can be counted."""
    if place.offset is None:
        return place.name or "unknown"
    line = _line_of(place.name, place.offset)
    return str(place) if line is None else f"{place.name}, line {line:,} (byte {place.offset:,})"


def misfit_report(misfit: "Misfit") -> dict[str, Any]:
    """Return what is wrong with some documents as JSON has it; nothing of their values is in it."""
    return {
        "documents": misfit.count,
        "reason": misfit.reason,
        "path": misfit.path,
        "message": misfit.message,
        "first": place_in_words(misfit.place),
    }


def _line_of(name: str, offset: int) -> int | None:
    """Return the line of a byte of what a file unpacks to; None where it cannot be read again."""
    from pipeline.files.unpacking import read, unpacked

    if name.startswith(_S3) or name == STANDARD_INPUT or not Path(name).is_file():
        return None
    with Path(name).open("rb") as file:
        return read(unpacked(file, name), name, 0, offset).count(b"\n") + 1


def _file_texts(file: "Readable", name: str, *, each_line: bool) -> Iterator[Text]:
    from pipeline.files.blocks import START, START_OF_LINES, blocks_of

    for block in blocks_of(file, name, START_OF_LINES if each_line else START, eager=True):
        for offset, document in block.documents:
            yield Text(document, name, offset)


def opened(name: str, options: argparse.Namespace) -> "Iterator[tuple[str, Readable]]":
    """Open what a name names: a file, standard input, an object, or all objects of a prefix."""
    if name.startswith(_S3):
        yield from _objects(name, s3_of(options))
        return
    with open_input(name) as file:
        yield name, file


def _objects(uri: str, s3: "S3Settings") -> "Iterator[tuple[str, Readable]]":
    """Open an object; of a prefix that ends with a slash each, in the order of their keys."""
    from pipeline.adapters.retry import Retrier, RetryPolicy
    from pipeline.core.errors import ObjectMissing
    from pipeline.files.notifications import ObjectReference
    from pipeline.files.objects import ObjectReader, ObjectVersion, S3Objects

    bucket, _, key = uri.removeprefix(_S3).partition("/")
    objects = S3Objects(settings=s3)
    retrier = Retrier(uri, lambda: _PATIENCE, RetryPolicy(reserve=0.0))

    def reader(version: ObjectVersion) -> ObjectReader:
        def fetch(begin: int, end: int) -> bytes:
            return retrier.call("read", functools.partial(objects.read, version, begin, end))

        return ObjectReader(fetch, version.size)

    if key and not key.endswith("/"):
        wanted = ObjectReference(bucket, key)
        version = retrier.call("find", functools.partial(objects.find, wanted))
        yield uri, reader(version)
        return
    found, token, first = False, None, True
    while first or token:
        first = False
        page = functools.partial(objects.page, bucket, key, token)
        versions, token = retrier.call("list", page)
        for version in versions:
            if version.size:
                found = True
                yield version.reference.uri, reader(version)
    if not found:
        message = f"There is no object under {uri}."
        raise ObjectMissing(message)


def _stream_texts(options: argparse.Namespace, limits: "Limits") -> Iterator[Text]:
    """Yield the documents of a stream, of its shards in turn, up to what is there now."""
    from pipeline.adapters.aws.kinesis import KinesisStream, kinesis_client
    from pipeline.local.reader import FROM_OLDEST

    decoder = payload_decoder(options)
    kinesis = KinesisStream(options.stream, kinesis_client(options.endpoint_url))
    for batch in StreamBatches(kinesis, FROM_OLDEST, print_notice):
        if batch is not None:
            yield from batch_texts(batch, kinesis.stream, limits, options, decoder)


def batch_texts(
    batch: "Batch",
    stream: str,
    limits: "Limits",
    options: argparse.Namespace,
    decoder: "Decoder | None" = None,
) -> Iterator[Text]:
    """Yield the documents of stream records, deaggregated and unpacked, and what did not open."""
    from pipeline.flow import open_documents

    place = f"{stream}/{batch.shard}, sequence number "
    each_line = options.framing == "lines"
    for part in open_documents(batch, limits, None, decoder, each_line=each_line):
        found = zip(part.documents.unit, part.documents.payloads, strict=True)
        records = part.documents.provenance.record
        for unit, payload in found:
            yield Text(payload, place + batch.records[records[unit]].sequence_number, None)
        for reject in part.rejects:
            number = reject.provenance.record[reject.unit]
            where = place + batch.records[number].sequence_number
            why = None if decoder is None else f"not decoded ({reject.violation.reason})"
            yield Text(reject.payload, where, None, why)


def print_notice(sentence: str) -> None:
    """Say something to the operator, beside what is printed."""
    print(f"pipeline: {sentence}", file=sys.stderr, flush=True)
