"""Documents to datasets, by one top-level JSON key."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.core.dataset import Dataset
from pipeline.core.jsontext import is_json, why_not_json
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Reject, Violation


class Router:
    """Sends each document to the dataset whose [match] takes it.

    A dataset without [match] takes what no other does, and judges it. Without one, what nobody
    takes is a reject of no dataset.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = tuple(datasets)
        self._rest = next((dataset for dataset in datasets if dataset.match is None), None)
        self._by_value = {
            (type(dataset.match.value), dataset.match.value): dataset
            for dataset in datasets
            if dataset.match is not None
        }
        # The literal as a producer most likely writes it saves decoding it for every document.
        self._by_token = {
            msgspec.json.encode(value): dataset for (_, value), dataset in self._by_value.items()
        }
        key = next((dataset.match.key for dataset in datasets if dataset.match is not None), None)
        self._probe = None if key is None else _probe(key)

    def route(
        self, chunk: Chunk, *, fast: bool = True
    ) -> tuple[list[tuple[Dataset, Chunk]], list[Reject]]:
        """Return each dataset's part of the chunk, in the order of the datasets."""
        if self._probe is None:
            return [(self._datasets[0], chunk)] if len(chunk) else [], []
        taken: dict[str, list[int]] = {dataset.name: [] for dataset in self._datasets}
        rejects: list[Reject] = []
        for index, document in enumerate(chunk.payloads):
            found = self._find(document, fast=fast)
            if isinstance(found, Violation):
                rejects.append(
                    Reject(chunk.provenance, chunk.unit[index], RejectStage.ROUTE, found, document)
                )
            else:
                taken[found.name].append(index)
        parts = [
            (dataset, _part(chunk, taken[dataset.name]))
            for dataset in self._datasets
            if taken[dataset.name]
        ]
        return parts, rejects

    def _find(self, document: bytes, *, fast: bool) -> Dataset | Violation:
        try:
            token = bytes(self._probe.decode(document).value)  # type: ignore[union-attr]  # see route
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._rest or _unreadable(document)
        found = self._fast_find(token) if fast else None
        found = found or self._exact_find(token) or self._rest
        if found is None:
            message = "No dataset's [match] takes this document; add one, or correct its producer."
            return Violation(Reason.NO_DATASET, message)
        return found

    def _fast_find(self, token: bytes) -> Dataset | None:
        """Look up a value by its text, as a producer most likely writes it."""
        return self._by_token.get(token)

    def _exact_find(self, token: bytes) -> Dataset | None:
        """Look up a value however it is written: with escapes, or as -0, too."""
        if token.startswith((b"{", b"[")):
            return None
        try:
            value = msgspec.json.decode(token)
        except msgspec.DecodeError:  # a number that is out of range
            return None
        return self._by_value.get((type(value), value))


def _probe(key: str) -> Any:
    """Return a decoder that reads one key of an object and skips the others."""
    struct = msgspec.defstruct(
        "Probe", [("value", msgspec.Raw, msgspec.Raw(b"null"))], rename={"value": key}, gc=False
    )
    return msgspec.json.Decoder(struct)


def _part(chunk: Chunk, indices: list[int]) -> Chunk:
    return chunk if len(indices) == len(chunk) else chunk.take(indices)


def _unreadable(document: bytes) -> Violation:
    if is_json(document):
        return Violation(Reason.NOT_OBJECT, "The document is JSON, but not an object.")
    return Violation(Reason.NOT_JSON, why_not_json(document))
