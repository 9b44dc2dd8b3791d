"""Arrow's JSON reader, under a schema."""

from typing import Literal

import pyarrow as pa
import pyarrow.json as pj

_UNEXPECTED = "unexpected field"  # in the reader's own words


class Unreadable(Exception):
    """Arrow's reader stumbled over one of the documents."""


class UnexpectedMember(Unreadable):
    """A document has a member that the schema does not name."""


def read_table(text: bytes, schema: pa.Schema, unexpected: Literal["error", "ignore"]) -> pa.Table:
    """Read documents; the schema's columns come first, in its order. Raises `Unreadable`.

    `unexpected` is what is done about members that the schema does not name, at any depth.
    """
    try:
        return pj.read_json(
            pa.BufferReader(text),
            # One block: a document may have several lines.
            read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior=unexpected
            ),
        )
    except pa.ArrowInvalid as error:
        # If another version has other words for it, that is slow, and not wrong.
        raise (UnexpectedMember if _UNEXPECTED in str(error) else Unreadable) from None
