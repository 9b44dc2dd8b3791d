"""The contract's verdict on any bytes, from Python's JSON reader and fastavro's validation.

`read` of each scalar type turns a JSON value into the value that Avro means; fastavro decides
whether that is a value of the schema. Rules are checked in Python.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import fastavro
from fastavro.validation import validate

from generated.rules import NO_RULES, Rules
from generated.scalars import Scalar, Unfit
from generated.schemas import Array, Made, Map, Member, Place, Record
from generated.spelling import read_json

DEEPEST = 256
Row = dict[str, Any]


class Oracle:
    """Judges documents of one dataset."""

    def __init__(self, made: Made) -> None:
        self.made = made
        schema = _without_defaults(json.loads(made.schema_text))
        self.schema = fastavro.parse_schema(schema)

    def judge(self, payload: bytes) -> Row | Literal["not_json", "reject"]:
        """Return the row that a payload of one document becomes, or why it becomes none."""
        try:
            text = payload.strip(b" \t\r\n").decode()
        except UnicodeDecodeError:
            return "reject"
        try:
            value = read_json(text)
            whole = json.loads(text, parse_int=str, object_pairs_hook=list)  # keeps repeated keys
            json.dumps(whole, ensure_ascii=False).encode()
        except RecursionError:
            return "reject"
        except ValueError:  # not JSON; or half a surrogate pair, which no UTF-8 can hold
            return "not_json"
        if not isinstance(value, dict) or depth(whole) > DEEPEST:
            return "reject"
        return self._row(value)

    def _row(self, value: Row) -> Row | Literal["reject"]:
        try:
            row: Row = self.converted(Place(self.made.record, nullable=False), value)
            fits = validate(row, self.schema, raise_errors=False)
        except (ValueError, OverflowError):  # Unfit, or Python's datetime and fastavro's decimals
            return "reject"
        return row if fits and keeps_rules(self.made.record, row) else "reject"

    def converted(self, place: Place, value: Any) -> Any:
        """Turn a JSON value into what Avro means; a value of another type, unchanged."""
        match place.type:
            case _ if value is None:
                return None
            case Scalar() as scalar:
                return scalar.read(value)
            case Array(item=item) if isinstance(value, list):
                return [self.converted(item, child) for child in value]
            case Map(item=item) if isinstance(value, dict):
                return {key: self.converted(item, child) for key, child in value.items()}
            case Record(fields=fields) if isinstance(value, dict):
                if self.made.closed and not value.keys() <= {field.key for field in fields}:
                    raise Unfit
                return {field.name: self.member(field, value) for field in fields}
            case _:
                return value

    def member(self, field: Member, found: Row) -> Any:
        """Convert a field's value, or use its default for absence, and for null that may not be."""
        value = found.get(field.key)
        null_stays = field.nullable and field.key in found
        if value is None and field.default is not None and not null_stays:
            return field.default.value
        return self.converted(field, value)


def depth(value: Any) -> int:
    """Return how deep arrays, and objects as lists of pairs, nest."""
    if isinstance(value, tuple):
        return depth(value[1])
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def keeps_rules(avro_type: Any, value: Any, rules: Rules = NO_RULES) -> bool:
    """Return whether a valid value keeps the rules of every field in it."""
    match avro_type:
        case _ if value is None:
            return True
        case Record(fields=fields):
            return all(keeps_rules(part.type, value[part.name], part.rules) for part in fields)
        case Array(item=item):
            return all(keeps_rules(item.type, part) for part in value)
        case Map(item=item):
            return all(keeps_rules(item.type, part) for part in value.values())
        case _:
            return rules.kept_by(value)


def _without_defaults(schema: Any) -> Any:
    """Leave out defaults: here they are JSON as in documents, not in Avro's encoding."""
    if isinstance(schema, dict):
        return {key: _without_defaults(child) for key, child in schema.items() if key != "default"}
    return [_without_defaults(child) for child in schema] if isinstance(schema, list) else schema
