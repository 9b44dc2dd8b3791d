"""Firehose's files of records that it could not deliver: every record, or a sentence."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DeadLetterError
from pipeline.core.firehose_errors import is_error_file, own_numbers, read_error_file

SECRET = "marker-of-a-payload"


def written(data: bytes, **members: Any) -> bytes:
    """Return a record as Firehose's documentation has it."""
    return json.dumps(
        {
            "attemptsMade": 1,
            "arrivalTimestamp": 1_795_426_200_123,
            "lastErrorCode": "DataFormatConversion.ParseError",
            "lastErrorMessage": "Encountered malformed JSON.",
            "attemptEndingTimestamp": 1_795_426_260_123,
            "rawData": base64.b64encode(data).decode(),
            **members,
        }
    ).encode()


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=40),
            st.integers(0, 253_402_300_799_999),
            st.none() | st.integers(0, 10**56).map(str),
            st.none() | st.integers(0, 2**63 - 1),
        ),
        max_size=6,
    ),
    st.sampled_from([b"\n", b"", b"\r\n", b" "]),
    st.booleans(),
    st.booleans(),
)
def test_all_records_of_a_file_are_read_however_it_is_written(
    records: list[tuple[bytes, int, str | None, int | None]],
    between: bytes,
    packed: bool,
    as_text: bool,
) -> None:
    lines = [
        written(
            data,
            arrivalTimestamp=str(arrived) if as_text else arrived,
            sequenceNumber=number,
            subSequenceNumber=sub,
        )
        for data, arrived, number, sub in records
    ]
    body = between.join(lines) + between
    found = read_error_file(gzip.compress(body) if packed else body, "f")
    assert [
        (each.data, each.arrived_at, each.sequence_number, each.sub_sequence_number)
        for each in found
    ] == [(data, arrived * 1_000, number, sub or 0) for data, arrived, number, sub in records]
    assert [body[each.offset : each.offset + 1] for each in found] == [b"{"] * len(found)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1}', "its rawData is missing or is not one"),
        (b'{"rawData": "e30="}', "its arrivalTimestamp is missing or is not one"),
        (written(b"", rawData=f"{SECRET}!"), "its rawData is missing or is not one"),
        (written(b"", rawData=5), "its rawData is missing or is not one"),
        (written(b"", arrivalTimestamp=SECRET), "its arrivalTimestamp is missing or is not one"),
        (written(b"", arrivalTimestamp=-1), "its arrivalTimestamp is missing or is not one"),
        (written(b"", arrivalTimestamp=10**18), "its arrivalTimestamp is missing or is not one"),
        (written(b"", sequenceNumber=SECRET), "its sequenceNumber is missing or is not one"),
        (written(b"", subSequenceNumber=-1), "its subSequenceNumber is missing or is not one"),
        (b'{"rawData": "' + SECRET.encode(), "it is not a JSON object"),
        (b'{"a":' * 50_000, "it is not a JSON object"),
        (b"\xff\xfe", "it is not a JSON object"),
        (b"5", "it is not a JSON object"),
    ],
)
def test_what_is_not_such_a_file_is_named_with_its_byte(line: bytes, problem: str) -> None:
    good = written(b"x")
    with pytest.raises(DeadLetterError) as caught:
        read_error_file(good + b"\n" + line, "s3://b/processing-failed/f")
    assert str(caught.value) == (
        f"s3://b/processing-failed/f, byte {len(good) + 1:,} is not a record that Firehose could "
        f"not deliver: {problem}; restore the file, or remove the line."
    )


def test_a_damaged_file_is_named() -> None:
    with pytest.raises(DeadLetterError, match=r"^f cannot be unpacked: "):
        read_error_file(gzip.compress(written(b"x"))[:-9], "f")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://b/processing-failed/2026/11/23/09/s-1-2026-11-23-09-30-00-x", True),
        ("s3://b/errors/format-conversion-failed/2026/f.gz", True),
        ("s3://b/errors/type=format-conversion-failed/f", True),
        ("file:///d/AmazonOpenSearchService_failed/f", True),
        ("s3://b/elasticsearch-failed/f", True),
        ("s3://b/splunk-failed/f", True),
        ("s3://b/http-endpoint-failed/f", True),
        ("s3://b/orders-failed/f", False),
        ("s3://b/processing-failed", False),
        ("s3://b/2026/processing-failed-not/f", False),
        ("s3://b/orders/parquet/f.parquet", False),
    ],
)
def test_such_files_are_known_by_their_folder(path: str, expected: bool) -> None:
    assert is_error_file(path) is expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([("1", 0), ("1", 1), ("2", 0)], True),
        ([("1", 0), ("1", 0)], False),
        ([("1", 0), (None, 0)], False),
    ],
)
def test_numbers_are_used_where_they_tell_all_records_apart(
    numbers: list[tuple[str | None, int]], expected: bool
) -> None:
    lines = [written(b"x", sequenceNumber=number, subSequenceNumber=sub) for number, sub in numbers]
    assert own_numbers(read_error_file(b"\n".join(lines), "f")) is expected
