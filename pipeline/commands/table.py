"""Tables on standard output."""

import shutil
import sys
from collections.abc import Collection, Sequence
from io import StringIO
from typing import Literal

_UNBROKEN = 1_000_000  # characters; wider than any table


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Collection[str] = (),
    prose: str | None = None,
    indent: int = 0,
) -> None:
    """Print lined-up columns; those that `numbers` names stand to the right.

    Piped, it is plain text, one line for each row. On a terminal that is too narrow for it, the
    column `prose` is broken between words; nothing else is broken.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.measure import Measurement
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, cells in zip(header, zip(header, *rows, strict=True), strict=True):
        justify: Literal["left", "right"] = "right" if name in numbers else "left"
        width = None if name == prose else max(map(cell_len, cells))
        table.add_column(Text(name), justify=justify, width=width, no_wrap=name != prose)
    for row in rows:
        table.add_row(*map(Text, row))
    indented = Padding(table, (0, 0, 0, indent), expand=False)
    on_terminal = sys.stdout.isatty()
    # With a height of its own, or rich would not mind the width where TERM is dumb.
    console = Console(file=StringIO(), force_terminal=on_terminal, width=_UNBROKEN, height=1)
    if on_terminal:
        narrowest = Measurement.get(console, console.options, indented).minimum
        console.width = max(narrowest, shutil.get_terminal_size().columns)
    with console.capture() as capture:
        console.print(indented)
    for line in capture.get().splitlines():
        print(line.rstrip())
