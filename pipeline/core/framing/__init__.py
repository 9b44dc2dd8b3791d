"""How documents stand in a payload or a file, and which of them are certainly whole.

A text is a sequence of JSON values, with or without white space between them: one over any number
of lines, one a line, back to back, arrays of documents, and mixtures of these. Each object is a
document, and so is each element of an array at the outermost level.

**Where a text is broken**, a part of one document must not become another. What comes before the
break was read from the start of the text, value by value, and is whole, with two exceptions:

    {"a":""}y","b":1}    was {"a":"x}y","b":1}: a changed byte ended a string too early. The line
                         has an odd number of quotes: nothing on it is certain.
    {"a":1}"b":2}        was {"a":1,"b":2}: a changed byte closed the object too early. What comes
    {"id":5}]}           next cannot begin a document, but can go on in one, so the value
                         before it is not certain.

What comes after the break is certain only where the break cannot reach it. A string has no line
breaks in it, so a line begins outside of any string. A line that leaves a string or a bracket
open, or ends with a comma or a colon, may go on in the next one: everything from there on is one
broken piece. Any other broken line is broken in itself, and is a piece of its own; after it, only
values that begin at the very start of a line are certain.

    {"id":1}             a document            {"id":1}                 a document
    {"id":2,"n":oops}    a piece               {"id":2,"lines":[        a piece, and with it
    {"id":3}             a document            {"id":3}                 all of the rest

Pieces are handed on like documents. They are not JSON, so each becomes one dead letter with its
exact bytes. All of this is linear in the text, and looks at a value twice at most.
"""

from collections.abc import Sequence

from pipeline.core.framing.marks import Document, head_of, is_between
from pipeline.core.framing.scanner import Mode, Scanner, Stretch

__all__ = ["Document", "Mode", "Stretch", "head_of", "is_conserved", "scan", "split_documents"]


def split_documents(
    text: bytes, *, each_line: bool = False, limit: int = 2**63, fast: bool = True
) -> Stretch:
    """Cut a whole text into its documents and broken pieces, not many more than `limit`."""
    mode = Mode.EACH_LINE if each_line else Mode.SEQUENCE
    return scan(text, mode, ended=True, enough=limit + 1, fast=fast)


def scan(
    text: bytes,
    mode: Mode = Mode.SEQUENCE,
    *,
    ended: bool,
    enough: int = 2**63,
    hold: bool = True,
    fast: bool = True,
) -> Stretch:
    """Cut a stretch of a text into documents, soon after `enough` of them no further.

    Where the text has not `ended`, what may go on behind the stretch is left for the next one, and
    so is, if `hold`, a value of which the stretch does not show what comes next.
    """
    scanner = Scanner(text, ended=ended, enough=enough, hold=hold, fast=fast)
    steps = {
        Mode.SEQUENCE: scanner.sequence,
        Mode.ARRAY: scanner.array,
        Mode.LINES: scanner.lines,
        Mode.REST: scanner.rest,
        Mode.EACH_LINE: scanner.each_line,
    }
    end = 0
    while True:
        begun = end, mode
        end, mode = steps[mode](end)
        if (end, mode) == begun or end >= len(text) or len(scanner.found) >= enough:
            return Stretch(scanner.found, end, mode, scanner.is_broken)


def is_conserved(text: bytes, documents: Sequence[Document]) -> bool:
    """Tell whether documents are all of a text but what may stand between documents.

    This is how losses are found: it looks at the bytes, and knows nothing of how they were cut.
    """
    pieces = [document for _, document in documents]
    for separator in (b"\n", b""):
        if text.removesuffix(b"\n") == separator.join(pieces):
            return True
    if len(pieces) > 1:
        begin, end = documents[0][0], documents[-1][0] + len(pieces[-1])
        if any(text[begin:end] == separator.join(pieces) for separator in (b"\n", b"", b",")):
            return is_between(text[:begin]) and is_between(text[end:])
    end, gaps = 0, set[bytes]()
    for offset, document in documents:
        if offset < end or not text.startswith(document, offset):
            return False
        gaps.add(text[end:offset])
        end = offset + len(document)
    gaps.add(text[end:])
    return all(map(is_between, gaps))
