"""How fast the producer aggregates, beside aws_kinesis_agg, the one other aggregator in Python.

    python benchmarks/producer.py [--records 50000] [--rounds 7]

Everything runs in one process on one core, and without a network. Three things are measured:

* `aggregate`: the same records into the same aggregates of 51,200 bytes. Both write the same bytes.
* `route`: the same for 4 shards, each record to the shard of its key. aws_kinesis_agg knows no
  shards: beside it is what an application would write around it.
* `put`: the whole producer, from `put` to PutRecords of a stream that stores nothing, with its
  threads, its accounting and its order; there is nothing to hold against it.

The format requires an MD5 of every aggregate. For records of 1,000 bytes that alone is more than
half of our time, and a quarter of aws_kinesis_agg's.

Runs alternate, so that both meet the same machine; the best of each counts. What both wrote is
decoded by aws_kinesis_agg and by the pipeline, and has to be the records that were put.
"""

import argparse
import base64
import bisect
import hashlib
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.adapters.aws.kinesis import PutRecord, RecordNotStored, Shard, Stored
from pipeline.core.events import event_item
from pipeline.core.kpl import deaggregate, pack_aggregate
from pipeline.core.records import Batch, StreamRecord
from pipeline.measure.events import SHARD, STREAM
from pipeline.producer import Options, Producer

from aws_kinesis_agg.deaggregator import deaggregate_records  # isort: skip - its folder on the path,
import aws_kinesis_agg.aggregator as reference  # isort: skip - which its aggregator needs

LIMIT = 51_200
SHARDS = 4
LAST_HASH_KEYS = [(number + 1) * 2**128 // SHARDS - 1 for number in range(SHARDS)]
Records = Sequence[tuple[str, bytes, None]]
Made = Iterator[tuple[str, bytes]]
"""Stream records: partition key and data."""
Run = Callable[[Records], Made]


def make(count: int, size: int, keys: int) -> Records:
    """Make records of about `size` random bytes under so many partition keys."""
    chance = random.Random(7)
    return [
        (
            f"{number * 2_654_435_761 % keys:08x}",  # odd: no two are the same before `keys`
            chance.randbytes(chance.randint(size * 4 // 5, size * 6 // 5)),
            None,
        )
        for number in range(count)
    ]


# ------------------------------------------------------------------------------------ aggregate


def our_aggregates(records: Records) -> Made:
    waiting = deque(records)
    while waiting:
        count, data = pack_aggregate(waiting, LIMIT)
        for _ in range(count):
            waiting.popleft()
        yield "a", data


def their_aggregates(records: Records) -> Made:
    aggregator = reference.RecordAggregator(LIMIT)
    for key, data, _ in records:
        full = aggregator.add_user_record(key, data)
        if full:
            yield "a", full.get_contents()[2]
    yield "a", aggregator.clear_and_get().get_contents()[2]


# ---------------------------------------------------------------------------------------- route


def shard_of(key: str) -> int:
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
    return bisect.bisect_left(LAST_HASH_KEYS, int.from_bytes(digest))


def our_routes(records: Records) -> Made:
    waiting: list[list[tuple[str, bytes, None]]] = [[] for _ in range(SHARDS)]
    for record in records:
        waiting[shard_of(record[0])].append(record)
    for shard in waiting:
        yield from our_aggregates(shard)


def their_routes(records: Records) -> Made:
    aggregators = [reference.RecordAggregator(LIMIT) for _ in range(SHARDS)]
    for key, data, _ in records:
        full = aggregators[shard_of(key)].add_user_record(key, data)
        if full:
            yield "a", full.get_contents()[2]
    for aggregator in aggregators:
        yield "a", aggregator.clear_and_get().get_contents()[2]


# ------------------------------------------------------------------------------------------ put


class Nowhere:
    """A stream that stores nothing."""

    stream = "nowhere"

    def __init__(self) -> None:
        self.made: list[tuple[str, bytes]] = []

    def list_shards(self) -> list[Shard]:
        """Return four shards of equal size."""
        first = [0, *(last + 1 for last in LAST_HASH_KEYS)]
        return [
            Shard(f"shardId-{number:012}", (), first[number], last, closed=False)
            for number, last in enumerate(LAST_HASH_KEYS)
        ]

    def put_records(self, records: Sequence[PutRecord]) -> list[Stored | RecordNotStored]:
        """Say that all is stored, where it belongs."""
        self.made += [(record.partition_key, record.data) for record in records]
        shards = (
            bisect.bisect_left(LAST_HASH_KEYS, int(record.explicit_hash_key or 0))
            for record in records
        )
        return [Stored(f"shardId-{shard:012}", "1") for shard in shards]


def our_puts(records: Records) -> Made:
    stream = Nowhere()
    with Producer(stream, Options(connections=1)) as producer:
        for key, data, _ in records:
            producer.put(data, key)
    return iter(stream.made)


# ------------------------------------------------------------------------------------- measuring


def decoded(made: Made) -> list[tuple[str | None, bytes]]:
    records = (StreamRecord(str(number), key, 0, data) for number, (key, data) in enumerate(made))
    chunk, rejects = deaggregate(Batch("stream", "shard", tuple(records)))
    assert not rejects
    return list(zip(chunk.provenance.partition_key, chunk.payloads, strict=True))


def check(records: Records, runs: Sequence[Run]) -> None:
    """Assert that each run writes aggregates within the limit that hold exactly the records."""
    put = sorted((key, data) for key, data, _ in records)
    for run in runs:
        assert all(len(data) <= LIMIT for _, data in run(records))
        assert sorted((key or "", data) for key, data in decoded(run(records))) == put
    if len({key for key, _, _ in records}) == len(records):
        # Of keys that come again, aws_kinesis_agg reckons more bytes than it writes.
        assert list(our_aggregates(records)) == list(their_aggregates(records))
    events = deaggregate_records(
        [event_item_of(key, data) for key, data in our_aggregates(records)]
    )
    assert [base64.b64decode(event["kinesis"]["data"]) for event in events] == [
        data for _, data, _ in records
    ]


def event_item_of(key: str, data: bytes) -> dict[str, Any]:
    return event_item(StreamRecord("1", key, 0, data), STREAM, SHARD)


def best(records: Records, rounds: int, runs: Sequence[Run]) -> list[float]:
    """Return the fewest seconds of processor time of each, which take turns."""
    seconds = [float("inf")] * len(runs)
    for _ in range(rounds):
        for number, run in enumerate(runs):
            start = time.process_time()
            deque(run(records), maxlen=0)
            seconds[number] = min(seconds[number], time.process_time() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print("one core; microseconds a record, and MB/s of payload")
    print(f"{'':34}{'ours':>18}{'aws_kinesis_agg':>20}{'ratio':>9}")
    for size, keys in ((100, 2**32), (300, 2**32), (300, 500), (1_000, 2**32)):
        records = make(options.records, size, keys)
        print(f"{size:,} bytes, {'each its own key' if keys > 10**6 else f'{keys} keys'}")
        check(records, (our_aggregates, their_aggregates, our_routes, their_routes, our_puts))
        megabytes = sum(len(data) for _, data, _ in records) / 1e6

        def cell(seconds: float, count: int = len(records), size: float = megabytes) -> str:
            return f"{seconds / count * 1e6:.2f} us {size / seconds:4.0f} MB/s"

        for name, ours, reference_run in (
            ("aggregate", our_aggregates, their_aggregates),
            ("route to 4 shards, aggregate", our_routes, their_routes),
        ):
            our_seconds, other_seconds = best(records, options.rounds, (ours, reference_run))
            print(
                f"  {name:32}{cell(our_seconds):>18}{cell(other_seconds):>20}{other_seconds / our_seconds:>8.1f}x"
            )
        (our_seconds,) = best(records, options.rounds, (our_puts,))
        print(f"  {'put: the whole producer':32}{cell(our_seconds):>18}")


if __name__ == "__main__":
    main()
