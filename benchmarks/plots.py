"""Draws plots with matplotlib, which is in .venv-bench alone.

`.venv-bench/bin/python -m benchmarks.plots FILE FOLDER` draws every plot of a JSON file, as
`report.write` stores it beside the results, into a folder: as SVG, or as PNG with `--png`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

_INCHES = (6.4, 4.0)
_MOST_MEASURED = 12  # points; a line of more is computed, and has no marks
_COLOURS = ("#0b5fa5", "#b3261e", "#2e7d32", "#8a5a00")
_STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 10,
    "svg.hashsalt": "benchmarks",  # the same plot is the same file
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--png", action="store_true", help="draw PNGs instead of SVGs")
    options = parser.parse_args()
    kind = "png" if options.png else "svg"
    for plot in json.loads(options.file.read_text("utf-8")):
        path = options.folder / f"{plot['name']}.{kind}"
        with mpl.rc_context(_STYLE):
            metadata = {"Date": None} if kind == "svg" else None
            draw(plot).savefig(path, dpi=110, metadata=metadata)


def draw(plot: dict[str, Any]) -> Figure:
    """Draw lines over logarithmic axes; where there are several, each is named at its beginning."""
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(plot["title"], loc="left", fontweight="bold", pad=12)
    axes.set_xlabel(plot["across"])
    axes.set_ylabel(plot["up"])
    axes.set(xscale="log", yscale="log")
    for (name, points), colour in zip(plot["lines"].items(), _COLOURS, strict=False):
        across, up = zip(*points, strict=True)
        marker = "o" if len(points) <= _MOST_MEASURED else ""
        axes.plot(across, up, color=colour, marker=marker, markersize=4, linewidth=1.8)
        if len(plot["lines"]) > 1:
            place = (0, 8 if up[1] <= up[0] else -16)  # points away, on the side without the line
            axes.annotate(
                name, (across[0], up[0]), xytext=place, textcoords="offset points", color=colour
            )
    axes.margins(x=0.05, y=0.12)
    for axis in (axes.xaxis, axes.yaxis):
        _ticks(axis, axis.get_view_interval())
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def _ticks(axis: Any, interval: tuple[float, float]) -> None:
    """Name powers of ten; within less than two of them, their doubles and quintuples as well."""
    low, high = interval
    axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 100 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


if __name__ == "__main__":
    main()
