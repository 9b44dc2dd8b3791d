"""What Amazon Data Firehose leaves in S3 of records that it could not deliver.

One JSON object a record, of which these members are read; AWS spells some in several ways:

    rawData              the record in base64, as its producer put it (or as a function made it)
    arrivalTimestamp     milliseconds since 1970
    sequenceNumber       of the stream that Firehose read, where it says so
    subSequenceNumber    the position in the KPL aggregate

The objects stand one a line or back to back, plain or compressed.
"""

import re
from typing import Annotated, Any

import msgspec
import pybase64

from pipeline.core.errors import DeadLetterError
from pipeline.core.framing import split_documents
from pipeline.core.records import Violation
from pipeline.core.unpack import unpack

_KINDS = (
    "processing",
    "format-conversion",
    "elasticsearch",
    "AmazonElasticsearchService",
    "opensearch",
    "AmazonOpenSearchService",
    "AmazonOpenSearchServerless",
    "splunk",
    "http-endpoint",
    "iceberg",
    "snowflake",
)
_ERROR_FILE = re.compile(rf"(?:.*/)?[^/]*(?:{'|'.join(_KINDS)})[-_]failed/.+", re.IGNORECASE)
_MOST_BYTES = 2**30  # Firehose buffers 128 MiB at most, in base64 and with what it says of each
_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")
_LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999


class FailedRecord(msgspec.Struct, frozen=True):
    """A record that Firehose could not deliver; `arrived_at` in microseconds since 1970.

    `offset` is that of its first byte in what the file unpacks to. Of a record that Firehose did
    not read from a stream, there is no `sequence_number`.
    """

    offset: int
    data: bytes
    arrived_at: int
    sequence_number: str | None
    sub_sequence_number: int


def is_error_file(path: str) -> bool:
    """Tell by its path, or its URI, whether a file is one in which Firehose left such records."""
    return _ERROR_FILE.fullmatch(path) is not None


def read_error_file(body: bytes, where: str) -> list[FailedRecord]:
    """Read one file. Raises `DeadLetterError`, which names file and byte, for what is not one."""
    text = unpack(body, _MOST_BYTES)
    if isinstance(text, Violation):
        message = f"{where} cannot be unpacked: {text.message}"
        raise DeadLetterError(message)
    return [_record(line, offset or 0, where) for offset, line in split_documents(text).documents]


class _Written(msgspec.Struct):
    """A record as Firehose writes it."""

    rawData: str  # noqa: N815 - Firehose's name
    arrivalTimestamp: int | str  # noqa: N815
    sequenceNumber: str | None = None  # noqa: N815
    subSequenceNumber: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None  # noqa: N815


_written = msgspec.json.Decoder(_Written, strict=False)
_FIELD_NAMED = re.compile(r"field `(\w+)`|at `\$\.(\w+)`")


def _record(line: bytes, offset: int, where: str) -> FailedRecord:
    try:
        written = _written.decode(line)
        return FailedRecord(
            offset,
            _unpacked(written.rawData),
            _arrival(written.arrivalTimestamp),
            _sequence_number(written.sequenceNumber),
            written.subSequenceNumber or 0,
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # Its text may quote what stands there: of it only the field's name is shown.
        field = _FIELD_NAMED.search(str(error))
        name = field and (field[1] or field[2])
        problem = f"its {name} is missing or is not one" if name else "it is not a JSON object"
        message = (
            f"{where}, byte {offset:,} is not a record that Firehose could not deliver: {problem}; "
            "restore the file, or remove the line."
        )
        raise DeadLetterError(message) from None


def _unpacked(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise _Not("rawData") from None


def _arrival(value: int | str) -> int:
    """Return microseconds of milliseconds, which some write as text."""
    text = str(value)
    if not _NUMBER.fullmatch(text) or int(text) > _LATEST:
        raise _Not("arrivalTimestamp")
    return int(text) * 1_000


def _sequence_number(text: str | None) -> str | None:
    if text is not None and not _NUMBER.fullmatch(text):
        raise _Not("sequenceNumber")
    return text


class _Not(ValueError):
    """A member is not what Firehose writes there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"at `$.{name}`")


def own_numbers(records: list[FailedRecord]) -> bool:
    """Tell whether each record of a file has a position of its own on a stream."""
    positions: set[Any] = {(each.sequence_number, each.sub_sequence_number) for each in records}
    return all(each.sequence_number for each in records) and len(positions) == len(records)
