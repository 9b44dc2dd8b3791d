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

import msgspec
import pyarrow as pa
import pyiceberg.table
from pyiceberg.exceptions import CommitFailedException
from support import dataset

from pipeline.adapters.iceberg.catalogs import open_catalog
from pipeline.adapters.iceberg.file_io import use_s3
from pipeline.adapters.landing import MemoryLanding
from pipeline.core.errors import StoreError, StoreThrottled
from pipeline.lake.commit import CommitLimits, Committer
from pipeline.lake.forget import forget
from pipeline.lake.reader import listed
from pipeline.lake.rewrite import merge
from pipeline.lake.writer import WriterLimits

from .foreign import append_rows, compact, expire
from .landing import DAY, Delivery, Lambda, PartialStore, Sources
from .reader import IcebergReader
from .stores import MemoryFiles, SteppedLanding

NAME = "things"
LEDGER = "s3://lake/ledger"
COLUMNS = ["_source", "_sequence_number", "_sub_sequence_number", "_document", "n", "country"]
FIELDS = ({"name": "n", "type": "long"}, {"name": "country", "type": "string"})
CONFIG = 'partition_by = ["date()", "country"]\nformats = ["parquet"]\n[lake]\n'
BY_COUNTRY = f'{CONFIG}partition_by = ["day()", "country"]\n'
_IN_MEMORY = Path("/dev/shm")
_MOST_STEPS = 40
_NUMBERS = 10  # of which one's multiples are forgotten at a time
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
        self.delivered: list[Delivery] = []
        self.numbers: set[int] = set()
        self.forgotten: set[tuple[Any, ...]] = set()
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
        self.delivered.append(delivery)
        return True

    def deliver_again(self) -> None:
        """Deliver some of all that was, whole."""
        for delivery in self.random.sample(self.delivered, min(3, len(self.delivered))):
            whole = msgspec.structs.replace(delivery, fails_after=None)
            self._lambda.invoke(whole, self.random.choice(self.datasets))

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
            actions += [self.compact, self.expire, self.merge, self.forget]
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
            most_snapshots=chance.choice([1, 5, 20]),
            kept_snapshots=1,
            writer=WriterLimits(group_rows=chance.choice([3, 1_000])),
        )
        committer = Committer(
            self.datasets[0],
            self.catalog,
            SteppedLanding(self.landing, self.step),
            f"{LEDGER}/{NAME}",
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

    def merge(self) -> None:
        """Merge small files, which may be cut short."""
        self.work("merges", lambda: merge(self.catalog, NAME, least_files=2).before)

    def forget(self) -> None:
        """Delete every row of some `n` for good, which may be cut short."""
        number = self.random.randrange(_NUMBERS)
        self.numbers.add(number)
        self.work("forgotten", lambda: self._forget(number))

    def work(self, name: str, work: Callable[[], int]) -> None:
        """Let one of our own commands work, to which anything may happen."""
        chance, plan = self.random, Plan()
        if chance.random() < 0.5:
            plan.dies_at = chance.randint(1, _MOST_STEPS // 2)
        plan.loses_answers = chance.choice([0, 0, 0.5])
        if len(self._plans) < _DEEPEST:
            plan.meanwhile[chance.randint(1, _MOST_STEPS // 2)] = chance.choice(
                [self.commit, self.compact, self.expire]
            )
        self._plans.append(plan)
        try:
            self.counts[name] += work()
        except Killed:
            self.counts[f"killed in {name}"] += 1
        except StoreError:
            self.counts["gave up"] += 1
        finally:
            self._plans.pop()

    def _forget(self, number: int) -> int:
        chosen = list[tuple[Any, ...]]()

        def choose(rows: pa.Table) -> pa.Table:
            sources, values = rows["_source"].to_pylist(), rows["n"].to_pylist()
            ours = [
                source != "them" and value % _NUMBERS == number
                for source, value in zip(sources, values, strict=True)
            ]
            found = rows.filter(pa.array(ours, pa.bool_()))
            chosen.extend(zip(*(found[name].to_pylist() for name in COLUMNS[:4]), strict=True))
            return found

        count = forget(self.catalog, NAME, choose)
        self.forgotten.update(chosen)
        return count

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
        back = self.forgotten & {row[:4] for row in ours}
        if back:
            raise self.broken(f"{len(back)} forgotten rows are back")
        # What was to be forgotten, and was cut short, may be there or not.
        ours = Counter({row: count for row, count in ours.items() if not self._may_lack(row)})
        sent = Counter(row for row in self.sources.rows if not self._may_lack(row))
        if ours != sent:
            missing, more = (sent - ours).total(), (ours - sent).total()
            raise self.broken(f"{missing} rows are missing, and {more} too many")
        if sum(row[0] == "them" for row in rows) != self.foreign_rows:
            raise self.broken("rows of somebody else are gone")
        left, _ = listed(MemoryLanding(self.landing), NAME)
        if left:
            raise self.broken(f"{len(left)} landing objects were left")

    def _may_lack(self, row: Any) -> bool:
        return row[4] % _NUMBERS in self.numbers

    def rest(self) -> None:
        """Come to rest: nothing fails any more, and what was begun is done."""
        for _ in range(2):
            self.run(Plan())

    def forget_for_good(self) -> None:
        """Do all over what may have been cut short; then nothing of it is there."""
        for number in sorted(self.numbers):
            self._forget(number)

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


def simulate(seed: int, look: Callable[[World], None] | None = None) -> Counter[str]:
    """Run the history of a seed to its end, and judge it; return how often what happened.

    In the end, somebody may `look` at the world, and change it.
    """
    with world(seed) as made:
        chance = made.random
        while made.deliver():
            if chance.random() < 0.25:
                made.commit()
            if chance.random() < 0.06:
                others = [made.compact, made.expire, made.append, made.merge, made.forget]
                chance.choice(others)()
        made.rest()
        made.judge()
        if made.numbers:
            made.forget_for_good()
            made.deliver_again()
            made.rest()
            made.judge()
        if look is not None:
            look(made)
        return made.counts


__all__ = ["DAY", "LawBroken", "Plan", "World", "simulate", "world"]
