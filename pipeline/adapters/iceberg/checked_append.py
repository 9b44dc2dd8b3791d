"""An append that holds only on what it was checked against, and mends two faults of pyiceberg.

pyiceberg 0.12 appends again onto whatever somebody else committed meanwhile. That is right for rows
which are new whatever the table holds; ours would be there twice. And with its retries off, it
deletes the manifests of a commit that landed while its answer was lost: nobody can read the table
any more. So its retries are on, as they look whether the commit landed; its cleaning is off, and
before a commit is repeated we look whether what came between may have one of our rows.
"""

from collections.abc import Sequence
from typing import Any, Final

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import SetPropertiesUpdate
from pyiceberg.table.update.snapshot import _MergeAppendFiles

from pipeline.core.lake.spans import Ranges, Span, spans_meet, spans_text

RANGES: Final = "pipeline.ranges"
"""The table's property that says for each source which of its rows the table may hold."""
SEQUENCE: Final = "pipeline.sequence"
"""The table's property that says up to which snapshot the ranges are known, by its number."""
COMMIT: Final = "pipeline.commit"
SPAN: Final = "pipeline.span"
"""Of a snapshot's summary: the spans of the rows that it added."""
REWRITES: Final = frozenset({Operation.OVERWRITE, Operation.REPLACE, Operation.DELETE})
"""What others may do meanwhile: none of it adds a row. See L5."""


class CheckedAppend(_MergeAppendFiles):
    """Appends data files whose rows have these spans."""

    def __init__(
        self,
        transaction: Transaction,
        commit: str,
        base: Ranges,
        spans: Sequence[Span],
        found: Sequence[Span],
    ) -> None:
        """Append within a transaction.

        `base` is what is known of its table, and in `found` are the ranges of those of the spans'
        sources of which the table has rows.
        """
        properties = {COMMIT: commit}
        text = spans_text(spans)
        if text is not None:
            properties[SPAN] = text
        super().__init__(
            operation=Operation.APPEND,
            transaction=transaction,
            io=transaction._table.io,  # noqa: SLF001 - see the module
            snapshot_properties=properties,
        )
        self._spans = spans
        self._found = found
        self._began_at = last_number(transaction.table_metadata)
        self._set_ranges(base, ())

    def _set_ranges(self, ranges: Ranges, added: Sequence[Span]) -> None:
        """Have the transaction write the ranges of its parent, with all rows since in them."""
        transaction = self._transaction
        # At once: of two steps, the first might leave a source out, and the second begin it anew.
        now = ranges.widened([*self._found, *added, *self._spans])
        sequence = last_number(transaction._table.metadata) + 1  # noqa: SLF001
        update = SetPropertiesUpdate(updates={RANGES: now.text(), SEQUENCE: str(sequence)})
        others = [each for each in transaction._updates if not _is_of_ranges(each)]  # noqa: SLF001
        transaction._updates = (*others, update)  # noqa: SLF001

    def _clean_all_uncommitted(self) -> None:
        """Leave everything: a commit that is said to have failed may have landed."""

    def _validate_concurrency(self) -> None:
        """Raise `CommitFailedException` where what came between may have a row of ours."""
        window = self._commit_window
        if window is None or window.is_empty():
            return
        table = self._transaction._table  # noqa: SLF001
        base = None if window.base is None else window.base.snapshot_id
        snapshot, added = window.head, list[Span]()
        while snapshot is not None and snapshot.snapshot_id != base:
            added += self._added_by(snapshot)
            parent, oldest = snapshot.parent_snapshot_id, snapshot
            snapshot = None if parent is None else table.snapshot_by_id(parent)
            # Where those before it were expired, pyiceberg's snapshot has no parent, as the first.
            is_first = base is None and oldest.sequence_number == self._began_at + 1
            if snapshot is None and not is_first:
                message = "The history since then was expired, or the table was rolled back."
                raise CommitFailedException(message)
        # What was known when the commit began is older than what is there now.
        now = Ranges.read(table.metadata.properties.get(RANGES))
        self._set_ranges(now, added)

    def _added_by(self, snapshot: Snapshot) -> list[Span]:
        """Return what another commit added of our sources; raise if that may be ours."""
        summary = snapshot.summary
        if summary is not None and summary.operation in REWRITES:
            return []
        text = None if summary is None else summary.additional_properties.get(SPAN)
        if spans_meet(text, self._spans):
            message = "Rows were added meanwhile that may be the same."
            raise CommitFailedException(message)
        others = Ranges.read(text)
        found = (others.span_of(source) for source in {span.source for span in self._spans})
        return [span for span in found if span is not None]


def _is_of_ranges(update: Any) -> bool:
    return isinstance(update, SetPropertiesUpdate) and RANGES in update.updates


def last_number(metadata: TableMetadata) -> int:
    """Return the number of a table's newest snapshot; version 1 of the format has none."""
    found: int = getattr(metadata, "last_sequence_number", 0)
    return found
