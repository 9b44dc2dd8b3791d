"""What one commit takes up: objects, in the order of their streams, to rows that are new."""

from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.iceberg.table import DataFile, LakeTable
from pipeline.adapters.landing import Version
from pipeline.core.census import Census
from pipeline.core.census_table import census_table
from pipeline.core.lake.identities import distinct, identities_of, without
from pipeline.core.lake.schemas import fitted
from pipeline.core.lake.spans import Span
from pipeline.lake.reader import LandedObject
from pipeline.lake.writer import TableWriter, WriterLimits

_CHUNK_BYTES: Final = 16 * 2**20
_CHUNK_OBJECTS: Final = 2_000
_MOST_SEEN: Final = 1_000_000
"""Identities of one group that are kept; a larger group is committed in several goes."""


class CommitBatch:
    """Collects the rows of one commit. To be used in a `with`, as its writer is.

    Objects come in groups. Rows of different groups are different rows; within one, the first row
    of each identity stays, the objects of the highest schema version first. All is looked at in
    chunks, each of them of many small groups, or of a stretch of a large one.
    """

    def __init__(
        self, table: LakeTable, forgotten: LakeTable | None, commit: str, limits: WriterLimits
    ) -> None:
        """Collect rows for `table` that it does not have, and that were not forgotten."""
        self.table = table
        self.commit = commit
        self.found: dict[str, Span | None] = {}
        self.spans: list[Span] = []
        self.versions: list[Version] = []
        self.duplicates = 0
        self.is_full = False
        self._forgotten = forgotten
        self._ranges = table.ranges()
        self._fitting: pa.Schema | None = None
        self._group: list[LandedObject] = []
        self._chunk: list[LandedObject] = []
        self._chunk_bytes = 0
        self._seen: list[pa.Table] = []
        self._ledger: list[tuple[str, Census]] = []
        self._writer = TableWriter(table, commit, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._writer.__exit__(*details)

    @property
    def objects(self) -> int:
        """How many objects were taken."""
        return len(self.versions) + len(self._chunk) + len(self._group)

    @property
    def rows(self) -> int:
        """How many rows are new."""
        return self._writer.rows

    def add(self, landed: LandedObject) -> None:
        """Take an object of the present group. Raises `DoesNotFit` where the table cannot."""
        schema = landed.rows.schema
        if self._fitting is None or not schema.equals(self._fitting):
            fitted(schema.empty_table(), self.table.schema)
            self._fitting = schema
        self._group.append(landed)
        self._chunk_bytes += landed.rows.nbytes
        if self._chunk_bytes >= _CHUNK_BYTES:
            self._end_chunk(goes_on=True)

    def end_group(self) -> None:
        """Say that no object to come has a row of those before."""
        self._move_group()
        if self._seen or len(self._chunk) >= _CHUNK_OBJECTS:
            self._end_chunk(goes_on=False)
        self._seen = []

    def end(self) -> None:
        """Say that no object will come."""
        self._end_chunk(goes_on=False)

    def files(self) -> list[DataFile]:
        """Write what is left; return the files of the commit."""
        return self._writer.finish()

    def known_ranges(self) -> list[Span]:
        """Return the ranges of those of the sources of which the table has rows."""
        return [span for span in self.found.values() if span is not None]

    def write_ledger(self, uri: str) -> None:
        """Write what the objects said of their batches, below the URI of the ledger.

        Objects of before there was a census said nothing.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(census_table(self._ledger), sink, compression="zstd")
        segment = f"{uri}/{self.commit}.parquet"
        self.table.io.files(segment).create(segment, sink.getvalue().to_pybytes())

    # ------------------------------------------------------------------------------ in chunks

    def _move_group(self) -> None:
        self._chunk += sorted(
            self._group,
            key=lambda landed: (-landed.origin.version, landed.version.key),
        )
        self._group = []

    def _end_chunk(self, *, goes_on: bool) -> None:
        """Write what is new in a chunk; whether its last group `goes_on` is what is kept for it."""
        self._move_group()
        taken, self._chunk, self._chunk_bytes = self._chunk, [], 0
        if not taken:
            return
        rows = self._fitted(taken)
        count = rows.num_rows
        rows = without(distinct(rows), self._seen)
        if goes_on:
            self._seen.append(identities_of(rows))
            self.is_full = sum(table.num_rows for table in self._seen) >= _MOST_SEEN
        spans = [each.origin.span for each in taken]
        rows = self._new(rows, spans)
        self.duplicates += count - rows.num_rows
        self._writer.add(rows)
        self._enter(taken)

    def _fitted(self, taken: list[LandedObject]) -> pa.Table:
        """Return the rows of objects as the table has them: those of one schema at once."""
        found, alike = list[pa.Table](), list[pa.Table]()
        for landed in taken:
            if alike and not landed.rows.schema.equals(alike[0].schema):
                found.append(fitted(pa.concat_tables(alike).combine_chunks(), self.table.schema))
                alike = []
            alike.append(landed.rows)
        found.append(fitted(pa.concat_tables(alike).combine_chunks(), self.table.schema))
        return pa.concat_tables(found)

    def _new(self, rows: pa.Table, spans: list[Span]) -> pa.Table:
        """Return the rows that the table does not have, and that were not forgotten."""
        suspicious = [span for span in spans if self._may_be_there(span)]
        for span in _hulls(suspicious):
            rows = without(rows, self.table.identities(span.source, span))
        if self._forgotten is not None:
            for span in _hulls(spans):
                rows = without(rows, self._forgotten.identities(span.source, span))
        return rows

    def _may_be_there(self, span: Span) -> bool:
        """Tell whether the table may have rows of a span; look, where nothing is known."""
        source = span.source
        if source not in self.found:
            known = self._ranges.span_of(source)
            self.found[source] = known if known is not None else self.table.range_of(source)
        found = self.found[source]
        return found is not None and found.meets(span)

    def _enter(self, taken: list[LandedObject]) -> None:
        for landed in taken:
            self.spans.append(landed.origin.span)
            self.versions.append(landed.version)
            census = Census.from_bytes((landed.origin.census or "").encode())
            if census is not None:
                self._ledger.append((landed.version.key, census))


def _hulls(spans: list[Span]) -> list[Span]:
    """Return for each source the span that has all of its."""
    hulls: dict[str, Span] = {}
    for span in spans:
        known = hulls.get(span.source, span)
        first, last = min(known.first, span.first), max(known.last, span.last)
        hulls[span.source] = Span(span.source, first, last)
    return list(hulls.values())
