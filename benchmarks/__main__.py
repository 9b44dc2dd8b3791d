"""Measure, assert, report: `python -m benchmarks [--quick] [--out DIR] [name …]`.

    beside     ours beside other ways and beside the floor
    cost       dollars per GB, and at Firehose
    handler    the whole handler on every corpus
    profiles   where the handler's time goes on what costs more than typical documents
    stations   each station alone, and what each law costs
    floor      the libraries' kernels
    growth     time over documents, partitions and fields
    remote     real clients, behind TLS, to a store as slow as S3
    files      `pipeline convert` beside other programs, and the runner's mapping
    startup    imports, cold start, memory
    targets    what has to be reached, from all of these (always shown)

Names run these alone. A result is asserted before a time is reported.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    beside,
    cost,
    files,
    floor,
    growth,
    handler,
    profiles,
    remote,
    startup,
    stations,
    targets,
)
from benchmarks.corpora import CORPORA, Corpus, make
from benchmarks.report import Plan, Section, Table, write
from pipeline.commands.progress import progress
from pipeline.measure.runs import machine, one_core, versions

NAMES = (
    "beside",
    "cost",
    "handler",
    "profiles",
    "remote",
    "files",
    "stations",
    "floor",
    "growth",
    "startup",
)
_RUNS: dict[str, Callable[[Plan], int]] = {
    "beside": beside.runs, "handler": handler.runs, "profiles": profiles.runs, "stations": stations.runs, "floor": floor.runs,
    "growth": growth.runs, "remote": remote.runs, "files": files.runs, "startup": startup.runs, "cost": cost.runs,
}  # fmt: skip
_COMPARED = ("pyarrow", "polars", "duckdb", "msgspec", "fastavro", "pybase64", "protobuf")


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {min(unknown)!r}; there are {', '.join(NAMES)}.")
    start = time.monotonic()
    scale = options.scale or (0.2 if options.quick else 1.0)
    rounds = options.rounds or (5 if options.quick else 7)
    names = [name for name in NAMES if name in (options.names or NAMES)]
    total = sum(_RUNS[name](Plan(scale, rounds, lambda _: None)) for name in names)
    with one_core(), progress("benchmarks", total, "runs") as advance:
        sections = dict(_sections(names, Plan(scale, rounds, advance)))
    head = list(_head(scale, rounds, time.monotonic() - start))
    held = _targets(scale, sections)
    if options.out:
        # What a stranger asks comes first; what we ask of ourselves, last.
        path = write(Path(options.out), head, [*sections.values(), *held], beside.bench_python())
        print(f"wrote {path}", file=sys.stderr)
    else:
        print("\n".join(head))
        for section in (*(sections.values() if options.names else ()), *held):
            print(f"## {section.title}\n")
            print(
                "\n".join(itertools.chain.from_iterable(table.lines() for table in section.tables))
            )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="events of a fifth, in a minute")
    parser.add_argument("--out", metavar="DIR", help="write README.md and plots there")
    parser.add_argument("--scale", type=float, help="size of the events; 1 is as large as Lambda's")
    parser.add_argument("--rounds", type=int, help="runs of each that count")
    return parser


def _sections(names: list[str], plan: Plan) -> Iterable[tuple[str, Section]]:
    corpora: dict[str, Corpus] = {name: make(name, plan.scale) for name in CORPORA}
    typical = corpora["typical"]
    measures: dict[str, Callable[[], Section]] = {
        "beside": lambda: beside.measure(plan, typical),
        "handler": lambda: handler.measure(plan, corpora),
        "profiles": lambda: profiles.measure(plan, corpora),
        "stations": lambda: stations.measure(plan, typical),
        "floor": lambda: floor.measure(plan, typical),
        "growth": lambda: growth.measure(plan),
        "remote": lambda: remote.measure(plan, corpora),
        "files": lambda: files.measure(plan, corpora),
        "startup": lambda: startup.measure(plan, corpora),
        "cost": lambda: cost.measure(plan),
    }
    for name in names:
        yield name, measures[name]()


def _head(scale: float, rounds: int, seconds: float) -> Iterable[str]:
    size = "a full Lambda event" if scale == 1 else f"events of {scale:g} of Lambda's largest"
    yield from ("# Benchmarks", "")
    yield (
        f"Made by `make bench` on {datetime.now(UTC):%Y-%m-%d} in {seconds / 60:.0f} minutes; "
        f"{size}, {rounds} interleaved runs after one to warm up. Cells are the median, and the "
        "least and the most in parentheses. Everything runs on one core, and what waits for "
        "nothing is measured in processor time: compare ratios, as another machine has other "
        "milliseconds. Every result was asserted before its time was taken."
    )
    yield from ("", f"{machine()}; {versions(_COMPARED)}.", "")


def _targets(scale: float, sections: dict[str, Section]) -> list[Section]:
    """Return the targets that were measured, as a section; none where none was."""
    held = targets.table(sections)
    if not held.rows:
        return []
    smaller = "These are for full events: on smaller ones all ratios are nearer to each other."
    return [Section("Targets", [Table(held.head, held.rows, "" if scale == 1 else smaller)])]


if __name__ == "__main__":
    sys.exit(main())
