"""Documents to datasets, by one member of them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec

from pipeline.core.dataset import Dataset
from pipeline.core.jsontext import SEAM, is_json, why_not_json
from pipeline.core.matching import Match
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Reject, Violation
from pipeline.core.schema.widths import width_of

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_value = attrgetter("value")


class Router:
    """Sends each document to the dataset whose [match] takes it.

    A dataset without [match] takes what no other does, and judges it. Without one, what nobody
    takes is a reject of no dataset.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = tuple(datasets)
        self.width = width_of(dataset.record for dataset in datasets)
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
        match = next((dataset.match for dataset in datasets if dataset.match is not None), None)
        self._probe = None if match is None else _probe(match.path[0])
        self._nested = None if match is None or len(match.path) == 1 else _NestedProbe(match)

    def route(
        self, chunk: Chunk, *, fast: bool = True
    ) -> tuple[list[tuple[Dataset, Chunk]], list[Reject]]:
        """Return each dataset's part of the chunk, in the order of the datasets."""
        if self._probe is None:
            return [(self.datasets[0], chunk)] if len(chunk) else [], []
        taken: dict[str, list[int]] = {dataset.name: [] for dataset in self.datasets}
        rejects: list[Reject] = []
        datasets = self._fast_find(chunk.payloads) if fast else repeat(None, len(chunk))
        for index, dataset in enumerate(datasets):
            if dataset is not None:
                taken[dataset.name].append(index)
                continue
            document = chunk.payloads[index]
            found = self._find(document)
            if isinstance(found, Violation):
                rejects.append(
                    Reject(chunk.provenance, chunk.unit[index], RejectStage.ROUTE, found, document)
                )
            else:
                taken[found.name].append(index)
        parts = [
            (dataset, _part(chunk, taken[dataset.name]))
            for dataset in self.datasets
            if taken[dataset.name]
        ]
        return parts, rejects

    def _fast_find(self, documents: Iterable[bytes]) -> list[Dataset | None]:
        """Look up each document's value by its text, as a producer most likely writes it.

        None leaves a document to `_find`: it is not readable, or its value is written otherwise.
        """
        found: list[Dataset | None] = []
        left, find = iter(documents), self._by_token.get
        while True:
            try:
                found.extend(map(find, self._tokens(left)))
            except _UNREADABLE:
                found.append(None)
            else:
                return found

    def _tokens(self, documents: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the text of each document's member. Raises what msgspec does for no object."""
        if self._nested is not None:
            return map(self._nested.find, documents)
        return map(bytes, map(_value, map(self._probe.decode, documents)))  # type: ignore[union-attr]  # see route

    def _find(self, document: bytes) -> Dataset | Violation:
        try:
            token = next(self._tokens(iter((document,))))
        except _UNREADABLE:
            return self._rest or _unreadable(document)
        found = self._exact_find(token) or self._rest
        if found is None:
            message = "No dataset's [match] takes this document; add one, or correct its producer."
            return Violation(Reason.NO_DATASET, message)
        return found

    def _exact_find(self, token: bytes) -> Dataset | None:
        """Look up a value however it is written: with escapes, or as -0, too."""
        if token.startswith((b"{", b"[")):
            return None
        try:
            value = msgspec.json.decode(token)
        except msgspec.DecodeError:  # a number that is out of range
            return None
        return self._by_value.get((type(value), value))


class _NestedProbe:
    """Finds the text of a member at a path; `null` where there is none.

    A level at a time, of which only the first is the whole document. Where the path was given as
    one text, a key of that name comes first.
    """

    def __init__(self, match: Match) -> None:
        first, *others = match.path
        members: list[Any] = [("first", msgspec.Raw, msgspec.Raw(b"null"))]
        rename = {"first": first}
        if isinstance(match.key, str):
            members.append(("whole", msgspec.Raw, None))
            rename["whole"] = match.key
        struct: Any = msgspec.defstruct("Probe", members, rename=rename, gc=False)
        self._outer = msgspec.json.Decoder(struct)
        self._inner = [_probe(key) for key in others]

    def find(self, document: bytes) -> bytes:
        """Return the member's text. Raises what msgspec does where there is no object."""
        found: Any = self._outer.decode(document)
        whole = getattr(found, "whole", None)
        if whole is not None:
            return bytes(whole)
        token = bytes(found.first)
        for probe in self._inner:
            if not token.startswith(b"{"):
                return b"null"
            token = bytes(probe.decode(token).value)
        return token


def _probe(key: str) -> Any:
    """Return a decoder that reads one key of an object and skips the others."""
    struct = msgspec.defstruct(
        "Probe", [("value", msgspec.Raw, msgspec.Raw(b"null"))], rename={"value": key}, gc=False
    )
    return msgspec.json.Decoder(struct)


def _part(chunk: Chunk, indices: list[int]) -> Chunk:
    if len(indices) == len(chunk):
        return chunk
    part = chunk.take(indices)
    if chunk.text is None:
        return part
    return msgspec.structs.replace(part, text=SEAM.join(part.payloads))


def _unreadable(document: bytes) -> Violation:
    if is_json(document):
        return Violation(Reason.NOT_OBJECT, "The document is JSON, but not an object.")
    return Violation(Reason.NOT_JSON, why_not_json(document))
