"""Many documents at once to what they hold, where each surely comes to one good document.

Members are found for all of them, and each step of the rules is done in columns. What is in any way
out of the ordinary is left to the exact way: it is what defines the outcome of every document.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import contains
from typing import Any, NamedTuple

from pipeline.core.envelope.members import Column, Found, Members
from pipeline.core.envelope.plans import (
    Plan,
    clash_of,
    holds,
    may_clash,
    taken_out,
    with_kept,
)
from pipeline.core.envelope.unkept import Note
from pipeline.core.envelope_rules import Condition

_OPEN, _QUOTE = b'{"'
_FEW = 8  # documents, for which columns are not worth their start
_ABSENT = (None, b"null")
_Opened = list[bytes | None]


class _Step(NamedTuple):
    """Documents that one rule is for, and the numbers of those that they came of."""

    plan: Plan
    numbers: Sequence[int]
    envelopes: Sequence[bytes]


class Runs:
    """Opens runs of documents by the rules of each level."""

    def __init__(self, levels: Sequence[tuple[Members, Sequence[Plan]]]) -> None:
        self._levels = levels

    def open(self, documents: Sequence[bytes], start: int, notes: list[Note]) -> _Opened:
        """Return the text that each document came to; None for what is left to the exact way.

        At the rules' start, what no rule is for is left, too: it is marked as what it is. Rules,
        and what they took something out of, are appended to `notes`.
        """
        if start < len(self._levels) and len(documents) < _FEW:
            return [None] * len(documents)
        steps: list[_Step] = []
        texts = self._open(documents, start, range(len(documents)), steps)
        are_all = None not in texts
        for plan, numbers, envelopes in steps:
            pairs = zip(numbers, envelopes, strict=True)
            opened = envelopes
            if not are_all:
                opened = [each for number, each in pairs if texts[number] is not None]
            notes.append((plan.shapes, opened))
        return texts

    def _open(
        self,
        documents: Sequence[bytes],
        start: int,
        numbers: Sequence[int],
        steps: "list[_Step]",
    ) -> _Opened:
        """Open documents, each of which has the number of the one that it came of."""
        texts: _Opened = [None] * len(documents)
        if start == len(self._levels):
            return list(documents)
        members, plans = self._levels[start]
        indices, columns = members.find_all(documents)
        for plan, rows in _decided(plans, columns, len(indices)):
            found: _Opened
            if plan is None:
                found = [documents[indices[row]] for row in rows] if start else []
            elif plan.several or plan.target < 0:
                found = []
            else:
                step = _Step(plan, numbers, documents)
                if len(rows) < len(documents):
                    above = [indices[row] for row in rows]
                    texts_above = [documents[index] for index in above]
                    step = _Step(plan, [numbers[index] for index in above], texts_above)
                steps.append(step)
                found = self._taken(plan, columns, rows, step.numbers, steps)
            if len(found) == len(documents):
                return found
            for row, text in zip(rows, found, strict=False):
                texts[indices[row]] = text
        return texts

    def _taken(
        self,
        plan: Plan,
        columns: Sequence[Column],
        rows: Sequence[int],
        numbers: Sequence[int],
        steps: "list[_Step]",
    ) -> _Opened:
        """Take out of documents what one rule is for, and hand it on to the rules behind."""
        if len(rows) < len(columns[0]):
            places = {plan.target, *(place for _, place in plan.keep)}
            columns = [
                list(map(column.__getitem__, rows)) if place in places else []
                for place, column in enumerate(columns)
            ]
        texts = _with_kept(plan, columns, _taken_out(plan, columns[plan.target]))
        if plan.behind == len(self._levels):
            return texts
        pairs = [(n, text) for n, text in zip(numbers, texts, strict=True) if text is not None]
        good = [text for _, text in pairs]
        opened = iter(self._open(good, plan.behind, [number for number, _ in pairs], steps))
        return [None if text is None else next(opened) for text in texts]


def _decided(
    plans: Sequence[Plan], columns: Sequence[Column], size: int
) -> Iterable[tuple[Plan | None, Sequence[int]]]:
    """Yield each plan that decides about any document, with these; None where no rule is for it."""
    left: Sequence[int] = range(size)
    if not left:
        return
    for plan in plans:
        held = left
        for place, condition, tokens in plan.when:
            held = _held(held, columns[place], condition, tokens)
        if held:
            yield plan, held
            if len(held) == len(left):
                return
            taken = set(held)
            left = [row for row in left if row not in taken]
    yield None, left


def _held(
    rows: Sequence[int], column: Column, condition: Condition, tokens: frozenset[bytes]
) -> Sequence[int]:
    """Return those of the rows of which a condition is true."""
    if condition.present is not None:
        absent = column.count(None) + column.count(b"null")
        if absent in (0, len(column)):
            return rows if bool(absent) is not condition.present else ()
        return [row for row in rows if (column[row] not in _ABSENT) is condition.present]
    of_rows = column if len(rows) == len(column) else [column[row] for row in rows]
    known = {token: holds(token, condition, tokens) for token in set(of_rows)}
    if all(known.values()):
        return rows
    return [row for row in rows if known[column[row]]]


def _taken_out(plan: Plan, column: Column) -> _Opened:
    """Return the object that a rule takes out of each member, if it is there."""
    if plan.rule.action == "lift" and not plan.rule.typed:
        return [token if token and token[0] == _OPEN else None for token in column]
    taken = (taken_out(plan.rule, token) for token in column)
    return [text if isinstance(text, bytes) else None for text in taken]


def _with_kept(plan: Plan, columns: Sequence[Column], bares: _Opened) -> _Opened:
    """Put in front of each object what goes along; None where its own members clash with that."""
    if not plan.keep:
        return bares
    good = [bare for bare in bares if bare is not None]
    have_members = len(good) == len(bares) and all(map(contains, good, repeat(_QUOTE)))
    if not have_members or may_clash(b"\n".join(good), plan):
        kept = zip(*[columns[place] for _, place in plan.keep], strict=True)
        rows = zip(bares, kept, strict=True)
        return [None if bare is None else _one_with_kept(plan, bare, found) for bare, found in rows]
    parts, before = list[Iterable[Any]](), b"{"
    for key, place in plan.keep:
        column = columns[place]
        if None not in column:
            parts += [repeat(before + key), column]
            before = b","
        elif any(column):
            members = [b"" if token is None else b"%b%b," % (key, token) for token in column]
            parts += [repeat(before), members]
            before = b""
    parts += [repeat(before), [bare[1:] for bare in good]]
    return list(map(b"".join, zip(*parts, strict=False)))


def _one_with_kept(plan: Plan, bare: bytes, tokens: Found) -> bytes | None:
    members = zip(plan.keep, tokens, strict=True)
    kept = b",".join([key + token for (key, _), token in members if token is not None])
    return with_kept(kept, bare) if clash_of(bare, kept, plan) is None else None
