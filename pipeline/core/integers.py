"""Columns of integers that cost no Python object each: arrays of the machine's own numbers.

Positions, and indices into them, are as many as documents. Kept as `array`, they are made by
copying memory, compared by comparing it, and become Arrow's columns without being looked at.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import compress
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    Integers: TypeAlias = array[int]
else:
    Integers = array  # before Python 3.12 it accepts no parameter

INT32: Final = "i"
INT64: Final = "q"
_INT32_BYTES = 4
_ramps = {INT32: array(INT32), INT64: array(INT64)}  # 0, 1, 2, …, as far as anyone has counted


def up_to(end: int, code: str = INT32) -> Integers:
    """Return 0, 1, … to before `end`."""
    return between(0, end, code)


def between(start: int, end: int, code: str = INT32) -> Integers:
    """Return `start`, `start` + 1, … to before `end`."""
    ramp = _ramps[code]
    if len(ramp) < end:
        # A new one: another thread may be reading the old one.
        _ramps[code] = ramp = array(code, range(2 * end))
    return ramp[start:end]


def zeros(size: int, code: str = INT32) -> Integers:
    """Return so many zeros."""
    return array(code, (0,)) * size


def all_but(left_out: Iterable[int], size: int) -> list[int]:
    """Return 0, 1, … to before `size`, without those that are left out."""
    return list(compress(range(size), _flags(1, left_out, size)))


def mask_of(true: Iterable[int], size: int) -> pa.Array:
    """Return the mask that is true at these indices."""
    import pyarrow as pa  # noqa: PLC0415

    flags = pa.py_buffer(_flags(0, true, size))
    return pa.Array.from_buffers(pa.uint8(), size, [None, flags]).cast(pa.bool_())


def _flags(usual: int, others: Iterable[int], size: int) -> bytearray:
    """Return a byte for each index: 0 or 1, and the opposite for the others."""
    flags, other = bytearray((usual,)) * size, 1 - usual
    for index in others:
        flags[index] = other
    return flags


def integers(values: Iterable[int], code: str = INT32) -> Integers:
    """Return numbers as an array; of a range from 0 without counting it."""
    if isinstance(values, range) and values.start == 0 and values.step == 1:
        return up_to(values.stop, code)
    return array(code, values)


def to_arrow(values: Integers) -> pa.Array:
    """Return the Arrow array of the same numbers; a copy, so that `values` may grow."""
    import pyarrow as pa  # noqa: PLC0415 - a producer needs arrays, and no Arrow

    arrow_type = pa.int32() if values.typecode == INT32 else pa.int64()
    return pa.Array.from_buffers(arrow_type, len(values), [None, pa.py_buffer(values.tobytes())])


def from_arrow(values: pa.Array) -> Integers:
    """Return the numbers of an Arrow array of 32 or 64 bits without nulls."""
    size = values.type.bit_width // 8
    data = memoryview(values.buffers()[1])
    found = array(INT32 if size == _INT32_BYTES else INT64)
    found.frombytes(data[values.offset * size : (values.offset + len(values)) * size])
    return found
