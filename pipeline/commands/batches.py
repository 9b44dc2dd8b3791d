"""Batches of what was named, files or a stream, for commands that look at it and store nothing."""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.commands.options import moment_option
from pipeline.commands.sampling import opened, print_notice
from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.core.records import Batch
    from pipeline.local.reader import Start


def batches_of_stream(
    options: argparse.Namespace, start: "Start", *, follow: bool = False
) -> "Iterator[Batch | None]":
    """Yield batches of `--stream`, and None where nothing comes for a moment."""
    from pipeline.adapters.aws.kinesis import KinesisStream, kinesis_client
    from pipeline.commands.stream_batches import StreamBatches

    kinesis = KinesisStream(options.stream, kinesis_client(options.endpoint_url))
    yield from StreamBatches(kinesis, start, print_notice, follow=follow)


def batches_of_files(
    files: Sequence[str], options: argparse.Namespace, *, each_line: bool
) -> "Iterator[Batch | None]":
    """Yield batches of files, whose records are their documents, and None between them."""
    from pipeline.core.firehose_errors import is_error_file
    from pipeline.core.magic import KPL_MAGIC
    from pipeline.core.records import Batch, StreamRecord
    from pipeline.files.blocks import blocks_of, start_of
    from pipeline.files.unpacking import unpacked

    start = start_of(each_line=each_line)
    for given in files:
        for name, file in opened(given, options):
            source = unpacked(file, name)
            if source.head.startswith(KPL_MAGIC):
                # One stream record, as another tool saved it.
                yield Batch(name, name, (StreamRecord("0", None, 0, source.read()),))
                continue
            if is_error_file(name):
                yield _failed_records(source.read(), name)
                continue
            for block in blocks_of(source, name, start, eager=True):
                if block.documents:
                    yield block.batch(name, 0)
                yield None


def _failed_records(body: bytes, name: str) -> "Batch | None":
    """Return the records that Firehose left in a file; None where there is none."""
    from pipeline.core.firehose_errors import read_error_file
    from pipeline.core.records import Batch, StreamRecord

    records = tuple(
        StreamRecord(str(record.offset), None, record.arrived_at, record.data)
        for record in read_error_file(body, name)
    )
    return Batch(name, name, records) if records else None


def start_option(text: str) -> "Start":
    """Read `--from`. Raises `SettingsError` for what is not a time, or is in the future."""
    from pipeline.local.reader import FROM_NOW, FROM_OLDEST

    if text == "now":
        return FROM_NOW
    if text == "start":
        return FROM_OLDEST
    moment = moment_option("--from", text) / 1e6
    if moment > time.time():
        raise SettingsError(f"--from {text} is in the future; --from now waits for what comes.")
    return ("AT_TIMESTAMP", moment)
