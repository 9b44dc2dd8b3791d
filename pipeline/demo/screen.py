"""What a demo shows: a document and its row, a broken one and its dead letter, the balance.

It fits one screen of 80 columns and 30 lines; `show.py` has the rest, for `--all`.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from pipeline.commands.terminal import printable
from pipeline.core.formats import Format
from pipeline.core.reasons import Reason
from pipeline.demo.count import DeadLetter, dead_letters, pattern, query
from pipeline.demo.place import SAMPLE, Place, new_folder
from pipeline.demo.tables import number, plain_table
from pipeline.demo.verdict import Delivered, Verdict
from pipeline.measure.prices import firehose_cost, pipeline_cost

_LABEL: Final = 6  # characters: in, out, bad
_LINES_OF_A_DOCUMENT: Final = 4
_LONG: Final = re.compile(r'"([^"\\]{8})[^"]{25,}"')
_ROW: Final = """
    SELECT order_id[:8] || '…' AS order_id, strftime(placed_at, '%Y-%m-%d %H:%M:%S') AS placed_at,
           status, total, customer.id AS "customer.id", len(items) AS items, filename
    FROM read_parquet('{files}', filename = true) WHERE order_id = '{order}'
"""


def screen(
    place: Place, verdict: Verdict, delivered: Delivered, total: float, width: int
) -> Iterator[Any]:
    """Yield all of it, from top to bottom."""
    yield from examples(place, verdict, width)
    yield _balance(verdict)
    yield verdict_line(verdict)
    yield Text(f"\n{time_and_cost(delivered, total)}\n")
    yield from next_commands(place)


def examples(place: Place, verdict: Verdict, width: int) -> Iterator[Any]:
    """Yield a document and the row that it became, and a broken one with its dead letter."""
    example = min(verdict.sample, key=len)
    for label, style, parts in (
        ("in", "bold", _document(example, width)),
        ("out", "bold green", _row(place, example)),
        ("bad", "bold red", _letter(place, width)),
    ):
        grid = Table.grid()
        grid.add_column(style=style, width=_LABEL)
        grid.add_column()
        for position, part in enumerate(parts):
            grid.add_row("" if position else label, part)
        yield grid
        yield Text()


def _document(document: bytes, width: int) -> Iterator[Text]:
    """Show a document as it was sent, broken between members; long strings are shortened."""
    members = re.split(r"(?<=,)", _LONG.sub(r'"\1…"', printable(document.decode())))
    lines = [""]
    for member in members:
        if len(lines[-1]) + len(member) > width - _LABEL:
            lines.append("")
        lines[-1] += member
    if len(lines) > _LINES_OF_A_DOCUMENT:
        lines[_LINES_OF_A_DOCUMENT - 1 :] = [f"{lines[_LINES_OF_A_DOCUMENT - 1]} …"]
    for line in lines:
        yield Text(line, no_wrap=True)


def _row(place: Place, document: bytes) -> Iterator[Any]:
    """Show the row that it became, as DuckDB reads it, and the object that the row is in."""
    files = pattern(place.output / "orders" / Format.PARQUET, Format.PARQUET).replace("'", "''")
    order = msgspec.json.decode(document)["order_id"]
    names, rows = query(_ROW.format(files=files, order=order))
    if not rows:
        yield Text("It is NOT there.", "bold red")
        return
    *cells, path = rows[0]
    table = plain_table()
    for name in names[:-1]:
        table.add_column(name)
    table.add_row(*map(str, cells))
    yield Text(f"{Path(path).parent.relative_to(place.output).as_posix()}/….parquet", "dim")
    yield table


def _letter(place: Place, width: int) -> Iterator[Text]:
    """Show a document that could not become a row, and what its dead letter says of it."""
    letter = min(
        (letter for letter in dead_letters(place) if letter["reason"] == Reason.WRONG_TYPE),
        key=lambda letter: len(letter["payload"]),
        default=None,
    )
    if letter is None:
        yield Text("There is no such dead letter.", "bold red")
        return
    yield from _document(letter["payload"].encode(), width)
    yield Text.assemble((letter["reason"], "red"), f" at {letter['path']}: {letter['message']}")
    yield Text(_position(letter), "dim")


def _position(letter: DeadLetter) -> str:
    shard = letter["source"].rpartition("/")[2]
    return (
        f"{shard}, record …{letter['sequence_number'][-6:]}, user record "
        f"{letter['sub_sequence_number']}; kept as it came"
    )


def _balance(verdict: Verdict) -> Table:
    """Show the three countings of all datasets, one below the other."""
    balance = verdict.balance
    sent, rejects = sum(row.sent for row in balance), sum(row.rejects for row in balance)
    rows, letters = sum(row.rows for row in balance), sum(row.dead_letters for row in balance)
    in_parquet = sum(row.rows_in.get(Format.PARQUET, 0) for row in balance)
    table = plain_table()
    table.add_column("counted by", style="dim")
    for name in ("documents", "rows", "dead letters"):
        table.add_column(name, justify="right")
    for who, *counts in (
        ("what was sent", sent, sent - verdict.broken, verdict.broken),
        ("the handler", sum(row.documents for row in balance), rows, rejects),
        ("DuckDB, in the files", sum(row.identities for row in balance), in_parquet, letters),
    ):
        documents, good, bad = map(number, counts)
        table.add_row(who, documents, f"= {good}", f"+ {bad}")
    return table


def verdict_line(verdict: Verdict) -> Text:
    """Say whether nothing was lost, and what that means."""
    if not verdict.balanced:
        return Text("\nNOT balanced: " + "; ".join(verdict.faults()) + ".", "bold red")
    sent = sum(row.sent for row in verdict.balance)
    rows = sum(row.rows for row in verdict.balance)
    again = verdict.redelivery
    return Text.assemble(
        (
            f"\nBalanced: {sent:,} documents = {rows:,} rows + {sent - rows:,} dead letters.",
            "green",
        ),
        " Each identity is there once; each dead letter has the reason it must have. One event "
        f"was delivered twice ({again.documents:,} documents, {again.objects:,} objects): same "
        "keys, same bytes.",
    )


def time_and_cost(delivered: Delivered, total: float) -> str:
    """Say how long it took, and what that would cost in AWS, unless its events are not AWS's."""
    cost = pipeline_cost(delivered.data_bytes, delivered.seconds, delivered.objects).total
    others = firehose_cost(delivered.data_bytes / max(1, delivered.documents.total()))
    who = delivered.who.lower()
    took = (
        f"{delivered.seconds:.1f} s in {who}, {total:.1f} s in all; {delivered.objects:,} objects"
    )
    if delivered.small_events:
        return f"{took}, as the events were kept small for the page to show."
    return f"{took}: ${cost:.2f} a GB (Firehose: ${others:.2f})."


def next_commands(place: Place) -> Iterator[Text]:
    """Name three commands that work as they stand."""
    here = shlex.quote(str(nearest(place.root)))
    yield Text(f"Everything is in {here}. Next, the last one with a file of yours:", no_wrap=True)
    for arguments in (
        "demo --all",
        f"dead-letters {here}/dead-letters",
        f"infer {here}/{SAMPLE} --out {here}/{new_folder(place)}",
    ):
        yield Text(f"  {command_line()} {arguments}", "bold", no_wrap=True)


def nearest(path: Path) -> Path:
    """Return a path as it is named from here, where it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path


def command_line() -> str:
    """Return how this command line was started, so that what is shown can be pasted."""
    started = Path(sys.argv[0])
    if started.name in {"pipeline", "kinesis-s3-pipeline"}:
        found = shutil.which(started.name)
        if found and Path(found).resolve() == started.resolve():
            return started.name
        return shlex.quote(str(nearest(started.absolute())))
    return f"{shlex.quote(str(nearest(Path(sys.executable))))} -m pipeline"
