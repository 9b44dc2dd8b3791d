"""What was measured as Markdown: tables, ratios first, and plots beside them."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.corpora import ROOT
from pipeline.measure.runs import Spread


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: events of which size, how many runs; `advance` is called for each."""

    scale: float
    rounds: int
    advance: Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Table:
    """One table; a column is aligned as its first cell is, a number or text. The first is text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def lines(self) -> Iterable[str]:
        """Write it as Markdown."""
        if self.note:
            yield from (self.note, "")
        yield f"| {' | '.join(self.head)} |"
        numbers = ("---:" if _is_number(cell) else "---" for cell in self.rows[0][1:])
        yield f"|---|{'|'.join(numbers)}|"
        for row in self.rows:
            yield f"| {' | '.join(row)} |"
        yield ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over a horizontal axis, both axes logarithmic; the title says what was found."""

    name: str
    title: str
    across: str
    up: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Section:
    """What one of the benchmarks found; `figures` are compared with the targets."""

    title: str
    tables: Sequence[Table]
    figures: dict[str, float] = field(default_factory=dict)
    plots: Sequence[Plot] = ()


PLOTS = "plots.json"
"""Beside the report: what its plots are drawn from, so that they can be drawn again."""


def write(
    folder: Path, head: Iterable[str], sections: Sequence[Section], python: Path | None
) -> Path:
    """Write README.md and the plots into a folder; return the file's path.

    `python` is an interpreter that has matplotlib; without one, there are no pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = draw([plot for section in sections for plot in section.plots], folder, python)
    lines = list(head)
    for section in sections:
        lines += [f"## {section.title}", ""]
        for table in section.tables:
            lines += table.lines()
        for plot in section.plots:
            if plot.name in drawn:
                lines += [f"![{plot.title}]({plot.name}.svg)", ""]
    path = folder / "README.md"
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


def draw(plots: Sequence[Plot], folder: Path, python: Path | None) -> set[str]:
    """Store what plots are drawn from, and draw them; return the names of those drawn."""
    file = folder / PLOTS
    file.write_text(json.dumps([asdict(plot) for plot in plots]) + "\n")
    for plot in plots:
        (folder / f"{plot.name}.svg").unlink(missing_ok=True)  # an older one would not fit
    if python is None:
        print("The plots were not drawn: `make bench` installs what draws them.", file=sys.stderr)
        return set()
    subprocess.run([python, "-m", "benchmarks.plots", file, folder], cwd=ROOT, check=True)
    return {plot.name for plot in plots}


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit()


# ------------------------------------------------------------------------------------ numbers


def ms(spread: Spread) -> str:
    """Write a spread of seconds as milliseconds."""
    return f"{spread.median * 1e3:,.1f} ({spread.least * 1e3:,.1f} to {spread.most * 1e3:,.1f})"


def times(ratio: float) -> str:
    """Write a ratio."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line nearest to the points on logarithmic axes."""
    across = [math.log(x) for x, _ in points]
    up = [math.log(y) for _, y in points]
    x, y = sum(across) / len(across), sum(up) / len(up)
    steepness = sum((a - x) * (b - y) for a, b in zip(across, up, strict=True))
    return steepness / sum((a - x) ** 2 for a in across)
