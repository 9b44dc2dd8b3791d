"""The row path on one full Lambda event: throughput, time by stage, memory, import time.

    python benchmarks/row_path.py [runs]

The event is as large as Lambda sends: 5.8 MB of JSON around 87 KPL aggregates of 155 documents of
about 309 bytes (12 fields, a record, an array, a timestamp, a decimal). It goes through the real
flow into a store in memory, Parquet alone. Every run checks that all documents became rows.
"""

import base64
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from functools import partial

import msgspec
import pyarrow as pa

from pipeline.adapters.store import MemoryStore
from pipeline.core.dataset import check_together, parse_dataset
from pipeline.core.events import read_kinesis_event
from pipeline.core.kpl import UserRecord, aggregate
from pipeline.core.records import Bounds
from pipeline.core.routing import Router
from pipeline.flow import System, process
from pipeline.session import Session, patience

RECORDS, PER_RECORD = 87, 155
RUNS = 7
SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "user", "type": "long"},
        {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["view", "buy"]}},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "url", "type": "string"},
        {"name": "referrer", "type": ["null", "string"]},
        {"name": "score", "type": "double"},
        {"name": "count", "type": "int", "minimum": 0},
        {"name": "ok", "type": "boolean", "default": True},
        {"name": "device", "type": {"type": "record", "name": "D", "fields": [
            {"name": "os", "type": "string"}, {"name": "width", "type": "int"}]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}  # fmt: skip


def document(chance: random.Random) -> bytes:
    """Make one document."""
    return msgspec.json.encode(
        {
            "id": f"{chance.getrandbits(32):08x}-1a2b-4c3d-8e4f-{chance.getrandbits(48):012x}",
            "at": f"2026-11-23T09:{chance.randrange(60):02}:00.{chance.randrange(10**6):06}Z",
            "user": chance.randrange(10**9),
            "kind": chance.choice(["view", "buy"]),
            "amount": f"{chance.randrange(10**6) / 100:.2f}",
            "url": f"https://shop.example/products/{chance.randrange(10**6)}",
            "referrer": None if chance.random() < 0.5 else "https://search.example/",
            "score": chance.random(),
            "count": chance.randrange(100),
            "device": {"os": "Android", "width": 1080},
            "tags": ["new", "sale"],
        }
    )


def full_event() -> dict[str, object]:
    """Make one event as Lambda delivers it."""
    chance = random.Random(1)
    items = []
    for number in range(RECORDS):
        data = aggregate(UserRecord("a", document(chance)) for _ in range(PER_RECORD))
        sequence = str(10**55 + number)
        items.append(
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "a",
                    "sequenceNumber": sequence,
                    "data": base64.b64encode(data).decode(),
                    "approximateArrivalTimestamp": 1_795_426_200.25,
                },
                "eventSource": "aws:kinesis",
                "eventID": f"shardId-000000000000:{sequence}",
                "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/events",
            }
        )
    return {"Records": items}


def main() -> None:
    """Measure, and print one table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    dataset = parse_dataset("events", {1: json.dumps(SCHEMA)}, 'partition_by = ["date(at)"]')
    system = System(Router(check_together([dataset])), Bounds(), MemoryStore(), MemoryStore())
    event = full_event()
    seconds, stages = [], []
    for run in range(runs + 1):
        start = time.perf_counter()
        batch = read_kinesis_event(event)
        report = Session(system, patience(60), 0).run(partial(process, batch))
        assert report.total("rows") == RECORDS * PER_RECORD
        if run:  # the first warms up
            seconds.append(time.perf_counter() - start)
            stages.append(report.milliseconds)
    median = statistics.median(seconds)
    raw, documents = report.bytes_in, report.total("rows")
    imports = [_import_seconds("pipeline.handlers") for _ in range(5)]
    libraries = [
        _import_seconds(
            "pyarrow.parquet, pyarrow.csv, fastavro, msgspec, pybase64, aws_kinesis_agg"
        )
        for _ in range(5)
    ]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, pyarrow {pa.__version__}\n"
    )
    print("| figure | median | min | max |\n|---|---|---|---|")
    print(
        f"| event, ms | {median * 1e3:.0f} | {min(seconds) * 1e3:.0f} | {max(seconds) * 1e3:.0f} |"
    )
    print(f"| MB/s of raw data | {raw / median / 1e6:.1f} | | |")
    print(f"| documents/s | {documents / median:,.0f} | | |")
    for stage in stages[0]:
        times = [of[stage] for of in stages]
        print(
            f"| {stage}, ms | {statistics.median(times):.1f} | {min(times):.1f} | {max(times):.1f} |"
        )
    print(
        f"| peak memory, MB | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} | | |"
    )
    print(f"| import pipeline.handlers, ms | {statistics.median(imports) * 1e3:.0f} | | |")
    print(f"| import its libraries, ms | {statistics.median(libraries) * 1e3:.0f} | | |")


def _import_seconds(modules: str) -> float:
    """Time an import in a fresh interpreter, without the interpreter's own start."""
    code = f"import time; s = time.perf_counter(); import {modules}; print(time.perf_counter() - s)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(answer.stdout)


if __name__ == "__main__":
    main()
