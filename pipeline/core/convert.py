"""Documents of one dataset to an Arrow table with identity columns, and rejects.

The row path is the definition of what is accepted and of every value. A faster path belongs
here, before it: whatever it does not take whole goes on to the row path, document by document.
"""

import pyarrow as pa

from pipeline.core.columns import columns_of
from pipeline.core.dataset import Dataset
from pipeline.core.errors import Stage
from pipeline.core.paths import Faults, Where
from pipeline.core.records import Chunk, Reject, Rows


def convert(chunk: Chunk, dataset: Dataset) -> tuple[Rows, list[Reject]]:
    """Convert the documents of a chunk; rows keep the documents' order."""
    structs, refused = dataset.decoder.decode(chunk.payloads)
    good = [index for index, struct in enumerate(structs) if struct is not None]
    faults = Faults()
    columns = columns_of(dataset.record, [structs[index] for index in good], Where(), faults)
    index = pa.array(good, pa.int32())
    table = pa.Table.from_arrays([*_identity(chunk, good), *columns], schema=dataset.schema)
    rows = Rows(chunk, table, index).without(list(faults.by_row))
    refused |= {good[row]: fault for row, fault in faults.by_row.items()}
    rejects = [
        Reject.of(chunk, index, Stage.CONVERT, refused[index], dataset.id)
        for index in sorted(refused)
    ]
    return rows, rejects


def _identity(chunk: Chunk, good: list[int]) -> list[pa.Array]:
    """The columns that tell which Kinesis record, and which part of it, each row came from."""
    positions, batch = chunk.positions, chunk.positions.batch
    units = pa.array([chunk.at[index] for index in good], pa.int64())
    record = pa.array(positions.record, pa.int32()).take(units)
    numbers = pa.array([of.sequence_number for of in batch.records], pa.string())
    arrivals = pa.array([of.arrived_at for of in batch.records], pa.timestamp("us", tz="UTC"))
    return [
        pa.repeat(pa.scalar(batch.source, pa.string()), len(good)),
        numbers.take(record),
        pa.array(positions.sub, pa.int64()).take(units),
        pa.array(positions.document, pa.int32()).take(units),
        arrivals.take(record),
    ]
