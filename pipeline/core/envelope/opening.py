"""One document to what it holds, by the rules of its stream.

What a rule takes out is a document of exact slices: the text of an element, and in front of its
members those of the envelope that go along. Where an element is broken, its siblings are not: it
becomes a dead letter that holds its envelope with this element alone, which comes to the same
document when it is sent again. Where the rest of the rules could have made several documents of it,
nobody knows how many, and so which numbers its siblings have: then all of the envelope is one.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

import msgspec

from pipeline.core.attribute_values import NotAttributeValues, plain_json
from pipeline.core.envelope.members import Found, Members
from pipeline.core.envelope_rules import Condition, Path, Rule, written
from pipeline.core.errors import ConservationError
from pipeline.core.jsontext import WHITESPACE, is_json
from pipeline.core.numbering import MOST_ELEMENTS
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits, Violation

_TELLING = 4  # bytes that names begin with, which hardly any other member does
_SPACE_AND_COMMA = WHITESPACE + b","
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)


class Room(msgspec.Struct, gc=False):
    """What may still come of the envelopes of one stream record: elements, and bytes.

    Bytes are those of the documents, and at each level those that are kept for each element or
    stand around a broken one: some kilobytes could come to more than there is time for.
    """

    elements: int
    bytes: int


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


class _Plan(NamedTuple):
    """A rule, and where its members are among those that were found.

    A text without any of `kept_signs` has no member of a name that it keeps.
    """

    rule: Rule
    behind: int
    when: tuple[tuple[int, Condition, frozenset[bytes]], ...]
    target: int
    keep: tuple[tuple[bytes, int], ...]
    kept_signs: tuple[bytes, ...]
    lifts_alone: bool
    several: bool
    several_behind: bool


class _WholeEnvelope(Exception):
    """Not an error: it says that the envelope becomes a dead letter, and why."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


class Envelope:
    """Opens documents by rules, of which there is one at least.

    Of one document may come `MOST_ELEMENTS` and as many bytes as may be unpacked of one.
    """

    def __init__(self, rules: Sequence[Rule], limits: Limits) -> None:
        self._limits = limits
        self._levels = [_planned(rules, start) for start in range(len(rules))]
        self.parses = any(rule.action == "parse" for rule in rules)

    def room(self) -> Room:
        """Return what may come of the envelopes of one stream record."""
        return Room(self._limits.record_documents, self._limits.record_bytes)

    def open(self, document: bytes, room: Room | None = None) -> Opened:
        """Return what a document came to: itself, if no rule is for it.

        What it takes of its stream record's `room` is taken off, also where it then is refused.
        """
        opened = self.fast_open(document, room)
        return Opened([opened]) if isinstance(opened, bytes) else opened

    def fast_open(self, document: bytes, room: Room | None = None) -> bytes | Opened:
        """Return the same; where a rule made one good document of it, that alone."""
        decided = self._decide(document, 0)
        if decided is None:
            return Opened([document], by_rule=False)
        plan, found = decided
        if plan.lifts_alone:
            token, kept = found[plan.target], _kept(plan, found)
            if token and token.startswith(b"{") and _clash(token, kept, plan) is None:
                return _with(kept, token)
        room = room or self.room()
        opened = _Opening(room=room)
        try:
            self._apply(plan, found, _Piece(document, document), opened)
        except _WholeEnvelope as whole:
            return Opened([document], {0: whole.violation}, by_rule=False)
        finally:
            room.elements -= len(opened.texts)
            room.bytes -= opened.size
        return opened

    def _open(self, piece: _Piece, into: _Opening) -> None:
        """Let the first rule decide that is for a document, if there is one."""
        decided = self._decide(piece.text, piece.start)
        if decided is None:
            self._add(piece.text, piece.bare, into)
        else:
            self._apply(*decided, piece, into)

    def _decide(self, document: bytes, start: int) -> tuple[_Plan, Found] | None:
        members, plans = self._levels[start]
        try:
            found = members.find(document)
        except _UNREADABLE:
            return None
        for plan in plans:
            for place, condition, tokens in plan.when:
                token = found[place]
                if token in tokens:
                    continue
                if (tokens and _is_as_written(token)) or not condition.holds(token):
                    break
            else:
                return plan, found
        return None

    def _apply(self, plan: _Plan, found: Found, piece: _Piece, into: _Opening) -> None:
        rule = plan.rule
        if rule.action == "drop":
            self._drop(rule.name, piece.text, into)
            return
        token, kept = found[plan.target], _kept(plan, found)
        if rule.action == "each":
            self._apply_each(plan, token, kept, piece, into)
            return
        bare = _taken_out(rule, token)
        if isinstance(bare, Violation):
            self._refuse(bare, plan.several, piece.bare, piece.above, into)
        else:
            above = (*piece.above, _Level(piece.bare, plan.rule))
            self._go_on(plan, bare, kept, above, into)

    def _apply_each(
        self,
        plan: _Plan,
        token: bytes | None,
        kept: bytes,
        piece: _Piece,
        into: _Opening,
    ) -> None:
        """Make a document of each element."""
        if token is None or not token.startswith(b"["):
            violation = _expected("an array", plan.rule)
            self._refuse(violation, plan.several, piece.bare, piece.above, into)
            return
        elements = list(map(bytes, _elements.decode(token)))
        if not _are_all_of(token, elements):
            message = "Elements of an envelope were lost. This is a defect of the pipeline."
            raise ConservationError(message)
        if not elements and plan.rule.empty is not None:
            self._drop(plan.rule.empty, piece.text, into)
        elif not elements:
            violation = _expected("an array with elements", plan.rule)
            self._refuse(violation, plan.several, piece.bare, piece.above, into)
        self._check_room(len(elements), kept, len(token), into)
        into.size += len(elements) * len(kept)
        if plan.behind == len(self._levels) and _are_plain(token, elements, kept, plan):
            front = b"{%b," % kept if kept else b"{"
            into.texts += [front + element[1:] for element in elements] if kept else elements
            into.size += len(token)
            return
        above = (*piece.above, _Level(piece.bare, plan.rule))
        for element in elements:
            if element.startswith(b"{"):
                self._go_on(plan, element, kept, above, into)
            else:
                message = f"An element of {written(plan.rule.target)} is not an object."
                violation = Violation(Reason.ENVELOPE_MISMATCH, message, _path(plan.rule))
                self._refuse(violation, plan.several_behind, element, above, into)

    def _go_on(
        self,
        plan: _Plan,
        bare: bytes,
        kept: bytes,
        above: tuple[_Level, ...],
        into: _Opening,
    ) -> None:
        """Hand on what was taken out, with what goes along, to the rules behind."""
        clash = _clash(bare, kept, plan)
        if clash is not None:
            message = (
                f"It has a member {clash!r} of its own; keep the envelope's under another name."
            )
            violation = Violation(Reason.ENVELOPE_MISMATCH, message, _path(plan.rule))
            self._refuse(violation, plan.several_behind, bare, above, into)
            return
        text = _with(kept, bare)
        if plan.behind == len(self._levels):
            self._add(text, bare, into)
        else:
            self._open(_Piece(text, bare, plan.behind, above), into)

    def _add(self, text: bytes, bare: bytes, into: _Opening) -> None:
        into.texts.append(text)
        into.size += len(bare)

    def _drop(self, name: str, text: bytes, into: _Opening) -> None:
        into.drops[len(into.texts)] = name
        into.texts.append(text)

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


def _planned(rules: Sequence[Rule], start: int) -> tuple[Members, list[_Plan]]:
    """Plan the rules from `start` on, which are tried together on one document."""
    members = Members([path for rule in rules[start:] for path in rule.paths])
    place, plans = members.place, list[_Plan]()
    for number, rule in enumerate(rules[start:], start):
        behind = len(rules) if rule.last else number + 1
        several_behind = any(other.action == "each" for other in rules[behind:])
        plans.append(
            _Plan(
                rule,
                behind,
                tuple((place[each.path], each, each.tokens) for each in rule.when),
                place[rule.target] if rule.target else -1,
                tuple((msgspec.json.encode(name) + b":", place[path]) for name, path in rule.keep),
                _signs([msgspec.json.encode(name) for name, _ in rule.keep]),
                rule.action == "lift" and not rule.typed and behind == len(rules),
                several_behind or rule.action == "each",
                several_behind,
            )
        )
    return members, plans


def _kept(plan: _Plan, found: Found) -> bytes:
    """Return the members that go along, as they stand in an object."""
    return b",".join(
        [key + token for key, place in plan.keep if (token := found[place]) is not None]
    )


def _is_as_written(token: bytes | None) -> bool:
    """Tell whether a value has no other text, as one with escapes has, or a negative zero."""
    return token is None or (b"\\" not in token and token != b"-0")


def _signs(names: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what a text has one of that has one of these quoted names."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    start = bytes(letters[0] for letters in same)
    return (start,) if len(start) >= _TELLING else tuple(names)


def _has_sign(text: bytes, plan: _Plan) -> bool:
    for sign in plan.kept_signs:  # noqa: SIM110 - a generator takes longer than the search
        if sign in text:
            return True
    return False


def _taken_out(rule: Rule, token: bytes | None) -> bytes | Violation:
    """Return the object that a rule takes out of the member at its path."""
    if rule.action == "parse":
        return _parsed(rule, token)
    if token is None or not token.startswith(b"{"):
        return _expected("an object", rule)
    if not rule.typed:
        return token
    try:
        return plain_json(token)
    except NotAttributeValues:
        return _expected("an object of DynamoDB's attribute values", rule)


def _parsed(rule: Rule, token: bytes | None) -> bytes | Violation:
    expected = _expected("a string that is a JSON object", rule)
    if token is None or not token.startswith(b'"'):
        return expected
    try:
        text = _string.decode(token).encode().strip(WHITESPACE)
    except (*_UNREADABLE, UnicodeEncodeError):
        return expected
    return text if text.startswith(b"{") and is_json(text) else expected


def _expected(content: str, rule: Rule) -> Violation:
    message = (
        f"The envelope should have {content} at {written(rule.target)}, as {rule.origin} says."
    )
    return Violation(Reason.ENVELOPE_MISMATCH, message, _path(rule))


def _path(rule: Rule) -> str:
    return written(rule.target)


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


def _are_plain(array: bytes, elements: list[bytes], kept: bytes, plan: _Plan) -> bool:
    """Tell whether all elements are surely objects with members, and none of them with a kept name.

    A letter of a key could be written as an escape, too; a slash as a backslash and a slash.
    """
    if not all(element.startswith(b"{") and b'"' in element for element in elements):
        return False
    may_have_escapes = b"\\" in array and (b"\\u" in array or b"\\/" in array)
    return not kept or not (may_have_escapes or _has_sign(array, plan))


def _clash(bare: bytes, kept: bytes, plan: _Plan) -> str | None:
    """Return a name that is kept, and that an object has a member of already."""
    if not kept or not (b"\\" in bare or _has_sign(bare, plan)):
        return None
    members = _members.decode(bare)
    return next((name for name in _members.decode(b"{%b}" % kept) if name in members), None)


def _with(kept: bytes, bare: bytes) -> bytes:
    """Put members in front of those of an object."""
    if not kept:
        return bare
    return b"{%b%b%b" % (kept, b"," if b'"' in bare else b"", bare[1:])


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
            text = msgspec.json.encode(text.decode())
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
