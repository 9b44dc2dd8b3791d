"""The way to S3: real clients, behind TLS, to a store as far away and as slow as is stated."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from obstore.store import S3Store as FastClient

from benchmarks.corpora import Corpus
from benchmarks.report import Plan, Section, Table, ms, times
from benchmarks.tls_store import running
from pipeline.adapters.aws.fast_s3 import FastS3Store
from pipeline.adapters.aws.s3 import S3Store, s3_client
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.store import ObjectStore
from pipeline.bucket_settings import NO_DEMANDS
from pipeline.core.records import Limits
from pipeline.core.routing import Router
from pipeline.flow import Pipeline
from pipeline.measure.invocation import invoke
from pipeline.measure.runs import Spread, interleaved

ROUND_TRIP, PUT = 0.002, 0.02
"""Seconds to a near store, which has little else to do."""
SLOW_PUT = 0.1
"""Seconds that S3's guide expects of a small object, at least."""
NEAR = ("typical", "10 partitions", "100 partitions")
FAR = ("typical", "100 partitions", "250 partitions")
_SIZES = {"11 KB": 11_000, "500 KB": 500_000}
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "t" * 400, "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
Stores = dict[str, Callable[[], ObjectStore]]


def runs(plan: Plan) -> int:
    return (len(NEAR) * 3 + len(FAR) * 2 + len(_SIZES) * 2) * (plan.rounds + 1)


def measure(plan: Plan, corpora: dict[str, Corpus]) -> Section:
    """Time single PUTs and whole events, through each client."""
    with running(ROUND_TRIP, PUT) as (url, certificate), _environment(url, certificate):
        stores = _stores(url)
        puts = interleaved(
            {
                f"{client}, {size}": _put(make(), size)
                for client, make in stores.items()
                for size in _SIZES
            },
            plan.rounds,
            advance=plan.advance,
        )
        near = interleaved(
            {
                f"{client}, {name}": _event(corpora[name], make())
                for client, make in {"memory": MemoryStore, **stores}.items()
                for name in NEAR
            },
            plan.rounds,
            advance=plan.advance,
        )
    with running(ROUND_TRIP, SLOW_PUT) as (url, certificate), _environment(url, certificate):
        far = interleaved(
            {
                f"{client}, {name}": _event(corpora[name], make())
                for client, make in _stores(url).items()
                for name in FAR
            },
            plan.rounds,
            clock=time.perf_counter,
            advance=plan.advance,
        )
    tables = [_puts(puts), _near(near), _far(far, corpora)]
    return Section("The way to S3", tables, _figures(puts, near, far, corpora))


@contextmanager
def _environment(url: str, certificate: Path) -> Iterator[None]:
    """Point boto3 at the store."""
    before = dict(os.environ)
    os.environ.update(_CREDENTIALS, AWS_ENDPOINT_URL=url, AWS_CA_BUNDLE=str(certificate))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _stores(url: str) -> Stores:
    # Not by `open_store`: whose certificate is not everybody's, is boto3's alone.
    client = FastClient(
        "bucket",
        config={
            "access_key_id": _CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "secret_access_key": _CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            "session_token": _CREDENTIALS["AWS_SESSION_TOKEN"],
            "region": "eu-central-1",
            "endpoint": url,
            "virtual_hosted_style_request": False,
            "checksum_algorithm": "CRC64NVME",
        },
        client_options={"allow_invalid_certificates": True},
        retry_config={"max_retries": 0},
    )
    by_boto3 = S3Store("bucket", "lake", s3_client(concurrency=32))
    return {
        "boto3": lambda: by_boto3,
        "fast": lambda: FastS3Store(client, "bucket", "lake", NO_DEMANDS, _refuse),
    }


def _refuse() -> S3Store:
    message = "the fast client did not write"
    raise AssertionError(message)


def _put(store: ObjectStore, size: str) -> Callable[[], None]:
    body = random.Random(1).randbytes(_SIZES[size])
    return lambda: store.put("events/parquet/date=2026-11-23/one.parquet", body)


def _event(corpus: Corpus, store: ObjectStore) -> Callable[[], Any]:
    pipeline = Pipeline(Router(corpus.datasets), Limits(), store, MemoryStore())

    def run() -> None:
        invocation = invoke(corpus.event, pipeline)
        assert (invocation.documents, invocation.rows) == (corpus.documents, corpus.rows)

    return run


Spreads = dict[str, Spread]


def _puts(puts: Spreads) -> Table:
    rows = []
    for size in _SIZES:
        boto3, fast = puts[f"boto3, {size}"], puts[f"fast, {size}"]
        rows.append([size, ms(boto3), ms(fast), times(fast.median / boto3.median)])
    note = (
        "Processor time of one PUT, ms, behind TLS on loopback. Threads of the clients are in it, "
        "the server is not."
    )
    return Table(["body", "boto3", "fast", "fast to boto3"], rows, note)


def _near(near: Spreads) -> Table:
    rows = []
    for name in NEAR:
        memory = near[f"memory, {name}"]
        cells = [ms(memory)]
        for client in ("boto3", "fast"):
            spread = near[f"{client}, {name}"]
            cells += [ms(spread), times(spread.median / memory.median)]
        rows.append([name, *cells])
    note = (
        f"Processor time of a whole event, ms; the store is {ROUND_TRIP * 1e3:.0f} ms away and takes "
        f"{PUT * 1e3:.0f} ms."
    )
    head = ["corpus", "memory", "boto3", "to memory", "fast", "to memory"]
    return Table(head, rows, note)


def _far(far: Spreads, corpora: dict[str, Corpus]) -> Table:
    rows = []
    for name in FAR:
        cells = []
        for client in ("boto3", "fast"):
            spread = far[f"{client}, {name}"]
            cells += [ms(spread), f"{_megabytes(corpora[name]) / spread.median:.1f}"]
        rows.append([name, *cells])
    note = (
        f"The same into a store that takes {SLOW_PUT * 1e3:.0f} ms a PUT: time on the clock, ms, and "
        "MB/s of the shard. A shard gives a consumer 2 MB/s at most."
    )
    return Table(["corpus", "boto3", "MB/s", "fast", "MB/s"], rows, note)


def _megabytes(corpus: Corpus) -> float:
    return sum(map(len, corpus.payloads)) / 1e6


def _figures(
    puts: Spreads, near: Spreads, far: Spreads, corpora: dict[str, Corpus]
) -> dict[str, float]:
    def speed(name: str) -> float:
        return _megabytes(corpora[name]) / far[f"fast, {name}"].median

    return {
        "a PUT": puts["fast, 11 KB"].median / puts["boto3, 11 KB"].median,
        "100 partitions": near["fast, 100 partitions"].median
        / near["memory, 100 partitions"].median,
        "100 partitions MB/s": speed("100 partitions"),
        "250 partitions MB/s": speed("250 partitions"),
    }
