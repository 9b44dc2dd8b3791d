"""What was seen, to the Avro types that hold all of it. What no one type holds is left out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.authoring.infer.names import RESERVED, column_names, is_name, type_name
from pipeline.authoring.infer.observed import DEEPEST, MOST_SYMBOLS, Numbers, Seen, Texts
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.schema.types import LogicalType

_ENUM_VALUES = 100  # that have to be seen before a list of symbols is believed to be closed,
_ENUM_REPEATS = 20  # and how often each, on average
_RECORD_KEYS = 20  # more of them, seldom together, are a map's
_SELDOM = 0.3
_TIME_KEY = re.compile(
    r"@?(?:ts|time|timestamp|date|datetime|epoch)|.+_(?:at|ts|time|timestamp|date|on|before|after|until)"
    r"|.+[a-z](?:At|Ts|Time|Timestamp|Date)",
)
_MONEY_KEY = re.compile(
    r"(?:.*[^A-Za-z])?(?:price|amount|total|cost)s?(?:[^A-Za-z].*)?", re.IGNORECASE
)
_ID_KEY = re.compile(
    r"[0-9]+|(?=.*[0-9])[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}.*"
)
# msgspec matches keys by their bytes in the document, so no field has a key that JSON escapes.
_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_UNITS = {"seconds": 1.0, "millis": 1e3, "micros": 1e6}
_YEARS = (5e8, 5e9)  # seconds: 1985 to 2128
_LOGICAL: dict[str, tuple[dict[str, str], str]] = {
    "uuid": ({"type": "string", "logicalType": "uuid"}, "guess: UUID"),
    "timestamp-micros": (
        {"type": "long", "logicalType": "timestamp-micros"},
        "guess: a time with its zone",
    ),
    "local-timestamp-micros": (
        {"type": "long", "logicalType": "local-timestamp-micros"},
        "guess: a time; it does not say its zone",
    ),
    "date": ({"type": "int", "logicalType": "date"}, "guess: a date"),
    "time-micros": ({"type": "long", "logicalType": "time-micros"}, "guess: a time of day"),
}

NOT_INFERRED: dict[LogicalType, str] = {
    LogicalType.INT: "a long holds what was seen, and what was not",
    LogicalType.FLOAT: "a double holds what was seen",
    LogicalType.BYTES: "base64 looks like any string",
    LogicalType.FIXED: "base64 looks like any string",
    LogicalType.DECIMAL: "samples do not show its precision; a hint proposes it",
    LogicalType.TIME_MILLIS: "time-micros holds it",
    LogicalType.TIMESTAMP_MILLIS: "timestamp-micros holds it",
    LogicalType.LOCAL_TIMESTAMP_MILLIS: "local-timestamp-micros holds it",
    LogicalType.EPOCH_DAYS: "days since 1970 look like any whole number",
    LogicalType.EPOCH_MILLIS: "it stays a long; a hint proposes it",
    LogicalType.EPOCH_MICROS: "it stays a long; a hint proposes it",
    LogicalType.EPOCH_NANOS: "it stays a long",
    LogicalType.JSON: "values of one type have that type",
}
"""The types that are never guessed, and why; all others are."""


@dataclass(frozen=True, slots=True)
class Line:
    """A field as a person reads it. `keys` lead to it if only objects are above it."""

    path: str
    type: str
    notes: tuple[str, ...]
    keys: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A place whose values no type holds."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A type: as Avro, in words, and what it is guessed from."""

    schema: Any
    words: str
    notes: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Where a place is: its JSON path, its columns' names, and its keys within objects."""

    path: str
    names: tuple[str, ...]
    keys: tuple[str, ...] | None

    def field(self, key: str, name: str) -> "Location":
        """Return the place of a field."""
        keys = None if self.keys is None else (*self.keys, key)
        return Location(self.path + path_segment(key), (*self.names, name), keys)

    def inside(self, brackets: str) -> "Location":
        """Return the place of an array's items, or of a map's values."""
        return Location(self.path + brackets, (*self.names[:-1], self.names[-1] + brackets), None)


class Guesser:
    """Guesses the types of one schema, in which each record and enum has its own name."""

    def __init__(self, name: str) -> None:
        self._taken: set[str] = set()
        self._name = name

    def document(self, seen: Seen) -> Guess | str:
        """Guess the record of the documents; a string says why there is none."""
        return self._record(seen, Location("$", (), ()), RESERVED)

    def _type(self, seen: Seen, location: Location, key: str) -> Guess | str:
        """Guess the type of one place; a string says why there is none."""
        if seen.too_deep:
            return f"nests deeper than {DEEPEST} levels"
        match seen.kinds:
            case []:
                return Guess("string", "string", ("guess: string; nothing but null was seen",))
            case ["booleans"]:
                return Guess("boolean", "boolean")
            case ["numbers"] if seen.numbers:
                return _guess_numbers(seen.numbers, key)
            case ["strings"] if seen.texts:
                return self._guess_texts(seen.texts, location, key)
            case ["arrays"]:
                return self._array(seen, location)
            case ["objects"]:
                return self._object(seen, location)
            case mixed:
                return _refuse_mixed(mixed, seen.texts)

    def _guess_texts(self, texts: Texts, location: Location, key: str) -> Guess:
        for name, (schema, note) in _LOGICAL.items():
            if name in texts.formats:
                return Guess(schema, name, (note,))
        symbols = list(texts.symbols or ())
        if (
            2 <= len(symbols) <= MOST_SYMBOLS  # noqa: PLR2004 - one value is not a choice
            and texts.count >= max(_ENUM_VALUES, _ENUM_REPEATS * len(symbols))
            and all(map(is_name, symbols))
        ):
            enum = {"type": "enum", "name": self._type_name(location), "symbols": symbols}
            note = (
                f"guess: enum, {len(symbols)} symbols in {texts.count:,} values; another symbol "
                "would be a dead letter"
            )
            return Guess(enum, "enum", (note,))
        return Guess("string", "string", _money(key) if "number" in texts.formats else ())

    def _array(self, seen: Seen, location: Location) -> Guess | str:
        if seen.item is None:
            note = "guess: array of strings; all arrays were empty"
            return Guess({"type": "array", "items": "string"}, "array of string", (note,))
        inner = self._type(seen.item, location.inside("[]"), "")
        if isinstance(inner, str):
            return _inside(inner, "items")
        return _holding(inner, "array", "items", nullable=bool(seen.item.nulls))

    def _object(self, seen: Seen, location: Location) -> Guess | str:
        if not seen.keys and not seen.many:
            note = "guess: map of strings; all objects were empty"
            return Guess({"type": "map", "values": "string"}, "map of string", (note,))
        if seen.many or _is_map(seen):
            taken = set(self._taken)
            guess = self._map(seen, location)
            if seen.many or isinstance(guess, Guess):
                return guess
            self._taken = taken
        return self._record(seen, location)

    def _map(self, seen: Seen, location: Location) -> Guess | str:
        value = seen.any_value()
        inner = self._type(value, location.inside("{}"), "")
        if isinstance(inner, str):
            return _inside(inner, "values")
        how_many = "very many" if seen.many else f"{len(seen.keys):,}"
        note = f"guess: map; {how_many} keys in {seen.objects:,} objects"
        return _holding(inner, "map", "values", nullable=bool(value.nulls), note=note)

    def _record(
        self, seen: Seen, location: Location, reserved: frozenset[str] = frozenset()
    ) -> Guess | str:
        name = self._type_name(location)
        entries, lines, left_out = list[Any](), list[Line](), list[LeftOut]()
        for key, column in column_names(seen.keys, reserved).items():
            place, inner = location.field(key, column), seen.keys[key]
            guess = (
                "has a quote, a backslash or a control character in its key"
                if _ESCAPED.search(key)
                else self._type(inner, place, key)
            )
            if isinstance(guess, str):
                left_out.append(LeftOut(place.path, guess))
                continue
            missing = seen.objects - inner.present + inner.nulls
            seldom = f"absent or null in {missing:,} of {seen.objects:,}"
            notes = (*guess.notes, *([seldom] if missing else ()))
            entries.append(_entry(key, column, guess, notes, nullable=missing > 0))
            words = f"{guess.words}, nullable" if missing else guess.words
            lines += [Line(".".join(place.names), words, notes, place.keys), *guess.lines]
            left_out += guess.left_out
        if not entries:
            return "holds objects of which no field has one type"
        schema = {"type": "record", "name": name, "fields": entries}
        return Guess(schema, "record", lines=tuple(lines), left_out=tuple(left_out))

    def _type_name(self, location: Location) -> str:
        return type_name(location.names or (self._name,), self._taken)


def _entry(
    key: str, name: str, guess: Guess, notes: tuple[str, ...], *, nullable: bool
) -> dict[str, Any]:
    """Write a field as a schema has it."""
    entry: dict[str, Any] = {"name": name}
    entry["type"] = ["null", guess.schema] if nullable else guess.schema
    if nullable:
        entry["default"] = None
    if key != name:
        entry["jsonName"] = key
    entry.update(guess.attributes)
    if notes:
        entry["doc"] = f"{'; '.join(notes)}."
    return entry


def _holding(inner: Guess, kind: str, part: str, *, nullable: bool, note: str = "") -> Guess:
    """Make an array or a map of what it holds."""
    notes = [*([note] if note else ()), *inner.notes]
    if nullable:
        notes.append(f"{part} may be null")
    return Guess(
        {"type": kind, part: ["null", inner.schema] if nullable else inner.schema},
        f"{kind} of {inner.words}",
        tuple(notes),
        lines=inner.lines,
        left_out=inner.left_out,
    )


def _guess_numbers(numbers: Numbers, key: str) -> Guess | str:
    if not numbers.finite:
        return "holds numbers beyond what a double can hold"
    unit = _epoch_unit(numbers, key)
    if unit == "seconds" and numbers.fractions and key.lower().lstrip("@") == "ts":
        schema, _ = _LOGICAL["timestamp-micros"]
        note = "guess: seconds since 1970, by its name and its size"
        return Guess(schema, "timestamp-micros", (note,), {"epoch": unit})
    hints = _money(key)
    if unit:
        hints = (f"hint: looks like {unit} since 1970; see epoch in the README",)
    if numbers.fit_long and not numbers.fractions:
        return Guess("long", "long", hints)
    if not numbers.fit_double:
        hints = ("guess: double, which rounds some of the whole numbers seen", *hints)
    return Guess("double", "double", hints)


def _refuse_mixed(kinds: list[str], texts: Texts | None) -> str:
    why = f"holds {', '.join(kinds[:-1])} and {kinds[-1]}"
    if kinds == ["numbers", "strings"] and texts and "number" in texts.formats:
        return f"{why} that are numbers; a decimal would hold both"
    return why


def _inside(why: str, part: str) -> str:
    """Say that the reason is inside an array or a map, however deep."""
    return f"{why.partition(', in its ')[0]}, in its {part}"


def _epoch_unit(numbers: Numbers, key: str) -> str | None:
    """Return the unit in which numbers are times, if its key and their sizes fit."""
    if not _TIME_KEY.fullmatch(key):
        return None
    low, high = _YEARS
    fitting = (
        unit
        for unit, factor in _UNITS.items()
        if low * factor <= numbers.low and numbers.high <= high * factor
    )
    return next(fitting, None)


def _money(key: str) -> tuple[str, ...]:
    if not _MONEY_KEY.fullmatch(key):
        return ()
    return ("hint: if this is money, a decimal (bytes, precision 18, scale 2) keeps it exactly",)


def _is_map(seen: Seen) -> bool:
    """Say whether keys look like data: ids all of them, or many that seldom come together."""
    if len(seen.keys) > 1 and all(map(_ID_KEY.fullmatch, seen.keys)):
        return True
    together = sum(inner.present for inner in seen.keys.values())
    return len(seen.keys) > _RECORD_KEYS and together < _SELDOM * len(seen.keys) * seen.objects
