"""Envelopes to documents, part by part: what a stream's rules take out of what it carries.

Which number each document has is said in `numbering`.
"""

from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.core.envelope.opening import Envelope, Opened, Room
from pipeline.core.envelope.unkept import Unkept
from pipeline.core.errors import ConservationError
from pipeline.core.integers import INT32, INT64, Integers, between, zeros
from pipeline.core.jsontext import SEAM, deeper_than, is_json
from pipeline.core.numbering import (
    MOST_DOCUMENTS,
    MOST_ELEMENTS,
    MOST_OLDER,
    NOT_BY_RULE,
    OLDER_THAN_RULES,
    numbers_of_older,
)
from pipeline.core.parts import Part, taken
from pipeline.core.reasons import Reason, RejectStage
from pipeline.core.records import Chunk, Limits, Provenance, Reject, Violation, Width

__all__ = ["MOST_DOCUMENTS", "Envelope", "Unwrapped", "as_they_are", "unwrap"]

_RUN = 512  # documents that are opened together
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
    """A part of a batch: documents, rejects, and the units that rules drop, by their name.

    `unkept` are the members of the envelopes that they were in, which no rule keeps.
    """

    documents: Chunk
    rejects: list[Reject]
    drops: dict[str, Integers]
    unkept: Unkept | None = None


def as_they_are(parts: Iterator[Part]) -> Iterator[Unwrapped]:
    """Hand on parts of a stream without envelopes."""
    for documents, rejects in parts:
        yield Unwrapped(documents, rejects, {})


def unwrap(
    parts: Iterator[Part], envelope: Envelope, limits: Limits, width: Width, *, fast: bool = True
) -> Iterator[Unwrapped]:
    """Open the documents of each part; of one part, there may come several.

    Documents of dead letters, which were not opened from anything here, keep their numbers.
    """
    envelope = envelope if fast else envelope.exact
    rooms = _Rooms(envelope)
    for documents, rejects in parts:
        unwrapper = _Unwrapper(documents, envelope, rooms, limits, width, fast=fast)
        yield from unwrapper.parts(rejects)


class _Rooms:
    """What may still come of each stream record's envelopes; its parts come one after another."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._record = -1
        self.unkept = Unkept()
        self._room = envelope.room(self.unkept)

    def of_record(self, record: int) -> Room:
        if record != self._record:
            self._record, self._room = record, self._envelope.room(self.unkept)
        return self._room

    def counted(self) -> Unkept:
        """Return what was not kept since this was asked last."""
        counted, self.unkept = self.unkept, Unkept()
        self._room.unkept = self.unkept
        return counted


class _Unwrapper:
    """Opens the documents of one part, and cuts what comes of them into parts again."""

    def __init__(
        self,
        documents: Chunk,
        envelope: Envelope,
        rooms: _Rooms,
        limits: Limits,
        width: Width,
        *,
        fast: bool,
    ) -> None:
        self._documents = documents
        self._origins = documents.provenance
        self._rooms = rooms
        self._envelope = envelope
        self._limits = limits
        self._fast = fast
        self._lifts = envelope.lifts
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
        self._are_framed = True

    def parts(self, rejects: list[Reject]) -> Iterator[Unwrapped]:
        """Yield the parts; what was rejected before goes with the first."""
        for reject in rejects:
            self._refuse_again(reject)
        for start in range(0, len(self._documents), _RUN):
            run = slice(start, start + _RUN)
            yield from self._add_run(self._documents.unit[run], self._documents.payloads[run])
            self._rooms.unkept.count()
        yield self._cut()

    def _add_run(self, units: Integers, documents: list[bytes]) -> Iterator[Unwrapped]:
        """Add what came of some documents, of which most often each comes to one."""
        found = self._fast_opened(units, documents)
        texts = [text for text in found if text is not None]
        if len(texts) == len(found):
            yield from self._add_texts(units, texts)
            return
        texts, count = [], 0
        for index, text in enumerate(found):
            opened = self._opened(units[index], documents[index]) if text is None else text
            if isinstance(opened, bytes):
                texts.append(opened)
                count += 1
                continue
            yield from self._add_texts(units[index - len(texts) : index], texts)
            yield from self._add_all(units[index], opened)
            texts = []
        yield from self._add_texts(units[len(units) - len(texts) :], texts)
        self._lifts = 2 * count >= len(units)

    def _fast_opened(self, units: Integers, documents: list[bytes]) -> list[bytes | None]:
        """Open documents at once, where that succeeded last; None leaves one to `_opened`."""
        nothing: list[bytes | None] = [None] * len(documents)
        if not self._fast or not self._lifts or self._is_replayed:
            return nothing
        if max(map(self._origins.document.__getitem__, units)) >= MOST_DOCUMENTS:
            return nothing
        found = self._envelope.fast_open_run(documents, self._rooms.unkept)
        good = self._surely_good
        if max(map(len, filter(None, found)), default=0) > good:
            return [None if text is None or len(text) > good else text for text in found]
        return found

    def _add_texts(self, units: Integers, texts: list[bytes]) -> Iterator[Unwrapped]:
        """Add documents of which each came of one; to the same end as one by one, but faster."""
        if not texts:
            return
        size, origins, columns = sum(map(len, texts)), self._origins, self._provenance
        first = len(columns)
        if first + len(texts) > self._most or self._size + size > self._limits.part_bytes:
            for unit, text in zip(units, texts, strict=True):
                yield from self._add_all(unit, Opened([text]))
            return
        columns.record.extend(taken(origins.record, units))
        columns.sub.extend(taken(origins.sub, units))
        numbers = taken(origins.document, units)
        columns.document.extend(
            array(INT32, [number * MOST_ELEMENTS for number in numbers])
            if any(numbers)
            else numbers
        )
        columns.partition_key.extend(map(origins.partition_key.__getitem__, units))
        if columns.element is not None:
            columns.element.extend(zeros(len(texts)))
        self._units.extend(between(first, first + len(texts)))
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
        """Take over what was rejected before; its number is the one that its element 0 has.

        What holds nothing may be dropped by a rule.
        """
        nothing, is_empty = self._envelope.nothing, reject.violation.reason is Reason.EMPTY_RECORD
        if nothing is not None and is_empty and not self._is_replayed:
            unit = self._place(reject.unit, 0, 1, by_rule=True)
            self._drops.setdefault(nothing, array(INT32)).append(unit)
            return
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
        if mark == NOT_BY_RULE or (is_one and (opened.by_rule or opened.violations)):
            return None
        return _SEVERAL if opened.by_rule else _NO_RULE

    def _room(self, texts: list[bytes], start: int) -> int:
        """Count the texts from `start` on that fit in the part; one at least in an empty one."""
        rest, most = len(texts) - start, self._most - len(self._provenance)
        left = self._limits.part_bytes - self._size
        if rest == 1:
            return int((most > 0 and len(texts[start]) <= left) or not len(self._provenance))
        if rest <= most and sum(map(len, texts[start:] if start else texts)) <= left:
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
        numbers = between(start, start + count)
        if mark == OLDER_THAN_RULES:
            columns.document.extend(numbers_of_older(number, start, count))
        else:
            columns.document.extend([number + n for n in numbers] if number else numbers)
        columns.partition_key.extend([origins.partition_key[unit]] * count)
        if columns.element is not None:
            element = max(mark, 0) + start
            columns.element.extend(
                between(element, element + count) if by_rule else array(INT32, (mark,)) * count
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
        self._are_framed &= opened.by_rule
        odd = self._odd(opened, start, texts)
        if not odd and not opened.drops:
            self._units.extend(between(first, first + len(texts)))
            self._texts += texts
            return
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
        text = _joined(self._texts) if self._fast and self._are_framed else None
        documents = Chunk(self._provenance, self._units, self._texts, text)
        self._rooms.unkept.count()
        unwrapped = Unwrapped(documents, self._rejects, self._drops, self._rooms.counted())
        refused = sum(reject.provenance is self._provenance for reject in self._rejects)
        dropped = sum(map(len, self._drops.values()))
        if len(self._units) + refused + dropped != len(self._provenance):
            raise ConservationError(_LOST)
        self._begin()
        return unwrapped


def _joined(texts: list[bytes]) -> bytes | None:
    """Join documents that rules made, each an object; None where one has a line break in it."""
    text = SEAM.join(texts)
    is_plain = bool(texts) and b"\n" not in text and text.count(SEAM) == len(texts) - 1
    return text if is_plain else None


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
