"""Which documents may be read together, so that Arrow's reader sees each as what it is.

Documents that begin with `{` and end with `}` are joined by an end of line, and Arrow has to
return as many rows as there are documents. No string continues over a seam, as no string may hold
an end of line; and after a `}` outside of strings a document could only continue with `,`, `}` or
`]`. So no document spans a seam, and each makes a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.core.integers import all_but
from pipeline.core.jsontext import unframed

_FEW = 1_000  # in a log, lines have many an I, as in INFO
# What Arrow's reader accepts as numbers; outside of a string they are between such characters.
_FALSE_NUMBER = re.compile(rb"[\s:\[,-](?:NaN|Inf(?:inity)?)[\s,\]}]")


def framed(documents: Sequence[bytes]) -> Sequence[int]:
    """Return the indices of the documents that begin and end with braces."""
    odd = unframed(documents)
    return all_but(odd, len(documents)) if odd else range(len(documents))


def exclude_nan_infinity(
    documents: Sequence[bytes], text: bytes, indices: Sequence[int]
) -> Sequence[int]:
    """Leave out documents in which NaN or Infinity may be used as a number.

    `text` is the documents of these indices, joined: only if it has one of these words at all are
    they searched one by one.
    """
    if not _has(text, b"NaN") and not _has(text, b"Inf"):
        return indices
    return [index for index in indices if not _FALSE_NUMBER.search(documents[index])]


def _has(text: bytes, token: bytes) -> bool:
    """Whether a text has a token; ten times as fast as `in` where its first letter is rare."""
    position = -1
    for _ in range(_FEW):
        position = text.find(token[:1], position + 1)
        if position < 0 or text.startswith(token, position):
            return position >= 0
    return text.find(token, position) >= 0
