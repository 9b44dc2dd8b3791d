"""Arrow columns to the text of CSV cells, a whole column at a time.

Arrays and maps are JSON text, with their values as a document would hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pybase64

_write_json = msgspec.json.encode
_ESCAPED = r'["\\\x00-\x1f]'  # what no JSON string may hold as it is


def flattened(name: str, array: pa.Array, *, fast: bool = True) -> dict[str, pa.Array]:
    """Return a field's CSV columns by name; a record's fields become columns of their own.

    Without `fast`, decimals and JSON strings are written value by value, to the same text.
    """
    if not pa.types.is_struct(array.type):
        return {name: _cells(array, fast=fast)}
    columns: dict[str, pa.Array] = {}
    for field in array.type:
        columns |= flattened(f"{name}.{field.name}", pc.struct_field(array, field.name), fast=fast)
    return columns


def texts(array: pa.Array) -> pa.Array:
    """Return each value as one text, as it is in a CSV cell; a record is JSON, too.

    Null stays null. The text of a value never changes: tokens are made of it.
    """
    if pa.types.is_nested(array.type):
        return pc.if_else(array.is_valid(), _json(array, fast=True), pa.scalar(None, pa.string()))
    return _text(array, fast=True)


def _cells(array: pa.Array, *, fast: bool) -> pa.Array:
    """One column as Arrow's CSV writer is to print it: our text, or numbers as they are."""
    if pa.types.is_list(array.type) or pa.types.is_map(array.type):
        return pc.if_else(array.is_valid(), _json(array, fast=fast), pa.scalar(None, pa.string()))
    if any(is_of_kind(array.type) for is_of_kind in _WRITTEN_ALIKE):
        return array
    return _text(array, fast=fast)


def _text(array: pa.Array, *, fast: bool) -> pa.Array:
    """Return scalars as the text that a document would hold; null stays null."""
    arrow_type = array.type
    if pa.types.is_timestamp(arrow_type):
        return _iso(array)
    if pa.types.is_decimal(arrow_type):
        digits = _fast_digits(array) if fast else None
        return _exact_digits(array) if digits is None else digits
    if pa.types.is_binary(arrow_type) or pa.types.is_fixed_size_binary(arrow_type):
        return _each(array, lambda value: pybase64.b64encode(value).decode())
    return array.cast(pa.string())


def _each(array: pa.Array, write: Callable[[Any], str]) -> pa.Array:
    """Write value by value what no kernel of Arrow's writes."""
    values: Iterable[Any] = array.to_pylist()
    return pa.array([None if value is None else write(value) for value in values], pa.string())


def _iso(array: pa.Array) -> pa.Array:
    """`2026-11-23T09:30:00.123456Z`, without the Z for local time."""
    local = array.cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    text = pc.utf8_replace_slice(local, 10, 11, "T")
    return text if array.type.tz is None else pc.binary_join_element_wise(text, "Z", "")


def _fast_digits(array: pa.Array) -> pa.Array | None:
    """Write decimals by Arrow; None leaves them to `_exact_digits` where it uses an exponent."""
    text = array.cast(pa.string())
    return None if pc.any(pc.match_substring(text, "E")).as_py() else text


def _exact_digits(array: pa.Array) -> pa.Array:
    """Write decimals without an exponent, value by value."""
    return _each(array, "{:f}".format)


# ------------------------------------------------------------------------------- JSON in cells


def _json(array: pa.Array, *, fast: bool) -> pa.Array:
    """Return each value as JSON text; `null` where there is no value."""
    arrow_type = array.type
    if pa.types.is_struct(arrow_type):
        text = _objects(array, fast=fast)
    elif pa.types.is_map(arrow_type):
        keys, items = _inside(array, array.keys), _inside(array, array.items)
        members = pc.binary_join_element_wise(_json(keys, fast=fast), _json(items, fast=fast), ":")
        text = _joined(array, members, "{}")
    elif pa.types.is_list(arrow_type):
        text = _joined(array, _json(_inside(array, array.values), fast=fast), "[]")
    elif pa.types.is_floating(arrow_type):
        if arrow_type.bit_width < 64:  # noqa: PLR2004 - bits of a double
            # Through their own shortest text: as doubles they would show digits they never had.
            array = array.cast(pa.string()).cast(pa.float64())
        text = _each(array, lambda value: _write_json(value).decode())
    elif (
        pa.types.is_boolean(arrow_type)
        or pa.types.is_integer(arrow_type)
        or pa.types.is_decimal(arrow_type)
    ):
        text = _text(array, fast=fast)
    else:
        unquoted = _text(array, fast=fast)
        quoted = _fast_quoted(unquoted) if fast else None
        text = _exact_quoted(unquoted) if quoted is None else quoted
    return text.fill_null("null")


def _fast_quoted(text: pa.Array) -> pa.Array | None:
    """Put quotes around strings; None leaves them to `_exact_quoted` where one needs an escape."""
    if pc.any(pc.match_substring_regex(text, _ESCAPED)).as_py():
        return None
    return pc.binary_join_element_wise('"', text, '"', "")


def _exact_quoted(text: pa.Array) -> pa.Array:
    """Write strings as JSON, value by value."""
    return _each(text, lambda value: _write_json(value).decode())


def _objects(array: pa.Array, *, fast: bool) -> pa.Array:
    pieces: list[Any] = []
    for field in array.type:
        before = "," if pieces else "{"
        pieces.append(f"{before}{_write_json(field.name).decode()}:")
        pieces.append(_json(pc.struct_field(array, field.name), fast=fast))
    text = pc.binary_join_element_wise(*pieces, "}", "")
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string()))


def _inside(array: pa.Array, values: pa.Array) -> pa.Array:
    """Return the values of a list or map column that belong to this slice of it."""
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    return values.slice(first, last - first)


def _joined(array: pa.Array, items: pa.Array, brackets: str) -> pa.Array:
    """Join the texts of each list's or map's items between brackets."""
    offsets = pc.subtract(array.offsets, array.offsets[0])
    mask = array.is_null() if array.null_count else None
    lists = pa.ListArray.from_arrays(offsets, items, mask=mask)
    return pc.binary_join_element_wise(brackets[0], pc.binary_join(lists, ","), brackets[1], "")


_WRITTEN_ALIKE = (
    pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string,
)  # fmt: skip
