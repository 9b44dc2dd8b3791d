"""What `schemas/stream.toml` says of a stream as a whole: how documents stand in its payloads."""

import tomllib
from enum import StrEnum

import msgspec

from pipeline.core.errors import DatasetError

NAME = "stream.toml"


class Framing(StrEnum):
    """How documents stand in a payload or a file."""

    DOCUMENTS = "documents"
    """In any way that JSON can: one over several lines, one a line, back to back, in an array."""
    LINES = "lines"
    """One a line: each line is judged alone, whatever is in it."""


class Stream(msgspec.Struct, frozen=True):
    """The settings of a stream; without a file, the defaults."""

    framing: Framing = Framing.DOCUMENTS


def parse_stream(text: str, path: str) -> Stream:
    """Read the text of a stream.toml. Raises `DatasetError` for what cannot be used."""
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{path} is not TOML: {error}."
        raise DatasetError(message) from None
    unknown = sorted(set(settings) - set(Stream.__struct_fields__))
    if unknown:
        known = ", ".join(Stream.__struct_fields__)
        message = f"{path}: unknown setting {unknown[0]!r}; there is {known}."
        raise DatasetError(message)
    framing = settings.get("framing", Framing.DOCUMENTS)
    if framing not in set(Framing):
        message = f'{path}: framing is "documents" or "lines".'
        raise DatasetError(message)
    return Stream(Framing(framing))
