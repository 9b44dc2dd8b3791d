"""The row path: one document at a time, strictly, with the exact violation of each bad one.

msgspec decodes documents into structs and refuses what does not fit. To find out what exactly is
wrong with a refused document, it is walked beside its type. The two differ in one thing only, a
repeated key: msgspec checks every occurrence, and the contract is that the last one counts. So a
document in which the walk finds no violation is written without repeats and decoded again.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.jsontext import (
    WHITESPACE,
    Float,
    Integer,
    is_json,
    read_exactly,
    why_not_json,
)
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation
from pipeline.core.schema.types import (
    Array,
    Field,
    FieldType,
    JsonKind,
    Map,
    Record,
    Scalar,
    Type,
    has_aliases,
)

_REFUSED = (msgspec.ValidationError, msgspec.DecodeError)
_UNREADABLE = (msgspec.DecodeError, RecursionError)
_UNKNOWN = "unknown field"  # in the decoder's own words
_anything = msgspec.json.Decoder()
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
IS_NULL = Violation(Reason.MISSING_FIELD, "A value is required, but it is null.", "")
IS_ABSENT = Violation(Reason.MISSING_FIELD, "A required field is absent.", "")


class RowDecoder:
    """Decodes documents of one record type into its msgspec structs."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._decoder = msgspec.json.Decoder(record.json_type)
        self._has_aliases = has_aliases(record)
        # Structs have a member for each alias, and so do not refuse two keys of one field.
        looks_twice = self._has_aliases and record.rejects_unknown_fields
        self._strict_decode = self._decode_once if looks_twice else self._decoder.decode

    def decode(self, documents: Sequence[bytes]) -> tuple[list[Any], dict[int, Violation]]:
        """Decode UTF-8 documents; return structs (None where rejected), violations by index."""
        structs: list[Any] = []
        violations: dict[int, Violation] = {}
        decode = self._strict_decode
        for index, document in enumerate(documents):
            try:
                structs.append(decode(document))
            except _REFUSED:
                decoded = self._explain_or_decode(document)
                if isinstance(decoded, Violation):
                    violations[index], decoded = decoded, None
                structs.append(decoded)
        return structs, violations

    def decode_closed(
        self, documents: Sequence[bytes], closed: Callable[[bytes], Any]
    ) -> tuple[list[Any], dict[int, Violation], list[int]]:
        """Decode as `decode` does; return also the documents that may have unknown members.

        `closed` decodes the same, and refuses those: all that it reads have none. Where one has,
        the next one most likely has, too, and is not tried. Nor is one whose fields have aliases: a
        member under an alias is unknown if the field's own key is there, too.
        """
        structs: list[Any] = []
        violations: dict[int, Violation] = {}
        suspects: list[int] = []
        for index, document in enumerate(documents):
            refused = False
            if not suspects and not self._has_aliases:
                try:
                    structs.append(closed(document))
                    continue
                except _REFUSED as error:
                    refused = _UNKNOWN not in str(error)
            decoded = self._decode(document, refused=refused)
            if isinstance(decoded, Violation):
                violations[index], decoded = decoded, None
            else:
                suspects.append(index)
            structs.append(decoded)
        return structs, violations, suspects

    def _decode_once(self, document: bytes) -> Any:
        """Decode a document that has no two keys of one field. Raises what the decoder raises."""
        struct = self._decoder.decode(document)
        value = _anything.decode(document)
        if find_violation(self.record, value) is not None:
            raise msgspec.ValidationError(_UNKNOWN)
        return struct

    def _decode(self, document: bytes, *, refused: bool) -> Any:
        """Decode one document, or find its violation; `refused` if the decoder would refuse it."""
        if not refused:
            with suppress(*_REFUSED):
                return self._decoder.decode(document)
        return self._explain_or_decode(document)

    def find_violations(
        self, documents: Sequence[bytes], indices: Iterable[int]
    ) -> dict[int, Violation]:
        """Return the violations that `decode` finds in these, in half its time: without structs."""
        violations: dict[int, Violation] = {}
        decode = self._strict_decode
        for index in indices:
            document = documents[index]
            try:
                decode(document)
            except _REFUSED:
                decoded = self._explain_or_decode(document)
                if isinstance(decoded, Violation):
                    violations[index] = decoded
        return violations

    def _explain_or_decode(self, document: bytes) -> Any:
        """Find the violation of a refused document; if it has none, decode it without repeats."""
        try:
            value = _anything.decode(document)
        except _UNREADABLE:
            if not is_json(document):
                return Violation(Reason.NOT_JSON, why_not_json(document))
            value = read_exactly(document)  # it has a number that only text can hold
        if not isinstance(value, dict):
            return Violation(Reason.NOT_OBJECT, f"The document is {_kind(value)}, not an object.")
        violation = find_violation(self.record, value)
        if violation is not None:
            return _inside("$", violation)
        return self._decoder.decode(_without_repeats(self.record, document.lstrip(WHITESPACE)))


def _without_repeats(schema_type: Type, text: bytes) -> bytes:
    """Write a JSON value without repeated keys, wherever the decoder looks; the last one counts.

    Everything else is as it was: a field may be of the text itself.
    """
    match schema_type:
        case Record(fields=fields) if text[:1] == b"{":
            members = _members.decode(text)
            for field in fields:
                for key in field.keys:
                    if key in members:
                        inner = _without_repeats(field.type, bytes(members[key]))
                        members[key] = msgspec.Raw(inner)
            return msgspec.json.encode(members)
        case Map(value=value) if text[:1] == b"{":
            return msgspec.json.encode(
                {
                    key: msgspec.Raw(_without_repeats(value.type, bytes(member)))
                    for key, member in _members.decode(text).items()
                }
            )
        case Array(item=item) if text[:1] == b"[":
            items = _items.decode(text)
            return msgspec.json.encode(
                [msgspec.Raw(_without_repeats(item.type, bytes(part))) for part in items]
            )
        case _:
            return text


def find_violation(record: Record, value: dict[str, Any]) -> Violation | None:
    """Find the first violation of an object, in the order of the schema's fields.

    Numbers may be numbers, or text as `read_exactly` reads them. The violation's path is relative
    to the object.
    """
    for field in record.fields:
        violation = _check_field(field, value)
        if violation is not None:
            return _inside(path_segment(_key_in(field, value)), violation)
    return _check_unknown(record, value) if record.rejects_unknown_fields else None


def _check_field(field: Field, value: dict[str, Any]) -> Violation | None:
    """Check the member that one field reads."""
    key = _key_in(field, value)
    member = value.get(key)
    if member is not None and not field.is_empty(member):
        return _CHECKS[type(field.type)](field.type, member)
    if field.optional:
        return None
    return IS_NULL if key in value else IS_ABSENT


def _key_in(field: Field, value: dict[str, Any]) -> str:
    """Return the key that an object has a field's value under; its own, if it has none."""
    if not field.aliases or field.key in value:
        return field.key
    return next((alias for alias in field.aliases if alias in value), field.key)


def decode_member(
    field: Field, decoder: msgspec.json.Decoder[Any], text: msgspec.Raw | bytes
) -> Any:
    """Decode the text of a field's value that is not null; return what is wrong, if anything is.

    `decoder` is one of the field's type. The violation's path is relative to the value.
    """
    try:
        return decoder.decode(text)
    except _REFUSED:
        exactly = read_exactly(bytes(text))
    violation = _CHECKS[type(field.type)](field.type, exactly)
    if violation is not None:
        return violation
    return decoder.decode(_without_repeats(field.type, bytes(text)))


def _check_unknown(record: Record, value: dict[str, Any]) -> Violation | None:
    """Check that an object has no member that no field reads."""
    read = {_key_in(field, value) for field in record.fields}  # of several keys one alone
    unknown = next((key for key in value if key not in read), None)
    if unknown is None:
        return None
    message = "The schema has no such field, and this dataset rejects unknown fields."
    return Violation(Reason.UNKNOWN_FIELD, message, path_segment(unknown))


def _check_object(record: Record, value: Any) -> Violation | None:
    if not isinstance(value, dict):
        return _wrong_type("an object", value)
    return find_violation(record, value)


def _check_array(array: Array, value: Any) -> Violation | None:
    if not isinstance(value, list):
        return _wrong_type("an array", value)
    return _first_inside(array.item, value, (f"[{number}]" for number in count()))


def _check_map(map_type: Map, value: Any) -> Violation | None:
    if not isinstance(value, dict):
        return _wrong_type("an object", value)
    return _first_inside(map_type.value, value.values(), map(path_segment, value))


def _first_inside(
    field_type: FieldType, values: Iterable[Any], segments: Iterable[str]
) -> Violation | None:
    """Check the items of an array, or the values of a map."""
    inner = field_type.type
    check = _CHECKS[type(inner)]
    for value, segment in zip(values, segments, strict=False):  # an array's segments do not end
        if (value is None and field_type.optional) or field_type.is_empty(value):
            continue
        violation = IS_NULL if value is None else check(inner, value)
        if violation is not None:
            return _inside(segment, violation)
    return None


def _check_scalar(scalar: Scalar, value: Any) -> Violation | None:
    """Check one JSON value against a scalar's JSON type; its text is checked on conversion."""
    if scalar.kind == "any":
        return None
    expected, types = _KINDS[scalar.kind]
    if type(value) not in types:
        return _wrong_type(expected, value)
    if scalar.symbols and value not in scalar.symbols and scalar.otherwise is None:
        message = f"The string is not one of the symbols {', '.join(scalar.symbols)}."
        return Violation(Reason.UNKNOWN_SYMBOL, message, "")
    if (scalar.kind == "integer" and not _within(value, scalar.low, scalar.high)) or (
        scalar.kind == "number" and not _is_finite(value)
    ):
        return Violation(
            Reason.OUT_OF_RANGE, f"The number is out of range for type {scalar.name}.", ""
        )
    return None


_CHECKS: dict[type, Callable[[Any, Any], Violation | None]] = {
    Record: _check_object,
    Array: _check_array,
    Map: _check_map,
    Scalar: _check_scalar,
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
    """Whether a number is finite after rounding to a double."""
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def _wrong_type(expected: str, value: Any) -> Violation:
    return Violation(Reason.WRONG_TYPE, f"Expected {expected}, got {_kind(value)}.", "")


def _inside(segment: str, violation: Violation) -> Violation:
    """Return a violation with its path as seen from one level above."""
    return Violation(violation.reason, violation.message, segment + violation.path)


def _kind(value: Any) -> str:
    """Name a JSON value's type, for a message."""
    return _NAMES[type(value)]
