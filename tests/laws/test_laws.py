"""The laws (docs/glossary.md has their words), on the real handler and the real stations."""

import gzip
import itertools
import json
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    ARN,
    ARRIVED,
    FIRST,
    ORDERS,
    Context,
    FaultyStore,
    Function,
    Stored,
    as_json,
    deliver,
    kinesis_event,
    letter_payload,
    order,
    sequence_number,
)

from pipeline import handlers
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.telemetry import METRICS, Telemetry
from pipeline.adapters.writer import ConcurrentWriter
from pipeline.attempt import Attempt
from pipeline.core.errors import (
    DeadlineExceeded,
    EventError,
    SettingsError,
    StoreRefused,
    StoreUnavailable,
)
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.magic import KPL_MAGIC
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline

GOOD = as_json(order())


def aggregated(*payloads: bytes) -> bytes:
    return aggregate(
        UserRecord(f"key {number}", payload) for number, payload in enumerate(payloads)
    )


def sealed(body: bytes) -> bytes:
    import hashlib

    return KPL_MAGIC + body + hashlib.md5(body).digest()


def deep(levels: int) -> bytes:
    return GOOD[:-1] + b',"x":' + b"[" * levels + b"]" * levels + b"}"


LATE = f"{ARRIVED - timedelta(days=31):%Y-%m-%dT%H:%M:%SZ}"
# The payload of a stream record between good ones, its reason, and its path.
BROKEN: dict[str, tuple[bytes, str, str]] = {
    "wrong MD5": (aggregated(GOOD)[:-1] + b"?", "kpl_checksum", "$"),
    "truncated": (aggregated(GOOD)[:-20], "kpl_truncated", "$"),
    "magic alone": (KPL_MAGIC, "kpl_truncated", "$"),
    "no protobuf": (sealed(b"\xff" * 9), "kpl_protobuf", "$"),
    "no records": (sealed(b""), "kpl_no_records", "$"),
    "empty": (b"", "empty_record", "$"),
    "not UTF-8": (GOOD[:-1] + b',"x":"\xff"}', "not_utf8", "$"),
    "not JSON": (b"{'a': 1}", "not_json", "$"),
    "not an object": (b"[1]", "not_object", "$"),
    "NaN": (GOOD[:-1] + b',"weight_kg":NaN}', "not_json", "$"),
    "Infinity": (GOOD[:-1] + b',"x":Infinity}', "not_json", "$"),
    "100,000 levels": (deep(100_000), "too_deep", "$"),
    "out of range": (
        as_json(order(customer={"id": 1, "loyalty_points": 2**31})),
        "out_of_range",
        "$.customer.loyalty_points",
    ),
    "number too large": (GOOD[:-1] + b',"weight_kg":1e400}', "out_of_range", "$.weight_kg"),
    "too large": (as_json(order(coupon="x" * 2**20)), "document_too_large", "$"),
    "required": (as_json(order(customer={})), "missing_field", "$.customer.id"),
    "wrong type": (as_json(order(gift="yes")), "wrong_type", "$.gift"),
    "unknown symbol": (as_json(order(status="lost")), "unknown_symbol", "$.status"),
    "rule broken": (
        as_json(
            order(
                items=[
                    {"sku": "a", "quantity": 1, "price": 1},
                    {"sku": "b", "quantity": 0, "price": 1},
                ]
            )
        ),
        "below_minimum",
        "$.items[1].quantity",
    ),
    "decimal": (as_json(order(total="1.005")), "decimal_misfit", "$.total"),
    "no zone": (as_json(order(placed_at="2026-11-23T09:00:00")), "bad_format", "$.placed_at"),
    "corrupt gzip": (gzip.compress(GOOD, mtime=0)[:-9], "corrupt_compression", "$"),
    "corrupt zstd": (pa.compress(GOOD, "zstd", asbytes=True)[:-4], "corrupt_compression", "$"),
    "gzip past the limit": (
        gzip.compress(b" " * (64 * 2**20 + 1), mtime=0),
        "unpacked_too_large",
        "$",
    ),
    "event time": (as_json(order(placed_at=LATE)), "outside_window", "$.placed_at"),
    "no dataset": (b'{"@stream":"nobody\'s"}', "no_dataset", "$"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_one_dead_letter_and_the_others_are_rows(
    function: Function, name: str
) -> None:
    """Law 3: bad data is a dead letter with its bytes, reason and path, and fails nothing else."""
    payload, reason, path = BROKEN[name]
    assert function(kinesis_event([GOOD, payload, aggregated(GOOD, GOOD)])) == {
        "batchItemFailures": []
    }
    (letter,) = function.stored.letters
    assert (letter["reason"], letter["path"]) == (reason, path)
    assert letter_payload(letter) == payload
    assert letter["sequence_number"] == sequence_number(1)
    assert len(function.stored.rows) == 3


def test_a_user_record_with_a_bad_key_index_costs_its_siblings_nothing(function: Function) -> None:
    """Law 3: in an aggregate, a broken user record is a dead letter and its siblings are rows."""

    def record(index: int) -> bytes:
        inner = b"\x08" + bytes([index]) + b"\x1a" + _varint(len(GOOD)) + GOOD
        return b"\x1a" + _varint(len(inner)) + inner

    function(kinesis_event([sealed(b"\x0a\x01k" + record(0) + record(5) + record(0))]))
    (letter,) = function.stored.letters
    assert (letter["reason"], letter["sub_sequence_number"]) == ("kpl_key_index", 1)
    assert letter_payload(letter) == GOOD
    assert [row["_sub_sequence_number"] for row in function.stored.rows] == [0, 2]


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80, number >> 7])


@pytest.mark.parametrize(
    "event",
    [
        None, {}, {"Records": []}, {"Records": [{"eventSource": "aws:s3", "s3": {}}]},
        {"Records": [{"Sns": {"Message": "{}"}}]},
        {"Records": kinesis_event([GOOD])["Records"]
                    + kinesis_event([GOOD], start=1, shard="shardId-000000000009")["Records"]},
        {"Records": kinesis_event([GOOD])["Records"] * 2},
    ],
)  # fmt: skip
def test_an_event_that_is_not_one_shards_is_a_clear_error(function: Function, event: Any) -> None:
    """An event that is not one shard's is refused in a sentence, and nothing is stored."""
    with pytest.raises(EventError) as error:
        function(event)
    assert str(error.value).endswith(".")
    assert not function.stored.objects


def test_an_absent_partition_key_and_a_consumers_arn_change_no_identity() -> None:
    """Law 6: identity depends on neither the partition key nor the consumer."""
    plain = deliver(kinesis_event([GOOD, aggregated(GOOD)]), [ORDERS])
    consumer = kinesis_event(
        [GOOD, aggregated(GOOD)], arn=f"{ARN}/consumer/lambda:1700000000", partition_key=None
    )
    assert deliver(consumer, [ORDERS]).objects == plain.objects


# ------------------------------------------------------------------------- mixtures and replays

PIECES = st.lists(
    st.sampled_from(
        [
            *(payload for payload, _, _ in BROKEN.values() if len(payload) < 10_000),
            GOOD,
            as_json(order(country="FR")),
            gzip.compress(GOOD + b"\n" + GOOD + b"\n{", mtime=0),
            GOOD + b"\r\n\r\n" + as_json(order(total="x")),
            json.dumps(order(), indent=2).encode(),
            aggregated(GOOD, b"", gzip.compress(GOOD, mtime=0), b"[", as_json(order(country="SE"))),
        ]
    ),
    min_size=1,
    max_size=8,
)


def identities(stored: Stored) -> Counter[Any]:
    fields = ("sequence_number", "sub_sequence_number", "document")
    found = Counter(tuple(row[f"_{field}"] for field in fields) for row in stored.rows)
    return found + Counter(tuple(letter[field] for field in fields) for letter in stored.letters)


@given(PIECES)
def test_every_document_is_stored_once_and_a_replay_changes_nothing(pieces: list[bytes]) -> None:
    """Laws 2 and 5: each document is stored once, and an identical replay writes the same bytes."""
    event = kinesis_event(pieces)
    stored = deliver(event, [ORDERS])
    assert set(identities(stored).values()) == {1}
    before = stored.objects
    deliver(event, [ORDERS], stored)
    assert stored.objects == before


@given(PIECES, st.integers(1, 3_000), st.data())
def test_no_verdict_depends_on_the_cut(
    pieces: list[bytes], part_bytes: int, data: st.DataObject
) -> None:
    """Law 8: however a batch is cut, into parts or into batches, each verdict is the same."""
    whole = deliver(kinesis_event(pieces), [ORDERS])
    parts = deliver(kinesis_event(pieces), [ORDERS], limits=Limits(part_bytes=part_bytes))
    assert parts.verdicts == whole.verdicts
    cut = data.draw(st.integers(1, len(pieces)))
    recut = deliver(kinesis_event(pieces[:cut]), [ORDERS])
    if pieces[cut:]:
        deliver(kinesis_event(pieces[cut:], start=cut), [ORDERS], recut)
    assert recut.verdicts == whole.verdicts


@pytest.mark.parametrize("failing", range(1, 5))
def test_after_a_failure_at_any_write_a_replay_gives_what_an_undisturbed_run_gives(
    function: Function, failing: int
) -> None:
    """Law 4: a batch that failed is reported by its first sequence number and replayed whole."""
    event = kinesis_event([aggregated(GOOD, as_json(order(country="FR")), b"["), GOOD])
    undisturbed = deliver(event, [ORDERS]).objects

    def mishap(number: int) -> None:
        if number == failing:
            raise StoreRefused("The store refuses; grant it.")

    function.stored = Stored(FaultyStore(mishap), function.stored.dead_letters)
    response = function(event)
    assert response == {"batchItemFailures": [{"itemIdentifier": str(FIRST)}]}
    assert function(event) == {"batchItemFailures": []}
    assert function.stored.objects == undisturbed


# ----------------------------------------------------------------------------- failures of the store


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_store_that_is_down_for_one_attempt_stores(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    """Law 4: a failure that a retry overcomes does not fail the batch."""

    def mishap(number: int) -> None:
        if number == 1:
            raise StoreUnavailable("The store is busy.")

    function.stored = Stored(FaultyStore(mishap))
    assert function(kinesis_event([GOOD])) == {"batchItemFailures": []}
    assert len(function.stored.rows) == 1
    assert lines(capsys)[0]["Retries"] == 1


def test_a_store_that_stays_down_fails_the_batch_in_time_from_its_first_sequence_number(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    """Law 4: an outage fails the whole batch, in time and with a metric."""

    def mishap(_: int) -> None:
        raise StoreUnavailable("The store is down.")

    function.stored = Stored(FaultyStore(mishap))
    start = time.monotonic()
    response = function(kinesis_event([GOOD, GOOD]), 1.0)
    assert time.monotonic() - start < 1.0
    assert response == {"batchItemFailures": [{"itemIdentifier": str(FIRST)}]}
    log, metrics = lines(capsys)
    assert (log["outcome"], log["BatchFailed"], metrics["BatchFailed"]) == ("store_failed", 1, 1)
    assert "The store is down." in log["message"]


def test_a_store_that_is_slow_without_an_error_raises_in_time(function: Function) -> None:
    """Law 4: a batch that is too slow without an error raises, so that Lambda bisects it."""
    function.stored = Stored(FaultyStore(lambda _: time.sleep(2)))
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        function(kinesis_event([GOOD]), 1.0)
    assert time.monotonic() - start < 1.0


def test_an_invocation_that_lambda_is_about_to_end_says_so_before(
    function: Function, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 4: no single step can be ended, but one that takes too long is named while it runs."""
    said = threading.Event()
    about_to_end = Telemetry.about_to_end

    def say(*args: Any) -> None:
        about_to_end(*args)
        said.set()

    def convert(*_: Any, **__: Any) -> None:
        assert said.wait(30)
        raise DeadlineExceeded("Too late.")

    monkeypatch.setattr(Telemetry, "about_to_end", say)
    monkeypatch.setattr("pipeline.flow.convert", convert)
    with pytest.raises(DeadlineExceeded):
        function(kinesis_event([GOOD]), 0.5)
    log, *_ = lines(capsys)
    assert (log["outcome"], log["level"]) == ("about_to_end", "ERROR")
    sentence = log["message"].replace("0.0 s", "0.1 s")  # where the machine is busy
    assert sentence.startswith(
        "There are 0.1 s left, and the invocation is still in the phase convert: Lambda is about "
        "to end it; make batches smaller, or give the function more time or memory. It is a single "
        "stream record ("
    )


def test_wrong_settings_stop_the_start_with_every_fault_named(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 4: wrong settings stop the start, and the error names all of them."""
    monkeypatch.setenv("PIPELINE_OUTPUT", "s3:/bucket")
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", "")
    monkeypatch.setenv("PIPELINE_MAX_DEPTH", "0")
    with pytest.raises(SettingsError) as error:
        function(kinesis_event([GOOD]))
    for name in ("PIPELINE_OUTPUT", "PIPELINE_DEAD_LETTERS", "PIPELINE_MAX_DEPTH"):
        assert name in str(error.value)


def test_neither_store_may_lie_inside_the_other(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 13: the stores are apart, so that neither can replace an object of the other."""
    monkeypatch.setenv("PIPELINE_DEAD_LETTERS", "file:///lake/dead")
    with pytest.raises(SettingsError, match="inside"):
        function(kinesis_event([GOOD]))


# ------------------------------------------------------------------------------ order of effects


class LoggingStore(MemoryStore):
    """A store that logs when a write begins, and when it is acknowledged.

    An object is named by its store, its folder and its part; `mishap` is called in between.
    """

    def __init__(self, name: str, log: list[str], mishap: Callable[[], object]) -> None:
        super().__init__(name)
        self.log = log
        self.mishap = mishap

    def put(self, key: str, body: bytes) -> None:
        folder, _, file = key.rpartition("/")
        part = re.search(r"-(\d)\.", file)
        name = f"{self.uri.removeprefix('memory://')} {folder} part {part[1] if part else 0}"
        self.log.append(f"begun {name}")
        self.mishap()
        super().put(key, body)
        self.log.append(f"acknowledged {name}")


def effects(
    event: Any, *, threads: int, limits: Limits, mishap: Callable[[], object] = lambda: None
) -> list[str]:
    """Return what the handler does to the outside, in order: writes, its log, its response."""
    log: list[str] = []
    stores = LoggingStore("lake", log, mishap), LoggingStore("dead", log, mishap)
    pipeline = Pipeline(Router([ORDERS]), limits, *stores)
    telemetry = Telemetry(
        lambda line: log.append("metrics" if "_aws" in line else "log"), time.time
    )
    writing = partial(ConcurrentWriter, concurrency=threads)
    opened = partial(Attempt, writing=writing)
    response = handlers.respond(event, Context(20), pipeline, 1.0, telemetry, opened)
    failed = [item["itemIdentifier"] for item in response["batchItemFailures"]]
    return [*log, f"response {failed}"]


# Two stream records, each a part of its own: rows of two partitions, and two dead letters.
FIRST_RECORD = (GOOD, as_json(order(country="FR")), as_json(order(total="x")))
TWO_PARTS = kinesis_event([aggregated(*FIRST_RECORD), aggregated(b"[", GOOD)])
BY_RECORD = Limits(part_bytes=sum(map(len, FIRST_RECORD)))
IN_ORDER = [
    "lake orders/parquet/date=2026-11-23/by_country=DE part 0",
    "lake orders/csv/date=2026-11-23/by_country=DE part 0",
    "lake orders/parquet/date=2026-11-23/by_country=FR part 0",
    "lake orders/csv/date=2026-11-23/by_country=FR part 0",
    "dead orders/date=2026-11-23/hour=09 part 0",
    "lake orders/parquet/date=2026-11-23/by_country=DE part 1",
    "lake orders/csv/date=2026-11-23/by_country=DE part 1",
    "dead unrouted/date=2026-11-23/hour=09 part 1",
]


def test_effects_come_in_one_order_and_the_response_last() -> None:
    """Laws 1 and 5: rows, then dead letters, part by part; then the log; then the response."""
    log = effects(TWO_PARTS, threads=1, limits=BY_RECORD)
    writes = [f"{step} {name}" for name in IN_ORDER for step in ("begun", "acknowledged")]
    assert log == [*writes, "log", *["metrics"] * log.count("metrics"), "response []"]


def test_nothing_is_acknowledged_before_it_is_stored() -> None:
    """Law 1: however slow a store is, no write is open when the handler reports success."""
    log = effects(TWO_PARTS, threads=8, limits=BY_RECORD, mishap=lambda: time.sleep(0.05))
    stored = log[: log.index("log")]
    assert Counter(stored) == Counter(
        f"{step} {name}" for name in IN_ORDER for step in ("begun", "acknowledged")
    )
    assert log[-1] == "response []"


@pytest.mark.parametrize("failing", range(1, 9))
def test_after_a_write_that_failed_nothing_is_begun_and_the_batch_is_not_acknowledged(
    failing: int,
) -> None:
    """Laws 1 and 4: what was stored before a failure is not reported, and nothing follows it."""
    numbers = itertools.count(1)

    def mishap() -> None:
        if next(numbers) == failing:
            raise StoreRefused("The store refuses; grant it.")

    log = effects(TWO_PARTS, threads=1, limits=BY_RECORD, mishap=mishap)
    writes = [f"{step} {name}" for name in IN_ORDER for step in ("begun", "acknowledged")]
    assert log == [*writes[: 2 * failing - 1], "log", "metrics", f"response ['{FIRST}']"]


# ------------------------------------------------------------------------------------ telemetry


def test_every_metric_is_declared_and_each_record_has_its_dimensions(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every metric that is emitted is declared, with its unit, in a record for its dimensions."""
    function(kinesis_event([GOOD, as_json(order(total="x")), b"{"]))
    _, *records = lines(capsys)
    dimensions = []
    for record in records:
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        (names,) = directive["Dimensions"]
        dimensions.append(tuple(record[name] for name in names))
        for metric in directive["Metrics"]:
            assert metric["Unit"] == METRICS[metric["Name"]].unit
            assert metric["Name"] in record
    assert Counter(dimensions) == Counter(
        [
            ("shop",),
            ("shop", "orders"),
            ("shop", "orders", "bad_format"),
            ("shop", "unrouted"),
            ("shop", "unrouted", "not_json"),
        ]
    )


def test_a_batch_of_too_many_partitions_is_named_as_one(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that is too slow says how many partitions it falls into, as a metric and in words."""
    function.stored = Stored(FaultyStore(lambda _: time.sleep(0.1)))
    codes = [f"{first}{second}" for first in "ABCDEF" for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    documents = [as_json(order(country=code)) for code in codes]
    with pytest.raises(DeadlineExceeded) as error:
        function(kinesis_event([b"\n".join(documents), GOOD]), 1.0)
    log, of_stream, of_dataset = lines(capsys)
    assert log["message"] == str(error.value)
    assert log["message"].endswith(
        " The 157 rows of dataset orders fall into 156 partitions, and each of these is an object "
        "in every format; a coarser partition_by makes fewer. Lambda delivers its 2 stream records "
        "again, in halves."
    )
    assert (log["outcome"], log["level"], log["Partitions"]) == ("too_slow", "ERROR", 156)
    assert (of_stream["Stream"], of_stream["Partitions"]) == ("shop", 156)
    assert (of_dataset["Dataset"], of_dataset["Partitions"]) == ("orders", 156)
    assert of_dataset["Stream"] == "shop"


def test_the_partitions_of_what_is_stored_are_counted(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each partition is counted once, whatever formats it is stored in."""
    function(kinesis_event([GOOD, as_json(order(country="FR")), GOOD, b"{"]))
    log, _, of_dataset, *_ = lines(capsys)
    assert (log["Partitions"], log["Objects"]) == (2, 5)
    assert (of_dataset["Dataset"], of_dataset["Partitions"]) == ("orders", 2)
    assert of_dataset["Stream"] == "shop"  # a dataset of one name may be in two streams


SECRET = "do-not-log-me"


@pytest.mark.parametrize(
    "payload",
    [
        as_json(order(coupon=SECRET)), as_json(order(total=SECRET)), SECRET.encode(),
        as_json(order(placed_at=SECRET)), as_json({"@stream": SECRET}),
        zlib.compress(SECRET.encode()), aggregated(SECRET.encode())[:-1] + b"x",
    ],
)  # fmt: skip
def test_no_payload_is_logged(
    function: Function, capfd: pytest.CaptureFixture[str], payload: bytes
) -> None:
    """Law 9: no payload reaches the log or stderr."""
    function(kinesis_event([payload]))
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def test_no_payload_is_logged_even_by_an_error_nobody_foresaw(
    function: Function, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 9: an unexpected error is logged and raised without its text, which may hold a payload."""

    def fails(*_: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr("pipeline.attempt.process", fails)
    with pytest.raises(handlers.UnexpectedError) as error:
        function(kinesis_event([GOOD]))
    out, err = capfd.readouterr()
    assert SECRET not in out + err + str(error.value)
    assert error.value.__suppress_context__
