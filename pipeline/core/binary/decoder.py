"""Payloads to JSON, by what stream.toml says they are and the schema that each was written with."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from pipeline.core.binary.headers import take_off
from pipeline.core.inflating import Meter
from pipeline.core.payload_format import PayloadFormat
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits, Violation


class WriterSchema(Protocol):
    """A schema that payloads are written with."""

    def to_json(self, data: bytes, most: int, depth: int) -> tuple[bytes | Violation, int]:
        """Return a value as JSON, or what is wrong, and how much of `most` was spent on it."""


_MOST_UNKNOWN = 100
"""Ids in a stream record: a registry takes milliseconds for each, and knows nothing of it."""

FindSchema = Callable[[str], "WriterSchema | Violation | None"]
"""Returns a schema by the id in a header; None for what nobody knows. It may raise `StoreError`."""


class Asked(msgspec.Struct):
    """The ids in the payloads of one stream record, by whether their schemas are known."""

    known: set[str] = msgspec.field(default_factory=set)
    unknown: set[str] = msgspec.field(default_factory=set)


class Decoder:
    """Decodes the payloads of one stream."""

    def __init__(self, payload_format: PayloadFormat, find_schema: FindSchema) -> None:
        self.format = payload_format.format
        self._payload_format = payload_format
        self._find_schema = find_schema

    def decode(
        self, payload: bytes, limits: Limits, left: int, asked: Asked
    ) -> tuple[bytes | Violation, int]:
        """Return a payload as JSON, or what is wrong, and the bytes that were spent on it.

        `left` is how many bytes may be spent at most, `asked` what was before in its stream record.
        """
        if not payload:
            message = "The record is empty."
            return Violation(Reason.EMPTY_RECORD, message), 0
        meter = Meter()
        found = take_off(
            self._payload_format.header, payload, min(limits.unpacked_bytes, left), meter
        )
        if isinstance(found, Violation):
            return found, max(len(payload), meter.spent)
        name, value = found
        schema = self._find(name, asked)
        if schema is None:
            return self._unknown(name), max(len(payload), len(value))
        if isinstance(schema, Violation):
            return schema, max(len(payload), len(value))
        document, spent = schema.to_json(value, min(limits.document_bytes, left), limits.depth)
        return document, spent + len(value)

    def _find(self, name: str, asked: Asked) -> WriterSchema | Violation | None:
        """Return a schema; past so many ids that nobody knows, none that is new is asked for."""
        if name not in asked.known and len(asked.unknown) >= _MOST_UNKNOWN:
            return None if name in asked.unknown else _too_many_unknown(name)
        schema = self._find_schema(name)
        (asked.unknown if schema is None else asked.known).add(name)
        return schema

    def _unknown(self, name: str) -> Violation:
        return Violation(
            Reason.UNKNOWN_SCHEMA,
            f"The payload was written with schema {name}, which is not known; register it, or "
            "give its file, and send the dead letter again.",
        )


def _too_many_unknown(name: str) -> Violation:
    return Violation(
        Reason.UNKNOWN_SCHEMA,
        f"Before this payload, its stream record names {_MOST_UNKNOWN} schemas that are not known, "
        f"so schema {name} is not asked for; send the dead letter again.",
    )
