"""What was seen, to Avro types. A field that no one type holds becomes JSON text.

A type is guessed if all values fit it, or nearly all (`is_most`): the documents with the others
will be dead letters, and whoever drafts says so. Which type fits exactly comes before which is
usual: no number is rounded.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.authoring.infer.names import RESERVED, column_names, is_name, type_name
from pipeline.authoring.infer.observed import (
    DEEPEST,
    MOST_DIGITS,
    MOST_SYMBOLS,
    Numbers,
    Seen,
    Texts,
    is_most,
)
from pipeline.authoring.infer.times import FORMS, pattern_of
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.schema.types import LogicalType

_ENUM_VALUES = 100  # that have to be seen before a list of symbols is believed to be closed,
_ENUM_REPEATS = 20  # and how often each, on average
_RECORD_KEYS = 20  # more of them, seldom together, are a map's
_SELDOM = 0.3
_SELDOM_OF_MANY = 0.01  # share of the documents that have a key, where there are too many keys
_FEWEST_OF_MANY = 2
_TIME_KEY = re.compile(
    r"(?:@?(?:ts|time|timestamp|date|datetime|epoch)|.+_(?:at|ts|time|timestamp|date|on|before|after|until)"
    r"|.+[a-z](?:At|Ts|Time|Timestamp|Date))"
    r"(?:_[mun]s|[MUN]s|_?(?:Unix|Epoch)?(?:[Mm]illi|[Mm]icro|[Nn]ano)s?)?",  # timeUnixNano
)
_MONEY_KEY = re.compile(
    r"(?:.*[^A-Za-z])?(?:price|amount|total|cost)s?(?:[^A-Za-z].*)?", re.IGNORECASE
)
_IDENTIFIER = re.compile(r"(?:.*[^A-Za-z])?ids?|.*[a-z]Ids?", re.DOTALL)
_ID_KEY = re.compile(
    r"[0-9]+|(?=.*[0-9])[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}.*"
)
# msgspec matches keys by their bytes in the document, so no field has a key that JSON escapes.
_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_UNITS = {"seconds": 1.0, "millis": 1e3, "micros": 1e6, "nanos": 1e9}
_DIGITS = 38  # of most decimals,
_UNSIGNED = 20  # and of whole numbers of 64 bits without a sign
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
    LogicalType.DECIMAL: "it is drafted where a double would round, and hinted at elsewhere",
    LogicalType.TIME_MILLIS: "time-micros holds it",
    LogicalType.TIMESTAMP_MILLIS: "timestamp-micros holds it",
    LogicalType.LOCAL_TIMESTAMP_MILLIS: "local-timestamp-micros holds it",
    LogicalType.EPOCH_DAYS: "days since 1970 look like any whole number",
    LogicalType.EPOCH_MILLIS: "it stays a long; a hint proposes it",
    LogicalType.EPOCH_MICROS: "it stays a long; a hint proposes it",
    LogicalType.EPOCH_NANOS: "it stays a long",
}
"""The types that are never guessed, and why; all others are."""


@dataclass(frozen=True, slots=True)
class Line:
    """A field as a person reads it. `keys` lead to it if only objects are above it."""

    path: str
    type: str
    notes: tuple[str, ...]
    keys: tuple[str, ...] | None
    is_leaf: bool = True
    times: str | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """A member that cannot have a column, and so goes to `_rest`."""

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
    times: str | None = None
    rest: tuple[Rest, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a draft may not do: see `Drafter`, which narrows them until the draft holds.

    `strict` are paths at which every value has to fit, `as_json` those of fields that are JSON
    text. Objects deeper than `levels` are JSON text, and of the outermost fields only the
    `columns` most frequent have a column. Unless types are guessed `by_majority`, all is strict.
    """

    strict: frozenset[str] = frozenset()
    as_json: frozenset[str] = frozenset()
    levels: int = DEEPEST
    columns: int | None = None
    by_majority: bool = True


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

    def __init__(self, name: str, bounds: Bounds | None = None, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._name = name
        self._bounds = bounds or Bounds()

    def fields(
        self, seen: Seen, names: tuple[str, ...], reserved: Iterable[str]
    ) -> list[tuple[str, dict[str, Any], Guess]]:
        """Guess nullable fields for all keys of an object that `names` lead to.

        Returns each key with its field as a schema has it; `reserved` are names that are taken.
        """
        location = Location("$", names, None)
        keys = [key for key in seen.keys if not _ESCAPED.search(key)]
        found = []
        for key, column in column_names(keys, {name.lower() for name in reserved}).items():
            guess = self._field(seen.keys[key], location.field(key, column), key)
            found.append((key, _entry(key, column, guess, guess.notes, nullable=True), guess))
        return found

    def _is_strict(self, location: Location) -> bool:
        return not self._bounds.by_majority or location.path in self._bounds.strict

    def document(self, seen: Seen) -> Guess | str:
        """Guess the record of the documents; a string says why there is none."""
        return self._record(seen, Location("$", (), ()), RESERVED)

    def _type(self, seen: Seen, location: Location, key: str) -> Guess | str:
        """Guess the type of one place; a string says why there is none."""
        if seen.too_deep:
            return f"nests deeper than {DEEPEST} levels"
        kinds = seen.kinds
        if set(kinds) == {"numbers", "strings"} and seen.numbers and seen.texts:
            decimal = _mixed_decimal(seen.numbers, seen.texts)
            if decimal is not None:
                return decimal
        kind = self._kind(kinds, location)
        guess: Guess | str
        match kind:
            case "":
                return Guess("string", "string", ("guess: string; nothing but null was seen",))
            case "booleans":
                guess = Guess("boolean", "boolean")
            case "numbers" if seen.numbers:
                guess = _guess_numbers(seen.numbers, key)
            case "strings" if seen.texts:
                guess = self._guess_texts(seen.texts, location, key)
            case "arrays":
                guess = self._array(seen, location)
            case "objects":
                guess = self._object(seen, location)
            case _:
                return _say_mixed(list(kinds))
        others = {other: count for other, count in kinds.items() if other != kind}
        return guess if isinstance(guess, str) else _noting(guess, others)

    def _kind(self, kinds: Mapping[str, int], location: Location) -> str | None:
        """Return the kind of value that a place holds; None if there is no one kind."""
        if not kinds:
            return ""
        kind, count = max(kinds.items(), key=lambda item: item[1])
        total = sum(kinds.values())
        is_one = count == total if self._is_strict(location) else is_most(count, total)
        return kind if is_one else None

    def _guess_texts(self, texts: Texts, location: Location, key: str) -> Guess:
        is_strict = self._is_strict(location)
        guesses = [*_logical_guesses(texts), *_form_guesses(texts)]
        for guess, fitting in guesses:
            if fitting == texts.count:
                return guess
        for guess, fitting in guesses:
            # Text of any form fits a string, so only times, which are worth it, are by majority.
            is_time = guess.words != "uuid"
            if is_time and not is_strict and is_most(fitting, texts.count):
                return _noting(guess, {"strings of another form": texts.count - fitting})
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
        if texts.timely and not texts.untimely and not is_strict:
            fit = pattern_of(tuple(texts.timely))
            if fit is not None:
                name = fit.type["logicalType"]
                note = f"{_LOGICAL[name][1]}, as {', '.join(fit.attributes['formats'])}"
                return Guess(fit.type, name, (note,), fit.attributes)
        hint = texts.hint()
        if hint is not None and ("since" not in hint or _TIME_KEY.fullmatch(key)):
            return Guess("string", "string", (f"hint: looks like {hint}",), times=hint)
        return Guess("string", "string", _money(key) if texts.are_numbers else ())

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
            return self._map(seen, location)
        if len(location.names) > self._bounds.levels:
            return f"holds objects at level {len(location.names)}, and so has very many columns"
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
        keys, rest = self._columns(seen, location)
        entries, lines = list[Any](), list[Line]()
        for key, column in column_names(keys, reserved).items():
            place, inner = location.field(key, column), seen.keys[key]
            guess = self._field(inner, place, key)
            missing = seen.objects - inner.present + inner.nulls
            seldom = f"absent or null in {missing:,} of {seen.objects:,}"
            notes = (*guess.notes, *([seldom] if missing else ()))
            entries.append(_entry(key, column, guess, notes, nullable=missing > 0))
            words = f"{guess.words}, nullable" if missing else guess.words
            line = Line(
                ".".join(place.names), words, notes, place.keys, not guess.lines, guess.times
            )
            lines += [line, *guess.lines]
            rest += guess.rest
        if not entries:
            return "holds objects of which no key can be a column"
        schema = {"type": "record", "name": name, "fields": entries}
        return Guess(schema, "record", lines=tuple(lines), rest=tuple(rest))

    def _columns(self, seen: Seen, location: Location) -> tuple[list[str], list[Rest]]:
        """Choose the keys of an object that have a column, and say why the others have none."""
        rest = [
            Rest(location.path + path_segment(key), "has a quote, a backslash or a control "
                 "character in its key")
            for key in seen.keys
            if _ESCAPED.search(key)
        ]  # fmt: skip
        keys = [key for key in seen.keys if not _ESCAPED.search(key)]
        most = self._bounds.columns
        if location.names or most is None or len(keys) <= most:
            return keys, rest
        frequent = sorted(keys, key=lambda key: -seen.keys[key].present)[:most]
        # Keys that are seldom there are data, and none of them is worth a column.
        fewest = max(_FEWEST_OF_MANY, _SELDOM_OF_MANY * seen.objects)
        chosen = {key for key in frequent if seen.keys[key].present >= fewest} or set(frequent)
        why = "is one of very many keys, and not among the frequent ones"
        rest += [Rest(f"${path_segment(key)}", why) for key in keys if key not in chosen]
        return [key for key in keys if key in chosen], rest

    def _field(self, seen: Seen, place: Location, key: str) -> Guess:
        """Guess the type of a field, for which there always is one."""
        taken = set(self._taken)
        guess = self._type(seen, place, key)
        if isinstance(guess, Guess) and place.path not in self._bounds.as_json:
            return guess
        self._taken = taken
        if isinstance(guess, Guess):
            guess = f"holds values that are not all {guess.words}"
        return Guess("string", "json", (f"guess: any JSON, as text; it {guess}",), {"json": True})

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
        rest=inner.rest,
    )


def _noting(guess: Guess, others: Mapping[str, int]) -> Guess:
    """Note the values that do not fit a guess."""
    if not others:
        return guess
    listed = " and ".join(f"{count:,} {kind}" for kind, count in others.items())
    return replace(guess, notes=(*guess.notes, f"guess: {listed} do not fit"))


def _logical_guesses(texts: Texts) -> list[tuple[Guess, int]]:
    """Return the types whose texts were seen, and how many fit."""
    return [
        (Guess(schema, name, (note,)), texts.formats[name])
        for name, (schema, note) in _LOGICAL.items()
    ]


def _form_guesses(texts: Texts) -> list[tuple[Guess, int]]:
    """Return times by forms that a schema can name, and how many texts fit."""
    guesses = []
    for name, count in texts.forms.items():
        form = FORMS[name]
        names = list(form.names) or [name for name in form.loose if texts.loose[name]]
        schema, note = _LOGICAL[form.logical]
        attributes: dict[str, Any] = {"formats": names} if names else {}
        words = f"{note}, as {', '.join(names)}" if names else note
        guesses.append((Guess(schema, form.logical, (words,), attributes), count))
    return guesses


def _guess_numbers(numbers: Numbers, key: str) -> Guess | str:
    unit = _epoch_unit(numbers, key)
    if unit == "seconds" and numbers.fractions and key.lower().lstrip("@") == "ts":
        schema, _ = _LOGICAL["timestamp-micros"]
        note = "guess: seconds since 1970, by its name and its size"
        return Guess(schema, "timestamp-micros", (note,), {"epoch": unit})
    hints = _money(key)
    if unit:
        hints = (f"hint: looks like {unit} since 1970; see epoch in docs/reference/types.md",)
    if numbers.fit_long and not numbers.fractions:
        return Guess("long", "long", hints)
    is_measurement = numbers.fractions and not _IDENTIFIER.fullmatch(key)
    if numbers.fit_double and is_measurement:
        return Guess("double", "double", hints)
    if not numbers.fit_decimal:
        return "holds numbers that no one type holds exactly"
    why = "whole numbers of more than 64 bits"
    if numbers.fractions:
        why = "ids" if numbers.fit_double else "numbers that a double would round"
    return _decimal(numbers.whole, numbers.scale, why)


def _mixed_decimal(numbers: Numbers, texts: Texts) -> Guess | None:
    """Guess a decimal for numbers, and for strings that are numbers."""
    both = Numbers()
    both.merge(numbers)
    both.merge(texts.numbers)
    if not texts.are_numbers or not both.fit_decimal:
        return None
    return _decimal(both.whole, both.scale, "numbers, some of them as text")


def _decimal(whole: int, scale: int, why: str) -> Guess:
    """Draft a decimal, with room for more digits before the point where it is not yet wide."""
    precision = whole + scale
    if scale or precision > _UNSIGNED:
        precision = _DIGITS if precision <= _DIGITS else MOST_DIGITS
    else:
        precision = _UNSIGNED
    schema = {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    return Guess(schema, f"decimal({precision}, {scale})", (f"guess: decimal, for {why}",))


def _say_mixed(kinds: list[str]) -> str:
    return f"holds {', '.join(kinds[:-1])} and {kinds[-1]}"


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
