"""Documents to datasets, by members of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec

from pipeline.core.dataset import Dataset
from pipeline.core.jsontext import SEAM, is_json, why_not_json
from pipeline.core.matching import Key, Match, Scalar
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Reject, Violation
from pipeline.core.schema.widths import width_of

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_OTHER = -1  # the number of a value that no [match] names
_UNKNOWN = -2  # and of one that may be written in another way than usual
_value = attrgetter("value")


class Router:
    """Sends each document to the dataset whose [match] takes it.

    A dataset without [match] takes what no other does, and judges it. Without one, what nobody
    takes is a reject of no dataset.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = tuple(datasets)
        self.width = width_of(dataset.record for dataset in datasets)
        self._rest = next((dataset for dataset in datasets if dataset.match is None), None)
        self._keys = list(map(_Key, *_values_of(datasets)))
        self._of_numbers = dict[tuple[int, ...], Dataset | None]()
        # The literal as a producer most likely writes it saves decoding it for every document.
        self._by_token: dict[bytes, Dataset | None] = {}
        if len(self._keys) == 1:
            tokens = self._keys[0].numbers
            self._by_token = {token: self._taker((n,)) for token, n in tokens.items()}

    def route(
        self, chunk: Chunk, *, fast: bool = True
    ) -> tuple[list[tuple[Dataset, Chunk]], list[Reject]]:
        """Return each dataset's part of the chunk, in the order of the datasets."""
        if not self._keys:
            return [(self._datasets[0], chunk)] if len(chunk) else [], []
        taken: dict[str, list[int]] = {dataset.name: [] for dataset in self._datasets}
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
            for dataset in self._datasets
            if taken[dataset.name]
        ]
        return parts, rejects

    def _fast_find(self, documents: Iterable[bytes]) -> list[Dataset | None]:
        """Look up each document's values by their text, as a producer most likely writes it.

        None leaves a document to `_find`: it is not readable, or a value is written otherwise.
        """
        found: list[Dataset | None] = []
        left = iter(documents)
        while True:
            try:
                found.extend(self._takers(left))
            except _UNREADABLE:
                found.append(None)
            else:
                return found

    def _takers(self, documents: Iterator[bytes]) -> Iterator[Dataset | None]:
        """Yield the dataset of each document. Raises what msgspec does for no object."""
        if len(self._keys) == 1:
            return map(self._by_token.get, self._keys[0].tokens(documents))
        return map(self._fast_taker, documents)

    def _fast_taker(self, document: bytes) -> Dataset | None:
        numbers = tuple([key.fast_number(document) for key in self._keys])
        return None if _UNKNOWN in numbers else self._taker(numbers)

    def _find(self, document: bytes) -> Dataset | Violation:
        try:
            numbers = tuple([key.number(document) for key in self._keys])
        except _UNREADABLE:
            return self._rest or _unreadable(document)
        found = self._taker(numbers) or self._rest
        if found is None:
            message = "No dataset's [match] takes this document; add one, or correct its producer."
            return Violation(Reason.NO_DATASET, message)
        return found

    def _taker(self, numbers: tuple[int, ...]) -> Dataset | None:
        """Return the dataset whose [match] takes documents with the values of these numbers."""
        if numbers not in self._of_numbers:
            values = {
                key.key: key.values[number]
                for key, number in zip(self._keys, numbers, strict=True)
                if number != _OTHER
            }
            takers = (each for each in self._datasets if _takes(each, values))
            self._of_numbers[numbers] = next(takers, None)
        return self._of_numbers[numbers]


def _values_of(datasets: Sequence[Dataset]) -> tuple[list[Key], list[list[Scalar]]]:
    """Return the keys that [match] looks at, and all values of each."""
    values: dict[Key, list[Scalar]] = {}
    for dataset in datasets:
        for condition in dataset.match.conditions if dataset.match is not None else ():
            values.setdefault(condition.key, []).extend(condition.values)
    return list(values), list(values.values())


def _takes(dataset: Dataset, values: Mapping[Key, Scalar]) -> bool:
    """Tell whether a dataset's [match] takes documents with these values at these keys."""
    return dataset.match is not None and all(
        condition.key in values and _known(values[condition.key]) in map(_known, condition.values)
        for condition in dataset.match.conditions
    )


def _known(value: Any) -> tuple[type, Any]:
    return type(value), value  # as 1 and true are not the same


class _Key:
    """A key that [match] looks at, and its values, each of which has a number."""

    def __init__(self, key: Key, values: Sequence[Scalar]) -> None:
        self.key = key
        self.values = values
        self.numbers = {msgspec.json.encode(value): n for n, value in enumerate(values)}
        self._exact = {_known(value): n for n, value in enumerate(values)}
        match = Match(key, "")
        self._probe = _probe(match.path[0])
        self._nested = None if len(match.path) == 1 else _NestedProbe(match)

    def tokens(self, documents: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the text of each document's member. Raises what msgspec does for no object."""
        if self._nested is not None:
            return map(self._nested.find, documents)
        return map(bytes, map(_value, map(self._probe.decode, documents)))

    def fast_number(self, document: bytes) -> int:
        """Return the number of a document's value; `_UNKNOWN` leaves it to `number`."""
        token = next(self.tokens(iter((document,))))
        number = self.numbers.get(token, _OTHER)
        may_be_known = number == _OTHER and (b"\\" in token or token == b"-0")
        return _UNKNOWN if may_be_known else number

    def number(self, document: bytes) -> int:
        """Return the number of a value however it is written: with escapes, or as -0, too."""
        token = next(self.tokens(iter((document,))))
        if token.startswith((b"{", b"[")):
            return _OTHER
        try:
            value = msgspec.json.decode(token)
        except msgspec.DecodeError:  # a number that is out of range
            return _OTHER
        return self._exact.get(_known(value), _OTHER)


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
