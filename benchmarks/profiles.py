"""Where the handler's time goes on corpora that cost more than typical ones: function by function."""

import signal
import time
from collections import defaultdict
from types import FrameType

from benchmarks.corpora import Corpus
from benchmarks.handler import checked
from benchmarks.report import Plan, Section, Table

BESIDE = {
    "bad 1 %": "typical", "bad 10 %": "typical", "map field": "typical", "small, 80 B": "typical",
    "three datasets alike": "typical", "a hash key a record": "typical", "100 partitions": "1 partition",
}  # fmt: skip
"""Each corpus, and the one that its target is measured against."""
Spent = defaultdict[str, float]
"""Milliseconds by function."""
_SHOWN = 5  # functions of each corpus
_SAMPLE = 0.0005  # seconds of processor time


def runs(plan: Plan) -> int:  # noqa: ARG001 - as of every benchmark
    return len(BESIDE)


def measure(plan: Plan, corpora: dict[str, Corpus]) -> Section:
    """Profile each corpus and the one beside it, and show where the difference is."""
    profiles: dict[str, Spent] = {}
    rows = []
    for name, beside in BESIDE.items():
        for one in (name, beside):
            if one not in profiles:
                profiles[one] = _profile(corpora[one], plan.rounds)
        rows += _rows(
            name, profiles[name], _scaled(profiles[beside], corpora[name], corpora[beside])
        )
        plan.advance(1)
    note = (
        "Milliseconds of one core, sampled: of the corpus, and of as many bytes of the one that its "
        "target is measured against. Shown are the functions in which the difference is largest. What "
        "Arrow and other libraries do within a function is counted as that function's."
    )
    head = ["corpus", "function", "ms", "ms, beside", "of the difference"]
    return Section("Where the difference goes", [Table(head, rows, note)])


def _profile(corpus: Corpus, runs: int) -> Spent:
    """Return the milliseconds that the handler spends in each function, of one event."""
    run = checked(corpus)
    run()
    spent = Spent(float)
    last = time.process_time()

    def take(_: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.process_time()
        spent[_name(frame)] += (now - last) * 1e3 / runs
        last = now

    before = signal.signal(signal.SIGPROF, take)
    signal.setitimer(signal.ITIMER_PROF, _SAMPLE, _SAMPLE)
    try:
        last = time.process_time()
        for _ in range(runs):
            run()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return spent


def _name(frame: FrameType | None) -> str:
    """Name a frame's function, and the module that it is in."""
    if frame is None:
        return "?"
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"


def _scaled(spent: Spent, corpus: Corpus, beside: Corpus) -> Spent:
    """Return the times of as many bytes."""
    times = _bytes(corpus) / _bytes(beside)
    return Spent(float, {name: value * times for name, value in spent.items()})


def _bytes(corpus: Corpus) -> float:
    return sum(len(entry["kinesis"]["data"]) for entry in corpus.event["Records"])


def _rows(name: str, spent: Spent, beside: Spent) -> list[list[str]]:
    more = {
        function: spent[function] - beside[function] for function in spent.keys() | beside.keys()
    }
    whole = sum(more.values())
    largest = sorted(more, key=more.__getitem__, reverse=True)[:_SHOWN]
    total = [name, "all", f"{sum(spent.values()):.1f}", f"{sum(beside.values()):.1f}", "100 %"]
    return [total] + [
        [
            "",
            f"`{function}`",
            f"{spent[function]:.1f}",
            f"{beside[function]:.1f}",
            f"{more[function] / whole:.0%}",
        ]
        for function in largest
    ]
