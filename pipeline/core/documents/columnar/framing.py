"""Which documents may be read together, so that Arrow's reader sees each as what it is.

Documents that begin with `{` and end with `}` are joined by an end of line, and as many rows as
documents have to come back. No string goes on over a seam, as none may hold an end of line; and
after a `}` outside of strings a document could only go on with `,`, `}` or `]`. So none spans a
seam, and none gives no row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.core.jsontext import are_framed, is_framed

_FEW = 10_000
# What Arrow's reader takes for numbers; outside of a string they stand between such characters.
_FALSE_NUMBER = re.compile(rb"[\s:\[,-](?:NaN|Inf(?:inity)?)[\s,\]}]")


def framed(documents: Sequence[bytes]) -> Sequence[int]:
    """Return the indices of the documents that begin and end with braces."""
    if are_framed(documents):
        return range(len(documents))
    return [index for index, of in enumerate(documents) if is_framed(of)]


def exclude_nan_infinity(
    documents: Sequence[bytes], text: bytes, indices: Sequence[int]
) -> Sequence[int]:
    """Leave out documents in which NaN or Infinity may stand for a number.

    `text` is those of these indices.
    """
    if not _holds(text, b"NaN") and not _holds(text, b"Inf"):
        return indices
    return [index for index in indices if not _FALSE_NUMBER.search(documents[index])]


def _holds(text: bytes, token: bytes) -> bool:
    """Search for a token whose first letter is rare, which is found ten times as fast alone."""
    at = -1
    for _ in range(_FEW):
        at = text.find(token[:1], at + 1)
        if at < 0 or text.startswith(token, at):
            return at >= 0
    return text.find(token, at) >= 0
