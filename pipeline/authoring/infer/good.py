"""Which of the sample documents become good.ndjson."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.core.jsontext import read_exactly

_MOST_KEPT = 256  # documents among which is chosen,
_LARGEST_KEPT = 16 * 2**10  # of at most so many bytes each,
_MOST_GOOD = 12  # and how many are
_DEEPEST_STATE = 4
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")

_State = tuple[tuple[str, ...], str]


def good_samples(texts: Iterable[bytes], paths: Sequence[tuple[str, ...]]) -> tuple[bytes, ...]:
    """Choose documents that show each field absent, null and there, as far as any does.

    Each is on a line of its own: within a JSON text, line breaks are white space.
    """
    kept: dict[frozenset[_State], bytes] = {}
    for text in texts:
        if len(kept) == _MOST_KEPT:
            break
        if len(text) <= _LARGEST_KEPT:
            kept.setdefault(frozenset(_states(read_exactly(text), ())), text)
    shows = {text: _shown(states, paths) for states, text in kept.items()}
    chosen, left = list[bytes](), set[_State]().union(*shows.values())
    while left and len(chosen) < _MOST_GOOD:
        best = max(shows, key=lambda text: len(shows[text] & left))
        chosen.append(best)
        left -= shows[best]
    return tuple(text.translate(_LINE_BREAKS) for text in shows if text in chosen)


def _states(value: dict[str, Any], above: tuple[str, ...]) -> Iterator[_State]:
    """Yield the keys of an object, and of objects in it, and whether they are null."""
    for key, inner in value.items():
        path = (*above, key)
        yield path, "null" if inner is None else "there"
        if isinstance(inner, dict) and len(path) < _DEEPEST_STATE:
            yield from _states(inner, path)


def _shown(states: frozenset[_State], paths: Sequence[tuple[str, ...]]) -> set[_State]:
    """Return what a document shows of the drafted fields; absence only where there is an object."""
    there = {path for path, state in states if state == "there"} | {()}
    known = {path for path, _ in states}
    wanted = set(paths)
    shown = {(path, "absent") for path in paths if path not in known and path[:-1] in there}
    return shown | {(path, state) for path, state in states if path in wanted}
