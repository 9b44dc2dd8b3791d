"""Values in a row, read many at once: the usual case of a text that holds several documents."""

import re
from itertools import accumulate

import msgspec

from pipeline.core.framing.marks import Document

_SEAM = re.compile(rb"\}[ \t\r\n]*+\{")
_elements = msgspec.json.Decoder(list[msgspec.Raw])


def fast_objects(text: bytes, separators: tuple[bytes, ...]) -> list[Document] | None:
    """Read objects in a row, all at once; None where they are not plainly that.

    A comma is put into each seam, and the whole read as an array. If its elements, with the
    separator between them, are the text again, each was an object of its own: a seam within a
    string, or within another object, would have a comma too many.
    """
    if not _is_utf8(text):
        return None
    separator = next((by for by in separators if b"}%b{" % by in text), separators[0])
    objects = _read(text.replace(b"}%b{" % separator, b"},{"))
    if objects is not None and separator.join(objects) == text:
        step = len(separator)
        offsets = accumulate(map(step.__add__, map(len, objects)), initial=0)
        return list(zip(offsets, objects, strict=False))  # and one offset behind the last
    return _with_any_space(text) if b"" in separators else None


def fast_lines(text: bytes) -> list[Document] | None:
    """Read values of which each is a line, all at once; None where they are not plainly that.

    An array is not: its elements may be documents.
    """
    if text[:1] == b"[" or b"\n[" in text or not _is_utf8(text):
        return None
    values = _read(text.replace(b"\n", b","))
    if not values or b"\n".join(values) != text:
        return None
    offsets = accumulate([len(value) + 1 for value in values[:-1]], initial=0)
    return list(zip(offsets, values, strict=True))


def _is_utf8(text: bytes) -> bool:
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
    return True


def _with_any_space(text: bytes) -> list[Document] | None:
    """Read objects in a row with any white space between them, or none."""
    objects = _read(_SEAM.sub(b"},{", text))
    if objects is None or b"".join(objects) != _SEAM.sub(b"}{", text):
        return None
    documents, start = list[Document](), 0
    for found in objects:
        start = text.index(found, start)
        documents.append((start, found))
        start += len(found)
    return documents


def _read(joined: bytes) -> list[bytes] | None:
    """Return the elements of what commas were put into; None where it is not JSON."""
    try:
        return list(map(bytes, _elements.decode(b"[%b]" % joined)))
    except (msgspec.DecodeError, RecursionError):
        return None
