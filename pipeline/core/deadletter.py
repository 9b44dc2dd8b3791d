"""What dead letters are, read again: gzipped JSON Lines, nothing of the input lost.

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

import gzip
import re
import zlib
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
import pybase64

from pipeline.core.errors import DeadLetterError
from pipeline.core.integers import INT32
from pipeline.core.letter_lines import packed_lines
from pipeline.core.numbering import OLDER_THAN_RULES, envelope_of
from pipeline.core.protection import Protection, belongs_to
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import (
    Batch,
    Chunk,
    Provenance,
    StreamRecord,
)

_BEFORE_DOCUMENTS = frozenset({RejectStage.AGGREGATE, RejectStage.PAYLOAD})
_STREAM_RECORD, _USER_RECORD, DOCUMENT, ELEMENT = 1, 2, 3, 4  # how many numbers a unit has
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    private_key: str | None = None
    redacted: tuple[str, ...] = ()
    sealed: bytes | None = None

    @property
    def is_withheld(self) -> bool:
        """Whether the original is nowhere, and so cannot be sent again."""
        return bool(self.redacted) and self.sealed is None

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
    return packed_lines(letter.line + b"\n" for letter in letters)


def with_originals(
    letters: Iterable[DeadLetter], protection: Protection | None
) -> list[DeadLetter]:
    """Return letters with what was sealed of them, which must be all that they do not show.

    Raises `DeadLetterError` where the key for that is not there.
    """
    return [
        letter if letter.sealed is None else _with_original(letter, letter.sealed, protection)
        for letter in letters
    ]


def _with_original(letter: DeadLetter, sealed: bytes, protection: Protection | None) -> DeadLetter:
    if protection is None or letter.private_key is None:
        message = (
            "The originals of dead letters are sealed; set PIPELINE_PRIVACY_KEY to where their key "
            "is, as the function has it."
        )
        raise DeadLetterError(message)
    identity = belongs_to(
        letter.source, letter.sequence_number, letter.sub_sequence_number, letter.document
    )
    key, payload = protection.original(sealed, letter.private_key, identity)
    return msgspec.structs.replace(letter, partition_key=key, payload=payload)


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
    private_key: str | None = None
    redacted: tuple[str, ...] = ()
    sealed: str | None = None
    payload_format: str | None = None

    @property
    def data(self) -> bytes:
        """The payload's bytes. Raises `ValueError` where it is not base64."""
        if self.payload_encoding == "utf-8":
            return self.payload.encode()
        return _base64(self.payload, "payload")

    @property
    def original(self) -> bytes | None:
        """The sealed original. Raises `ValueError` where it is not base64."""
        return None if self.sealed is None else _base64(self.sealed, "sealed")


def _base64(text: str, field: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        message = f"at `$.{field}`"
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
        private_key=fields.private_key,
        redacted=fields.redacted,
        sealed=fields.original,
        payload_format=fields.payload_format,
    )
