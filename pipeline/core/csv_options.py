"""How a dataset's CSV is written, for readers that need something else than the rest of the world.

Without a word in `[csv]` of dataset.toml it is RFC 4180 with all text as it is.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

Nul = Literal["keep", "remove", "replace"]
Compression = Literal["none", "gzip"]

FORMULA_STARTS = r"=+\-@\t\r\n\x00＝＋－＠"  # noqa: RUF001 - what spreadsheets take for the ASCII ones
"""What a spreadsheet may take for the beginning of a formula, or skip before one, as of RE2."""


class UnusableCsv(ValueError):
    """What `[csv]` says cannot be done; the text says why."""


class CsvOptions(msgspec.Struct, frozen=True):
    """The options; `formula_guard`, and `nul` unless it is kept, change the text of cells."""

    byte_order_mark: bool = False
    formula_guard: bool = False
    compression: Compression = "none"
    nul: Nul = "keep"

    @property
    def suffix(self) -> str:
        """What the compression adds to a file's name."""
        return ".gz" if self.compression == "gzip" else ""


PLAIN = CsvOptions()

_CHOICES: Mapping[str, tuple[bool | str, ...]] = {
    "byte_order_mark": (False, True),
    "formula_guard": (False, True),
    "compression": get_args(Compression),
    "nul": get_args(Nul),
}


def read_csv_options(given: Any) -> CsvOptions:
    """Read the table `[csv]`. Raises `UnusableCsv`."""
    known = ", ".join(_CHOICES)
    if not isinstance(given, dict):
        message = f"[csv] is a table with the settings {known}."
        raise UnusableCsv(message)
    for name, value in given.items():
        if name not in _CHOICES:
            message = f"unknown setting {name!r} in [csv]; there are {known}."
            raise UnusableCsv(message)
        # By type, too, as 1 equals true.
        if not any(type(value) is type(choice) and value == choice for choice in _CHOICES[name]):
            choices = " or ".join(map(_toml, _CHOICES[name]))
            message = f"[csv] {name} is {choices}."
            raise UnusableCsv(message)
    return CsvOptions(**given)


def _toml(value: bool | str) -> str:  # noqa: FBT001 - a value of TOML
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
