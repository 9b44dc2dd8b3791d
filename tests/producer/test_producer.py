"""The producer against a stream that throttles, fails in part, drops connections and reshards."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from fake_kinesis import ALL, AfterStoring, FakeKinesis, covers, md5, shard, shards_of
from hypothesis import given
from hypothesis import strategies as st
from support import batch_of

from pipeline.adapters.aws.kinesis import PutRecord, RecordNotStored, Shard
from pipeline.core.errors import (
    ArgumentRefused,
    SettingsError,
    StreamError,
    StreamMissing,
    StreamThrottled,
    StreamUnavailable,
)
from pipeline.core.kpl import UserRecord, aggregate, deaggregate
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.payload import unpack_payloads
from pipeline.core.records import Limits
from pipeline.producer import (
    FailedRecord,
    Options,
    Position,
    Producer,
    ProducerError,
    RecordFailed,
    RecordRefused,
)
from pipeline.producer.testing import MemoryStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@dataclass
class Fields:
    """What an application may put in place of a dict."""

    n: float
    o: None = None


QUICK = Options(linger=0.002)
SOON = Options(linger=0.002, record_ttl=0.2)
THROTTLED = RecordNotStored("ProvisionedThroughputExceededException", "Rate exceeded for shard")


def put_all(sends: Producer, records: Iterable[tuple[Any, ...]]) -> None:
    """Put records, each given as the arguments of `put`, and close."""
    with sends:
        for record in records:
            sends.put(*record)


def producer(stream: FakeKinesis, options: Options = QUICK) -> Producer:
    """Return a producer that does not wait before it tries again."""
    return Producer(stream, options, jitter=lambda: 0.0)


# -------------------------------------------------------------------------- what holds always


class Chaos:
    """Every mishap there is, in an order that the seed decides on."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.stream = FakeKinesis(self.mishap)

    def mishap(self, number: int, records: Sequence[PutRecord]) -> Any:
        with self.stream.lock:
            if number in (3, 9):
                self.stream.split(self.random.choice(self._open()))
            if number == 6:
                one, other = self._open()[:2]
                self.stream.merge(one, other)
            chance = self.random.random()
            if chance < 0.1:
                return StreamUnavailable("The connection was refused.")
            if chance < 0.2:
                return AfterStoring(StreamUnavailable("The connection was lost."))
            if chance < 0.25:
                return StreamThrottled("Too much.")
            if chance < 0.3:
                return ArgumentRefused("Something was not right.")
            bad = (THROTTLED, RecordNotStored("InternalFailure", "Internal service failure."))
            return {
                index: self.random.choice(bad)
                for index in range(len(records))
                if self.random.random() < 0.2
            }

    def _open(self) -> list[int]:
        """Return the places of the open shards in the order of their hash keys."""
        open_ones = [
            (shard.first_hash_key, index)
            for index, shard in enumerate(self.stream.shards)
            if not shard.closed
        ]
        return [index for _, index in sorted(open_ones)]


@given(
    seed=st.integers(0, 2**32),
    keys=st.integers(1, 40),
    count=st.integers(1, 600),
    options=st.builds(
        Options,
        linger=st.sampled_from([0.0, 0.002]),
        aggregate_bytes=st.sampled_from([0, 300, 2_000, 51_200]),
        aggregate_count=st.sampled_from([2, 7, 10_000]),
        buffer_bytes=st.sampled_from([2_000, 20_000, 2**26]),
        connections=st.integers(1, 4),
        compression=st.sampled_from([None, "gzip"]),
    ),
)
def test_put_is_acknowledged_plus_failed_and_what_is_acknowledged_is_there_in_order(
    seed: int, keys: int, count: int, options: Options
) -> None:
    stream = Chaos(seed).stream
    outcomes: list[tuple[int, Position | FailedRecord]] = []
    chance = random.Random(seed)
    key_of = [f"key {chance.randrange(keys)}" for _ in range(count)]
    with producer(stream, options) as sends:
        for number, key in enumerate(key_of):
            sends.put(
                payload_of(number),
                key,
                callback=lambda outcome, number=number: outcomes.append((number, outcome)),  # type: ignore[misc]
            )
            counted = sends.statistics
            assert counted.put_bytes - counted.acknowledged_bytes <= max(
                options.buffer_bytes, len(payload_of(number))
            )
    done = sends.statistics
    assert (done.put, done.waiting) == (count, 0)
    assert sorted(number for number, _ in outcomes) == list(range(count))
    acknowledged = {
        number: outcome for number, outcome in outcomes if isinstance(outcome, Position)
    }
    assert (done.acknowledged, done.failed) == (len(acknowledged), count - len(acknowledged))
    for number, position in acknowledged.items():
        kept = stream.kept[int(position.sequence_number)]
        assert kept.shard_id == position.shard_id
        stored_key, data = kept.user_records()[position.sub_sequence_number]
        assert (stored_key, unpacked(data)) == (key_of[number], payload_of(number))
    failed = {payload_of(number) for number in range(count) if number not in acknowledged}
    assert stored_in_order(stream, failed) == put_in_order(key_of, failed)


def payload_of(number: int) -> bytes:
    return b"%d " % number + b"x" * (number % 50)


def unpacked(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def put_in_order(key_of: Sequence[str], failed: set[bytes]) -> dict[str | None, list[bytes]]:
    """Return each key's payloads, less those that failed, in the order in which they were put."""
    payloads: dict[str | None, list[bytes]] = defaultdict(list)
    for number, key in enumerate(key_of):
        if payload_of(number) not in failed:
            payloads[key].append(payload_of(number))
    return payloads


def stored_in_order(stream: FakeKinesis, failed: set[bytes]) -> dict[str | None, list[bytes]]:
    """Return the same in the order in which they were first stored."""
    first: dict[str | None, dict[bytes, None]] = defaultdict(dict)
    for key, data in stream.user_records:
        if unpacked(data) not in failed:
            first[key].setdefault(unpacked(data))
    return {key: list(payloads) for key, payloads in first.items()}


# --------------------------------------------------------------------------- stream records


def test_a_lone_record_is_sent_as_it_is() -> None:
    stream = FakeKinesis()
    with producer(stream) as sends:
        sends.put(b"{}", "customer 7", "12345")
    assert [kept.record for kept in stream.kept] == [PutRecord("customer 7", b"{}", "12345")]


def test_records_of_one_shard_are_sent_as_the_kpl_would_send_them() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    records = [
        UserRecord("a key", b"one"),
        UserRecord("another", b"two", str(ALL - 1)),
        UserRecord("a key", b""),
    ]
    with producer(stream, Options(linger=60)) as sends:
        for record in records:
            sends.put(record.data, record.partition_key, record.explicit_hash_key)
    put = PutRecord("a", aggregate(records), str(md5("a key")))
    assert [kept.record for kept in stream.kept] == [put]


def test_an_aggregate_holds_records_of_one_shard_only() -> None:
    stream = FakeKinesis(shards=shards_of(16))
    with producer(stream, Options(linger=60)) as sends:
        for number in range(500):
            sends.put(payload_of(number), f"key {number}")
    assert len(stream.kept) == 16
    for kept in stream.kept:
        (shard,) = (shard for shard in stream.shards if shard.shard_id == kept.shard_id)
        assert all(covers(shard, md5(key or "")) for key, _ in kept.user_records())


def test_an_aggregate_is_as_large_as_the_limit_lets_it_be() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    with producer(stream, Options(linger=60, aggregate_bytes=1_000)) as sends:
        for _ in range(100):
            sends.put(b"x" * 90, "key")
    sizes = [len(kept.record.data) for kept in stream.kept]
    assert len(sizes) == 10
    assert max(sizes) == 20 + 2 + 3 + 10 * (90 + 6)


def test_an_aggregate_takes_no_more_records_than_it_may() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    with producer(stream, Options(linger=60, aggregate_count=7)) as sends:
        for number in range(15):
            sends.put(payload_of(number), "key")
    assert [len(kept.user_records()) for kept in stream.kept] == [7, 7, 1]


def test_a_record_larger_than_an_aggregate_is_sent_alone_in_its_turn() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    large = b"x" * 60_000
    with producer(stream, Options(linger=60)) as sends:
        for payload in (b"one", b"two", large, b"three", b"four"):
            sends.put(payload, "key")
    assert [len(kept.user_records()) for kept in stream.kept] == [2, 1, 2]
    assert stream.kept[1].record == PutRecord("key", large)


@pytest.mark.parametrize("size", [10, 60_000, 2**20 - 67])
def test_a_payload_that_looks_like_an_aggregate_arrives_as_a_payload(size: int) -> None:
    stream = FakeKinesis()
    payload = KPL_MAGIC + b"x" * (size - 4)
    with producer(stream) as sends:
        sends.put(payload, "key")
    assert stream.user_records == [("key", payload)]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_payloads_are_opened_by_the_pipeline(compression: Any) -> None:
    stream = FakeKinesis()
    document = b'{"text": "' + b"so long " * 200 + b'"}'
    options = Options(linger=0, aggregate_bytes=0, compression=compression)
    with producer(stream, options) as sends:
        sends.put(document, "key")
        sends.put(b"{}", "other key")
    large, small = sorted((kept.record.data for kept in stream.kept), key=len, reverse=True)
    assert len(large) < 100
    assert small == b"{}"
    chunk, _ = deaggregate(batch_of(large))
    ((documents, rejects),) = unpack_payloads(chunk, Limits())
    assert (documents.payloads, rejects) == ([document], [])


def test_a_call_takes_what_kinesis_allows_and_not_more() -> None:
    stream = FakeKinesis()
    options = Options(linger=60, aggregate_bytes=0, ordered=False, connections=1)
    with producer(stream, options) as sends:
        stream.mishap = hold_until_all_are_put(sends, 1_230)
        for number in range(1_200):
            sends.put(b"small", f"key {number}")
        for number in range(30):
            sends.put(b"x" * 1_000_000, f"large {number}")
    assert sum(len(call) for call in stream.calls) == 1_230
    assert max(len(call) for call in stream.calls) == 500
    assert max(sum(len(record.data) for record in call) for call in stream.calls) > 5_000_000


def hold_until_all_are_put(sends: Producer, count: int) -> Callable[[int, Any], None]:
    """Let no call end before so many records have been put."""

    return lambda _number, _records: until(lambda: sends.statistics.put >= count)


def test_a_record_does_not_wait_for_others_for_ever() -> None:
    stream = FakeKinesis()
    with producer(stream, Options(linger=0.01)) as sends:
        future = sends.submit(b"{}", "key")
        # While nobody flushes or closes: the time alone sends it.
        assert future.result(timeout=60).sub_sequence_number == 0


def test_flush_returns_when_everything_is_settled() -> None:
    stream = FakeKinesis()
    with producer(stream, Options(linger=3_600)) as sends:
        for number in range(100):
            sends.put(payload_of(number), f"key {number}")
        sends.flush()
        assert sends.statistics.acknowledged == 100
        assert len(stream.user_records) == 100


# ------------------------------------------------------------------------------------- retries


def test_only_what_was_not_stored_is_sent_again() -> None:
    stream = FakeKinesis(lambda number, _: {0: THROTTLED} if number == 1 else None)
    with producer(stream, Options(linger=60, aggregate_bytes=0, connections=1)) as sends:
        stream.mishap = two = Once({0: THROTTLED}, sends, 3)
        for number in range(3):
            sends.put(payload_of(number), f"key {number}")
    assert two.asked == len(stream.calls)
    assert sorted(data for _, data in stream.user_records) == sorted(map(payload_of, range(3)))
    done = sends.statistics
    assert (done.retries, done.throttled, done.stream_records) == (1, 1, 3)


class Once:
    """The first call has a mishap, when so many records have been put; the others have none."""

    def __init__(self, verdict: Any, sends: Producer, count: int) -> None:
        self.verdict, self.asked = verdict, 0
        self.hold = hold_until_all_are_put(sends, count)

    def __call__(self, number: int, records: Any) -> Any:
        self.asked += 1
        self.hold(number, records)
        return self.verdict if self.asked == 1 else None


def test_no_record_overtakes_an_earlier_one_of_its_key() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    with producer(stream, Options(linger=0, aggregate_bytes=0)) as sends:
        stream.mishap = Once({0: THROTTLED}, sends, 50)
        for number in range(50):
            sends.put(payload_of(number), "key")
    assert [data for _, data in stream.user_records] == [payload_of(number) for number in range(50)]


def test_no_aggregate_overtakes_an_earlier_one_that_shares_a_key() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    keys = [f"key {number}" for number in range(199)] + ["key 0"]
    with producer(stream, Options(linger=60, aggregate_count=100)) as sends:
        stream.mishap = Once({0: THROTTLED}, sends, 200)
        for number, key in enumerate(keys):
            sends.put(payload_of(number), key)
    assert [data for key, data in stream.user_records if key == "key 0"] == [
        payload_of(0),
        payload_of(199),
    ]


def test_what_was_not_stored_goes_back_to_where_it_was() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    options = Options(linger=60, aggregate_bytes=0, connections=1)
    with producer(stream, options) as sends:
        stream.mishap = Once(StreamUnavailable("The connection was refused."), sends, 100)
        for number in range(100):
            sends.put(payload_of(number), f"key {number}")
    assert [data for _, data in stream.user_records] == [
        payload_of(number) for number in range(100)
    ]


def test_without_order_one_call_takes_many_records_of_a_key() -> None:
    stream = FakeKinesis(shards=shards_of(1))
    with producer(stream, Options(linger=0, aggregate_bytes=0, ordered=False)) as sends:
        stream.mishap = Once(None, sends, 50)
        for number in range(50):
            sends.put(payload_of(number), "key")
    assert max(len(call) for call in stream.calls) > 40


def test_a_producer_is_imported_without_arrow_and_asyncio() -> None:
    """An application that only puts records does not wait for them."""
    script = (
        "import sys, pipeline.producer; print(sorted({'asyncio', 'pyarrow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_lost_response_doubles_the_record_and_the_second_position_counts() -> None:
    lost = AfterStoring(StreamUnavailable("The connection was lost."))
    stream = FakeKinesis(lambda number, _: lost if number == 1 else None)
    with producer(stream) as sends:
        position = sends.submit(b"{}", "key")
    assert stream.user_records == [("key", b"{}")] * 2
    assert position.result().sequence_number == stream.kept[1].sequence_number


def test_a_refused_record_fails_alone() -> None:
    refused = ArgumentRefused("Could not write to the stream 'shop'.")

    def mishap(_number: int, records: Sequence[PutRecord]) -> StreamError | None:
        return refused if any(b"poison" in record.data for record in records) else None

    stream = FakeKinesis(mishap)
    sends = producer(stream, Options(linger=60, aggregate_bytes=0))
    for number in range(20):
        sends.put(b"poison" if number == 7 else payload_of(number), f"key {number}")
    failed = sends.close()
    assert failed == [FailedRecord(b"poison", "key 7", str(refused))]
    assert sends.statistics.acknowledged == 19


# ---------------------------------------------------------------------------------- giving up


def always_throttled(_number: int, records: Sequence[PutRecord]) -> Any:
    return dict.fromkeys(range(len(records)), THROTTLED)


def test_what_is_given_up_is_handed_back_and_raised() -> None:
    sends = producer(FakeKinesis(always_throttled), SOON)
    puts = [(payload_of(number), f"key {number}", str(number)) for number in range(3)]
    with pytest.raises(ProducerError) as caught:
        put_all(sends, puts)
    assert sorted(caught.value.failed) == [
        FailedRecord(payload_of(number), f"key {number}", caught.value.failed[0].error, str(number))
        for number in range(3)
    ]
    assert str(caught.value) == (
        "3 of 3 records were not stored on the stream 'shop': Given up after 0.2 s: Kinesis "
        'answered ProvisionedThroughputExceededException ("Rate exceeded for shard") for '
        "shardId-000000000000. They are in this error's `failed`."
    )
    assert (sends.statistics.put, sends.statistics.failed) == (3, 3)


def test_a_failure_that_somebody_takes_is_not_raised() -> None:
    taken: list[Any] = []
    with producer(FakeKinesis(always_throttled), SOON) as sends:
        sends.put(b"one", "key", callback=taken.append)
        future = sends.submit(b"two", "key")
    assert [(record.payload, record.partition_key) for record in taken] == [(b"one", "key")]
    with pytest.raises(RecordFailed, match=r"Given up after 0\.2 s") as caught:
        future.result()
    assert caught.value.failed[0].payload == b"two"


def test_what_failed_is_handed_back_as_it_was_put() -> None:
    options = Options(linger=0, record_ttl=0.1, compression="gzip")
    sends = producer(FakeKinesis(always_throttled), options)
    sends.put(b"long " * 100, "key")
    (failed,) = sends.close()
    assert failed.payload == b"long " * 100


def test_failures_do_not_hide_the_error_of_the_block() -> None:
    def records() -> Iterable[tuple[Any, ...]]:
        yield b"one", "key"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        put_all(producer(FakeKinesis(always_throttled), SOON), records())
    (note,) = caught.value.__notes__
    assert note.startswith("1 of 1 records were not stored on the stream 'shop'")


def test_a_full_buffer_of_failures_that_nobody_takes_stops_the_puts() -> None:
    options = Options(linger=0, record_ttl=0.001, buffer_bytes=10_000)
    sends = producer(FakeKinesis(always_throttled), options)

    def put_and_flush_for_ever() -> None:
        while True:
            sends.put(b"x" * 100, "key")
            sends.flush()

    with pytest.raises(ProducerError, match="were not taken"):
        put_and_flush_for_ever()
    failed = sends.take_failed()
    assert sum(len(record.payload) for record in failed) < 10_000
    sends.put(b"one more", "key")
    assert [record.payload for record in sends.close()] == [b"one more"]
    assert sends.statistics.put == sends.statistics.failed == len(failed) + 1


def test_put_waits_while_the_buffer_is_full() -> None:
    release = threading.Event()

    def mishap(*_: Any) -> None:
        release.wait()

    stream = FakeKinesis(mishap)
    options = Options(linger=0, buffer_bytes=10_000, connections=1)
    most_waiting = 0
    with producer(stream, options) as sends:
        room_for = 7  # of 1,000 bytes, and what Python needs beside them

        def release_when_full() -> None:
            until(lambda: sends.statistics.put == room_for)
            release.set()

        threading.Thread(target=release_when_full).start()
        for number in range(100):
            sends.put(b"x" * 1_000, f"key {number}")
            most_waiting = max(most_waiting, sends.statistics.waiting)
    assert most_waiting == room_for
    assert sends.statistics.acknowledged == 100


def test_a_callback_may_put_while_the_buffer_is_full() -> None:
    stream = FakeKinesis()
    options = Options(linger=0, buffer_bytes=1_500, connections=1)
    with producer(stream, options) as sends:
        for number in range(20):
            sends.put(b"x" * 500, f"key {number}", callback=lambda _: sends.put(b"again", "key"))
        sends.flush()
    assert sends.statistics.acknowledged == 40


def test_an_error_in_a_callback_is_raised_at_the_end() -> None:
    sends = producer(FakeKinesis())
    with pytest.raises(ProducerError, match="raised ZeroDivisionError") as caught:
        put_all(sends, [(b"one", "key", None, lambda _: 1 // 0), (b"two", "key")])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert sends.statistics.acknowledged == 2


def test_a_callback_that_would_end_the_program_is_raised_at_the_end() -> None:
    sends = producer(FakeKinesis())
    with pytest.raises(ProducerError, match="raised SystemExit"):
        put_all(sends, [(b"one", "key", None, lambda _: sys.exit(3)), (b"two", "key")])
    assert sends.statistics.acknowledged == 2


@pytest.mark.parametrize("call", ["flush", "close"])
def test_a_callback_that_would_wait_for_itself_is_told(call: str) -> None:
    sends = producer(FakeKinesis())
    with pytest.raises(ProducerError, match="raised ProducerError") as caught:
        put_all(sends, [(b"one", "key", None, lambda _: getattr(sends, call)())])
    assert "cannot flush or close" in str(caught.value.__cause__)


def test_a_defect_hands_everything_back() -> None:
    sends = producer(FakeKinesis(lambda *_: 1 // 0), Options(linger=60))
    puts = [(payload_of(number), f"key {number}") for number in range(10)]
    with pytest.raises(ProducerError, match="broke down with ZeroDivisionError") as caught:
        put_all(sends, puts)
    assert sorted(record[:2] for record in caught.value.failed) == sorted(puts)
    assert (sends.statistics.put, sends.statistics.failed) == (10, 10)
    with pytest.raises(ProducerError, match="is closed"):
        sends.put(b"late", "key")
    with pytest.raises(ProducerError, match="broke down with ZeroDivisionError; close it"):
        sends.flush()
    assert sends.close() == []


# ---------------------------------------------------------------------------------- resharding


@pytest.mark.parametrize(
    "reshard", [lambda stream: stream.split(0), lambda stream: stream.merge(0, 1)]
)
def test_after_a_reshard_records_go_where_they_belong(
    reshard: Callable[[FakeKinesis], None],
) -> None:
    stream = FakeKinesis(shards=shards_of(2))
    with producer(stream, Options(linger=60)) as sends:
        reshard(stream)
        settle_map(sends, stream)
        before = len(stream.kept)
        for number in range(200):
            sends.put(payload_of(number), f"key {number}")
        sends.flush()
        assert sum(len(kept.user_records()) for kept in stream.kept[before:]) == 200
        for kept in stream.kept[before:]:
            (shard,) = (shard for shard in stream.shards if shard.shard_id == kept.shard_id)
            assert all(covers(shard, md5(key or "")) for key, _ in kept.user_records())


def settle_map(sends: Producer, stream: FakeKinesis) -> None:
    """Put until the producer knows the shards that there are now."""
    known = {shard.shard_id for shard in stream.shards if not shard.closed}
    for _ in range(10_000):
        if {shard.shard_id for shard in sends._dispatcher._map.shards} == known:
            return
        sends.put(b"probe", "key")
        sends.flush()
    pytest.fail("The producer never learnt of the new shards.")


def test_a_reshard_loses_nothing_of_a_call_under_way() -> None:
    stream = FakeKinesis(shards=shards_of(2))
    sends = producer(stream, Options(linger=0, connections=2))
    stream.split(0)
    under_way = threading.Event()

    def mishap(_number: int, records: Sequence[PutRecord]) -> Any:
        if records[0].data != b"held" or under_way.is_set():
            return None
        under_way.set()
        until(lambda: sends.statistics.refreshes > 0)
        for _ in range(50):  # in which the new map could come into use, and must not
            threading.Event().wait(0.001)
        return {0: THROTTLED}

    stream.mishap = mishap
    held = sends.submit(b"held", "key", str(ALL - 1))
    assert under_way.wait(60)
    sends.put(b"shows that there are new shards", "key", "0")
    assert held.result(timeout=60).shard_id == "shardId-000000000001"
    assert not sends.close()


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    while not condition():
        threading.Event().wait(0.001)


def test_shards_are_not_listed_again_and_again() -> None:
    stream = FakeKinesis(shards=shards_of(2))
    with producer(stream) as sends:
        # A stream whose list of shards never shows where it stores.
        stream.shards = [shard(7, 0, ALL - 1)]
        stream.list_shards = lambda: shards_of(2)  # type: ignore[method-assign]
        for number in range(50):
            sends.put(payload_of(number), f"key {number}")
            sends.flush()
    assert sends.statistics.acknowledged == 50
    assert sends.statistics.refreshes < 5


# ------------------------------------------------------------------------------------ refusals


def test_a_stream_that_is_not_there_stops_the_start() -> None:
    stream = FakeKinesis()

    def missing() -> list[Shard]:
        raise StreamMissing("There is no stream 'shop'.")

    stream.list_shards = missing  # type: ignore[method-assign]
    with pytest.raises(StreamMissing):
        producer(stream)


def test_a_stream_without_open_shards_stops_the_start() -> None:
    with pytest.raises(StreamError, match="'shop' has no open shard"):
        producer(FakeKinesis(shards=[]))


@pytest.mark.parametrize(
    ("payload", "key", "hash_key", "says"),
    [
        (object(), "key", None, "JSON: Encoding objects of type object is unsupported."),
        ({("a", "b"): 1}, "key", None, "Only dicts with str-like or number-like keys"),
        ({"a": [1.5, math.nan]}, "key", None, "a number that JSON cannot hold: NaN or infinity."),
        ({"a": Decimal("Infinity")}, "key", None, "a number that JSON cannot hold"),
        (Fields(-math.inf), "key", None, "a number that JSON cannot hold"),
        ("\ud800", "key", None, "text that is not valid Unicode"),
        ({"\ud800": 1}, "key", None, "text that is not valid Unicode"),
        (ENDLESS, "key", None, "nests too deeply, or holds itself"),
        (b"", "", None, "The partition key has 0 characters; give 1 to 256."),
        (b"", "k" * 257, None, "The partition key has 257 characters; give 1 to 256."),
        (b"", "\ud800", None, "The partition key is not valid Unicode; give text."),
        (b"x" * (2**20 - 2), "key", None, "The record has 1,048,577 bytes with its partition key"),
        (b"x" * (2**20 - 3), "ä" * 2, None, "The record has 1,048,577 bytes"),
        (KPL_MAGIC + b"x" * (2**20 - 40), "key", None, "a stream accepts 1,048,576."),
        *(
            (b"", "key", bad, "not a decimal number below")
            for bad in ("", "-1", "01", "x", "٣", str(ALL))
        ),
    ],
)
def test_what_no_stream_accepts_is_refused_at_once(
    payload: Any, key: str, hash_key: str | None, says: str
) -> None:
    with producer(FakeKinesis()) as sends, pytest.raises(RecordRefused, match=says):
        sends.put(payload, key, hash_key)
    assert sends.statistics.put == 0


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (bytearray(b"\x00{"), b"\x00{"),
        (memoryview(b"abcd")[::2], b"ac"),
        ('{"as": "it stands"}', b'{"as": "it stands"}'),
        ("ä", "ä".encode()),
        ({"a": None, "null": "NaN"}, b'{"a":null,"null":"NaN"}'),
        ([1, 2.5, True, None], b"[1,2.5,true,null]"),
        (2**70, b"1180591620717411303424"),
        (Decimal("1.10"), b"1.10"),
        (datetime(2026, 11, 23, 9, 30, tzinfo=UTC), b'"2026-11-23T09:30:00Z"'),
        (Fields(1.5), b'{"n":1.5,"o":null}'),
    ],
)
def test_bytes_and_text_are_sent_as_they_are_and_the_rest_as_json(
    payload: Any, sent: bytes
) -> None:
    stream = MemoryStream()
    put_all(Producer(stream, QUICK), [(payload, "key")])
    assert stream.records == [("key", sent)]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), inner
    ),
)  # fmt: skip


@given(value=JSON_VALUES.filter(lambda value: not isinstance(value, str)))
def test_what_is_put_is_what_json_reads(value: Any) -> None:
    stream = MemoryStream()
    put_all(Producer(stream, QUICK), [(value, "key")])
    ((_, payload),) = stream.records
    assert json.loads(payload) == value


def test_without_a_key_records_are_spread_over_the_shards_in_few_keys() -> None:
    stream = MemoryStream(shards=4)
    with Producer(stream, QUICK) as sends:
        shards = [future.result().shard_id for future in [sends.submit({}) for _ in range(4_000)]]
    counts = Counter(shards)
    assert len(counts) == 4
    assert max(counts.values()) < 2_000
    assert len({key for key, _ in stream.records}) == 40


def test_a_producer_from_before_a_fork_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Producer(MemoryStream("shop"), QUICK) as sends:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ProducerError, match="'shop' was made before this process was forked"):
            sends.put({}, "key")


def test_the_largest_record_is_taken() -> None:
    stream = FakeKinesis()
    with producer(stream) as sends:
        sends.put(b"x" * (2**20 - 3), "key", str(ALL - 1))
        sends.put(b"", "k" * 256, "0")
    assert len(stream.user_records) == 2


def test_options_name_every_fault_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Options(linger=-1, connections=0, compression="lz4")  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "linger is -1; give a number from 0 to 3,600.",
        "connections is 0; give a number from 1 to 256.",
        "compression is 'lz4'; give 'gzip', 'zstd' or None.",
    ]
