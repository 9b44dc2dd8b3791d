"""The table of field rules: how a schema spells each, which types have it, and its limit.

`documents.field_rules` has the verdict of each, by the same names, and the generator obeys them;
tests/core/test_type_table.py goes over this table and names the place that lacks a rule.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.jsontext import Float, Integer, is_text
from pipeline.core.schema.types import LogicalType, Rules, Scalar, Type

_NUMBERS = frozenset({
    LogicalType.INT, LogicalType.LONG, LogicalType.FLOAT, LogicalType.DOUBLE, LogicalType.DECIMAL,
})  # fmt: skip
_STRINGS = frozenset({LogicalType.STRING, LogicalType.JSON})


class UnusableRule(Exception):
    """A rule does not fit its field, or its limit is not one; the message says why."""


class RuleDefinition(msgspec.Struct, frozen=True):
    """One row of the table: the attribute of `Rules` by its key in a schema.

    `belongs_on` says in words what `types` are; `read` makes the limit of what the schema gives
    and raises `UnusableRule`.
    """

    key: str
    attribute: str
    types: frozenset[LogicalType]
    belongs_on: str
    read: Callable[[str, Any], Any]


def read_rules(entry: Mapping[str, Any], field_type: Type) -> Rules:
    """Read the rules beside a field's name. Raises `UnusableRule`."""
    given: dict[str, Any] = {}
    for rule in FIELD_RULES:
        if rule.key not in entry:
            continue
        if not isinstance(field_type, Scalar) or field_type.logical not in rule.types:
            raise UnusableRule(f'"{rule.key}" belongs on {rule.belongs_on}.')
        given[rule.attribute] = rule.read(rule.key, entry[rule.key])
    for least, greatest in _RANGES:
        low, high = given.get(least.attribute), given.get(greatest.attribute)
        if low is not None and high is not None and low > high:
            raise UnusableRule(
                f'"{least.key}" is above "{greatest.key}"; no value could satisfy both.'
            )
    return Rules(**given)


def _number(key: str, value: Any) -> Decimal:
    try:
        limit = Decimal(value) if isinstance(value, Integer | Float) else Decimal("NaN")
    except InvalidOperation:
        limit = Decimal("NaN")
    if limit.is_nan() or not math.isfinite(float(limit)):
        raise UnusableRule(f'"{key}" must be a number, and one that a double can hold.')
    return limit


def _length(key: str, value: Any) -> int:
    if not isinstance(value, Integer) or int(value) < 0:
        raise UnusableRule(f'"{key}" must be a whole number, 0 or greater.')
    return int(value)


def _pattern(key: str, value: Any) -> str:
    """Patterns are RE2, which runs in linear time; what it refuses cannot be a rule."""
    if not is_text(value):
        raise UnusableRule(f'"{key}" must be a string.')
    try:
        pc.match_substring_regex(pa.array([""]), value)
    except pa.ArrowInvalid as error:
        raise UnusableRule(f'"{key}" is not an RE2 regular expression: {error}.') from None
    return value


_MINIMUM = RuleDefinition("minimum", "minimum", _NUMBERS, "numbers", _number)
_MAXIMUM = RuleDefinition("maximum", "maximum", _NUMBERS, "numbers", _number)
_MIN_LENGTH = RuleDefinition("minLength", "min_length", _STRINGS, "strings", _length)
_MAX_LENGTH = RuleDefinition("maxLength", "max_length", _STRINGS, "strings", _length)
_PATTERN = RuleDefinition("pattern", "pattern", _STRINGS, "strings", _pattern)

FIELD_RULES = (_MINIMUM, _MAXIMUM, _MIN_LENGTH, _MAX_LENGTH, _PATTERN)
_RANGES = ((_MINIMUM, _MAXIMUM), (_MIN_LENGTH, _MAX_LENGTH))
