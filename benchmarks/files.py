"""Files beside other programs on the same lines, and what the runner does around the handler."""

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.beside import started
from benchmarks.corpora import Corpus
from benchmarks.handler import checked
from benchmarks.peers.check import check
from benchmarks.peers.lines import PEERS
from benchmarks.report import Plan, Section, Table, ms, times
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import Batch
from pipeline.esm import Invoke, Mapping, Returned, ShardMapping
from pipeline.measure.events import SHARD, STREAM
from pipeline.measure.runs import Spread, interleaved

_TIMES = 8
"""Events whose documents make the file: 34 MB at scale 1, of five blocks."""
_MAPPING = Mapping(batch_size=10_000, window_seconds=0)


def runs(plan: Plan) -> int:
    return len(PEERS) * (plan.rounds + 1) + 2 * (plan.rounds + 1)


def measure(plan: Plan, corpora: dict[str, Corpus]) -> Section:
    """Convert a file in every way, each in a process of its own; then run the mapping alone."""
    payloads = corpora["typical"].payloads * _TIMES
    start, found, peak = _converted(plan, payloads)
    runner = _runner(plan, corpora["not aggregated"])
    kernels, duckdb = found["the kernels"].median, found["duckdb"].median
    figures = {
        "convert to kernels": found["ours"].median / kernels,
        "convert to duckdb": found["ours"].median / duckdb,
        "mapping share": runner["the mapping"].median / runner["the handler"].median,
    }
    size = sum(map(len, payloads)) + len(payloads)
    tables = [_files(size, start, found, peak), _mapping(runner)]
    return Section("Files and the runner", tables, figures)


def _converted(
    plan: Plan, payloads: list[bytes]
) -> tuple[dict[str, float], dict[str, Spread], dict[str, float]]:
    """Return for each way the seconds of its start, those of its runs, and its peak memory."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        lines = folder / "documents.ndjson"
        lines.write_bytes(b"".join(payload + b"\n" for payload in payloads))
        (folder / "path.json").write_text(json.dumps(str(lines)))
        python = Path(sys.executable)
        workers = {
            way: stack.enter_context(started(way, peer, python, folder / "path.json"))
            for way, peer in PEERS.items()
        }
        for way, worker in workers.items():
            written = folder / way
            written.mkdir()
            worker.ask(f"store {written}")
            check(way, written, payloads)
            plan.advance(1)
        seconds: dict[str, list[float]] = {way: [] for way in workers}
        for _ in range(plan.rounds):
            for way, worker in workers.items():
                seconds[way].append(worker.ask("run"))
                plan.advance(1)
        start, peak = (
            {way: worker.ask(command) for way, worker in workers.items()}
            for command in ("start", "peak")
        )
    return start, {way: Spread.from_values(values) for way, values in seconds.items()}, peak


def _runner(plan: Plan, corpus: Corpus) -> dict[str, Spread]:
    """Time the mapping of `pipeline run`, from records to the event, and the handler beside it."""
    batch = read_kinesis_event(corpus.event)
    cases = {"the handler": checked(corpus), "the mapping": lambda: _mapped(batch)}
    return interleaved(cases, plan.rounds, advance=plan.advance)


def _mapped(batch: Batch) -> None:
    mapping, delivered = ShardMapping(_MAPPING, STREAM, SHARD), 0
    mapping.receive(batch.records, 0)
    while not mapping.is_idle:
        step = mapping.next(0, closing=True)
        if isinstance(step, Invoke):
            delivered += len(step.event["Records"])
            mapping.settle(Returned({"batchItemFailures": []}), 0)
    assert delivered == len(batch.records)


def _files(
    size: int, start: dict[str, float], found: dict[str, Spread], peak: dict[str, float]
) -> Table:
    rows = [
        [
            way, times(spread.median / found["ours"].median), ms(spread),
            f"{size / 1e6 / spread.median:,.0f}", f"{start[way] * 1e3:,.0f}",
            f"{peak[way] / 1e6:,.0f}", PEERS[way].does, PEERS[way].leaves_out,
        ]
        for way, spread in found.items()
    ]  # fmt: skip
    note = (
        f"A file of {size / 1e6:,.0f} MB, one typical document a line, to Parquet on one core; every "
        "file was read back and compared with the documents, row for row. The start, imports "
        "included, is told apart."
    )
    head = ["way", "time, to ours", "ms of one core", "MB/s", "start, ms", "peak memory, MB", "what it does", "leaves out"]  # fmt: skip
    return Table(head, rows, note)


def _mapping(runner: dict[str, Spread]) -> Table:
    handler = runner["the handler"].median
    rows = [[name, times(spread.median / handler), ms(spread)] for name, spread in runner.items()]
    note = (
        "`pipeline run`, records that are not aggregated: what the event source mapping does before "
        "the handler, from records to the event; the reading from Kinesis is not in it."
    )
    return Table(["part", "time, to the handler", "ms of one core"], rows, note)
