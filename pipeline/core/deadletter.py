"""Rejects to dead letters, and back: gzipped JSON Lines, nothing of the input lost.

A dead letter holds enough to be replayed as what it was: its bytes, its place on the stream, and
the stage that rejected it, which is where it enters the road again. The stage says what its bytes
are, and so how much of its place is its own:

    stage                         payload          unit             enters again at
    aggregate                     a stream record  (7)              deaggregate
    aggregate, `kpl_key_index`    a user record    (7, 2)           unpack_payloads
    payload                       a user record    (7, 2)           unpack_payloads
    document, envelope, route, …  a document       (7, 2, 1)        check_documents
    envelope, with `element`      an envelope      (7, 2, 0, 1)     check_documents
    route, convert, … with it     an element       (7, 2, 0, 1)     behind the envelopes
    any, with `payload_format`    a user record    (7, 2)           decode_payloads

Say record 7 of a shard is an aggregate whose user record 2 is gzip of two lines, and line 1 is not
an object. Its dead letter is the line, at (7, 2, 1). Had the gzip been cut short, there would be
one dead letter of the whole payload, at (7, 2): its lines were never seen. And had the aggregate's
MD5 been wrong, there would be one of the whole stream record, at (7).

A replay may find more than was rejected: where (7, 2) unpacks today, its lines become rows, or
dead letters at (7, 2, 0) and (7, 2, 1). Each has a unit that begins with the unit it came of, by
which `pipeline.redrive` knows which dead letters are done with. Rows get the identity that they
would have had at the first delivery, since the place on the stream comes with the dead letter.

    {"stage": "convert", "reason": "not_object", "message": "…", "path": "$", "dataset":
     "orders", "schema_version": 2, "source": "arn:…:stream/shop/shardId-000000000003",
     "sequence_number": "7", "sub_sequence_number": 2, "document": 1, "arrived_at":
     "2026-11-23T09:30:00.250000Z", "partition_key": "a", "payload_encoding": "utf-8",
     "payload": "[1, 2]"}

What a rule of stream.toml took out of an envelope has its number in it, `"element": 1`: then it is
not looked at as an envelope again. One that was broken is kept in its envelope, which holds nothing
else, and comes out of it with the number that the letter has. `"element": -1` stands in a letter of
what no rule was for, and nothing where the stream had no rules: `numbering` says what it is for.

A document that was decoded from another format is kept as its producer sent it, in that format,
`"payload_format": "avro"`: it is decoded again.

A payload that is not UTF-8 is kept as base64. Files are made of one batch's dead letters of one
dataset and hour of arrival, in stream order, and without a clock: the same batch makes the same
bytes.
"""

import codecs
import gzip
import re
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Annotated, Any, Literal

import msgspec
import pybase64

from pipeline.core.census import named
from pipeline.core.dataset import UNROUTED
from pipeline.core.errors import DeadLetterError
from pipeline.core.integers import INT32
from pipeline.core.numbering import OLDER_THAN_RULES, envelope_of
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Batch, Chunk, Provenance, Reject, StreamRecord
from pipeline.core.unpack import GZIP_WINDOW

_BEFORE_DOCUMENTS = frozenset({RejectStage.AGGREGATE, RejectStage.PAYLOAD})
_STREAM_RECORD, _USER_RECORD, DOCUMENT, ELEMENT = 1, 2, 3, 4  # how many numbers a unit has
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


def encode_dead_letters(rejects: Iterable[Reject], census: bytes = b"") -> bytes:
    """Encode rejects as one file, with a batch's census in the name of its gzip header."""
    return named(_packed(_lines(rejects)), census)


def _packed(pieces: Iterable[bytes]) -> bytes:
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


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter as read back; `line` is its JSON as it stood in the file."""

    line: bytes
    stage: RejectStage
    reason: str
    message: str
    path: str
    dataset: str | None
    source: str
    sequence_number: str
    sub_sequence_number: int
    document: int
    arrived_at: int
    partition_key: str | None
    payload: bytes
    element: int | None = None
    payload_format: str | None = None

    @property
    def position(self) -> tuple[int, int, int]:
        """Where it stands on its shard."""
        return int(self.sequence_number), self.sub_sequence_number, self.document

    @property
    def unit(self) -> tuple[int, ...]:
        """What it is: a stream record (1 number), user record (2), document (3) or element (4).

        Whatever comes of a letter has a unit that begins with the letter's.
        """
        if self.stage is RejectStage.AGGREGATE and self.reason != Reason.KPL_KEY_INDEX:
            return self.position[:1]
        if self.stage in _BEFORE_DOCUMENTS or self.payload_format is not None:
            return self.position[:2]
        if self.element is None or self.element < 0:
            return self.position
        return (*self.position[:2], envelope_of(self.document, self.element), self.element)

    @property
    def is_taken_out(self) -> bool:
        """Whether it is an element that stands in its envelope no more."""
        is_element = self.element is not None and self.element >= 0
        return is_element and self.stage is not RejectStage.ENVELOPE


class ReplayBatch(msgspec.Struct, frozen=True):
    """Dead letters of one source, ready to enter the road again where each had left it."""

    batch: Batch
    stream_records: list[int]
    user_records: Chunk
    documents: Chunk
    elements: Chunk


def decode_dead_letters(body: bytes, where: str) -> list[DeadLetter]:
    """Read one file of dead letters.

    Raises `DeadLetterError` naming file and line for what this program did not write.
    """
    letters: list[DeadLetter] = []
    try:
        lines = gzip.decompress(body).splitlines()
    except (OSError, EOFError, zlib.error) as error:
        message = f"{where} is not a gzip file of dead letters: {error}."
        raise DeadLetterError(message) from None
    for number, line in enumerate(lines, 1):
        try:
            letters.append(_read_letter(line))
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            # Its text may quote what stands there: of it only the field's name is shown.
            field = _FIELD_NAMED.search(str(error))
            problem = (
                f"its {field[1] or field[2]} is missing or none"
                if field
                else "it is not a JSON object"
            )
            message = (
                f"{where}, line {number} is not a dead letter: {problem} that this program writes; "
                "restore the file, or remove the line."
            )
            raise DeadLetterError(message) from None
    if len({letter.source for letter in letters}) > 1:
        message = (
            f"{where} holds dead letters of several sources; each batch has a file of its own."
        )
        raise DeadLetterError(message)
    return letters


def encode_lines(letters: Iterable[DeadLetter]) -> bytes:
    """Write letters again as they were read."""
    return _packed(letter.line + b"\n" for letter in letters)


def to_replay(letters: Sequence[DeadLetter], replayed: str) -> ReplayBatch:
    """Put dead letters of one source back where they left the road, with their own positions.

    `replayed` says which dead letters they are, and goes into the names of what they become.
    """
    source = letters[0].source
    ordered = sorted(letters, key=lambda letter: letter.position)
    records = tuple(
        StreamRecord(
            letter.sequence_number, letter.partition_key, letter.arrived_at, letter.payload
        )
        for letter in ordered
    )
    batch = Batch(source, source.rpartition("/")[2], records, replayed)
    user_records, documents, elements = (_no_chunk(batch) for _ in range(3))
    stream_records: list[int] = []
    for number, letter in enumerate(ordered):
        if len(letter.unit) == _STREAM_RECORD:
            stream_records.append(number)
            continue
        chunk = user_records
        if len(letter.unit) != _USER_RECORD:
            chunk = elements if letter.is_taken_out else documents
            _mark(chunk.provenance, letter)
        position = (number, letter.sub_sequence_number, letter.document, letter.partition_key)
        chunk.unit.append(chunk.provenance.add(*position))
        chunk.payloads.append(letter.payload)
    return ReplayBatch(batch, stream_records, user_records, documents, elements)


def _mark(provenance: Provenance, letter: DeadLetter) -> None:
    """Append which element of its envelope a letter is."""
    if provenance.element is None:
        provenance.element = array(INT32)
    provenance.element.append(OLDER_THAN_RULES if letter.element is None else letter.element)


def _no_chunk(batch: Batch) -> Chunk:
    return Chunk(Provenance(batch), array(INT32), [])


class _Written(msgspec.Struct):
    """A line of a file of dead letters."""

    stage: RejectStage
    reason: str
    message: str
    path: str
    dataset: str | None
    source: str
    sequence_number: Annotated[str, msgspec.Meta(pattern=r"\A(0|[1-9][0-9]{0,128})\Z")]
    sub_sequence_number: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    document: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    arrived_at: Annotated[datetime, msgspec.Meta(tz=True)]
    partition_key: str | None
    payload_encoding: Literal["utf-8", "base64"]
    payload: str
    element: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] | None = None
    payload_format: str | None = None

    @property
    def data(self) -> bytes:
        """The payload's bytes. Raises `ValueError` where it is not base64."""
        if self.payload_encoding == "utf-8":
            return self.payload.encode()
        try:
            return pybase64.b64decode(self.payload, validate=True)
        except ValueError:
            message = "at `$.payload`"
            raise ValueError(message) from None


_written_line = msgspec.json.Decoder(_Written)
_FIELD_NAMED = re.compile(r"field `(\w+)`|at `\$\.(\w+)`")


def _read_letter(line: bytes) -> DeadLetter:
    fields = _written_line.decode(line)
    return DeadLetter(
        line=line,
        stage=fields.stage,
        reason=fields.reason,
        message=fields.message,
        path=fields.path,
        dataset=fields.dataset,
        source=fields.source,
        sequence_number=fields.sequence_number,
        sub_sequence_number=fields.sub_sequence_number,
        document=fields.document,
        arrived_at=(fields.arrived_at - _EPOCH) // timedelta(microseconds=1),
        partition_key=fields.partition_key,
        payload=fields.data,
        element=fields.element,
        payload_format=fields.payload_format,
    )


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

    def head(self, reject: Reject) -> bytes:
        """Write a line up to its payload's encoding."""
        provenance, unit = reject.provenance, reject.unit
        batch = provenance.batch
        record = batch.records[provenance.record[unit]]
        if record is not self._record:
            self._record = record
            self._number = _members(sequence_number=record.sequence_number)
            self._arrival = _members(arrived_at=_written(record.arrived_at))
        return b'{%b,%b,"sub_sequence_number":%d,"document":%b,%b,%b,"payload_encoding":"' % (
            self._reason(reject, batch.source),
            self._number,
            provenance.sub[unit],
            _numbers(provenance, unit, reject.payload_format),
            self._arrival,
            self._key(provenance.partition_key[unit]),
        )

    def _reason(self, reject: Reject, source: str) -> bytes:
        stage, violation, dataset = reject.stage, reject.violation, reject.dataset
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


def _lines(rejects: Iterable[Reject]) -> Iterator[bytes]:
    """Yield the lines of dead letters, in pieces."""
    head = _Writer().head
    for reject in rejects:
        payload = reject.payload
        if len(payload) > _PIECE:
            yield head(reject)
            yield from _long_payload(payload)
            yield b"}\n"
            continue
        try:
            text = b'utf-8","payload":%b' % _encode(payload.decode())
        except UnicodeDecodeError:
            text = b'base64","payload":"%b"' % pybase64.b64encode(payload)
        yield b"%b%b}\n" % (head(reject), text)


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
