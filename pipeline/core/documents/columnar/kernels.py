"""Columns of JSON values to the columns Arrow stores, a whole column at a time.

`values` is the definition, one value at a time; here is the same for a column, where Arrow has a
kernel for it. Each function is given what the JSON reader read and returns the column and a mask
of the misfits (None: there are none). It may call anything a misfit: the row path looks at those
again. What is not a misfit has exactly the value that `values` returns, or is null where it was
null.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.columnar.decimals import digits_read
from pipeline.core.documents.columnar.fixed_width import (
    MICROS_LOCAL,
    fast_are_instants,
    fast_are_uuids,
    fixed_width_text,
)
from pipeline.core.integers import mask_of
from pipeline.core.schema.types import LogicalType, Scalar
from pipeline.core.schema.values import (
    FIRST_DAY,
    LAST_DAY,
    MICROS,
    Coarser,
    ConversionError,
    coarser_units,
)

Column = tuple[pa.Array, pa.Array | None]
Kernel = Callable[[pa.Array], Column]
_ScalarKernel = Callable[[Scalar, pa.Array], Column]

_DAY = 86_400_000_000
_DATE = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,9}})?"
_UUID = "^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"


def kernel_of(scalar: Scalar, *, spelled_as_number: bool = False) -> tuple[pa.DataType, Kernel]:
    """Return what the JSON reader is to read a scalar as, and what makes its column of that.

    A decimal is read as the numbers, or as the strings, that its documents spell it with.
    """
    if scalar.logical is LogicalType.DECIMAL and spelled_as_number:
        before, after = digits_read(scalar)
        wide = pa.decimal128 if scalar.arrow.bit_width == 128 else pa.decimal256  # noqa: PLR2004 - bits
        return wide(before + after, after), partial(_fast_decimals, scalar)
    if scalar.reading is not None:
        loosened = scalar.reading.loosened and pa.types.is_timestamp(scalar.arrow)
        return pa.string(), partial(_loosened if loosened else exact_column, scalar)
    read, kernel = KERNELS[scalar.logical]
    return read, partial(kernel, scalar)


def _as_read(_: Scalar, column: pa.Array) -> Column:
    """Return what Arrow read: it reads the type as the strict decoder does."""
    return column, None


def _symbols(scalar: Scalar, column: pa.Array) -> Column:
    symbols = pa.array(scalar.symbols, pa.string())
    if scalar.otherwise is not None:
        unknown = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=symbols)))
        return pc.if_else(unknown, scalar.otherwise, column), None
    return _kept(column, pc.is_in(column, value_set=symbols))


def or_masks(left: pa.Array | None, right: pa.Array | None) -> pa.Array | None:
    """Join two masks; None is a mask that is false everywhere."""
    if left is None or right is None:
        return right if left is None else left
    return pc.or_(left, right)


def exact_column(scalar: Scalar, column: pa.Array) -> Column:
    """Convert value by value, as the row path does.

    The whole of a type without a kernel, and the exact twin of a fast cast that failed.
    """
    converted: list[Any] = []
    misfits: list[int] = []
    convert = cast("Callable[[Any], Any]", scalar.convert)
    for index, value in enumerate(column.to_pylist()):
        try:
            converted.append(None if value is None else convert(value))
        except ConversionError:
            misfits.append(index)
            converted.append(None)
    stored = pa.array(converted, scalar.storage)
    mask = mask_of(misfits, len(column)) if misfits else None
    return (stored if scalar.storage == scalar.arrow else stored.cast(scalar.arrow)), mask


def _kept(column: pa.Array, fits: pa.Array) -> Column:
    """Make null what does not fit; `fits` may be null where the column is."""
    misfits = pc.and_(pc.is_valid(column), pc.invert(pc.fill_null(fits, fill_value=True)))
    if not pc.any(misfits).as_py():
        return column, None
    return pc.if_else(misfits, pa.scalar(None, column.type), column), misfits


def exact_matching(column: pa.Array, pattern: str) -> Column:
    """Match a pattern with each text: the exact twin of the checks of `fixed_width`."""
    return _kept(column, pc.match_substring_regex(column, pattern))


def _floats(scalar: Scalar, column: pa.Array) -> Column:
    """Cast to the width, and leave to the row path what overflows it, and zeros with a sign.

    The decoder of the row path reads `-0` as a whole number, which has no sign, and `-0.0` as
    one that has.
    """
    narrow = column if column.type == scalar.arrow else column.cast(scalar.arrow, safe=False)
    fits = pc.is_finite(narrow)
    zero = pc.equal(column, 0.0)
    if pc.any(zero).as_py():
        fits = pc.and_(fits, pc.or_(pc.invert(zero), pc.greater(pc.divide(1.0, column), 0.0)))
    return _kept(narrow, fits)


def _uuids(_: Scalar, column: pa.Array) -> Column:
    misfits = None
    if not fast_are_uuids(fixed_width_text(column)):
        column, misfits = exact_matching(column, _UUID)
    return pc.ascii_lower(column), misfits


def _timestamps(zone: str) -> _ScalarKernel:
    pattern = f"^{_DATE}T{_TIME}{zone}$"
    longest = MICROS_LOCAL + bool(zone)

    def kernel(scalar: Scalar, column: pa.Array) -> Column:
        misfits = None
        if not fast_are_instants(fixed_width_text(column), with_zone=bool(zone)):
            column, misfits = exact_matching(column, pattern)
        instants = _fast_instants(scalar, column, longest)
        if instants is not None:
            return instants, misfits
        return _exactly(scalar, column, misfits)

    return kernel


def _loosened(scalar: Scalar, column: pa.Array) -> Column:
    """Write texts of looser forms in the strict one, and read that.

    Nothing but a text of such a form becomes strict: each step changes what the strict form has
    exactly one of, or adds what it lacks.
    """
    assert scalar.reading is not None  # noqa: S101 - for mypy: these are the scalars that have one
    for name, step in _STRICTER.items():
        if name in scalar.reading.loosened:
            column = step(column)
    return (_LOCAL if scalar.arrow.tz is None else _INSTANTS)(scalar, column)


def _longer_offset(column: pa.Array) -> pa.Array:
    hours = pc.replace_substring_regex(column, r"([+-][0-9]{2})$", r"\1:00")
    return pc.replace_substring_regex(hours, r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2")


_STRICTER: dict[str, Callable[[pa.Array], pa.Array]] = {
    "space": lambda column: pc.replace_substring(column, " ", "T"),
    "comma": lambda column: pc.replace_substring(column, ",", "."),
    "no-seconds": lambda column: pc.replace_substring_regex(
        column, r"(T[0-9]{2}:[0-9]{2})(Z|[+-].*)?$", r"\1:00\2"
    ),
    "no-zone": lambda column: pc.replace_substring_regex(column, r"(T[0-9:.]*)$", r"\1Z"),
    "basic-offset": _longer_offset,
}


def _fast_instants(scalar: Scalar, column: pa.Array, longest: int) -> pa.Array | None:
    """Cast texts of a timestamp's form; return None, leaving to `exact_column`, the unusual ones.

    Those are dates outside the calendar, of which Arrow does not say which they are, and times on
    its first and last day, whose zones may lead out of it.
    """
    try:
        instants = _cut(column, longest).cast(scalar.arrow)
    except pa.ArrowInvalid:
        return None
    least, greatest = _range(instants.view(pa.int64()))
    if least < (FIRST_DAY + 1) * _DAY or greatest >= LAST_DAY * _DAY:
        return None
    return instants


def _exactly(scalar: Scalar, column: pa.Array, misfits: pa.Array | None) -> Column:
    """Convert value by value; add the misfits that were found to those known before."""
    converted, found = exact_column(scalar, column)
    return converted, or_masks(misfits, found)


def _cut(column: pa.Array, longest: int) -> pa.Array:
    """Cut off digits beyond microseconds, which Arrow's parser would refuse.

    No text of up to `longest` characters has so many.
    """
    if (pc.max(pc.binary_length(column)).as_py() or 0) <= longest:
        return column
    return pc.replace_substring_regex(column, r"(\.[0-9]{6})[0-9]+", r"\1")


def _range(numbers: pa.Array) -> tuple[int, int]:
    """The least and the greatest value of a column; zeros where it has no values."""
    found = pc.min_max(numbers).as_py()
    return found["min"] or 0, found["max"] or 0


def _dates(scalar: Scalar, column: pa.Array) -> Column:
    column, misfits = exact_matching(column, f"^{_DATE}$")
    days = _fast_days(scalar, column)
    return (days, misfits) if days is not None else _exactly(scalar, column, misfits)


def _fast_days(scalar: Scalar, column: pa.Array) -> pa.Array | None:
    """Cast texts of a date's form; return None, leaving to `exact_column`, the unusual ones.

    Those are dates that are not in the calendar, among them the year 0000, which Arrow accepts.
    """
    try:
        days = column.cast(scalar.arrow)
    except pa.ArrowInvalid:
        return None
    return days if _range(days.view(pa.int32()))[0] >= FIRST_DAY else None


def _epoch_days(scalar: Scalar, column: pa.Array) -> Column:
    fits = pc.and_(pc.greater_equal(column, FIRST_DAY), pc.less_equal(column, LAST_DAY))
    column, misfits = _kept(column, fits)
    return column.cast(scalar.arrow), misfits


def _times(scalar: Scalar, column: pa.Array) -> Column:
    column, misfits = exact_matching(column, f"^{_TIME}$")
    texts = pc.binary_join_element_wise("1970-01-01T", column, "")
    micros = _cut(texts, MICROS_LOCAL).cast(pa.timestamp("us")).view(pa.int64())
    if scalar.arrow == pa.time32("ms"):
        return pc.divide(micros, 1_000).cast(pa.int32()).cast(scalar.arrow), misfits
    return micros.cast(scalar.arrow), misfits


def _epochs(unit: str) -> _ScalarKernel:
    factor = float(MICROS[unit])
    low, high = float(FIRST_DAY * _DAY), float((LAST_DAY + 1) * _DAY)
    coarser = coarser_units(unit)

    def kernel(scalar: Scalar, column: pa.Array) -> Column:
        micros = pc.multiply(column, factor)
        fits = pc.and_(pc.greater_equal(micros, low), pc.less(micros, high))
        fits = _unless_coarser(column, fits, coarser)
        micros, misfits = _kept(micros, fits)
        whole = pc.round(micros, ndigits=0, round_mode="half_to_even").cast(pa.int64())
        return whole.cast(scalar.arrow), misfits

    return kernel


def _epoch_nanos(scalar: Scalar, column: pa.Array) -> Column:
    """Cut nanoseconds to microseconds, downwards; Arrow divides towards zero."""
    fits = _unless_coarser(column, pc.is_valid(column), coarser_units("nanos"))
    column, misfits = _kept(column, fits)
    micros = pc.divide(column, 1_000)
    cut = pc.less(column, pc.multiply(micros, 1_000)).cast(pa.int64())
    return pc.subtract(micros, cut).cast(scalar.arrow), misfits


def _unless_coarser(column: pa.Array, fits: pa.Array, coarser: Coarser) -> pa.Array:
    """Call misfits what may be in a coarser unit; between two such ranges there is little else."""
    if not coarser:
        return fits
    low, high = min(low for _, low, _ in coarser), max(high for _, _, high in coarser)
    suspect = pc.and_(pc.greater_equal(column, low), pc.less(column, high))
    return pc.and_(fits, pc.invert(suspect))


def _decimal_texts(scalar: Scalar, column: pa.Array) -> Column:
    """Cast strings that are plain numbers; any others are misfits, left to the row path."""
    precision, scale = scalar.arrow.precision, scalar.arrow.scale
    whole = f"[1-9][0-9]{{0,{precision - scale - 1}}}" if precision > scale else "0"
    fraction = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
    column, misfits = exact_matching(column, f"^-?(?:0|{whole}){fraction}$")
    return column.cast(scalar.arrow), misfits


def _fast_decimals(scalar: Scalar, column: pa.Array) -> Column:
    """Cut plain numbers to the scale; a number that this changes is a misfit, for the row path."""
    narrow = column.cast(scalar.arrow, safe=False)
    return _kept(narrow, pc.equal(narrow.cast(column.type), column))


_UTC = f"(?:Z|[+-]{_CLOCK})"
_INSTANTS, _LOCAL = _timestamps(_UTC), _timestamps("")
KERNELS: dict[LogicalType, tuple[pa.DataType, _ScalarKernel]] = {
    LogicalType.BOOLEAN: (pa.bool_(), _as_read),
    LogicalType.INT: (pa.int32(), _as_read),
    LogicalType.LONG: (pa.int64(), _as_read),
    LogicalType.FLOAT: (pa.float64(), _floats),
    LogicalType.DOUBLE: (pa.float64(), _floats),
    LogicalType.STRING: (pa.string(), _as_read),
    LogicalType.ENUM: (pa.string(), _symbols),
    LogicalType.BYTES: (pa.string(), exact_column),
    LogicalType.FIXED: (pa.string(), exact_column),
    LogicalType.DECIMAL: (pa.string(), _decimal_texts),
    LogicalType.UUID: (pa.string(), _uuids),
    LogicalType.DATE: (pa.string(), _dates),
    LogicalType.TIME_MILLIS: (pa.string(), _times),
    LogicalType.TIME_MICROS: (pa.string(), _times),
    LogicalType.TIMESTAMP_MILLIS: (pa.string(), _INSTANTS),
    LogicalType.TIMESTAMP_MICROS: (pa.string(), _INSTANTS),
    LogicalType.LOCAL_TIMESTAMP_MILLIS: (pa.string(), _LOCAL),
    LogicalType.LOCAL_TIMESTAMP_MICROS: (pa.string(), _LOCAL),
    LogicalType.EPOCH_DAYS: (pa.int32(), _epoch_days),
    LogicalType.EPOCH_SECONDS: (pa.float64(), _epochs("seconds")),
    LogicalType.EPOCH_MILLIS: (pa.float64(), _epochs("millis")),
    LogicalType.EPOCH_MICROS: (pa.float64(), _epochs("micros")),
    LogicalType.EPOCH_NANOS: (pa.int64(), _epoch_nanos),
}
"""What the JSON reader reads each type as, and the kernel that makes its column of that.

`exact_column` marks the types for which Arrow has no kernel.
"""
