"""Start-up and memory, each time in a fresh process: imports, cold start, peak."""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.corpora import ROOT, Corpus
from benchmarks.report import Plan, Section, Table, ms, times
from pipeline.measure.runs import Spread

MEMORY = ("typical", "parquet and csv", "250 partitions", "bad 100 %", "wide, 100 fields",
          "large, 20 KB", "zeek, repeated", "gzip, 100 a record", "not aggregated")  # fmt: skip
_STEPS = ("import", "the first event, datasets read", "the second")


def ask(*arguments: str, **environment: str) -> dict[str, Any]:
    """Run a command of benchmarks/fresh.py in a fresh process, and return its result.

    It may keep bytecode, as the artifact holds it: some machines forbid that, and would then have
    ours compiled each time, and not the libraries, whose bytecode came with their installation.
    """
    inherited = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fresh", *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**inherited, **environment},
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def runs(plan: Plan) -> int:
    return 3 * plan.rounds + len(MEMORY)


def measure(plan: Plan, corpora: dict[str, Corpus]) -> Section:
    """Time imports and starts in turns; measure the peaks."""
    ours, libraries_alone = list[float](), list[float]()
    starts: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        asked = partial(ask, PYTHONPYCACHEPREFIX=f"{folder}/bytecode", **_environment(folder))
        libraries = asked("import")["libraries"]  # and their bytecode is there now
        assert "pyarrow.lib" in libraries
        assert "boto3" not in libraries, "only a store on S3 needs boto3"
        files = _events(Path(folder), corpora)
        for _ in range(plan.rounds):
            ours.append(asked("import")["seconds"])
            libraries_alone.append(asked("libraries", ",".join(libraries))["seconds"])
            starts.append(asked("start", files["zeek, repeated"])["steps"])
            plan.advance(3)
        peaks = {}
        for name in MEMORY:
            peaks[name] = asked("memory", name, files[name])["bytes"] / 1e6
            plan.advance(1)
    ratio = Spread.from_values(ours).median / Spread.from_values(libraries_alone).median
    tables = [_imports(ours, libraries_alone, ratio), _starts(starts), _peaks(corpora, peaks)]
    figures = {"import": ratio, "peak MB": peaks["typical"], "highest peak MB": max(peaks.values())}
    return Section("Start-up and memory", tables, figures)


def _events(folder: Path, corpora: dict[str, Corpus]) -> dict[str, str]:
    files = {}
    for number, name in enumerate(MEMORY):
        path = folder / f"{number}.json"
        path.write_text(json.dumps(corpora[name].event))
        files[name] = str(path)
    return files


def _environment(folder: str) -> dict[str, str]:
    return {
        "PIPELINE_OUTPUT": f"file://{folder}/out",
        "PIPELINE_DEAD_LETTERS": f"file://{folder}/dead",
        "PIPELINE_SCHEMAS": str(ROOT / "schemas"),
    }


def _imports(ours: list[float], libraries_alone: list[float], ratio: float) -> Table:
    rows = [
        ["pipeline.handlers", times(ratio), ms(Spread.from_values(ours))],
        ["the libraries it imports, alone", times(1), ms(Spread.from_values(libraries_alone))],
    ]
    return Table(["import", "to its libraries", "ms of one core"], rows)


def _starts(starts: list[list[float]]) -> Table:
    rows = [
        [step, ms(Spread.from_values([start[number] for start in starts]))]
        for number, step in enumerate(_STEPS)
    ]
    note = (
        "A cold start on the repository's seven datasets, then two events (zeek), into a directory."
    )
    return Table(["step", "ms of one core"], rows, note)


def _peaks(corpora: dict[str, Corpus], peaks: dict[str, float]) -> Table:
    rows = [[name, f"{peak:,.0f}", f"{corpora[name].documents:,}"] for name, peak in peaks.items()]
    note = "The most memory a process had that handled one event three times, everything included."
    return Table(["corpus", "MB", "documents"], rows, note)
