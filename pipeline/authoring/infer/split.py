"""Which key tells kinds of documents apart."""

from collections.abc import Iterable
from itertools import combinations
from typing import Any

from pipeline.core.jsontext import Integer, is_text
from pipeline.core.matching import Key, Match
from pipeline.core.member_path import NO_KEY

MOST_KINDS = 50
"""Datasets that a split may make."""

LIKELY_KEYS = (
    *("@stream", "stream", "event_type", "eventType", "event", "type", "kind"),
    *("detail-type", "tableName", "table", "messageType", "name"),
)
_FEW_KINDS = 20  # that are plain without being asked for,
_FEW_DOCUMENTS = 3  # of so many documents each
_ALIKE = 0.5  # share of keys in common that one kind's documents may have with another's
_ALIKE_BY_NAME = 0.75  # and where the key's name says so, too
_LONGEST_VALUE = 64
_INTEGERS = (-(2**63), 2**63 - 1)


def match_in(key: Key, document: dict[str, Any]) -> Match | None:
    """Return the [match] of a document as `read_exactly` reads it; None if it can have none."""
    value = Match(key, "").find(document)
    if isinstance(value, Integer):
        low, high = _INTEGERS
        fits = len(value) <= len(str(low)) and low <= int(value) <= high
        return Match(key, int(value)) if fits else None
    return Match(key, value) if isinstance(value, bool) or is_text(value) else None


def find_key(documents: Iterable[dict[str, Any]]) -> str | None:
    """Return the outermost key whose few texts plainly tell kinds of documents apart.

    All documents have it, and those of one text have few keys in common with those of another.
    """
    kinds: dict[str, dict[str, tuple[int, frozenset[str]]]] | None = None
    for document in documents:
        usable = {
            key: value
            for key, value in document.items()
            if is_text(value) and 0 < len(value) <= _LONGEST_VALUE and not NO_KEY.search(key)
        }
        if kinds is None:
            kinds = {key: {} for key in usable}
        for key in list(kinds):
            found = kinds[key]
            if key not in usable or (usable[key] not in found and len(found) == _FEW_KINDS):
                del kinds[key]
                continue
            count, keys = found.get(usable[key], (0, frozenset()))
            found[usable[key]] = count + 1, keys | document.keys()
        if not kinds:
            return None
    plain = {key: len(found) for key, found in (kinds or {}).items() if _is_plain(key, found)}
    order = (*LIKELY_KEYS, *plain)
    return min(
        plain, key=lambda key: (order.index(key) // len(LIKELY_KEYS), plain[key]), default=None
    )


def _is_plain(key: str, kinds: dict[str, tuple[int, frozenset[str]]]) -> bool:
    if len(kinds) < 2:  # noqa: PLR2004 - kinds to tell apart
        return False
    is_likely = key in LIKELY_KEYS
    counts = [count for count, _ in kinds.values()]
    fewest = sum(counts) / len(counts) if is_likely else min(counts)
    own = [keys - {key} for _, keys in kinds.values()]
    most = _ALIKE_BY_NAME if is_likely else _ALIKE
    return fewest >= _FEW_DOCUMENTS and all(
        len(one & two) <= most * len(one | two) for one, two in combinations(own, 2)
    )
