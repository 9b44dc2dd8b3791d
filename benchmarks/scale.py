"""What more shards and more invocations at once gain: `make simulate-scale`.

A model, not a measurement: two numbers are measured here and now, how long the handler takes for a
full event and for a small one with a store as slow as S3, and the rest follows from Lambda's and
Kinesis' rules. `tests/test_scale.py` holds the rules against Lambda's state machine (pipeline.esm)
and the handlers.
"""

import argparse
import functools
import heapq
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.corpora import make
from pipeline.core.records import StreamRecord
from pipeline.esm.event import EVENT_BYTES, event_size, text_size
from pipeline.files.blocks import CUT
from pipeline.measure.events import SHARD, STREAM
from pipeline.measure.invocation import invoke, make_pipeline
from pipeline.measure.prices import LAMBDA_MEGABYTES, PRICES

READ: Final = 2e6
"""Bytes a second that a shard gives to all its readers, or to one with enhanced fan-out."""
WRITE: Final = 1e6
"""Bytes a second that a shard takes."""
RECORD: Final = 51_200
"""Bytes of a stream record: the KPL's aggregate."""
SHARDS: Final = (1, 2, 5, 10, 30, 100, 300, 1_000)
FILES: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
AT_ONCE: Final = (1, 10, 100, 1_000)
_TIMEOUT: Final = 300 * 0.75
"""Seconds of an invocation for files that are worked in: a quarter is kept to respond in."""
_HOUR: Final = 3_600
_ARRIVED: Final = 1_764_240_000_123_000


@dataclass(frozen=True, slots=True)
class Work:
    """How long an invocation takes: so many seconds, and so many for each byte; its objects."""

    seconds: float
    seconds_per_byte: float
    objects: int = 1

    def of(self, size: float) -> float:
        """Return the seconds of one invocation for so many bytes."""
        return self.seconds + self.seconds_per_byte * size


@dataclass(frozen=True, slots=True)
class Point:
    """What a backfill is: `objects` are the PUTs."""

    invocations: int
    objects: int
    seconds: float
    billed: float

    @property
    def dollars(self) -> float:
        """Lambda's time and requests, and S3's writes; neither stream nor storage."""
        gigabyte_seconds = self.billed * LAMBDA_MEGABYTES / 1_024
        return (
            gigabyte_seconds * PRICES["Lambda, duration (x86)"].dollars
            + self.invocations * PRICES["Lambda, requests"].dollars
            + self.objects * PRICES["S3 Standard, PUT"].dollars
        )


@functools.cache
def records_of_event(record: int = RECORD) -> int:
    """Return how many stream records of this size an event has."""
    one = StreamRecord("9" * 56, "a", _ARRIVED, bytes(record))
    size = text_size(one, STREAM, SHARD)
    most = 1
    while event_size([size] * (most + 1)) <= EVENT_BYTES:
        most += 1
    return most


def of_shards(size: float, shards: int, work: Work, record: int = RECORD) -> Point:
    """Return what it takes to read `size` bytes that wait, evenly, on so many shards.

    A shard has one invocation at a time, and gives 2 MB/s: the slower of the two is its pace.
    """
    records, most = math.ceil(size / shards / record), records_of_event(record)
    full, rest = divmod(records, most)
    billed = full * work.of(most * record) + (work.of(rest * record) if rest else 0.0)
    first, last = min(records, most) * record / READ, work.of((rest or most) * record)
    seconds = max(records * record / READ + last, first + billed)
    count = (full + bool(rest)) * shards
    return Point(count, count * work.objects, seconds, billed * shards)


def of_files(sizes: Sequence[float], at_once: int, work: Work) -> Point:
    """Return what it takes to store files of these sizes, each taken by the next that is free.

    A file is one piece of work, however large: it is done block after block. A file that does not
    get through within an invocation goes on in the next. Each block has its objects, and one more
    that says it is done.
    """
    free = [0.0] * min(at_once, len(sizes))
    invocations, blocks, billed = 0, 0, 0.0
    for size in sizes:
        count = max(1, math.ceil(size / CUT.block_bytes))
        seconds = work.seconds * count + work.seconds_per_byte * size
        heapq.heapreplace(free, free[0] + seconds)
        invocations += max(1, math.ceil(seconds / _TIMEOUT))
        blocks += count
        billed += seconds
    return Point(invocations, blocks * (work.objects + 1), max(free), billed)


def measured(rounds: int = 3) -> Work:
    """Measure a full event and a small one, by the clock, with a store as slow as S3."""
    points = []
    for scale in (0.1, 1.0):
        corpus = make("typical", scale)
        took = []
        for _ in range(rounds):
            pipeline = make_pipeline(corpus.datasets, distant=True)
            start = time.perf_counter()
            found = invoke(corpus.event, pipeline)
            took.append(time.perf_counter() - start)
        points.append((found.bytes_in, min(took), found.objects))
    (small, quick, _), (large, slow, objects) = points
    per_byte = max(0.0, (slow - quick) / (large - small))
    return Work(max(0.0, slow - per_byte * large), per_byte, objects)


# ------------------------------------------------------------------------------- what is shown


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds >= 48 * _HOUR:
        return f"{seconds / 24 / _HOUR:,.1f} d"
    if seconds >= 2 * _HOUR:
        return f"{seconds / _HOUR:,.1f} h"
    return f"{seconds / 60:,.1f} min" if seconds >= 120 else f"{seconds:,.1f} s"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, which is also read as it is."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def shard_rows(size: float, work: Work) -> list[list[str]]:
    """Return the rows of a backlog of so many bytes."""
    rows = []
    for shards in SHARDS:
        point = of_shards(size, shards, work)
        rows.append([
            f"{shards:,}", f"{point.invocations:,}", duration(point.seconds),
            f"{size / point.seconds / 1e6:,.1f}", f"{point.dollars:,.2f}",
        ])  # fmt: skip
    return rows


def file_rows(size: float, work: Work) -> list[list[str]]:
    """Return the rows of files of so many bytes each."""
    rows = []
    for count in FILES:
        points = [of_files([size] * count, at_once, work) for at_once in AT_ONCE]
        rows.append([
            f"{count:,}", f"{points[0].invocations:,}",
            *(duration(point.seconds) for point in points), f"{points[0].dollars:,.2f}",
        ])  # fmt: skip
    return rows


_WIDTH, _HEIGHT, _MARGIN = 640, 400, 60
_COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8a5a9e")


def plot(title: str, across: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """Draw seconds over a number, both in powers of ten, as SVG."""
    points = [point for line in lines.values() for point in line]
    last_x = max(1, math.ceil(math.log10(max(x for x, _ in points))))
    low = math.floor(math.log10(min(y for _, y in points)))
    high = max(low + 1, math.ceil(math.log10(max(y for _, y in points))))

    def at(x: float, y: float) -> tuple[float, float]:
        right, up = math.log10(x) / last_x, (math.log10(y) - low) / (high - low)
        inner = _HEIGHT - 2 * _MARGIN
        return _MARGIN + right * (_WIDTH - 3 * _MARGIN), _HEIGHT - _MARGIN - up * inner

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_MARGIN}" y="30" font-size="15">{title}</text>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{across}</text>',
    ]
    for power in range(low, high + 1):
        x, y = at(1, 10.0**power)
        parts.append(
            f'<line x1="{x}" x2="{_WIDTH - 2 * _MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end">{duration(10.0**power)}</text>'
        )
    for power in range(last_x + 1):
        x, y = at(10.0**power, 10.0**low)
        parts.append(
            f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{10**power:,}</text>'
        )
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line))
        x, y = at(*line[-1])
        parts.append(
            f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, and write the plots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1_000.0, help="backlog of the stream")
    parser.add_argument("--file-megabytes", type=float, default=64.0, help="size of each file")
    parser.add_argument("--out", type=Path, default=Path("build/scale"), help="folder of the plots")
    options = parser.parse_args(arguments)
    for name in ("gigabytes", "file_megabytes"):
        if not 0 < getattr(options, name) <= 1e6:
            parser.error(f"--{name.replace('_', '-')} is a number above 0, and 1,000,000 at most.")
    work = measured()
    event = records_of_event() * RECORD
    print(
        f"Measured here, now: {work.seconds * 1_000:,.0f} ms an invocation and "
        f"{work.seconds_per_byte * 1e9:,.1f} ms a MB, so {work.of(event) * 1_000:,.0f} ms for a "
        f"full event of {event / 1e6:.1f} MB. All else is the model.\n"
    )
    size, file = options.gigabytes * 1e9, options.file_megabytes * 1e6
    print(f"{options.gigabytes:,g} GB that wait on a stream:\n")
    head = ["shards", "invocations", "time", "MB/s", "dollars"]
    print(table(head, shard_rows(size, work)))
    print(f"\nFiles of {options.file_megabytes:,g} MB, so many at once:\n")
    head = ["files", "invocations", *(f"{count:,} at once" for count in AT_ONCE), "dollars"]
    print(table(head, file_rows(file, work)))
    plots = {
        "shards.svg": plot(
            f"{options.gigabytes:,g} GB that wait on a stream", "shards",
            {"": [(shards, of_shards(size, shards, work).seconds) for shards in SHARDS]},
        ),
        "files.svg": plot(
            f"Files of {options.file_megabytes:,g} MB", "files",
            {
                f"{at_once:,} at once": [
                    (count, of_files([file] * count, at_once, work).seconds) for count in FILES
                ]
                for at_once in AT_ONCE
            },
        ),
    }  # fmt: skip
    print()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in plots.items():
        (options.out / name).write_text(text, encoding="utf-8")
        print(f"wrote {options.out / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
