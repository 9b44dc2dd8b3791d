"""The columnar path: all documents of a chunk at once, read by Arrow's JSON reader.

It only accelerates. What it takes, the row path takes too, with equal values; what it does not
take, the row path decides, document by document. So it may give up wherever it likes: on a
document that Arrow's reader might misread (framing.py), on a value that may not fit (vectors.py),
and on everything where the reader stumbles, which does not say over what.

framing.py   which documents may be read together
decimals.py  how the documents spell decimals
places.py    from what the reader read to the output's columns, place by place
vectors.py   the same for scalars: `values` for whole columns
strides.py   a quick look at texts that are all of one length
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pipeline.core.documents.arrow_builder import columns_of
from pipeline.core.documents.columnar.decimals import Spelling
from pipeline.core.documents.columnar.framing import exclude_nan_infinity, framed
from pipeline.core.documents.columnar.kernels import either, mask_from_indices
from pipeline.core.documents.columnar.plan import Plan, is_readable
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.documents.row_decoder import RowDecoder
from pipeline.core.jsontext import SEAM
from pipeline.core.schema.types import Record, record_of


class Unreadable(Exception):
    """Arrow's reader stumbled over one of the documents."""


class Columns(msgspec.Struct, frozen=True):
    """A column for each field of a record, and the indices of the documents in its rows."""

    columns: list[pa.Array]
    taken: Sequence[int]


class ColumnarReader:
    """Reads documents of one record type, all at once."""

    def __init__(self, record: Record) -> None:
        self._names = [of.name for of in record.fields]
        self._fields = tuple(of for of in record.fields if is_readable(of.type))
        all_readable = len(self._fields) == len(record.fields)
        self._others = None if all_readable else _Others(record)
        self._unknown = "error" if record.closed and all_readable else "ignore"
        self._spelling = Spelling(self._fields)
        self._plans: dict[frozenset[str], Plan] = {}

    def read(self, documents: Sequence[bytes], text: bytes | None = None) -> Columns:
        """Read what can be read at once, in the documents' order. Raises `Unreadable`.

        `text` is that of the chunk whose documents they all are, if it has one.
        """
        taken = framed(documents) if text is None else range(len(documents))
        text = text or _joined(documents, taken)
        joined = len(taken)
        numbers = self._spelling.as_numbers(documents)
        taken = exclude_nan_infinity(documents, text, taken)
        taken = self._spelling.exclude_nonplain_decimals(documents, text, taken, numbers)
        structs: list[Any] = []
        if self._others is not None:
            taken, structs = self._others.decode(documents, taken)
        if len(taken) < joined:
            text = _joined(documents, taken)
        plan = self._plan(numbers)
        built, misfits = plan.finish(self._read(text, len(taken), plan.schema))
        if self._others is not None:
            misfits = either(misfits, self._others.add_to(built, structs))
        columns = [built[name] for name in self._names]
        if misfits is None or not pc.any(misfits).as_py():
            return Columns(columns, taken)
        fits = pc.invert(misfits)
        left = pa.array(taken, pa.int32()).filter(fits).to_pylist()
        return Columns([of.filter(fits) for of in columns], left)

    def _read(self, text: bytes, rows: int, schema: pa.Schema) -> list[pa.Array]:
        try:
            table = pj.read_json(
                pa.BufferReader(text),
                # One block: a document may have several lines.
                read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
                parse_options=pj.ParseOptions(
                    explicit_schema=schema, unexpected_field_behavior=self._unknown
                ),
            )
        except pa.ArrowInvalid:
            raise Unreadable from None
        if table.num_rows != rows:
            raise Unreadable
        return [of.chunk(0) if of.num_chunks == 1 else of.combine_chunks() for of in table.columns]

    def _plan(self, numbers: frozenset[str]) -> Plan:
        if numbers not in self._plans:
            self._plans[numbers] = Plan.of(self._fields, numbers)
        return self._plans[numbers]


def _joined(documents: Sequence[bytes], indices: Sequence[int]) -> bytes:
    if len(indices) == len(documents):
        return SEAM.join(documents)
    return SEAM.join([documents[index] for index in indices])


class _Others:
    """The fields of a record that Arrow's reader cannot read, by the row path's decoder."""

    def __init__(self, record: Record) -> None:
        fields = tuple(of for of in record.fields if not is_readable(of.type))
        self._names = {of.name for of in fields}
        # A closed record has to know all of its keys to refuse the others.
        self._record = record if record.closed else record_of(fields, closed=False)
        self._decoder = RowDecoder(self._record)

    def decode(
        self, documents: Sequence[bytes], taken: Sequence[int]
    ) -> tuple[Sequence[int], list[Any]]:
        """Decode the documents of these indices; return those it takes, and their structs."""
        structs, refused = self._decoder.decode([documents[index] for index in taken])
        if not refused:
            return taken, structs
        left = [index for index, struct in zip(taken, structs, strict=True) if struct is not None]
        return left, [struct for struct in structs if struct is not None]

    def add_to(self, built: dict[str, pa.Array], structs: list[Any]) -> pa.Array | None:
        """Add their columns; return the mask of the structs whose values do not fit."""
        faults = Violations()
        columns = columns_of(self._record, structs, ValuePath(), faults)
        for of, made in zip(self._record.fields, columns, strict=True):
            if of.name in self._names:
                built[of.name] = made
        return mask_from_indices(faults.by_row, len(structs)) if faults.by_row else None
