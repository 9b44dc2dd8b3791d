"""One input down the road, in a process of its own: processor time, peak memory, what is printed."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.schemas import read_datasets
from pipeline.adapters.telemetry import Telemetry
from pipeline.attempt import Attempt, decoder_of, envelope_of
from pipeline.core.errors import Defect, FileError, PipelineError
from pipeline.core.events import event_item
from pipeline.core.records import Limits, StreamRecord
from pipeline.core.routing import Router
from pipeline.core.stream import parse_stream
from pipeline.files.blocks import batches_of
from pipeline.flow import Pipeline
from pipeline.handlers._kinesis import respond

from .inputs import (
    MARK,
    RULES,
    dataset_of,
    file_of,
    stream_record_of,
    stream_records_of,
    texts_of,
)
from .recipes import Recipe

_ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
_SHARD = "shardId-000000000000"
_FIRST = 49590338271490256608559692538361571095921575989136588898
_ARRIVED = 1_795_428_000_250_000
_DOCUMENTS_A_UNIT, _OBJECTS_A_UNIT = 50_000, 200
_MIB, _KIB = 2**20, 2**10
_PATIENCE = 120.0  # seconds


class Cost(msgspec.Struct, frozen=True):
    """What an input cost. A unit is a MiB unpacked, or 50,000 documents, or 200 objects.

    `megabytes` is what the memory grew by, `peak` all of the process'.
    """

    seconds: float
    megabytes: float
    units: float
    peak: float = 0.0
    leaked: bool = False
    failed: str = ""

    @property
    def seconds_a_unit(self) -> float:
        return self.seconds / self.units

    @property
    def megabytes_a_unit(self) -> float:
        return self.megabytes / self.units


class _Void(MemoryStore):
    """Forgets what is stored; only its keys are counted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.stored = 0

    def put(self, key: str, body: bytes) -> None:
        del key, body
        self.stored += 1


class _Context:
    aws_request_id = "0"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def run(recipe: Recipe) -> Cost:
    """Take an input down the road in this process."""
    void, limits = _Void("void"), Limits()
    envelope = envelope_of(parse_stream(RULES[recipe.envelope], "stream.toml"), limits)
    pipeline = Pipeline(Router([dataset_of(recipe)]), limits, void, void, envelope=envelope)
    messages = list[str]()
    made, unpacked, count = _made_of(recipe)
    memory, begun, failed = _peak(), _spent(), ""
    try:
        documents = (
            _store_file(made, pipeline)
            if recipe.kind == "files"
            else _store_event(made, pipeline, messages)
        )
    except PipelineError as error:
        messages.append(str(error))
        documents, failed = 0, str(error) if isinstance(error, Defect) else ""
    seconds, megabytes = _spent() - begun, (_peak() - memory) / _KIB
    units = unpacked / _MIB + max(documents, count) / _DOCUMENTS_A_UNIT
    units += void.stored / _OBJECTS_A_UNIT
    leaked, peak = MARK in "\n".join(messages), _peak() / _KIB
    return Cost(seconds, megabytes, max(units, 0.5), peak, leaked, failed)


def run_stream_record(
    data: bytes, schemas: Path, rules: str = "", written: Path | None = None
) -> Cost:
    """Take one stream record down the road; the memory is all of this process', not what grew.

    `rules` is the text of a stream.toml; "" stands for a stream of JSON without envelopes. `written`
    is where the folder of its writers' schemas is.
    """
    void, messages, limits = _Void("void"), list[str](), Limits()
    stream = parse_stream(rules, "stream.toml")
    pipeline = Pipeline(
        Router(read_datasets(schemas)),
        limits,
        void,
        void,
        envelope=envelope_of(stream, limits),
        decoder=decoder_of(stream, written or schemas, ""),
    )
    event, begun = _event_of([data]), _spent()
    _store_event(event, pipeline, messages)
    report = json.loads(messages[0])
    failed = "" if report["outcome"] == "stored" else report["outcome"]
    return Cost(_spent() - begun, _peak() / _KIB, report["Documents"], failed=failed)


def _event_of(records: Sequence[bytes]) -> dict[str, Any]:
    items = [
        event_item(StreamRecord(str(_FIRST + n), "a", _ARRIVED, data), _ARN, _SHARD)
        for n, data in enumerate(records)
    ]
    return {"Records": items}


def _store_event(event: dict[str, Any], pipeline: Pipeline, messages: list[str]) -> int:
    respond(event, _Context(), pipeline, 1.0, Telemetry(messages.append, lambda: 0.0))
    return sum(json.loads(line).get("Documents", 0) for line in messages)


def _made_of(recipe: Recipe) -> tuple[Any, int, int]:
    """Return a file or an event, the bytes that it unpacks to, and its documents where known."""
    if recipe.kind == "records":
        record, unpacked = stream_record_of(recipe)
        return _event_of([record]), unpacked, 0
    unpacked, count = _size_of(recipe)
    if recipe.kind == "files":
        return file_of(recipe), unpacked, count
    records = stream_records_of(recipe)
    return _event_of(records), max(unpacked, sum(map(len, records))), count


def _size_of(recipe: Recipe) -> tuple[int, int]:
    texts = texts_of(recipe)
    return sum(map(len, texts)) + len(texts), len(texts)


def _store_file(body: bytes, pipeline: Pipeline) -> int:
    count = 0
    with suppress(FileError):
        file = io.BytesIO(body)
        for batch in batches_of(file, "file", lambda _: "file", _ARRIVED, lambda _: None):
            attempt = Attempt(pipeline, lambda: 900.0, 1.0)
            count += attempt.process(batch).total("documents")
    return count


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _child(act: Callable[[], Cost], answer: Connection) -> None:
    with tempfile.TemporaryFile() as printed:
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
        cost = act()
        sys.stdout.flush()
        sys.stderr.flush()
        printed.seek(0)
        leaked = cost.leaked or MARK.encode() in printed.read()
    answer.send(msgspec.structs.replace(cost, leaked=leaked))


class Measuring:
    """Measures inputs, each in a process that has the program and nothing else in memory."""

    def __init__(self) -> None:
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([__name__, "pipeline.core.encode.parquet_file"])

    def __call__(self, recipe: Recipe) -> Cost:
        """Return what a recipe costs; one that does not return in time `failed`."""
        return self.measure(partial(run, recipe))

    def measure(self, act: Callable[[], Cost]) -> Cost:
        """Return what is measured in a new process; one that does not return in time `failed`."""
        receiver, sender = self._processes.Pipe(duplex=False)
        process = self._processes.Process(target=_child, args=(act, sender))
        process.start()
        sender.close()
        try:
            if not receiver.poll(_PATIENCE):
                return Cost(_PATIENCE, 0.0, 1.0, failed=f"not done after {_PATIENCE:.0f} s")
            cost: Cost = receiver.recv()
        except EOFError:
            process.join()
            return Cost(0.0, 0.0, 1.0, failed=f"ended with exit code {process.exitcode}")
        finally:
            process.kill()
            process.join()
            receiver.close()
        return cost
