"""A transaction that puts its metadata together once, and not at each look."""

from typing import Any

from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata


class RememberingTransaction(Transaction):
    """What pyiceberg has, which copies all of a table's snapshots some twenty times a commit."""

    def __init__(self, table: Table) -> None:
        """Change `table`."""
        super().__init__(table)
        self._made: tuple[Any, Any, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """Return the table's metadata with what was staged so far."""
        base, updates = self._table.metadata, self._updates
        if self._made is None or self._made[0] is not base or self._made[1] is not updates:
            self._made = base, updates, super().table_metadata
        return self._made[2]
