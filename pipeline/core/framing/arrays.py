"""Where the elements of a JSON array lie, told from its strings, brackets and commas alone.

An array may be longer than memory, so a stretch of it is looked at, then the next. Whether an
element is JSON is not asked here: one that is not costs none of its neighbours, as long as its
brackets and quotes are whole.
"""

import re
from itertools import accumulate

import msgspec

from pipeline.core.jsontext import WHITESPACE, is_json

# Possessive, so that a string which ends beyond the stretch is looked through once, not again
# from each of its bytes.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# A pair of brackets with none in it is passed over at once; here, kinds are not told apart.
_PAIR = rb'[\[{][^"\[\]{}]*+[\]}]'
_BEFORE_BRACKET = rb'[^"\[\]{}]*+(?:(?:' + _STRING + b"|" + _PAIR + rb')[^"\[\]{}]*+)*+'
_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
# One after the other; where none follows, all of the rest: it would be looked for at each byte.
_BRACKETS = re.compile(_BEFORE_BRACKET + rb"(?:([\[\]{}])|.*+)", re.DOTALL)
# A closing brace opens nothing here, and so is a part of what is wrong.
_DELIMITER = re.compile(
    rb'[^"\[\]{,]*+(?:(?:' + _STRING + b"|" + _PAIR + rb')[^"\[\]{,]*+)*+([\[\]{,])', re.DOTALL
)
_EMPTY_ELEMENTS = re.compile(rb"(?:[ \t\r\n]*+,)*+")
_SPACE_BEFORE = re.compile(rb"[ \t\r\n]*+")
_OPENING = frozenset({b"[", b"{"})
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_raw = msgspec.json.Decoder(msgspec.Raw)
_TRUNCATED = "Input data was truncated"
_TRAILING = re.compile(r"JSON is malformed: trailing characters \(byte ([0-9]+)\)")
_LEAST_RUN_BYTES, _RUN_BYTES = 2**12, 2**16
_TRIES = 8
_SEAMS = [
    (closing + space + opening, closing + b"," + space + opening)
    for closing in (b"}", b"]")
    for space in (b"", b"\n", b" ", b"\r\n")
    for opening in (b"{", b"[")
]
_DEEPEST = 4_096

Found = list[tuple[int, bytes]]


class Elements(msgspec.Struct, frozen=True):
    """The elements that end within a stretch, each with the offset of its first byte.

    `end` is the offset behind the last comma or the closing bracket, `closed` tells that it was
    the bracket. `by_hand` are the numbers of those that were not read: they may not be JSON.
    """

    found: Found
    end: int
    closed: bool
    by_hand: frozenset[int]


def split_elements(text: bytes, enough: int = 2**63, start: int = 0) -> Elements:
    """Cut a stretch that begins behind an array's opening bracket, or behind one of its commas.

    That is at `start`. It is left off soon after `enough` elements. White space does not belong to
    an element, and between two commas there may be none.
    """
    found, offset, by_hand, size = Found(), start, set[int](), _LEAST_RUN_BYTES
    while len(found) < enough:
        run, offset = _run(text, offset, size)
        found += run
        until = offset if run else offset + size
        size = min(4 * size, _RUN_BYTES) if run else _LEAST_RUN_BYTES
        while offset < until and len(found) < enough:
            offset = _behind(_EMPTY_ELEMENTS, text, offset)
            mark, end = _delimiter(text, offset)
            if not mark:
                return Elements(found, offset, closed=False, by_hand=frozenset(by_hand))
            by_hand.add(len(found))
            found += element(text[offset : end - 1], offset)
            offset = end
            if mark == b"]":
                return Elements(found, offset, closed=True, by_hand=frozenset(by_hand))
    return Elements(found, offset, closed=False, by_hand=frozenset(by_hand))


def element(text: bytes, offset: int) -> Found:
    """Return an element without the white space around it, if there is one, and its offset."""
    inner = text.lstrip(WHITESPACE)
    return [(offset + len(text) - len(inner), inner.rstrip(WHITESPACE))] if inner else []


def _run(text: bytes, offset: int, size: int) -> tuple[Found, int]:
    """Read elements of about `size` bytes that are whole JSON at once, 20 times as fast as by hand.

    What parses between brackets of its own holds whole elements, so the comma behind it is the
    array's. Returns them, and the offset behind the last comma; none, and the same offset, where
    one of them is not JSON.
    """
    begin = _behind(_SPACE_BEFORE, text, offset)
    # The comma behind an element like the first is more likely the array's than any other one.
    comma = {b"{": b"},", b"[": b"],"}.get(text[begin : begin + 1], b",")
    while size < _RUN_BYTES and text.find(comma, begin, begin + size) < 0:
        size *= 4
    end = begin + size
    for _ in range(_TRIES):
        end = text.rfind(comma, begin, end)
        if end < 0:
            break
        run = text[begin : end + len(comma) - 1]
        try:
            raws = list(map(bytes, _elements.decode(b"[%b]" % run)))
        except (msgspec.DecodeError, RecursionError):
            continue
        return _placed(raws, run, begin), end + len(comma)
    return Found(), offset


def _placed(elements: list[bytes], run: bytes, begin: int) -> Found:
    """Find the offset of each element of a run that begins at `begin`."""
    if b",".join(elements) == run:
        offsets = accumulate([len(element) + 1 for element in elements[:-1]], initial=begin)
        return list(zip(offsets, elements, strict=True)) if elements else []
    found, offset = Found(), 0
    for element in elements:
        offset = run.index(element, offset)
        found.append((begin + offset, element))
        offset += len(element)
    return found


def _behind(pattern: re.Pattern[bytes], text: bytes, offset: int) -> int:
    found = pattern.match(text, offset)
    return found.end() if found else offset


def is_bounded(element: bytes) -> bool:
    """Tell whether it is certain where an element ends that is not JSON.

    Its brackets match by kind, and nothing is behind the last one; or it is JSON values in a row.
    """
    end = _behind_matching(element, 0)
    if end == 0:
        return b'"' not in element
    if end == len(element):
        return True
    if _are_in_a_row(element):
        return True
    start = 0
    while end > start and is_json(element[start:end]):
        if end == len(element):
            return True
        start, end = end, _behind_matching(element, end)
    return False


def _are_in_a_row(text: bytes) -> bool:
    """Tell whether a text without commas of its own surely is JSON objects and arrays in a row."""
    start, end = 0, len(text)
    while start < end:
        behind = end
        if end - start > _RUN_BYTES:
            behind = 1 + max(text.rfind(seam, start, start + _RUN_BYTES) for seam, _ in _SEAMS)
        if behind <= start or not _is_row(text[start:behind]):
            return False
        start = behind
    return True


def _is_row(text: bytes) -> bool:
    """Put a comma into each seam. One that got into a string or a bracket is not between values."""
    parted = text
    for seam, comma in _SEAMS:
        parted = parted.replace(seam, comma)
    try:
        values = _elements.decode(b"[%b]" % parted)
    except (msgspec.DecodeError, RecursionError):
        return False
    return len(values) == len(parted) - len(text) + 1


def _behind_matching(text: bytes, start: int) -> int:
    """Return the offset behind a value in brackets; `start` if none is there, -1 if they differ."""
    closing, offset = list[bytes](), start
    while bracket := _BRACKET.match(text, offset):
        offset = bracket.end()
        if bracket[1] in _OPENING:
            closing.append(b"}" if bracket[1] == b"{" else b"]")
        elif not closing or closing.pop() != bracket[1]:
            return -1
        if not closing:
            return offset
    return -1 if closing else start


def _delimiter(text: bytes, offset: int) -> tuple[bytes, int]:
    """Return the comma or bracket that ends an element, and the offset behind it; b"" if none."""
    while found := _DELIMITER.match(text, offset):
        mark, offset = found[1], found.end()
        if mark in _OPENING:
            offset = behind_brackets(text, offset)
            if offset < 0:
                break
        else:
            return mark, offset
    return b"", offset


def behind_brackets(text: bytes, offset: int) -> int:
    """Return the offset behind the bracket that closes what was opened, -1 if none does.

    What nests deeper than any reader follows counts as never closed: it is not searched to its end.
    """
    depth = 1
    for bracket in _BRACKETS.finditer(text, offset):
        if bracket[1] is None:
            break
        depth += 1 if bracket[1] in _OPENING else -1
        if depth == 0:
            return bracket.end()
        if depth == _DEEPEST:
            break
    return -1


def fast_behind_value(text: bytes, start: int) -> int | None:
    """Return the offset behind a JSON value in brackets, -1 if it does not end; None if not sure.

    The decoder stops at the first byte that belongs to no value, and says where that is.
    """
    try:
        _raw.decode(memoryview(text)[start:])
    except msgspec.DecodeError as error:
        behind = _TRAILING.fullmatch(str(error))
        if behind is None:
            # It says so of half a surrogate pair, too.
            is_cut = str(error) == _TRUNCATED and text.find(b"\\u", start) < 0
            return -1 if is_cut else None
        end = start + int(behind[1]) - 1
    except RecursionError:
        return None
    else:
        end = len(text)
    while text[end - 1] in WHITESPACE:
        end -= 1
    return end
