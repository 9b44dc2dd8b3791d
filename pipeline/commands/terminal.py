"""What a terminal is shown, and what must not reach one."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def stderr_terminal() -> "Console | None":
    """Return stderr as a terminal to draw on; None where it is piped, and gets plain lines."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else None


def printable(text: str) -> str:
    """Write what a stranger sent so that it cannot steer a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
