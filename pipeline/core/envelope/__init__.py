"""Envelopes to documents, part by part: what a stream's rules take out of what it carries.

Which number each document has is said in `numbering`.
"""

from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.core.envelope.opening import Envelope, Opened, Room
from pipeline.core.errors import ConservationError
from pipeline.core.integers import INT32, INT64, Integers, zeros
from pipeline.core.jsontext import deeper_than, is_json
from pipeline.core.numbering import (
    MOST_DOCUMENTS,
    MOST_ELEMENTS,
    MOST_OLDER,
    NOT_BY_RULE,
    OLDER_THAN_RULES,
    numbers_of_older,
)
from pipeline.core.parts import Part
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Provenance, Reject, Violation, Width

__all__ = ["MOST_DOCUMENTS", "Envelope", "Unwrapped", "as_they_are", "unwrap"]

_RUN = 256  # documents that are added together
_LOST = (
    "Documents were lost as envelopes were opened. This is a defect of the pipeline; the batch "
    "will be delivered again."
)
_SEVERAL = (
    "With the rules of now, several documents would come of this element, and their numbers are "
    "those of the elements behind it; send the envelope again as its producer sent it."
)
_TOO_FAR_BEHIND = (
    f"Several documents would come of this one, which is older than the rules and stands behind "
    f"{MOST_OLDER} others of its payload; send the record again as its producer sent it."
)
_NO_RULE = "No rule of stream.toml is for the envelope of this element any more."


class Unwrapped(NamedTuple):
    """A part of a batch: documents, rejects, and the units that rules drop, by their name."""

    documents: Chunk
    rejects: list[Reject]
    drops: dict[str, Integers]


def as_they_are(parts: Iterator[Part]) -> Iterator[Unwrapped]:
    """Hand on parts of a stream without envelopes."""
    for documents, rejects in parts:
        yield Unwrapped(documents, rejects, {})


def unwrap(
    parts: Iterator[Part], envelope: Envelope, limits: Limits, width: Width
) -> Iterator[Unwrapped]:
    """Open the documents of each part; of one part, there may come several.

    Documents of dead letters, which were not opened from anything here, keep their numbers.
    """
    rooms = _Rooms(envelope)
    for documents, rejects in parts:
        yield from _Unwrapper(documents, envelope, rooms, limits, width).parts(rejects)


class _Rooms:
    """What may still come of each stream record's envelopes; its parts come one after another."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._record = -1

    def of_record(self, record: int) -> Room:
        if record != self._record:
            self._record, self._room = record, self._envelope.room()
        return self._room


class _Unwrapper:
    """Opens the documents of one part, and cuts what comes of them into parts again."""

    def __init__(
        self, documents: Chunk, envelope: Envelope, rooms: _Rooms, limits: Limits, width: Width
    ) -> None:
        self._documents = documents
        self._origins = documents.provenance
        self._rooms = rooms
        self._envelope = envelope
        self._limits = limits
        self._is_replayed = self._origins.opened_from is None
        self._surely_good = limits.document_bytes
        if envelope.parses:
            self._surely_good = min(limits.document_bytes, 2 * limits.depth)
        self._most = min(limits.part_documents, max(1, limits.part_values // width.row))
        self._begin()

    def _begin(self) -> None:
        origins = self._origins
        self._provenance = Provenance(
            origins.batch,
            opened_from=origins if self._is_replayed else origins.opened_from,
            element=array(INT32),
            begins=array(INT32) if self._is_replayed else None,
        )
        self._units = array(INT32)
        self._texts: list[bytes] = []
        self._rejects: list[Reject] = []
        self._drops: dict[str, Integers] = {}
        self._size = 0

    def parts(self, rejects: list[Reject]) -> Iterator[Unwrapped]:
        """Yield the parts; what was rejected before goes with the first."""
        for reject in rejects:
            self._refuse_again(reject)
        run: list[tuple[int, bytes]] = []
        for unit, document in zip(self._documents.unit, self._documents.payloads, strict=True):
            opened = self._opened(unit, document)
            if isinstance(opened, bytes):
                run.append((unit, opened))
                if len(run) < _RUN:
                    continue
                yield from self._add_run(run)
            else:
                yield from self._add_run(run)
                yield from self._add_all(unit, opened)
            run = []
        yield from self._add_run(run)
        yield self._cut()

    def _add_run(self, run: list[tuple[int, bytes]]) -> Iterator[Unwrapped]:
        """Add documents of which each came of one; to the same end as one by one, but faster."""
        units, texts = [unit for unit, _ in run], [text for _, text in run]
        size, origins, columns = sum(map(len, texts)), self._origins, self._provenance
        first = len(columns)
        if first + len(run) > self._most or self._size + size > self._limits.part_bytes:
            for unit, text in run:
                yield from self._add_all(unit, Opened([text]))
            return
        columns.record.extend([origins.record[unit] for unit in units])
        columns.sub.extend([origins.sub[unit] for unit in units])
        columns.document.extend([origins.document[unit] * MOST_ELEMENTS for unit in units])
        columns.partition_key.extend([origins.partition_key[unit] for unit in units])
        if columns.element is not None:
            columns.element.extend(zeros(len(run)))
        self._units.extend(range(first, first + len(run)))
        self._texts += texts
        self._size += size

    def _add_all(self, unit: int, opened: Opened) -> Iterator[Unwrapped]:
        """Add what came of one document, which may fill parts."""
        start, end = 0, len(opened.texts)
        if not end:
            raise ConservationError(_LOST)
        while start < end:
            room = self._room(opened.texts, start)
            if not room:
                yield self._cut()
                continue
            self._add(unit, opened, start, start + room)
            start += room

    def _refuse_again(self, reject: Reject) -> None:
        """Take over what was rejected before; its number is the one that its element 0 has."""
        if not self._is_replayed:
            unit = self._place(reject.unit, 0, 1, by_rule=False)
            reject = Reject(self._provenance, unit, reject.stage, reject.violation, reject.payload)
        self._rejects.append(reject)

    def _opened(self, unit: int, document: bytes) -> bytes | Opened:
        """Return what a document came to; of one that surely is good, the text alone."""
        origins = self._origins
        if not self._is_replayed and origins.document[unit] >= MOST_DOCUMENTS:
            message = (
                f"The payload holds more than {MOST_DOCUMENTS} documents that may be envelopes."
            )
            violation = Violation(Reason.TOO_MANY_DOCUMENTS, message)
            return Opened([document], {0: violation}, by_rule=False)
        room = self._rooms.of_record(origins.record[unit])
        if not self._is_replayed:
            lifted = self._envelope.fast_open(document, room)
            if isinstance(lifted, bytes) and len(lifted) > self._surely_good:
                return Opened([lifted])
            return lifted
        opened = self._envelope.open(document, room)
        why_not = self._why_not_again(unit, opened)
        if why_not is None:
            return opened
        violation = Violation(Reason.ENVELOPE_MISMATCH, why_not)
        return Opened([document], {0: violation}, by_rule=False)

    def _why_not_again(self, unit: int, opened: Opened) -> str | None:
        """Tell why what came of a dead letter has no numbers, if so."""
        mark, is_one = self._mark(unit), len(opened.texts) == 1
        if mark == OLDER_THAN_RULES:
            has_numbers = is_one or self._origins.document[unit] < MOST_OLDER
            return None if has_numbers else _TOO_FAR_BEHIND
        if mark == NOT_BY_RULE or (opened.by_rule and is_one) or opened.violations:
            return None
        return _SEVERAL if opened.by_rule else _NO_RULE

    def _room(self, texts: list[bytes], start: int) -> int:
        """Count the texts from `start` on that fit in the part; one at least in an empty one."""
        rest, most = len(texts) - start, self._most - len(self._provenance)
        left = self._limits.part_bytes - self._size
        if rest == 1:
            return int((most > 0 and len(texts[start]) <= left) or not len(self._provenance))
        if rest <= most and sum(map(len, texts[start:])) <= left:
            return rest
        if len(self._provenance):
            return 0
        size = 0
        for count, text in enumerate(texts[start : start + most]):
            size += len(text)
            if size > left:
                return max(1, count)
        return most

    def _place(self, unit: int, start: int, count: int, *, by_rule: bool) -> int:
        """Append places for what came of one document, from its text `start` on; return the first.

        A unit of a dead letter is not taken apart again: its number stays, and its mark.
        """
        origins, columns, first = self._origins, self._provenance, len(self._provenance)
        number = origins.document[unit]
        if not self._is_replayed:
            number *= MOST_ELEMENTS
        mark = self._mark(unit)
        columns.record.extend(array(INT32, (origins.record[unit],)) * count)
        columns.sub.extend(array(INT64, (origins.sub[unit],)) * count)
        if mark == OLDER_THAN_RULES:
            columns.document.extend(numbers_of_older(number, start, count))
        else:
            columns.document.extend(range(number + start, number + start + count))
        columns.partition_key.extend([origins.partition_key[unit]] * count)
        if columns.element is not None:
            element = max(mark, 0) + start
            columns.element.extend(
                range(element, element + count) if by_rule else array(INT32, (mark,)) * count
            )
        if columns.begins is not None:
            columns.begins.extend([int(start + n == 0) for n in range(count)])
        return first

    def _mark(self, unit: int) -> int:
        """Return which element a document was already, or what says that it was none."""
        element = self._origins.element
        return NOT_BY_RULE if element is None else element[unit]

    def _add(self, unit: int, opened: Opened, start: int, end: int) -> None:
        """Add what came of one document, from its text `start` to before `end`."""
        first = self._place(unit, start, end - start, by_rule=opened.by_rule)
        texts = opened.texts[start:end]
        self._size += sum(map(len, texts))
        odd = self._odd(opened, start, texts)
        for number, text in enumerate(texts, start):
            violation, place = odd.get(number), first + number - start
            if number in opened.drops:
                self._drops.setdefault(opened.drops[number], array(INT32)).append(place)
            elif violation is None:
                self._units.append(place)
                self._texts.append(text)
            else:
                is_envelope = number in opened.violations
                stage = RejectStage.ENVELOPE if is_envelope else RejectStage.DOCUMENT
                self._rejects.append(Reject(self._provenance, place, stage, violation, text))

    def _odd(self, opened: Opened, start: int, texts: list[bytes]) -> Mapping[int, Violation]:
        """Return the violations of texts by their number: the rules', and those of the limits."""
        longest = max(map(len, texts))
        limits = self._limits
        is_deep = self._envelope.parses and longest > 2 * limits.depth
        if longest <= limits.document_bytes and not is_deep:
            return opened.violations
        odd = dict(opened.violations)
        for number, text in enumerate(texts, start):
            if number not in opened.drops and number not in odd:
                violation = _beyond(text, limits)
                if violation is not None:
                    odd[number] = violation
        return odd

    def _cut(self) -> Unwrapped:
        """Hand out what was added, and begin the next part."""
        unwrapped = Unwrapped(
            Chunk(self._provenance, self._units, self._texts), self._rejects, self._drops
        )
        refused = sum(reject.provenance is self._provenance for reject in self._rejects)
        dropped = sum(map(len, self._drops.values()))
        if len(self._units) + refused + dropped != len(self._provenance):
            raise ConservationError(_LOST)
        self._begin()
        return unwrapped


def _beyond(document: bytes, limits: Limits) -> Violation | None:
    """Return what is wrong with a document that may be beyond the limits."""
    if len(document) > limits.document_bytes and is_json(document):
        return Violation(
            Reason.DOCUMENT_TOO_LARGE,
            f"The document has {len(document)} bytes; the limit is {limits.document_bytes}.",
        )
    if deeper_than(document, limits.depth):
        return Violation(Reason.TOO_DEEP, f"The document nests deeper than {limits.depth} levels.")
    return None
