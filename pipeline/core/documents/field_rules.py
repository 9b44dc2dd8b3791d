"""The rules of a record's fields, vectorised on its columns. Patterns are RE2, unanchored."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.documents.jsonpath import ValuePath, Violations, path_segment
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation
from pipeline.core.schema.types import Array, Field, FieldType, Map, Record, Rules, Type

# Exact for every bound that `avro` lets pass: below 10**309, and at most 76 digits of a column.
_EXACT = Context(prec=400, Emax=10**6, Emin=-(10**6))


def ruled_fields(record: Record) -> list[Field]:
    """Return the fields of a record that have a rule, themselves or at any depth."""
    return [of for of in record.fields if _ruled(of)]


def _ruled(slot: FieldType) -> bool:
    if isinstance(slot, Field) and slot.rules:
        return True
    match slot.type:
        case Record() as record:
            return bool(ruled_fields(record))
        case Array(item=inner) | Map(value=inner):
            return _ruled(inner)
        case _:
            return False


def check_fields(fields: Sequence[Field], columns: Sequence[pa.Array], faults: Violations) -> None:
    """Note the rows in which a value breaks a rule; there is a column for each field."""
    for of, column in zip(fields, columns, strict=True):
        _walk(of, column, ValuePath(ValuePath(), range(len(column)), path_segment(of.key)), faults)


def _walk(slot: FieldType, array: pa.Array, where: ValuePath, faults: Violations) -> None:
    """Check one place and everything below it."""
    if isinstance(slot, Field) and slot.rules:
        _check(slot.rules, array, where, faults)
    match slot.type:
        case Record() as record:
            for of in record.fields:
                inner = pc.struct_field(array, of.name)
                _walk(of, inner, ValuePath(where, range(len(array)), path_segment(of.key)), faults)
        case Array(item=inner) | Map(value=inner) if _ruled(inner):
            _walk_items(slot.type, inner, array, where, faults)
        case _:
            pass


def _walk_items(
    of: Type, inner: FieldType, array: pa.Array, where: ValuePath, faults: Violations
) -> None:
    """Check the items of arrays, or the values of maps."""
    if isinstance(of, Map):
        entry = pa.struct([pa.field("key", pa.string()), pa.field("value", inner.arrow)])
        array = array.cast(pa.list_(entry))  # Arrow knows the parents of a list's items only
    flat, parents = array.flatten(), pc.list_parent_indices(array).to_pylist()
    if isinstance(of, Map):
        segments = [path_segment(key) for key in pc.struct_field(flat, "key").to_pylist()]
        flat = pc.struct_field(flat, "value")
    else:
        segments = [f"[{number}]" for number in _numbers(parents)]
    _walk(inner, flat, ValuePath(where, parents, segments), faults)


def _numbers(parents: list[int]) -> Iterator[int]:
    """Each item's number in its own list, counted from 0."""
    for _, items in groupby(parents):
        yield from (number for number, _ in enumerate(items))


def _check(rules: Rules, array: pa.Array, where: ValuePath, faults: Violations) -> None:
    """Note every value that breaks a rule; null breaks none."""
    for broken, fault in _verdicts(rules, array):
        for index in pc.indices_nonzero(broken.fill_null(False)).to_pylist():  # noqa: FBT003 - a value
            faults.add(where.row(index), msgspec.structs.replace(fault, path=where.path(index)))


def _verdicts(rules: Rules, array: pa.Array) -> Iterator[tuple[pa.Array, Violation]]:
    """For each rule that holds: which values break it, and what to say of them."""
    if rules.minimum is not None:
        message = f"The number is below its minimum, {rules.minimum}."
        yield _beyond(array, rules.minimum, pc.less), Violation(Reason.BELOW_MINIMUM, message)
    if rules.maximum is not None:
        message = f"The number is above its maximum, {rules.maximum}."
        yield _beyond(array, rules.maximum, pc.greater), Violation(Reason.ABOVE_MAXIMUM, message)
    if rules.min_length is not None:
        message = f"The string is shorter than {rules.min_length} characters."
        too_short = pc.less(pc.utf8_length(array), _length(rules.min_length))
        yield too_short, Violation(Reason.TOO_SHORT, message)
    if rules.max_length is not None:
        message = f"The string is longer than {rules.max_length} characters."
        too_long = pc.greater(pc.utf8_length(array), _length(rules.max_length))
        yield too_long, Violation(Reason.TOO_LONG, message)
    if rules.pattern is not None:
        message = f"The string does not match {rules.pattern!r}."
        mismatch = pc.invert(pc.match_substring_regex(array, rules.pattern))
        yield mismatch, Violation(Reason.PATTERN_MISMATCH, message)


def _length(bound: int) -> pa.Scalar:
    """Return a length to compare with; no string is longer than Arrow can count."""
    return pa.scalar(min(bound, 2**31 - 1), pa.int32())


def _beyond(array: pa.Array, bound: Decimal, compare: Any) -> pa.Array:
    """Compare numbers with a decimal bound, exactly.

    Arrow would compare integers with a fractional bound as doubles, and decimals of different
    scale not at all where they do not fit. So the bound is brought to the column's own grid: a
    number is beyond a bound between two steps if it is beyond the step on the bound's far side.
    """
    of = array.type
    if pa.types.is_floating(of):
        return compare(array.cast(pa.float64()), float(bound))
    scale = of.scale if pa.types.is_decimal(of) else 0
    rounding = ROUND_CEILING if compare is pc.less else ROUND_FLOOR
    step = Decimal(1).scaleb(-scale)
    on_grid = bound.quantize(step, rounding=rounding, context=_EXACT)
    try:
        exact = on_grid if pa.types.is_decimal(of) else int(on_grid)
        return compare(array, pa.scalar(exact, of))
    except (pa.ArrowInvalid, OverflowError):
        # The bound is outside what the type holds: all values are on one side of it.
        all_beyond = (bound > 0) == (compare is pc.less)
        return pc.if_else(array.is_valid(), all_beyond, None)
