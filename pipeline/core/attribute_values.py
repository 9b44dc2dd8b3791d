"""DynamoDB's attribute values, `{"price": {"N": "12.50"}}`, to plain JSON, `{"price": 12.50}`.

Every number keeps the digits that it was written with. A set becomes an array, and bytes stay
base64. What is not an attribute value is refused: nothing is guessed.
"""

import re
from typing import Any

import msgspec

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")


class NotAttributeValues(ValueError):
    """What was read is not an object of attribute values."""


def plain_json(text: bytes) -> bytes:
    """Write an object of attribute values as plain JSON. Raises `NotAttributeValues`."""
    try:
        return msgspec.json.encode(_plain_members(text))
    except (msgspec.DecodeError, RecursionError):
        raise NotAttributeValues from None


def _plain_members(text: bytes) -> dict[str, msgspec.Raw]:
    return {name: _plain(bytes(value)) for name, value in _members.decode(text).items()}


def _plain(text: bytes) -> msgspec.Raw:
    """Return an attribute value as plain JSON."""
    members = _members.decode(text)
    if len(members) != 1:
        raise NotAttributeValues
    ((kind, value),) = members.items()
    return msgspec.Raw(_written(kind, bytes(value)))


def _written(kind: str, value: bytes) -> bytes:
    match kind:
        case "S" | "B":
            return _checked(value, str)
        case "BOOL":
            return _checked(value, bool)
        case "N":
            return _number(msgspec.json.decode(value, type=str))
        case "NULL":
            return b"null"
        case "M":
            return msgspec.json.encode(_plain_members(value))
        case "L":
            items = msgspec.json.decode(value, type=list[msgspec.Raw])
            return msgspec.json.encode([_plain(bytes(item)) for item in items])
        case "SS" | "BS":
            return _checked(value, list[str])
        case "NS":
            numbers = msgspec.json.decode(value, type=list[str])
            return b"[%b]" % b",".join(map(_number, numbers))
        case _:
            raise NotAttributeValues


def _checked(value: bytes, kind: Any) -> bytes:
    """Return a value as it is written, if it is of a kind."""
    msgspec.json.decode(value, type=kind)
    return value


def _number(text: str) -> bytes:
    if not _NUMBER.fullmatch(text):
        raise NotAttributeValues
    return text.encode()
