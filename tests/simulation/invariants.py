"""The laws, held against what the handler does, from outside.

What the stores are asked for is written down while the handler runs, and judged when it does not:
an error raised inside would be taken for one of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple
from unicodedata import normalize

import pyarrow as pa
from support import ARN

from pipeline.core.records import StreamRecord

from .documents import Verdict
from .formats import Found, formats_of, read_object
from .history import LawBroken
from .stream import Identity, Shard, SimulatedStream, number_of

Cut = tuple[str, tuple[str, ...]]
"""A batch: its source and all its sequence numbers."""
Address = tuple[str, str]
"""An object: its store's URI and its key."""


_NONE: Mapping[str, int] = {}


class _Event(NamedTuple):
    kind: Literal["attempted", "stored", "acknowledged"]
    address: Address
    body: bytes


class Laws:
    """Knows what was promised so far, and raises `LawBroken` when a promise is broken."""

    def __init__(self, stream: SimulatedStream) -> None:
        self.stream = stream
        self.given_up: set[tuple[str, str]] = set()
        """Source and sequence number of the stream records in failure documents."""
        self._events: list[_Event] = []
        self._bodies: dict[Address, bytes] = {}
        self._verdicts: dict[Identity, tuple[Verdict, str]] = {}
        self._safe: dict[Identity, set[str]] = defaultdict(set)
        self._written: dict[Cut, dict[Address, bytes]] = {}
        self._acknowledged: dict[Cut, dict[Address, bytes]] = defaultdict(dict)
        self._whole: dict[Cut, frozenset[Address]] = {}

    # ------------------------------------------------------------- called while the handler runs

    def attempted(self, uri: str, key: str, body: bytes) -> None:
        """Note that the handler asked for an object to be stored."""
        self._events.append(_Event("attempted", (uri, key), body))

    def stored(self, uri: str, key: str, body: bytes) -> None:
        """Note that an object is in its store."""
        self._bodies[uri, key] = body
        self._events.append(_Event("stored", (uri, key), body))

    def acknowledged(self, uri: str, key: str) -> None:
        """Note that the store acknowledged an object to the handler."""
        self._events.append(_Event("acknowledged", (uri, key), self._bodies[uri, key]))

    # ------------------------------------------------------------------- judged when it is over

    def judge(
        self,
        shard: Shard,
        records: Iterable[StreamRecord],
        response: Any = None,
        drops: Mapping[str, int] = _NONE,
    ) -> None:
        """Judge one invocation: laws 5 and 8 for all it wrote, and 1 and 2 if it claims success.

        `response` is what the handler returned; None if it raised or was ended. `drops` are what it
        said that it dropped.
        """
        records = tuple(records)
        cut = (shard.source, tuple(record.sequence_number for record in records))
        events = self._taken()
        for event in events:
            if event.kind == "attempted":
                self._same_batch_same_bytes(cut, event)
        # What an earlier invocation has stored of the same batch need not be stored again.
        acknowledged = self._acknowledged[cut]
        acknowledged |= {
            event.address: event.body for event in events if event.kind == "acknowledged"
        }
        for address in [key for key, body in acknowledged.items() if self._bodies[key] != body]:
            del acknowledged[address]
        if response == {"batchItemFailures": []}:
            self._all_is_stored(shard, records, acknowledged)
            self._drops_are_told(shard, records, drops)
            self._same_batch_same_keys(cut, frozenset(acknowledged))

    def judge_stragglers(self) -> None:
        """Judge what was stored since the last invocation, by writes that had been late."""
        self._taken()

    def settled(self, shard: Shard, records: Iterable[StreamRecord]) -> None:
        """Judge a checkpoint: what it passes is stored, or in a failure document (law 1)."""
        for record in records:
            if (shard.source, record.sequence_number) in self.given_up:
                continue
            for identity, unit in self.stream.identities(shard, record):
                if not self._safe[identity].issuperset(formats_of(unit.verdict)):
                    raise LawBroken(
                        f"Law 1: the checkpoint of {shard.short} passed {_name(identity)}, which "
                        "no acknowledged object holds."
                    )

    def judge_end(self) -> None:
        """Judge the stores at rest: what was acknowledged, and what was not given up, is there."""
        present: dict[Identity, set[str]] = defaultdict(set)
        mixed_up = Counter((uri, normalize("NFC", key.casefold())) for uri, key in self._bodies)
        for (_, key), count in mixed_up.items():
            if count > 1:
                raise LawBroken(f"Law 13: some store takes {count} objects for one, {key}.")
        for (uri, key), body in self._bodies.items():
            for found in _read(uri, key, body):
                present[found.identity].add(found.format)
        for identity, formats in self._safe.items():
            if not formats <= present[identity]:
                raise LawBroken(
                    f"{_name(identity)} was acknowledged as {sorted(formats)} and is there no "
                    f"more; there is {sorted(present[identity])}."
                )
        for shard in self.stream.shards.values():
            for record in shard.records:
                if (shard.source, record.sequence_number) not in self.given_up:
                    self._is_present(shard, record, present)

    def redriven(self, shard: Shard, records: Iterable[StreamRecord]) -> None:
        """Note that what was given up has been sent again, and is to be there as well."""
        self.judge(shard, records)
        self.given_up.difference_update(
            (shard.source, record.sequence_number) for record in records
        )

    # ----------------------------------------------------------------------------- the details

    def _taken(self) -> list[_Event]:
        events, self._events = self._events, []
        for event in events:
            if event.kind == "stored":
                self._judge_object(event)
            elif event.kind == "acknowledged":
                for found in _read(*event.address, event.body):
                    self._safe[found.identity].add(found.format)
        return events

    def _judge_object(self, event: _Event) -> None:
        """Compare every row and dead letter of an object with the truth, and with earlier ones."""
        seen: set[Identity] = set()
        for found in _read(*event.address, event.body):
            if found.identity in seen:
                raise LawBroken(f"{event.address[1]} holds {_name(found.identity)} twice.")
            seen.add(found.identity)
            self._judge_found(found, event.address[1])

    def _judge_found(self, found: Found, key: str) -> None:
        units = self.stream.units.get(found.identity[:2], ())
        unit = next(
            (unit for unit in units if (unit.sub, unit.document) == found.identity[2:]), None
        )
        if unit is None:
            raise LawBroken(f"{key} holds {_name(found.identity)}, which nobody has sent.")
        if unit.verdict != found.verdict:
            raise LawBroken(
                f"Law 8: {_name(found.identity)} became {found.verdict} in {key}, and what was "
                f"sent is {unit.verdict}."
            )
        if unit.content != found.content:
            raise LawBroken(f"{key} holds another document as {_name(found.identity)}.")
        before = self._verdicts.setdefault(found.identity, (found.verdict, found.place))
        if before != (found.verdict, found.place):
            raise LawBroken(
                f"Law 8: {_name(found.identity)} is {found.verdict} at {found.place} in {key}, "
                f"and was {before} in an earlier delivery."
            )

    def _same_batch_same_bytes(self, cut: Cut, event: _Event) -> None:
        written = self._written.setdefault(cut, {})
        if written.setdefault(event.address, event.body) != event.body:
            raise LawBroken(f"Law 5: the same batch wrote {event.address[1]} with other bytes.")
        if event.address not in self._whole.get(cut, written):
            raise LawBroken(
                f"Law 5: the same batch was stored whole before, without {event.address[1]}."
            )

    def _same_batch_same_keys(self, cut: Cut, addresses: frozenset[Address]) -> None:
        self._whole.setdefault(cut, addresses)
        for address in sorted(addresses ^ self._written.get(cut, {}).keys()):
            raise LawBroken(
                f"Law 5: {address[1]} was written by one delivery of a batch and not by another."
            )

    def _all_is_stored(
        self, shard: Shard, records: Iterable[StreamRecord], acknowledged: dict[Address, bytes]
    ) -> None:
        stored = Counter(
            (found.identity, found.format)
            for (uri, key), body in acknowledged.items()
            for found in _read(uri, key, body)
        )
        wanted = Counter(
            (identity, as_format)
            for record in records
            for identity, unit in self.stream.identities(shard, record)
            for as_format in formats_of(unit.verdict)
        )
        for identity, as_format in wanted - stored:
            raise LawBroken(
                f"Laws 1 and 2: the handler reported that all is stored, and no acknowledged "
                f"object holds {_name(identity)} as {as_format}."
            )
        for identity, as_format in stored - wanted:
            raise LawBroken(f"Law 2: {_name(identity)} is stored once too often as {as_format}.")

    def _drops_are_told(
        self, shard: Shard, records: Iterable[StreamRecord], drops: Mapping[str, int]
    ) -> None:
        units = (unit for each in records for _, unit in self.stream.identities(shard, each))
        wanted = Counter(unit.verdict[1] for unit in units if unit.verdict[0] == "drop")
        if wanted != Counter(drops):
            raise LawBroken(
                f"Law 2: the handler said that it dropped {dict(drops)}, and what was sent has "
                f"{dict(wanted)} to drop."
            )

    def _is_present(
        self, shard: Shard, record: StreamRecord, present: dict[Identity, set[str]]
    ) -> None:
        for identity, unit in self.stream.identities(shard, record):
            if present[identity] != set(formats_of(unit.verdict)):
                raise LawBroken(
                    f"At the end {_name(identity)} is in {sorted(present[identity])} and "
                    f"belongs in {sorted(formats_of(unit.verdict))}."
                )


def _read(uri: str, key: str, body: bytes) -> tuple[Found, ...]:
    try:
        return read_object(uri, key, body)
    except (ValueError, KeyError, EOFError, OSError, pa.ArrowException) as error:
        raise LawBroken(f"{key} cannot be read whole: {type(error).__name__}.") from None


def _name(identity: Identity) -> str:
    """Name a document as short as the history does."""
    shard = int(identity.source.removeprefix(f"{ARN}/").rpartition("-")[2])
    place = f"{identity.sub}.{identity.document}"
    return f"document {number_of(identity.sequence_number)}/{place} of shard {shard}"
