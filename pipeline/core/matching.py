"""`[match]`: which documents of a stream are a dataset's, by members of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipeline.core.member_path import NO_KEY, PATH_EXAMPLE, read_path, written

Scalar = str | int | bool
Key = str | tuple[str, ...]
"""A text is a key of the document itself; where the document does not have it and the text has
dots, it is a path, too: `metadata.table-name`. A tuple is a path of keys."""


class UnusableMatch(ValueError):
    """What cannot be used in `[match]`, and why."""


class Match(msgspec.Struct, frozen=True):
    """A condition: the member at `key` equals `value`, or one of the `others`."""

    key: Key
    value: Scalar
    others: tuple[Scalar, ...] = ()

    @property
    def values(self) -> tuple[Scalar, ...]:
        """All values that it takes."""
        return (self.value, *self.others)

    @property
    def name(self) -> str:
        """The key as a person would say it."""
        return self.key if isinstance(self.key, str) else ".".join(self.key)

    @property
    def written(self) -> str:
        """The key as `field` of [match] has it."""
        return self.key if isinstance(self.key, str) else written(self.key)

    @property
    def path(self) -> tuple[str, ...]:
        """The path of keys, where it is one; of one key where it can be no other."""
        if isinstance(self.key, tuple):
            return self.key
        parts = tuple(self.key.split("."))
        return parts if all(parts) else (self.key,)

    def find(self, document: Mapping[str, Any]) -> Any:
        """Return the member of a document that was read; None if it is absent."""
        if isinstance(self.key, str) and self.key in document:
            return document[self.key]
        value: Any = document
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def put(self, document: dict[str, Any]) -> None:
        """Make it true of a document."""
        if isinstance(self.key, str) and (self.key in document or len(self.path) == 1):
            document[self.key] = self.value
            return
        *above, last = self.path
        for key in above:
            if not isinstance(document.get(key), dict):
                document[key] = {}
            document = document[key]
        document[last] = self.value

    def excludes(self, other: "Match") -> bool:
        """Tell whether no document can fulfil both."""
        # With their types, as 1 and true are not the same.
        values = {(type(value), value) for value in self.values}
        return self.key == other.key and not any((type(v), v) in values for v in other.values)

    def __str__(self) -> str:
        return f"{self.written!r} equals {' or '.join(map(repr, self.values))}"


class Matching(msgspec.Struct, frozen=True):
    """Which documents are a dataset's: those of which each condition is true."""

    conditions: tuple[Match, ...]

    def put(self, document: dict[str, Any]) -> None:
        """Make a document one of the dataset."""
        for condition in self.conditions:
            condition.put(document)

    def excludes(self, other: "Matching") -> bool:
        """Tell whether no document can be both datasets'."""
        return any(one.excludes(another) for one in self.conditions for another in other.conditions)

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


def read_matching(given: Any) -> Matching:
    """Read `[match]`, or several conditions as `[[match]]`. Raises `UnusableMatch`."""
    tables = given if isinstance(given, list) else [given]
    if not tables or not all(isinstance(table, dict) for table in tables):
        raise UnusableMatch("[match] is a table, or several as [[match]], all of which must hold.")
    conditions = tuple(map(_read, tables))
    keys = [condition.key for condition in conditions]
    for condition in conditions:
        if keys.count(condition.key) > 1:
            raise UnusableMatch(
                f"two conditions of [[match]] look at {condition.name!r}; a list of values in "
                "equals takes any of them."
            )
    return Matching(conditions)


def _read(given: Mapping[str, Any]) -> Match:
    if set(given) != {"field", "equals"}:
        raise UnusableMatch("[match] has exactly the settings field and equals.")
    values = given["equals"] if isinstance(given["equals"], list) else [given["equals"]]
    if not values or not all(isinstance(value, str | int | bool) for value in values):
        raise UnusableMatch("[match] equals is a string, integer or boolean, or a list of them.")
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values):
        raise UnusableMatch("[match] equals is an integer of more than 64 bits.")
    return Match(read_key(given["field"]), values[0], tuple(values[1:]))


def read_key(given: Any) -> Key:
    """Read `field` of `[match]`. Raises `UnusableMatch`."""
    parts = given if isinstance(given, list) else [given]
    if not all(isinstance(part, str) for part in parts) or not parts:
        raise UnusableMatch(
            f"[match] field is a key, the path of a nested one, {PATH_EXAMPLE}, or a list of the "
            'keys that lead to it, as in ["metadata", "table-name"].'
        )
    if isinstance(given, list):
        key: Key = tuple(given)
    elif given.startswith(("$.", "$[")):
        path = read_path(given)
        if path is None:
            raise UnusableMatch(f"[match] field {given!r} is not a path {PATH_EXAMPLE}.")
        return path
    else:
        key = given
    if any(map(NO_KEY.search, parts)):
        raise UnusableMatch("[match] field must have no quote, backslash or control character.")
    return key


def overlapping(matchings: Mapping[str, Matching]) -> Iterator[tuple[str, str]]:
    """Yield the names of datasets that could both take one document."""
    names = sorted(matchings)
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            if not matchings[name].excludes(matchings[other]):
                yield name, other
