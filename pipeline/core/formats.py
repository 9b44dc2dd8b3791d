"""The formats that rows are written in, as one table.

A further format is an entry here, and an encoder in `pipeline.core.encode`. Whatever else depends
on the format is a `match` over all of them: mypy then lists the places where the new one lacks.
"""

from enum import StrEnum
from typing import Self


class Format(StrEnum):
    """A file format; the first of those that a dataset has is the one that catalogues prefer.

    Its value is its name in dataset.toml and in object keys.
    """

    #         name       suffix     content type                      positional
    PARQUET = "parquet", "parquet", "application/vnd.apache.parquet", False
    CSV = "csv", "csv", "text/csv; charset=utf-8", True

    suffix: str
    """Of a file's name, without the dot."""
    content_type: str
    """The media type of an object."""
    positional: bool
    """Whether readers find columns by position, so that no column may be moved."""

    def __new__(cls, name: str, suffix: str, content_type: str, positional: bool) -> Self:  # noqa: FBT001 - a column of the table above
        """Make the member of one line of the table."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.suffix, member.content_type, member.positional = suffix, content_type, positional
        return member


FORMATS = {as_format.value: as_format for as_format in Format}
"""Every format by its name."""
