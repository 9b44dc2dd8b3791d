"""Documents of one dataset to an Arrow table with identity columns, and rejects.

The row path is the definition of what is accepted and of every value; the columnar path is an
accelerator before it. What the columnar path does not accept goes to the row path, document by
document, and the rows of both are put into the documents' order.
"""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.core.dataset import REST, Dataset
from pipeline.core.documents.arrow_builder import columns_of
from pipeline.core.documents.columnar import ColumnarReader, Columns, Unreadable, framed
from pipeline.core.documents.jsonpath import ValuePath, Violations
from pipeline.core.integers import integers, to_arrow
from pipeline.core.reasons import RejectStage
from pipeline.core.records import Chunk, Reject, Rows, UnknownMembers, Violation


def convert(chunk: Chunk, dataset: Dataset, *, fast: bool = True) -> tuple[Rows, list[Reject]]:
    """Convert the documents of a chunk; rows keep the documents' order.

    Without `fast`, or if the dataset has no reader, the row path reads all of them.
    """
    documents: Sequence[bytes] = chunk.payloads
    text = chunk.text
    if dataset.folding is not None:
        documents = dataset.folding.fold(documents)
        text = text if documents is chunk.payloads else None
    by_columns, rejected = _NOTHING, dict[int, Violation]()
    if fast and dataset.reader is not None and _are_many(documents, dataset):
        by_columns, rejected = _fast_columns(documents, text, dataset, dataset.reader)
    left: Sequence[int] = ()
    if len(by_columns.indices) + len(rejected) < len(chunk):
        settled = {*by_columns.indices, *rejected}
        left = [index for index in range(len(chunk)) if index not in settled]
    by_rows, violations = _exact_columns(documents, left, dataset)
    rejected |= violations
    read = _merged(by_columns, by_rows)
    own = dataset.reading.columns_of(read.columns)
    columns = [*_identity(chunk, read.indices), *_rest(dataset, read), *own]
    table = pa.Table.from_arrays(columns, schema=dataset.schema)
    rejects = [
        Reject.from_chunk(chunk, index, RejectStage.CONVERT, rejected[index], dataset.id)
        for index in sorted(rejected)
    ]
    index = to_arrow(integers(read.indices))
    return Rows.from_chunk(chunk, table, index, read.unknown), rejects


_NOTHING = Columns([], ())
_MANY_BYTES = 2**18  # in so many, even of one document, values are enough for the columnar path


def _are_many(documents: Sequence[bytes], dataset: Dataset) -> bool:
    """Tell whether the columnar path is faster, in spite of its start."""
    return len(documents) >= dataset.fewest_by_columns or sum(map(len, documents)) >= _MANY_BYTES


def _fast_columns(
    documents: Sequence[bytes], text: bytes | None, dataset: Dataset, reader: ColumnarReader
) -> tuple[Columns, dict[int, Violation]]:
    """Read at once what can be, by columns; what is not returned is left to `_exact_columns`.

    Where a document blocks the reader, the row decoder finds those that it rejects, and the reader
    tries once more without them.
    """
    indices = framed(documents) if text is None else range(len(documents))
    try:
        return reader.read(documents, indices, text), {}
    except Unreadable:
        rejected = dataset.decoder.find_violations(documents, indices)
    if not rejected:
        return _NOTHING, {}
    good = [index for index in indices if index not in rejected]
    try:
        return reader.read(documents, good), rejected
    except Unreadable:
        return _NOTHING, rejected


def _exact_columns(
    documents: Sequence[bytes], indices: Sequence[int], dataset: Dataset
) -> tuple[Columns, dict[int, Violation]]:
    """Read these documents one by one; return the violations of the rejected, by their index."""
    texts, suspects = [documents[index] for index in indices], list[int]()
    if dataset.census is None:
        structs, rejected = dataset.decoder.decode(texts)
    else:
        closed = dataset.census.closed
        structs, rejected, suspects = dataset.decoder.decode_closed(texts, closed.decode)
    good = [number for number, struct in enumerate(structs) if struct is not None]
    violations = Violations()
    columns = columns_of(
        dataset.reading.record, [structs[number] for number in good], ValuePath(), violations
    )
    rejected |= {good[row]: violation for row, violation in violations.by_row.items()}
    if violations.by_row:
        fits = pa.array([row not in violations.by_row for row in range(len(good))], pa.bool_())
        columns = [column.filter(fits) for column in columns]
        good = [number for number in good if number not in rejected]
    by_index = {indices[number]: violation for number, violation in rejected.items()}
    unknown = UnknownMembers()
    if dataset.census is not None:
        stored = (indices[number] for number in suspects if number not in rejected)
        dataset.census.note_all(documents, stored, unknown)
    return Columns(columns, [indices[number] for number in good], unknown), by_index


def _merged(by_columns: Columns, by_rows: Columns) -> Columns:
    """Bring the rows of both paths into the documents' order."""
    if not by_columns.indices or not by_rows.indices:
        # Without rows `by_rows` still has one (empty) column per field.
        return by_columns if by_columns.indices else by_rows
    indices = [*by_columns.indices, *by_rows.indices]
    order = sorted(range(len(indices)), key=indices.__getitem__)
    columns = [
        pa.concat_arrays(pair).take(pa.array(order, pa.int32()))
        for pair in zip(by_columns.columns, by_rows.columns, strict=True)
    ]
    by_columns.unknown.merge(by_rows.unknown)
    return Columns(columns, [indices[position] for position in order], by_columns.unknown)


def _rest(dataset: Dataset, read: Columns) -> list[pa.Array]:
    """The column of what no other column has, if the dataset keeps it."""
    if dataset.census is None or not dataset.census.keeps:
        return []
    rest = read.unknown.rest
    if not rest:
        return [pa.nulls(len(read.indices), REST.type)]
    return [pa.array([rest.get(index) for index in read.indices], REST.type)]


def _identity(chunk: Chunk, good: Sequence[int]) -> list[pa.Array]:
    """The columns that say which stream record, and which document of it, each row came from."""
    provenance, batch = chunk.provenance, chunk.provenance.batch
    units = to_arrow(chunk.unit)
    if len(good) < len(chunk):
        units = units.take(to_arrow(integers(good)))
    record = to_arrow(provenance.record).take(units)
    numbers = pa.array([record.sequence_number for record in batch.records], pa.string())
    arrivals = pa.array(
        [record.arrived_at for record in batch.records], pa.timestamp("us", tz="UTC")
    )
    return [
        pa.repeat(pa.scalar(batch.source, pa.string()), len(good)),
        numbers.take(record),
        to_arrow(provenance.sub).take(units),
        to_arrow(provenance.document).take(units),
        arrivals.take(record),
    ]
