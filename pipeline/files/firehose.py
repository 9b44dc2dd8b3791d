"""Records that Firehose could not deliver, taken down the road as the user records that they are.

`_source` is the file, with its size and digest. The sequence number is the one that Firehose read,
where it says so of each record; else it is the offset of what it wrote of the record in what the
file unpacks to. So the same file makes the same objects, by whatever command and however often.
"""

import hashlib

import msgspec

from pipeline.adapters.memory import MemoryStore
from pipeline.attempt import Attempt
from pipeline.core.deadletter import DeadLetter, to_replay
from pipeline.core.firehose_errors import FailedRecord, own_numbers, read_error_file
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.reasons import RejectStage
from pipeline.core.report import Report
from pipeline.files.local import Version
from pipeline.flow import Pipeline


def deliver_failed(body: bytes, uri: str, pipeline: Pipeline, *, dry_run: bool) -> Report | None:
    """Store the records of one file, as rows or dead letters; None where it holds none.

    Raises `DeadLetterError` for a file that Firehose did not write.
    """
    records = read_error_file(body, uri)
    if not records:
        return None
    source = Version.of(body).source(uri)
    own = own_numbers(records) and not any(map(_is_aggregate, records))
    letters = [_letter(record, source, own=own) for record in records]
    replayed = hashlib.sha256(source.encode()).hexdigest()
    if dry_run:
        pipeline = msgspec.structs.replace(
            pipeline, output=MemoryStore(), dead_letters=MemoryStore()
        )
    return Attempt.untimed(pipeline).replay(to_replay(letters, replayed))


def _letter(record: FailedRecord, source: str, *, own: bool) -> DeadLetter:
    """Return a record as what a redrive takes up: a user record, or an aggregate of some."""
    number = record.sequence_number if own and record.sequence_number else str(record.offset)
    return DeadLetter(
        line=b"",
        stage=RejectStage.AGGREGATE if _is_aggregate(record) else RejectStage.PAYLOAD,
        reason="",
        message="",
        path="$",
        dataset=None,
        source=source,
        sequence_number=number,
        sub_sequence_number=record.sub_sequence_number if own else 0,
        document=0,
        arrived_at=record.arrived_at,
        partition_key=None,
        payload=record.data,
    )


def _is_aggregate(record: FailedRecord) -> bool:
    return record.data.startswith(KPL_MAGIC)
