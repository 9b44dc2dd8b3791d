"""The row path: one document at a time, strictly, with the exact fault of one that does not fit.

msgspec decodes documents into structs and refuses what does not fit; what exactly is wrong with
a refused one is then told by walking it beside its type. A repeated key is the one thing they
see differently: msgspec checks every occurrence, and the contract is that the last one counts.
So a document in which the walk finds no fault is written again without repeats and decoded anew.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import msgspec

from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.jsontext import (
    Float,
    Integer,
    is_json,
    read_exactly,
    why_not_json,
    write_exactly,
)
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation
from pipeline.core.schema.types import Array, FieldType, JsonKind, Map, Record, Scalar

_REFUSED = (msgspec.ValidationError, msgspec.DecodeError)
_UNREADABLE = (msgspec.DecodeError, RecursionError)
_anything = msgspec.json.Decoder()
_IS_NULL = Violation(Reason.MISSING_FIELD, "A value is required here and is null.", "")
_IS_ABSENT = Violation(Reason.MISSING_FIELD, "A required field is absent.", "")


class RowDecoder:
    """Decodes documents of one record type into its msgspec structs."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._decoder = msgspec.json.Decoder(record.json_type)

    def decode(self, documents: Sequence[bytes]) -> tuple[list[Any], dict[int, Violation]]:
        """Decode UTF-8 documents; return structs (None where refused) and the faults by index."""
        structs: list[Any] = []
        faults: dict[int, Violation] = {}
        decode = self._decoder.decode
        for index, document in enumerate(documents):
            try:
                structs.append(decode(document))
            except _REFUSED:
                decoded = self._once_more(document)
                if isinstance(decoded, Violation):
                    faults[index], decoded = decoded, None
                structs.append(decoded)
        return structs, faults

    def refused(self, documents: Sequence[bytes]) -> dict[int, Violation]:
        """Return the faults that `decode` tells; to keep all structs would take twice the time."""
        faults: dict[int, Violation] = {}
        decode = self._decoder.decode
        for index, document in enumerate(documents):
            try:
                decode(document)
            except _REFUSED:
                decoded = self._once_more(document)
                if isinstance(decoded, Violation):
                    faults[index] = decoded
        return faults

    def _once_more(self, document: bytes) -> Any:
        """Tell the fault of a refused document; without one, decode it with no key repeated."""
        try:
            value = _anything.decode(document)
        except _UNREADABLE:
            if not is_json(document):
                return Violation(Reason.NOT_JSON, why_not_json(document))
            value = read_exactly(document)  # it has a number that only text can hold
        if not isinstance(value, dict):
            return Violation(Reason.NOT_OBJECT, f"The document is {_kind(value)}, not an object.")
        fault = fault_of_record(self.record, value)
        if fault is not None:
            return _inside("$", fault)
        return self._decoder.decode(write_exactly(read_exactly(document)))


def fault_of_record(record: Record, value: dict[str, Any]) -> Violation | None:
    """Find the first fault of an object, in the order of the schema's fields.

    Numbers may be numbers, or text as `read_exactly` reads them. The fault's path begins here.
    """
    for of in record.fields:
        item = value.get(of.key)
        if item is not None:
            fault = _CHECKS[type(of.type)](of.type, item)
        else:
            fault = None if of.optional else _IS_NULL if of.key in value else _IS_ABSENT
        if fault is not None:
            return _inside(path_segment(of.key), fault)
    if record.closed:
        known = {of.key for of in record.fields}
        for key in value:
            if key not in known:
                message = "The schema knows no such field, and this dataset rejects those."
                return Violation(Reason.UNKNOWN_FIELD, message, path_segment(key))
    return None


def _fault_of_object(record: Record, value: Any) -> Violation | None:
    if not isinstance(value, dict):
        return _wrong_type("an object", value)
    return fault_of_record(record, value)


def _fault_of_array(of: Array, value: Any) -> Violation | None:
    if not isinstance(value, list):
        return _wrong_type("an array", value)
    return _first_inside(of.item, value, (f"[{number}]" for number in count()))


def _fault_of_map(of: Map, value: Any) -> Violation | None:
    if not isinstance(value, dict):
        return _wrong_type("an object", value)
    return _first_inside(of.value, value.values(), map(path_segment, value))


def _first_inside(
    slot: FieldType, values: Iterable[Any], segments: Iterable[str]
) -> Violation | None:
    check, of = _CHECKS[type(slot.type)], slot.type
    for value, segment in zip(values, segments, strict=False):  # an array's segments do not end
        if value is None and slot.optional:
            continue
        fault = _IS_NULL if value is None else check(of, value)
        if fault is not None:
            return _inside(segment, fault)
    return None


def _fault_of_scalar(of: Scalar, value: Any) -> Violation | None:
    """Hold one JSON value against a scalar's JSON type; its text is judged on conversion."""
    wanted, types = _KINDS[of.kind]
    if type(value) not in types:
        return _wrong_type(wanted, value)
    if of.symbols and value not in of.symbols:
        message = f"The string is none of the symbols {', '.join(of.symbols)}."
        return Violation(Reason.UNKNOWN_SYMBOL, message, "")
    if (of.kind == "integer" and not _within(value, of.low, of.high)) or (
        of.kind == "number" and not _is_finite(value)
    ):
        return Violation(Reason.OUT_OF_RANGE, f"The number is out of range for type {of.name}.", "")
    return None


_CHECKS: dict[type, Callable[[Any, Any], Violation | None]] = {
    Record: _fault_of_object,
    Array: _fault_of_array,
    Map: _fault_of_map,
    Scalar: _fault_of_scalar,
}
# What each kind of JSON value is called, and what it may be read as.
_KINDS: dict[JsonKind, tuple[str, frozenset[type]]] = {
    "boolean": ("true or false", frozenset({bool})),
    "integer": ("an integer", frozenset({int, Integer})),
    "number": ("a number", frozenset({int, float, Integer, Float})),
    "decimal": ("a number, or a string that is one", frozenset({int, float, Integer, Float, str})),
    "string": ("a string", frozenset({str})),
}
_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "an integer",
    Integer: "an integer",
    float: "a number with fraction or exponent",
    Float: "a number with fraction or exponent",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _within(number: int | str, low: int, high: int) -> bool:
    """Compare without reading thousands of digits, which Python refuses to do."""
    if isinstance(number, str) and len(number) > 20:  # noqa: PLR2004 - of a 64-bit integer
        return False
    return low <= int(number) <= high


def _is_finite(number: float | str) -> bool:
    """Tell whether a number, rounded to a double, is one."""
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def _wrong_type(wanted: str, value: Any) -> Violation:
    return Violation(Reason.WRONG_TYPE, f"Wanted {wanted}; this is {_kind(value)}.", "")


def _inside(segment: str, fault: Violation) -> Violation:
    """Return a fault as it is seen from one level above."""
    return Violation(fault.reason, fault.message, segment + fault.path)


def _kind(value: Any) -> str:
    """Name a JSON value's type for a person."""
    return _NAMES[type(value)]
