"""What can be said of a JSON text without a schema. All of it is linear in the text."""

import json
import re
from collections.abc import Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, TypeGuard

import msgspec

WHITESPACE = b" \t\r\n"
SEAM = b"\r"
"""Joins documents: white space between them, and in none of their strings, as a blank may be."""

_raw = msgspec.json.Decoder(msgspec.Raw)
_string = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\1\1\xff\xff")  # +1 and -1, in a byte
_OPEN, _CLOSE = b"{}"
_STEPS_AT_ONCE = 2**20
_FEW_STEPS = 1_000  # for which Arrow is not worth its calls
_MOST_PIECES = 2**20
_first, _last = itemgetter(0), itemgetter(-1)
_not_open, _not_close = re.compile(rb"[^{]"), re.compile(rb"[^}]")


class Integer(str):
    """A JSON number without fraction or exponent, as it is written in the text."""

    __slots__ = ()


class Float(str):
    """A JSON number with fraction or exponent, as it is written in the text."""

    __slots__ = ()


_exactly = json.JSONDecoder(parse_int=Integer, parse_float=Float)


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a value that `read_exactly` read is a string, and not a number kept as its text."""
    return isinstance(value, str) and not isinstance(value, Integer | Float)


def is_json(text: bytes) -> bool:
    """Whether a text is one JSON value by RFC 8259, without half surrogate pairs."""
    try:
        text.decode()  # the JSON decoder does not check what it skips
        _raw.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def fast_are_framed(texts: Sequence[bytes]) -> bool:
    """Whether all texts begin with `{` and end with `}`; False leaves each to `is_framed`."""
    return all(texts) and set(map(_first, texts)) == {_OPEN} and set(map(_last, texts)) == {_CLOSE}


def unframed(texts: Sequence[bytes]) -> list[int]:
    """Return the indices of the texts that do not begin with `{` and end with `}`."""
    if not all(texts):
        return [index for index, text in enumerate(texts) if not is_framed(text)]
    heads, tails = bytes(map(_first, texts)), bytes(map(_last, texts))
    odd = {found.start() for found in _not_open.finditer(heads)}
    odd.update(found.start() for found in _not_close.finditer(tails))
    return sorted(odd)


def is_framed(text: bytes) -> bool:
    """Whether a text begins with `{` and ends with `}`."""
    return text[:1] == b"{" and text[-1:] == b"}"


def is_cut_short(text: bytes) -> bool:
    """Tell whether a text is the beginning of a JSON value, and only its end is missing."""
    try:
        _raw.decode(text)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except RecursionError:
        pass
    return False


def why_not_json(text: bytes) -> str:
    """Say where a text that is not JSON stops being it, without quoting it."""
    try:
        text.decode()
        _raw.decode(text)
    except RecursionError:
        return "The document is not JSON: it is nested too deeply to be read."
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "truncated" in str(error):
            return "The document is not JSON: it ends too early, or has half a surrogate pair."
        return f"The document is not JSON: {str(error).removeprefix('JSON is malformed: ')}."
    message = "the text is JSON"
    raise ValueError(message)


def deeper_than(text: bytes, limit: int) -> bool:
    """Whether arrays and objects are nested deeper than `limit` levels."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    # Without escapes, every other piece between quotes is outside of strings.
    is_plain = b"\\" not in text and text.count(b'"') < _MOST_PIECES
    outside = b"".join(text.split(b'"')[::2]) if is_plain else _string.sub(b"", text)
    steps = outside.translate(_STEPS, _NO_BRACKETS)
    depth = 0
    for start in range(0, len(steps), _STEPS_AT_ONCE):
        deepest, depth = _deepest(steps[start : start + _STEPS_AT_ONCE], depth)
        if deepest > limit:
            return True
    return False


def _deepest(steps: bytes, depth: int) -> tuple[int, int]:
    """Go up and down from a depth; return the deepest that was reached, and the last."""
    if len(steps) < _FEW_STEPS:
        depths = list(accumulate([1 if step == 1 else -1 for step in steps], initial=depth))
        return max(depths), depths[-1]
    import pyarrow as pa  # noqa: PLC0415 - a producer knows JSON, and no Arrow
    import pyarrow.compute as pc  # noqa: PLC0415

    signed = pa.Array.from_buffers(pa.int8(), len(steps), [None, pa.py_buffer(steps)])
    column = pc.cumulative_sum(signed.cast(pa.int32()), start=depth)
    return pc.max(column).as_py(), column[-1].as_py()


def read_exactly(text: bytes) -> Any:
    """Read valid JSON, keeping every number as its text; of a repeated key the last one counts."""
    return _exactly.decode(text.decode("utf-8-sig"))


def write_exactly(value: Any) -> bytes:
    """Write what `read_exactly` read: every number as it was, no key repeated."""
    return msgspec.json.encode(_with_raw_numbers(value))


def _with_raw_numbers(value: Any) -> Any:
    if isinstance(value, Integer | Float):
        return msgspec.Raw(value.encode())
    if isinstance(value, dict):
        return {key: _with_raw_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_raw_numbers(item) for item in value]
    return value
