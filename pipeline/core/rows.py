"""The row path: one document at a time, strictly, with the exact fault of one that does not fit.

msgspec decodes documents into structs and refuses what does not fit; what exactly is wrong with
a refused one is then told by walking it beside its type. A repeated key is the one thing they
see differently: msgspec checks every occurrence, and the contract is that the last one counts.
So a document in which the walk finds no fault is written again without repeats and decoded anew.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.core.errors import Reason
from pipeline.core.jsontext import (
    Float,
    Integer,
    is_json,
    read_exactly,
    why_not_json,
    write_exactly,
)
from pipeline.core.paths import member
from pipeline.core.records import Fault
from pipeline.core.types import Array, JsonKind, Map, Record, Scalar, Slot

_REFUSED = (msgspec.ValidationError, msgspec.DecodeError)


class RowDecoder:
    """Decodes documents of one record type into its msgspec structs."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._decoder = msgspec.json.Decoder(record.json_type)

    def decode(self, documents: Sequence[bytes]) -> tuple[list[Any], dict[int, Fault]]:
        """Decode UTF-8 documents; return structs (None where refused) and the faults by index."""
        structs: list[Any] = []
        faults: dict[int, Fault] = {}
        decode = self._decoder.decode
        for index, document in enumerate(documents):
            try:
                structs.append(decode(document))
            except _REFUSED:
                decoded = self._once_more(document)
                if isinstance(decoded, Fault):
                    faults[index], decoded = decoded, None
                structs.append(decoded)
        return structs, faults

    def _once_more(self, document: bytes) -> Any:
        """Tell the fault of a refused document; without one, decode it with no key repeated."""
        if not is_json(document):
            return Fault(Reason.NOT_JSON, why_not_json(document))
        value = read_exactly(document)
        if not isinstance(value, dict):
            return Fault(Reason.NOT_OBJECT, f"The document is {_kind(value)}, not an object.")
        return fault_of_record(self.record, value, "$") or self._decoder.decode(
            write_exactly(value)
        )


def fault_of(slot: Slot, value: Any, path: str) -> Fault | None:
    """Find the first fault of a value, as `read_exactly` reads it, in its place."""
    if value is None:
        if slot.optional:
            return None
        return Fault(Reason.MISSING_FIELD, "A value is required here and is null.", path)
    of = slot.type
    if isinstance(of, Scalar):
        return _fault_of_scalar(of, value, path)
    if isinstance(of, Array):
        if not isinstance(value, list):
            return _wrong_type("an array", value, path)
        items = enumerate(value)
        return _first(fault_of(of.item, item, f"{path}[{number}]") for number, item in items)
    if not isinstance(value, dict):
        return _wrong_type("an object", value, path)
    if isinstance(of, Map):
        return _first(fault_of(of.value, item, path + member(key)) for key, item in value.items())
    return fault_of_record(of, value, path)


def fault_of_record(record: Record, value: dict[str, Any], path: str) -> Fault | None:
    """Find the first fault of an object, in the order of the schema's fields."""
    for of in record.fields:
        if of.key not in value and not of.optional:
            return Fault(Reason.MISSING_FIELD, "A required field is absent.", path + member(of.key))
        fault = fault_of(of, value.get(of.key), path + member(of.key))
        if fault is not None:
            return fault
    if record.closed:
        known = {of.key for of in record.fields}
        for key in value:
            if key not in known:
                message = "The schema knows no such field, and this dataset rejects those."
                return Fault(Reason.UNKNOWN_FIELD, message, path + member(key))
    return None


def _fault_of_scalar(of: Scalar, value: Any, path: str) -> Fault | None:
    """Hold one JSON value against a scalar's JSON type; its text is judged on conversion."""
    wanted, accepts = _KINDS[of.kind]
    if not accepts(value):
        return _wrong_type(wanted, value, path)
    if of.symbols and value not in of.symbols:
        message = f"The string is none of the symbols {', '.join(of.symbols)}."
        return Fault(Reason.UNKNOWN_SYMBOL, message, path)
    if (of.kind == "integer" and not _within(value, of.low, of.high)) or (
        of.kind == "number" and not math.isfinite(float(value))
    ):
        return Fault(Reason.OUT_OF_RANGE, f"The number is out of range for type {of.name}.", path)
    return None


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Integer | Float)


# What each kind of JSON value is called, and what it is among the values of `read_exactly`.
_KINDS: dict[JsonKind, tuple[str, Callable[[Any], bool]]] = {
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("an integer", lambda value: isinstance(value, Integer)),
    "number": ("a number", lambda value: isinstance(value, Integer | Float)),
    "decimal": ("a number, or a string that is one", lambda value: isinstance(value, str)),
    "string": ("a string", _is_string),
}
_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    Integer: "an integer",
    Float: "a number with fraction or exponent",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _within(digits: str, low: int, high: int) -> bool:
    """Compare without reading thousands of digits, which Python refuses to do."""
    return len(digits) <= 20 and low <= int(digits) <= high  # noqa: PLR2004 - of a 64-bit integer


def _first(faults: Any) -> Fault | None:
    return next((fault for fault in faults if fault is not None), None)


def _wrong_type(wanted: str, value: Any, path: str) -> Fault:
    return Fault(Reason.WRONG_TYPE, f"Wanted {wanted}; this is {_kind(value)}.", path)


def _kind(value: Any) -> str:
    """Name a JSON value's type for a person."""
    return _NAMES[type(value)]
