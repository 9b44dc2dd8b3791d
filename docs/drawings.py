"""The drawings of docs/concepts: boxes, arrows and notes, as SVG. `make picture` writes them."""

import html
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "pictures"
_UNIT = 20  # pixels of a step of the grid
_BOX_HEIGHT = 2
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" \
font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="#1f2328">
<title>{title}</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>
<rect width="{width}" height="{height}" rx="8" fill="#f6f8fa"/>"""
_CENTRED = ' text-anchor="middle"'
_FILLS = {"": "#ffffff", "good": "#dafbe1", "bad": "#ffebe9", "note": "#fff8c5"}


@dataclass(frozen=True, slots=True)
class Box:
    """A word or two in a frame, at a place of the grid."""

    x: float
    y: float
    width: float
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes, arrows between two of them (from, to, what it says), and notes without a frame."""

    title: str
    size: tuple[int, int]
    boxes: dict[str, Box]
    arrows: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[tuple[float, float, str], ...] = ()


DRAWINGS = {
    "identity": Drawing(
        "A document's identity is its position: stream, record, user record, document",
        (34, 11),
        {
            "stream": Box(1, 4, 7, "stream and shard"),
            "record": Box(10, 4, 6, "stream record"),
            "user": Box(18, 4, 6, "user record"),
            "document": Box(27, 4, 6, "document", "good"),
        },
        (
            ("stream", "record", ""),
            ("record", "user", ""),
            ("user", "document", ""),
        ),
        (
            (1, 2.8, "_source"),
            (10, 2.8, "_sequence_number"),
            (18, 2.8, "_sub_sequence_number"),
            (27, 2.8, "_document"),
            (
                1,
                8,
                "The four say where a document was on the stream, however Lambda cuts its batches:",
            ),
            (
                1,
                9.2,
                "two rows with the same four are one document.",
            ),
        ),
    ),
    "conservation": Drawing(
        "Documents in are rows, dead letters and drops, counted before the function responds",
        (34, 14),
        {
            "in": Box(1, 5, 8, "14,000 documents"),
            "rows": Box(14, 1, 8, "13,900 rows", "good"),
            "letters": Box(14, 5, 8, "90 dead letters", "bad"),
            "drops": Box(14, 9, 8, "10 drops, by name", "note"),
            "ledger": Box(26, 5, 7, "14,000 in all"),
        },
        (
            ("in", "rows", ""),
            ("in", "letters", ""),
            ("in", "drops", ""),
            ("rows", "ledger", ""),
            ("letters", "ledger", ""),
            ("drops", "ledger", ""),
        ),
        ((1, 13, "Where the sums differ, the function raises: nothing is acknowledged."),),
    ),
    "dead-letters": Drawing(
        "What cannot become a row is kept with its reason, and can be sent again",
        (34, 11),
        {
            "document": Box(1, 2, 6, "document"),
            "rules": Box(10, 2, 8, "schema and rules"),
            "row": Box(22, 2, 5, "row", "good"),
            "letter": Box(10, 7, 8, "dead letter", "bad"),
            "redrive": Box(22, 7, 10, "schema 2, redrive"),
        },
        (
            ("document", "rules", ""),
            ("rules", "row", "fits"),
            ("rules", "letter", "reason, path, bytes"),
            ("letter", "redrive", "later"),
            ("redrive", "row", ""),
        ),
    ),
    "replay": Drawing(
        "A batch that comes again writes the same objects over themselves",
        (34, 12),
        {
            "first": Box(1, 1, 9, "records 10 to 19"),
            "again": Box(1, 5, 9, "records 10 to 19, again"),
            "cut": Box(1, 9, 9, "records 15 to 19"),
            "object": Box(17, 3, 8, "object of 10 to 19", "good"),
            "other": Box(17, 9, 8, "object of 15 to 19", "note"),
        },
        (
            ("first", "object", ""),
            ("again", "object", ""),
            ("cut", "other", "cut differently"),
        ),
        (
            (26, 4.2, "one key, same bytes"),
            (26, 9.8, "rows twice; their"),
            (26, 10.8, "identity tells it"),
        ),
    ),
    "late-data": Drawing(
        "A late document goes to the partition of its own time, or becomes a dead letter",
        (34, 11),
        {
            "now": Box(1, 1, 9, "arrives on 24 November"),
            "late": Box(1, 5, 9, "placed on 23 November"),
            "old": Box(1, 8.5, 9, "placed in 2021"),
            "partition": Box(19, 5, 9, "date=2026-11-23", "good"),
            "window": Box(19, 8.5, 9, "outside_window", "bad"),
        },
        (
            ("late", "partition", "a new object"),
            ("old", "window", "event_time_window"),
        ),
        ((12, 2.2, "The path is of the document's time, not of its arrival."),),
    ),
}


def draw(drawing: Drawing) -> str:
    """Draw one as SVG."""
    width, height = (size * _UNIT for size in drawing.size)
    lines = [_HEAD.format(width=width, height=height, title=html.escape(drawing.title))]
    for start, end, label in drawing.arrows:
        lines.append(_arrow(drawing.boxes[start], drawing.boxes[end], label))
    lines.extend(_box(box) for box in drawing.boxes.values())
    lines.extend(_text(x, y, text, "") for x, y, text in drawing.notes)
    return "\n".join([*lines, "</svg>", ""])


def _box(box: Box) -> str:
    x, y, width, height = (round(step * _UNIT) for step in (box.x, box.y, box.width, _BOX_HEIGHT))
    middle = _text(box.x + box.width / 2, box.y + 1.2, box.text, _CENTRED)
    size = f'width="{width}" height="{height}" rx="4"'
    return f'<rect x="{x}" y="{y}" {size} fill="{_FILLS[box.kind]}" stroke="#57606a"/>\n{middle}'


def _arrow(start: Box, end: Box, label: str) -> str:
    """Draw a line from a side of one to a side of the other: across, or down, or up."""
    if end.x > start.x + start.width:
        x1, y1, x2, y2 = start.x + start.width, start.y + 1, end.x, end.y + 1
    else:
        up = end.y < start.y
        x1, y1 = (start.x + start.width / 2, start.y if up else start.y + _BOX_HEIGHT)
        x2, y2 = (end.x + end.width / 2, end.y + _BOX_HEIGHT if up else end.y)
    points = " ".join(
        f'{name}="{round(at * _UNIT)}"'
        for name, at in zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), strict=True)
    )
    line = f'<line {points} stroke="#57606a" marker-end="url(#head)"/>'
    if not label:
        return line
    if x1 == x2:
        return f"{line}\n{_text(x1 + 0.4, (y1 + y2) / 2 + 0.2, label, '')}"
    return f"{line}\n{_text((x1 + x2) / 2, (y1 + y2) / 2 - 0.4, label, _CENTRED)}"


def _text(x: float, y: float, text: str, how: str) -> str:
    return f'<text x="{round(x * _UNIT)}" y="{round(y * _UNIT)}"{how}>{html.escape(text)}</text>'


def write() -> None:
    """Draw all of them into their folder."""
    for name, drawing in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(drawing), "utf-8")
    print(f"{len(DRAWINGS)} drawings in {FOLDER}")


if __name__ == "__main__":
    write()
