"""Fields are conserved: each member is a column's value, or kept, or counted by name."""

from __future__ import annotations

import json
from typing import Any

from generated.documents import Document, documents
from generated.faults import Wrong, wrong_documents
from generated.schemas import Array, Made, Map, Record, datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from support import chunk_of

from pipeline.core.convert import convert
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.records import Rows

MORE = settings(max_examples=max(300, settings().max_examples))
GONE = object()


class Text(str):
    """A number as it is written."""

    __slots__ = ()


def read(text: str | bytes) -> Any:
    """Read JSON by Python's own reader, with numbers as they are written."""
    return json.loads(text, parse_int=Text, parse_float=Text, parse_constant=Text)


def walked(avro_type: Any, value: Any, path: str, paths: set[str]) -> Any:
    """Return what no field reads of a value, in the form of `_rest`, and note the paths."""
    match avro_type:
        case Record(fields=fields) if isinstance(value, dict):
            keys = {field.key: field for field in fields}
            left = {}
            for key, member in value.items():
                inside = path + path_segment(key)
                if key not in keys:
                    paths.add(inside)
                    left[key] = member
                else:
                    left[key] = walked(keys[key].type, member, inside, paths)
            return some(left)
        case Array(item=item) if isinstance(value, list):
            parts = [walked(item.type, part, f"{path}[]", paths) for part in value]
            return some({str(index): part for index, part in enumerate(parts)})
        case Map(item=item) if isinstance(value, dict):
            inside = f"{path}{{}}"
            return some({
                key: walked(item.type, part, inside, paths) for key, part in value.items()
            })
        case _:
            return GONE


def some(left: dict[str, Any]) -> Any:
    """Return what is left of an object."""
    return {key: part for key, part in left.items() if part is not GONE} or GONE


def as_kept(made: Made) -> Dataset:
    """Return the dataset of a generated one that keeps what it does not know."""
    config = made.config_text + 'unknown_fields = "keep"\n'
    return parse_dataset("things", {1: made.schema_text}, config)


def found(rows: Rows) -> dict[int, set[str]]:
    """Return the paths of the unknown members of each document that has some."""
    return {
        index: set(paths) for paths, indices in rows.unknown.documents.items() for index in indices
    }


@st.composite
def made_with(draw: st.DrawFn) -> tuple[Made, list[Document | Wrong]]:
    """Draw an open dataset and documents, most of them good, many with the same unknown members."""
    made = draw(datasets().filter(lambda made: not made.closed))
    drawn = draw(st.lists(documents(made) | wrong_documents(made), min_size=1, max_size=8))
    return made, [one for one in drawn if is_text(one.payload)]


def is_text(payload: bytes) -> bool:
    """Whether a payload gets as far as to be converted, and is short enough to be shown."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return len(payload) < 10_000


@MORE
@given(made_with(), st.dictionaries(st.sampled_from(["new", "N", "ü\n"]), st.sampled_from(
    ["1", "null", '"x"', "[1, 2]", '{"a": {"b": 0.10}}', "true", "1e999"]), max_size=2))  # fmt: skip
def test_members_are_values_or_kept_or_counted(
    given: tuple[Made, list[Document | Wrong]], more: dict[str, str]
) -> None:
    """By both paths alike, and as a walk by Python's own JSON reader finds them."""
    made, drawn = given
    known = {field.key for field in made.record.fields}
    pairs = "".join(
        f"{json.dumps(key)}:{value}," for key, value in more.items() if key not in known
    )
    payloads = [one.payload for one in drawn]
    payloads = [
        payload.replace(b"{", b"{" + pairs.encode(), 1)
        if payload.startswith(b"{") and read_or_none(payload)
        else payload
        for payload in payloads
    ]
    kept = as_kept(made)
    by_columns, _ = convert(chunk_of(*payloads), kept.by_columns())
    by_rows, _ = convert(chunk_of(*payloads), kept.by_rows())
    assert by_columns.index.equals(by_rows.index)
    assert by_columns.table.equals(by_rows.table)
    assert found(by_columns) == found(by_rows)
    assert by_columns.unknown.other_case == by_rows.unknown.other_case
    counted, _ = convert(chunk_of(*payloads), made.dataset.by_columns())
    assert found(counted) == found(by_rows)
    assert not counted.unknown.rest
    rest = by_rows.table.column("_rest").to_pylist()
    for index, text in zip(by_rows.index.to_pylist(), rest, strict=True):
        paths: set[str] = set()
        left = walked(made.record, read(payloads[index]), "$", paths)
        assert found(by_rows).get(index, set()) == paths
        assert (GONE if text is None else read(text)) == left


def read_or_none(payload: bytes) -> Any:
    """Read what is JSON."""
    try:
        return read(payload)
    except (ValueError, RecursionError):
        return None
