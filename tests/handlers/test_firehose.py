"""A Firehose transformation: good documents go back, bad ones are dead letters, nothing is lost."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import letters as letters_of
from lake import things_with, write_dataset
from support import (
    ARN,
    ORDERS,
    PLAIN,
    Context,
    FaultyStore,
    Stored,
    as_json,
    dataset,
    kinesis_event,
    letter_payload,
    order,
)

from pipeline import handlers, judgement
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.telemetry import Telemetry
from pipeline.core.dataset import check_together
from pipeline.core.envelope import Envelope
from pipeline.core.errors import EventError, SettingsError, StoreRefused, UnexpectedError
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.routing import Router
from pipeline.core.stream import parse_preset
from pipeline.flow import Pipeline, reopen
from pipeline.handlers import _firehose

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.records import Reject

STREAM = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/shop"
SHARD = "shardId-000000000007"
ARRIVED = 1_795_426_200_123
SECRET = "marker-of-a-payload"
THINGS = dataset({"name": "n", "type": "long", "maximum": 99}, name="things")


def from_stream(*payloads: bytes, shard: str = SHARD) -> dict[str, Any]:
    """Return the event of a Firehose stream that reads Kinesis: all records of one aggregate."""
    return {
        "invocationId": "8e1e0a6c-2c0a-4f8d-9a35-5b7f3a2c9d10",
        "sourceKinesisStreamArn": ARN,
        "deliveryStreamArn": STREAM,
        "region": "eu-central-1",
        "records": [
            {
                "recordId": f"{number:056}",
                "approximateArrivalTimestamp": ARRIVED,
                "data": base64.b64encode(payload).decode(),
                "kinesisRecordMetadata": {
                    "shardId": shard,
                    "partitionKey": "key",
                    "approximateArrivalTimestamp": ARRIVED,
                    "sequenceNumber": "49546986683135544286507457936321625675700192471156785154",
                    "subsequenceNumber": number,
                },
            }
            for number, payload in enumerate(payloads)
        ],
    }


def put_directly(*payloads: bytes) -> dict[str, Any]:
    event = from_stream(*payloads)
    del event["sourceKinesisStreamArn"]
    for number, record in enumerate(event["records"]):
        record["recordId"] = (
            f"4957267222366551442280524692665695463097248605953589{number:04}000000"
        )
        del record["kinesisRecordMetadata"]
    return event


class Place:
    """A transformation of some datasets, and what it stored and said."""

    def __init__(self, *datasets: Any, envelope: Envelope | None = None, store: Any = None) -> None:
        self.letters = store or MemoryStore()
        self.lines: list[str] = []
        self.pipeline = Pipeline(
            Router(check_together(datasets or [THINGS])),
            PLAIN,
            MemoryStore(),
            self.letters,
            envelope=envelope,
        )

    def transform(self, event: Any) -> list[dict[str, Any]]:
        telemetry = Telemetry(self.lines.append, lambda: 0.0)
        response = _firehose.respond(event, Context(60.0), self.pipeline, 1.0, telemetry)
        as_lambda_writes_it = json.dumps(response)
        assert len(as_lambda_writes_it) <= 6_000_000
        assert [each["recordId"] for each in response["records"]] == [
            record["recordId"] for record in event["records"]
        ]
        records: list[dict[str, Any]] = response["records"]
        return records

    @property
    def written(self) -> list[dict[str, Any]]:
        found = [gzip.decompress(body).splitlines() for body in self.letters.objects.values()]
        return [json.loads(line) for lines in found for line in lines]

    @property
    def log(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.lines[0])
        return line


def results(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["result"] for answer in answers]


def lines_of(answer: dict[str, Any]) -> list[bytes]:
    data = base64.b64decode(answer.get("data", ""))
    assert data == b"" or data.endswith(b"\n")
    return data.splitlines()


def test_what_is_good_goes_back_and_what_is_bad_is_a_dead_letter() -> None:
    place = Place()
    answers = place.transform(
        from_stream(
            b'{"n":1}',
            b'{"n":2}{"n":100}\n{"n":3,\n"other":1.10}',
            gzip.compress(b'[{"n":4}]'),
            b'{"n":"x"}',
            b"\xff",
            b"",
        )
    )
    assert results(answers) == ["Ok", "Ok", "Ok", "Dropped", "Dropped", "Dropped"]
    assert [lines_of(answer) for answer in answers[:3]] == [
        [b'{"n":1}'],
        [b'{"n":2}', b'{"n":3,"other":1.10}'],
        [b'{"n":4}'],
    ]
    assert all("data" not in answer for answer in answers[3:])
    assert Counter(letter["reason"] for letter in place.written) == {
        "above_maximum": 1,
        "wrong_type": 1,
        "not_utf8": 1,
        "empty_record": 1,
    }
    assert place.log["results"] == {"Ok": 3, "Dropped": 3}
    assert (place.log["Documents"], place.log["Rows"], place.log["Rejects"]) == (8, 4, 4)


def test_dead_letters_have_the_identity_that_the_stream_gave() -> None:
    place = Place()
    place.transform(from_stream(b'{"n":1}', b'{"n":100}'))
    [letter] = place.written
    assert letter["source"] == f"{ARN}/{SHARD}"
    assert letter["sequence_number"].startswith("495469866831355442865")
    assert (letter["sub_sequence_number"], letter["document"]) == (1, 0)
    assert letter["arrived_at"] == "2026-11-23T09:30:00.123000Z"
    assert letter["partition_key"] == "key"


def test_an_aggregate_that_is_cut_between_events_keeps_the_dead_letters_of_both() -> None:
    """Each has the same stream record, and as many of its user records."""
    event, place = from_stream(*(b'{"n":%d}' % n for n in range(100, 104))), Place()
    for records in (event["records"][:2], event["records"][2:], event["records"][2:]):
        place.transform(event | {"records": records})
    assert len(place.letters.objects) == 2
    found = sorted((letter["sub_sequence_number"], letter["payload"]) for letter in place.written)
    assert found == [(n, f'{{"n":{100 + n}}}') for n in range(4)]


def test_records_that_say_the_same_place_of_the_stream_have_their_record_ids() -> None:
    event, place = from_stream(b'{"n":100}', b'{"n":101}', b'{"n":102}'), Place()
    for number, (record, sub) in enumerate(zip(event["records"], ("", "", 5), strict=True), 7):
        record["kinesisRecordMetadata"]["subsequenceNumber"] = sub
        record["recordId"] = str(number)
    assert results(place.transform(event)) == ["Dropped"] * 3
    found = {
        (letter["source"], letter["sequence_number"][-2:], letter["sub_sequence_number"])
        for letter in place.written
    }
    assert found == {(STREAM, "7", 0), (STREAM, "8", 0), (f"{ARN}/{SHARD}", "54", 5)}


def test_what_was_put_into_firehose_itself_has_its_record_id() -> None:
    place = Place()
    place.transform(put_directly(b'{"n":1}', b'{"n":100}'))
    [letter] = place.written
    assert letter["source"] == STREAM
    assert (
        letter["sequence_number"]
        == "49572672223665514422805246926656954630972486059535890001000000"
    )


def test_record_ids_that_are_no_numbers_have_their_place_in_the_event() -> None:
    place, event = Place(), put_directly(b'{"n":1}', b'{"n":100}')
    for name, record in zip("ab", event["records"], strict=True):
        record["recordId"] = f"record {name}"
    place.transform(event)
    [letter] = place.written
    assert letter["source"] == f"{STREAM}/{event['invocationId']}"
    assert letter["sequence_number"] == "1"


def test_an_aggregate_that_was_put_directly_is_taken_apart() -> None:
    place = Place()
    packed = aggregate([UserRecord("a", b'{"n":1}'), UserRecord("b", b'{"n":200}')])
    broken = packed[:-1] + bytes([packed[-1] ^ 1])
    answers = place.transform(put_directly(packed, broken))
    assert results(answers) == ["Ok", "Dropped"]
    assert lines_of(answers[0]) == [b'{"n":1}']
    assert {letter["reason"] for letter in place.written} == {"above_maximum", "kpl_checksum"}


def test_records_of_several_shards_are_told_apart() -> None:
    event = from_stream(b'{"n":100}')
    event["records"] += from_stream(b'{"n":101}', shard="shardId-000000000008")["records"]
    event["records"][1]["recordId"] = "1"
    place = Place()
    assert results(place.transform(event)) == ["Dropped", "Dropped"]
    assert len({letter["source"] for letter in place.written}) == 2


def test_the_same_event_makes_the_same_dead_letters_and_the_same_answer() -> None:
    place, event = Place(), from_stream(b'{"n":1}', b'{"n":100}', b'{"n":2')
    first = place.transform(event)
    stored = dict(place.letters.objects)
    assert place.transform(event) == first
    assert place.letters.objects == stored


def test_dynamic_partitioning_has_its_keys_where_they_are_those_of_all_documents() -> None:
    place = Place(ORDERS)
    day = order(placed_at="2026-11-23T10:00:00Z", country="DE")
    other = order(placed_at="2026-11-22T10:00:00Z", country="DE")
    one, several = place.transform(from_stream(as_json(day), as_json(day) + as_json(other)))
    assert one["metadata"] == {
        "partitionKeys": {"dataset": "orders", "date": "2026-11-23", "by_country": "DE"}
    }
    assert several["result"] == "Ok"
    assert "metadata" not in several


def test_what_rules_drop_is_dropped_and_counted() -> None:
    rules = parse_preset(
        '[[envelope]]\nwhen = { "$.type" = "control" }\ndrop = "control"\n'
        '[[envelope]]\nwhen = { "$.items" = { present = true } }\neach = "$.items"\n',
        "rules",
    )
    place = Place(envelope=Envelope(rules, PLAIN))
    answers = place.transform(
        from_stream(b'{"type":"control"}', b'{"items":[{"n":1},{"n":2},{"n":100}]}')
    )
    assert results(answers) == ["Dropped", "Ok"]
    assert lines_of(answers[1]) == [b'{"n":1}', b'{"n":2}']
    assert place.log["drops"] == {"control": 1}
    assert [letter_payload(letter) for letter in place.written] == [b'{"n":100}']


def test_what_does_not_fit_is_left_to_firehose_whole() -> None:
    place = Place(dataset({"name": "t", "type": "string", "maxLength": 4_000_000}, name="things"))
    chance = random.Random(1)
    text = b'{"t":"%s"}' % chance.randbytes(400_000).hex().encode()
    bad = b'{"t":5}'
    packed = [gzip.compress(text + bad), *([gzip.compress(text)] * 6), b'{"t":"small"}']
    answers = place.transform(from_stream(*packed))
    assert results(answers) == ["Ok"] * 5 + ["ProcessingFailed"] * 2 + ["Ok"]
    assert lines_of(answers[0]) == [text]
    assert len(place.written) == 1
    assert place.log["level"] == "ERROR"
    assert place.log["message"] == (
        "2 records are left to Firehose: its documents do not fit into the 6 MB of a response "
        "beside the others; Firehose keeps it in processing-failed/, for pipeline redrive"
    )


def test_dead_letters_of_what_is_left_to_firehose_are_not_stored() -> None:
    place = Place(dataset({"name": "t", "type": "string"}, name="things"))
    text = b'{"t":"%s"}' % (b"x" * 900_000)
    answers = place.transform(from_stream(gzip.compress(b'{"t":5}' + text * 7)))
    assert results(answers) == ["ProcessingFailed"]
    assert place.written == []


def test_dead_letters_that_do_not_fit_into_memory_are_left_to_firehose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_firehose, "_MOST_REJECTED", 10 * _firehose._A_REJECT)
    place = Place()
    answers = place.transform(
        from_stream(b'{"n":"x"}\n' * 5, b"5\n" * 20, b'{"n":"x"}', b'{"n":1}')
    )
    assert results(answers) == ["Dropped", "ProcessingFailed", "Dropped", "Ok"]
    assert len(place.written) == 6


def test_what_there_is_no_time_for_is_left_to_firehose(monkeypatch: pytest.MonkeyPatch) -> None:
    place, left = Place(), iter([60.0, 60.0, 60.0, 0.5])
    event = from_stream(b'{"n":1}', b'{"n":100}')
    event["records"] += from_stream(b'{"n":2}', shard="shardId-000000000008")["records"]
    event["records"][2]["recordId"] = "1"

    class Late:
        aws_request_id = "r"

        def get_remaining_time_in_millis(self) -> float:
            return next(left, 0.5) * 1_000

    response = _firehose.respond(
        event, Late(), place.pipeline, 1.0, Telemetry(place.lines.append, lambda: 0.0)
    )
    assert results(response["records"]) == ["ProcessingFailed"] * 3
    assert place.written == []
    assert "there was no time for it beside the others" in place.log["message"]


def test_where_dead_letters_cannot_be_stored_their_records_are_left_to_firehose() -> None:
    def refuse(_put: int) -> None:
        raise StoreRefused("S3 refused it.")

    store = FaultyStore(refuse)
    place = Place(store=store)
    answers = place.transform(from_stream(b'{"n":1}', b'{"n":100}{"n":2}'))
    assert results(answers) == ["Ok", "ProcessingFailed"]
    assert "data" not in answers[1]


def test_dead_letters_of_decoded_payloads_hold_what_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Originals:
        def put_back(self, rejects: list[Reject]) -> list[Reject]:
            return [msgspec.structs.replace(reject, payload=b"as sent") for reject in rejects]

    def reopened(*given: Any) -> Any:
        return reopen(*given)._replace(originals=Originals())  # type: ignore[arg-type]  # its part

    monkeypatch.setattr(judgement, "reopen", reopened)
    place = Place()
    assert results(place.transform(from_stream(b'{"n":100}', b'{"n":1}'))) == ["Dropped", "Ok"]
    assert [letter_payload(letter) for letter in place.written] == [b"as sent"]


documents = st.one_of(
    st.integers(0, 150).map(lambda n: b'{"n":%d}' % n),
    st.sampled_from([b'{"n":"x"}', b'{"n":1', b"5", b"\xff", b'{"n":1}\n{"n":2}']),
)


@given(st.lists(st.lists(documents, max_size=4), max_size=6), st.booleans(), st.booleans())
def test_every_document_is_answered_or_stored_and_never_both(
    payloads: list[list[bytes]], packed: bool, direct: bool
) -> None:
    place = Place()
    made = [b"\n".join(texts) for texts in payloads]
    made = [gzip.compress(data) if packed else data for data in made]
    answers = place.transform((put_directly if direct else from_stream)(*made))
    # The kinesis handler, which stores everything, is the oracle.
    other = Stored()
    kinesis = Pipeline(Router(check_together([THINGS])), PLAIN, other.output, other.dead_letters)
    if made:
        handlers.respond(
            kinesis_event(made), None, kinesis, 0.0, Telemetry(lambda _: None, lambda: 0.0)
        )
    rows = sorted(json.loads(line)["n"] for answer in answers for line in lines_of(answer))
    assert rows == sorted(row["n"] for row in other.rows) if made else rows == []
    kept = [(each["reason"], letter_payload(each)) for each in place.written]
    expected = [(each["reason"], letter_payload(each)) for each in other.letters] if made else []
    assert sorted(kept) == sorted(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"records": None},
        {"records": [{"recordId": "1"}]},
        {"deliveryStreamArn": 5},
        {
            "records": [
                {"recordId": "1", "kafkaRecordValue": "e30=", "approximateArrivalTimestamp": 0}
            ]
        },
    ],
)
def test_another_event_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EventError, match="The event is not one by which Firehose has records"):
        Place().transform({**from_stream(b"{}"), **change})


@pytest.mark.parametrize(
    ("member", "value", "sentence"),
    [
        ("data", f"{SECRET}!", "has data that is not base64."),
        ("approximateArrivalTimestamp", -1, "has no approximateArrivalTimestamp in milliseconds"),
        ("approximateArrivalTimestamp", 10**18, "has no approximateArrivalTimestamp in millis"),
    ],
)
def test_a_record_that_is_none_is_named(member: str, value: Any, sentence: str) -> None:
    event = from_stream(b"{}")
    event["records"][0][member] = value
    with pytest.raises(EventError, match=sentence) as caught:
        Place().transform(event)
    assert SECRET not in str(caught.value)


def test_an_event_without_records_is_answered() -> None:
    assert Place().transform(from_stream()) == []


def test_a_defect_is_raised_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError(SECRET)

    monkeypatch.setattr(_firehose, "judge", fail)
    with pytest.raises(UnexpectedError) as caught:
        Place().transform(from_stream(b"{}"))
    assert SECRET not in str(caught.value)


def test_the_handler_needs_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "schemas" / "things", things_with(maximum=99))
    monkeypatch.delenv("PIPELINE_OUTPUT", raising=False)
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", (tmp_path / "dead").as_uri())
    monkeypatch.setenv("PIPELINE_SCHEMAS", str(tmp_path / "schemas"))
    handlers.forget()
    response = handlers.firehose(from_stream(b'{"n":1}', b'{"n":100}'), Context(60.0))
    assert results(response["records"]) == ["Ok", "Dropped"]
    assert [letter["reason"] for letter in letters_of(tmp_path / "dead")] == ["above_maximum"]
    monkeypatch.delenv("PIPELINE_DEAD_LETTERS")
    with pytest.raises(SettingsError, match="PIPELINE_DEAD_LETTERS"):
        handlers.firehose(from_stream(), Context(60.0))
    handlers.forget()
