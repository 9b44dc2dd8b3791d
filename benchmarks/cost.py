"""Dollars per GB of raw input: by objects per event, and over record sizes, beside Firehose."""

import time
from collections.abc import Iterable, Mapping

from benchmarks.corpora import Corpus, cook, make, users
from benchmarks.handler import checked
from benchmarks.report import Plan, Plot, Section, Table, times
from pipeline.measure.invocation import PUT_BYTES_PER_SECOND, PUT_SECONDS
from pipeline.measure.prices import (
    LAMBDA_MEGABYTES,
    PRICES,
    PRICES_BESIDE,
    Cost,
    Price,
    firehose_at_best,
    firehose_cost,
    pipeline_cost,
)
from pipeline.measure.runs import Spread, interleaved

OBJECTS = (1, 10, 40, 100, 250)
_BESIDE = (
    "Others, which have no column above, as they are billed by the hour or take something else. For "
    "Channels, AWS's newer delivery to S3 and Iceberg, no price was found."
)
SIZES = ("small, 80 B", "typical", "not aggregated", "wide, 100 fields", "large, 20 KB")


def runs(plan: Plan) -> int:
    return (len(_objects(plan)) + len(SIZES)) * (plan.rounds + 1)


def _objects(plan: Plan) -> list[int]:
    """Leave out what waits longest from a quick measurement."""
    return [number for number in OBJECTS if plan.scale >= 1 or number <= 40]


def measure(plan: Plan) -> Section:
    """Time whole invocations, waiting for the store included, and say what they would be billed."""
    by_objects = {n: cook(f"{n}", users(n), plan.scale) for n in _objects(plan)}
    by_size = {name: make(name, plan.scale) for name in SIZES}
    tables = [
        _by_objects(
            by_objects, _billed(plan, {f"{n}": corpus for n, corpus in by_objects.items()})
        ),
        _by_size(by_size, sizes := _billed(plan, by_size)),
        _prices(PRICES, "Prices of us-east-1, where each is published, and how it is known."),
        _prices(PRICES_BESIDE, _BESIDE),
    ]
    return Section("What it costs", tables, plots=[_plot(by_size, sizes)])


def _billed(plan: Plan, corpora: dict[str, Corpus]) -> dict[str, Spread]:
    calls = {name: checked(corpus, distant=True) for name, corpus in corpora.items()}
    return interleaved(calls, plan.rounds, clock=time.perf_counter, advance=plan.advance)


def _cost(corpus: Corpus, billed: Spread, objects: int) -> Cost:
    return pipeline_cost(_bytes(corpus), billed.median, objects)


def _bytes(corpus: Corpus) -> int:
    return sum(map(len, corpus.payloads))


def _cells(cost: Cost) -> list[str]:
    dollars = (cost.total, cost.compute, cost.requests, cost.puts)
    return [f"{amount:.5f}" for amount in dollars]


def _by_objects(corpora: dict[int, Corpus], billed: dict[str, Spread]) -> Table:
    rows = []
    for number, corpus in corpora.items():
        spread = billed[f"{number}"]
        cost = _cost(corpus, spread, number)
        rows.append([f"{number}", *_cells(cost), f"{spread.median * 1e3:,.0f}"])
    note = (
        "Typical documents, aggregated, events full, a partition an object; dollars per GB (10⁹ "
        f"bytes of documents). Billed is what was measured on this machine as a Lambda of {LAMBDA_MEGABYTES:,} MB, "
        f"which has one core, at the price of arm64, the template's default; the store responds after {PUT_SECONDS * 1e3:.0f} ms and "
        f"{PUT_BYTES_PER_SECOND / 1e6:.0f} MB/s, eight writes at a time."
    )
    head = ["objects per event", "together", "Lambda time", "requests", "PUTs", "billed, ms"]
    return Table(head, rows, note)


def _by_size(corpora: dict[str, Corpus], billed: dict[str, Spread]) -> Table:
    rows = []
    for name, corpus in corpora.items():
        cost, size = _cost(corpus, billed[name], 1), _bytes(corpus) / corpus.documents
        amounts = (firehose_at_best(), firehose_cost(size))
        compared = [cell for each in amounts for cell in (f"{each:.4f}", times(each / cost.total))]
        rows.append([name, f"{size:,.0f}", *_cells(cost), *compared])
    note = (
        "One object per event. Firehose with conversion to Parquet: first at its best, where records "
        "fill its steps of 5 KB, as producers that aggregate may have it; then with each document a "
        "record of its own, which is rounded up to 5 KB. Whether the steps are counted before or after it "
        "takes KPL aggregates apart, AWS does not say. Dynamic partitioning is not in it, nor its "
        "objects and hours of JQ. Neither side has the stream and the storage, which are the same; "
        "Firehose's PUTs are few and left out."
    )
    head = ["documents", "bytes each", "together", "Lambda time", "requests", "PUTs",
            "Firehose at best", "to ours", "Firehose, a record each", "to ours"]  # fmt: skip
    return Table(head, rows, note)


def _prices(prices: Mapping[str, Price], note: str) -> Table:
    rows = [
        [name, f"${price.dollars:.10f}".rstrip("0"), price.per, price.page, price.known]
        for name, price in prices.items()
    ]
    return Table(["price", "dollars", "per", "page", "how it is known"], rows, note)


def _plot(corpora: dict[str, Corpus], billed: dict[str, Spread]) -> Plot:
    aggregated = {name: corpus for name, corpus in corpora.items() if name != "not aggregated"}
    points = sorted(
        (_bytes(corpus) / corpus.documents, _cost(corpus, billed[name], 1).total)
        for name, corpus in aggregated.items()
    )
    firehose = [(size, firehose_cost(size)) for size in _sizes(points[0][0], points[-1][0])]
    best = firehose_at_best()
    lines = {
        "this pipeline, aggregated": points,
        "Firehose, each document a record": firehose,
        "Firehose at best": [(points[0][0], best), (points[-1][0], best)],
    }
    ratios = [best / dollars for _, dollars in points]
    title = (
        f"At its best, Firehose costs {min(ratios):,.0f} to {max(ratios):,.0f} times as much per GB"
    )
    return Plot("cost", title, "bytes of a document", "dollars per GB", lines)


def _sizes(first: float, last: float) -> Iterable[float]:
    size = first
    while size < last:
        yield size
        size *= 1.02  # fine enough for the steps of 5 KB
    yield last
