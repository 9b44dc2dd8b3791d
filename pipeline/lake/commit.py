"""The committer: landing objects to rows of a table, each identity once.

What is written, in this order; a run may end between any two of them, and the next one goes on:

    data files, the ledger segment, manifests and metadata    nobody refers to them yet
    the commit                                                the catalog's pointer moves
    landing objects are deleted                               each only as the version that was read

That rows are in a table once rests on a check of identities against it, and on a commit that holds
only on the version that was checked. The table's ranges and the objects' spans only tell where
nothing needs to be checked.
"""

import contextlib
import math
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from pipeline.adapters.iceberg.catalogs import Conflict, LakeCatalog
from pipeline.adapters.iceberg.table import (
    LakeTable,
    create_table,
    evolve_table,
    load_table,
)
from pipeline.adapters.landing import Landing, Version
from pipeline.core.dataset import Dataset
from pipeline.core.errors import StoreRefused, StoreUnavailable
from pipeline.core.lake.schemas import DoesNotFit, fitted, merged, table_schema
from pipeline.core.lake_settings import FORGOTTEN_TABLE
from pipeline.lake.batch import CommitBatch
from pipeline.lake.reader import LandedObject, Refused, groups, listed
from pipeline.lake.writer import WriterLimits

_MOST_CONFLICTS: Final = 20
_LONGEST_WAIT: Final = 0.2  # seconds, before the work begins anew
_MOST_IDLE: Final = 3  # times in which nothing that is listed can be read


class CommitLimits(msgspec.Struct, frozen=True):
    """How much one commit takes up, and how: bytes of landing objects, their number, threads."""

    most_bytes: int = 4 * 2**30
    most_objects: int = 20_000
    reserve: float = 60.0
    """Seconds of the time that is left, in which what was read is committed."""
    threads: int = 16
    most_snapshots: int = 120
    """Beyond it, the oldest are expired, so that a commit costs the same after a year."""
    kept_snapshots: int = 60
    writer: WriterLimits = WriterLimits()


class Outcome(msgspec.Struct):
    """What a run did with one dataset. `lag` is the age of the oldest object it found, in s."""

    dataset: str
    commits: int = 0
    objects: int = 0
    rows: int = 0
    duplicates: int = 0
    files: int = 0
    conflicts: int = 0
    lag: float = 0.0
    finished: bool = False
    """Whether nothing was left to commit."""
    refused: list[Refused] = msgspec.field(default_factory=list)


class Committer:
    """Commits what has landed of one dataset."""

    def __init__(
        self,
        dataset: Dataset,
        catalog: LakeCatalog,
        landing: Landing,
        ledger: str,
        limits: CommitLimits | None = None,
    ) -> None:
        """Commit from `landing` to the dataset's table; `ledger` is the URI of its segments."""
        self._dataset = dataset
        self._catalog = catalog
        self._landing = landing
        self._ledger = ledger
        self._limits = limits or CommitLimits()
        self._schema = table_schema(dataset.schema)
        self._refused: dict[tuple[str, str], Refused] = {}
        self._shards: dict[str, str] = {}
        self.outcome = Outcome(dataset.name)

    def run(
        self,
        remaining: Callable[[], float] = lambda: math.inf,
        now: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> Outcome:
        """Commit until nothing is left, or not enough of the `remaining` seconds.

        Raises `StoreError` for what a later run may mend, or an operator has to.
        """
        outcome, idle = self.outcome, 0
        while True:
            versions = self._listed()
            if versions:
                oldest = min(version.modified for version in versions.values())
                outcome.lag = max(outcome.lag, now() - oldest)
            if not versions:
                outcome.finished = True
                return outcome
            if outcome.commits and remaining() < 2 * self._limits.reserve:
                return outcome
            try:
                idle = 0 if self._commit(versions, remaining) else idle + 1
                if idle >= _MOST_IDLE:
                    raise StoreUnavailable(self._unread(versions))
            except Conflict as conflict:
                outcome.conflicts += 1
                if outcome.conflicts >= _MOST_CONFLICTS:
                    message = (
                        f"The table of {self._dataset.name} changes faster than rows are committed "
                        f"to it ({conflict}); run it again when others have finished."
                    )
                    raise StoreUnavailable(message) from None
                wait(random.uniform(0, _LONGEST_WAIT))  # noqa: S311 - to be out of step

    def _listed(self) -> dict[str, Version]:
        """Return what there is to commit; what cannot be is kept apart."""
        versions, refused = listed(self._landing, self._dataset.name)
        for each in refused:
            self._refuse(each)
        return {
            key: version
            for key, version in versions.items()
            if (key, version.tag) not in self._refused
        }

    def _refuse(self, refused: Refused) -> None:
        key = (refused.version.key, refused.version.tag)
        if key not in self._refused:
            self._refused[key] = refused
            self.outcome.refused.append(refused)

    # ----------------------------------------------------------------------------- one commit

    def _commit(self, versions: dict[str, Version], remaining: Callable[[], float]) -> bool:
        """Commit what there is, or as much as a commit takes; return whether anything changed."""
        known, refused = self._schema, len(self._refused)
        table = self._table()
        with CommitBatch(
            table, self._forgotten(table), uuid.uuid4().hex, self._limits.writer
        ) as batch:
            self._fill(batch, versions, remaining)
            batch.end()
            files = batch.files()
            if files:
                batch.write_ledger(self._ledger)
                table.append(files, batch.commit, batch.spans, batch.known_ranges())
                self.outcome.commits += 1
                with contextlib.suppress(Conflict):
                    table.expire(self._limits.most_snapshots, self._limits.kept_snapshots)
            self._delete(batch.versions)
            self.outcome.objects += len(batch.versions)
            self.outcome.rows += batch.rows
            self.outcome.duplicates += batch.duplicates
            self.outcome.files += len(files)
            done = bool(batch.versions)
        return done or self._schema is not known or len(self._refused) > refused

    def _unread(self, versions: dict[str, Version]) -> str:
        key = min(versions)
        return (
            f"{len(versions):,} landing objects of {self._dataset.name} are listed, and not there "
            f"when they are read, {key} for one; run it again, and compare what the store lists."
        )

    def _fill(
        self, batch: CommitBatch, versions: dict[str, Version], remaining: Callable[[], float]
    ) -> None:
        size, limits = 0, self._limits
        # Closed at once, as threads read ahead for it.
        with contextlib.closing(
            groups(self._landing, versions, self._dataset.name, limits.threads)
        ) as grouped:
            for group in grouped:
                for each in group:
                    if not self._take(batch, each) or batch.is_full:
                        return
                    size += each.version.size
                batch.end_group()
                enough = size >= limits.most_bytes or batch.objects >= limits.most_objects
                if enough or remaining() < limits.reserve:
                    return

    def _is_misnamed(self, landed: LandedObject) -> bool:
        """Tell whether names show two shards for one source: groups are made by that shard."""
        shard = landed.name.shard
        return self._shards.setdefault(landed.origin.span.source, shard) != shard

    def _take(self, batch: CommitBatch, landed: LandedObject | Refused) -> bool:
        """Add an object; return False if the table's columns have to be changed first."""
        if isinstance(landed, Refused):
            self._refuse(landed)
            return True
        if self._is_misnamed(landed):
            why = "its name shows another shard than that of another object of its source"
            self._refuse(Refused(landed.version, why))
            return True
        try:
            batch.add(landed)
        except DoesNotFit as error:
            try:
                wider = merged(self._schema, table_schema(landed.rows.schema))
                batch.table.check_columns(merged(batch.table.schema, wider), landed.rows.schema)
            except DoesNotFit:
                self._refuse(Refused(landed.version, str(error)))
                return True
            self._schema = wider
            return False
        return True

    def _delete(self, versions: list[Version]) -> None:
        """Delete what is in the table, each only as the version that was read."""
        with ThreadPoolExecutor(self._limits.threads, thread_name_prefix="delete") as pool:
            try:
                for _ in pool.map(self._landing.remove, versions):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)

    # ------------------------------------------------------------------------------- the table

    def _table(self) -> LakeTable:
        """Load the table, with all columns that are known; make it, if there is none."""
        settings = self._dataset.lake
        if settings is None:
            message = f"schemas/{self._dataset.name}/dataset.toml has no [lake]."
            raise StoreRefused(message)
        table = load_table(self._catalog, self._dataset.name)
        if table is None:
            return create_table(self._catalog, self._dataset.name, self._schema, settings)
        try:
            fitted(self._schema.empty_table(), table.schema)
        except DoesNotFit:
            return self._evolved(table)
        return table

    def _evolved(self, table: LakeTable) -> LakeTable:
        try:
            wanted = merged(table.schema, self._schema)
            table.check_columns(wanted, self._schema)
        except DoesNotFit as error:
            message = (
                f"{table.where} cannot have the columns of schemas/{self._dataset.name}: {error}. "
                "Give the new schema a dataset of its own."
            )
            raise StoreRefused(message) from None
        evolve_table(table, wanted)
        return load_table(self._catalog, self._dataset.name) or table

    def _forgotten(self, table: LakeTable) -> LakeTable | None:
        """Load the identities that were deleted on purpose, if there are any."""
        if not table.has_forgotten:
            return None
        return load_table(self._catalog, f"{self._dataset.name}{FORGOTTEN_TABLE}")
