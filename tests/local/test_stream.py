"""Producer, stream, runner, lake, end to end, with real servers: nothing lost, nothing invented."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import boto3
import duckdb
import pyarrow as pa
import pytest
from lake import write_dataset
from servers import (
    CREDENTIALS,
    NPM,
    PATIENCE,
    Faults,
    faulty_proxy,
    kinesalite,
    kinesis_local,
    moto,
    need_node,
    wait_until,
)

from pipeline.adapters.aws.client import make_client
from pipeline.adapters.aws.errors import KINESIS
from pipeline.adapters.aws.kinesis import KinesisStream, kinesis_client
from pipeline.cli import main
from pipeline.local.state import Checkpoint
from pipeline.producer import Options, Position, Producer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("stream")

MAIN = "import sys; from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"
STREAM = "notes"
BUCKET = "lake"
NOTE = {
    "type": "record",
    "name": "Note",
    "fields": [{"name": "id", "type": "long"}, {"name": "text", "type": "string"}],
}
# What became of each identity that was produced or delivered. One that was delivered twice as the
# same is one; a row that is a dead letter, too, would be two.
FATES = """
    WITH delivered AS (
        SELECT DISTINCT 'row' AS became, _source AS source, _sequence_number AS number,
               _sub_sequence_number AS sub, _document AS document
        FROM read_parquet('{lake}/out/notes/**/*.parquet')
        UNION ALL
        SELECT DISTINCT 'dead letter', source, sequence_number, sub_sequence_number, document
        FROM read_json('{lake}/dead/**/*.jsonl.gz', format = 'newline_delimited', columns = {{
            source: 'VARCHAR', sequence_number: 'VARCHAR', sub_sequence_number: 'BIGINT',
            document: 'INTEGER'}})
    ), fates AS (
        SELECT source, number, sub, count(*) AS times, min(became) AS became
        FROM delivered GROUP BY source, number, sub
    )
    SELECT produced.note IS NOT NULL AS produced, coalesce(became, 'lost'), times, count(*)
    FROM produced FULL OUTER JOIN fates USING (source, number, sub) GROUP BY ALL ORDER BY ALL
"""


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _schemas(tmp_path: Path) -> None:
    write_dataset(tmp_path / "schemas" / "notes", NOTE, "")


@dataclass
class Runner:
    """`pipeline run` in processes of its own."""

    folder: Path
    kinesis: str
    s3: str | None = None
    arguments: tuple[str, ...] = ()
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with process:
                process.kill()

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.processes[-1]

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def start(self, *arguments: str) -> None:
        base = f"s3://{BUCKET}" if self.s3 else str(self.folder / "lake")
        command = [
            *(sys.executable, "-c", MAIN, "run", "--stream", STREAM),
            *("--endpoint-url", self.kinesis, "--schemas", str(self.folder / "schemas")),
            *("--out", f"{base}/out", "--dead-letters", f"{base}/dead"),
            *("--failures", f"{base}/failures", "--state", str(self.state), "--window", "0"),
            *self.arguments,
            *arguments,
        ]
        environment = {**os.environ, **CREDENTIALS}
        if self.s3:
            environment["AWS_ENDPOINT_URL_S3"] = self.s3
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        self.processes.append(process)

    def kill(self) -> None:
        """End it as a machine would that loses power."""
        assert self.process.poll() is None, self.process.communicate()
        self.process.kill()
        self.process.communicate()

    def terminate(self) -> tuple[int, str, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def once(self) -> tuple[int, str, str]:
        self.start("--once")
        return self.end()

    def checkpoints(self) -> dict[str, Checkpoint]:
        return {
            path.stem: Checkpoint(**json.loads(path.read_text()))
            for path in (self.state / "shards").glob("*.json")
        }


def make_stream(url: str, shards: int) -> Any:
    """Make the stream, and wait until it is there."""
    client = kinesis_client(url)
    client.create_stream(StreamName=STREAM, ShardCount=shards)
    wait_until(lambda: is_active(client))
    return client


def is_active(client: Any) -> bool:
    summary = client.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
    return bool(summary["StreamStatus"] == "ACTIVE")


def note(number: int, text: str) -> bytes:
    """Write a note; one in a hundred is no good."""
    number_or_not = str(number) if number % 100 == 0 else number
    return json.dumps({"id": number_or_not, "text": text}).encode()


@dataclass
class Produced:
    """What the stream acknowledged: the position of each note, by its number."""

    provenance: dict[int, Position] = field(default_factory=dict)

    def put(self, producer: Producer, numbers: range, text: str) -> None:
        """Put notes, and wait until they are acknowledged."""
        futures = {
            number: producer.submit(note(number, text), partition_key=str(number))
            for number in numbers
        }
        for number, future in futures.items():
            self.provenance[number] = future.result(timeout=PATIENCE)


def arn_of(url: str) -> str:
    return KinesisStream(STREAM, kinesis_client(url)).describe_stream_summary().arn


def fates(lake: Path, arn: str, produced: Produced) -> list[tuple[bool, str, int, int]]:
    """Ask what became of each identity: whether it was produced, its fate, how often, how many."""
    provenance = produced.provenance
    table = pa.table(
        {
            "note": list(provenance),
            "source": [f"{arn}/{position.shard_id}" for position in provenance.values()],
            "number": [position.sequence_number for position in provenance.values()],
            "sub": [position.sub_sequence_number for position in provenance.values()],
        }
    )
    with duckdb.connect() as database:
        database.register("produced", table)
        return database.execute(FATES.format(lake=lake)).fetchall()


def each_once(count: int) -> list[tuple[bool, str, int, int]]:
    """Return the fates of so many notes where all is well: one in a hundred is a dead letter."""
    return [(True, "dead letter", 1, count // 100), (True, "row", 1, count - count // 100)]


class Lake:
    """A bucket of moto's."""

    def __init__(self, url: str) -> None:
        self.client = boto3.client("s3", endpoint_url=url)
        self.client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def download(self, folder: Path) -> Path:
        for key in self.keys():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(BUCKET, key, str(path))
        return folder


def test_200_mb_through_a_reshard_two_kills_and_an_outage_of_s3(tmp_path: Path) -> None:
    text, count, outage = "All that is gold does not glitter. " * 600, 10_000, Faults()
    produced = Produced()
    with (
        kinesalite() as kinesis,
        moto() as s3,
        faulty_proxy(s3, outage) as proxy,
        Runner(tmp_path, kinesis, proxy, ("--timeout", "900")) as runner,
    ):
        client, lake = make_stream(kinesis, 3), Lake(s3)
        runner.start()

        def produce() -> None:
            # Nothing is given up, and nothing put twice because its response was late.
            options = Options(aggregate_bytes=400_000, record_ttl=PATIENCE)
            patient = make_client(KINESIS, read_timeout=PATIENCE, endpoint_url=kinesis)
            with Producer(KinesisStream(STREAM, patient), options) as producer:
                produced.put(producer, range(1, count // 2 + 1), text)
                split(client, "shardId-000000000000")
                wait_until(lambda: is_active(client))
                client.merge_shards(
                    StreamName=STREAM,
                    ShardToMerge="shardId-000000000001",
                    AdjacentShardToMerge="shardId-000000000002",
                )
                produced.put(producer, range(count // 2 + 1, count + 1), text)

        with ThreadPoolExecutor(1) as thread:
            producing = thread.submit(produce)
            wait_until(lambda: len(lake.keys()) > 6)
            runner.kill()
            runner.start()
            wait_until(lambda: len(lake.keys()) > 15)
            outage.down = True
            wait_until(lambda: outage.happened["down", "PUT"] > 8)
            outage.down = False
            wait_until(lambda: len(lake.keys()) > 30)
            runner.kill()
            producing.result()
        runner.start()
        wait_until(lambda: len(lake.keys()) > 40)
        code, out, err = runner.terminate()
        assert code == 0, err
        assert "rows in s3://lake/out" in out
        code, out, err = runner.once()
        assert code == 0, err
        found = fates(lake.download(tmp_path / "lake"), arn_of(kinesis), produced)
    assert found == each_once(count)
    assert count * len(text) >= 200e6
    closed = {shard for shard, checkpoint in runner.checkpoints().items() if checkpoint.closed}
    assert closed == {f"shardId-00000000000{number}" for number in range(3)}


def split(client: Any, shard_id: str) -> None:
    """Split a shard in the middle."""
    shards = client.list_shards(StreamName=STREAM)["Shards"]
    (keys,) = [shard["HashKeyRange"] for shard in shards if shard["ShardId"] == shard_id]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    client.split_shard(StreamName=STREAM, ShardToSplit=shard_id, NewStartingHashKey=str(middle))


def test_throttling_partial_failures_expired_iterators_and_dropped_connections(
    tmp_path: Path,
) -> None:
    faults = Faults(throttled=4, partial=3, expired=3, dropped_before=7, dropped_after=5)
    produced, count = Produced(), 3_000
    with (
        kinesalite() as kinesis,
        faulty_proxy(kinesis, faults) as proxy,
        Runner(tmp_path, proxy) as runner,
    ):
        client = make_stream(kinesis, 2)
        options = Options(aggregate_bytes=2_000)
        with Producer(STREAM, options, endpoint_url=proxy) as producer:
            # In so many calls that each fault happens, however fast the machine.
            for first in range(1, count + 1, 100):
                produced.put(producer, range(first, first + 100), "in trouble")
                producer.flush()
                if first == count // 2 + 1:
                    split(client, "shardId-000000000001")
        # What is small is read in a few calls; so many runs meet each fault.
        for _ in range(3):
            code, _, err = runner.once()
            assert code == 0, err
        arn = arn_of(kinesis)
    found = fates(tmp_path / "lake", arn, produced)
    # What a call had stored whose answer was lost is there twice, under another identity: it was
    # not acknowledged, and so not "produced". Of what was, each is there once.
    assert [fate for fate in found if fate[0]] == each_once(count)
    assert {fate[2] for fate in found} == {1}
    for fault in ("throttled", "dropped_before", "dropped_after"):
        assert faults.happened[fault, "PutRecords"]
        assert faults.happened[fault, "GetRecords"]
    assert faults.happened["partial", "PutRecords"]
    assert faults.happened["expired", "GetRecords"]


def test_an_update_of_the_shard_count_is_followed(tmp_path: Path) -> None:
    produced, count = Produced(), 400
    with kinesis_local() as kinesis, Runner(tmp_path, kinesis) as runner:
        client = make_stream(kinesis, 2)
        with Producer(STREAM, endpoint_url=kinesis) as producer:
            produced.put(producer, range(1, count // 2 + 1), "before")
            client.update_shard_count(
                StreamName=STREAM, TargetShardCount=4, ScalingType="UNIFORM_SCALING"
            )
            wait_until(lambda: is_active(client))
            produced.put(producer, range(count // 2 + 1, count + 1), "after")
        code, _, err = runner.once()
        assert code == 0, err
        arn = arn_of(kinesis)
    assert fates(tmp_path / "lake", arn, produced) == each_once(count)
    parents = {"shardId-000000000000", "shardId-000000000001"}
    assert parents < {position.shard_id for position in produced.provenance.values()}
    assert {
        shard for shard, checkpoint in runner.checkpoints().items() if checkpoint.closed
    } == parents


@pytest.mark.parametrize("splits", [False, True], ids=["as it was", "after a split"])
def test_a_stream_that_is_created_again_is_noticed(tmp_path: Path, *, splits: bool) -> None:
    """The former one's records are rows, and after a restart those of the new one, too."""
    restart = ("--if-recreated", "restart")
    with kinesalite() as kinesis, Runner(tmp_path, kinesis) as runner:
        client, former, latter = make_stream(kinesis, 1), Produced(), Produced()
        with Producer(STREAM, endpoint_url=kinesis) as producer:
            former.put(producer, range(1, 101), "former")
        runner.start()
        if splits:
            split(client, "shardId-000000000000")
            wait_until(lambda: is_active(client))
        wait_until(lambda: stored(runner, "shardId-000000000000", closed=splits))
        client = recreate(client, kinesis, 1)
        with Producer(STREAM, endpoint_url=kinesis) as producer:
            latter.put(producer, range(101, 201), "latter")
        code, _, err = runner.end()
        assert (code, err.count("was deleted and created again while it was read")) == (1, 1)
        identity = runner.state / "stream.json"
        former_identity = identity.read_bytes()
        runner.start(*restart)
        wait_until(lambda: identity.read_bytes() != former_identity)
        wait_until(lambda: stored(runner, "shardId-000000000000", closed=False))
        # And once more, under a runner that goes on by itself.
        recreate(client, kinesis, 2)
        with Producer(STREAM, endpoint_url=kinesis) as producer:
            latter.put(producer, range(201, 301), "latter")
        wait_until(lambda: stored(runner, "shardId-000000000001", closed=False))
        code, _, err = runner.terminate()
        assert code == 0, err
        assert err.count("was deleted and created again while it was read") == 1
        assert runner.once()[0] == 0
        arn = arn_of(kinesis)
    produced = Produced(former.provenance | latter.provenance)
    assert fates(tmp_path / "lake", arn, produced) == each_once(300)


def recreate(client: Any, url: str, shards: int) -> Any:
    """Delete the stream, and make another; kinesalite knows of neither more than the second."""
    client.delete_stream(StreamName=STREAM)
    second = int(time.time())
    wait_until(lambda: int(time.time()) > second)
    return make_stream(url, shards)


def stored(runner: Runner, shard_id: str, *, closed: bool) -> bool:
    """Whether the runner has stored something of a shard, and whether all of it."""
    found = runner.checkpoints().get(shard_id)
    return found is not None and found.sequence_number is not None and found.closed == closed


def test_a_runner_that_is_wrong_says_so_in_a_sentence(tmp_path: Path) -> None:
    with kinesalite() as kinesis, Runner(tmp_path, kinesis) as runner:
        code, _, err = runner.once()
        assert (code, err.count("\n")) == (1, 1)
        assert "ResourceNotFoundException" in err
        make_stream(kinesis, 1)
        runner.start()
        wait_until((runner.state / "stream.json").exists)
        code, _, err = runner.once()
        assert (code, err.count("\n")) == (1, 1)
        assert "in use by another runner" in err
        runner.processes.pop()
        assert runner.terminate()[0] == 0


def test_what_is_given_up_is_told_kept_and_can_be_sent_again(tmp_path: Path) -> None:
    produced = Produced()
    once = ("--retry-attempts", "0")
    with kinesalite() as kinesis, Runner(tmp_path, kinesis, arguments=once) as runner:
        make_stream(kinesis, 1)
        with Producer(STREAM, endpoint_url=kinesis) as producer:
            produced.put(producer, range(1, 101), "given up")
        lake = tmp_path / "lake"
        lake.mkdir()
        # No table can be stored where a file stands in place of its directory.
        (lake / "out").write_text("")
        code, out, err = runner.once()
        assert code == 1, err
        assert "records were given up" in out
        (lake / "out").unlink()
        redrive = ["redrive", str(lake / "failures"), "--schemas", str(tmp_path / "schemas")]
        redrive += ["--out", str(lake / "out"), "--dead-letters", str(lake / "dead")]
        assert main(redrive) == 0
        assert fates(lake, arn_of(kinesis), produced) == each_once(100)


def demo(out: Path, path: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        code = main(["demo", "--stream", "--documents", "400", "--out", str(out)])
    return code, *capsys.readouterr()


def test_the_demo_goes_over_a_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_node()
    path = f"{NPM / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    for _ in range(2):  # a second one takes the first one's place
        code, out, err = demo(tmp_path / "demo", path, capsys)
        assert (code, err) == (0, "")
        assert "Balanced: " in out


def test_the_demo_says_what_its_stream_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = demo(tmp_path / "demo", str(tmp_path), capsys)
    assert (code, err.count("\n")) == (1, 1)
    assert "npm install --global kinesalite" in err
