"""The nouns that stations hand along: frozen, with slots; only a `Provenance` grows.

A batch is cut into chunks; chunks, not records, travel. A chunk is columnar: a document costs
no Python object but its bytes. msgspec's structs are defined, and made, several times as fast as
dataclasses, which a cold start and thousands of stream records in one event both feel.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from unicodedata import normalize

import msgspec

from pipeline.core.integers import INT32, INT64, Integers, from_arrow, mask_of, to_arrow
from pipeline.core.reasons import Reason, RejectStage

if TYPE_CHECKING:
    import pyarrow as pa


class StreamRecord(msgspec.Struct, frozen=True):
    """What Kinesis stores under one sequence number.

    `arrived_at` is Kinesis' approximate arrival in microseconds since 1970, UTC.
    """

    sequence_number: str
    partition_key: str | None
    arrived_at: int
    data: bytes


class Batch(msgspec.Struct, frozen=True):
    """The stream records of one invocation: one shard's, in order, at least one.

    `source` is the stream's ARN and the shard id, the first part of every row's identity.
    For a file they are the file, with what tells its content from another, and its name.
    `replayed` says which dead letters these are, where they are sent again: their objects must
    not overwrite what their batch stored. `one_document_per_record` says that each record is one
    document, as those of a file are, whatever its lines look like.
    """

    source: str
    shard: str
    records: tuple[StreamRecord, ...]
    replayed: str | None = None
    one_document_per_record: bool = False

    @property
    def first(self) -> str:
        """Sequence number of the first record: what an unstored batch is answered with."""
        return self.records[0].sequence_number

    @property
    def last(self) -> str:
        """Sequence number of the last record."""
        return self.records[-1].sequence_number


class Limits(msgspec.Struct, frozen=True):
    """What one record may cost (beyond it: a reject) and what a batch may hold at once.

    A batch's limits only decide how many objects it is written as, never what is rejected:
    Lambda may cut a batch anew at any time, and a verdict must not depend on the cut.
    """

    unpacked_bytes: int = 64 * 2**20
    documents: int = 10_000
    document_bytes: int = 2**20
    depth: int = 256
    partition_bytes: int = 255
    key_bytes: int = 1_024
    record_bytes: int = 64 * 2**20
    record_documents: int = 500_000
    part_bytes: int = 32 * 2**20
    part_documents: int = 100_000
    part_values: int = 10_000_000
    open_partitions: int = 64


class Fuse(msgspec.Struct, frozen=True):
    """When a batch fails instead of becoming dead letters: past this share, and this number."""

    percent: int
    count: int = 100


class Width(msgspec.Struct, frozen=True):
    """How many values there may be: columns of a `row`, and of an `item`, an object in an array."""

    row: int = 1
    item: int = 0


class Provenance(msgspec.Struct):
    """Where each unit (a document, or a record that did not open) stands in its batch.

    It grows, while a batch is deaggregated or a part of it is filled. From then on one object is
    shared by a chunk, all that is made of it, and its rejects, which refer to units by their index.
    A batch's user records have one, and each part of its documents has one of its own. Units of
    different provenances are told apart by the object's `id`.

    Four columns of one length: index of the stream record in the batch (32 bits), position in the
    aggregate (64 bits; 0 outside one), document number within the user record (32 bits), and the
    partition key the producer gave.

    The units of a part of a batch are `opened_from` those of user records, of which each is the
    first of one user record's documents, and several of them where it has several.

    Where a stream has envelopes, `element` says which element of its envelope each unit is, or that
    it is none (see `numbering`). Units that were opened from dead letters have their numbers from
    these; `begins` is 1 where one is the first of its dead letter, else 0.
    """

    batch: Batch
    record: Integers = msgspec.field(default_factory=partial(array, INT32))
    sub: Integers = msgspec.field(default_factory=partial(array, INT64))
    document: Integers = msgspec.field(default_factory=partial(array, INT32))
    partition_key: list[str | None] = msgspec.field(default_factory=list)
    opened_from: Provenance | None = None
    element: Integers | None = None
    begins: Integers | None = None

    def __len__(self) -> int:
        return len(self.record)

    def add(self, record: int, sub: int, document: int, partition_key: str | None) -> int:
        """Append one unit and return its index."""
        self.record.append(record)
        self.sub.append(sub)
        self.document.append(document)
        self.partition_key.append(partition_key)
        return len(self.record) - 1


Units = tuple[tuple[Provenance, Integers], ...]


class Chunk(msgspec.Struct, frozen=True):
    """Payloads (user records, later documents), and for each its index in `provenance` (32 bits).

    `text`, if there is one, is all of them with `jsontext.SEAM` between: then each is known to
    begin with `{`, to end with `}`, and to hold no newline.
    """

    provenance: Provenance
    unit: Integers
    payloads: list[bytes]
    text: bytes | None = None

    def __len__(self) -> int:
        return len(self.payloads)

    def take(self, indices: Sequence[int]) -> Chunk:
        """Return the chunk of these payloads alone, in this order."""
        return Chunk(
            self.provenance,
            array(INT32, map(self.unit.__getitem__, indices)),
            list(map(self.payloads.__getitem__, indices)),
        )


class Violation(msgspec.Struct, frozen=True, gc=False):
    """What is wrong with one document: a stable reason, a sentence, and a JSON path."""

    reason: Reason
    message: str
    path: str = "$"


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A unit that becomes a dead letter: its bytes, its violation, and where it came from.

    With a `payload_format`, the bytes are the whole payload in that format, not its document.
    """

    provenance: Provenance
    unit: int
    stage: RejectStage
    violation: Violation
    payload: bytes
    dataset: str | None = None
    schema_version: int | None = None
    payload_format: str | None = None

    @property
    def is_stream_record(self) -> bool:
        """Whether it is a whole stream record, that did not open, and not a part of one."""
        return self.stage is RejectStage.AGGREGATE and (
            self.violation.reason is not Reason.KPL_KEY_INDEX
        )

    @classmethod
    def from_chunk(
        cls,
        chunk: Chunk,
        index: int,
        stage: RejectStage,
        violation: Violation,
        dataset: tuple[str, int],
    ) -> Reject:
        """Make the reject of a chunk's document; `dataset` is its name and schema version."""
        return cls(
            chunk.provenance, chunk.unit[index], stage, violation, chunk.payloads[index], *dataset
        )


class UnknownMembers(msgspec.Struct, frozen=True):
    """Members of documents that no field reads; documents are told by their index in a chunk.

    `documents` has the indices of those with the same unknown members, by the paths of these
    (`$.lines[].sku`). `rest` has the JSON text of what is kept of each. `other_case` has the path
    of the field that a member is in all but the case of its letters.
    """

    documents: dict[frozenset[str], list[int]] = msgspec.field(default_factory=dict)
    rest: dict[int, str] = msgspec.field(default_factory=dict)
    other_case: dict[str, str] = msgspec.field(default_factory=dict)

    def add(self, index: int, paths: Mapping[str, str | None], rest: str | None) -> None:
        """Note the unknown members of one document, each with the field of its `other_case`."""
        self.documents.setdefault(frozenset(paths), []).append(index)
        for path, field in paths.items():
            if field is not None:
                self.other_case[path] = field
        if rest is not None:
            self.rest[index] = rest

    def merge(self, other: UnknownMembers, indices: Sequence[int] | None = None) -> None:
        """Add those of other documents, whose indices lead to those of the chunk, if given."""
        for paths, found in other.documents.items():
            placed = found if indices is None else [indices[index] for index in found]
            self.documents.setdefault(paths, []).extend(placed)
        for index, rest in other.rest.items():
            self.rest[index if indices is None else indices[index]] = rest
        self.other_case.update(other.other_case)


class Rows(msgspec.Struct, frozen=True):
    """Good documents of one dataset as an Arrow table, and the chunk they came from.

    `index` (int32) leads from each row to its payload in `chunk`, and `unit` (int32) to its place
    in the chunk's positions. `unknown` is of the documents as they were converted: of some, there
    may be no row any more.
    """

    chunk: Chunk
    table: pa.Table
    index: pa.Array
    unit: pa.Array
    unknown: UnknownMembers

    @classmethod
    def from_chunk(
        cls, chunk: Chunk, table: pa.Table, index: pa.Array, unknown: UnknownMembers
    ) -> Rows:
        """Make rows of a chunk's documents."""
        return cls(chunk, table, index, to_arrow(chunk.unit).take(index), unknown)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def reject(
        self, row: int, stage: RejectStage, violation: Violation, dataset: tuple[str, int]
    ) -> Reject:
        """Make the reject of one row's document."""
        return Reject.from_chunk(self.chunk, self.index[row].as_py(), stage, violation, dataset)

    @property
    def units(self) -> Units:
        """The units that these rows account for."""
        return ((self.chunk.provenance, from_arrow(self.unit)),)

    def without(self, bad: Sequence[int]) -> Rows:
        """Return these rows without those at the given row numbers."""
        if not bad:
            return self
        import pyarrow.compute as pc  # noqa: PLC0415 - a producer has stream records, and no Arrow

        keep = pc.invert(mask_of(bad, len(self)))
        table, index, unit = (column.filter(keep) for column in (self.table, self.index, self.unit))
        return Rows(self.chunk, table, index, unit, self.unknown)

    def take(self, order: pa.Array) -> Rows:
        """Return these rows in another order."""
        table, index, unit = (column.take(order) for column in (self.table, self.index, self.unit))
        return Rows(self.chunk, table, index, unit, self.unknown)

    def slice(self, start: int, count: int) -> Rows:
        """Return so many rows from `start` on, without a copy."""
        table, index, unit = (
            column.slice(start, count) for column in (self.table, self.index, self.unit)
        )
        return Rows(self.chunk, table, index, unit, self.unknown)


class Partition(msgspec.Struct, frozen=True):
    """Rows that share one Hive partition; `path` is "" for a dataset without partitions."""

    path: str
    rows: Rows


def units_of(rejects: Iterable[Reject]) -> Units:
    """Return the units that rejects account for."""
    by_provenance: dict[int, tuple[Provenance, Integers]] = {}
    for reject in rejects:
        found = by_provenance.get(id(reject.provenance))
        if found is None:
            found = by_provenance[id(reject.provenance)] = reject.provenance, array(INT32)
        found[1].append(reject.unit)
    return tuple(by_provenance.values())


class OutputObject(msgspec.Struct, frozen=True):
    """An object handed to a store, and the units it accounts for.

    `format` is the name of a `Format`, or "dead-letters"; `dataset` is "unrouted" where none is
    known; `size` is in bytes.
    """

    key: str
    dataset: str
    format: str
    units: Units
    size: int


def folded(key: str) -> str:
    """Return a key as a file system has it that tells neither case nor normal forms apart."""
    if key.isascii():
        return key.lower()
    return normalize("NFD", normalize("NFD", key).casefold())
