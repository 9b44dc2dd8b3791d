"""Avro's binary encoding to JSON; fastavro writes what is read here."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.binary.avro import AvroSchema
from pipeline.core.errors import DatasetError
from pipeline.core.records import Violation

MOST, DEPTH = 2**20, 256
NAMES = itertools.count()

# A schema, a value that fastavro writes, and what JSON is to hold for it.
Case = tuple[Any, Any, Any]


def written(schema: Any, value: Any) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), value)
    return buffer.getvalue()


def to_json(schema: Any, data: bytes, most: int = MOST, depth: int = DEPTH) -> Any:
    found, spent = AvroSchema(json.dumps(schema), "s.avsc").to_json(data, most, depth)
    assert 0 <= spent <= most
    return found


def exact(document: bytes) -> Any:
    return json.loads(document, parse_float=lambda text: ("number", text))


def violation(schema: Any, data: bytes, most: int = MOST, depth: int = DEPTH) -> tuple[str, str]:
    found = to_json(schema, data, most, depth)
    assert isinstance(found, Violation)
    return found.reason, found.message


def logical(primitive: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": primitive, "logicalType": name} | more


DECIMALS = st.integers(-(10**20) + 1, 10**20 - 1)
MOMENTS = st.datetimes(timezones=st.just(UTC))


def iso(moment: datetime, digits: int) -> str:
    fraction = f"{moment.microsecond:06}"[:digits]
    return f"{moment.replace(microsecond=0, tzinfo=None).isoformat()}.{fraction}"


SCALARS: st.SearchStrategy[Case] = st.one_of(
    st.just(("null", None, None)),
    st.booleans().map(lambda value: ("boolean", value, value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: ("int", value, value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("long", value, value)),
    st.text().map(lambda value: ("string", value, value)),
    st.binary().map(lambda value: ("bytes", value, base64.b64encode(value).decode())),
    DECIMALS.map(
        lambda value: (
            logical("bytes", "decimal", precision=20, scale=3),
            Decimal(value).scaleb(-3),
            ("number", f"{Decimal(value).scaleb(-3):f}"),
        )
    ),
    st.dates().map(lambda value: (logical("int", "date"), value, value.isoformat())),
    MOMENTS.map(
        lambda value: (logical("long", "timestamp-micros"), value, f"{iso(value, 6)}Z")
    ),
    MOMENTS.map(
        lambda value: (logical("long", "timestamp-millis"), value, f"{iso(value, 3)}Z")
    ),
    st.datetimes().map(
        lambda value: (logical("long", "local-timestamp-micros"), value, iso(value, 6))
    ),
    st.times().map(
        lambda value: (logical("long", "time-micros"), value, value.isoformat("microseconds"))
    ),
    st.times().map(
        lambda value: (logical("int", "time-millis"), value, value.isoformat("milliseconds"))
    ),
    st.uuids().map(lambda value: (logical("string", "uuid"), value, str(value))),
    st.sampled_from("ABC").map(
        lambda value: ({"type": "enum", "name": f"E{next(NAMES)}", "symbols": [*"ABC"]}, value, value)
    ),
    st.binary(min_size=5, max_size=5).map(
        lambda value: (
            {"type": "fixed", "name": f"F{next(NAMES)}", "size": 5},
            value,
            base64.b64encode(value).decode(),
        )
    ),
)  # fmt: skip


def several(case: Case, count: int) -> Case:
    schema, value, expected = case
    return {"type": "array", "items": schema}, [value] * count, [expected] * count


def by_name(case: Case, names: list[str]) -> Case:
    schema, value, expected = case
    return (
        {"type": "map", "values": schema},
        dict.fromkeys(names, value),
        dict.fromkeys(names, expected),
    )


def record(cases: list[Case]) -> Case:
    fields = [{"name": f"f{n}", "type": schema} for n, (schema, _, _) in enumerate(cases)]
    return (
        {"type": "record", "name": f"R{next(NAMES)}", "fields": fields},
        {f"f{n}": value for n, (_, value, _) in enumerate(cases)},
        {f"f{n}": expected for n, (_, _, expected) in enumerate(cases)},
    )


def optional(case: Case, *, is_there: bool) -> Case:
    schema, value, expected = case
    if schema == "null" or isinstance(schema, list):
        return case
    return ["null", schema], value if is_there else None, expected if is_there else None


CASES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(several, inner, st.integers(0, 3)),
        st.builds(by_name, inner, st.lists(st.text(), max_size=3)),
        st.lists(inner, max_size=4).map(record),
        st.builds(lambda case, flag: optional(case, is_there=flag), inner, st.booleans()),
    ),
    max_leaves=12,
)


@given(CASES)
def test_what_fastavro_writes_is_read_exactly(case: Case) -> None:
    schema, value, expected = case
    document = to_json(schema, written(schema, value))
    assert isinstance(document, bytes)
    assert exact(document) == expected


@given(CASES, st.data())
def test_broken_bytes_are_refused_or_read_and_nothing_else(case: Case, data: st.DataObject) -> None:
    schema, value, _ = case
    body = bytearray(written(schema, value))
    if body:
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    found = to_json(schema, bytes(body))
    if isinstance(found, bytes):
        json.loads(found)
    else:
        assert found.reason in {"bad_avro", "document_too_large"}


@given(CASES, st.data())
def test_a_payload_that_is_cut_short_or_goes_on_is_refused(case: Case, data: st.DataObject) -> None:
    schema, value, _ = case
    body = written(schema, value)
    assert violation(schema, body + b"\0")[0] == "bad_avro"
    if body:
        end = data.draw(st.integers(0, len(body) - 1))
        assert violation(schema, body[:end])[0] == "bad_avro"


@given(st.floats())
def test_a_double_keeps_its_value_and_what_is_not_a_number_its_name(value: float) -> None:
    found = json.loads(to_json("double", struct.pack("<d", value)))
    if math.isfinite(value):
        assert struct.pack("<d", found) == struct.pack("<d", value)
    else:
        assert found == str(value).replace("inf", "Infinity").replace("nan", "NaN")


def test_times_that_no_calendar_has_stay_numbers() -> None:
    far = written("long", 10**17)
    assert to_json(logical("long", "timestamp-millis"), far) == b"100000000000000000"
    assert to_json(logical("int", "date"), written("int", 2**31 - 1)) == b"2147483647"
    assert to_json(logical("int", "time-millis"), written("int", 86_400_000)) == b"86400000"


def test_nanoseconds_and_uuids_of_sixteen_bytes() -> None:
    nanos = written("long", 1_000_000_001)
    assert to_json(logical("long", "timestamp-nanos"), nanos) == b'"1970-01-01T00:00:01.000000001Z"'
    uuid = UUID("0b6f5a60-8f0c-4bd5-9bb5-8d1f8ac1f9a3")
    schema = {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}
    assert to_json(schema, uuid.bytes) == f'"{uuid}"'.encode()


def test_an_unknown_logical_type_is_ignored_as_avro_says() -> None:
    assert to_json(logical("string", "country"), written("string", "DE")) == b'"DE"'


LINKED = {
    "type": "record", "name": "shop.Node",
    "fields": [{"name": "next", "type": ["null", "Node"]}],
}  # fmt: skip


def test_a_record_in_itself_is_read_as_deep_as_a_document_may_be() -> None:
    assert to_json(LINKED, b"\2" * (DEPTH - 1) + b"\0").count(b"next") == DEPTH
    assert violation(LINKED, b"\2" * DEPTH + b"\0") == (
        "too_deep", "The value nests deeper than 256 levels.",
    )  # fmt: skip
    assert violation(LINKED, b"\2" * 5_000_000)[0] == "too_deep"


@pytest.mark.parametrize(
    "items", ["null", {"type": "record", "name": "Empty", "fields": []},
              {"type": "fixed", "name": "Nothing", "size": 0}]
)  # fmt: skip
def test_a_billion_items_of_no_bytes_cost_nothing(items: Any) -> None:
    schema = {"type": "array", "items": items}
    reason, message = violation(schema, written("long", 2**40) + b"\0")
    assert reason == "document_too_large"
    assert message == "The payload becomes more than 1048576 bytes of JSON."


def test_lengths_that_lie_are_refused() -> None:
    assert violation("string", written("long", -5)) == (
        "bad_avro",
        "The payload is not Avro of the schema that it names: a length is negative, at byte 1 of the value.",
    )
    assert violation("bytes", written("long", 2**62))[1].endswith("the middle of a value.")
    assert violation("long", b"\xff" * 11)[1].endswith(
        "takes more than 10 bytes, at byte 0 of the value."
    )
    blocks = written("long", -(2**63)) + b"\0"
    assert violation({"type": "array", "items": "long"}, blocks)[0] == "document_too_large"


def test_names_that_are_repeated_count_for_the_size_of_the_document() -> None:
    fields = [{"name": "n" * 1_000 + str(n), "type": "null"} for n in range(100)]
    schema = {"type": "array", "items": {"type": "record", "name": "Wide", "fields": fields}}
    assert violation(schema, written("long", 1_000) + b"\0")[0] == "document_too_large"


@pytest.mark.parametrize(
    "text", ["", "{", "[]]", '"Missing"', '{"type": "record"}', "7", '{"type": "record", "name": "R", "fields": [{}]}'],
)  # fmt: skip
def test_what_is_not_a_schema_is_told_with_its_place(text: str) -> None:
    with pytest.raises(DatasetError, match=r"^s\.avsc is not an Avro schema: "):
        AvroSchema(text, "s.avsc")


def test_sample_values_as_a_reader_sees_them() -> None:
    cases: list[Case] = [
        (logical("int", "date"), date(2026, 11, 27), "2026-11-27"),
        (logical("long", "time-micros"), time(9, 30, 0, 250_000), "09:30:00.250000"),
        (
            logical("long", "timestamp-millis"),
            datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC),
            "1969-12-31T23:59:59.999Z",
        ),
        (logical("bytes", "decimal", precision=4, scale=2), Decimal("-0.05"), ("number", "-0.05")),
        (logical("bytes", "decimal", precision=4, scale=0), Decimal(7), 7),
        (["int", "string", {"type": "array", "items": "int"}], "x", "x"),
    ]
    for schema, value, expected in cases:
        assert exact(to_json(schema, written(schema, value))) == expected
