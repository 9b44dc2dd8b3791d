"""The columnar path: all documents of a chunk at once, read by Arrow's JSON reader.

It only accelerates. What it accepts, the row path accepts too, with equal values; what it does
not accept, the row path decides, document by document. So it may give up wherever it likes, on a
document, a value or a whole chunk, and never has to say why. Its grammar is a strict subset of the
row path's: that is what makes it correct, and what each module here has to keep.

Plan. Joined by line ends, the documents are one text, which Arrow reads in one call:

1. `framing`      leaves out documents that Arrow might misread, or read as one with a neighbour
2. `decimals`     samples how decimals are spelled, which decides the type Arrow reads them as
3. `plan`         makes the reader's schema: for each field the JSON type, not the output's type
4. Arrow          reads the text; where it stumbles it does not say over what: `Unreadable`
5. `kernels`      turn what was read into the output's columns, and mask the misfits
                  (`fixed_width`: a quick look at texts of one length, before patterns)
6. here           drops the rows with misfits, and says which documents are in the rest

Example. The field `at` is a timestamp, `n` an int. Of the three documents

    {"at": "2026-11-23T09:30:00Z", "n": 1}
    {"at": "yesterday", "n": 2}
    {"at": "2026-11-23T09:31:00Z", "n": NaN}

the third is left out in step 1, as Arrow would read NaN. The others are read as `at` string and
`n` int32. The kernel of timestamps casts `at` and masks "yesterday". What is returned is one row,
`[2026-11-23 09:30:00Z, 1]`, with the indices `[0]`. The row path then decides documents 1 and 2:
`bad_format` at `$.at`, and `not_json`.

Fields that Arrow's reader cannot read (maps, decimals right inside arrays, values of several JSON
types, fields with aliases, and nullable ones with another default than null) are decoded by the row
path's decoder, and their columns put beside the others. One unreadable document makes the whole
chunk `Unreadable`; `convert` then has the row decoder find it and tries once more without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.arrow_builder import columns_of
from pipeline.core.documents.columnar.arrow_json import Unreadable, read_table
from pipeline.core.documents.columnar.decimals import PLANS_KEPT, Spelling
from pipeline.core.documents.columnar.framing import exclude_nan_infinity, framed
from pipeline.core.documents.columnar.kernels import or_masks
from pipeline.core.documents.columnar.plan import is_readable, make_record_plan
from pipeline.core.documents.columnar.unexpected import Unexpected
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.documents.row_decoder import RowDecoder
from pipeline.core.documents.unknown import Census, Note
from pipeline.core.integers import mask_of
from pipeline.core.jsontext import SEAM
from pipeline.core.records import UnknownMembers
from pipeline.core.schema.types import Record, record_of

__all__ = ["ColumnarReader", "Columns", "Unreadable", "framed"]


class Columns(msgspec.Struct, frozen=True):
    """A column for each field of a record, and the indices of the documents in its rows."""

    columns: list[pa.Array]
    indices: Sequence[int]
    unknown: UnknownMembers = msgspec.field(default_factory=UnknownMembers)


class ColumnarReader:
    """Reads documents of one record type, all at once.

    Unknown members are counted as `census` says; without one they are not looked for.
    """

    def __init__(self, record: Record, census: Census | None = None) -> None:
        self._names = [field.name for field in record.fields]
        self._fields = tuple(field for field in record.fields if is_readable(field))
        all_readable = len(self._fields) == len(record.fields)
        self._others = None if all_readable else _OtherFields(record, census)
        self._rejects_unknown = record.rejects_unknown_fields and all_readable
        self._unexpected = Unexpected(census) if census and all_readable else None
        self._spelling = Spelling(self._fields)
        # One for each set of decimals that documents spell as numbers, which may be any.
        self._plan = lru_cache(maxsize=PLANS_KEPT)(partial(make_record_plan, self._fields))

    def read(
        self,
        documents: Sequence[bytes],
        indices: Sequence[int] | None = None,
        text: bytes | None = None,
    ) -> Columns:
        """Read what can be read at once, in the documents' order. Raises `Unreadable`.

        `indices` are of those to read, which are framed (see `framing`); `text` is theirs, joined.
        """
        if indices is None:
            indices = framed(documents)
        if text is None:
            text = _joined(documents, indices)
        joined = len(indices)
        numbers = self._spelling.as_numbers(documents, indices)
        indices = exclude_nan_infinity(documents, text, indices)
        indices = self._spelling.exclude_nonplain_decimals(documents, text, indices, numbers)
        structs: list[Any] = []
        note: Note | None = None
        if self._others is not None:
            indices, structs, note = self._others.decode(documents, indices)
        if len(indices) < joined:
            text = _joined(documents, indices)
        plan = self._plan(numbers)
        if self._unexpected is None:
            table = read_table(text, plan.schema, "error" if self._rejects_unknown else "ignore")
        else:
            table, note = self._unexpected.read(text, documents, indices, plan.schema)
        read = _arrays(table, len(indices), len(plan.schema))
        columns, misfits = plan.finish(read)
        if self._others is not None:
            misfits = or_masks(misfits, self._others.add_to(columns, structs))
        in_order = [columns[name] for name in self._names]
        if misfits is not None and pc.any(misfits).as_py():
            fits = pc.invert(misfits)
            indices = pa.array(indices, pa.int32()).filter(fits).to_pylist()
            in_order = [column.filter(fits) for column in in_order]
        unknown = UnknownMembers()
        if note is not None:
            note(documents, indices, unknown)
        return Columns(in_order, indices, unknown)


def _arrays(table: pa.Table, rows: int, columns: int) -> list[pa.Array]:
    """Return the first columns of what was read, if it is of so many documents."""
    if table.num_rows != rows:
        raise Unreadable
    return [
        column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        for column in table.columns[:columns]
    ]


def _joined(documents: Sequence[bytes], indices: Sequence[int]) -> bytes:
    if len(indices) == len(documents):
        return SEAM.join(documents)
    return SEAM.join([documents[index] for index in indices])


class _OtherFields:
    """The fields of a record that Arrow's reader cannot read, by the row path's decoder."""

    def __init__(self, record: Record, census: Census | None) -> None:
        fields = tuple(field for field in record.fields if not is_readable(field))
        self._names = {field.name for field in fields}
        self._census = census
        # To reject unknown fields, the decoder has to know all of the record's keys.
        self._record = (
            record
            if record.rejects_unknown_fields
            else record_of(fields, rejects_unknown_fields=False)
        )
        self._decoder = RowDecoder(self._record)

    @cached_property
    def _closed(self) -> Callable[[bytes], Any]:
        """Decodes these fields of a document, and refuses one with unknown members."""
        assert self._census is not None  # noqa: S101 - see `decode`
        closed = self._census.closed_by_key(frozenset(self._names))
        return _keeping(self._record.json_type.__struct_fields__, closed.decode)

    def decode(
        self, documents: Sequence[bytes], indices: Sequence[int]
    ) -> tuple[Sequence[int], list[Any], Note | None]:
        """Decode the documents of these indices; return the accepted ones, and their structs.

        The last is for what is unknown in them.
        """
        texts, note = [documents[index] for index in indices], None
        if self._census is None:
            structs, rejected = self._decoder.decode(texts)
        else:
            structs, rejected, suspects = self._decoder.decode_closed(texts, self._closed)
            note = self._census.note_of(indices[number] for number in suspects)
        if not rejected:
            return indices, structs, note
        pairs = zip(indices, structs, strict=True)
        accepted = [index for index, struct in pairs if struct is not None]
        return accepted, [struct for struct in structs if struct is not None], note

    def add_to(self, columns: dict[str, pa.Array], structs: list[Any]) -> pa.Array | None:
        """Add their columns; return the mask of the structs whose values do not fit."""
        violations = Violations()
        decoded = columns_of(self._record, structs, ValuePath(), violations)
        for field, column in zip(self._record.fields, decoded, strict=True):
            if field.name in self._names:
                columns[field.name] = column
        return mask_of(violations.by_row, len(structs)) if violations.by_row else None


def _keeping(names: Sequence[str], decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a decoder that keeps these members alone of each struct that `decode` returns.

    To keep all members of thousands of documents takes longer than to read them.
    """
    kept: Any = msgspec.defstruct("Kept", names, gc=False)
    members = attrgetter(*names)
    if len(names) == 1:
        return lambda document: kept(members(decode(document)))
    return lambda document: kept(*members(decode(document)))
