"""What a landing object says of itself, in its name and in its metadata, held to its rows."""

import re
from collections.abc import Mapping

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dataset import ARRIVED_AT, IDENTITY
from pipeline.core.lake.spans import NamedObject, Span

_NAME = re.compile(
    r"(?P<shard>.+)-(?P<first>[0-9]+)-(?P<last>[0-9]+)-[0-9]+-(redrive-)?[0-9a-f]{32}(-[0-9]+)?"
    r"\.parquet",
    re.DOTALL,
)
_PREFIX = "pipeline."
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,200}")
"""Another way to write the same number would be another identity."""
_OWN = (*IDENTITY, ARRIVED_AT)


class UnusableObject(Exception):
    """A landing object is not what a landing object is; the message says why, as a clause."""


class Origin(msgspec.Struct, frozen=True):
    """Where a landing object's rows came from."""

    span: Span
    dataset: str
    version: int
    fingerprint: str
    rows: int
    census: str | None = None


def read_name(key: str) -> NamedObject | None:
    """Return what the name of an object says; None if it is not the name of rows in Parquet."""
    match = _NAME.fullmatch(key.rpartition("/")[2])
    if match is None:
        return None
    return NamedObject(match["shard"], int(match["first"]), int(match["last"]), key)


def read_origin(metadata: Mapping[bytes, bytes] | None) -> Origin:
    """Read a file's metadata. Raises `UnusableObject`."""
    texts = {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in (metadata or {}).items()
    }

    def text(name: str) -> str:
        found = texts.get(_PREFIX + name)
        if found is None:
            message = f"its metadata has no {_PREFIX}{name}"
            raise UnusableObject(message)
        return found

    try:
        span = Span(
            text("source"), int(text("first_sequence_number")), int(text("last_sequence_number"))
        )
        return Origin(
            span,
            text("dataset"),
            int(text("schema_version")),
            text("schema_fingerprint"),
            int(text("rows")),
            texts.get("pipeline.census"),
        )
    except ValueError:
        message = "its metadata has something else where a number belongs"
        raise UnusableObject(message) from None


def check_rows(rows: pa.Table, origin: Origin, name: NamedObject, dataset: str) -> None:
    """Hold rows against what name and metadata say of them. Raises `UnusableObject`.

    That rows of different spans are different rows rests on this alone.
    """
    span = origin.span
    if origin.dataset != dataset:
        message = f"its rows are of the dataset {origin.dataset}"
        raise UnusableObject(message)
    if (span.first, span.last) != (name.first, name.last):
        message = "its name and its metadata have different sequence numbers; it was renamed"
        raise UnusableObject(message)
    if rows.num_rows != origin.rows:
        message = f"it has {rows.num_rows:,} rows, and {origin.rows:,} by its metadata"
        raise UnusableObject(message)
    _check_own_columns(rows)
    if not rows.num_rows:
        return
    # Not as texts, which they may not be.
    sources = pc.unique(rows.column("_source").cast(pa.binary())).to_pylist()
    if sources != [span.source.encode()]:
        message = f"it has rows of another source than {span.source}"
        raise UnusableObject(message)
    # Not by Arrow's expressions: to prepare this one takes longer than a small object has.
    texts = pc.unique(rows.column("_sequence_number").cast(pa.binary())).to_pylist()
    if not all(map(_NUMBER.fullmatch, texts)):
        message = "a sequence number is not a number, or is not written as one"
        raise UnusableObject(message)
    numbers = list(map(int, texts))
    if min(numbers) < span.first or max(numbers) > span.last:
        message = f"it has sequence numbers outside of {span.first} to {span.last}"
        raise UnusableObject(message)


def _check_own_columns(rows: pa.Table) -> None:
    """Raise `UnusableObject` unless each row has an identity, and its arrival.

    A null is equal to nothing, so a row without an identity would be new each time.
    """
    for field in _OWN:
        if field.name not in rows.column_names:
            message = f"it has no column {field.name}"
            raise UnusableObject(message)
        column = rows.column(field.name)
        if column.type != field.type:
            message = f"its column {field.name} is {column.type}, and not {field.type}"
            raise UnusableObject(message)
        if column.null_count:
            message = f"it has rows without {field.name}"
            raise UnusableObject(message)
