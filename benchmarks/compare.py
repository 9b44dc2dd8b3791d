"""How long this checkout takes, to another one: before and after a change.

    python -m benchmarks.compare --before DIR [--rounds 7] [--corpus typical] [--at-most 1.03]

Every round starts a fresh process for each checkout, one right after the other and in changing
order, on one core (benchmarks/checkout.py). It times the import of the handlers, the first event,
which also reads the settings and the schemas, and a full event after that. A ratio is of one round
("after" to "before"); shown are the median, and the least and the most in parentheses.

What both stored is compared first: the same rows and the same dead letters, whatever they are named.
With `--at-most`, the exit code is 1 if the full event's median ratio is above it.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora import ROOT, make
from benchmarks.report import ms
from benchmarks.schemas import TYPICAL, record
from pipeline.commands.progress import progress
from pipeline.measure.runs import Spread, one_core

CORPORA = ("typical", "default absent in half", "bad 1 %", "bad 100 %", "not aggregated",
           "gzip, 100 a record", "lines, 100 a record")  # fmt: skip
"""Those of the typical schema."""
_PROGRAM = Path(__file__).with_name("checkout.py")
_LETTER = ("sequence_number", "sub_sequence_number", "document", "payload_encoding", "payload")
_CONFIG = 'partition_by = ["date(at)"]\n'
Seconds = dict[str, float]


class Side:
    """A checkout, and where it stores its rows and dead letters."""

    def __init__(self, checkout: Path, folder: Path, event: Path) -> None:
        self.checkout = checkout.resolve()
        self.folder = folder
        self.event = event
        self.rounds: list[Seconds] = []

    def measure(self) -> Seconds:
        """Start the checkout once; return its times in seconds."""
        done = subprocess.run(
            [sys.executable, "-P", _PROGRAM, self.event],
            stdout=subprocess.PIPE,
            cwd=self.checkout,
            env=self._environment(),
            check=True,
        )
        result = json.loads(done.stdout)
        package = Path(result["package"])
        assert package.is_relative_to(self.checkout), f"{package} is not in {self.checkout}"
        seconds: Seconds = result["seconds"]
        return seconds

    def rows(self) -> pa.Table:
        """Return the rows that it stored, in the order of their identity."""
        files = sorted((self.folder / "lake").rglob("*.parquet"))
        tables = [pq.read_table(file, partitioning=None) for file in files]
        identity = ("_source", "_sequence_number", "_sub_sequence_number", "_document")
        whole = pa.concat_tables(tables).replace_schema_metadata()
        return whole.sort_by([(name, "ascending") for name in identity])

    def dead_letters(self) -> list[tuple[str, ...]]:
        """Return the dead letters that it stored: where each came from, and its bytes."""
        files = sorted((self.folder / "dead").rglob("*.jsonl.gz"))
        lines = (line for file in files for line in gzip.decompress(file.read_bytes()).splitlines())
        letters = map(json.loads, lines)
        return sorted(tuple(str(letter[name]) for name in _LETTER) for letter in letters)

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("PIPELINE_")
        }
        return {
            **kept,
            "PYTHONPATH": str(self.checkout),
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "OMP_NUM_THREADS": "1",
            "PIPELINE_OUTPUT": (self.folder / "lake").as_uri(),
            "PIPELINE_DEAD_LETTERS": (self.folder / "dead").as_uri(),
            "PIPELINE_SCHEMAS": str(self.event.parent / "schemas"),
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--before", type=Path, required=True, metavar="DIR", help="a checkout")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each that count")
    parser.add_argument("--corpus", choices=CORPORA, default=CORPORA[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the event; 1 is full")
    parser.add_argument("--at-most", type=float, metavar="RATIO", help="fail above this ratio")
    options = parser.parse_args()
    if not (options.before / "pipeline" / "__init__.py").is_file():
        parser.error(f"{options.before} is not a checkout: it has no pipeline/__init__.py.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        documents = _write_event(folder, options.corpus, options.scale)
        with _sides(options.before, folder) as (before, after):
            _run(before, after, options.rounds)
    print(f"{documents:,} documents ({options.corpus}), {options.rounds} rounds, ms of one core")
    ratio = _report(before, after)
    return int(options.at_most is not None and ratio > options.at_most)


def _write_event(folder: Path, name: str, scale: float) -> int:
    """Write the event and its schema; return how many documents are in it."""
    corpus = make(name, scale)
    dataset = folder / "schemas" / "events"
    dataset.mkdir(parents=True)
    (dataset / "1.avsc").write_text(json.dumps(record(TYPICAL)))
    (dataset / "dataset.toml").write_text(_CONFIG)
    (folder / "event.json").write_text(json.dumps(corpus.event))
    return corpus.documents


@contextmanager
def _sides(checkout: Path, folder: Path) -> Iterator[tuple[Side, Side]]:
    """Return the two checkouts, each after a start that leaves bytecode, and with equal output."""
    sides = []
    for name, root in (("before", checkout), ("after", ROOT)):
        (folder / name).mkdir()
        sides.append(Side(root, folder / name, folder / "event.json"))
    before, after = sides
    with one_core():
        for side in sides:
            side.measure()
        assert before.dead_letters() == after.dead_letters(), "different dead letters"
        if has_rows := any((before.folder / "lake").rglob("*.parquet")):
            assert before.rows().equals(after.rows()), "different rows"
        assert has_rows or before.dead_letters(), "nothing was stored"
        yield before, after


def _run(before: Side, after: Side, rounds: int) -> None:
    with progress("compare", 2 * rounds, "starts") as advance:
        for number in range(rounds):
            for side in (before, after) if number % 2 else (after, before):
                side.rounds.append(side.measure())
                advance(1)


def _report(before: Side, after: Side) -> float:
    """Print the times and the ratios; return the full event's median ratio."""
    print(f"{'':18}{'before':>26}{'after':>26}{'after to before':>26}")
    median = 1.0
    for step in before.rounds[0]:
        earlier = [seconds[step] for seconds in before.rounds]
        later = [seconds[step] for seconds in after.rounds]
        ratio = Spread.from_values([one / other for one, other in zip(later, earlier, strict=True)])
        times = f"{ratio.median:.3f}x ({ratio.least:.2f}x to {ratio.most:.2f}x)"
        print(
            f"{step:18}{ms(Spread.from_values(earlier)):>26}{ms(Spread.from_values(later)):>26}{times:>26}"
        )
        median = ratio.median
    return median


if __name__ == "__main__":
    sys.exit(main())
