"""What `schemas/stream.toml` says of a stream as a whole.

How documents stand in its payloads, and what has to be taken out of them first.
"""

import tomllib
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from pipeline.core.envelope_rules import MOST_RULES, Rule, read_rules
from pipeline.core.errors import DatasetError
from pipeline.core.payload_format import PayloadFormat, read_payload_format

NAME = "stream.toml"
_SETTINGS = ("framing", "preset", "envelope", "payload")


class Framing(StrEnum):
    """How documents stand in a payload or a file."""

    DOCUMENTS = "documents"
    """In any way that JSON can: one over several lines, one a line, back to back, in an array."""
    LINES = "lines"
    """One a line: each line is judged alone, whatever is in it."""


class Stream(msgspec.Struct, frozen=True):
    """The settings of a stream; without a file, the defaults.

    `rules` are those of its presets, in their order, and behind them its own. `payload` is what its
    payloads are where they are not JSON.
    """

    framing: Framing = Framing.DOCUMENTS
    rules: tuple[Rule, ...] = ()
    presets: tuple[str, ...] = ()
    payload: PayloadFormat | None = None


PresetReader = Callable[[str], str | None]
"""Returns the text of a preset by its name; None where there is none of it."""


def parse_stream(
    text: str, path: str, preset: PresetReader = lambda _: None, known: tuple[str, ...] = ()
) -> Stream:
    """Read the text of a stream.toml. Raises `DatasetError` with every fault of it.

    `preset` reads those that there are, which are `known`.
    """
    settings = _loaded(text, path)
    faults = [
        f"{path}: unknown setting {name!r}; there are {', '.join(_SETTINGS)}."
        for name in sorted(set(settings) - set(_SETTINGS))
    ]
    framing = settings.get("framing", Framing.DOCUMENTS)
    if framing not in set(Framing):
        faults.append(f'{path}: framing is "documents" or "lines".')
    rules, presets = list[Rule](), _names(settings.get("preset", []))
    if presets is None:
        faults.append(f"{path}: preset is the name of a preset, or a list of names.")
    for name in presets or ():
        given = preset(name)
        if given is None:
            faults.append(f"{path}: there is no preset {name!r}; there are {', '.join(known)}.")
        else:
            rules += parse_preset(given, f"preset {name}")
    own, wrong = read_rules(settings.get("envelope", []), path)
    rules += own
    faults += wrong
    if len(rules) > MOST_RULES >= len(own):
        faults.append(f"{path}: with its presets it has {len(rules)} rules; {MOST_RULES} are most.")
    payload = None
    if "payload" in settings:
        payload, wrong = read_payload_format(settings["payload"], path)
        faults += wrong
    if faults:
        raise DatasetError("\n".join(faults))
    return Stream(Framing(framing), tuple(rules), presets or (), payload)


def parse_preset(text: str, where: str) -> tuple[Rule, ...]:
    """Read the rules of a preset. Raises `DatasetError` with every fault."""
    rules, faults = read_rules(_loaded(text, where).get("envelope", []), where)
    if faults:
        raise DatasetError("\n".join(faults))
    return rules


def _loaded(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{path} is not TOML: {error}."
        raise DatasetError(message) from None


def _names(given: Any) -> tuple[str, ...] | None:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)
