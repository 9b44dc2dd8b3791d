"""Tables of the demo: plain, under one line."""

from rich import box
from rich.table import Table


def table_of(*names: str) -> Table:
    """Make a table whose columns are numbers, but for the first two."""
    table = plain_table()
    for position, name in enumerate(names):
        table.add_column(name, justify="right" if position > 1 else "left")
    return table


def plain_table() -> Table:
    """Make a table with a line under its heading alone."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def number(number: int | None) -> str:
    """Write a count, or that there is none."""
    return "-" if number is None else f"{number:,}"
