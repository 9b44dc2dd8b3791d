"""The first dead letter of a kind, made again from the stream record that it came of.

A verdict is a function of the document alone, so this is the dead letter that was stored, with the
same private fields replaced in it.
"""

from typing import Any, Final

import msgspec
import pybase64

from pipeline.adapters.memory import MemoryStore
from pipeline.adapters.unfinished import Unfinished
from pipeline.attempt import Attempt, countdown
from pipeline.core.deadletter import DeadLetter, decode_dead_letters
from pipeline.core.ledger import Names
from pipeline.flow import Pipeline
from pipeline.page.board import Board, Kind

_PATIENCE: Final = 20.0  # seconds
_LARGEST: Final = 64 * 2**10  # bytes of a payload that the page shows


class Samples:
    """The samples of a board that were asked for so far."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._letters: dict[int, DeadLetter | None] = {}

    def of(self, kind: Kind) -> DeadLetter | None:
        """Return the sample of a kind; None where its stream record was not held, or is large."""
        if kind.number not in self._letters:
            letter = _first_letter(kind, self._board.pipeline)
            fits = letter is not None and len(letter.payload) <= _LARGEST
            self._letters[kind.number] = letter if fits else None
            self._board.let_go(kind)
        return self._letters[kind.number]


def in_memory(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that judges as this one does, and stores nothing."""
    return msgspec.structs.replace(
        pipeline,
        output=MemoryStore(),
        dead_letters=MemoryStore(),
        fuse=None,
        names=Names(),
        unfinished=Unfinished(),
    )


def attempt(pipeline: Pipeline) -> Attempt:
    """Return an attempt that ends after a while."""
    return Attempt(pipeline, countdown(_PATIENCE), 0.0)


def letters_in(store: MemoryStore) -> list[DeadLetter]:
    """Read all dead letters of a store."""
    return [letter for key in store.list() for letter in decode_dead_letters(store.get(key), key)]


def shown(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as the page has it."""
    try:
        text = letter.payload.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        text, encoding = pybase64.b64encode(letter.payload).decode(), "base64"
    return {
        "stage": letter.stage,
        "reason": letter.reason,
        "message": letter.message,
        "path": letter.path,
        "dataset": letter.dataset,
        "position": [letter.sequence_number, letter.sub_sequence_number, letter.document],
        "shard": letter.source.rpartition("/")[2],
        "redacted": list(letter.redacted),
        "encoding": encoding,
        "payload": text,
    }


def _first_letter(kind: Kind, pipeline: Pipeline) -> DeadLetter | None:
    batch = kind.batch
    if batch is None:
        return None
    pipeline, store = in_memory(pipeline), MemoryStore()
    attempt(msgspec.structs.replace(pipeline, dead_letters=store)).process(batch)
    first = kind.first
    position = int(first.sequence_number), first.sub_sequence_number, first.document
    return next(
        (
            letter
            for letter in letters_in(store)
            if letter.position == position and letter.reason == kind.reason
        ),
        None,
    )
