"""Censuses as a table: what an audit asks, and what a ledger segment is.

A ledger segment is a Parquet file of this table, `_lake/ledger/{dataset}/{commit}.parquet` in the
output: the censuses of the landing objects that a commit has read, which are deleted after it. They
are facts about batches, so a segment of a commit that failed does no harm, and the same census may
be there any number of times. `object` is the key that it was read from.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from pipeline.core.census import Census

LEDGER = "_lake/ledger/"
"""Of the output: where ledger segments are, in a folder for each dataset."""
SCHEMA = pa.schema(
    [
        ("object", pa.string()),
        ("source", pa.string()),
        ("first_sequence_number", pa.string()),
        ("last_sequence_number", pa.string()),
        ("part", pa.int64()),
        ("record_count", pa.int64()),
        ("digest", pa.string()),
        ("arrived_from", pa.timestamp("us", "UTC")),
        ("arrived_to", pa.timestamp("us", "UTC")),
        ("documents", pa.map_(pa.string(), pa.int64())),
        ("dataset", pa.string()),
        ("version", pa.int64()),
        ("row_count", pa.int64()),
        ("reject_count", pa.int64()),
        ("drop_count", pa.int64()),
        ("object_count", pa.int64()),
    ]
)


def census_table(censuses: Iterable[tuple[str, Census]]) -> pa.Table:
    """Return censuses, each with the key of its object, as a table of `SCHEMA`."""
    return pa.Table.from_pylist([_row(key, census) for key, census in censuses], SCHEMA)


def ledger_key(dataset: str, commit: str) -> str:
    """Return the key of a commit's ledger segment, in the output."""
    return f"{LEDGER}{dataset}/{commit}.parquet"


def _row(key: str, census: Census) -> dict[str, Any]:
    return {
        "object": key,
        "source": census.source,
        "first_sequence_number": census.first,
        "last_sequence_number": census.last,
        "part": census.part,
        "record_count": census.records,
        "digest": census.digest,
        "arrived_from": census.arrived[0],
        "arrived_to": census.arrived[1],
        "documents": list(census.documents.items()),
        "dataset": census.dataset,
        "version": census.version,
        "row_count": census.rows,
        "reject_count": census.rejects,
        "drop_count": census.drops,
        "object_count": census.objects,
    }
