"""One history: batches land, committers run and die, others change the table; then it is judged."""

from __future__ import annotations

import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyiceberg.table
from pyiceberg.exceptions import CommitFailedException
from support import dataset

from pipeline.adapters.iceberg.catalogs import open_catalog
from pipeline.adapters.iceberg.file_io import use_s3
from pipeline.adapters.landing import MemoryLanding
from pipeline.core.errors import StoreError, StoreThrottled
from pipeline.lake.commit import CommitLimits, Committer
from pipeline.lake.reader import listed
from pipeline.lake.writer import WriterLimits

from .foreign import append_rows, compact, expire
from .landing import DAY, Lambda, PartialStore, Sources
from .reader import IcebergReader
from .stores import MemoryFiles, SteppedLanding

NAME = "things"
COLUMNS = ["_source", "_sequence_number", "_sub_sequence_number", "_document", "n", "country"]
FIELDS = ({"name": "n", "type": "long"}, {"name": "country", "type": "string"})
CONFIG = 'partition_by = ["date()", "country"]\nformats = ["parquet"]\n[lake]\n'
BY_COUNTRY = f'{CONFIG}partition_by = ["day()", "country"]\n'
_IN_MEMORY = Path("/dev/shm")
_MOST_STEPS = 40
_DEEPEST = 2


class LawBroken(AssertionError):
    """A law does not hold in a history; the message says which, of which seed."""


class Killed(BaseException):
    """A committer ends here, without a word."""


@dataclass
class Plan:
    """What happens to one committer, by the number of its step."""

    dies_at: int | None = None
    throttled_at: int | None = None
    loses_answers: float = 0.0
    meanwhile: dict[int, Callable[[], None]] = field(default_factory=dict)
    step: int = 0


class World:
    """A landing, a table, and those who work on them."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.landing = PartialStore()
        self.files = MemoryFiles()
        self.files.step = self.step
        self.sources = Sources(self.random)
        self.deliveries = self.sources.deliveries()
        self.datasets = self._datasets()
        self.catalog = open_catalog(f"sqlite:///{folder}/catalog.db", "s3://lake/tables")
        self.foreign_rows = 0
        self._plans: list[Plan] = []
        self._lambda = Lambda(self.landing)
        self._lose_answers(self.catalog.catalog)

    def _datasets(self) -> list[Any]:
        config = self.random.choice([CONFIG, BY_COUNTRY])
        made = dataset(*FIELDS, config=config, name=NAME)
        newer = dataset(
            *FIELDS, {"name": "more", "type": ["null", "int"]}, config=config, name=NAME
        )
        return [made, newer] if self.random.random() < 0.3 else [made]

    # ------------------------------------------------------------------------------ the steps

    def step(self, name: str) -> None:
        """Let happen what is planned for this step of whoever works just now."""
        if not self._plans:
            return
        plan = self._plans[-1]
        plan.step += 1
        if plan.step == plan.dies_at:
            self.counts[f"killed {name}"] += 1
            raise Killed
        if plan.step == plan.throttled_at:
            self.counts["throttled"] += 1
            message = "The store asks for fewer requests, in this history."
            raise StoreThrottled(message)
        action = plan.meanwhile.pop(plan.step, None)
        # In a thread of pyiceberg's pool, another one's commit could wait for that pool forever.
        if action is not None and threading.current_thread() is threading.main_thread():
            action()

    def _lose_answers(self, catalog: Any) -> None:
        commit_table = catalog.commit_table

        def commit(*arguments: Any) -> Any:
            self.step("before commit")
            response = commit_table(*arguments)
            plan = self._plans[-1] if self._plans else Plan()
            if self.random.random() < plan.loses_answers:
                self.counts["answer lost"] += 1
                if self.random.random() < 0.5:
                    message = "A conflict, with ourselves."
                    raise CommitFailedException(message)
                message = "no answer"
                raise ConnectionError(message)
            self.step("after commit")
            return response

        catalog.commit_table = commit

    # ----------------------------------------------------------------------------- who works

    def deliver(self) -> bool:
        """Let Lambda deliver the next batch; return whether there was one."""
        delivery = next(self.deliveries, None)
        if delivery is None:
            return False
        self.counts[f"delivered {delivery.kind}"] += 1
        self._lambda.invoke(delivery, self.random.choice(self.datasets))
        return True

    def commit(self) -> None:
        """Run a committer, to which anything may happen."""
        chance, plan = self.random, Plan()
        if chance.random() < 0.5:
            plan.dies_at = chance.randint(1, _MOST_STEPS)
        if chance.random() < 0.1:
            plan.throttled_at = chance.randint(1, _MOST_STEPS)
        plan.loses_answers = chance.choice([0, 0, 0.5])
        if len(self._plans) < _DEEPEST:
            actions: list[Callable[[], object]] = [self.deliver, self.deliver, self.commit]
            actions += [self.compact, self.expire]
            for _ in range(chance.randint(0, 3)):
                plan.meanwhile[chance.randint(1, _MOST_STEPS // 2)] = chance.choice(actions)  # type: ignore[assignment]  # what they return is not asked
        self.run(plan)

    def run(self, plan: Plan) -> None:
        """Run a committer as planned."""
        chance = self.random
        limits = CommitLimits(
            most_objects=chance.choice([1, 3, 1_000]),
            reserve=0,
            threads=1,
            writer=WriterLimits(group_rows=chance.choice([3, 1_000])),
        )
        committer = Committer(
            self.datasets[0],
            self.catalog,
            SteppedLanding(self.landing, self.step),
            "s3://lake/ledger",
            limits,
        )
        self.counts["committers"] += 1
        self._plans.append(plan)
        try:
            outcome = committer.run(now=lambda: 0.0, wait=lambda _: None)
        except Killed:
            self.counts["killed"] += 1
        except StoreError:
            self.counts["gave up"] += 1
        else:
            self.counts["conflicts"] += outcome.conflicts
            self.counts["duplicates"] += outcome.duplicates
            assert not outcome.refused, outcome.refused
        finally:
            self._plans.pop()

    def compact(self) -> None:
        """Let somebody else rewrite some files of the table."""
        self.foreign("compactions", lambda: compact(self.catalog, NAME, self.random))

    def expire(self) -> None:
        """Let somebody else expire all snapshots but the current one."""
        self.foreign("expiries", lambda: expire(self.catalog, NAME))

    def append(self) -> None:
        """Let somebody else append a row that is nobody's."""
        self.foreign_rows += self.foreign("appends", lambda: append_rows(self.catalog, NAME))

    def foreign(self, name: str, work: Callable[[], bool]) -> bool:
        """Let somebody work who knows nothing of us, undisturbed."""
        self._plans.append(Plan())
        try:
            worked = work()
        finally:
            self._plans.pop()
        self.counts[name] += worked
        return worked

    # ------------------------------------------------------------------------------ the judge

    def judge(self) -> None:
        """Raise `LawBroken` unless the table has what was sent, and the landing has nothing."""
        table = self.catalog.catalog.load_table(self.catalog.identifier(NAME))
        reader = IcebergReader(self.files.read)
        for snapshot in reader.snapshots(table.metadata_location):
            found = Counter(row[:4] for row in reader.rows(snapshot, COLUMNS) if row[0] != "them")
            twice = sum(count - 1 for count in found.values())
            if twice:
                raise self.broken(f"L1: {twice} rows are there twice in a snapshot")
        current = reader.current(table.metadata_location)
        rows = [] if current is None else reader.rows(current, COLUMNS)
        ours = Counter(row for row in rows if row[0] != "them")
        sent = Counter(self.sources.rows)
        if ours != sent:
            missing, more = (sent - ours).total(), (ours - sent).total()
            raise self.broken(f"{missing} rows are missing, and {more} too many")
        if len(rows) - ours.total() != self.foreign_rows:
            raise self.broken("rows of somebody else are gone")
        left, _ = listed(MemoryLanding(self.landing), NAME)
        if left:
            raise self.broken(f"{len(left)} landing objects were left")

    def broken(self, law: str) -> LawBroken:
        return LawBroken(f"seed {self.seed}: {law}. {dict(self.counts)}")


class _NoWaiting:
    """The time, without the waiting."""

    def __init__(self, real: Any) -> None:
        self.monotonic = real.monotonic

    def sleep(self, _: float) -> None:
        return None


@contextmanager
def world(seed: int) -> Iterator[World]:
    """Make a world, whose files are those of all tables meanwhile."""
    with (
        tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder,
        patch.object(pyiceberg.table, "time", _NoWaiting(pyiceberg.table.time)),  # type: ignore[attr-defined]  # as it is imported there
    ):
        made = World(seed, Path(folder))
        use_s3(made.files)
        try:
            yield made
        finally:
            use_s3(None)
            made.catalog.catalog.engine.dispose()  # type: ignore[attr-defined]  # of SQLite


def simulate(seed: int) -> Counter[str]:
    """Run the history of a seed to its end, and judge it; return how often what happened."""
    with world(seed) as made:
        chance = made.random
        while made.deliver():
            if chance.random() < 0.25:
                made.commit()
            if chance.random() < 0.04:
                chance.choice([made.compact, made.expire, made.append])()
        # It has to come to rest: nothing fails any more.
        for _ in range(3):
            made.run(Plan())
        made.judge()
        return made.counts


__all__ = ["DAY", "LawBroken", "Plan", "World", "simulate", "world"]
