"""Redrive: process dead letters, and failed batches that Lambda left in S3, again.

Each run over a file of dead letters is a transaction of writes, in an order that is safe to stop
anywhere, with a journal of the dead letters it sends (`_redriven/{key}.sending`):

1. the journal;
2. the rows, under keys made from the file's key and the journal;
3. where a record could be unpacked at last, its documents that fail: dead letters in a file of
   their own, beside `{key}`, which Lambda may write again;
4. `_redriven/{key}`: all dead letters that have become rows, or were unpacked;
5. `{key}`: the dead letters that still fail (it is deleted where there are none);
6. the journal is deleted.

A run that finds a journal first sends exactly its dead letters again, whatever it was asked for:
the same dead letters make the same objects, so what the stopped run had stored is overwritten, not
duplicated. Dead letters in `_redriven/` are never sent by a later run, even where Lambda delivered
their batch once more and so stored them again.

Of a failed batch, and of a file of records that Firehose could not deliver, everything is stored
first, as rows or dead letters; then it is copied to `_redriven/`, and deleted.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.store import ObjectStore
from pipeline.attempt import Attempt
from pipeline.core.census import named, of_gzip
from pipeline.core.deadletter import (
    DOCUMENT,
    ELEMENT,
    DeadLetter,
    ReplayBatch,
    decode_dead_letters,
    encode_lines,
    to_replay,
)
from pipeline.core.errors import DeadLetterError, ObjectMissing
from pipeline.core.events import read_failed_batch
from pipeline.core.firehose_errors import is_error_file
from pipeline.core.layout import ARCHIVE, JOURNAL, ObjectKeys
from pipeline.core.report import Report
from pipeline.files.firehose import deliver_failed
from pipeline.flow import Pipeline

_LETTERS = re.compile(r"[a-z][a-z0-9_]*/date=[^/]+/hour=[^/]+/[^/]+\.jsonl\.gz")
_FAILED_BATCH = re.compile(
    r"(?:.*/)?(?:aws/lambda/.+|shardId-[0-9]+/[0-9]{4}/[0-9]{2}/[0-9]{2}/[^/]+)"
)
_INSIDE = re.compile(r"(?:date=[^/]+/)?(?:hour=[^/]+/)?[^/]+\.jsonl\.gz")
_INSIDE_URI = re.compile(
    rf".*/{ARCHIVE[:-1]}(?:/.*)?|.*/date=[^/]+(?:/hour=[^/]+)?|.*\.jsonl\.gz", re.DOTALL
)

Selector = Callable[[DeadLetter], bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object: units sent again = rows + dead letters.

    There are two reports where a stopped run was finished first. `waiting` is the number of dead
    letters that were not sent.
    """

    key: str
    reports: tuple[Report, ...]
    waiting: int = 0


def redrivable(store: ObjectStore) -> dict[str, bool]:
    """List what can be sent again: each key, and whether it is a failed batch of Lambda's.

    Raises `DeadLetterError` for a folder inside the dead letters, where keys would not be whole,
    and for one that holds only other objects.
    """
    return listed(store).found


class Listing(msgspec.Struct, frozen=True):
    """What can be sent again: see `redrivable`; and the keys of what Firehose could not deliver."""

    found: dict[str, bool]
    of_firehose: list[str]


def listed(store: ObjectStore) -> Listing:
    """List once what can be sent again, of all kinds. Raises what `redrivable` does."""
    if _INSIDE_URI.fullmatch(unquote(store.uri)):
        raise DeadLetterError(_give_the_root(store))
    found: dict[str, bool] = {}
    of_firehose = list[str]()
    stray, archived = None, False
    for key in store.list():
        if key.startswith(ARCHIVE):
            archived = True
            interrupted = key.removeprefix(ARCHIVE).removesuffix(JOURNAL)
            if key.endswith(JOURNAL):
                found[interrupted] = False
        elif _LETTERS.fullmatch(key):
            found[key] = False
        elif _FAILED_BATCH.fullmatch(key):
            found[key] = True
        elif is_error_file(f"{store.uri}/{key}"):
            of_firehose.append(key)
        elif _INSIDE.fullmatch(key):
            raise DeadLetterError(_give_the_root(store))
        else:
            stray = key
    if stray and not found and not of_firehose and not archived:
        message = (
            f"{store.uri} holds neither dead letters nor failed batches, but other objects "
            f"({stray} for one); give the root of either. What Firehose could not deliver is known "
            "by its folder, as processing-failed/."
        )
        raise DeadLetterError(message)
    return Listing(found, of_firehose)


def _give_the_root(store: ObjectStore) -> str:
    return (
        f"{store.uri} is inside the dead letters; give their root, which holds a folder for each "
        "dataset, and choose with --dataset and --reason."
    )


def redrive_letters(
    store: ObjectStore, key: str, pipeline: Pipeline, select: Selector, *, dry_run: bool
) -> Outcome | None:
    """Send the selected dead letters of one file, after those that a stopped run had begun.

    Returns None where there were neither.
    """
    file = _File(store, key)
    reports, begun = list[Report](), frozenset[tuple[int, ...]]()
    if not dry_run:
        begun = frozenset(file.journal())
        if begun:
            reports += _finish(file, begun, pipeline)
            file = _File(store, key)
    rest = [letter for letter in file.waiting if not _is_of(letter, begun)]
    chosen = [letter for letter in rest if select(letter)]
    if chosen:
        if not dry_run:
            file.begin([letter.unit for letter in chosen])
        reports.append(_sent(file, chosen, pipeline, dry_run=dry_run))
    elif len(file.waiting) < len(file.letters) and not dry_run:
        file.settle([], [])  # stored again by Lambda, and rows already
    return Outcome(key, tuple(reports), len(rest) - len(chosen)) if reports else None


def _finish(file: "_File", begun: frozenset[tuple[int, ...]], pipeline: Pipeline) -> list[Report]:
    """Send what a stopped run had begun to send, unless somebody deleted it meanwhile."""
    both = _distinct([*file.done, *file.letters])
    letters = [letter for letter in both if letter.unit in begun]
    if letters:
        return [_sent(file, letters, pipeline, dry_run=False)]
    file.settle([], [])
    return []


def _is_of(letter: DeadLetter, units: frozenset[tuple[int, ...]]) -> bool:
    """Return whether a dead letter is one of these units, or a document of one."""
    return any(letter.unit[:size] in units for size in range(1, ELEMENT + 1))


def _sent(file: "_File", chosen: list[DeadLetter], pipeline: Pipeline, *, dry_run: bool) -> Report:
    """Send dead letters, and record what became of them."""
    letters = to_replay(chosen, _which(file.key, chosen))
    report, failing = _send(letters, pipeline, dry_run=dry_run)
    if not dry_run:
        dataset, _, hour = file.key.rpartition("/")[0].partition("/")
        file.settle(chosen, failing, ObjectKeys(letters.batch).dead_letters(dataset, hour, 0))
    return report


class _File:
    """One file of dead letters, with its archive and its journal."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self.store = store
        self.key = key
        self._census = b""  # of the batch, which the file has for as long as it is there
        self.letters = self._read(key)
        self.done = self._read(ARCHIVE + key)

    @property
    def waiting(self) -> list[DeadLetter]:
        """The dead letters that have neither become rows nor been unpacked."""
        done = {letter.unit for letter in self.done}
        return [letter for letter in self.letters if letter.unit not in done]

    def journal(self) -> list[tuple[int, ...]]:
        """Return the units that a stopped run had begun to send."""
        try:
            return msgspec.json.decode(self.store.get(self._journal), type=list[tuple[int, ...]])
        except ObjectMissing:
            return []
        except msgspec.DecodeError:
            message = (
                f"{self.store.uri}/{self._journal} is not the journal of a redrive; delete it."
            )
            raise DeadLetterError(message) from None

    def begin(self, units: list[tuple[int, ...]]) -> None:
        """Record what is about to be sent."""
        self.store.put(self._journal, msgspec.json.encode(units))

    def settle(
        self, sent: list[DeadLetter], failing: list[DeadLetter], opened_key: str = ""
    ) -> None:
        """Record which dead letters are rows now, and which still fail.

        Documents of what could be unpacked at last, and which fail, become the file `opened_key`.
        """
        still = {letter.unit for letter in failing}
        rows = [letter for letter in sent if letter.unit not in still]
        gone = {letter.unit for letter in sent}
        rest = [letter for letter in self.waiting if letter.unit not in gone]
        parts = [letter for letter in failing if letter.unit not in gone]
        if parts or any(len(unit) < DOCUMENT for unit in gone):
            self._write(opened_key, _distinct(parts))
        same = [letter for letter in failing if letter.unit in gone]
        self._write(ARCHIVE + self.key, _distinct([*self.done, *rows]))
        self._write(self.key, _distinct([*rest, *same]))
        self.store.delete(self._journal)

    @property
    def _journal(self) -> str:
        return f"{ARCHIVE}{self.key}{JOURNAL}"

    def _read(self, key: str) -> list[DeadLetter]:
        try:
            body = self.store.get(key)
        except ObjectMissing:
            return []
        census = of_gzip(body)
        self._census = self._census or (census.to_name() if census else b"")
        return decode_dead_letters(body, f"{self.store.uri}/{key}")

    def _write(self, key: str, letters: list[DeadLetter]) -> None:
        if letters:
            self.store.put(key, named(encode_lines(letters), self._census))
        else:
            self.store.delete(key)


def redrive_batch(store: ObjectStore, key: str, pipeline: Pipeline, *, dry_run: bool) -> Outcome:
    """Store a batch that Lambda gave up on, under the keys it would have had."""
    body = store.get(key)
    batch = read_failed_batch(body, f"{store.uri}/{key}", fast=pipeline.fast_paths)
    if dry_run:
        pipeline = msgspec.structs.replace(
            pipeline, output=MemoryStore(), dead_letters=MemoryStore()
        )
    report = Attempt.untimed(pipeline).process(batch)
    if not dry_run:
        _archive(store, key, body)
    return Outcome(key, (report,))


def redrive_failed_records(
    store: ObjectStore, key: str, pipeline: Pipeline, *, dry_run: bool
) -> Outcome:
    """Store the records of a file of Firehose's; what still fails becomes dead letters of ours."""
    body = store.get(key)
    report = deliver_failed(body, f"{store.uri}/{key}", pipeline, dry_run=dry_run)
    if not dry_run:
        _archive(store, key, body)
    return Outcome(key, () if report is None else (report,))


def _archive(store: ObjectStore, key: str, body: bytes) -> None:
    """Move what is stored out of the way of the next run."""
    store.put(ARCHIVE + key, body)
    store.delete(key)


def _send(
    letters: ReplayBatch, pipeline: Pipeline, *, dry_run: bool
) -> tuple[Report, list[DeadLetter]]:
    """Replay dead letters of one file; return the report, and those that are dead letters again."""
    failing = MemoryStore()
    pipeline = msgspec.structs.replace(pipeline, dead_letters=failing)
    if dry_run:
        pipeline = msgspec.structs.replace(pipeline, output=MemoryStore())
    attempt = Attempt.untimed(pipeline)
    report = attempt.replay(letters)
    again = [
        letter for key in failing.list() for letter in decode_dead_letters(failing.get(key), key)
    ]
    return report, again


def _distinct(letters: list[DeadLetter]) -> list[DeadLetter]:
    """Order dead letters by unit; of two for one unit keep the last."""
    by_unit = {letter.unit: letter for letter in letters}
    return [by_unit[unit] for unit in sorted(by_unit)]


def _which(key: str, letters: list[DeadLetter]) -> str:
    """Say which dead letters these are, of which file: other ones must not have the same names."""
    units = msgspec.json.encode([letter.unit for letter in _distinct(letters)])
    return hashlib.sha256(units + key.encode()).hexdigest()
