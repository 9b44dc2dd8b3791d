"""Lambda's event shape: read whole, or refused in a sentence."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ARN, ARRIVED, SHARD, SOURCE, kinesis_event, sequence_number

from pipeline.core import events
from pipeline.core.errors import EventError
from pipeline.core.events import read_kinesis_event
from pipeline.core.records import StreamRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[dict[str, Any]], object]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@given(st.lists(st.binary(), min_size=1))
def test_records_come_in_order_with_their_bytes(payloads: list[bytes]) -> None:
    batch = read_kinesis_event(kinesis_event(payloads))
    assert [record.data for record in batch.records] == payloads
    assert [record.sequence_number for record in batch.records] == [
        sequence_number(number) for number in range(len(payloads))
    ]
    assert (batch.source, batch.shard) == (SOURCE, SHARD)
    assert (batch.first, batch.last) == (
        sequence_number(0),
        sequence_number(len(payloads) - 1),
    )


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_an_arrival_is_read_to_the_microsecond(moment: datetime) -> None:
    arrived = moment.replace(tzinfo=UTC)
    (record,) = read_kinesis_event(kinesis_event([b""], arrived=arrived)).records
    assert record.arrived_at == (arrived - EPOCH) // MICROSECOND


def test_a_whole_second_may_come_as_an_integer() -> None:
    event = kinesis_event([b""])
    event["Records"][0]["kinesis"]["approximateArrivalTimestamp"] = 1_700_000_000
    assert read_kinesis_event(event).records[0].arrived_at == 1_700_000_000_000_000


def test_a_record_may_have_no_partition_key() -> None:
    """Streams with service-managed distribution have none."""
    without = read_kinesis_event(kinesis_event([b"{}"], partition_key=None))
    assert without.records[0].partition_key is None
    assert without.source == read_kinesis_event(kinesis_event([b"{}"])).source


def test_the_identity_is_the_same_with_enhanced_fan_out() -> None:
    """The consumer is no part of where a record came from."""
    fanned_out = kinesis_event([b"{}"], arn=f"{ARN}/consumer/pipeline:1700000000")
    assert read_kinesis_event(fanned_out) == read_kinesis_event(kinesis_event([b"{}"]))


def test_what_lambda_adds_one_day_does_not_matter() -> None:
    event = kinesis_event([b"{}"])
    event["Records"][0]["kinesis"]["encryptionType"] = "KMS"
    event["Records"][0]["new"] = event["shardId"] = SHARD
    assert read_kinesis_event(event) == read_kinesis_event(kinesis_event([b"{}"]))


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "event",
        {},
        {"Records": None},
        {"Records": []},
        {"Records": {}},
        {"Records": ["text"]},
        {"Records": [{"s3": {}, "eventSource": "aws:s3"}]},
        {"Records": [{"dynamodb": {}, "eventSource": "aws:dynamodb"}]},
        {"Records": [{"body": "{}", "eventSource": "aws:sqs"}]},
        {"Records": [{"kinesis": {}}]},
    ],
    ids=repr,
)
def test_an_event_that_is_not_of_kinesis_is_refused(event: Any) -> None:
    with pytest.raises(EventError, match=r"event source mapping|lacks 'eventSourceARN'"):
        read_kinesis_event(event)


def kinesis(**changes: Any) -> Change:
    return lambda record: record["kinesis"].update(changes)


def outer(**changes: Any) -> Change:
    return lambda record: record.update(changes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (outer(eventID=f"shardId-000000000004:{sequence_number(1)}"), "another stream or shard"),
        (outer(eventSourceARN=f"{ARN}-2"), "another stream or shard"),
        (outer(eventID=":1"), "no shard id"),
        (outer(eventID="..:1"), "no shard id"),
        (outer(eventID="a/b:1"), "no shard id"),
        (outer(eventID=None), "lacks 'eventSourceARN' or 'eventID'"),
        (kinesis(sequenceNumber="12a"), "no sequence number of digits"),
        (kinesis(sequenceNumber="012"), "no sequence number of digits"),
        (kinesis(sequenceNumber="١٢"), "no sequence number of digits"),
        (kinesis(sequenceNumber=12), "no sequence number of digits"),
        (kinesis(sequenceNumber=sequence_number(0)), "rising order"),
        (kinesis(sequenceNumber=sequence_number(-1)), "rising order"),
        (kinesis(data="no base64"), "not base64"),
        (kinesis(data="e30"), "not base64"),
        (kinesis(data="é"), "not base64"),
        (kinesis(data=None), "not base64"),
        (kinesis(approximateArrivalTimestamp="now"), "approximateArrivalTimestamp"),
        (kinesis(approximateArrivalTimestamp=True), "approximateArrivalTimestamp"),
        (kinesis(approximateArrivalTimestamp=float("nan")), "approximateArrivalTimestamp"),
        (kinesis(approximateArrivalTimestamp=-1), "approximateArrivalTimestamp"),
        (kinesis(approximateArrivalTimestamp=None), "approximateArrivalTimestamp"),
        (kinesis(partitionKey=7), "partition key"),
    ],
)
def test_what_is_not_one_shards_batch_is_refused_in_a_sentence(change: Change, says: str) -> None:
    event = kinesis_event([b"{}", b"{}"])
    change(event["Records"][1])
    with pytest.raises(EventError, match=says) as refusal:
        read_kinesis_event(event)
    assert str(refusal.value).endswith(".")


def test_sequence_numbers_compare_as_integers() -> None:
    """As text, "9" would follow "10"."""
    event = kinesis_event([b"1", b"2"])
    for record, number in zip(event["Records"], ["9", "10"], strict=True):
        record["kinesis"]["sequenceNumber"] = number
    assert [record.sequence_number for record in read_kinesis_event(event).records] == ["9", "10"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(JSON, st.data())
def test_any_event_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    """Whatever stands in an event, `EventError` is the only error."""
    event = kinesis_event([b"{}"])
    record = event["Records"][0]
    place = data.draw(st.sampled_from([event, record, record["kinesis"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = value
    try:
        batch = read_kinesis_event(event)
    except EventError as error:
        assert str(error).endswith(".")  # noqa: PT017 - either way is right
    else:
        assert base64.b64encode(batch.records[0].data).decode() == record["kinesis"]["data"]


def test_arrival_of_the_helper_is_what_the_batch_says() -> None:
    """The other tests rest on it."""
    (record,) = read_kinesis_event(kinesis_event([b""])).records
    assert EPOCH + record.arrived_at * MICROSECOND == ARRIVED


# ------------------------------------------------------------------------ the writer of an event


@st.composite
def shards_records(draw: st.DrawFn) -> list[StreamRecord]:
    """Draw the records of one shard, in the order of their sequence numbers."""
    numbers = draw(st.sets(st.integers(0, 10**129 - 1), min_size=1, max_size=5))
    return [
        StreamRecord(
            str(number),
            draw(st.none() | st.text()),
            draw(st.integers(0, 4_102_444_800_000_000)),
            draw(st.binary(max_size=300)),
        )
        for number in sorted(numbers)
    ]


@given(shards_records(), st.sampled_from(["", "/consumer/reader:1764149400"]))
def test_an_event_is_read_to_the_records_that_it_was_written_of(
    records: list[StreamRecord], consumer: str
) -> None:
    event = events.kinesis_event(records, ARN + consumer, SHARD)
    batch = read_kinesis_event(json.loads(json.dumps(event)))
    assert (batch.source, batch.shard) == (SOURCE, SHARD)
    assert list(batch.records) == records


@given(shards_records())
def test_a_batch_is_written_to_the_event_that_it_was_read_of(records: list[StreamRecord]) -> None:
    event = events.kinesis_event(records, ARN, SHARD)
    assert events.kinesis_event(read_kinesis_event(event).records, ARN, SHARD) == event


def test_an_event_has_the_fields_of_lambdas() -> None:
    arn = ARN.replace("aws", "aws-cn", 1)
    record = StreamRecord(sequence_number(1), "a", 1_795_426_200_250_000, b"{}")
    assert events.kinesis_event([record], arn, SHARD) == {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "a",
                    "sequenceNumber": sequence_number(1),
                    "data": "e30=",
                    "approximateArrivalTimestamp": 1795426200.25,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{SHARD}:{sequence_number(1)}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws-cn:iam::123456789012:role/pipeline",
                "awsRegion": "eu-central-1",
                "eventSourceARN": arn,
            }
        ]
    }


# ------------------------------------------------------------------- all records at once, or one

ODD: dict[str, list[Any]] = {
    "sequenceNumber": ["", "0", "00", "1\n2", "１", "1" * 130, 7, None, sequence_number(9)],
    "partitionKey": [None, "", "é", 7],
    "approximateArrivalTimestamp": [
        0, -1, 1.5, 2**70, float("nan"), float("inf"), "1", True, None, 253_402_300_800,
    ],
    "data": ["", "====", "a", "YQ==", "YQ", "Y Q==", b"YQ==", None, "é"],
}  # fmt: skip
ODD_OUTSIDE: dict[str, list[Any]] = {
    "eventSourceARN": [ARN, f"{ARN}/consumer/c:1", f"{ARN}x", None, ["x"]],
    "eventID": [f"{SHARD}:1", f"{SHARD}1:1", SHARD, ":1", None],
    "kinesis": [None, {}, []],
}


@st.composite
def odd_items(draw: st.DrawFn) -> list[Any]:
    """Draw an event's records, of which some are not as they should be."""
    items: list[Any] = kinesis_event(draw(st.lists(st.binary(max_size=4), min_size=1, max_size=4)))[
        "Records"
    ]
    for _ in range(draw(st.integers(0, 2))):
        item = draw(st.sampled_from(items))
        where, odd = (item, ODD_OUTSIDE) if draw(st.booleans()) else (item.get("kinesis"), ODD)
        if isinstance(where, dict):
            name = draw(st.sampled_from(list(odd)))
            where[name] = draw(st.sampled_from(odd[name]))
            if draw(st.sampled_from([False] * 4 + [True])):
                del where[name]
    return items


@settings(max_examples=max(500, settings().max_examples))
@given(odd_items())
def test_records_taken_at_once_are_those_taken_one_by_one(items: list[Any]) -> None:
    at_once = events._fast_records(items, ARN, f"{SHARD}:")
    if at_once is not None:
        assert at_once == events._exact_records(items, ARN, SHARD)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_usual_records_are_taken_at_once(count: int) -> None:
    items = kinesis_event([b"{}"] * count)["Records"]
    assert events._fast_records(items, ARN, f"{SHARD}:") == events._exact_records(items, ARN, SHARD)
