"""One document to what it holds, by the rules of its stream.

What a rule takes out is a document of exact slices: the text of an element, and in front of its
members those of the envelope that go along. Where an element is broken, its siblings are not: it
becomes a dead letter that holds its envelope with this element alone, which comes to the same
document when it is sent again. Where the rest of the rules could have made several documents of it,
nobody knows how many, and so which numbers its siblings have: then all of the envelope is one.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cached_property
from itertools import repeat
from operator import contains, itemgetter
from typing import NamedTuple

import msgspec

from pipeline.core.envelope.members import UNREADABLE, Found
from pipeline.core.envelope.plans import (
    Plan,
    clash_of,
    expected_at,
    holds,
    kept_of,
    may_clash,
    path_of,
    planned,
    taken_out,
    with_kept,
)
from pipeline.core.envelope.runs import Runs
from pipeline.core.envelope.unkept import Note, Unkept
from pipeline.core.envelope_rules import Rule
from pipeline.core.errors import ConservationError
from pipeline.core.jsontext import WHITESPACE
from pipeline.core.member_path import Path, written
from pipeline.core.numbering import MOST_ELEMENTS
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits, Violation

_SPACE_AND_COMMA = WHITESPACE + b","
_OPEN, _QUOTE = b'{"'
_LONG, _SHORT = 1_000, 40  # bytes of an array
_first = itemgetter(0)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Room(msgspec.Struct, gc=False):
    """What may still come of the envelopes of one stream record: elements, and bytes.

    Bytes are those of what elements come to, with what is kept for them or stands around a broken
    one, and at each level but the last those that are kept for each element: some kilobytes could
    come to more than there is time for. What is lifted alone is bounded by its payload.
    """

    elements: int
    bytes: int
    unkept: Unkept


class Opened(msgspec.Struct, gc=False):
    """What one document came to, in its order, and which of it are rejects or drops.

    `by_rule` tells that a rule took it out. Of a reject, the text is what its dead letter holds.
    """

    texts: list[bytes] = msgspec.field(default_factory=list)
    violations: dict[int, Violation] = msgspec.field(default_factory=dict)
    drops: dict[int, str] = msgspec.field(default_factory=dict)
    by_rule: bool = True


class _Opening(Opened, gc=False, kw_only=True):
    """A document that is being opened; `size` are the bytes that it takes of its `room`."""

    room: Room
    size: int = 0
    has_elements: bool = False
    notes: list[Note] = msgspec.field(default_factory=list)


class _Level:
    """What a rule took something out of, without what was kept from further above."""

    def __init__(self, bare: bytes, rule: Rule) -> None:
        self.rule = rule
        self._bare = bare

    @cached_property
    def around(self) -> tuple[bytes, bytes] | None:
        """What stands before and behind the place that the rule takes something out of."""
        return _around(self._bare, self.rule.target)


class _Piece(NamedTuple):
    """A document on its way through the rules: next is the one at `start`."""

    text: bytes
    bare: bytes
    start: int = 0
    above: tuple[_Level, ...] = ()


class _WholeEnvelope(Exception):
    """Not an error: it says that the envelope becomes a dead letter, and why."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


class Envelope:
    """Opens documents by rules, of which there is one at least.

    Of one document may come `MOST_ELEMENTS` and as many bytes as may be unpacked of one. Without
    `fast`, every element is opened by itself, to the same end.
    """

    def __init__(self, rules: Sequence[Rule], limits: Limits, *, fast: bool = True) -> None:
        self._rules = rules
        self._fast = fast
        self._limits = limits
        self._levels = [planned(rules, start) for start in range(len(rules))]
        self._runs = Runs(self._levels)
        self.nothing = next((rule.name for rule in rules if rule.is_for_nothing), None)
        self.parses = any(rule.action == "parse" for rule in rules)
        self.lifts = any(not plan.several and plan.target >= 0 for plan in self._levels[0][1])

    @cached_property
    def exact(self) -> "Envelope":
        """What opens documents the exact way alone."""
        return Envelope(self._rules, self._limits, fast=False)

    def room(self, unkept: Unkept | None = None) -> Room:
        """Return what may come of the envelopes of one stream record.

        What no rule keeps of them is counted as `unkept`.
        """
        unkept = Unkept() if unkept is None else unkept
        return Room(self._limits.record_documents, self._limits.record_bytes, unkept)

    def open(self, document: bytes, room: Room | None = None) -> Opened:
        """Return what a document came to: itself, if no rule is for it.

        What elements take of their stream record's `room` is taken off, also where they then are
        refused.
        """
        opened = self.fast_open(document, room)
        return Opened([opened]) if isinstance(opened, bytes) else opened

    def fast_open(self, document: bytes, room: Room | None = None) -> bytes | Opened:
        """Return the same; where a rule made one good document of it, that alone."""
        decided = self._decide(document, 0)
        if decided is None and self.nothing is not None and document.strip(WHITESPACE) == b"null":
            return Opened([document], drops={0: self.nothing})
        if decided is None:
            return Opened([document], by_rule=False)
        plan, found = decided
        if self._fast and plan.lifts_alone:
            token, kept = found[plan.target], kept_of(plan, found)
            if token and token.startswith(b"{") and clash_of(token, kept, plan) is None:
                if room is not None:
                    room.unkept.note_all([(plan.shapes, (document,))])
                return with_kept(kept, token)
        room = room or self.room()
        opened = _Opening(room=room)
        try:
            self._apply(plan, found, _Piece(document, document), opened)
        except _WholeEnvelope as whole:
            return Opened([document], {0: whole.violation}, by_rule=False)
        else:
            room.unkept.note_all(opened.notes)
        finally:
            if opened.has_elements:
                room.elements -= len(opened.texts)
                room.bytes -= opened.size
        return opened

    def fast_open_run(
        self, documents: Sequence[bytes], unkept: Unkept | None = None
    ) -> list[bytes | None]:
        """Return of each document the same; None leaves it to `fast_open`."""
        notes: list[Note] = []
        texts = self._runs.open(documents, 0, notes)
        if unkept is not None:
            unkept.note_all(notes)
        return texts

    def _open(self, piece: _Piece, into: _Opening) -> None:
        """Let the first rule decide that is for a document, if there is one."""
        decided = self._decide(piece.text, piece.start)
        if decided is None:
            self._add(piece.text, into)
        else:
            self._apply(*decided, piece, into)

    def _decide(self, document: bytes, start: int) -> tuple[Plan, Found] | None:
        members, plans = self._levels[start]
        try:
            found = members.find(document)
        except UNREADABLE:
            return None
        for plan in plans:
            for place, condition, tokens in plan.when:
                if not holds(found[place], condition, tokens):
                    break
            else:
                return plan, found
        return None

    def _apply(self, plan: Plan, found: Found, piece: _Piece, into: _Opening) -> None:
        rule = plan.rule
        if rule.action == "drop":
            self._drop(rule.name, piece.text, into)
            return
        token, kept = found[plan.target], kept_of(plan, found)
        if rule.action == "each":
            self._apply_each(plan, token, kept, piece, into)
            return
        bare = taken_out(rule, token)
        if isinstance(bare, Violation):
            self._refuse(bare, plan.several, piece.bare, piece.above, into)
        else:
            above = (*piece.above, _Level(piece.bare, plan.rule))
            if self._go_on(plan, bare, kept, above, into):
                into.notes.append((plan.shapes, (piece.text,)))

    def _apply_each(
        self,
        plan: Plan,
        token: bytes | None,
        kept: bytes,
        piece: _Piece,
        into: _Opening,
    ) -> None:
        """Make a document of each element."""
        if token is None or not token.startswith(b"["):
            violation = expected_at("an array", plan.rule)
            self._refuse(violation, plan.several, piece.bare, piece.above, into)
            return
        elements = list(map(bytes, _elements.decode(token)))
        if not _are_all_of(token, elements):
            message = "Elements of an envelope were lost. This is a defect of the pipeline."
            raise ConservationError(message)
        if not elements:
            self._apply_to_none(plan, piece, into)
            return
        self._check_room(len(elements), kept, len(token), into)
        into.has_elements = True
        into.notes.append((plan.shapes, (_without(piece.text, token),)))
        into.size += len(elements) * len(kept) * plan.several_behind
        opened: Sequence[bytes | None] = [None] * len(elements)
        if self._fast and not plan.several_behind and _are_plain(token, elements, kept, plan):
            opened = self._fast_open_elements(plan, elements, kept, into)
            if None not in opened:
                into.texts += [text for text in opened if text is not None]
                into.size += sum(map(len, into.texts[-len(opened) :]))
                return
        above = (*piece.above, _Level(piece.bare, plan.rule))
        for element, text in zip(elements, opened, strict=True):
            if text is not None:
                self._add(text, into)
            elif element.startswith(b"{"):
                self._go_on(plan, element, kept, above, into)
            else:
                message = f"An element of {written(plan.rule.target)} is not an object."
                violation = Violation(Reason.ENVELOPE_MISMATCH, message, path_of(plan.rule))
                self._refuse(violation, plan.several_behind, element, above, into)

    def _apply_to_none(self, plan: Plan, piece: _Piece, into: _Opening) -> None:
        """Drop an envelope without elements, or refuse it."""
        if plan.rule.empty is not None:
            self._drop(plan.rule.empty, piece.text, into)
            return
        violation = expected_at("an array with elements", plan.rule)
        self._refuse(violation, plan.several, piece.bare, piece.above, into)

    def _fast_open_elements(
        self, plan: Plan, elements: Sequence[bytes], kept: bytes, into: _Opening
    ) -> Sequence[bytes | None]:
        """Open plain elements all at once; None leaves one to `_go_on`."""
        front = b"{%b," % kept
        texts = [front + element[1:] for element in elements] if kept else elements
        return self._runs.open(texts, plan.behind, into.notes)

    def _go_on(
        self,
        plan: Plan,
        bare: bytes,
        kept: bytes,
        above: tuple[_Level, ...],
        into: _Opening,
    ) -> bool:
        """Hand on what was taken out, with what goes along, to the rules behind; or refuse it."""
        clash = clash_of(bare, kept, plan)
        if clash is not None:
            message = (
                f"It has a member {clash!r} of its own; keep the envelope's under another name."
            )
            violation = Violation(Reason.ENVELOPE_MISMATCH, message, path_of(plan.rule))
            self._refuse(violation, plan.several_behind, bare, above, into)
            return False
        text = with_kept(kept, bare)
        if plan.behind == len(self._levels):
            self._add(text, into)
        else:
            self._open(_Piece(text, bare, plan.behind, above), into)
        return True

    def _add(self, text: bytes, into: _Opening) -> None:
        into.texts.append(text)
        into.size += len(text)

    def _drop(self, name: str, text: bytes, into: _Opening) -> None:
        into.drops[len(into.texts)] = name
        self._add(text, into)

    def _refuse(
        self,
        violation: Violation,
        several: bool,  # noqa: FBT001 - whether it could have come to several documents
        bare: bytes,
        above: tuple[_Level, ...],
        into: _Opening,
    ) -> None:
        """Refuse one element of an envelope, or all of the envelope where it is not in one."""
        is_element = any(level.rule.action == "each" for level in above)
        wrapped = _wrapped(bare, above) if is_element and not several else None
        if wrapped is None:
            raise _WholeEnvelope(violation)
        into.violations[len(into.texts)] = violation
        into.texts.append(wrapped)
        into.size += len(wrapped)
        self._check_size(0, into)

    def _check_room(self, count: int, kept: bytes, size: int, into: _Opening) -> None:
        """Refuse the envelope where these elements are too many, or what is kept for each."""
        elements, message = len(into.texts) + count, None
        if elements > MOST_ELEMENTS:
            message = f"The envelope holds more than {MOST_ELEMENTS} elements."
        elif elements > into.room.elements:
            message = (
                "With this one, the envelopes of its stream record hold more than "
                f"{self._limits.record_documents} elements; send them in several stream records."
            )
        if message is not None:
            raise _WholeEnvelope(Violation(Reason.TOO_MANY_DOCUMENTS, message))
        self._check_size(size + count * len(kept), into)

    def _check_size(self, more: int, into: _Opening) -> None:
        """Refuse the envelope where its documents have too many bytes together, with so many more.

        Where a broken element's dead letter is to hold what stands around it, that counts too.
        """
        size, most = into.size + more, self._limits.unpacked_bytes
        if size > most:
            message = (
                f"The envelope's documents have more than {most} bytes together, with what is kept "
                "for each; keep less."
            )
        elif size > into.room.bytes:
            message = (
                "With this one, the documents of its stream record's envelopes have more than "
                f"{self._limits.record_bytes} bytes, with what is kept for each; keep less, or "
                "send them in several stream records."
            )
        else:
            return
        raise _WholeEnvelope(Violation(Reason.UNPACKED_TOO_LARGE, message))


def _without(text: bytes, array: bytes) -> bytes:
    """Return an envelope with the same members, and most often without its long array.

    With a quote in it, the array is not in a string; in another member, it is not missed.
    """
    if len(array) < _LONG or b'"' not in array:
        return text
    begin = text.find(array[:_SHORT])  # a long one is looked for many times as long
    end = begin + len(array)
    return text[:begin] + b"null" + text[end:] if text[begin:end] == array else text


def _are_all_of(array: bytes, elements: list[bytes]) -> bool:
    """Tell whether elements are all of an array's text but white space and commas.

    It looks at the bytes, and knows nothing of how they were cut.
    """
    if array[1:-1] == b",".join(elements):
        return True
    end = 1
    for element in elements:
        begin = array.find(element, end)
        if begin < 0 or array[end:begin].strip(_SPACE_AND_COMMA):
            return False
        end = begin + len(element)
    return not array[end:].rstrip(b"]").strip(_SPACE_AND_COMMA)


def _are_plain(array: bytes, elements: list[bytes], kept: bytes, plan: Plan) -> bool:
    """Tell whether all elements are surely objects with members, none of them of a kept name."""
    if set(map(_first, elements)) != {_OPEN} or not all(map(contains, elements, repeat(_QUOTE))):
        return False
    return not kept or not may_clash(array, plan)


def _wrapped(bare: bytes, above: tuple[_Level, ...]) -> bytes | None:
    """Put something back where it was taken out of, alone; None where it cannot be."""
    text = bare
    for level in reversed(above):
        around = None if level.rule.typed else level.around
        if around is None:
            return None
        if level.rule.action == "each":
            text = b"[%b]" % text
        elif level.rule.action == "parse":
            in_base64 = level.rule.base64
            text = b'"%b"' % b64encode(text) if in_base64 else msgspec.json.encode(text.decode())
        before, behind = around
        text = before + text + behind
    return text


def _around(text: bytes, path: Path) -> tuple[bytes, bytes] | None:
    """Return what an object has before and behind the member at a path; None without one."""
    if not path:
        return b"", b""
    members = _members.decode(text)
    if path[0] not in members:
        return None
    inner = _around(bytes(members[path[0]]), path[1:])
    if inner is None:
        return None
    named = [(key, msgspec.json.encode(key) + b":") for key in members]
    place = list(members).index(path[0])
    before = [name + bytes(members[key]) for key, name in named[:place]]
    behind = [name + bytes(members[key]) for key, name in named[place + 1 :]]
    own = named[place][1] + inner[0]
    return b"{" + b",".join([*before, own]), b",".join([inner[1], *behind]) + b"}"
