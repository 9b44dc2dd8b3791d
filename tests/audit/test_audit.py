"""What is lost, or doubled, is named with its position; what is delivered again is not."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
import pytest
from support import (
    ARN,
    ARRIVED,
    ORDERS,
    PLAIN,
    SHARD,
    SOURCE,
    Stored,
    as_json,
    dataset,
    deliver,
    kinesis_event,
    order,
    sequence_number,
)

from pipeline.adapters.aws.kinesis import Received, Shard, StreamSummary
from pipeline.audit.findings import Answers, ask, told
from pipeline.audit.gather import Gathered, gather, gather_stream
from pipeline.core.census import Census, named, of_gzip, of_parquet
from pipeline.core.census_table import SCHEMA, census_table, ledger_key
from pipeline.core.dataset import check_together
from pipeline.core.deadletter import decode_dead_letters, encode_lines
from pipeline.core.records import Limits, StreamRecord
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.redrive import redrivable, redrive_letters

if TYPE_CHECKING:
    from collections.abc import Iterator

CLICKS = dataset(
    {"name": "click_id", "type": "string"},
    config='match = { field = "@stream", equals = "clicks" }\n',
    name="clicks",
)
DATASETS = check_together([ORDERS, CLICKS])
GOOD, FRENCH, BAD = as_json(order()), as_json(order(country="FR")), as_json(order(total="x"))
CLICK, BROKEN = as_json({"@stream": "clicks", "click_id": "a"}), b'{"x"'
RECORDS = [GOOD, FRENCH, BROKEN, BAD, CLICK, GOOD, FRENCH, CLICK]
FIRST, LAST = sequence_number(0), sequence_number(7)
MICROSECONDS = round(ARRIVED.timestamp() * 1_000_000)


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.fixture
def stored() -> Stored:
    return deliver(kinesis_event(RECORDS), DATASETS)


def gathered(database: duckdb.DuckDBPyConnection, stored: Stored) -> Gathered:
    return gather(database, stored.output, stored.dead_letters)


def audit(database: duckdb.DuckDBPyConnection, stored: Stored) -> Answers:
    return ask(gathered(database, stored))


def keys(stored: Stored, *parts: str) -> list[str]:
    """Return the keys of the output that have all of these in them."""
    return [key for key in stored.output.objects if all(part in key for part in parts)]


def sentences(answers: Answers) -> list[str]:
    return told(answers.findings)


# ---------------------------------------------------------------------------- no false alarm


def test_a_batch_that_is_whole_has_no_findings_and_its_numbers_add_up(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    answers = audit(database, stored)
    assert sentences(answers) == []
    [hour] = answers.hours
    assert (hour.source, hour.hour) == (SOURCE, ARRIVED.replace(minute=0, second=0, microsecond=0))
    assert (hour.documents, hour.rows, hour.dead_letters, hour.missing) == (8, 6, 2, 0)
    assert answers.without_census == 0


def test_what_is_delivered_again_in_halves_and_other_cuts_is_no_doubling(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    for start, end in ((0, 4), (4, 8), (2, 7), (0, 8), (3, 4)):
        deliver(kinesis_event(RECORDS[start:end], start=start), DATASETS, stored)
    for hole in range(1, 6):
        event = kinesis_event(RECORDS)
        del event["Records"][hole]
        deliver(event, DATASETS, stored)
    answers = audit(database, stored)
    assert sentences(answers) == []
    assert [hour.documents for hour in answers.hours] == [8]


@pytest.mark.parametrize("part_documents", [1, 3])
def test_a_batch_in_parts_is_whole(
    database: duckdb.DuckDBPyConnection, part_documents: int
) -> None:
    limits = Limits(part_documents=part_documents)
    assert (
        sentences(audit(database, deliver(kinesis_event(RECORDS), DATASETS, limits=limits))) == []
    )


def test_what_a_partial_store_left_and_other_cuts_completed_is_whole(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    for key in keys(stored, "by_country=FR"):
        del stored.output.objects[key]
    deliver(kinesis_event(RECORDS[:4]), DATASETS, stored)
    deliver(kinesis_event(RECORDS[4:], start=4), DATASETS, stored)
    assert sentences(audit(database, stored)) == []


def test_a_dead_letter_that_was_sent_again_is_settled_by_its_row(
    database: duckdb.DuckDBPyConnection,
) -> None:
    lines = GOOD + b"\n" + CLICK
    stored = deliver(kinesis_event([CLICK, lines, BROKEN]), [CLICKS])
    redrive(stored)
    assert len(stored.rows) == 3 + 0
    assert sentences(audit(database, stored)) == []


def redrive(stored: Stored) -> None:
    """Send all dead letters again, to both datasets."""
    pipeline = Pipeline(Router(DATASETS), PLAIN, stored.output, stored.dead_letters)
    for key in redrivable(stored.dead_letters):
        redrive_letters(stored.dead_letters, key, pipeline, lambda _: True, dry_run=False)


def test_what_a_redrive_left_of_a_file_of_dead_letters_still_has_the_census(
    database: duckdb.DuckDBPyConnection,
) -> None:
    stored = deliver(kinesis_event([GOOD, BROKEN]), [CLICKS])
    redrive(stored)
    [left] = list(redrivable(stored.dead_letters))
    assert of_gzip(stored.dead_letters.get(left)) is not None
    del stored.dead_letters.objects[left]
    [sentence] = sentences(audit(database, stored))
    assert sentence.startswith("1 of 2 documents are missing in the dead letters: ")


def test_objects_without_a_census_are_counted_and_no_finding(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    for key, body in list(stored.dead_letters.objects.items()):
        stored.dead_letters.objects[key] = encode_lines(decode_dead_letters(body, key))
    answers = audit(database, stored)
    assert sentences(answers) == []
    assert answers.without_census == 2


# ---------------------------------------------------------------------------- planted losses


def test_an_object_that_was_deleted_is_named(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".parquet")
    del stored.output.objects[key]
    assert sentences(audit(database, stored)) == [
        (
            f"2 of 5 documents are missing in orders as parquet: the batch {FIRST} to {LAST} of {SOURCE}, "
            "which arrived from 2026-11-23T09:30:00Z on, had 5 for orders, and 3 are there; of its 2 "
            "objects with rows there are 1. Restore its objects from the bucket's versions or, while the "
            f"stream keeps them, deliver its records again, from sequence number {FIRST} on."
        )
    ]


def test_csv_that_was_deleted_is_named_though_its_rows_are_there_as_parquet(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".csv")
    del stored.output.objects[key]
    [sentence] = sentences(audit(database, stored))
    assert sentence.startswith("2 of 5 documents are missing in orders as csv: ")


def test_rows_that_were_removed_are_named_with_their_file(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".parquet")
    cut_to(stored, key, 1)
    [sentence] = sentences(audit(database, stored))
    assert sentence.startswith("1 of 5 documents are missing in orders as parquet: ")
    assert f"; {key} has other rows than it was written with. " in sentence


def cut_to(stored: Stored, key: str, rows: int) -> None:
    """Remove all but so many rows of a Parquet file, and keep its metadata."""
    file = pq.ParquetFile(io.BytesIO(stored.output.objects[key]))
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, file.schema_arrow) as writer:
        writer.write_table(file.read().slice(0, rows))
        metadata = {k: v for k, v in file.metadata.metadata.items() if k != b"ARROW:schema"}
        writer.add_key_value_metadata(metadata)
    stored.output.objects[key] = sink.getvalue()


def test_a_lost_file_of_dead_letters_is_named(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = [key for key in stored.dead_letters.objects if key.startswith("unrouted/")]
    del stored.dead_letters.objects[key]
    [sentence] = sentences(audit(database, stored))
    assert sentence.startswith(
        f"1 of 1 documents are missing in the dead letters: the batch {FIRST} to {LAST} of {SOURCE}, "
    )


def test_a_batch_of_which_only_a_census_is_left_is_named_for_each_dataset(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [kept] = keys(stored, "clicks/")
    cut_to(stored, kept, 0)
    stored.dead_letters.objects.clear()
    for key in list(stored.output.objects):
        if key != kept:
            del stored.output.objects[key]
    found = [sentence.partition(":")[0] for sentence in sentences(audit(database, stored))]
    assert sorted(found) == [
        "1 of 1 documents are missing in the dead letters",
        "2 of 2 documents are missing in clicks as parquet",
        "5 of 5 documents are missing in orders as parquet",
    ]


def test_the_last_batch_is_named_by_its_ledger_segment_when_the_landing_is_gone(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    censuses = [
        (key, census)
        for key, body in stored.output.objects.items()
        if key.endswith(".parquet")
        and (census := of_parquet(pq.ParquetFile(io.BytesIO(body)).metadata.metadata))
    ]
    stored.output.objects.clear()
    sink = io.BytesIO()
    pq.write_table(census_table(censuses), sink)
    stored.output.put(ledger_key("orders", "one"), sink.getvalue())
    found = [sentence.partition(":")[0] for sentence in sentences(audit(database, stored))]
    # Of the datasets' dead letters one is there.
    assert sorted(found) == [
        "2 of 2 documents are missing in clicks as parquet",
        "4 of 5 documents are missing in orders as parquet",
    ]


def test_a_row_that_was_copied_to_another_file_of_its_batch_is_named(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".parquet")
    stored.output.objects[key.replace("by_country=FR", "by_country=fr")] = stored.output.get(key)
    batch = key.rpartition("/")[2].removesuffix(".parquet")
    assert sentences(audit(database, stored)) == [
        (
            f"2 documents are in orders as parquet more than once, {SOURCE}, sequence number "
            f"{sequence_number(1)}, sub-sequence number 0, document 0 for one, 2 times, in {batch}: a batch "
            "stores each document once, so a file was copied, or a table was written to by others. Delete "
            "the copy; until then, orders_once shows each document once."
        )
    ]


def test_a_table_holds_each_identity_once_whatever_batch_it_is_of(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    found = gathered(database, stored)
    columns = ["_source", "_sequence_number", "_sub_sequence_number", "_document", "_arrived_at"]
    [key] = keys(stored, "by_country=FR", ".parquet")
    rows = pq.read_table(io.BytesIO(stored.output.get(key)), columns=columns)
    for _ in range(2):
        found.add_rows("orders", "parquet", "the table orders", rows)
    [sentence] = sentences(ask(found))
    assert "2 documents are in orders as parquet more than once" in sentence
    assert "in the table orders: " in sentence


def test_rows_of_a_redrive_that_are_gone_are_named(
    database: duckdb.DuckDBPyConnection,
) -> None:
    stored = deliver(kinesis_event([CLICK, GOOD]), [CLICKS])
    redrive(stored)
    for key in keys(stored, "orders/"):
        del stored.output.objects[key]
    first, second = sentences(audit(database, stored))
    assert first.startswith("1 of 1 documents are missing in the dead letters: ")
    assert second == (
        f"1 dead letters of unrouted were sent again, {SOURCE}, sequence number {sequence_number(1)}, "
        "sub-sequence number 0, document 0 for one, and neither a row nor a dead letter came of them "
        "that is still there. They are kept in _redriven/: put their file back where it was, and "
        "`pipeline redrive` sends them once more."
    )


def test_an_object_that_cannot_be_read_is_named_and_the_rest_is_asked(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".parquet")
    stored.output.objects[key] = b"PAR1"
    first, second = sentences(audit(database, stored))
    assert first == (
        f"{stored.output.uri}/{key} cannot be read as parquet with the columns of an identity; "
        "restore it, or deliver its batch again."
    )
    assert second.startswith("2 of 5 documents are missing in orders as parquet: ")


def test_what_arrived_before_is_not_asked_about(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".parquet")
    del stored.output.objects[key]
    answers = ask(gathered(database, stored), ARRIVED + timedelta(hours=1))
    assert answers.findings == []
    assert answers.hours == []


def test_what_may_be_on_its_way_is_not_missed(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    [key] = keys(stored, "by_country=FR", ".parquet")
    del stored.output.objects[key]
    assert ask(gathered(database, stored), until=ARRIVED - timedelta(seconds=1)).findings == []


def test_one_loss_that_several_batches_show_is_counted_once(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    deliver(kinesis_event(RECORDS[1:], start=1), DATASETS, stored)
    for key in keys(stored, "by_country=FR"):
        del stored.output.objects[key]
    answers = audit(database, stored)
    assert len(answers.findings) == 4  # two batches, two formats
    assert [hour.missing for hour in answers.hours] == [2]


# ------------------------------------------------------------------------------- the stream


class OneShard:
    """A stream of one shard, which returns two records at a time."""

    stream = "shop"

    def __init__(self, count: int) -> None:
        self.records = [
            StreamRecord(sequence_number(number), "a", MICROSECONDS + number, b"")
            for number in range(count)
        ]

    def describe_stream_summary(self) -> StreamSummary:
        return StreamSummary(ARN, "ACTIVE", 1, 24)

    def list_shards(self) -> list[Shard]:
        return [Shard(SHARD, (), 0, 2**128 - 1, closed=False)]

    def get_shard_iterator(self, shard_id: str, kind: str, start: Any = None) -> str:
        assert (shard_id, kind, start) == (SHARD, "TRIM_HORIZON", None)
        return "0"

    def get_records(self, iterator: str) -> Received:
        start = int(iterator)
        end = min(start + 2, len(self.records))
        return Received(tuple(self.records[start:end]), str(end), len(self.records) - end)


def test_a_record_that_was_never_delivered_is_named_by_the_stream(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    found = gathered(database, stored)
    kinesis: Any = OneShard(10)
    assert gather_stream(found, kinesis, None, MICROSECONDS + 8) == 9
    [sentence] = sentences(ask(found))
    number = sequence_number(8)
    assert sentence == (
        f"1 record of {SOURCE} in the hour from 2026-11-23T09:00:00Z on has neither rows nor dead "
        f"letters, {number}. Restore its objects from the bucket's versions or, while the stream keeps "
        f"them, deliver its records again, from sequence number {number} on."
    )


def test_what_lambda_gave_up_on_is_to_be_had_from_its_failed_batch(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    failed = "aws/lambda/one/shardId-000000000003/2026/11/23/failed"
    event = kinesis_event([CLICK, CLICK], start=8)
    stored.dead_letters.put(failed, as_json({"payload": event}))
    found = gathered(database, stored)
    kinesis: Any = OneShard(10)
    gather_stream(found, kinesis, None, 2**62)
    [sentence] = sentences(ask(found))
    assert sentence == (
        f"2 records of {SOURCE} in the hour from 2026-11-23T09:00:00Z on have neither rows nor dead "
        f"letters, {sequence_number(8)} to {sequence_number(9)}. Lambda gave up on records of it, which "
        f"are in {failed}: `pipeline redrive` stores them."
    )


# ------------------------------------------------------------------------- the ledger segment


def test_a_census_is_one_row_of_a_ledger_segment(stored: Stored) -> None:
    [(key, body)] = [
        (key, body) for key, body in stored.dead_letters.objects.items() if "orders/" in key
    ]
    census = of_gzip(body)
    assert census is not None
    table = census_table([(key, census)])
    assert table.schema == SCHEMA
    [row] = table.to_pylist()
    assert row == {
        "object": key,
        "source": SOURCE,
        "first_sequence_number": FIRST,
        "last_sequence_number": LAST,
        "part": 0,
        "record_count": 8,
        "digest": census.digest,
        "arrived_from": ARRIVED,
        "arrived_to": ARRIVED,
        "documents": [("clicks", 2), ("orders", 5), ("unrouted", 1)],
        "dataset": "orders",
        "version": ORDERS.version,
        "row_count": 4,
        "reject_count": 1,
        "drop_count": 0,
        "object_count": 2,
    }


def test_the_sums_of_others_in_a_short_census_are_no_claim(
    database: duckdb.DuckDBPyConnection, stored: Stored
) -> None:
    for key, body in stored.dead_letters.objects.items():
        census = of_gzip(body)
        assert census is not None
        short = Census.from_bytes(
            re.sub(rb'"documents":\{.*?\}', b'"documents":{"*":7}', census.to_bytes())
        )
        assert short is not None
        lines = encode_lines(decode_dead_letters(body, key))
        stored.dead_letters.objects[key] = named(lines, short.to_name())
    assert sentences(audit(database, stored)) == []


def test_drops_are_settled_too(database: duckdb.DuckDBPyConnection, stored: Stored) -> None:
    """Of what a rule drops on purpose there is no identity: its number is taken off."""
    found = gathered(database, stored)
    census = Census(
        SOURCE, FIRST, LAST, 0, 8, "d" * 32, (MICROSECONDS, MICROSECONDS), {"clicks": 3},
        "clicks", 1, 2, 0, 1, 1,
    )  # fmt: skip
    found.note_census("a key", census)
    answers = ask(found)
    assert sentences(answers) == []
    assert [(hour.drops, hour.documents) for hour in answers.hours] == [(1, 9)]


def test_many_findings_of_a_kind_are_counted_behind_the_first_fifty(
    database: duckdb.DuckDBPyConnection,
) -> None:
    stored = Stored()
    for number in range(60):
        deliver(kinesis_event([CLICK, BROKEN], start=2 * number), DATASETS, stored)
    for key in list(stored.output.objects):
        del stored.output.objects[key]
    found = sentences(audit(database, stored))
    assert len(found) == 51
    assert found[-1] == "There are 10 more of these (missing); --json has all of them."


def test_hours_are_those_of_arrival(database: duckdb.DuckDBPyConnection) -> None:
    stored = deliver(kinesis_event([CLICK] * 2), DATASETS)
    later = ARRIVED + timedelta(minutes=45)
    deliver(kinesis_event([CLICK], start=2, arrived=later), DATASETS, stored)
    one, two = audit(database, stored).hours
    assert (one.hour, one.rows, one.newest) == (datetime(2026, 11, 23, 9, tzinfo=UTC), 2, ARRIVED)
    assert (two.hour, two.rows, two.newest) == (datetime(2026, 11, 23, 10, tzinfo=UTC), 1, later)
    assert (one.largest_gap, two.largest_gap) == (0, 2_700)
