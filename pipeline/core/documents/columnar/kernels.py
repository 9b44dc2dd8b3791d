"""Columns of JSON values to the columns Arrow stores, a whole column at a time.

`values` is the definition, one value at a time; here is the same for a column, where Arrow has a
kernel for it. Each function takes what the JSON reader read and returns the column and a mask of
the misfits (None: there are none). It may call anything a misfit: the row path looks at those
again. What is no misfit has exactly the value that `values` gives, or is null where it was null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.columnar.decimals import digits_read
from pipeline.core.documents.columnar.fixed_width import (
    MICROS_LOCAL,
    are_instants,
    are_uuids,
    fixed_width_text,
)
from pipeline.core.schema.values import FIRST_DAY, LAST_DAY, MICROS, ConversionError

if TYPE_CHECKING:
    from pipeline.core.schema.types import Scalar

Column = tuple[pa.Array, pa.Array | None]
Kernel = Callable[[pa.Array], Column]

_DAY = 86_400_000_000
_DATE = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,9}})?"
_UUID = "^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"


def kernel_of(of: Scalar, *, spelled_as_number: bool = False) -> tuple[pa.DataType, Kernel]:
    """Return what the JSON reader is to read a scalar as, and what makes its column of that.

    A decimal is read as the numbers, or as the strings, that its documents spell it with.
    """
    if of.kind == "decimal":
        return _decimal_of(of, spelled_as_number=spelled_as_number)
    if of.symbols:
        symbols = pa.array(of.symbols, pa.string())
        return pa.string(), lambda column: _kept(column, pc.is_in(column, value_set=symbols))
    if of.name.startswith("epoch ") and of.kind == "number":
        return pa.float64(), _epoch_of(of)
    if of.name in _KERNELS:
        read, kernel = _KERNELS[of.name]
        return read, lambda column: kernel(of, column)
    if of.convert is None:
        return of.arrow, lambda column: (column, None)
    return pa.string(), lambda column: _each(of, column)


def either(one: pa.Array | None, other: pa.Array | None) -> pa.Array | None:
    """Join two masks."""
    if one is None or other is None:
        return other if one is None else one
    return pc.or_(one, other)


def _each(of: Scalar, column: pa.Array) -> Column:
    """Convert value by value, as the row path does, what no kernel takes."""
    converted: list[Any] = []
    misfits: list[int] = []
    convert = cast("Callable[[Any], Any]", of.convert)
    for index, value in enumerate(column.to_pylist()):
        try:
            converted.append(None if value is None else convert(value))
        except ConversionError:
            misfits.append(index)
            converted.append(None)
    stored = pa.array(converted, of.storage)
    mask = mask_from_indices(misfits, len(column)) if misfits else None
    return (stored if of.storage == of.arrow else stored.cast(of.arrow)), mask


def mask_from_indices(true: Iterable[int], size: int) -> pa.Array:
    """Return the mask that is true at these indices."""
    flags = bytearray(size)
    for index in true:
        flags[index] = 1
    return pa.Array.from_buffers(pa.uint8(), size, [None, pa.py_buffer(flags)]).cast(pa.bool_())


def _kept(column: pa.Array, fits: pa.Array) -> Column:
    """Make null what does not fit; `fits` may be null where the column is."""
    misfits = pc.and_(pc.is_valid(column), pc.invert(pc.fill_null(fits, fill_value=True)))
    if not pc.any(misfits).as_py():
        return column, None
    return pc.if_else(misfits, pa.scalar(None, column.type), column), misfits


def _matching(column: pa.Array, pattern: str) -> Column:
    return _kept(column, pc.match_substring_regex(column, pattern))


def _floats(of: Scalar, column: pa.Array) -> Column:
    """Cast to the width, and leave to the row path what overflows it, and zeros with a sign.

    The decoder of the row path reads `-0` as a whole number, which has no sign, and `-0.0` as
    one that has.
    """
    narrow = column if column.type == of.arrow else column.cast(of.arrow, safe=False)
    fits = pc.is_finite(narrow)
    zero = pc.equal(column, 0.0)
    if pc.any(zero).as_py():
        fits = pc.and_(fits, pc.or_(pc.invert(zero), pc.greater(pc.divide(1.0, column), 0.0)))
    return _kept(narrow, fits)


def _uuids(_: Scalar, column: pa.Array) -> Column:
    misfits = None
    if not are_uuids(fixed_width_text(column)):
        column, misfits = _matching(column, _UUID)
    return pc.ascii_lower(column), misfits


def _timestamps(zone: str) -> Callable[[Scalar, pa.Array], Column]:
    pattern = f"^{_DATE}T{_TIME}{zone}$"
    longest = MICROS_LOCAL + bool(zone)

    def kernel(of: Scalar, column: pa.Array) -> Column:
        misfits = None
        if not are_instants(fixed_width_text(column), with_zone=bool(zone)):
            column, misfits = _matching(column, pattern)
        try:
            instants = _cut(column, longest).cast(of.arrow)
        except pa.ArrowInvalid:  # the 30th of February, for one, and it does not say which
            return _again(of, column, misfits)
        least, most = _range(instants.view(pa.int64()))
        if least < (FIRST_DAY + 1) * _DAY or most >= LAST_DAY * _DAY:  # the ends of the calendar
            return _again(of, column, misfits)
        return instants, misfits

    return kernel


def _again(of: Scalar, column: pa.Array, misfits: pa.Array | None) -> Column:
    converted, more = _each(of, column)
    return converted, either(misfits, more)


def _cut(column: pa.Array, longest: int) -> pa.Array:
    """Cut digits beyond microseconds, which Arrow's parser would refuse.

    No text of up to `longest` characters has so many.
    """
    if (pc.max(pc.binary_length(column)).as_py() or 0) <= longest:
        return column
    return pc.replace_substring_regex(column, r"(\.[0-9]{6})[0-9]+", r"\1")


def _range(numbers: pa.Array) -> tuple[int, int]:
    """The least and the most of a column; zeros where it has no values."""
    found = pc.min_max(numbers).as_py()
    return found["min"] or 0, found["max"] or 0


def _dates(of: Scalar, column: pa.Array) -> Column:
    column, misfits = _matching(column, f"^{_DATE}$")
    try:
        days = column.cast(of.arrow)
    except pa.ArrowInvalid:
        return _again(of, column, misfits)
    if _range(days.view(pa.int32()))[0] < FIRST_DAY:  # the year 0000
        return _again(of, column, misfits)
    return days, misfits


def _epoch_days(of: Scalar, column: pa.Array) -> Column:
    fits = pc.and_(pc.greater_equal(column, FIRST_DAY), pc.less_equal(column, LAST_DAY))
    column, misfits = _kept(column, fits)
    return column.cast(of.arrow), misfits


def _times(of: Scalar, column: pa.Array) -> Column:
    column, misfits = _matching(column, f"^{_TIME}$")
    texts = pc.binary_join_element_wise("1970-01-01T", column, "")
    micros = _cut(texts, MICROS_LOCAL).cast(pa.timestamp("us")).view(pa.int64())
    if of.arrow == pa.time32("ms"):
        return pc.divide(micros, 1_000).cast(pa.int32()).cast(of.arrow), misfits
    return micros.cast(of.arrow), misfits


def _epoch_of(of: Scalar) -> Kernel:
    factor = float(MICROS[of.name.removeprefix("epoch ")])
    low, high = float(FIRST_DAY * _DAY), float((LAST_DAY + 1) * _DAY)

    def kernel(column: pa.Array) -> Column:
        micros = pc.multiply(column, factor)
        fits = pc.and_(pc.greater_equal(micros, low), pc.less(micros, high))
        micros, misfits = _kept(micros, fits)
        whole = pc.round(micros, ndigits=0, round_mode="half_to_even").cast(pa.int64())
        return whole.cast(of.arrow), misfits

    return kernel


def _decimal_of(of: Scalar, *, spelled_as_number: bool) -> tuple[pa.DataType, Kernel]:
    precision, scale = of.arrow.precision, of.arrow.scale
    if spelled_as_number:
        before, after = digits_read(of)
        wide = pa.decimal128 if of.arrow.bit_width == 128 else pa.decimal256  # noqa: PLR2004
        return wide(before + after, after), lambda column: _narrowed(of, column)
    whole = f"[1-9][0-9]{{0,{precision - scale - 1}}}" if precision > scale else "0"
    fraction = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
    pattern = f"^-?(?:0|{whole}){fraction}$"

    def kernel(column: pa.Array) -> Column:
        column, misfits = _matching(column, pattern)
        return column.cast(of.arrow), misfits

    return pa.string(), kernel


def _narrowed(of: Scalar, column: pa.Array) -> Column:
    """Cut to the scale; what that changes did not fit."""
    narrow = column.cast(of.arrow, safe=False)
    return _kept(narrow, pc.equal(narrow.cast(column.type), column))


_UTC = f"(?:Z|[+-]{_CLOCK})"
_INSTANTS, _LOCAL = _timestamps(_UTC), _timestamps("")
_KERNELS: dict[str, tuple[pa.DataType, Callable[[Scalar, pa.Array], Column]]] = {
    "float": (pa.float64(), _floats),
    "double": (pa.float64(), _floats),
    "uuid": (pa.string(), _uuids),
    "date": (pa.string(), _dates),
    "epoch days": (pa.int32(), _epoch_days),
    "time-millis": (pa.string(), _times),
    "time-micros": (pa.string(), _times),
    "timestamp-millis": (pa.string(), _INSTANTS),
    "timestamp-micros": (pa.string(), _INSTANTS),
    "local-timestamp-millis": (pa.string(), _LOCAL),
    "local-timestamp-micros": (pa.string(), _LOCAL),
}
