"""What the page asks for, and the answers."""

import threading
from typing import Any

import msgspec

from pipeline.core.dataset import UNROUTED
from pipeline.core.deadletter import DeadLetter
from pipeline.core.errors import ConfigurationError, DeadLetterError
from pipeline.core.reasons import MEANINGS, Reason
from pipeline.page.board import Board, Kind
from pipeline.page.rule import find_rule
from pipeline.page.sample import Samples, shown
from pipeline.page.trial import (
    Edited,
    Texts,
    advice,
    document_letter,
    edited_pipeline,
    judge,
    outcome,
    read_folder,
)


class Question(Edited, frozen=True):
    """What is to be judged: the sample of a kind, or else a document; with which texts."""

    kind: int | None = None


_decode = msgspec.json.Decoder(Question).decode


class Answers:
    """Answers about one board. Judging is done for one browser at a time."""

    def __init__(self, board: Board) -> None:
        self.state = board.state
        self._board = board
        self._samples = Samples(board)
        self._lock = threading.Lock()

    def datasets(self) -> list[Texts]:
        """Return what can be edited."""
        return read_folder(self._board.schemas)

    def sample(self, number: int) -> dict[str, Any]:
        """Return a kind's sample, and the rule that refused it."""
        kind = self._kind(number)
        with self._lock:
            letter = self._samples.of(kind)
        path = kind.path if letter is None else letter.path
        return {
            "sample": None if letter is None else shown(letter),
            "rule": self._rule(kind, path),
            "meaning": MEANINGS[Reason(kind.reason)],
        }

    def judge(self, body: bytes) -> dict[str, Any]:
        """Judge a sample or a document with texts as they are being edited.

        A `fault` says why these cannot be used, which is usual while somebody types.
        """
        try:
            question = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = "That is not a question this page asks; load it again."
            raise DeadLetterError(message) from None
        try:
            pipeline, dataset = edited_pipeline(self._board.pipeline, question)
        except ConfigurationError as error:
            return {"fault": str(error)}
        with self._lock:
            letter = self._letter(question)
            return {
                **({} if letter is None else judge(letter, pipeline)),
                "advice": advice(self._board.pipeline, dataset),
                "samples": self._outcomes(question.dataset, pipeline),
            }

    def _kind(self, number: int) -> Kind:
        for kind in self._board.kinds():
            if kind.number == number:
                return kind
        message = "There is no such sample; the run was started anew. Load the page again."
        raise DeadLetterError(message)

    def _rule(self, kind: Kind, path: str) -> dict[str, Any] | None:
        texts = next((each for each in self.datasets() if each.dataset == kind.dataset), None)
        if texts is None:
            return None
        rule = find_rule(kind.reason, path, texts.schema, texts.settings)
        return None if rule is None else {**rule._asdict(), "version": texts.version}

    def _letter(self, question: Question) -> DeadLetter | None:
        sample = None if question.kind is None else self._samples.of(self._kind(question.kind))
        if question.document is None:
            return sample
        document = question.document.encode(errors="replace")
        if sample is None:
            return document_letter(document)
        return msgspec.structs.replace(sample, payload=document, sealed=None)

    def _outcomes(self, dataset: str, pipeline: Any) -> list[dict[str, Any]]:
        """Say of every kind of a dataset, or of none, what its sample would become now."""
        found = []
        for kind in self._board.kinds():
            if kind.dataset in {dataset, UNROUTED}:
                letter = self._samples.of(kind)
                if letter is not None:
                    found.append({"kind": kind.number, "now": outcome(letter, pipeline)})
        return found
