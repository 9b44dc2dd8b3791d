"""Each identity once: within what is read, and against what a table holds."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import IDENTITY
from pipeline.core.integers import INT64, to_arrow, up_to

NAMES = [field.name for field in IDENTITY]
_AT = "at"
_SCHEMA = pa.schema(list(IDENTITY))


def identities_of(rows: pa.Table) -> pa.Table:
    """Return the identity columns of a table, in one chunk each."""
    columns = [_one_chunk(rows.column(field.name).cast(field.type)) for field in IDENTITY]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    # Arrow copies the one that there is, too.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def distinct(rows: pa.Table) -> pa.Table:
    """Return the rows without those whose identity an earlier row has, in their order."""
    identities = identities_of(rows)
    if _rises(identities):
        return rows
    numbered = identities.append_column(_AT, _numbers(rows.num_rows))
    firsts = numbered.group_by(NAMES, use_threads=False).aggregate([(_AT, "min")])
    if firsts.num_rows == rows.num_rows:
        return rows
    return rows.take(_sorted(firsts.column(f"{_AT}_min")))


def without(rows: pa.Table, others: Iterable[pa.Table]) -> pa.Table:
    """Return the rows without those whose identity is in one of the others, in their order.

    The others are looked at one after another, and none is kept.
    """
    for other in others:
        if not rows.num_rows:
            return rows
        if other.num_rows:
            rows = _without(rows, identities_of(other))
    return rows


def _without(rows: pa.Table, there: pa.Table) -> pa.Table:
    numbered = identities_of(rows).append_column(_AT, _numbers(rows.num_rows))
    left = numbered.join(there, keys=NAMES, join_type="left anti", use_threads=False)
    if left.num_rows == rows.num_rows:
        return rows
    return rows.take(_sorted(left.column(_AT)))


def _rises(identities: pa.Table) -> bool:
    """Tell whether each identity comes after the one before it: then no two of them are the same.

    In which order does not matter. That of texts is what most objects are in, and to see it takes a
    tenth of the time of looking for equal ones.
    """
    count = identities.num_rows - 1
    after, same = pa.scalar(value=False), pa.scalar(value=True)
    for column in (identities.column(name).chunk(0) for name in NAMES if count > 0):
        before, behind = column.slice(0, count), column.slice(1)
        after = pc.or_(after, pc.and_(same, pc.greater(behind, before)))
        same = pc.and_(same, pc.equal(behind, before))
    return count < 1 or bool(pc.all(after).as_py())


def _numbers(count: int) -> pa.Array:
    return to_arrow(up_to(count, INT64))


def _sorted(numbers: pa.ChunkedArray) -> pa.Array:
    array = numbers.combine_chunks()
    return array.take(pc.sort_indices(array))


def sequence_numbers(rows: pa.Table) -> Iterator[int]:
    """Yield the sequence numbers of a table's rows, each once."""
    for value in pc.unique(rows.column("_sequence_number")):
        yield int(value.as_py())
