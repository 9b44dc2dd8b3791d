"""The demo on a stream that is real: kinesalite, the producer, the runner, the same countings."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pipeline.adapters.aws.errors import KINESIS, Call, translate_errors
from pipeline.adapters.aws.kinesis import KinesisStream, PutRecord, RecordNotStored, kinesis_client
from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import open_pipeline
from pipeline.core.errors import DemoRefused, StreamUnavailable
from pipeline.core.events import kinesis_event
from pipeline.core.report import Report
from pipeline.demo.count import count
from pipeline.demo.documents import HOURS
from pipeline.demo.place import Place, prepare, write_sample
from pipeline.demo.run import Afterwards, deliver_again, environment, nothing_more
from pipeline.demo.show import show, working
from pipeline.demo.stream import Stream
from pipeline.demo.verdict import Delivered, Redelivery, judge
from pipeline.esm import Mapping
from pipeline.local import Function, Job, Runner, StreamIdentity, open_state
from pipeline.producer import Producer
from pipeline.settings import Settings

_SHARDS: Final = 2
_START_SECONDS: Final = 20.0
_PAUSE: Final = 0.1  # seconds
_RECORDS_OF_A_CALL: Final = 100
_ABSENT = (
    "pipeline demo --stream needs kinesalite, a Kinesis server that runs anywhere: install it with "
    "`npm install --global kinesalite`, so that it is found on the PATH."
)


def run_live(
    documents: int,
    out: Path | None,
    seed: int,
    *,
    afterwards: Afterwards = nothing_more,
    everything: bool = False,
) -> int:
    """Run the demo on a stream, and `afterwards`; return 0 if everything balances and 1 if not."""
    start = time.perf_counter()
    place = prepare(out)
    # Kinesis says when a record arrived, and that is now.
    stream = Stream(documents, seed, datetime.now(UTC) - timedelta(hours=HOURS))
    with environment(place), _kinesalite() as kinesis:
        with working("producing"):
            _produce(stream, kinesis)
        with working("consuming"):
            delivered, redelivery = _consume(kinesis, place)
    verdict = judge(stream.totals, delivered, count(place), redelivery)
    write_sample(place, verdict.sample)
    show(place, verdict, delivered, lambda: time.perf_counter() - start, everything=everything)
    with environment(place):
        right = afterwards(place, verdict)
    return 0 if verdict.balanced and right else 1


@contextlib.contextmanager
def _kinesalite() -> Iterator[KinesisStream]:
    """Run a server with one stream in it. Raises `DemoRefused`."""
    program = shutil.which("kinesalite")
    if program is None:
        raise DemoRefused(_ABSENT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}
    os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"
    quiet = subprocess.DEVNULL
    # Not by its own command line, which listens on every interface.
    script = "require(process.argv[1])({}).listen(Number(process.argv[2]), '127.0.0.1')"
    home = str(Path(program).resolve().parent)
    server = subprocess.Popen(  # noqa: S603 - from the PATH
        ["node", "-e", script, home, str(port)],  # noqa: S607 - from the path
        stdout=quiet,
        stderr=quiet,
    )
    try:
        yield _stream(f"http://127.0.0.1:{port}")
    finally:
        server.kill()
        server.wait()


def _stream(url: str) -> KinesisStream:
    """Make the stream, once the server is up. Raises `StreamError` where it never is."""
    client = kinesis_client(url)
    stream = KinesisStream("shop", client)
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            with translate_errors(
                Call(KINESIS, "make", "kinesis:CreateStream", "the demo's stream")
            ):
                client.create_stream(StreamName=stream.stream, ShardCount=_SHARDS)
            break
        except StreamUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE)
    while stream.describe_stream_summary().status != "ACTIVE":
        time.sleep(_PAUSE)
    return stream


def _produce(stream: Stream, kinesis: KinesisStream) -> None:
    """Put the whole stream: user records through the producer, the rest as they are."""
    alone: list[PutRecord] = []
    with Producer(kinesis) as producer:
        for sent in stream.records():
            if not sent.alone:
                producer.put(sent.data, sent.key)
                continue
            alone.append(PutRecord(sent.key, sent.data))
            if len(alone) == _RECORDS_OF_A_CALL:
                _put(kinesis, alone)
                alone = []
    if alone:
        _put(kinesis, alone)


def _put(kinesis: KinesisStream, records: list[PutRecord]) -> None:
    """Put stream records on a server that does not throttle."""
    failed = [
        response
        for response in kinesis.put_records(records)
        if isinstance(response, RecordNotStored)
    ]
    if failed:
        raise DemoRefused(f"The demo's stream did not accept a record: {failed[0].message}")


def _consume(kinesis: KinesisStream, place: Place) -> tuple[Delivered, Redelivery]:
    """Run the runner to the tip of the stream, and deliver a batch once more, as Lambda may."""
    delivered, log, notices = Delivered(who="The runner"), list[dict[str, Any]](), list[str]()
    last: deque[Report] = deque(maxlen=1)
    settings = Settings.from_environment(os.environ)
    telemetry = Telemetry(lambda line: log.append(json.loads(line)), time.time)
    summary = kinesis.describe_stream_summary()
    identity = StreamIdentity(summary.arn, summary.created)
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-demo-") as folder,
        open_state(Path(folder), identity) as state,
    ):
        job = Job(
            kinesis=kinesis,
            retention=summary.retention,
            state=state,
            function=Function(open_pipeline(settings), telemetry, settings.response_reserve),
            failures=MemoryStore(),
            mapping=Mapping(batch_size=10_000),
            concurrency=_SHARDS,
            once=True,
            notify=notices.append,
            on_stored=last.append,
        )
        seconds, processor = time.perf_counter(), time.process_time()
        Runner(job).run()
        delivered.seconds = time.perf_counter() - seconds
        delivered.processor_seconds = time.process_time() - processor
    if notices:
        raise DemoRefused("\n".join(notices))
    delivered.add(log)
    batch = last[0].batch
    return delivered, deliver_again(kinesis_event(batch.records, summary.arn, batch.shard), place)
