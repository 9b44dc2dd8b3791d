"""Payloads to JSON, by what stream.toml says they are and the schema that each was written with."""

from collections.abc import Callable
from typing import Protocol

from pipeline.core.binary.headers import take_off
from pipeline.core.payload_format import PayloadFormat
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits, Violation


class WriterSchema(Protocol):
    """A schema that payloads are written with."""

    def to_json(self, data: bytes, most: int, depth: int) -> tuple[bytes | Violation, int]:
        """Return a value as JSON, or what is wrong, and how much of `most` was spent on it."""


FindSchema = Callable[[str], "WriterSchema | Violation | None"]
"""Returns a schema by the id in a header; None for what nobody knows. It may raise `StoreError`."""


class Decoder:
    """Decodes the payloads of one stream."""

    def __init__(self, payload_format: PayloadFormat, find_schema: FindSchema) -> None:
        self.format = payload_format.format
        self._payload_format = payload_format
        self._find_schema = find_schema

    def decode(self, payload: bytes, limits: Limits, left: int) -> tuple[bytes | Violation, int]:
        """Return a payload as JSON, or what is wrong, and the bytes that were spent on it.

        `left` is how many bytes may be spent at most.
        """
        if not payload:
            message = "The record is empty."
            return Violation(Reason.EMPTY_RECORD, message), 0
        most = min(limits.unpacked_bytes, left)
        found = take_off(self._payload_format.header, payload, most)
        if isinstance(found, Violation):
            is_beyond = found.reason is Reason.UNPACKED_TOO_LARGE
            return found, most if is_beyond else len(payload)
        name, value = found
        schema = self._find_schema(name)
        if schema is None:
            return self._unknown(name), len(payload)
        if isinstance(schema, Violation):
            return schema, len(payload)
        document, spent = schema.to_json(value, min(limits.document_bytes, left), limits.depth)
        return document, spent + len(value)

    def _unknown(self, name: str) -> Violation:
        return Violation(
            Reason.UNKNOWN_SCHEMA,
            f"The payload was written with schema {name}, which is not known; register it, or "
            "give its file, and send the dead letter again.",
        )
