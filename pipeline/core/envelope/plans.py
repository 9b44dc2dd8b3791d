"""What a rule does with one document that it is for: the exact definition of every step."""

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from pipeline.core.attribute_values import NotAttributeValues, plain_json
from pipeline.core.envelope.members import UNREADABLE, Found, Members
from pipeline.core.envelope.unkept import Read, Shapes
from pipeline.core.envelope_rules import Condition, Rule
from pipeline.core.jsontext import WHITESPACE, is_json
from pipeline.core.member_path import written
from pipeline.core.reasons import Reason
from pipeline.core.records import Violation

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)


class Plan(NamedTuple):
    """A rule, and where its members are among those that were found.

    A text in which neither `names` nor `escapes` is found has no member of a name that it keeps.
    """

    rule: Rule
    behind: int
    when: tuple[tuple[int, Condition, frozenset[bytes]], ...]
    target: int
    keep: tuple[tuple[bytes, int], ...]
    shapes: Shapes
    names: re.Pattern[bytes]
    escapes: re.Pattern[bytes]
    lifts_alone: bool
    several: bool
    several_behind: bool


def planned(rules: Sequence[Rule], start: int) -> tuple[Members, list[Plan]]:
    """Plan the rules from `start` on, which are tried together on one document."""
    members = Members([path for rule in rules[start:] for path in rule.paths])
    place, plans = members.place, list[Plan]()
    for number, rule in enumerate(rules[start:], start):
        if rule.is_for_nothing:
            continue
        behind = len(rules) if rule.last else number + 1
        several_behind = any(other.action == "each" for other in rules[behind:])
        plans.append(
            Plan(
                rule,
                behind,
                tuple((place[each.path], each, each.tokens) for each in rule.when),
                place[rule.target] if rule.target else -1,
                tuple((msgspec.json.encode(name) + b":", place[path]) for name, path in rule.keep),
                Shapes(_read_by(rule)),
                *_patterns([name for name, _ in rule.keep]),
                rule.action == "lift" and not rule.typed and behind == len(rules),
                several_behind or rule.action == "each",
                several_behind,
            )
        )
    return members, plans


def kept_of(plan: Plan, found: Found) -> bytes:
    """Return the members that go along, as they stand in an object."""
    return b",".join(
        [key + token for key, place in plan.keep if (token := found[place]) is not None]
    )


def holds(token: bytes | None, condition: Condition, tokens: frozenset[bytes]) -> bool:
    """Tell whether a condition is true of a member; `tokens` are the values that it equals."""
    if token in tokens:
        return True
    return not (tokens and _is_as_written(token)) and condition.holds(token)


def _is_as_written(token: bytes | None) -> bool:
    """Tell whether a value has no other text, as one with escapes has, or a negative zero."""
    return token is None or (b"\\" not in token and token != b"-0")


def _read_by(rule: Rule) -> Read:
    top: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    for path in sorted(rule.paths, key=len):
        inner = top
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
            if inner is whole:
                break
        else:
            inner.setdefault(path[-1], whole)
    return top


def _patterns(names: Sequence[str]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what finds these names, and escapes by which a letter of them could be written.

    No name has a quote or a backslash in it. Each is faster than all of it in one pattern.
    """
    quoted = b"|".join(re.escape(name.encode()) for name in names)
    has_slash = any("/" in name for name in names)
    return re.compile(b'"(?:%b)"' % quoted), re.compile(rb"\\[u/]" if has_slash else rb"\\u")


def may_clash(text: bytes, plan: Plan) -> bool:
    """Tell whether an object in a text may have a member of a name that is kept."""
    return bool(plan.names.search(text) or plan.escapes.search(text))


def taken_out(rule: Rule, token: bytes | None) -> bytes | Violation:
    """Return the object that a rule takes out of the member at its path."""
    if rule.action == "parse":
        return _parsed(rule, token)
    if token is None or not token.startswith(b"{"):
        return expected_at("an object", rule)
    if not rule.typed:
        return token
    try:
        return plain_json(token)
    except NotAttributeValues:
        return expected_at("an object of DynamoDB's attribute values", rule)


def _parsed(rule: Rule, token: bytes | None) -> bytes | Violation:
    text = b""
    if token is not None and token.startswith(b'"'):
        with suppress(*UNREADABLE, UnicodeEncodeError, binascii.Error):
            string = _string.decode(token).encode()
            text = (b64decode(string, validate=True) if rule.base64 else string).strip(WHITESPACE)
    if text.startswith(b"{") and is_json(text):
        return text
    in_base64 = " in base64" * rule.base64
    return expected_at(f"a string that is a JSON object{in_base64}", rule)


def expected_at(content: str, rule: Rule) -> Violation:
    """Say what an envelope should have where a rule looks."""
    message = (
        f"The envelope should have {content} at {written(rule.target)}, as {rule.origin} says."
    )
    return Violation(Reason.ENVELOPE_MISMATCH, message, path_of(rule))


def path_of(rule: Rule) -> str:
    """Return the path of what a rule takes out, as a violation names it."""
    return written(rule.target)


def clash_of(bare: bytes, kept: bytes, plan: Plan) -> str | None:
    """Return a name that is kept, and that an object has a member of already."""
    if not kept or not may_clash(bare, plan):
        return None
    members = _members.decode(bare)
    return next((name for name in _members.decode(b"{%b}" % kept) if name in members), None)


def with_kept(kept: bytes, bare: bytes) -> bytes:
    """Put members in front of those of an object."""
    if not kept:
        return bare
    return b"{%b%b%b" % (kept, b"," if b'"' in bare else b"", bare[1:])
