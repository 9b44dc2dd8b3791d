"""Spans of landing objects, groups of those that overlap, and the ranges that a table may hold.

A span is where a landing object's rows stand on their source: every sequence number of its rows
lies within it. So two objects whose spans do not meet have no row in common, and nobody has to
compare their rows.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

MOST_SOURCES: Final = 500
"""Sources whose ranges a table's property has: 1,000 make it 190 KB."""


class Span(msgspec.Struct, frozen=True, order=True):
    """From which to which sequence number of a source, both included."""

    source: str
    first: int
    last: int

    def meets(self, other: "Span") -> bool:
        """Tell whether the two may have a row in common."""
        return self.source == other.source and self.first <= other.last and other.first <= self.last


def is_shard(source: str) -> bool:
    """Tell whether a source is a shard, whose sequence numbers all have as many digits."""
    return ":stream/" in source and "/shardId-" in source


class Ranges:
    """For each source, a range that has all of its rows in a table, and perhaps more.

    Of a source that is not there nothing is known: its rows have to be looked up. Too large a range
    costs a look-up; too small a one would let a row in twice.
    """

    def __init__(self, ranges: Mapping[str, tuple[int, int]]) -> None:
        """Know these ranges; the sources that were seen last stand last."""
        self._ranges = dict(ranges)

    @classmethod
    def read(cls, text: str | None) -> "Ranges":
        """Read what `text` returned. What cannot be read says nothing."""
        # Not by msgspec's decoder, which reads no integers of more than 64 bits.
        try:
            return cls(msgspec.convert(json.loads(text or "{}"), dict[str, tuple[int, int]]))
        except (ValueError, msgspec.ValidationError):
            return cls({})

    def text(self) -> str:
        """Return the ranges as a table's property has them."""
        # Not msgspec's encoder, which makes no integers of more than 64 bits.
        return json.dumps(self._ranges, separators=(",", ":"))

    def knows(self, source: str) -> bool:
        """Tell whether a source's rows are all in its range."""
        return source in self._ranges

    def span_of(self, source: str) -> Span | None:
        """Return a source's range; None where nothing is known of it."""
        if source not in self._ranges:
            return None
        return Span(source, *self._ranges[source])

    def may_have(self, span: Span) -> bool:
        """Tell whether rows of the span may be in the table."""
        if span.source not in self._ranges:
            return True
        first, last = self._ranges[span.source]
        return span.first <= last and first <= span.last

    def widened(self, spans: Iterable[Span]) -> "Ranges":
        """Return ranges that have these spans, too; the sources seen longest ago are left out."""
        ranges = dict(self._ranges)
        for span in spans:
            first, last = ranges.pop(span.source, (span.first, span.last))
            ranges[span.source] = (min(first, span.first), max(last, span.last))
        return Ranges(dict(list(ranges.items())[-MOST_SOURCES:]))


def spans_text(spans: Iterable[Span]) -> str | None:
    """Return the spans of a commit as its summary has them; None for too many sources."""
    ranges = Ranges({})
    found = list(spans)
    if len({span.source for span in found}) > MOST_SOURCES:
        return None
    return ranges.widened(found).text()


def spans_meet(text: str | None, spans: Iterable[Span]) -> bool:
    """Tell whether a commit whose summary has `text` may have added a row of these spans."""
    if text is None:
        return True
    others = Ranges.read(text)
    return any(others.knows(span.source) and others.may_have(span) for span in spans)


class NamedObject(msgspec.Struct, frozen=True):
    """A landing object as its name describes it; `shard` is as the name shows it."""

    shard: str
    first: int
    last: int
    key: str


def groups_of(objects: Iterable[NamedObject]) -> Iterator[list[NamedObject]]:
    """Yield the objects in the order of their streams, together those whose spans overlap.

    Of one source all names show the same shard, so objects of two groups have no row in common.
    """
    group = list[NamedObject]()
    last = -1
    for each in sorted(objects, key=lambda one: (one.shard, one.first, one.last, one.key)):
        if group and (each.shard != group[0].shard or each.first > last):
            yield group
            group, last = [], -1
        group.append(each)
        last = max(last, each.last)
    if group:
        yield group
