"""A dataset's samples, `good.ndjson` and `bad.ndjson`, processed as a batch would be, in memory."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pybase64

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.privacy_key import protection_for_trials
from pipeline.attempt import Attempt, countdown
from pipeline.core.dataset import Dataset
from pipeline.core.deadletter import DeadLetter, decode_dead_letters
from pipeline.core.errors import DatasetError
from pipeline.core.records import Batch, Limits, StreamRecord
from pipeline.core.report import Report, Tally
from pipeline.core.routing import Router
from pipeline.flow import Pipeline

SAMPLES_ARRIVED_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""Samples are judged as if they had arrived then, so that event times in them do not grow old."""

_ARRIVED_AT = int(SAMPLES_ARRIVED_AT.timestamp()) * 1_000_000  # microseconds since 1970
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
    """How many samples of each kind there were, and which were not as they should be.

    `rows` is how many good ones became rows of the dataset, in so many `partitions`.
    """

    good: int
    bad: int
    faults: tuple[str, ...]
    rows: int = 0
    partitions: int = 0


def run_samples(folder: Path, dataset: Dataset, datasets: tuple[Dataset, ...]) -> SampleRun:
    """Run a folder's samples: each good one must become a row, each bad one its dead letter."""
    good, bad = _lines(folder / "good.ndjson"), _bad_lines(folder / "bad.ndjson")
    of_good, tally = _run_good(good, dataset, datasets)
    faults = [f"{folder}/{fault}" for fault in (*of_good, *_run_bad(bad, datasets))]
    return SampleRun(len(good), len(bad), tuple(faults), tally.rows, tally.partitions)


def _run_good(
    lines: list[tuple[int, bytes]], dataset: Dataset, datasets: tuple[Dataset, ...]
) -> tuple[list[str], Tally]:
    letters, report = _process([line for _, line in lines], datasets)
    tally = report.tally(dataset.name) if report else Tally()
    faults = [
        f"good.ndjson, line {lines[index][0]} is rejected: {letter.reason} at {letter.path}: "
        f"{letter.message}"
        for index, letter in sorted(letters.items())
    ]
    elsewhere = len(lines) - len(letters) - tally.rows
    if elsewhere:
        faults.append(f"good.ndjson: {elsewhere} go to other datasets.")
    return faults, tally


def _run_bad(lines: list[tuple[int, _Bad, bytes]], datasets: tuple[Dataset, ...]) -> list[str]:
    letters, _ = _process([payload for _, _, payload in lines], datasets)
    faults = []
    for index, (number, sample, _) in enumerate(lines):
        letter = letters.get(index)
        if letter is None:
            faults.append(f"bad.ndjson, line {number} is accepted; it should be {sample.reason}.")
        elif (letter.reason, letter.path) != (sample.reason, sample.path):
            faults.append(
                f"bad.ndjson, line {number} is {letter.reason} at {letter.path}; it should be "
                f"{sample.reason} at {sample.path}."
            )
    return faults


def _process(
    payloads: list[bytes], datasets: tuple[Dataset, ...]
) -> tuple[dict[int, DeadLetter], Report | None]:
    """Return the dead letters by index of payload, and the report, if there were any payloads."""
    if not payloads:
        return {}, None
    records = tuple(
        StreamRecord(str(index), None, _ARRIVED_AT, payload)
        for index, payload in enumerate(payloads)
    )
    dead_letters = MemoryStore()
    pipeline = Pipeline(
        Router(datasets),
        Limits(),
        MemoryStore(),
        dead_letters,
        protection=protection_for_trials(datasets),
    )
    batch = Batch("samples/0", "0", records)
    report = Attempt(pipeline, countdown(_PATIENCE), 0.0).process(batch)
    letters = {
        int(letter.sequence_number): letter
        for key in dead_letters.list()
        for letter in decode_dead_letters(dead_letters.get(key), key)
    }
    return letters, report


def _lines(file: Path) -> list[tuple[int, bytes]]:
    """Return the lines that are not blank, with their numbers; none where there is no file."""
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
            sample = decoder.decode(line)
            bad.append((number, sample, sample.payload))
        except RecursionError:
            message = f'{file}, line {number}: it nests too deeply; give it as "text".'
            raise DatasetError(message) from None
        except (msgspec.DecodeError, ValueError) as error:  # ValueError: not UTF-8, not base64
            message = (
                f'{file}, line {number}: {error}; a line is {{"reason": …, "path": …, "document": '
                '…} (or "text", or "base64", where the sample is not JSON).'
            )
            raise DatasetError(message) from None
    return bad
