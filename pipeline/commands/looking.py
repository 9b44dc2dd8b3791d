"""What `pipeline tap` looks at: batches as documents, each with where it stands."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pipeline.core.envelope.members import Members
from pipeline.core.envelope_rules import Condition
from pipeline.core.errors import SettingsError
from pipeline.core.jsontext import is_json, why_not_json
from pipeline.core.kpl import deaggregate
from pipeline.core.member_path import read_path
from pipeline.core.numbering import NOT_BY_RULE
from pipeline.core.reasons import Reason
from pipeline.core.records import Provenance, Violation
from pipeline.flow import open_documents

if TYPE_CHECKING:
    from pipeline.core.binary.decoder import Decoder
    from pipeline.core.envelope import Envelope
    from pipeline.core.records import Batch, Limits

_MOST_SAMPLED: Final = 256 * 2**20  # bytes, which are in memory
_CONDITION = re.compile(r"(?P<path>[^=!].*?)(?:(?P<sign>!?=)(?P<value>.*))?", re.DOTALL)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SEED: Final = 1  # the same input has the same sample


class Look(NamedTuple):
    """A document, or what did not open, and where it stands. Of a file, it has no arrival."""

    payload: bytes
    source: str
    sequence_number: str
    sub_sequence_number: int
    document: int
    element: int | None
    arrived_at: int | None
    partition_key: str | None
    violation: Violation | None = None

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        if self.arrived_at is None:
            return f"{self.source}, byte {int(self.sequence_number):,}"
        return (
            f"{self.source.rpartition('/')[2]}, sequence number {self.sequence_number}, "
            f"sub-sequence number {self.sub_sequence_number}, document {self.document}"
        )


class Looker:
    """Takes batches apart as the function would, and counts what it saw."""

    def __init__(
        self,
        limits: "Limits",
        where: Sequence[str],
        envelope: "Envelope | None",
        decoder: "Decoder | None" = None,
        *,
        each_line: bool,
    ) -> None:
        self._limits = limits
        self._where = Where(where) if where else None
        self._envelope = envelope
        self._decoder = decoder
        self._each_line = each_line
        self._stream_records = self._documents = self._refused = 0
        self._drops = Counter[str]()

    def looks(self, batches: "Iterable[Batch | None]", *, raw: bool) -> Iterator[Look | None]:
        """Yield what is in batches, and None where nothing comes for a moment.

        Raw, that is what their producer put; else it is their documents.
        """
        for batch in batches:
            if batch is None:
                yield None
                continue
            if not batch.one_document_per_record:
                self._stream_records += len(batch.records)
            for look in self._payloads(batch) if raw else self._opened(batch):
                if look.violation is None:
                    self._documents += 1
                else:
                    self._refused += 1
                if self._where is None or self._where.holds(look):
                    yield look

    def report(self, say: Callable[[str], object], shown: int) -> None:
        """Say what was seen, and how much of it was shown."""
        seen = self._documents + self._refused
        records = f" in {self._stream_records:,} stream records" if self._stream_records else ""
        refused = f"; {self._refused:,} could not be opened" if self._refused else ""
        drops = ", ".join(f"{count:,} x {name}" for name, count in self._drops.most_common())
        dropped = f"; dropped by rules: {drops}" if drops else ""
        say(f"{shown:,} shown of {seen:,}{records}{refused}{dropped}")

    def _opened(self, batch: "Batch") -> Iterator[Look]:
        for part in open_documents(
            batch, self._limits, self._envelope, self._decoder, each_line=self._each_line
        ):
            for name, units in part.drops.items():
                self._drops[name] += len(units)
            documents, found = part.documents, list[tuple[Provenance, int, bytes]]()
            for unit, payload in zip(documents.unit, documents.payloads, strict=True):
                found.append((documents.provenance, unit, payload))
            violations = {
                (id(reject.provenance), reject.unit): reject.violation for reject in part.rejects
            }
            found += [(reject.provenance, reject.unit, reject.payload) for reject in part.rejects]
            for provenance, unit, payload in sorted(found, key=_position):
                violation = violations.get((id(provenance), unit)) or _violation(payload)
                yield _look(provenance, unit, payload, violation)

    def _payloads(self, batch: "Batch") -> Iterator[Look]:
        user_records, unopened = deaggregate(batch)
        for unit, payload in zip(user_records.unit, user_records.payloads, strict=True):
            yield _look(user_records.provenance, unit, payload, None)
        for reject in unopened:
            yield _look(reject.provenance, reject.unit, reject.payload, reject.violation)


def _position(found: tuple[Provenance, int, bytes]) -> tuple[int, int, int]:
    """Return where something stands in its batch."""
    provenance, unit, _ = found
    return provenance.record[unit], provenance.sub[unit], provenance.document[unit]


def _violation(document: bytes) -> Violation | None:
    if is_json(document):
        return None
    return Violation(Reason.NOT_JSON, why_not_json(document))


def _look(provenance: Provenance, unit: int, payload: bytes, violation: Violation | None) -> Look:
    batch = provenance.batch
    record = batch.records[provenance.record[unit]]
    element = NOT_BY_RULE if provenance.element is None else provenance.element[unit]
    return Look(
        payload,
        batch.source,
        record.sequence_number,
        provenance.sub[unit],
        provenance.document[unit],
        element if element >= 0 else None,
        None if batch.one_document_per_record else record.arrived_at,
        provenance.partition_key[unit],
        violation,
    )


class Where:
    """Conditions on documents, of which all must be true. What did not open is not judged."""

    def __init__(self, given: Sequence[str]) -> None:
        """Read conditions. Raises `SettingsError` for the first that is none."""
        self._conditions = [_condition(text) for text in given]
        self._members = Members([condition.path for condition, _ in self._conditions])

    def holds(self, look: Look) -> bool:
        """Tell whether all are true of a document."""
        if look.violation is not None:
            return True
        try:
            found = self._members.find(look.payload)
        except _UNREADABLE:
            return False
        return all(
            condition.holds(found[self._members.place[condition.path]]) is wanted
            for condition, wanted in self._conditions
        )


def _condition(text: str) -> tuple[Condition, bool]:
    """Read a condition, and whether it must be true or false."""
    read = _CONDITION.fullmatch(text)
    path = read["path"].strip() if read else ""
    keys = read_path(path if path.startswith("$") else f"$.{path}")
    if read is None or not keys:
        message = (
            f"--where {text}: give PATH=VALUE, PATH!=VALUE or PATH, as in type=order, "
            "order.country!=DE or $.order['a.b']."
        )
        raise SettingsError(message)
    wanted = read["sign"] != "!="
    if read["sign"] is None:
        return Condition(keys, present=True), True
    value = read["value"].strip()
    if value == "null":
        return Condition(keys, present=False), wanted
    return Condition(keys, equals=_readings(value)), wanted


def _readings(text: str) -> tuple[str | int | bool, ...]:
    """Return what a value may be: a text, and if it is one, a number or a boolean."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return (text,)
    if isinstance(value, bool):
        return (text, value)
    if isinstance(value, int | float):
        # Python's 1 and 1.0 are equal, and JSON's may be meant to be.
        return (text, value, *({int(value)} if value == value // 1 else ()), float(value))
    return (value,) if isinstance(value, str) else (text,)


def sampled(looks: Iterable[Look | None], count: int) -> Iterator[Look]:
    """Yield so many of them from anywhere, each as likely as another, in their order.

    Raises `SettingsError` where they do not fit in memory.
    """
    chance = random.Random(_SEED)  # noqa: S311 - a sample, not secrecy
    kept = dict[int, tuple[int, Look]]()
    size = seen = 0
    for look in looks:
        if look is None:
            continue
        place = seen if seen < count else chance.randrange(seen + 1)
        if place < count:
            size += len(look.payload) - (len(kept[place][1].payload) if place in kept else 0)
            kept[place] = seen, look
        seen += 1
        if size > _MOST_SAMPLED:
            message = (
                f"--sample {count}: the documents are over {_MOST_SAMPLED // 2**20} MiB together, "
                "and would be in memory; ask for fewer."
            )
            raise SettingsError(message)
    for _, look in sorted(kept.values(), key=lambda entry: entry[0]):
        yield look
