"""The picture of the demo in README.md: what `pipeline demo` shows on a terminal, drawn as SVG.

`make picture` runs the demo, and writes docs/pictures/demo.svg. Nothing in the picture is fetched
from elsewhere when it is looked at.
"""

import html
import os
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

PICTURE = Path(__file__).parent / "pictures" / "demo.svg"
COLUMNS = 80
_PIXELS_OF_A_CHARACTER = 8.4
_PIXELS_OF_A_LINE = 19
_MARGIN = 18
_COMMAND = "make demo"
_FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def shown(documents: int | None = None) -> str:
    """Run the demo as at a terminal of 80 columns; return what it shows, with its colours."""
    size = [] if documents is None else ["--documents", str(documents)]
    folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "COLUMNS": str(COLUMNS),
        "FORCE_COLOR": "1",
        "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")]),
        "TERM": "xterm-256color",
    }
    environment.pop("NO_COLOR", None)
    with tempfile.TemporaryDirectory() as place:
        return subprocess.run(
            [str(Path(folder, "pipeline")), "demo", *size],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            check=True,
        ).stdout


def draw(output: str) -> str:
    """Draw what a terminal was sent as SVG."""
    console = Console(file=StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor")
    prompt = Text.assemble(("$ ", "color(2)"), (_COMMAND, "bold"), "\n\n")
    lines = console.render_lines(prompt + Text.from_ansi(output.rstrip()), pad=False)
    width = round(COLUMNS * _PIXELS_OF_A_CHARACTER) + 2 * _MARGIN
    height = len(lines) * _PIXELS_OF_A_LINE + 2 * _MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>What make demo shows on a terminal</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{_hex(_BACKGROUND)}"/>',
        f'<g font-family="{_FONT}" font-size="14" fill="{_hex(_FOREGROUND)}">',
    ]
    for number, line in enumerate(lines, 1):
        column = 0
        for segment in line:
            # Not all that draws SVG keeps spaces: what they are between is placed one by one.
            for words in re.finditer(r"\S+(?: \S+)*", segment.text):
                x = _MARGIN + (column + words.start()) * _PIXELS_OF_A_CHARACTER
                y = _MARGIN + number * _PIXELS_OF_A_LINE - 5
                length = len(words[0]) * _PIXELS_OF_A_CHARACTER
                drawn.append(
                    f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{_look(segment.style)}>'
                    f"{html.escape(words[0], quote=False)}</text>"
                )
            column += len(segment.text)
    return "\n".join([*drawn, "</g>", "</svg>", ""])


_BACKGROUND, _FOREGROUND = (22, 27, 34), (230, 237, 243)
_COLOURS = {1: "#ff7b72", 2: "#7ee787", 6: "#79c0ff"}  # as terminals number them


def _look(style: Style | None) -> str:
    if style is None:
        return ""
    colour = style.color and _COLOURS.get(style.color.number or 0)
    looks = [f' fill="{colour}"'] * bool(colour)
    looks += [' font-weight="bold"'] * bool(style.bold)
    looks += [' opacity="0.65"'] * bool(style.dim)
    return "".join(looks)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(shown()), "utf-8")
    print(PICTURE)
