"""Rejects to files of dead letters; `deadletter` says what a letter is, and reads them."""

import codecs
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal

import msgspec
import pybase64

from pipeline.core.census import named
from pipeline.core.dataset import UNROUTED
from pipeline.core.numbering import OLDER_THAN_RULES
from pipeline.core.protection import Protection, Shown
from pipeline.core.records import Provenance, Reject, StreamRecord, Violation
from pipeline.core.unpack import GZIP_WINDOW

# What a line may hold, in order. Those from `element` on are there only where they say something.
# Tables of dead letters are made from it, so that a member that is new here is a column there.
MEMBERS: dict[str, Literal["string", "int", "bigint", "strings"]] = {
    "stage": "string", "reason": "string", "message": "string", "path": "string",
    "dataset": "string", "schema_version": "int", "source": "string",
    "sequence_number": "string", "sub_sequence_number": "bigint", "document": "int",
    "arrived_at": "string", "partition_key": "string", "payload_encoding": "string",
    "payload": "string", "element": "int", "payload_format": "string", "private_key": "string",
    "redacted": "strings", "sealed": "string", "digest": "string",
}  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = 3_600_000_000  # microseconds
_PIECE = 3 * 2**16  # bytes, a multiple of what base64 writes at once
_MOST_KEPT = 256  # texts that lines have in common, of each kind
_encode = msgspec.json.Encoder().encode
_utf8 = codecs.getincrementaldecoder("utf-8")


def group_by_arrival_hour(rejects: Iterable[Reject]) -> Iterator[tuple[str, str, list[Reject]]]:
    """Group rejects by dataset and hour of arrival (`date=…/hour=…`), each in stream order."""
    groups: dict[tuple[str, str], list[Reject]] = defaultdict(list)
    for reject in rejects:
        hour = _hour_of(_arrived_at(reject) // _HOUR)
        groups[reject.dataset or UNROUTED, hour].append(reject)
    for (dataset, hour), group in sorted(groups.items(), key=itemgetter(0)):
        yield dataset, hour, sorted(group, key=_position)


def encode_dead_letters(
    rejects: Iterable[Reject], census: bytes = b"", protection: Protection | None = None
) -> bytes:
    """Encode rejects as one file, with a batch's census in the name of its gzip header.

    Of what is protected, the lines have what they may show.
    """
    return named(packed_lines(_lines(rejects, protection)), census)


def packed_lines(pieces: Iterable[bytes]) -> bytes:
    """Compress a file as it is written: uncompressed it may be many times what memory holds."""
    # Level 3 takes half the time of the usual 6, for a tenth more bytes.
    packer = zlib.compressobj(3, wbits=GZIP_WINDOW)
    packed, waiting, size = list[bytes](), list[bytes](), 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE:
            packed.append(packer.compress(b"".join(waiting)))
            waiting, size = [], 0
    packed += packer.compress(b"".join(waiting)), packer.flush()
    return b"".join(packed)


class _Writer:
    """Writes lines of dead letters; what many of them have in common is made once.

    A part of a batch may be bad altogether, and hold a hundred thousand documents of two bytes:
    only their numbers and their payload are written for each. Its documents may be bad in several
    ways in turn, so what is said of each way is kept; and what is said of the last stream record.
    """

    def __init__(self) -> None:
        self._reasons: dict[Any, bytes] = {}
        self._record: StreamRecord | None = None
        self._number = self._arrival = b""
        self._keys: dict[str | None, bytes] = {}

    def head(self, reject: Reject, shown: Shown | None) -> bytes:
        """Write a line up to its payload's encoding; `shown` is what it may have."""
        provenance, unit = reject.provenance, reject.unit
        batch = provenance.batch
        record = batch.records[provenance.record[unit]]
        if record is not self._record:
            self._record = record
            self._number = _members(sequence_number=record.sequence_number)
            self._arrival = _members(arrived_at=_written(record.arrived_at))
        return b'{%b,%b,"sub_sequence_number":%d,"document":%b,%b,%b,"payload_encoding":"' % (
            self._reason(reject, reject.violation if shown is None else shown.violation),
            self._number,
            provenance.sub[unit],
            _numbers(provenance, unit, reject.payload_format),
            self._arrival,
            self._key(provenance.partition_key[unit] if shown is None else shown.partition_key),
        )

    def _reason(self, reject: Reject, violation: Violation) -> bytes:
        stage, dataset, source = reject.stage, reject.dataset, reject.provenance.batch.source
        version = reject.schema_version
        known = stage, violation, dataset, version, source
        written = self._reasons.get(known)
        if written is None:
            if len(self._reasons) >= _MOST_KEPT:
                self._reasons.clear()
            written = self._reasons[known] = _members(
                stage=stage,
                reason=violation.reason,
                message=violation.message,
                path=violation.path,
                dataset=dataset,
                schema_version=version,
                source=source,
            )
        return written

    def _key(self, key: str | None) -> bytes:
        written = self._keys.get(key)
        if written is None:
            if len(self._keys) >= _MOST_KEPT:
                self._keys.clear()
            written = self._keys[key] = _members(partition_key=_writable(key))
        return written


def _members(**members: Any) -> bytes:
    return _encode(members)[1:-1]


def _lines(rejects: Iterable[Reject], protection: Protection | None) -> Iterator[bytes]:
    """Yield the lines of dead letters, in pieces."""
    head = _Writer().head
    for reject in rejects:
        shown = None if protection is None else protection.shown(reject)
        payload = reject.payload if shown is None else shown.payload
        end = b"}\n" if shown is None else _end_of(shown)
        if len(payload) > _PIECE:
            yield head(reject, shown)
            yield from _long_payload(payload)
            yield end
            continue
        try:
            text = b'utf-8","payload":%b' % _encode(payload.decode())
        except UnicodeDecodeError:
            text = b'base64","payload":"%b"' % pybase64.b64encode(payload)
        yield b"%b%b%b" % (head(reject, shown), text, end)


def _end_of(shown: Shown) -> bytes:
    """Write what stands behind a protected payload: what it does not show, and where that is."""
    members: dict[str, Any] = {"private_key": shown.private_key, "redacted": shown.redacted}
    if shown.sealed is not None:
        members["sealed"] = pybase64.b64encode(shown.sealed).decode()
    if shown.digest is not None:
        members["digest"] = shown.digest
    return b",%b}\n" % _members(**members)


def _numbers(provenance: Provenance, unit: int, payload_format: str | None) -> bytes:
    """Write the document's number, and behind it the element's, where the stream has rules.

    Then the format of the payload, where that is not the document.
    """
    written = b"%d" % provenance.document[unit]
    if provenance.element is not None and provenance.element[unit] != OLDER_THAN_RULES:
        written += b',"element":%d' % provenance.element[unit]
    if payload_format is not None:
        written += b',"payload_format":%b' % _encode(payload_format)
    return written


def _long_payload(payload: bytes) -> Iterator[bytes]:
    """Write a payload piece by piece: as one text, it takes up to four times its bytes, or six."""
    try:
        for _ in _texts(payload):
            pass
    except UnicodeDecodeError:
        yield b'base64","payload":"'
        for start in range(0, len(payload), _PIECE):
            yield pybase64.b64encode(payload[start : start + _PIECE])
    else:
        yield b'utf-8","payload":"'
        for text in _texts(payload):
            yield _encode(text)[1:-1]
    yield b'"'


def _texts(payload: bytes) -> Iterator[str]:
    """Decode UTF-8 piece by piece. Raises `UnicodeDecodeError` where it is not."""
    decoder = _utf8()
    for start in range(0, len(payload), _PIECE):
        yield decoder.decode(payload[start : start + _PIECE])
    yield decoder.decode(b"", final=True)


def _writable(key: str | None) -> str | None:
    """Return a partition key without half surrogate pairs, which JSON has and UTF-8 has not."""
    return key if key is None or key.isascii() else key.encode(errors="replace").decode()


def _arrived_at(reject: Reject) -> int:
    provenance = reject.provenance
    return provenance.batch.records[provenance.record[reject.unit]].arrived_at


# A batch may be bad altogether, and its many letters share few hours, and few arrivals.
@lru_cache(maxsize=64)
def _hour_of(hours: int) -> str:
    moment = _EPOCH + timedelta(hours=hours)
    return f"date={moment.date().isoformat()}/hour={moment:%H}"


@lru_cache(maxsize=64)
def _written(micros: int) -> str:
    # %Y would not pad the years before 1000 everywhere.
    moment = _EPOCH.replace(tzinfo=None) + timedelta(microseconds=micros)
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _position(reject: Reject) -> tuple[int, int, int]:
    provenance, unit = reject.provenance, reject.unit
    return provenance.record[unit], provenance.sub[unit], provenance.document[unit]
