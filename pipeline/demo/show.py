"""The report of a demo, for a terminal of 80 columns or more, or for a file."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from pipeline.commands.terminal import printable
from pipeline.core.formats import Format
from pipeline.core.reasons import Reason
from pipeline.demo.count import DeadLetter, dead_letters, pattern, query
from pipeline.demo.folders import folder_tree
from pipeline.demo.place import Place
from pipeline.demo.screen import (
    examples,
    next_commands,
    screen,
    time_and_cost,
    verdict_line,
)
from pipeline.demo.stream import StreamTotals
from pipeline.demo.tables import number, plain_table
from pipeline.demo.verdict import Delivered, Verdict

_WIDEST = 120
_SHOWN_CHARACTERS = 200
_REASON_WIDTH = 27  # of one column of numbers and reasons
_SHOWN_LETTERS = (Reason.WRONG_TYPE, Reason.KPL_CHECKSUM)
_SQL = """\
SELECT date_trunc('second', placed_at)::VARCHAR AS placed_at, country, status,
       total, customer.id AS customer, len(items) AS items
FROM '{files}'
ORDER BY total DESC, order_id
LIMIT 3;"""


class _Made(ProgressColumn):
    """How many documents are sent: a full event of them, before the first can be stored."""

    def __init__(self, totals: StreamTotals) -> None:
        super().__init__()
        self._totals = totals

    def render(self, task: Task) -> Text:
        """Count when the bar is drawn."""
        made = self._totals.documents.total()
        return Text(f"{made:,} sent, {task.completed:,.0f} stored", no_wrap=True)


@contextlib.contextmanager
def progress(documents: int, totals: StreamTotals) -> Iterator[Callable[[Delivered], None]]:
    """Show a bar on stderr while documents are made and delivered, if somebody looks at it."""
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        BarColumn(),
        _Made(totals),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # The handler's log is caught elsewhere.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task("", total=documents)

        def advance(delivered: Delivered) -> None:
            bar.update(task, completed=delivered.documents.total())

        yield advance


@contextlib.contextmanager
def working(phase: str) -> Iterator[None]:
    """Say on stderr what is being done, if somebody looks at it."""
    console = Console(stderr=True)
    with console.status(phase) if console.is_terminal else contextlib.nullcontext():
        yield


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, as everywhere."""
        raise  # noqa: PLE0704 - rich calls this while it handles the error


def show(
    place: Place,
    verdict: Verdict,
    delivered: Delivered,
    elapsed: Callable[[], float],
    *,
    everything: bool = False,
) -> None:
    """Show one screen on stdout, or everything."""
    console = _Screen(highlight=False)
    console.width = min(console.width, _WIDEST)
    if not everything:
        _print(console, screen(place, verdict, delivered, elapsed(), console.width))
        return
    for title, parts in (
        ("One document, and a broken one", examples(place, verdict, console.width)),
        ("What came out", [folder_tree(place.output), folder_tree(place.dead_letters)]),
        ("Three large orders, read back by DuckDB", _orders(place)),
        ("Two dead letters", _letters(place)),
        ("Dead letters by reason", [_reasons(place, console.width)]),
        ("The balance", [_balance(verdict), verdict_line(verdict)]),
        ("Time", [_time(delivered), time_and_cost(delivered, elapsed())]),
        ("What next", next_commands(place)),
    ):
        console.print(Text(f"\n{title}\n", "bold cyan"))
        _print(console, parts)


def _print(console: Console, parts: Iterable[Any]) -> None:
    for part in parts:
        # Text that is there to be copied must not be wrapped.
        console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))


def _orders(place: Place) -> Iterator[Any]:
    """Three rows of a table, and the SQL that found them."""
    files = pattern(place.output / "orders" / Format.PARQUET, Format.PARQUET).replace("'", "''")
    sql = _SQL.format(files=files)
    names, rows = query(sql)
    yield Text(f"{sql}\n", "green", no_wrap=True)
    table = plain_table()
    for name in names:
        table.add_column(name, justify="left" if name == "placed_at" else "right")
    for row in rows:
        table.add_row(*map(str, row))
    yield table


def _letters(place: Place) -> Iterator[Any]:
    """Two dead letters: one of a document, one of a record that could not be opened."""
    for reason in _SHOWN_LETTERS:
        letter = next(
            (letter for letter in dead_letters(place) if letter["reason"] == reason), None
        )
        if letter is not None:
            yield _letter(letter)


def _letter(letter: DeadLetter) -> Table:
    shard, sequence_number = letter["source"].rpartition("/")[2], letter["sequence_number"]
    within = f"user record {letter['sub_sequence_number']}, document {letter['document']}"
    in_text = letter["payload_encoding"] == "utf-8"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", min_width=11)
    grid.add_column(overflow="fold")
    for name, value in (
        ("reason", Text(letter["reason"], "bold red")),
        ("message", Text(letter["message"])),
        ("path", Text(letter["path"])),
        ("position", Text(f"record {sequence_number}\nof {shard}, {within}")),
        ("payload" if in_text else "in base64", Text(_shortened(letter["payload"]))),
    ):
        grid.add_row(f"  {name}", value)
    grid.add_row()
    return grid


def _shortened(payload: str) -> str:
    """Show the beginning of a payload; what would steer a terminal is written out."""
    beginning = payload[:_SHOWN_CHARACTERS]
    shown = printable(beginning)
    more = len(payload) - len(beginning)
    return f"{shown} … ({more:,} more characters)" if more else shown


def _reasons(place: Place, width: int) -> Table:
    """How many dead letters there are for each reason, down one column after the other."""
    counts = Counter(letter["reason"] for letter in dead_letters(place))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    columns = max(1, width // _REASON_WIDTH)
    height = -(-len(ordered) // columns)
    grid = Table.grid(padding=(0, 2))
    for _ in range(columns):
        grid.add_column(justify="right")
        grid.add_column(no_wrap=True)
    for row in range(height):
        cells = [(f"  {number:,}", reason) for reason, number in ordered[row::height]]
        grid.add_row(*(cell for pair in cells for cell in pair))
    return grid


def _balance(verdict: Verdict) -> Table:
    """The three countings, one below the other, a column for each dataset and one for all."""
    balance = verdict.balance
    formats = sorted({name for row in balance for name in row.rows_in}, reverse=True)
    rows: list[tuple[str, str, list[int | None]]] = [
        ("generator", "documents sent", [row.sent for row in balance]),
        ("pipeline", "documents", [row.documents for row in balance]),
        ("", "= rows", [row.rows for row in balance]),
        ("", "+ dead letters", [row.rejects for row in balance]),
        *(
            ("DuckDB", f"rows in {name}", [row.rows_in.get(name) for row in balance])
            for name in formats
        ),
        ("files", "dead letters", [row.dead_letters for row in balance]),
        ("DuckDB", "distinct identities", [row.identities for row in balance]),
    ]
    table = plain_table()
    table.add_column("counted by", style="dim")
    table.add_column("what")
    for name in (*(row.dataset for row in balance), "all"):
        table.add_column(name, justify="right")
    for counted_by, label, counts in rows:
        total = sum(count or 0 for count in counts)
        table.add_row(counted_by, label, *map(number, counts), number(total))
    verdicts = [_mark(balanced=row.balanced) for row in balance]
    table.add_row("", "", *verdicts, _mark(balanced=verdict.balanced))
    return table


def _mark(*, balanced: bool) -> Text:
    return Text("balanced", "green") if balanced else Text("differs", "bold red")


def _time(delivered: Delivered) -> str:
    cores = delivered.processor_seconds / delivered.seconds
    return f"{_speed(delivered)}, with {cores:.1f} cores busy."


def _speed(delivered: Delivered) -> str:
    megabytes = delivered.data_bytes / 1e6 / delivered.seconds
    documents = delivered.documents.total() / delivered.seconds
    return f"{megabytes:.1f} MB/s, {documents:,.0f} documents/s"
