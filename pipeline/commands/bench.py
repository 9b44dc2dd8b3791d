"""`pipeline bench`: throughput, memory and cost of the pipeline on your own documents."""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.options import Commands, add_schemas, positive_integer, timestamp_option
from pipeline.commands.reporting import add_report
from pipeline.core.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.core.dataset import Dataset
    from pipeline.measure.events import Packed
    from pipeline.measure.invocation import Invocation
    from pipeline.measure.runs import Spread

_MEGABYTE = 1e6


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench",
        help="measure throughput, memory and cost on your own documents",
        description="Make a full Lambda event of a file's documents (one a line; plain, gzip or "
        "zstd), repeated where they are few, and run the handler on it on one core: throughput, "
        "where the time goes, memory, and dollars per GB. Nothing is written.",
    )
    add_schemas(parser)
    parser.add_argument("file", metavar="FILE", nargs="?", help="the documents")
    parser.add_argument("--sample", help=argparse.SUPPRESS)  # an earlier form
    parser.add_argument(
        "--arrived-at",
        metavar="TIME",
        help="when the documents arrived, as 2026-11-23T09:30:00Z (default: the file's last "
        "change)",
    )
    parser.add_argument(
        "--not-aggregated",
        action="store_true",
        help="put each document into its own stream record (default: aggregated as by the KPL)",
    )
    parser.add_argument(
        "--runs", metavar="N", type=positive_integer, default=7, help="measure N times (default: 7)"
    )
    add_report(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class _Measured:
    """One event's runs, in seconds: `work` on the processor, `whole` with a store as slow as S3."""

    packed: "Packed"
    invocations: list["Invocation"]
    work: "Spread"
    whole: "Spread"
    peak: int


def run(options: argparse.Namespace) -> int:
    """Measure and report; return the exit code."""
    options.sample = options.file or options.sample
    if not options.sample:
        raise SettingsError("There is nothing to measure: name a file of documents.")
    from pipeline.adapters.schemas import read_datasets
    from pipeline.measure.events import FULL_EVENT, pack

    datasets = read_datasets(Path(options.schemas))
    arrived_at = _arrival(options)
    documents = _sample(Path(options.sample))
    payloads = itertools.islice(itertools.cycle(documents), FULL_EVENT)
    packed = pack(payloads, FULL_EVENT, aggregated=not options.not_aggregated)
    measured = _measure(packed, datasets, arrived_at, options.runs)
    options.report = _report(measured)
    for line in _lines(measured, len(documents), options.runs):
        print(line)
    return 0


def _arrival(options: argparse.Namespace) -> float:
    """Return when the documents arrived, in seconds since 1970. Raises `SettingsError`."""
    if options.arrived_at is None:
        return Path(options.sample).stat().st_mtime
    return timestamp_option("--arrived-at", options.arrived_at) / 1e6


def _sample(path: Path) -> list[bytes]:
    """Read the file's first documents, as many as a full event could hold."""
    from pipeline.core.errors import FileError
    from pipeline.files.blocks import documents_of
    from pipeline.measure.events import FULL_EVENT

    documents, room = list[bytes](), FULL_EVENT
    with path.open("rb") as file:
        for line in documents_of(file, str(path)):
            if room < 0:
                break
            documents.append(line)
            room -= len(line)
    if not documents:
        message = f"{path} holds no documents; give a file with one JSON document a line."
        raise FileError(message)
    return documents


def _measure(
    packed: "Packed", datasets: Sequence["Dataset"], arrived_at: float, runs: int
) -> _Measured:
    from pipeline.commands.progress import progress
    from pipeline.measure.events import measured_event
    from pipeline.measure.invocation import invoke, make_pipeline
    from pipeline.measure.runs import interleaved, one_core, peak_memory

    event = measured_event(packed.records, arrived_at)
    near, far = make_pipeline(datasets), make_pipeline(datasets, distant=True)
    invocations: list[Invocation] = []
    with one_core(), progress("bench", 2 * (runs + 1), "runs") as advance:
        work = interleaved(
            {"work": lambda: invocations.append(invoke(event, near))}, runs, advance=advance
        )["work"]
        peak = peak_memory()
        whole = interleaved(
            {"whole": lambda: invoke(event, far)}, runs, clock=time.perf_counter, advance=advance
        )["whole"]
    return _Measured(packed, invocations[1:], work, whole, peak)


def _report(measured: _Measured) -> dict[str, Any]:
    """Return what was measured as JSON has it: seconds, bytes and dollars."""
    from pipeline.measure.prices import firehose_cost, pipeline_cost

    last, whole = measured.invocations[-1], measured.whole.median
    cost = pipeline_cost(last.bytes_in, whole, last.objects)
    return {
        "documents": last.documents,
        "rows": last.rows,
        "dead_letters": dict(last.rejects),
        "objects": last.objects,
        "bytes": last.bytes_in,
        "seconds_of_work": measured.work.median,
        "seconds_with_a_distant_store": whole,
        "peak_memory_bytes": measured.peak,
        "dollars_per_gb": cost.total,
        "dollars_per_gb_of_firehose": firehose_cost(last.bytes_in / max(1, last.documents)),
    }


def _lines(measured: _Measured, distinct: int, runs: int) -> Iterator[str]:
    from pipeline.measure.runs import machine, versions

    last, size = measured.invocations[-1], measured.invocations[-1].bytes_in / _MEGABYTE
    yield (
        f"one event     {len(measured.packed.records):,} stream records, "
        f"{last.documents:,} documents, {size:.2f} MB"
    )
    if distinct < measured.packed.payloads:
        yield f"              of {distinct:,} documents, repeated: real ones compress less"
    yield f"became        {last.rows:,} rows, {last.objects:,} objects"
    for reason, count in sorted(last.rejects.items(), key=lambda item: -item[1]):
        yield f"              {count:,} dead letters: {reason}"
    yield f"on one core   {machine()}; median of {runs} runs (least to most)"
    yield f"              {versions()}"
    yield ""
    yield (
        f"throughput    {size / measured.work.median:,.1f} MB/s, "
        f"{last.documents / measured.work.median:,.0f} documents/s"
    )
    yield (
        f"an event      {_ms(measured.work)} of work, "
        f"{_ms(measured.whole)} with a store as slow as S3"
    )
    yield f"memory        {measured.peak / _MEGABYTE:,.0f} MB at most, this program included"
    yield ""
    yield from _stage_lines(measured)
    yield ""
    yield from _cost_lines(measured)


def _stage_lines(measured: _Measured) -> Iterator[str]:
    stages = {
        stage: statistics.median(invocation.phases[stage] for invocation in measured.invocations)
        for stage in measured.invocations[-1].phases
    }
    total = sum(stages.values()) or 1.0
    yield "where the time goes"
    for stage, milliseconds in stages.items():
        yield f"  {stage:<12}{milliseconds:>8.1f} ms {milliseconds / total:>5.0%}"


def _cost_lines(measured: _Measured) -> Iterator[str]:
    from pipeline.measure.prices import LAMBDA_MEGABYTES, firehose_cost, pipeline_cost

    last = measured.invocations[-1]
    cost = pipeline_cost(last.bytes_in, measured.whole.median, last.objects)
    size = last.bytes_in / max(1, last.documents)
    yield "cost per GB of raw input, if all events are as full, and Lambda is as fast as this"
    yield f"  Lambda, time      ${cost.compute:.4f} at {LAMBDA_MEGABYTES:,} MB"
    yield f"  Lambda, requests  ${cost.requests:.4f}"
    yield f"  S3, PUTs          ${cost.puts:.4f}"
    yield f"  together          ${cost.total:.4f}"
    yield f"  Firehose: ${firehose_cost(size):.4f}, records of {size:,.0f} bytes, to Parquet"
    yield "prices of us-east-1, November 2026; pipeline.measure.prices names the pages"


def _ms(spread: "Spread") -> str:
    return f"{spread.median * 1e3:,.0f} ms ({spread.least * 1e3:,.0f} to {spread.most * 1e3:,.0f})"
