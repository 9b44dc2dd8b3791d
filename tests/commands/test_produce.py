"""`pipeline produce`: what it puts, what it says, and how it fails."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from fake_kinesis import FakeKinesis, shards_of
from support import ROOT

from pipeline.adapters.aws.kinesis import PutRecord, RecordNotStored
from pipeline.cli import main
from pipeline.commands import produce
from pipeline.core.errors import StreamMissing
from pipeline.producer import producer

LINES = b'{"n": 1, "k": "a"}\n\n  \n{"n": 2, "k": 7}\r\nnonsense\n{"k": null}\n{"n": 3, "k": "a"}'
DOCUMENTS = [
    b'{"n": 1, "k": "a"}',
    b'{"n": 2, "k": 7}',
    b"nonsense",
    b'{"k": null}',
    b'{"n": 3, "k": "a"}',
]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> FakeKinesis:
    """Return the stream that every `--stream` is."""
    fake = FakeKinesis(shards=shards_of(1))
    monkeypatch.setattr(producer, "KinesisStream", lambda _name, **_: fake)
    return fake


def put(*arguments: str) -> int:
    return main(["produce", "--stream", "shop", *arguments])


def payloads(stream: FakeKinesis) -> list[bytes]:
    return [payload for _, payload in stream.user_records]


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True))],
)
def test_each_line_that_is_not_blank_is_put_in_its_order(
    pack: Any, stream: FakeKinesis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_bytes(pack(LINES))
    assert put(str(tmp_path / "in"), str(tmp_path / "in")) == 0
    assert payloads(stream) == DOCUMENTS * 2
    shown = capsys.readouterr().out
    assert shown.startswith("put 10 = acknowledged 10 + failed 0\n")
    assert "0 throttled, 0 retried" in shown
    assert "nonsense" not in shown


def test_lines_of_a_pipe_are_put_as_they_arrive(
    stream: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    arrived = threading.Event()

    def mishap(_number: int, _records: Any) -> None:
        arrived.set()

    def feed() -> None:
        with os.fdopen(write, "wb", buffering=0) as pipe:
            pipe.write(b'{"n": 1}\n')
            # Goes on when the first line is in the stream, and else never.
            if arrived.wait(60):
                pipe.write(b'{"n": 2}\n')

    stream.mishap = mishap
    threading.Thread(target=feed).start()
    with os.fdopen(read, "rb") as pipe:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe))
        assert put() == 0
    assert payloads(stream) == [b'{"n": 1}', b'{"n": 2}']


def test_the_partition_key_is_a_field_of_the_document(stream: FakeKinesis, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(LINES + b'\n{"k": ""}\n{"k": [1, "x"]}\n' + b"[" * 100_000)
    assert put(str(tmp_path / "in"), "--partition-key", "k") == 0
    keys = [key for key, _ in stream.user_records]
    assert (keys[0], keys[1], keys[4], keys[6]) == ("a", "7", "a", '[1,"x"]')
    # What has no key of its own is given one of many.
    assert len({keys[index] for index in (2, 3, 5, 7)}) == 4


def test_without_a_partition_key_documents_spread_over_all_shards(
    stream: FakeKinesis, tmp_path: Path
) -> None:
    stream.shards = shards_of(8)
    (tmp_path / "in").write_bytes(b"{}\n" * 400)
    assert put(str(tmp_path / "in")) == 0
    assert {kept.shard_id for kept in stream.kept} == {shard.shard_id for shard in stream.shards}


def test_documents_are_made_up_from_a_schema(stream: FakeKinesis) -> None:
    arguments = ("--generate", "orders", "--schemas", str(ROOT / "schemas"), "--count", "50")
    assert put(*arguments, "--seed", "7") == 0
    assert put(*arguments, "--seed", "7") == 0
    assert put(*arguments) == 0
    documents = [json.loads(payload) for payload in payloads(stream)]
    assert len(documents) == 150
    assert {document["@stream"] for document in documents} == {"orders"}
    ids = [document["order_id"] for document in documents]
    assert ids[:50] == ids[50:100]
    assert len(set(ids)) == 100


def test_what_fails_is_counted_kept_and_told(
    stream: FakeKinesis,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.producer.Options", quick_options)
    stream.mishap = throttles_key_of(b'"bad"')
    large = b'"' + b"x" * 2**20 + b'"'
    (tmp_path / "in").write_bytes(b'{"k": "good"}\n{"k": "bad"}\n' + large + b"\n")
    failed = tmp_path / "failed"
    assert put(str(tmp_path / "in"), "--partition-key", "k", "--failed", str(failed)) == 1
    assert sorted(failed.read_bytes().splitlines()) == sorted([large, b'{"k": "bad"}'])
    shown = capsys.readouterr()
    assert "put 3 = acknowledged 1 + failed 2\n" in shown.out
    assert "the first failure: The record has 1,048,579 bytes with its partition key" in shown.out
    assert f"2 documents failed; they are in {failed}" in shown.out
    assert "bad" not in shown.out.replace(str(failed), "") + shown.err


def test_what_failed_before_is_never_overwritten(
    stream: FakeKinesis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = tmp_path / "failed"
    failed.write_bytes(b'{"k": "a"}\n')
    assert put(str(failed), "--failed", str(failed)) == 1
    assert failed.read_bytes() == b'{"k": "a"}\n'
    assert capsys.readouterr().err == f"pipeline: {failed}: File exists.\n"
    assert payloads(stream) == []


def test_without_a_failure_there_is_no_file_of_them(stream: FakeKinesis, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b'{"k": "a"}\n')
    assert put(str(tmp_path / "in"), "--failed", str(tmp_path / "failed")) == 0
    assert not (tmp_path / "failed").exists()
    assert len(payloads(stream)) == 1


def quick_options(compression: Any) -> Any:
    """Return options that send each record alone, and give up soon."""
    from pipeline.producer.options import Options

    return Options(linger=0, record_ttl=0.2, aggregate_bytes=0, compression=compression)


def throttles_key_of(text: bytes) -> Any:
    throttled = RecordNotStored("ProvisionedThroughputExceededException", "Rate exceeded.")

    def mishap(_number: int, records: list[PutRecord]) -> Any:
        return {index: throttled for index, record in enumerate(records) if text in record.data}

    return mishap


def test_a_file_that_breaks_off_is_put_as_far_as_it_goes(
    stream: FakeKinesis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good").write_bytes(b'{"n": 1}\n')
    (tmp_path / "bad.gz").write_bytes(
        gzip.compress(b'{"n": "%s"}' % os.urandom(1_000).hex().encode())[:500]
    )
    assert put(str(tmp_path / "good"), str(tmp_path / "bad.gz")) == 1
    assert payloads(stream) == [b'{"n": 1}']
    shown = capsys.readouterr()
    assert shown.out.startswith("put 1 = acknowledged 1 + failed 0\n")
    assert shown.err.startswith(f"pipeline: {tmp_path}/bad.gz cannot be read past byte ")
    assert shown.err.count("\n") == 1


def test_an_interruption_leaves_nothing_waiting(
    stream: FakeKinesis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            piece = super().read(size)
            if not piece:
                raise KeyboardInterrupt
            return piece

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Interrupted(b'{"n": 1}\n{"n": 2}\n')))
    assert put() == 130
    assert payloads(stream) == [b'{"n": 1}', b'{"n": 2}']
    shown = capsys.readouterr()
    assert shown.out.startswith("put 2 = acknowledged 2 + failed 0\n")
    assert shown.err == "pipeline: interrupted.\n"


def test_compressed_documents_are_smaller_on_the_stream(
    stream: FakeKinesis, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b'"' + b"so long " * 1_000 + b'"\n')
    assert put(str(tmp_path / "in"), "--compression", "gzip") == 0
    ((_, payload),) = stream.user_records
    assert gzip.decompress(payload) == b'"' + b"so long " * 1_000 + b'"'


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.ndjson"], 1, "pipeline: nowhere.ndjson: No such file or directory.\n"),
        (["nowhere.ndjson", "--generate", "orders"], 1, "Give files or --generate, not both."),
        (["--generate", "nothing"], 1, "nothing/dataset.toml is missing"),
        (["--rate", "5MB"], 2, "'5MB' is not a rate: give one as 5MB/s, 500KB/s, or 1000/s"),
        (["--rate", "0/s"], 2, "'0/s' is not a rate"),
        (["--count", "-1"], 2, "'-1' is not a positive integer."),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    arguments: list[str],
    code: int,
    says: str,
    stream: FakeKinesis,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        assert put(*arguments) == code
    except SystemExit as exit_:
        assert exit_.code == code  # noqa: PT017 - argparse's own way out
    assert says in capsys.readouterr().err
    assert not stream.calls


def test_a_stream_that_is_not_there_is_told_in_a_sentence(
    stream: FakeKinesis, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing() -> Any:
        raise StreamMissing("There is no stream 'shop'.")

    stream.list_shards = missing  # type: ignore[method-assign]
    (tmp_path / "in").write_bytes(LINES)
    assert put(str(tmp_path / "in")) == 1
    assert capsys.readouterr().err == "pipeline: There is no stream 'shop'.\n"


@pytest.mark.parametrize(
    ("rate", "sizes", "seconds"),
    [
        ("1000/s", [10] * 501, 0.5),
        ("500KB/s", [50_000] * 6, 0.5),
        ("5MB/s", [1_000_000] * 6, 1.0),
        ("0.5gb/s", [1_000_000] * 501, 1.0),
    ],
)
def test_a_rate_holds_documents_back_as_long_as_it_says(
    rate: str, sizes: list[int], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(produce, "time", clock)
    pace = produce._rate(rate)
    clock.now = 5.0  # between the options and the first document
    for size in sizes:
        pace.wait(size)
    assert clock.now - 5.0 == pytest.approx(seconds, abs=0.011)


def test_a_rate_does_not_make_up_for_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(produce, "time", clock)
    pace = produce._rate("100/s")
    pace.wait(1)
    clock.now = 60.0
    for _ in range(101):
        pace.wait(1)
    assert clock.now - 60.0 == pytest.approx(1.0, abs=0.011)


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
