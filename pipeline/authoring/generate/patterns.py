"""Texts that match a pattern: the part of RE2 that schemas use, read the other way round.

Understood are characters, escapes, `.`, classes, groups, `|`, the quantifiers, and anchors at the
ends. What is not understood is `CannotGenerate`; the caller holds the result against RE2 itself.
"""

import string
from collections.abc import Callable, Sequence
from typing import Protocol


class RandomSource(Protocol):
    """What decides; `random.Random` is one."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Return a number below 2 ** k."""
        ...


class CannotGenerate(ValueError):
    """Nothing can be made up that fits; the text is a clause."""


Text = Callable[[RandomSource], str]

_WORD = string.ascii_letters + string.digits + "_"
_PLAIN = _WORD + " -.,:/"
_CLASSES = {
    "d": string.digits,
    "w": _WORD,
    "s": " ",
    "D": string.ascii_letters,
    "W": "-",
    "S": _WORD,
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_ASCII = [chr(code) for code in range(0x20, 0x7F)]
_MORE = 12  # repetitions that a quantifier without an end makes beyond its least


def choice(chance: RandomSource, values: Sequence[str]) -> str:
    """Pick one of several, each as likely as the others."""
    return values[int(chance.random() * len(values))]


def between(chance: RandomSource, low: int, high: int) -> int:
    """Draw a whole number from `low` to `high`, both included."""
    return low + int(chance.random() * (high - low + 1))


def matching(pattern: str) -> Text:
    """Return what makes texts that match. Raises `CannotGenerate`."""
    parser = _Parser(pattern)
    made = parser.alternatives()
    if parser.rest:
        raise CannotGenerate(f"its pattern has a {parser.rest[0]!r} where none is understood")
    return made


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def alternatives(self) -> Text:
        options = [self._sequence()]
        while self._took("|"):
            options.append(self._sequence())
        return lambda chance: options[int(chance.random() * len(options))](chance)

    def _sequence(self) -> Text:
        parts: list[Text] = []
        while self.rest and self.rest[0] not in "|)":
            if self._took("^") or self._took("$"):
                continue  # nothing comes before or after what is made
            parts.append(self._quantified(self._atom()))
        return lambda chance: "".join([part(chance) for part in parts])

    def _quantified(self, one: Text) -> Text:
        least, most = 1, 1
        if self._took("*"):
            least, most = 0, _MORE
        elif self._took("+"):
            least, most = 1, 1 + _MORE
        elif self._took("?"):
            least, most = 0, 1
        elif self.rest[:1] == "{":
            least, most = self._counts()
        else:
            return one
        self._took("?")  # lazy or not, it matches the same texts
        return lambda chance: "".join([one(chance) for _ in range(between(chance, least, most))])

    def _counts(self) -> tuple[int, int]:
        inside, brace, rest = self.rest[1:].partition("}")
        first, comma, last = inside.partition(",")
        if not brace or not first.isdecimal() or (last and not last.isdecimal()):
            raise CannotGenerate("its pattern has a '{' that is no quantifier")
        self.rest = rest
        least = int(first)
        if not comma:
            return least, least
        return least, int(last) if last else least + _MORE

    def _atom(self) -> Text:
        if self._took("("):
            if self.rest.startswith("?") and not self._took("?:"):
                raise CannotGenerate("its pattern has a group with flags or a name")
            made = self.alternatives()
            if not self._took(")"):
                raise CannotGenerate("its pattern has a group without an end")
            return made
        if self._took("["):
            members = self._members()
        elif self._took("."):
            members = _PLAIN
        else:
            members = self._character()
        return lambda chance: choice(chance, members)

    def _members(self) -> str:
        """Read a class, after its bracket, as the characters in it."""
        negated = self._took("^")
        members = ""
        while not members or not self._took("]"):
            first = self._character()
            if len(first) == 1 and self.rest[:1] == "-" and self.rest[1:2] not in {"", "]"}:
                self._took("-")
                last = self._character()
                if len(last) != 1:
                    raise CannotGenerate("its pattern has a range without an end")
                first = "".join(map(chr, range(ord(first), ord(last) + 1)))
            members += first
        if negated:
            members = "".join(one for one in _ASCII if one not in members)
        if not members:
            raise CannotGenerate("its pattern has a class of nothing in ASCII")
        return members

    def _character(self) -> str:
        """Read one character, or an escape, as what it stands for."""
        if not self.rest or self.rest.startswith("[:"):
            raise CannotGenerate("its pattern has a class that is not understood")
        one, self.rest = self.rest[0], self.rest[1:]
        if one != "\\" or not self.rest:
            return one
        one, self.rest = self.rest[0], self.rest[1:]
        if one in _CLASSES or one in _CONTROLS:
            return _CLASSES.get(one) or _CONTROLS[one]
        if one.isalnum():
            raise CannotGenerate(f"its pattern has a \\{one}, which is not understood")
        return one

    def _took(self, token: str) -> bool:
        """Go past a token if it comes next."""
        if not self.rest.startswith(token):
            return False
        self.rest = self.rest[len(token) :]
        return True
