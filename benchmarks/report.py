"""What was measured as Markdown: tables, ratios first, and small plots beside them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """Lines over a horizontal axis, both axes logarithmic."""

    name: str
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


def write(folder: Path, head: Iterable[str], sections: Iterable[Section]) -> Path:
    """Write README.md and the plots into a folder; return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = list(head)
    for section in sections:
        lines += [f"## {section.title}", ""]
        for table in section.tables:
            lines += table.lines()
        for plot in section.plots:
            (folder / f"{plot.name}.svg").write_text(svg(plot))
            lines += [f"![{plot.up} over {plot.across}]({plot.name}.svg)", ""]
    path = folder / "README.md"
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


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


# -------------------------------------------------------------------------------------- plots

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 480, 280, 56, 40
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


def svg(plot: Plot) -> str:
    """Draw a plot."""
    points = [point for line in plot.lines.values() for point in line]
    across, up = (_Axis.over([point[axis] for point in points]) for axis in (0, 1))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        '<g font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_grid(across, up),
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{plot.across}</text>',
        f'<text x="6" y="12">{plot.up}</text>',
    ]
    for number, (name, line) in enumerate(plot.lines.items()):
        parts += _line(name, line, (across, up), number)
    return "\n".join([*parts, "</g>", "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Axis:
    low: int
    high: int

    @classmethod
    def over(cls, values: Iterable[float]) -> "_Axis":
        """Reach from power of ten to power of ten."""
        logs = [math.log10(value) for value in values]
        low = math.floor(min(logs))
        return cls(low, max(math.ceil(max(logs)), low + 1))

    def at(self, value: float) -> float:
        """Return how far along the axis a value is, from 0 to 1."""
        return (math.log10(value) - self.low) / (self.high - self.low)


def _x(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - 16), 1)


def _y(share: float) -> float:
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - 24), 1)


def _grid(across: _Axis, up: _Axis) -> Iterable[str]:
    for power in range(across.low, across.high + 1):
        x = _x(across.at(10.0**power))
        yield f'<path d="M{x} {_y(0)}V{_y(1)}" stroke="#ddd"/>'
        yield f'<text x="{x}" y="{_y(0) + 14}" text-anchor="middle">{10.0**power:,g}</text>'
    for power in range(up.low, up.high + 1):
        y = _y(up.at(10.0**power))
        yield f'<path d="M{_x(0)} {y}H{_x(1)}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{10.0**power:,g}</text>'


def _line(
    name: str, line: Sequence[tuple[float, float]], axes: tuple[_Axis, _Axis], number: int
) -> Iterable[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    places: list[Any] = [(_x(axes[0].at(x)), _y(axes[1].at(y))) for x, y in line]
    path = " ".join(f"{x},{y}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
    yield f'<text x="{_x(0) + 8}" y="{36 + 14 * number}" fill="{colour}">{name}</text>'
