"""A commit that puts files in the place of others, and adds no row."""

from collections.abc import Callable, Sequence
from typing import Any

from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _OverwriteFiles


class CheckedRewrite(_OverwriteFiles):
    """Replaces data files, if all of them are still there when it is committed.

    Where one is not, pyiceberg refuses it by itself; only its cleaning is off, see
    `checked_append`.
    """

    def __init__(
        self, transaction: Transaction, old: Sequence[DataFile], new: Sequence[DataFile]
    ) -> None:
        """Put `new` in the place of `old`."""
        io: Any = transaction._table.io  # noqa: SLF001 - see `checked_append`
        super().__init__(operation=Operation.OVERWRITE, transaction=transaction, io=io)
        for file in old:
            self.delete_data_file(file)
        for file in new:
            self.append_data_file(file)

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        # pyiceberg's notes in itself which manifest it looks at, and its threads share it: files
        # that are there would now and then be missed.
        build = super()._build_manifest_evaluator

        def evaluate(manifest: ManifestFile) -> bool:
            return build(spec_id)(manifest)

        return evaluate

    def _clean_all_uncommitted(self) -> None:
        """Leave everything: a commit that is said to have failed may have landed."""
