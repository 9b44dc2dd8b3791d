"""`[[envelope]]` of stream.toml: how what a payload holds becomes documents, rule by rule.

The rules are tried in order on each document, and the first whose `when` holds decides: it drops
the document under a name, or takes out of it what is a document of its own. On what comes out, the
rules behind it are tried in turn; so each is used once at most, and no rule sees its own results.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from pipeline.core.jsontext import WHITESPACE
from pipeline.core.member_path import NO_KEY, PATH_EXAMPLE, Path, read_path, written

Action = Literal["drop", "each", "parse", "lift"]
Scalar = str | int | bool

MOST_RULES = 32
_SETTINGS = ("when", "drop", "each", "parse", "lift", "keep", "empty", "decode", "last")
_ACTIONS: tuple[Action, ...] = ("drop", "each", "parse", "lift")
_DECODES = {"lift": "dynamodb", "parse": "base64"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


class Condition(msgspec.Struct, frozen=True):
    """What must be true of the member at a path; several in a rule must all be."""

    path: Path
    equals: tuple[Scalar, ...] = ()
    present: bool | None = None
    prefix: str | None = None

    @property
    def tokens(self) -> frozenset[bytes]:
        """The values that it equals, as they are most likely written."""
        return frozenset(map(msgspec.json.encode, self.equals))

    def holds(self, token: bytes | None) -> bool:
        """Tell whether it is true of a member's JSON text; null counts as absent."""
        if self.present is not None:
            return (token is not None and token != b"null") is self.present
        if token is None or token == b"null" or token.startswith((b"{", b"[")):
            return False
        try:
            value = msgspec.json.decode(token)
        except msgspec.DecodeError:  # a number that is out of range
            return False
        if self.prefix is not None:
            stripped = value.lstrip(WHITESPACE.decode()) if isinstance(value, str) else ""
            return stripped.startswith(self.prefix)
        return any(type(value) is type(known) and value == known for known in self.equals)

    def __str__(self) -> str:
        path = written(self.path)
        if self.present is not None:
            return f"{path} is {'there' if self.present else 'absent or null'}"
        if self.prefix is not None:
            return f"{path} begins with {self.prefix!r}"
        return f"{path} is {' or '.join(map(repr, self.equals))}"


class Rule(msgspec.Struct, frozen=True):
    """One rule. `target` is the path of what it takes out, `name` what a drop is counted as.

    `keep` are members of the envelope that go along, each with its name in the document. `empty` is
    the name under which an array without elements is dropped. `last` ends the rules.
    """

    action: Action
    target: Path = ()
    name: str = ""
    when: tuple[Condition, ...] = ()
    keep: tuple[tuple[str, Path], ...] = ()
    empty: str | None = None
    typed: bool = False
    base64: bool = False
    last: bool = False
    origin: str = ""

    @property
    def is_for_nothing(self) -> bool:
        """Whether it is for records that hold nothing: none, or null."""
        return any(not each.path for each in self.when)

    @property
    def paths(self) -> list[Path]:
        """All paths that it reads."""
        if self.is_for_nothing:
            return []
        own = [] if self.action == "drop" else [self.target]
        return [*(each.path for each in self.when), *own, *(path for _, path in self.keep)]

    def __str__(self) -> str:
        when = " and ".join(map(str, self.when)) or "always"
        target = written(self.target)
        does = {
            "drop": f"drop it, counted as {self.name!r}",
            "each": f"each element of {target} is a document",
            "parse": f"the JSON text in {target}{' (base64)' * self.base64} is the document",
            "lift": f"what lies at {target} is the document",
        }[self.action]
        kept = ", ".join(f"{written(path)} as {name!r}" for name, path in self.keep)
        return "".join(
            [
                f"{'when ' if self.when else ''}{when}: {does}",
                ", its attribute values as plain JSON" if self.typed else "",
                f"; an empty array is dropped, counted as {self.empty!r}" if self.empty else "",
                f"; with {kept}" if kept else "",
                "; no rule after it" if self.last else "",
            ]
        )


def read_rules(given: Any, where: str) -> tuple[tuple[Rule, ...], list[str]]:
    """Read the rules of a file; return them and every fault, as sentences."""
    if not isinstance(given, list) or not all(isinstance(rule, dict) for rule in given):
        return (), [f"{where}: rules are written as [[envelope]], with two brackets."]
    faults, rules = list[str](), list[Rule]()
    if len(given) > MOST_RULES:
        faults.append(f"{where}: there are {len(given)} rules; {MOST_RULES} is the most.")
    for number, settings in enumerate(given, 1):
        reader = _Reader(f"{where}, envelope {number}", settings)
        rules.append(reader.rule())
        faults += reader.faults
    return tuple(rules), faults


class _Reader:
    """Reads one rule, and notes every fault of it."""

    def __init__(self, where: str, settings: Mapping[str, Any]) -> None:
        self.where = where
        self.settings = settings
        self.faults: list[str] = []

    def rule(self) -> Rule:
        for unknown in sorted(set(self.settings) - set(_SETTINGS)):
            self._fault(f"unknown setting {unknown!r}; there are {', '.join(_SETTINGS)}.")
        when, keep, last = self._when(), self._keep(), self._is_last()
        actions = [name for name in _ACTIONS if name in self.settings]
        if len(actions) != 1:
            has = " and ".join(actions) or "none of them"
            self._fault(f"a rule has one of {', '.join(_ACTIONS)}; this one has {has}.")
            return Rule("drop")
        action = actions[0]
        self._check_company(action, when)
        decode = self._decode(action)
        is_drop = action == "drop"
        return Rule(
            action,
            target=() if is_drop else self._target(action),
            name=self._name("drop") if is_drop else "",
            when=when,
            keep=keep,
            empty=self._name("empty") if "empty" in self.settings else None,
            typed=decode == "dynamodb",
            base64=decode == "base64",
            last=last,
            origin=self.where,
        )

    def _fault(self, why: str) -> None:
        self.faults.append(f"{self.where}: {why}")

    def _check_company(self, action: Action, when: Sequence[Condition]) -> None:
        """Refuse settings that mean nothing beside the rule's action."""
        if any(not each.path for each in when) and (action != "drop" or len(when) > 1):
            self._fault('when "$" is for a rule that drops what holds nothing, and stands alone.')
        if action == "drop" and not self.settings.get("when"):
            self._fault("drop needs when: without it, every document would be dropped.")
        for name, meant in (
            ("keep", _ACTIONS[1:]),
            ("empty", ("each",)),
            ("decode", ("lift", "parse")),
        ):
            if name in self.settings and action not in meant:
                self._fault(f"{name} means nothing beside {action}; it goes with {_or(meant)}.")

    def _target(self, action: Action) -> Path:
        path = self._path(self.settings[action], action)
        if path == ():
            self._fault(f"{action} is the path of a member, {PATH_EXAMPLE}; not $ itself.")
        return path or ()

    def _name(self, setting: str) -> str:
        name = self.settings[setting]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._fault(
                f"{setting} is the name that drops are counted under: a letter, then up to 62 "
                "letters, digits, dots, - and _."
            )
            return ""
        return name

    def _decode(self, action: Action) -> str | None:
        decode = self.settings.get("decode")
        if decode is not None and decode != _DECODES.get(action, decode):
            self._fault(f'decode is "{_DECODES[action]}" beside {action}, or left out.')
        return decode if isinstance(decode, str) else None

    def _is_last(self) -> bool:
        last = self.settings.get("last", False)
        if not isinstance(last, bool):
            self._fault("last is true or false.")
        return bool(last)

    def _path(self, text: Any, setting: str) -> Path | None:
        path = read_path(text)
        if path is None:
            self._fault(f"{setting}: {text!r} is not a path {PATH_EXAMPLE}.")
        return path

    def _when(self) -> tuple[Condition, ...]:
        given = self.settings.get("when", {})
        if not isinstance(given, dict):
            self._fault('when is a table of paths, as in { "$.messageType" = "DATA_MESSAGE" }.')
            return ()
        found = [self._condition(path, wanted) for path, wanted in given.items()]
        return tuple(condition for condition in found if condition is not None)

    def _condition(self, text: str, wanted: Any) -> Condition | None:
        path = self._path(text, "when")
        if path is None:
            return None
        if not path and wanted != {"present": False}:
            self._fault('when "$" is { present = false }: the record is empty, or null.')
            return None
        match wanted:
            case {"present": bool(present), **rest} if not rest:
                return Condition(path, present=present)
            case {"prefix": str(prefix), **rest} if prefix and not rest:
                return Condition(path, prefix=prefix)
            case list() if wanted and all(map(_is_scalar, wanted)):
                return Condition(path, equals=tuple(wanted))
            case _ if _is_scalar(wanted):
                return Condition(path, equals=(wanted,))
        self._fault(
            f"when {text}: give a string, an integer of 64 bits or a boolean, a list of them, "
            '{ present = true }, { present = false }, or { prefix = "…" }.'
        )
        return None

    def _keep(self) -> tuple[tuple[str, Path], ...]:
        given = self.settings.get("keep", [])
        if isinstance(given, dict):
            pairs = [(name, self._path(text, "keep")) for name, text in given.items()]
        elif isinstance(given, list):
            paths = [self._path(text, "keep") for text in given]
            pairs = [(path[-1] if path else "", path) for path in paths]
        else:
            self._fault('keep is a list of paths, or a table of new names, { log = "$.logGroup" }.')
            return ()
        kept = [(name, path) for name, path in pairs if path is not None]
        self._check_names([name for name, _ in kept], kept)
        return tuple(kept)

    def _check_names(self, names: Sequence[str], kept: Sequence[tuple[str, Path]]) -> None:
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._fault(f"keep writes {name!r} twice; give one of them another name.")
        if any(not path or not name or NO_KEY.search(name) for name, path in kept):
            self._fault("keep needs members of the envelope, and names without quotes.")


def _is_scalar(value: Any) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str)


def _or(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
