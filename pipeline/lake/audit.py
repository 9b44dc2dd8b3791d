"""Whether a table has the rows that its ledger tells of: what the function asks every hour.

A segment of the ledger has the censuses of what a commit read: of each batch, between which
sequence numbers it was, and how many of its documents became rows. So many rows, at least, the
table has between these, with what was forgotten on purpose. What is still landing is not asked for.

That takes Arrow alone. `pipeline audit` asks more, with a database: dead letters, doublings, the
stream, and what exactly is missing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.adapters.iceberg.table import LakeTable, load_table
from pipeline.core.census_table import SCHEMA
from pipeline.core.dataset import Dataset
from pipeline.core.lake.landed import read_name
from pipeline.core.lake.spans import NamedObject, Span, is_shard
from pipeline.core.lake_settings import FORGOTTEN_TABLE
from pipeline.lake.places import Lake
from pipeline.lake.reader import listed

_NUMBER: Final = "_sequence_number"
_BEFORE, _ROWS, _AFTER = 0, 1, 2  # steps of a walk along a source


class Claim(msgspec.Struct, frozen=True):
    """How many rows a batch has stored, by its census; `shard` is as its objects' names show it."""

    span: Span
    shard: str
    rows: int


class Short(msgspec.Struct, frozen=True):
    """A batch of which rows are missing, and how many of them are there."""

    claim: Claim
    found: int


class Audited(msgspec.Struct):
    """What was asked of one table, and what it lacks."""

    batches: int = 0
    short: list[Short] = msgspec.field(default_factory=list)
    unreadable: list[str] = msgspec.field(default_factory=list)
    finished: bool = True
    """Whether there was time to ask for every source."""

    @property
    def missing(self) -> int:
        """How many rows are missing at least: the same ones may be of several batches."""
        total, ends = 0, dict[str, int]()
        for each in sorted(self.short, key=lambda one: (one.claim.span.last, one.claim.span.first)):
            span = each.claim.span
            if span.first > ends.get(span.source, -1):
                ends[span.source] = span.last
                total += each.claim.rows - each.found
        return total


def audit_table(
    lake: Lake,
    dataset: Dataset,
    since: float,
    until: float,
    is_time_over: Callable[[], bool] = lambda: False,
) -> Audited:
    """Hold what commits read between two times, in seconds since 1970, against the table."""
    # First the landing: what is committed meanwhile is in the table by then.
    landing = filter(None, map(read_name, listed(lake.landing, dataset.name)[0]))
    on_their_way = _merged(landing)
    audited = Audited()
    table = load_table(lake.catalog, dataset.name)
    if table is None:
        return audited
    forgotten = (
        load_table(lake.catalog, f"{dataset.name}{FORGOTTEN_TABLE}")
        if table.has_forgotten
        else None
    )
    segments = _segments(table, f"{lake.ledger}/{dataset.name}", since, until, audited)
    by_source: dict[str, list[Claim]] = defaultdict(list)
    for claim in _claims(segments, dataset.name):
        if not _meets(on_their_way.get(claim.shard, ()), claim.span):
            by_source[claim.span.source].append(claim)
    # Shards first: of files there may be very many, and each is looked up by itself.
    for source in sorted(by_source, key=lambda one: (not is_shard(one), one)):
        if is_time_over():
            audited.finished = False
            break
        claims = by_source[source]
        audited.batches += len(claims)
        counts = _counts([each for each in (table, forgotten) if each is not None], claims)
        audited.short += _short(claims, counts)
    return audited


def _segments(
    table: LakeTable, ledger: str, since: float, until: float, audited: Audited
) -> Iterator[pa.Table]:
    files = table.io.files(ledger)
    for uri, time in files.list(ledger):
        if not since <= time <= until or not uri.endswith(".parquet"):
            continue
        try:
            segment = pq.ParquetFile(pa.BufferReader(files.read(uri))).read(use_threads=False)
            yield segment.select(SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, KeyError, OSError, ValueError):
            audited.unreadable.append(uri)


def _claims(segments: Iterable[pa.Table], dataset: str) -> Iterator[Claim]:
    """Yield what batches claim, all parts together; of censuses that disagree, the least counts."""
    parts: dict[tuple[str, Span, str], dict[int, int]] = defaultdict(dict)
    names = ("digest", "source", "first_sequence_number", "last_sequence_number", "object")
    for segment in segments:
        of_it = segment.filter(pc.equal(segment["dataset"], dataset))
        columns = [of_it[name].to_pylist() for name in (*names, "part", "row_count")]
        for digest, source, first, last, key, part, rows in zip(*columns, strict=True):
            named = read_name(key)
            if named is not None:
                span = Span(source, int(first), int(last))
                claimed = parts[digest, span, named.shard]
                claimed[part] = min(rows, claimed.get(part, rows))
    for (_, span, shard), claimed in parts.items():
        yield Claim(span, shard, sum(claimed.values()))


def _merged(objects: Iterable[NamedObject]) -> Mapping[str, list[tuple[int, int]]]:
    """Return for each shard where its objects are, none of which meet."""
    merged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for each in sorted(objects, key=lambda one: (one.shard, one.first)):
        there = merged[each.shard]
        if there and each.first <= there[-1][1]:
            there[-1] = there[-1][0], max(there[-1][1], each.last)
        else:
            there.append((each.first, each.last))
    return merged


def _meets(there: Iterable[tuple[int, int]], span: Span) -> bool:
    return any(span.first <= last and first <= span.last for first, last in there)


def _counts(tables: Iterable[LakeTable], claims: list[Claim]) -> pa.Table:
    """Return how many rows each sequence number has, between the first and the last claim's."""
    first = min(claim.span.first for claim in claims)
    last = max(claim.span.last for claim in claims)
    span = Span(claims[0].span.source, first, last)
    found = [_EMPTY]
    for rows in chain.from_iterable(each.identities(span.source, span) for each in tables):
        counted = rows.group_by(_NUMBER, use_threads=False).aggregate([([], "count_all")])
        found.append(counted.select([_NUMBER, "count_all"]).cast(_EMPTY.schema))
    return pa.concat_tables(found)


_EMPTY: Final = pa.schema([(_NUMBER, pa.string()), ("count_all", pa.int64())]).empty_table()


def _short(claims: list[Claim], counts: pa.Table) -> Iterator[Short]:
    """Yield the claims that are not met: along the source, rows are counted up to each end."""
    ends = [(claim.span.first, _BEFORE, place) for place, claim in enumerate(claims)]
    ends += [(claim.span.last, _AFTER, place) for place, claim in enumerate(claims)]
    numbers, steps, places = zip(*ends, strict=True)
    texts = pa.chunked_array(
        [*counts[_NUMBER].chunks, pa.array(map(str, numbers), pa.string())], pa.string()
    )
    width = pc.max(pc.utf8_length(texts)).as_py()
    some, none = pa.nulls(counts.num_rows, pa.int64()), pa.repeat(pa.scalar(0), len(ends))
    walk = pa.table(
        {
            "number": pc.utf8_lpad(texts, width, "0"),
            "step": pa.chunked_array(
                [pa.repeat(pa.scalar(_ROWS), counts.num_rows), pa.array(steps, pa.int64())]
            ),
            "count": pa.chunked_array([*counts["count_all"].chunks, none], pa.int64()),
            "claim": pa.chunked_array([some, pa.array(places, pa.int64())]),
        }
    ).sort_by([("number", "ascending"), ("step", "ascending")])
    totals = pc.cumulative_sum(walk["count"])
    at_ends = walk.set_column(2, "count", totals).filter(pc.is_valid(walk["claim"]))
    before = dict[int, int]()
    for step, total, place in zip(
        *(at_ends[name].to_pylist() for name in ("step", "count", "claim")), strict=True
    ):
        if step == _BEFORE:
            before[place] = total
        elif total - before[place] < claims[place].rows:
            yield Short(claims[place], total - before[place])
