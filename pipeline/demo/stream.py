"""The records that producers put on a stream: mixed, packed, one in a hundred broken.

Made lazily, so that a longer stream costs no more memory. Only the seed decides: there is no
clock here, and the same seed gives the same bytes.
"""

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

import msgspec
import pyarrow as pa

from pipeline.core.dataset import UNROUTED
from pipeline.core.kpl import UserRecord
from pipeline.demo.broken import KINDS, BrokenKind
from pipeline.demo.documents import HOURS, START, Shop
from pipeline.demo.shard import EVENT_BYTES, Event, Shard

_SHARDS = 4
_ONE_BROKEN_IN = 100
_SAMPLE = 200  # orders
_SHARE_OF_CLICKS = 0.6
_SHARE_AGGREGATED = 0.5  # of what may be
# How user records are written: how many documents are in one at least and at most, and how many
# in a thousand are written so.
_STYLES = {
    "aggregated": (1, 1, 925),
    "alone": (1, 1, 15),
    "pretty": (1, 1, 25),
    "lines": (2, 8, 15),
    "gzip": (10, 40, 10),
    "zstd": (10, 40, 10),
}
_STYLE_WEIGHTS = tuple(accumulate(often for _, _, often in _STYLES.values()))


@dataclass(slots=True)
class StreamTotals:
    """What is on the stream, counted by the one who put it there.

    `documents` and `broken` by dataset, "unrouted" where nobody can say; `reasons` are
    those that the broken must get, `kinds` what they are. `sample` are the first
    orders.
    """

    documents: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sample: list[bytes] = field(default_factory=list)


class SentRecord(NamedTuple):
    """What a producer sends in one go: a user record, or (`alone`) a stream record as it is."""

    key: str
    data: bytes
    alone: bool


class Stream:
    """A stream of about so many documents: of more, where every kind of broken asks for it.

    `records`, or `events` made of them, may be iterated once. `totals` counts what has been
    yielded, and a little more that waits in the shards.
    """

    def __init__(
        self, documents: int, seed: int, start: datetime = START, event_bytes: int = EVENT_BYTES
    ) -> None:
        self.totals = StreamTotals()
        self._start = start
        self._shop = Shop(seed)
        self._due = _schedule(documents, self._shop)
        self._length = max(documents, 2 * len(self._due))
        self._shards = [Shard(number, event_bytes) for number in range(_SHARDS)]

    def __len__(self) -> int:
        return self._length

    def events(self) -> Iterator[Event]:
        """Yield Lambda's events, each of one shard, as soon as one is full."""
        for sent in self.records():
            shard = self._shard_of(sent.key)
            if sent.alone:
                shard.put(sent.key, sent.data, self._shop.now)
            else:
                shard.collect(UserRecord(sent.key, sent.data), self._shop.now)
            yield from self._full(shard)
        for shard in self._shards:
            shard.finish(self._shop.now)
            yield from self._full(shard)

    def records(self) -> Iterator[SentRecord]:
        """Yield what producers send, in the order of their clocks."""
        while self._due or self.totals.documents.total() < self._length:
            sent = self.totals.documents.total() / self._length
            self._shop.now = self._start + timedelta(hours=HOURS * sent)
            if self._due and self._due[-1][0] <= sent:
                yield self._broken(self._due.pop()[1])
            else:
                yield self._sent(*self._user_record())

    def _shard_of(self, key: str) -> Shard:
        # As Kinesis does it: the shards share the space of MD5 evenly.
        digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
        return self._shards[digest[0] * _SHARDS // 256]

    @staticmethod
    def _full(shard: Shard) -> Iterator[Event]:
        while shard.full:
            yield shard.full.pop(0)

    def _broken(self, kind: BrokenKind) -> SentRecord:
        """Send one in the way of its kind."""
        totals, dataset = self.totals, kind.dataset or UNROUTED
        for counts, name in (
            (totals.documents, dataset),
            (totals.broken, dataset),
            (totals.reasons, kind.reason),
            (totals.kinds, kind.name),
        ):
            counts[name] += 1
        data = kind.make(self._shop)
        if kind.sent_as == "document":
            return self._sent(*self._user_record(data, is_last=kind.is_open))
        totals.documents["orders"] += kind.good_orders
        return self._sent(kind.sent_as == "user record", data)

    def _user_record(
        self, broken: bytes | None = None, *, is_last: bool = False
    ) -> tuple[bool, bytes]:
        """Write a user record, `broken` somewhere in it; say whether it may be aggregated."""
        shop = self._shop
        style = shop.choice(tuple(_STYLES), _STYLE_WEIGHTS)
        if style == "pretty" and broken is not None:
            style = "alone"  # what is not JSON cannot be printed prettily
        least, most, _ = _STYLES[style]
        count = shop.random.randint(least, most)
        documents = [self._document() for _ in range(count - (broken is not None))]
        if broken is not None:
            place = shop.random.randrange(count)
            documents.insert(count if is_last else place, broken)
        may_aggregate = style == "aggregated" or (
            style != "alone" and shop.random.random() < _SHARE_AGGREGATED
        )
        return may_aggregate, _written(style, documents)

    def _document(self) -> bytes:
        if self._shop.random.random() < _SHARE_OF_CLICKS:
            self.totals.documents["clicks"] += 1
            return msgspec.json.encode(self._shop.click())
        self.totals.documents["orders"] += 1
        order = msgspec.json.encode(self._shop.order())
        if len(self.totals.sample) < _SAMPLE:
            self.totals.sample.append(order)
        return order

    def _sent(self, may_aggregate: bool, data: bytes) -> SentRecord:  # noqa: FBT001 - as it comes
        return SentRecord(self._shop.key(), data, alone=not may_aggregate)


def _schedule(documents: int, shop: Shop) -> list[tuple[float, BrokenKind]]:
    """Plan the broken: each kind once, the cheap ones more often. The last comes first.

    The number with each is how much of the stream has been sent when its turn comes.
    """
    cheap = [kind for kind in KINDS if not kind.costly]
    more = max(0, documents // _ONE_BROKEN_IN - len(KINDS))
    kinds = [*KINDS, *shop.random.choices(cheap, k=more)]
    turns = sorted((shop.random.random() for _ in kinds), reverse=True)
    shop.random.shuffle(kinds)
    return list(zip(turns, kinds, strict=True))


def _written(style: str, documents: list[bytes]) -> bytes:
    """Write documents as one payload."""
    if style == "pretty":
        return msgspec.json.format(documents[0], indent=2)
    lines = b"\n".join(documents)
    if style == "gzip":
        return gzip.compress(lines, compresslevel=6, mtime=0)
    if style == "zstd":
        packed: bytes = pa.Codec("zstd").compress(lines, asbytes=True)
        return packed
    return lines
