"""The whole handler on one event of each corpus: into memory, and into a store as slow as S3."""

import statistics
import time
from collections.abc import Callable
from functools import partial

from benchmarks.corpora import CORPORA, Corpus
from benchmarks.report import Plan, Section, Table, ms, times
from pipeline.measure.invocation import (
    PUT_BYTES_PER_SECOND,
    PUT_SECONDS,
    Invocation,
    invoke,
    make_pipeline,
)
from pipeline.measure.runs import Spread, interleaved

KEYED = ("a hash key a record", "keys as Java's", "keys by Zipf")
PRESETS = ("cloudwatch-logs", "dms", "debezium")
DISTANT = ("typical", "parquet and csv", "bad 1 %", "10 partitions", "100 partitions")


def checked(corpus: Corpus, *, distant: bool = False) -> Callable[[], Invocation]:
    """Return the handler on a corpus; each call asserts what became of every document."""
    pipeline = make_pipeline(corpus.datasets, distant=distant, rules=corpus.rules)

    def run() -> Invocation:
        invocation = invoke(corpus.event, pipeline)
        assert (invocation.documents, invocation.rows) == (corpus.documents, corpus.rows), (
            corpus.name
        )
        assert sum(invocation.rejects.values()) == corpus.bad, corpus.name
        return invocation

    return run


def runs(plan: Plan) -> int:
    return (len(CORPORA) + len(DISTANT)) * (plan.rounds + 1)


def measure(plan: Plan, corpora: dict[str, Corpus]) -> Section:
    """Time all corpora in turns."""
    invocations: dict[str, list[Invocation]] = {name: [] for name in corpora}
    calls = {
        name: partial(_keep, checked(corpus), invocations[name]) for name, corpus in corpora.items()
    }
    near = interleaved(calls, plan.rounds, advance=plan.advance)
    far = interleaved(
        {name: checked(corpora[name], distant=True) for name in DISTANT},
        plan.rounds,
        clock=time.perf_counter,
        advance=plan.advance,
    )
    tables = [_near(corpora, near, invocations), _stages(corpora, invocations), _far(far)]
    return Section("The whole handler", tables, _figures(corpora, near))


def _keep(call: Callable[[], Invocation], into: list[Invocation]) -> None:
    into.append(call())


def _near(
    corpora: dict[str, Corpus], near: dict[str, Spread], invocations: dict[str, list[Invocation]]
) -> Table:
    rows = []
    for name, spread in near.items():
        one, documents = invocations[name][-1], corpora[name].documents
        ratio = spread.median / documents / (near["typical"].median / corpora["typical"].documents)
        rows.append(
            [
                name, times(ratio), ms(spread), f"{one.bytes_in / 1e6 / spread.median:,.1f}",
                f"{documents / spread.median:,.0f}", f"{documents:,}", f"{one.objects:,}",
            ]
        )  # fmt: skip
    note = "One event into memory. MB/s are of the stream records' data: compressed, where it is."
    head = ["corpus", "a document, to typical", "ms of one core", "MB/s", "documents/s", "documents", "objects"]  # fmt: skip
    return Table(head, rows, note)


def _stages(corpora: dict[str, Corpus], invocations: dict[str, list[Invocation]]) -> Table:
    stages = [phase for phase in invocations["typical"][-1].phases if phase != "check"]
    rows = []
    for name in corpora:
        total = [sum(invocation.phases.values()) for invocation in invocations[name][1:]]
        shares = (
            statistics.median(
                one.phases[phase] / whole
                for one, whole in zip(invocations[name][1:], total, strict=True)
            )
            for phase in stages
        )
        rows.append([name, *(f"{share:.0%}" for share in shares)])
    return Table(["corpus", *stages], rows, "Where the handler says its time went.")


def _far(far: dict[str, Spread]) -> Table:
    note = (
        f"The same into a store that responds after {PUT_SECONDS * 1e3:.0f} ms and "
        f"{PUT_BYTES_PER_SECOND / 1e6:.0f} MB/s, as S3 may: time on the clock."
    )
    return Table(["corpus", "ms"], [[name, ms(spread)] for name, spread in far.items()], note)


def _figures(corpora: dict[str, Corpus], near: dict[str, Spread]) -> dict[str, float]:
    """Return ratios to typical of the same run: per document, and per byte."""
    whole = corpora["typical"]

    def ratio(name: str, size: Callable[[Corpus], float], to: str = "typical") -> float:
        one, other = near[name].median / size(corpora[name]), near[to].median / size(corpora[to])
        return one / other

    return {
        "both formats": ratio("parquet and csv", _documents),
        "bad 1 %": ratio("bad 1 %", _documents),
        "bad 10 %": ratio("bad 10 %", _documents),
        "bad 100 %": ratio("bad 100 %", _documents),
        "map field": ratio("map field", _documents),
        "default absent": ratio("default absent in half", _documents),
        "not aggregated": ratio("not aggregated", _bytes),
        "hash keys": max(ratio(name, _event_bytes) for name in KEYED),
        "small": ratio("small, 80 B", _bytes),
        "three datasets": ratio("three datasets alike", _bytes),
        "back to back": ratio("back to back, 100 a record", _documents, "lines, 100 a record"),
        "unknown counted": ratio("unknown member, counted", _documents),
        "unknown kept": ratio("unknown member, kept", _documents),
        "100 partitions": ratio("100 partitions", _documents, "1 partition"),
        **{name: 1 / ratio(name, _bytes, f"{name}, plain") for name in PRESETS},
        "typical ms": near["typical"].median * 1e3,
        "typical MB/s": _bytes(whole) / 1e6 / near["typical"].median,
    }


def _event_bytes(corpus: Corpus) -> float:
    return sum(len(entry["kinesis"]["data"]) for entry in corpus.event["Records"])


def _documents(corpus: Corpus) -> float:
    return corpus.documents


def _bytes(corpus: Corpus) -> float:
    return sum(map(len, corpus.payloads))
