"""What the contract says of any bytes: Python's reader of JSON, and fastavro's validation.

`read` of each scalar type turns what JSON says into what Avro means; whether that is a value of
the schema is for fastavro to say. Rules are Python's.
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
        """Return the row that a payload of one document becomes, or that it becomes none."""
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
        except ValueError:  # no JSON; or half a surrogate pair, which no UTF-8 can hold
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
        """Turn a JSON value into what Avro means; what is of another type, as it is."""
        match place.type:
            case _ if value is None:
                return None
            case Scalar() as scalar:
                return scalar.read(value)
            case Array(item=item) if isinstance(value, list):
                return [self.converted(item, of) for of in value]
            case Map(item=item) if isinstance(value, dict):
                return {key: self.converted(item, of) for key, of in value.items()}
            case Record(fields=fields) if isinstance(value, dict):
                if self.made.closed and not value.keys() <= {of.key for of in fields}:
                    raise Unfit
                return {of.name: self.member(of, value.get(of.key)) for of in fields}
            case _:
                return value

    def member(self, of: Member, value: Any) -> Any:
        """Convert a field's value, or take its default for null and absence."""
        if value is None and of.default is not None:
            return of.default.value
        return self.converted(of, value)


def depth(value: Any) -> int:
    """Return how deep arrays, and objects as lists of pairs, nest."""
    if isinstance(value, tuple):
        return depth(value[1])
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def keeps_rules(of: Any, value: Any, rules: Rules = NO_RULES) -> bool:
    """Tell whether a valid value keeps the rules of every field in it."""
    match of:
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
    """Leave out defaults, which are JSON as in documents here, and not Avro's encoding."""
    if isinstance(schema, dict):
        return {key: _without_defaults(of) for key, of in schema.items() if key != "default"}
    return [_without_defaults(of) for of in schema] if isinstance(schema, list) else schema
