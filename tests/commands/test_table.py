"""Tables on standard output: plain where nobody looks, whole words everywhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from pipeline.commands.table import print_table

HEADER = ["field", "count", "notes"]
ROWS = [["started_at", "1,000", "a time with its zone"], ["[red]x", "7", ""]]
SHOW = f"""
from pipeline.commands.table import print_table
print_table({HEADER!r}, {ROWS!r}, numbers=["count"], prose="notes", indent=2)
"""


def test_columns_line_up_and_numbers_stand_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(HEADER, ROWS, numbers=["count"], indent=2)
    assert capsys.readouterr().out == (
        "  field       count  notes\n"
        "  started_at  1,000  a time with its zone\n"
        "  [red]x          7\n"
    )  # fmt: skip


@pytest.mark.parametrize("variable", ["COLUMNS", "FORCE_COLOR"])
def test_piped_it_is_plain_text_and_a_row_is_a_line(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "10")
    print_table(HEADER, [["x", "1", "word " * 200]], prose="notes")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1] == ("x      1      " + "word " * 200).rstrip()


def test_a_wide_character_takes_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [["日本", "x"], ["long", "y"]])
    assert capsys.readouterr().out == "a     b\n日本  x\nlong  y\n"


@pytest.mark.parametrize("columns", [1, 30, 36])
def test_a_narrow_terminal_breaks_prose_between_words_and_nothing_else(columns: int) -> None:
    shown = on_terminal(columns)
    words = shown.split()
    assert sorted(words) == sorted(" ".join([*HEADER, *ROWS[0], *ROWS[1]]).split())
    assert "  started_at  1,000  a" in shown
    assert len(shown.splitlines()) > 3


def test_a_wide_terminal_breaks_nothing() -> None:
    assert len(on_terminal(200).splitlines()) == 3


def on_terminal(columns: int) -> str:
    """Return what a terminal of so many columns is sent, without its styles."""
    ours, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
    subprocess.run([sys.executable, "-c", SHOW], stdout=terminal, env=environment, check=True)
    os.close(terminal)
    sent = os.read(ours, 65_536)
    os.close(ours)
    return sent.decode().replace("\r\n", "\n")
