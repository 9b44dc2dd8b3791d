"""What stands between documents, and what tells that a line may go on in the next."""

import re

from pipeline.core.jsontext import WHITESPACE

Document = tuple[int, bytes]
"""A document, or a broken piece, and the offset of its first byte."""

OPENING = b"{["
GOES_ON = b',:]}"'
"""What begins with one of these cannot be a document, but can go on in one."""

# Between values: white space, a byte order mark, the record separator of RFC 7464, and what schema
# registries write before each JSON document (Confluent: 0 and an id; Glue: 3, 0 and a UUID).
_BETWEEN = re.compile(
    rb"(?:[ \t\r\n\x1e]|\xef\xbb\xbf|\x00.{4}(?=[{\[])|\x03\x00.{16}(?=[{\[]))*+", re.DOTALL
)
_STRING = re.compile(rb'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"')
# All of a text: what stands outside of strings, and strings that end on their line. Possessive, so
# that one which does not end is looked through once, not again from each quote in it.
_CLOSED = re.compile(rb'(?:[^"\\]++|"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+")*+')
_BRACKETS = re.compile(rb"[\[\]{}]")
_LONGEST_COUNTED = 2**20  # bytes: of more, brackets are not counted one by one
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_HEAD_BYTES = 16
_SPACE = b" \t\r\n,[]\x1e"


def behind_space(text: bytes, start: int) -> int:
    """Return the offset behind what may stand between values."""
    found = _BETWEEN.match(text, start)
    return found.end() if found else start


def behind_blanks(text: bytes, start: int) -> int:
    """Return the offset behind white space."""
    found = _BLANKS.match(text, start)
    return found.end() if found else start


def head_of(text: bytes) -> bytes:
    """Return the first bytes of a text's first value, some of those by which formats are known."""
    start = behind_space(text, 0)
    return text[start : start + _HEAD_BYTES]


def is_between(gap: bytes) -> bool:
    """Tell whether bytes may stand between documents; a registry's header ends at a document."""
    if not gap.strip(_SPACE):
        return True
    return not _BETWEEN.sub(b"", gap + b"{").removesuffix(b"{").strip(_SPACE)


def trimmed(text: bytes, start: int, end: int) -> Document:
    """Return a piece of text without the white space around it, and its offset."""
    inner = text[start:end].lstrip(WHITESPACE)
    return end - len(inner), inner.rstrip(WHITESPACE)


def line_of(text: bytes, start: int, end: int) -> Document:
    """Return a line, or the end of one, without its line break, and its offset."""
    return start, text[start:end].removesuffix(b"\r")


def has_open_string(lines: bytes) -> bool:
    """Tell whether a string does not end on its line, or a backslash stands outside of any.

    JSON has none there: what is outside was a part of a string before a quote was changed.
    """
    return _CLOSED.fullmatch(lines) is None


def may_go_on(lines: bytes) -> bool:
    """Tell whether lines leave something open, so that the next line may belong to them."""
    if has_open_string(lines) or lines.rstrip(WHITESPACE)[-1:] in (b",", b":"):
        return True
    bare = _STRING.sub(b"", lines)
    depth = bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
    if depth > 0 or len(bare) > _LONGEST_COUNTED:
        return True
    depth = 0
    for bracket in _BRACKETS.findall(bare):
        depth = depth + 1 if bracket[0] in OPENING else max(depth - 1, 0)
    return depth > 0
