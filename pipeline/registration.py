"""Landing tables that show their rows: folders that are there, registered as partitions.

Athena, Spectrum and Spark show the rows of partitions that the catalog knows. This finds the
folders in which rows have landed, and registers those that it does not know yet: nothing else is
state, and a run that is repeated, or ended in its middle, does no harm.

A listing costs as much as a write of an object, and a table of a few years has thousands of
folders. So a run lists every folder that the catalog does not know, and the latest days; of the
other known folders, in which late rows may have made a new one, it lists some in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.adapters.aws.glue_partitions import AT_ONCE, Partition
from pipeline.core.partition import value_in_catalog

LISTED_AGAIN: Final = 30
"""How many known folders of rows a run lists again, all tables together: they cost money."""
LATEST: Final = 2
"""How many of them are the latest of each table: today and yesterday."""


@dataclass(frozen=True, slots=True)
class LandingTable:
    """A table over what has landed.

    Its `location` ends with a slash. A level is the name of its key, as in `date=2026-11-23`; or
    the names of folders, each of which is the value.
    """

    name: str
    location: str
    levels: tuple[str | frozenset[str], ...]


class CatalogTable(Protocol):
    """The table in a catalog; see `pipeline.adapters.aws.glue_partitions`."""

    def partitions(self) -> Iterator[tuple[Partition, bool]]:
        """Yield what is registered, and whether it has the columns that the table has now."""
        ...

    def create(self, partitions: Sequence[Partition]) -> None:
        """Register partitions, `AT_ONCE` at most."""
        ...

    def update(self, partitions: Sequence[Partition]) -> None:
        """Give them the columns that the table has now, `AT_ONCE` at most."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """What the tables of one run share.

    `turn` counts runs; `tomorrow` is a date as in a path; `shares` are how many known folders are
    listed again of each table, by its name.
    """

    folders_below: Callable[[str], Iterable[str]]
    is_time_over: Callable[[], bool]
    turn: int
    tomorrow: str
    shares: Mapping[str, int]


@dataclass(slots=True)
class Registered:
    """What a run did for one table; `unfinished` says that its time was over before."""

    created: int = 0
    updated: int = 0
    unfinished: bool = False


def shares_of(tables: Iterable[LandingTable]) -> dict[str, int]:
    """Return how many known folders are listed again of each table, by its name.

    Of named folders, as of dead letters, it is that many of each; what is new there is of today.
    """
    by_name = {table.name: table for table in tables if len(table.levels) > 1}
    named = {name for name, table in by_name.items() if isinstance(table.levels[0], frozenset)}
    fair = LISTED_AGAIN // max(len(by_name) - len(named), 1)
    return {name: LATEST + 1 if name in named else max(fair, LATEST + 1) for name in by_name}


def register(table: LandingTable, catalog: CatalogTable, run: Run) -> Registered:
    """Register what has landed of one table. Raises `StoreError`."""
    done, known, outdated = Registered(), set[tuple[str, ...]](), list[Partition]()
    for partition, is_current in catalog.partitions():
        known.add(partition.values)
        # What somebody has registered elsewhere is left as it is.
        if not is_current and partition.location.startswith(table.location):
            outdated.append(partition)
    for some in _some(outdated):
        if run.is_time_over():
            done.unfinished = True
            return done
        catalog.update(some)
        done.updated += len(some)
    walk = _Walk(table, run, {values[:end] for values in known for end in range(1, len(values))})
    for some in _some(_unknown(walk.partitions(), known)):
        catalog.create(some)
        done.created += len(some)
    done.unfinished = walk.was_ended
    return done


def _unknown(found: Iterable[Partition], known: set[tuple[str, ...]]) -> Iterator[Partition]:
    for partition in found:
        if partition.values not in known:
            known.add(partition.values)
            yield partition


def _some(partitions: Iterable[Partition]) -> Iterator[list[Partition]]:
    taken = list[Partition]()
    for partition in partitions:
        taken.append(partition)
        if len(taken) == AT_ONCE:
            yield taken
            taken = []
    if taken:
        yield taken


@dataclass(slots=True)
class _Walk:
    """A walk down the folders of a table. `known` are the values above registered partitions."""

    table: LandingTable
    run: Run
    known: set[tuple[str, ...]]
    was_ended: bool = field(default=False, init=False)

    def partitions(self) -> Iterator[Partition]:
        """Yield the folders of the last level."""
        yield from self._below(Partition((), self.table.location), everything=False)

    def _below(self, above: Partition, *, everything: bool) -> Iterator[Partition]:
        """Yield those below one folder: of known ones only some, unless it is `everything`."""
        if self.run.is_time_over():
            self.was_ended = True
            return
        level = self.table.levels[len(above.values)]
        found = list(self._children(above, level))
        if len(above.values) + 1 == len(self.table.levels):
            yield from found
            return
        named = isinstance(level, frozenset)
        for folder in found if everything or named else self._chosen(found):
            yield from self._below(folder, everything=everything or not named)

    def _children(self, above: Partition, level: str | frozenset[str]) -> Iterator[Partition]:
        for name in self.run.folders_below(above.location):
            key, is_named, text = name.partition("=")
            if isinstance(level, frozenset):
                value = name if name in level else None
            else:
                value = value_in_catalog(text) if is_named and key == level else None
            if value is not None:  # others are not this table's, as `_temporary`
                yield Partition((*above.values, value), f"{above.location}{name}/")

    def _chosen(self, found: list[Partition]) -> list[Partition]:
        """Return those to list in this run: the unknown ones, the latest, and some in turn."""
        known = [folder for folder in found if folder.values in self.known]
        unknown = [folder for folder in found if folder.values not in self.known]
        dated = [folder for folder in known if folder.values[-1] <= self.run.tomorrow]
        latest = dated[-LATEST:]
        others = [folder for folder in known if folder not in latest]
        count = min(self.run.shares[self.table.name] - len(latest), len(others))
        first = self.run.turn * count
        in_turn = [others[(first + step) % len(others)] for step in range(count)]
        return [*unknown, *latest, *in_turn]
