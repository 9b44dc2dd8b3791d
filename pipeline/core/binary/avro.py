"""Avro's binary encoding to exact JSON, by the schema that it was written with.

A schema is compiled once to functions, one for each type in it, which read from a cursor. A payload
comes from anyone: what a function reads is bounded by the bytes that are there, by a depth, and by
how much JSON it may become, so that an array of a billion items of no bytes costs nothing.

What JSON has no type for is written as datasets read it:

    bytes, fixed          base64
    decimal               a number, digit for digit: 12.50
    uuid                  its 36 characters
    date, time            2026-11-27, 09:30:00.250
    timestamp             2026-11-27T09:30:00.250Z; a local one without Z
    NaN, Infinity         the text "NaN", "Infinity", "-Infinity"
    union                 the value alone
    enum                  its symbol

A date or timestamp that is not in the years 1 to 9999 stays a number.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import msgspec
import pybase64
from fastavro.schema import SchemaParseException

from pipeline.core.binary.avro_values import (
    LOGICAL,
    PRIMITIVES,
    Broken,
    Cursor,
    Read,
    TooDeep,
    TooMuch,
    array_reader,
    converted,
    decimal_text,
    enum_reader,
    fixed_reader,
    map_reader,
    read_bytes,
    record_reader,
    union_reader,
    uuid_text,
)
from pipeline.core.errors import DatasetError
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation


class AvroSchema:
    """A writer's schema, ready to read with."""

    def __init__(self, text: str, where: str, references: Sequence[str] = ()) -> None:
        """Compile it, behind the schemas that it refers to by name.

        Raises `DatasetError` that names `where` for what Avro does not allow.
        """
        named, compiler = dict[str, Any](), _Compiler()
        try:
            for each in (*references, text):
                parsed = fastavro.parse_schema(msgspec.json.decode(each), named)
                self._read = compiler.read_of(parsed)
        except _NOT_AVRO as error:
            message = f"{where} is not an Avro schema: {type(error).__name__}: {error}."
            raise DatasetError(message) from None

    def to_json(self, data: bytes, most: int, depth: int) -> tuple[bytes | Violation, int]:
        """Return a value as JSON, or what is wrong, and how much of `most` was spent on it."""
        cursor = Cursor(data, most, depth)
        found: bytes | Violation
        try:
            found = self._json(cursor)
            cursor.spend(max(0, len(found) - (most - cursor.left)))
        except Broken as error:
            found = _broken(f"{error}, at byte {cursor.offset} of the value")
        except (IndexError, struct.error):
            found = _broken("it ends in the middle of a value")
        except TooMuch:
            message = f"The payload becomes more than {most} bytes of JSON."
            found = Violation(Reason.DOCUMENT_TOO_LARGE, message)
        except TooDeep:
            found = Violation(Reason.TOO_DEEP, f"The value nests deeper than {depth} levels.")
        return found, most - max(cursor.left, 0)

    def _json(self, cursor: Cursor) -> bytes:
        value = self._read(cursor)
        if cursor.offset != len(cursor.data):
            message = "it goes on behind the value"
            raise Broken(message)
        return msgspec.json.encode(value)


_NOT_AVRO = (
    SchemaParseException,
    msgspec.DecodeError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
)
"""What fastavro raises for what is not a schema: its own, and what it trips over."""


def _broken(problem: str) -> Violation:
    return Violation(
        Reason.BAD_AVRO, f"The payload is not Avro of the schema that it names: {problem}."
    )


class _Compiler:
    """Makes readers of a schema that fastavro has parsed: its names are full ones."""

    def __init__(self) -> None:
        self._named: dict[str, Read] = {}

    def read_of(self, schema: Any) -> Read:
        """Return what reads values of a schema."""
        if isinstance(schema, str):
            return PRIMITIVES.get(schema) or self._named[schema]
        if isinstance(schema, list):
            return union_reader([self.read_of(branch) for branch in schema])
        return self._object(schema)

    def _object(self, schema: Mapping[str, Any]) -> Read:
        match schema["type"]:
            case "record" | "error":
                return self._record(schema)
            case "array":
                return array_reader(self.read_of(schema["items"]))
            case "map":
                return map_reader(self.read_of(schema["values"]))
            case "enum":
                return self._name(schema, enum_reader(list(schema["symbols"])))
            case "fixed":
                return self._name(schema, self._fixed(schema))
            case str(primitive) if primitive in PRIMITIVES:
                return self._logical(primitive, schema)
            case inner:
                return self.read_of(inner)

    def _name(self, schema: Mapping[str, Any], read: Read) -> Read:
        self._named[schema["name"]] = read
        return read

    def _record(self, schema: Mapping[str, Any]) -> Read:
        fields = list[tuple[str, Read]]()
        # Brackets; and of each field its name in quotes, a colon, a value and a comma.
        cost = 2 + sum(len(field["name"].encode()) + 4 for field in schema["fields"])
        read = self._name(schema, record_reader(fields, cost))
        fields += [(field["name"], self.read_of(field["type"])) for field in schema["fields"]]
        return read

    def _fixed(self, schema: Mapping[str, Any]) -> Read:
        read = fixed_reader(schema["size"])
        match schema.get("logicalType"):
            case "decimal":
                return converted(read, decimal_text(schema.get("scale", 0)))
            case "uuid" if schema["size"] == 16:  # noqa: PLR2004 - the bytes of a UUID
                return converted(read, uuid_text)
        return converted(read, pybase64.b64encode_as_string)

    def _logical(self, primitive: str, schema: Mapping[str, Any]) -> Read:
        """Return what reads a primitive by its logical type; an unknown one means nothing."""
        name = schema.get("logicalType")
        if (primitive, name) == ("bytes", "decimal"):
            return converted(read_bytes, decimal_text(schema.get("scale", 0)))
        written = LOGICAL.get((primitive, name)) if isinstance(name, str) else None
        read = PRIMITIVES[primitive]
        return read if written is None else converted(read, written)
