"""What the reference pages show by example: values, an event and commands, run as users run them.

Only what is public is used: `pipeline convert`, the Lambda handler, and what they store.
"""

import contextlib
import csv
import gzip
import io
import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq

from pipeline import handlers
from pipeline.cli import main

_COLUMNS = 88  # of a terminal, for --help
_OWN_COLUMN = "value"
_ARRIVED = "2026-11-23T09:30:00Z"
_ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/shop"
_SHARD = "shardId-000000000003"
_FIRST = 49590338271490256608559692538361571095921575989136588898


@dataclass(frozen=True, slots=True)
class Example:
    """A field's schema, and JSON values: `good` becomes a row, `bad` a dead letter."""

    name: str
    accepts: str
    schema: Any
    good: str
    bad: str
    attributes: Mapping[str, Any] | None = None


def _logical(kind: str, logical: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical, **more}


_NESTED = {
    "type": "record",
    "name": "Nested",
    "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}],
}
TYPES = (
    Example("boolean", "`true`, `false`", "boolean", "true", "1"),
    Example("int", "an integer of 32 bits", "int", "42", "2147483648"),
    Example("long", "an integer of 64 bits", "long", "9007199254740993", "1.0"),
    Example("float", "a number, finite as 32 bits", "float", "0.5", "1e39"),
    Example("double", "a number, finite as 64 bits", "double", "0.1", '"0.1"'),
    Example("string", "a string", "string", '"Köln"', "7"),
    Example(
        "enum",
        "one of its symbols",
        {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]},
        '"RED"',
        '"red"',
    ),
    Example("bytes", "base64, padded", "bytes", '"AAH/"', '"AAH"'),
    Example(
        "fixed",
        "base64 of exactly its size",
        {"type": "fixed", "name": "Two", "size": 2},
        '"AAE="',
        '"AAH/"',
    ),
    Example(
        "decimal, on bytes or fixed",
        "a number, or a string that is one, that fits precision and scale",
        _logical("bytes", "decimal", precision=9, scale=2),
        '"12.50"',
        "12.345",
    ),
    Example(
        "uuid, on string",
        "36 characters, in either case",
        _logical("string", "uuid"),
        '"4F9D5C1E-8A43-4C57-8A0E-0C2C5B7F9A21"',
        '"4f9d5c1e8a434c578a0e0c2c5b7f9a21"',
    ),
    Example(
        "date, on int", "`YYYY-MM-DD`", _logical("int", "date"), '"2026-11-23"', '"23.11.2026"'
    ),
    Example(
        'date with `"epoch": "days"`',
        "an integer",
        _logical("int", "date", epoch="days"),
        "20780",
        '"2026-11-23"',
    ),
    Example(
        "time-millis, on int",
        "`HH:MM:SS[.fraction]`",
        _logical("int", "time-millis"),
        '"09:30:00.25"',
        '"24:00:00"',
    ),
    Example(
        "time-micros, on long",
        "`HH:MM:SS[.fraction]`",
        _logical("long", "time-micros"),
        '"09:30:00.000001"',
        '"9:30"',
    ),
    Example(
        "timestamp-millis, on long",
        "`YYYY-MM-DDTHH:MM:SS[.fraction]`, and `Z` or `±HH:MM`",
        _logical("long", "timestamp-millis"),
        '"2026-11-23T10:30:00+01:00"',
        '"2026-11-23T09:30:00"',
    ),
    Example(
        "timestamp-micros, on long",
        "the same",
        _logical("long", "timestamp-micros"),
        '"2026-11-23T09:30:00.123456789Z"',
        "1795426200",
    ),
    Example(
        'timestamp with `"epoch": "seconds"`, `"millis"` or `"micros"`',
        "a number",
        _logical("long", "timestamp-micros", epoch="seconds"),
        "1795426200.25",
        '"2026-11-23T09:30:00Z"',
    ),
    Example(
        "local-timestamp-millis, on long",
        "`YYYY-MM-DDTHH:MM:SS[.fraction]` without a zone",
        _logical("long", "local-timestamp-millis"),
        '"2026-11-23T09:30:00"',
        '"2026-11-23T09:30:00Z"',
    ),
    Example(
        "local-timestamp-micros, on long",
        "the same",
        _logical("long", "local-timestamp-micros"),
        '"2026-11-23T09:30:00.5"',
        '"2026-11-23"',
    ),
    Example("record", "an object", _NESTED, '{"a": 1, "b": "x"}', '{"a": 1}'),
    Example(
        "array", "an array", {"type": "array", "items": "long"}, "[1, 2]", '[1, "2"]'
    ),
    Example(
        "map",
        "an object with keys of the producer's choosing",
        {"type": "map", "values": "string"},
        '{"k": "v"}',
        '{"k": 1}',
    ),
    Example(
        "union of null and one type", "the type, `null`, or absence", ["null", "int"], "null", '""'
    ),
)  # fmt: skip

_TIMESTAMP = _logical("long", "timestamp-micros")


def _formats(
    name: str, accepts: str, good: str, bad: str, schema: Any = _TIMESTAMP, **more: Any
) -> Example:
    """Make an example of a form of time; `name` is the form's, or the pattern."""
    return Example(name, accepts, schema, f'"{good}"', f'"{bad}"', {"formats": [name], **more})


# Readings by choice: the field's attributes, and values that it reads beside the strict form.
READINGS = (
    Example("int, long, float, double, and `epoch`", "the number in text, as JSON writes it",
            "long", '"12345"', '"12,345"', {"accept": ["text"]}),
    Example("int, long, and `epoch` of days or nanos", "a whole number as `12.0` or `1e+06`",
            "long", "1.2345e+04", "12345.5", {"accept": ["whole-floats"]}),
    Example("boolean", "`true`, `false`, `1` or `0` in text, in any case", "boolean", '"TRUE"',
            '"yes"', {"accept": ["text"]}),
    Example("boolean", "the numbers 1 and 0", "boolean", "1", "2", {"accept": ["zero-one"]}),
    Example("time-millis, time-micros", "an integer of that unit since midnight",
            _logical("long", "time-micros"), "34200000001", "-1", {"accept": ["number"]}),
    Example("anything that may be null", 'the empty string `""`, as null', ["null", "long"], '""',
            '" "', {"accept": ["empty-text"]}),
    Example("timestamp", "an integer of nanoseconds since 1970", _TIMESTAMP,
            "1795426200123456789", "1795426200123", {"epoch": "nanos"}),
    Example("decimal", "base64 of the unscaled integer, as Kafka Connect and Debezium write it",
            _logical("bytes", "decimal", precision=9, scale=2), '"BOI="', "12.50",
            {"encoding": "connect"}),
    Example("string, or a union of several types", "any value, as its JSON text",
            ["long", "string"], '{"a": 1.0}', "null", {"json": True}),
)  # fmt: skip
FORMS = (
    _formats("space", "a space for the `T`", "2026-11-23 09:30:00Z", "2026-11-23_09:30:00Z"),
    _formats("comma", "a comma before the fraction", "2026-11-23T09:30:00,5Z",
             "2026-11-23T09:30:00;5Z"),
    _formats("no-seconds", "no seconds", "2026-11-23T09:30Z", "2026-11-23T09Z"),
    _formats("basic-offset", "a zone as `+0100` or `+01`", "2026-11-23T10:30:00+0100",
             "2026-11-23T10:30:00+1"),
    _formats("no-zone", "no zone, where `zone` names it", "2026-11-23T10:30:00",
             "2026-10-25T02:30:00", zone="Europe/Berlin"),
    _formats("rfc2822", "as mail and HTTP write it", "Mon, 23 Nov 2026 09:30:00 GMT",
             "Mon, 23 Nov 2026 09:30:00"),
    _formats("%d/%b/%Y:%H:%M:%S %z", "a pattern", "23/Nov/2026:10:30:00 +0100",
             "23/11/2026:10:30:00 +0100"),
    _formats("%-d.%-m.%Y", "a pattern, of a date", "1.12.2026", "31.2.2026",
             _logical("int", "date")),
)  # fmt: skip

# By the attribute's name: on which types, what it asks, and a field that has it.
RULES = {
    "minimum": Example("numbers", "the value is at least this", "long", "1", "0", {"minimum": 1}),
    "maximum": Example("numbers", "the value is at most this", "long", "9", "10", {"maximum": 9}),
    "minLength": Example(
        "string", "at least so many code points", "string", '"ab"', '"a"', {"minLength": 2}
    ),
    "maxLength": Example(
        "string", "at most so many code points", "string", '"ab"', '"abc"', {"maxLength": 2}
    ),
    "pattern": Example(
        "string",
        "an RE2 regular expression that matches somewhere in the value",
        "string",
        '"DE-1"',
        '"DE1"',
        {"pattern": "^[A-Z]{2}-"},
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an example: the column's type, its cell in CSV, the dead letter's reason."""

    arrow: str
    cell: str
    reason: str


def outcomes(examples: Sequence[Example]) -> list[Outcome]:
    """Convert each example's values, as documents of a dataset of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        documents: list[str] = []
        for number, example in enumerate(examples):
            name = f"example_{number}"
            _write_dataset(root / "schemas" / name, name, example)
            documents += [
                f'{{"kind": "{name}", "value": {value}}}' for value in (example.good, example.bad)
            ]
        file = root / "documents.ndjson"
        file.write_text("\n".join(documents), "utf-8")
        run(
            "convert", str(file), "--schemas", str(root / "schemas"), "--out", str(root / "out"),
            "--arrived-at", _ARRIVED,
        )  # fmt: skip
        return [_outcome(root, f"example_{number}") for number in range(len(examples))]


def _write_dataset(folder: Path, name: str, example: Example) -> None:
    folder.mkdir(parents=True)
    field = {"name": _OWN_COLUMN, "type": example.schema, **(example.attributes or {})}
    schema = {"type": "record", "name": "Example", "fields": [field]}
    (folder / "1.avsc").write_text(json.dumps(schema), "utf-8")
    (folder / "dataset.toml").write_text(
        f'formats = ["parquet", "csv"]\n[match]\nfield = "kind"\nequals = "{name}"\n', "utf-8"
    )


def _outcome(root: Path, name: str) -> Outcome:
    (parquet,) = (root / "out" / name).rglob("*.parquet")
    (text,) = (root / "out" / name).rglob("*.csv")
    (letters,) = (root / "out-dead-letters" / name).rglob("*.jsonl.gz")
    table_of_one = pq.read_table(parquet)
    if table_of_one.num_rows != 1:
        raise RuntimeError(f"{name} became {table_of_one.num_rows} rows.")
    head, row = csv.reader(io.StringIO(text.read_text("utf-8")))
    own = [cell for name, cell in zip(head, row, strict=True) if name.startswith(_OWN_COLUMN)]
    (letter,) = map(json.loads, gzip.decompress(letters.read_bytes()).splitlines())
    return Outcome(
        str(table_of_one.schema.field(_OWN_COLUMN).type),
        ", ".join(own),
        letter["reason"],
    )


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one event made: lines of the log, keys of rows and of dead letters, a dead letter."""

    log: list[dict[str, Any]]
    rows: list[str]
    dead_letters: list[str]
    dead_letter: dict[str, Any]
    metadata: list[str]


def invoke() -> Invocation:
    """Invoke the handler with a document that becomes a row and one that does not."""
    with tempfile.TemporaryDirectory() as folder, _environment():
        root = Path(folder)
        (root / "schemas" / "orders").mkdir(parents=True)
        field = {"name": "country", "type": "string", "maxLength": 2}
        schema = {"type": "record", "name": "Order", "fields": [field]}
        (root / "schemas" / "orders" / "1.avsc").write_text(json.dumps(schema), "utf-8")
        (root / "schemas" / "orders" / "dataset.toml").write_text(
            'partition_by = ["date()", "country"]\nformats = ["parquet", "csv"]\n', "utf-8"
        )
        os.environ |= {
            "PIPELINE_OUTPUT": (root / "out").as_uri(),
            "PIPELINE_DEAD_LETTERS": (root / "dead").as_uri(),
            "PIPELINE_SCHEMAS": str(root / "schemas"),
        }
        event = {"Records": [_record(0, b'{"country": "DE"}'), _record(1, b'{"country": "DEU"}')]}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            handlers.kinesis(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
        (letters,) = (root / "dead").rglob("*.jsonl.gz")
        (parquet,) = (root / "out").rglob("*.parquet")
        metadata = pq.read_metadata(parquet).metadata
        return Invocation(
            [json.loads(line) for line in printed.getvalue().splitlines()],
            _files(root / "out"),
            _files(root / "dead"),
            json.loads(gzip.decompress(letters.read_bytes())),
            sorted(key.decode() for key in metadata if key.startswith(b"pipeline.")),
        )


def _record(number: int, data: bytes) -> dict[str, Any]:
    return {
        "eventSource": "aws:kinesis",
        "eventID": f"{_SHARD}:{_FIRST + number}",
        "eventSourceARN": _ARN,
        "kinesis": {
            "sequenceNumber": str(_FIRST + number),
            "partitionKey": "customer 7",
            "approximateArrivalTimestamp": 1795426200.25,
            "data": b64encode(data).decode(),
        },
    }


def _files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def run(*arguments: str) -> str:
    """Run a command in this process, in an environment without settings; return its output."""
    with _environment(), contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            code_of_exit = main(arguments)
        except SystemExit as exit_:
            code_of_exit = int(exit_.code or 0)
    if code_of_exit:
        raise RuntimeError(f"pipeline {' '.join(arguments)} ended with {code_of_exit}.")
    return printed.getvalue()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Forget what this machine has set, for as long as something runs."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("PIPELINE_", "AWS_")) or name in {"_HANDLER", "FORCE_COLOR"}:
            del os.environ[name]
    os.environ |= {"COLUMNS": str(_COLUMNS), "NO_COLOR": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
