"""How the time grows with documents, partitions and fields, and with which exponent."""

from benchmarks.corpora import Corpus, cook, documents, fields, users
from benchmarks.handler import checked
from benchmarks.report import Plan, Plot, Section, Table, exponent, ms
from pipeline.measure.runs import Spread, interleaved

DOCUMENTS = (10, 30, 100, 300, 1_000, 3_000, 13_500)
PARTITIONS = (1, 3, 10, 30, 100, 250)
FIELDS = (1, 3, 10, 30, 100, 200)
_COUNTED_FROM = 100  # documents: below, what an invocation costs without any stands out


def runs(plan: Plan) -> int:
    return (len(DOCUMENTS) + len(PARTITIONS) + len(FIELDS)) * (plan.rounds + 1)


def measure(plan: Plan) -> Section:
    """Time each series in turns."""
    series = {
        "documents": {n: cook(f"{n}", documents(n), plan.scale) for n in DOCUMENTS},
        "partitions": {n: cook(f"{n}", users(n), plan.scale) for n in PARTITIONS},
        "fields": {n: cook(f"{n}", fields(n), plan.scale) for n in FIELDS},
    }
    tables, plots, figures = [], [], {}
    for name, corpora in series.items():
        found = _times(plan, corpora)
        across = (lambda n: corpora[n].documents) if name == "documents" else (lambda n: n)  # noqa: B023 - used at once
        points = [(float(across(n)), spread.median * 1e3) for n, spread in found.items()]
        tables.append(_table(name, found, corpora, points))
        plots.append(_plot(name, points))
        figures[f"exponent of {name}"] = exponent(_tail(name, points))
    return Section("How the time grows", tables, figures, plots)


def _times(plan: Plan, corpora: dict[int, Corpus]) -> dict[int, Spread]:
    calls = {str(number): checked(corpus) for number, corpus in corpora.items()}
    found = interleaved(calls, plan.rounds, advance=plan.advance)
    return {number: found[str(number)] for number in corpora}


def _tail(name: str, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that the exponent is of."""
    if name != "documents":
        return points
    tail = [point for point in points if point[0] >= _COUNTED_FROM]
    return tail if len(tail) > 1 else points


def _plot(name: str, points: list[tuple[float, float]]) -> Plot:
    (fewest, quickest), (most, slowest) = _tail(name, points)[0], _tail(name, points)[-1]
    longer = slowest / quickest
    title = f"From {fewest:,.0f} to {most:,.0f} {name}, an event takes {longer:,.1f} times as long"
    return Plot(
        f"growth-{name}", title, f"{name} in an event", "ms of one core", {"an event": points}
    )


def _table(
    name: str,
    found: dict[int, Spread],
    corpora: dict[int, Corpus],
    points: list[tuple[float, float]],
) -> Table:
    rows = [
        [f"{point[0]:,.0f}", ms(spread), f"{spread.median / corpora[number].documents * 1e6:,.1f}"]
        for (number, spread), point in zip(found.items(), points, strict=True)
    ]
    tail = _tail(name, points)
    note = (
        f"Exponent {exponent(tail):.2f} from {tail[0][0]:,.0f} to {tail[-1][0]:,.0f} {name} "
        "(1 is linear; below it, more cost less than in proportion)."
    )
    return Table([name, "ms", "µs a document"], rows, note)
