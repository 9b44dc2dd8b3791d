"""A dataset's samples, `good.ndjson` and `bad.ndjson`, run down the real road into memory."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pybase64

from pipeline.adapters.memory import MemoryStore
from pipeline.attempt import Attempt, countdown
from pipeline.core.dataset import Dataset
from pipeline.core.deadletter import DeadLetter, decode_dead_letters
from pipeline.core.errors import DatasetError
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.routing import Router
from pipeline.flow import Pipeline

# Samples are judged as if they had arrived then, so that event times in them do not grow old.
SAMPLES_ARRIVED_AT = "2026-11-23T12:00:00Z"
_PATIENCE = 60.0  # seconds; nothing here waits


class _Bad(msgspec.Struct):
    """One line of bad.ndjson."""

    reason: str
    path: str
    document: msgspec.Raw = msgspec.Raw()
    text: str = ""
    base64: str = ""

    @property
    def payload(self) -> bytes:
        return (
            bytes(self.document)
            or self.text.encode()
            or pybase64.b64decode(self.base64, validate=True)
        )


@dataclass(frozen=True, slots=True)
class SampleRun:
    """How many samples of each kind there were, and what was not as it should be."""

    good: int
    bad: int
    faults: tuple[str, ...]


def run_samples(
    folder: Path, dataset: Dataset, datasets: tuple[Dataset, ...], arrived_at: int
) -> SampleRun:
    """Run a folder's samples: each good one has to become a row, each bad one its dead letter."""
    good, bad = _lines(folder / "good.ndjson"), _bad_lines(folder / "bad.ndjson")
    faults = [*_run_good(good, dataset, datasets, arrived_at), *_run_bad(bad, datasets, arrived_at)]
    return SampleRun(len(good), len(bad), tuple(f"{folder}/{fault}" for fault in faults))


def _run_good(
    lines: list[tuple[int, bytes]], dataset: Dataset, datasets: tuple[Dataset, ...], arrived_at: int
) -> list[str]:
    letters, rows = _process([line for _, line in lines], datasets, arrived_at, dataset)
    faults = [
        f"good.ndjson, line {lines[index][0]} is rejected: {letter.reason} at {letter.path}: "
        f"{letter.message}"
        for index, letter in sorted(letters.items())
    ]
    elsewhere = len(lines) - len(letters) - rows
    return [*faults, f"good.ndjson: {elsewhere} go to other datasets."] if elsewhere else faults


def _run_bad(
    lines: list[tuple[int, _Bad, bytes]], datasets: tuple[Dataset, ...], arrived_at: int
) -> list[str]:
    letters, _ = _process([payload for _, _, payload in lines], datasets, arrived_at, None)
    faults = []
    for index, (number, of, _) in enumerate(lines):
        letter = letters.get(index)
        if letter is None:
            faults.append(f"bad.ndjson, line {number} is accepted; it should be {of.reason}.")
        elif (letter.reason, letter.path) != (of.reason, of.path):
            faults.append(
                f"bad.ndjson, line {number} is {letter.reason} at {letter.path}; it should be "
                f"{of.reason} at {of.path}."
            )
    return faults


def _process(
    payloads: list[bytes], datasets: tuple[Dataset, ...], arrived_at: int, dataset: Dataset | None
) -> tuple[dict[int, DeadLetter], int]:
    """Return the dead letters by index of payload, and the number of rows of a dataset."""
    if not payloads:
        return {}, 0
    records = tuple(
        StreamRecord(str(index), None, arrived_at, payload)
        for index, payload in enumerate(payloads)
    )
    dead_letters = MemoryStore()
    pipeline = Pipeline(Router(datasets), Limits(), MemoryStore(), dead_letters)
    batch = Batch("samples/0", "0", records)
    report = Attempt(pipeline, countdown(_PATIENCE), 0.0).process(batch)
    letters = {
        int(letter.sequence_number): letter
        for key in dead_letters.list()
        for letter in decode_dead_letters(dead_letters.get(key), key)
    }
    return letters, report.of(dataset.name).rows if dataset else 0


def _lines(file: Path) -> list[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; none where there is no file."""
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _bad_lines(file: Path) -> list[tuple[int, _Bad, bytes]]:
    decoder = msgspec.json.Decoder(_Bad)
    bad = []
    for number, line in _lines(file):
        try:
            of = decoder.decode(line)
            bad.append((number, of, of.payload))
        except RecursionError:
            message = f'{file}, line {number}: it nests too deeply; give it as "text".'
            raise DatasetError(message) from None
        except (msgspec.DecodeError, ValueError) as error:  # ValueError: no UTF-8, no base64
            message = (
                f'{file}, line {number}: {error}; a line is {{"reason": …, "path": …, "document": '
                '…} (or "text", or "base64", where the sample is no JSON).'
            )
            raise DatasetError(message) from None
    return bad
