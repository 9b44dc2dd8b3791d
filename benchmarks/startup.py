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
_S3 = {
    "PIPELINE_OUTPUT": "s3://bucket/rows", "PIPELINE_DEAD_LETTERS": "s3://bucket/letters",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
}  # fmt: skip
_OF_THE_MACHINE = ("_CA_BUNDLE", "_PROXY")
_STEPS = ("import", "the first event, datasets read", "the second")


def ask(*arguments: str, **environment: str) -> dict[str, Any]:
    """Run a command of benchmarks/fresh.py in a fresh process, and return its result.

    It may keep bytecode, as the artifact holds it: some machines forbid that, and would then have
    ours compiled each time, and not the libraries, whose bytecode came with their installation.
    Nor does it get certificates and proxies of this machine, with which boto3 would write alone.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.upper().endswith(_OF_THE_MACHINE)
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
    return 5 * plan.rounds + len(MEMORY)


def measure(plan: Plan, corpora: dict[str, Corpus]) -> Section:
    """Time imports and starts in turns; measure the peaks."""
    ours, libraries_alone = list[float](), list[float]()
    starts: list[list[float]] = []
    opened: dict[str, list[float]] = {"a directory": [], "S3": []}
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
            opened["a directory"].append(asked("open")["seconds"])
            opened["S3"].append(asked("open", **_S3)["seconds"])
            plan.advance(5)
        peaks = {}
        for name in MEMORY:
            peaks[name] = asked("memory", name, files[name])["bytes"] / 1e6
            plan.advance(1)
    ratio = Spread.from_values(ours).median / Spread.from_values(libraries_alone).median
    opens = {name: Spread.from_values(seconds) for name, seconds in opened.items()}
    with_s3 = opens["S3"].median / opens["a directory"].median
    tables = [
        _imports(ours, libraries_alone, ratio), _opens(opens, with_s3), _starts(starts),
        _peaks(corpora, peaks),
    ]  # fmt: skip
    figures = {
        "import": ratio, "start with S3": with_s3, "peak MB": peaks["typical"],
        "highest peak MB": max(peaks.values()),
    }  # fmt: skip
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


def _opens(opens: dict[str, Spread], with_s3: float) -> Table:
    ratios = {"a directory": 1.0, "S3": with_s3}
    rows = [[name, times(ratios[name]), ms(spread)] for name, spread in opens.items()]
    note = "The init phase: imports, the repository's seven datasets, and the client, if any."
    return Table(["output", "to a directory", "ms of one core"], rows, note)


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
