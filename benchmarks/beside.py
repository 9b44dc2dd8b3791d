"""Ours beside other ways to the same file, and beside the floor, in one run on one core."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.corpora import ROOT, Corpus
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.check import check
from benchmarks.report import Plan, Section, Table, ms, times
from pipeline.measure.runs import Spread

_BENCH = ROOT / ".venv-bench"
_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Worker:
    """The other end of benchmarks/peers/worker.py."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self._process = process
        self._name = name

    def ask(self, command: str) -> float:
        """Send a command and return the result. Raises `RuntimeError` if the worker ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker of {self._name!r} ended; what it said stands above.")
        return float(json.loads(line))


def _python(peer: Peer) -> Path | None:
    """Return the interpreter that has what a way needs, if there is one."""
    return bench_python() if peer.extra else Path(sys.executable)


def bench_python() -> Path | None:
    """Return the interpreter that has what requirements/bench.txt installs, if there is one."""
    return _BENCH / "bin" / "python" if (_BENCH / ".installed").exists() else None


@contextmanager
def started(name: str, peer: Peer, python: Path, event: Path) -> Iterator[Worker]:
    command = [str(python), "-m", "benchmarks.peers.worker", peer.module, str(event)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **_ONE_THREAD},
    ) as process:
        try:
            yield Worker(process, name)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]  # it is a pipe


def runs(plan: Plan) -> int:
    return len(PEERS) * (plan.rounds + 1)


def measure(plan: Plan, corpus: Corpus) -> Section:
    """Start every way that can be, check what it writes, then time all in turns."""
    found: dict[str, Spread] = {}
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        event = Path(folder, "event.json")
        event.write_text(json.dumps(corpus.event))
        workers = {
            name: stack.enter_context(started(name, peer, python, event))
            for name, peer in PEERS.items()
            if (python := _python(peer)) is not None
        }
        for name, worker in workers.items():
            _check(name, worker, Path(folder), corpus)
            plan.advance(1)
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(plan.rounds):
            for name, worker in workers.items():
                seconds[name].append(worker.ask("run"))
                plan.advance(1)
        found = {name: Spread.from_values(samples) for name, samples in seconds.items()}
        memory = {name: worker.ask("peak") for name, worker in workers.items()}
    return Section("Beside others", [_table(corpus, found, memory)], _figures(found, memory))


def _check(name: str, worker: Worker, folder: Path, corpus: Corpus) -> None:
    written = folder / PEERS[name].module
    written.mkdir()
    worker.ask(f"store {written}")
    check(name, written, corpus.payloads)


def _table(corpus: Corpus, found: dict[str, Spread], memory: dict[str, float]) -> Table:
    rows: list[Any] = []
    for name, peer in PEERS.items():
        if name not in found:
            missing = "not installed here: `make bench` does"
            rows.append([name, "", missing, "", peer.does, peer.leaves_out])
            continue
        ratio = found[name].median / found["ours"].median
        peak = f"{memory[name] / 1e6:,.0f}"
        rows.append([name, times(ratio), ms(found[name]), peak, peer.does, peer.leaves_out])
    note = (
        f"One event of {corpus.documents:,} typical documents to Parquet in memory, each way in a "
        "process of its own; every file was read back and compared with the documents, row for row."
    )
    head = ["way", "time, to ours", "ms of one core", "peak memory, MB", "what it does", "leaves out"]  # fmt: skip
    return Table(head, rows, note)


def _figures(found: dict[str, Spread], memory: dict[str, float]) -> dict[str, float]:
    ours = found["ours"].median
    return {
        "recipe": found["usual recipe"].median / ours,
        "polars": found["polars"].median / ours,
        "floor": ours / found["the floor"].median,
        "peak MB": memory["ours"] / 1e6,
    }
