"""Each station of the road alone, on one typical event, and from them what each law costs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from benchmarks import floor
from benchmarks.corpora import Corpus, make
from benchmarks.report import Plan, Section, Table, ms
from pipeline.core.convert import convert
from pipeline.core.dataset import ARRIVED_AT, IDENTITY, Dataset
from pipeline.core.encode import encode
from pipeline.core.events import read_kinesis_event
from pipeline.core.formats import Format
from pipeline.core.kpl import deaggregate
from pipeline.core.ledger import Ledger
from pipeline.core.letter_lines import encode_dead_letters, group_by_arrival_hour
from pipeline.core.partition import split
from pipeline.core.payload import unpack_payloads
from pipeline.core.records import Chunk, Limits, OutputObject, Rows
from pipeline.core.routing import Router
from pipeline.core.rules import check_rules
from pipeline.measure.invocation import invoke, make_pipeline
from pipeline.measure.runs import Spread, interleaved

_LIMITS = Limits()
_ROOM = 900  # bytes that a partition path may have
_Calls = dict[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class _Way:
    """What each station passes to the next, for one event of one dataset."""

    batch: Any
    user_records: Chunk
    documents: Chunk
    dataset: Dataset
    rows: Rows

    @classmethod
    def from_corpus(cls, corpus: Corpus) -> "_Way":
        batch = read_kinesis_event(corpus.event)
        user_records, unopened = deaggregate(batch)
        ((documents, refused),) = unpack_payloads(user_records, _LIMITS)
        assert not unopened
        assert not refused
        (dataset,) = corpus.datasets
        rows, rejects = convert(documents, dataset)
        assert (len(documents), len(rejects)) == (corpus.documents, 0)
        return cls(batch, user_records, documents, dataset, rows)


def _stations(corpus: Corpus) -> _Calls:
    way = _Way.from_corpus(corpus)
    several, bad = make("three datasets", 0.3), make("bad 100 %", 0.3)
    mixed = _documents(several)
    split_router = Router(several.datasets)
    partitions, rejects = split(way.rows, way.dataset, _LIMITS, _ROOM)
    assert not rejects
    assert sum(len(partition.rows) for partition in partitions) == corpus.documents
    return {
        "events": partial(read_kinesis_event, corpus.event),
        "kpl": partial(deaggregate, way.batch),
        "payload": lambda: list(unpack_payloads(way.user_records, _LIMITS)),
        "routing, one dataset": partial(Router(corpus.datasets).route, way.documents),
        f"routing, three datasets ({several.documents:,})": partial(split_router.route, mixed),
        "convert": partial(convert, way.documents, way.dataset),
        "convert by rows": partial(convert, way.documents, way.dataset.by_rows()),
        "rules": partial(check_rules, way.rows, way.dataset),
        "partition": partial(split, way.rows, way.dataset, _LIMITS, _ROOM),
        "encode Parquet": partial(encode, way.rows, way.dataset, Format.PARQUET),
        "encode CSV": partial(encode, way.rows, way.dataset, Format.CSV),
        f"dead letters ({bad.documents:,})": partial(_letters, _rejects(bad)),
        "ledger": partial(_ledger, way),
        **_for_the_laws(way),
    }


def _for_the_laws(way: _Way) -> _Calls:
    reader = way.dataset.reader
    assert reader is not None
    own = [field.name for field in (*IDENTITY, ARRIVED_AT)]
    bare = msgspec.structs.replace(way.rows, table=way.rows.table.drop_columns(own))
    return {
        "· read the columns": partial(reader.read, way.documents.payloads, way.documents.text),
        "· encode without identity": partial(encode, bare, way.dataset, Format.PARQUET),
    }


def _documents(corpus: Corpus) -> Chunk:
    user_records, _ = deaggregate(read_kinesis_event(corpus.event))
    ((documents, _),) = unpack_payloads(user_records, _LIMITS)
    assert len(documents) == corpus.documents
    return documents


def _rejects(corpus: Corpus) -> list[Any]:
    rows, rejects = convert(_documents(corpus), corpus.datasets[0])
    broken = check_rules(rows, corpus.datasets[0])[1]
    assert len(rejects) + len(broken) == corpus.bad
    return [*rejects, *broken]


def _letters(rejects: list[Any]) -> list[bytes]:
    return [encode_dead_letters(letters) for _, _, letters in group_by_arrival_hour(rejects)]


def _ledger(way: _Way) -> None:
    ledger = Ledger()
    ledger.routed(way.dataset, way.documents)
    ledger.stored([OutputObject("k", way.dataset.name, "parquet", way.rows.units, 1)])
    ledger.check()


def runs(plan: Plan) -> int:
    return 22 * (plan.rounds + 1)


def measure(plan: Plan, corpus: Corpus) -> Section:
    """Time the stations, the floor's kernels and the whole, in turns."""
    assert corpus.bad == 0
    kernels = {f"floor: {name}": call for name, call in floor.kernels(corpus).items()}
    pipeline = make_pipeline(corpus.datasets)
    whole: _Calls = {"the whole handler": partial(invoke, corpus.event, pipeline)}
    calls = {**whole, **_stations(corpus), **kernels}
    found = interleaved(calls, plan.rounds, advance=plan.advance)
    total = found["the whole handler"].median
    rows = [
        [name, ms(spread), f"{spread.median / total:.0%}"]
        for name, spread in found.items()
        if not name.startswith(("·", "floor"))
    ]
    note = f"{corpus.documents:,} typical documents in one event, but where another number stands."
    stations = Table(["station", "ms", "of the whole"], rows, note)
    return Section("Stations, and what each law costs", [stations, _laws(found, total)])


def _laws(found: dict[str, Spread], total: float) -> Table:
    """Subtract from our medians those of the floor."""
    medians = {name: spread.median for name, spread in found.items()}
    road = ("events", "kpl", "payload", "routing, one dataset", "convert", "rules", "partition",
            "encode Parquet", "ledger")  # fmt: skip
    costs = [
        ("1 acknowledged when stored: writer, retries, telemetry", total - sum(medians[station] for station in road)),
        ("2 conservation: the ledger", medians["ledger"]),
        ("3 bad data is kept: rules", medians["rules"]),
        ("5, 6 identity: its columns made", medians["convert"] - medians["· read the columns"]),
        ("6 identity: its columns encoded", medians["encode Parquet"] - medians["· encode without identity"]),
        ("7 what the row path accepts, exactly", medians["· read the columns"] - medians["floor: columnar parse"]),
        ("8 limits, and which payload is a document", medians["payload"]),
        ("order and shape of the event", medians["events"] - medians["floor: base64"]),
        ("positions and keys in aggregates", medians["kpl"] - medians["floor: MD5"] - medians["floor: protobuf"]),
        ("partitions and routes", medians["partition"] + medians["routing, one dataset"]),
        ("Parquet: metadata, one chunk a column, which values repeat", medians["· encode without identity"] - medians["floor: Parquet encode"]),
    ]  # fmt: skip
    rows = [[name, f"{cost * 1e3:,.1f}", f"{cost / total:.0%}"] for name, cost in costs]
    note = "What the laws (and the rest of our own) cost: each is a difference of medians above, or to the floor's kernel, so a small one may be noise."
    return Table(["law", "ms", "of the whole"], rows, note)
