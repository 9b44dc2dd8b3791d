"""Sample documents to the draft of a dataset.

Documents are folded, one at a time, into what was seen at each place (`observed`); from that types
are guessed (`guess`) and written (`render`). Every document that was added becomes a row of the
drafted dataset: a guess that does not hold for all of them is not made, and a field that no one
type holds is left out and named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.authoring.infer.guess import Guess, Guesser, LeftOut, Line
from pipeline.authoring.infer.names import dataset_name
from pipeline.authoring.infer.observed import MOST_KEYS, Seen
from pipeline.authoring.infer.render import avsc_text, config_text
from pipeline.core.dataset import parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import WHITESPACE, Integer, deeper_than, is_json, read_exactly
from pipeline.core.matching import Match
from pipeline.core.records import Limits
from pipeline.core.schema.avro import NO_KEY

__all__ = ["Draft", "LeftOut", "Line", "Samples", "check_name", "dataset_name"]

_MOST_KEPT = 256  # documents among which good.ndjson is chosen,
_LARGEST_KEPT = 16 * 2**10  # of at most so many bytes each,
_MOST_GOOD = 12  # and how many are
_DEEPEST_STATE = 4
_LIKELY_KEYS = ("@stream", "stream", "event_type", "eventType", "event", "type", "kind")
_INTEGERS = (-(2**63), 2**63 - 1)
_SMALLEST_SCHEMA = '{"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}]}'

_State = tuple[tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class Draft:
    """The texts of a dataset's folder, and what to say about them."""

    avsc: str
    config: str
    good: tuple[bytes, ...]
    lines: tuple[Line, ...]
    left_out: tuple[LeftOut, ...]


def check_name(name: str, match_field: str | None = None) -> None:
    """Refuse what cannot be a dataset's name or the key of its [match]. Raises `DatasetError`.

    It needs no documents, so that a wrong name is refused before any is read.
    """
    parse_dataset(name, {1: _SMALLEST_SCHEMA}, "")
    if match_field is not None and NO_KEY.search(match_field):
        message = (
            f"The documents cannot be matched by {match_field!r}: a key of [match] has no quote, "
            "backslash or control character."
        )
        raise DatasetError(message)


class Samples:
    """What was seen of the documents so far. `match_field` is the key of [match], if there is one.

    `documents` counts what was added, `skipped` what is not a JSON object or is over a limit:
    that would never become a row.
    """

    def __init__(self, match_field: str | None = None, limits: Limits | None = None) -> None:
        self.documents = 0
        self.skipped = 0
        self._limits = limits or Limits()
        self._seen = Seen()
        self._match_field = match_field
        self._matches: list[Match | None] = []
        self._kept: dict[frozenset[_State], bytes] = {}

    def add(self, line: bytes) -> None:
        """Add one line, or skip it."""
        text = line.strip(WHITESPACE)
        document = self._read(text)
        if document is None:
            self.skipped += 1
            return
        self.documents += 1
        self._seen.add(document)
        self._note_match(document)
        if not self._kept or (len(self._kept) < _MOST_KEPT and len(text) <= _LARGEST_KEPT):
            self._kept.setdefault(frozenset(_states(document, ())), text)

    def draft(self, name: str) -> Draft:
        """Draft the dataset. Raises `DatasetError` where there is nothing to draft it from."""
        if not self.documents:
            message = (
                f"There is no document to draft {name} from: none of {self.skipped:,} lines is a "
                "JSON object. Give one document per line, not one over several lines."
                if self.skipped
                else f"There is no document to draft {name} from: the input is empty."
            )
            raise DatasetError(message)
        if self._seen.many:
            message = (
                f"The documents have more than {MOST_KEYS:,} different keys: such keys are data, "
                "and a table has a column for each. Put them into an object under one key."
            )
            raise DatasetError(message)
        match = self._match()
        record = Guesser(name).document(self._seen)
        if isinstance(record, str):
            message = f"No field of the documents has one type that a column of {name} could have."
            raise DatasetError(message)
        avsc = avsc_text(record, self.documents)
        config = config_text(record, match, self._likely_matches())
        parse_dataset(name, {1: avsc}, config)
        return Draft(avsc, config, self._good(record), record.lines, record.left_out)

    def _read(self, text: bytes) -> dict[str, Any] | None:
        if len(text) > self._limits.document_bytes or deeper_than(text, self._limits.depth):
            return None
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
        document = read_exactly(text) if is_json(text) else None
        return document if isinstance(document, dict) else None

    def _note_match(self, document: dict[str, Any]) -> None:
        """Note what the documents have under the key of [match]: two values are enough."""
        if self._match_field is None or len(self._matches) > 1:
            return
        found = _match_of(self._match_field, Match(self._match_field, "").find(document))
        if repr(found) not in map(repr, self._matches):  # repr: 1 and true are not the same
            self._matches.append(found)

    def _match(self) -> Match | None:
        if self._match_field is None:
            return None
        if len(self._matches) == 1 and self._matches[0] is not None:
            return self._matches[0]
        why = (
            "has different values in them; a dataset accepts one, so give a file of one kind"
            if len(self._matches) > 1 and None not in self._matches
            else "is not a string, an integer or a boolean in some of them, or is absent"
        )
        message = f"The documents cannot be matched by {self._match_field!r}: it {why}."
        raise DatasetError(message)

    def _likely_matches(self) -> list[Match]:
        """Return the keys that have one value in all documents, of the usual names only."""
        likely = []
        for key in _LIKELY_KEYS:
            seen = self._seen.keys.get(key)
            if seen is None or seen.texts is None or seen.texts.count != self.documents:
                continue
            if seen.texts.symbols and len(seen.texts.symbols) == 1:
                likely.append(Match(key, *seen.texts.symbols))
        return likely

    def _good(self, record: Guess) -> tuple[bytes, ...]:
        """Choose documents that show each field absent, null and there, as far as any does."""
        paths = [line.keys for line in record.lines if line.keys]
        shows = {text: _shown(states, paths) for states, text in self._kept.items()}
        chosen, left = list[bytes](), set[_State]().union(*shows.values())
        while left and len(chosen) < _MOST_GOOD:
            best = max(shows, key=lambda text: len(shows[text] & left))
            chosen.append(best)
            left -= shows[best]
        return tuple(text for text in shows if text in chosen)


def _match_of(key: str, value: Any) -> Match | None:
    """Return the [match] of a value; None if it cannot be one."""
    if isinstance(value, Integer):
        low, high = _INTEGERS
        fits = len(value) <= len(str(low)) and low <= int(value) <= high
        return Match(key, int(value)) if fits else None
    # A number with a fraction is a kind of str here, and no value of [match].
    return Match(key, value) if isinstance(value, bool) or type(value) is str else None


def _states(value: dict[str, Any], above: tuple[str, ...]) -> Iterator[_State]:
    """Yield the keys of an object, and of objects in it, and whether they are null."""
    for key, inner in value.items():
        path = (*above, key)
        yield path, "null" if inner is None else "there"
        if isinstance(inner, dict) and len(path) < _DEEPEST_STATE:
            yield from _states(inner, path)


def _shown(states: frozenset[_State], paths: list[tuple[str, ...]]) -> set[_State]:
    """Return what a document shows of the drafted fields; absence only where there is an object."""
    there = {path for path, state in states if state == "there"} | {()}
    known = {path for path, _ in states}
    shown = {(path, "absent") for path in paths if path not in known and path[:-1] in there}
    return shown | {(path, state) for path, state in states if path in set(paths)}
