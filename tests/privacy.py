"""Datasets with private fields, and a search for values that should be nowhere; for the tests."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from support import FAST_PATHS, PLAIN, Stored, dataset, kinesis_event

from pipeline.adapters.schemas import read_preset
from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import envelope_of
from pipeline.core.dataset import Dataset, check_together
from pipeline.core.protection import Protection
from pipeline.core.protection.keys import PrivacyKeys, read_keys
from pipeline.core.routing import Router
from pipeline.core.stream import parse_stream
from pipeline.flow import Pipeline
from pipeline.handlers import respond

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "Xq7MARKERz9K"
"""What stands in private fields, and should be nowhere else."""

SECRET = "a-key-of-at-least-thirty-two-characters"
KEYS: PrivacyKeys = read_keys(SECRET, "the test's secret")


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def private(name: str, how: str, avro: Any = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro, "privacy": how, **more}


FIELDS = (
    {"name": "type", "type": "string"},
    {"name": "id", "type": "long"},
    private("email", "hash", pattern="@", aliases=["mail"], maxLength=60),
    private("name", "mask", ["null", "string"], jsonName="@name"),
    private("phone", "drop", ["null", "string"]),
    private("level", "mask", ["null", {"type": "enum", "name": "Lv", "symbols": ["low", "high"]}]),
    private("card", "hash", ["null", record("Card", {"name": "number", "type": "string"})]),
    private("tags", "hash", ["null", {"type": "map", "values": "string"}]),
    {
        "name": "lines",
        "type": [
            "null",
            {
                "type": "array",
                "items": record(
                    "Line", {"name": "sku", "type": "string"}, private("who", "hash", ["null", "string"])
                ),
            },
        ],
    },
    {
        "name": "places",
        "type": [
            "null",
            {"type": "map", "values": record("Place", private("street", "drop"), {"name": "n", "type": "int"})},
        ],
    },
)  # fmt: skip
PEOPLE = 'formats = ["parquet", "csv"]\nunknown_fields = "keep"\n[match]\nfield = "type"\nequals = "person"\n'
OTHERS = 'unknown_fields = "keep"\n'


def datasets(how: str = "encrypt") -> list[Dataset]:
    """Return a dataset with private fields, and one that takes what else comes."""
    return [
        dataset(*FIELDS, config=f'dead_letter_private = "{how}"\n{PEOPLE}', name="people"),
        dataset({"name": "x", "type": ["null", "int"]}, config=OTHERS, name="others"),
    ]


def pipeline_of(
    stored: Stored,
    made: Sequence[Dataset],
    *,
    rules: str | None = None,
    by_rows: bool = False,
    keys: PrivacyKeys = KEYS,
) -> Pipeline:
    """Return a pipeline that protects the datasets."""
    switched = [each.by_rows() if by_rows else each.by_columns() for each in made]
    stream = None if rules is None else parse_stream(rules, "stream.toml", read_preset)
    return Pipeline(
        Router(check_together(switched)),
        PLAIN,
        stored.output,
        stored.dead_letters,
        FAST_PATHS and not by_rows,
        envelope=None if stream is None else envelope_of(stream, PLAIN),
        protection=Protection(made, keys),
    )


def send(pipeline: Pipeline, *records: bytes, partition_key: str = MARK) -> str:
    """Let the handler store records; return its log."""
    lines: list[str] = []
    telemetry = Telemetry(lines.append, lambda: 0.0)
    event = kinesis_event(records, partition_key=partition_key)
    assert respond(event, None, pipeline, 0.0, telemetry) == {"batchItemFailures": []}
    return "\n".join(lines)


# --------------------------------------------------------------------------------- the search


def leaks(stored: Stored, log: str) -> list[str]:
    """Return where the marker is, in whatever form."""
    found = [key for key, body in stored.objects.items() if any(map(_has, _forms(key, body)))]
    found += [f"key {key}" for key in stored.objects if _has(key.encode())]
    return found + ["log"] * _has(log.encode())


def _forms(key: str, body: bytes) -> Iterator[bytes]:
    yield body
    if key.endswith(".gz"):
        text = gzip.decompress(body)
        yield text
        for line in text.splitlines():
            yield from _texts(json.loads(line))
    if key.endswith(".parquet"):
        file = pq.ParquetFile(io.BytesIO(body))
        yield repr(file.metadata.metadata).encode()
        for row in file.read().to_pylist():
            yield from _texts(row)


def _texts(value: Any) -> Iterator[bytes]:
    """Yield every text in a value, and what it is base64 or JSON of."""
    if isinstance(value, dict | list | tuple):
        for part in [*value, *(value.values() if isinstance(value, dict) else ())]:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value.encode()
        try:
            inner = base64.b64decode(value, validate=True)
        except ValueError:
            pass
        else:
            yield inner
            yield from _inflated(inner)
        if value[:1] in ("{", "[", '"'):
            with contextlib.suppress(ValueError):
                yield from _texts(json.loads(value))


def _inflated(data: bytes) -> Iterator[bytes]:
    try:
        yield zlib.decompress(data)
    except zlib.error:
        return


_BASE64 = [
    base64.b64encode(b"\0" * pad + MARK.encode())[4 * (pad > 0) : -4].decode() for pad in range(3)
]
_escape = re.compile(rb"\\u([0-9a-fA-F]{4})")


def _has(text: bytes) -> bool:
    plain = _escape.sub(lambda found: chr(int(found[1], 16)).encode("utf-8", "replace"), text)
    folded = plain.lower()
    return MARK.lower().encode() in folded or any(form.encode() in text for form in _BASE64)
