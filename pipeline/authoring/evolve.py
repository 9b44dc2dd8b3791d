"""What has drifted since a dataset's schema, and the next version of it.

Documents are held against the schema in two ways: by their members, which finds new fields and
those that ceased, and by converting them, which finds what does not fit. The next version is made
change by change, and each change has to be one that `evolution` accepts, and the samples.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.authoring.evolution import changes_refused
from pipeline.authoring.infer.draft import observe
from pipeline.authoring.infer.guess import Bounds, Guesser
from pipeline.authoring.infer.names import RESERVED
from pipeline.authoring.infer.observed import Seen
from pipeline.authoring.infer.render import write_schema
from pipeline.authoring.infer.sample import Sample
from pipeline.authoring.infer.trial import Misfit, Trial, try_draft
from pipeline.authoring.places import Node, entry_at, merged, node_at, type_names, values_at
from pipeline.authoring.repairs import REPAIRS
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.documents.jsonpath import path_segment
from pipeline.core.errors import DatasetError
from pipeline.core.formats import Format
from pipeline.core.jsontext import read_exactly
from pipeline.core.reasons import Reason
from pipeline.core.records import Limits
from pipeline.core.schema.reading import is_made
from pipeline.core.schema.types import Array, Field, Map, Record, Type

Judge = Callable[[Dataset], list[str]]
"""Says what is wrong with a dataset, beside its schema: its samples, for one."""


@dataclass(frozen=True, slots=True)
class NewField:
    """A member that no field reads: how often it was seen, and the field that would read it.

    `refused` says why it is not in the next version.
    """

    path: str
    type: str
    count: int
    notes: tuple[str, ...]
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What does not fit a field any more, and the attribute or type that now reads it, if any."""

    misfit: Misfit
    now: str = ""


@dataclass(slots=True)
class Drift:
    """What has changed since the schema; `avsc` is its next version, None where it is the same."""

    new: list[NewField] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    ceased: list[str] = field(default_factory=list)
    avsc: str | None = None
    dataset: Dataset | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """A dataset's texts: the schema of its newest version, and dataset.toml."""

    avsc: str
    config: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is held against a schema: whole documents, fresh or of dead letters, and `_rest`.

    `fresh` is how many of the documents were not dead letters. What is in the `good` samples is not
    new, but new fields have to hold it.
    """

    documents: Sequence[Sample]
    rest: Sequence[bytes] = ()
    fresh: int = 0
    good: Sequence[Sample] = ()


def evolve(
    dataset: Dataset, texts: Texts, evidence: Evidence, judge: Judge, limits: Limits
) -> Drift:
    """Find what has drifted, and make the next version of the schema."""
    return _Evolution(dataset, texts, evidence, judge, limits).drift()


class _Evolution:
    def __init__(
        self, dataset: Dataset, texts: Texts, evidence: Evidence, judge: Judge, limits: Limits
    ) -> None:
        self._dataset = dataset
        self._texts = texts
        self._evidence = evidence
        self._judge = judge
        self._limits = limits
        self._schema: Node = read_exactly(texts.avsc.encode())
        self._made: Dataset | None = None
        self._drift = Drift()

    def drift(self) -> Drift:
        seen = observe(read_exactly(document.text) for document in self._evidence.documents)
        self._find_ceased(seen)
        self._mend()
        seen.merge(observe(read_exactly(text) for text in self._evidence.rest))
        self._add_fields(seen)
        if self._made is not None:
            self._drift.avsc = write_schema(self._schema)
            self._drift.dataset = self._made
        return self._drift

    def _find_ceased(self, seen: Seen) -> None:
        if self._evidence.fresh:
            self._drift.ceased = list(
                _ceased(self._dataset.reading.record, seen, "$", any_case=self._is_any_case)
            )

    @property
    def _is_any_case(self) -> bool:
        return self._dataset.folding is not None

    def _mend(self) -> None:
        """Find what does not fit, and for each kind of it the change that lets most fit."""
        tried: set[str] = set()
        trial = self._try(self._dataset)
        while True:
            # Members that are not known are found by `_add_fields`, each by its name.
            left = [
                misfit
                for misfit in trial.misfits.values()
                if misfit.path not in tried and misfit.reason != Reason.UNKNOWN_FIELD
            ]
            if not left:
                return
            misfit = max(left, key=lambda misfit: misfit.count)
            tried.add(misfit.path)
            best, now = trial, ""
            schema, made = self._schema, self._made
            for words, candidate in self._repairs(misfit.path):
                dataset, why = self._accepted(candidate)
                after = None if dataset is None or why else self._try(dataset)
                if after is not None and _is_better(after, best, misfit.path):
                    best, now, schema, made = after, words, candidate, dataset
            self._schema, self._made, trial = schema, made, best
            self._drift.changed.append(Change(misfit, now))

    def _add_fields(self, seen: Seen) -> None:
        for record, node, place, path, names in list(self._records(seen)):
            keys = {key for field in record.fields for key in field.keys}
            if path == "$" and self._dataset.match is not None:
                for condition in self._dataset.match.conditions:
                    keys.update((condition.name, condition.path[0]))
            unknown = {key: inner for key, inner in place.keys.items() if key not in keys}
            self._set_aside_other_cases(unknown, keys, path)
            guesser = Guesser(
                self._dataset.name, Bounds(by_majority=False), type_names(self._schema)
            )
            by_path = path != "$" and node() is self._schema
            if by_path or path == "$":
                reserved = {field.name for field in self._dataset.record.fields} | RESERVED
            else:
                reserved = {field.name for field in record.fields}
            good = values_at(self._evidence.good, path)
            values = {key: merged(inner, good.keys.get(key)) for key, inner in unknown.items()}
            known = Seen(objects=place.objects, keys=values)
            for key, entry, guess in guesser.fields(known, names, reserved):
                entry["doc"] = (
                    "; ".join([f"new in version {self._dataset.version + 1}", *guess.notes]) + "."
                )
                where = path + path_segment(key)
                refused = self._add(node, _by_path(entry, where) if by_path else entry)
                self._drift.new.append(
                    NewField(
                        where, f"{guess.words}, nullable",
                        unknown[key].present, guess.notes, refused,
                    )
                )  # fmt: skip
            listed = {new.path for new in self._drift.new}
            why = "a key with a quote, a backslash or a control character has no column"
            self._drift.new += [
                NewField(path + path_segment(key), "", inner.present, (), why)
                for key, inner in unknown.items()
                if path + path_segment(key) not in listed
            ]

    def _set_aside_other_cases(
        self, unknown: dict[str, Seen], keys: Iterable[str], path: str
    ) -> None:
        """Take out the keys that differ from known ones in case alone: they are not new."""
        meant = {key.casefold(): key for key in keys}
        for key in [key for key in unknown if key.casefold() in meant]:
            inner = unknown.pop(key)
            if self._dataset.folding is None:
                known = meant[key.casefold()]
                why = f'it is {known} in another case; keys = "case-insensitive" reads both'
                self._drift.new.append(
                    NewField(path + path_segment(key), "", inner.present, (), why)
                )

    def _add(self, node: Callable[[], Node], entry: Node) -> str:
        """Add a field, unless that is refused; return why."""
        before = self._schema
        self._schema = copy.deepcopy(before)
        node()["fields"].append(entry)
        dataset, why = self._accepted(self._schema)
        if why:
            self._schema = before
        else:
            self._made = dataset
        return why

    def _accepted(self, schema: Node) -> tuple[Dataset | None, str]:
        """Parse a next version, and hold it against the one that is there and the samples."""
        version = self._dataset.version + 1
        try:
            made = parse_dataset(
                self._dataset.name, {version: write_schema(schema)}, self._texts.config
            )
        except DatasetError as error:
            return None, str(error)
        positional = Format.CSV in self._dataset.formats
        refused = changes_refused(self._dataset.record, made.record, positional=positional)
        return made, next(iter([*refused, *self._judge(made)]), "")

    def _try(self, dataset: Dataset) -> Trial:
        # When documents arrived is not known any more: their window is not held against them.
        dataset = msgspec.structs.replace(dataset, window=None)
        return try_draft([dataset], self._evidence.documents, self._limits)

    def _repairs(self, path: str) -> Iterator[tuple[str, Node]]:
        """Yield next versions in which the field at a path reads more, each with words for it."""
        for words, change in REPAIRS:
            schema = copy.deepcopy(self._schema)
            entry = entry_at(schema, path)
            if entry is None:
                return
            for detail in change(entry, path, self._evidence.documents):
                yield f"{words} {detail}".strip(), schema
                schema = copy.deepcopy(self._schema)
                entry = entry_at(schema, path)

    def _records(
        self, seen: Seen
    ) -> "Iterator[tuple[Record, Callable[[], Node], Seen, str, tuple[str, ...]]]":
        """Yield each record of the schema that objects were seen for, and how to find its node."""
        yield from self._within(self._dataset.reading.record, seen, "$", ())

    def _within(
        self, kind: Type, seen: Seen, path: str, names: tuple[str, ...]
    ) -> "Iterator[tuple[Record, Callable[[], Node], Seen, str, tuple[str, ...]]]":
        match kind:
            case Record() as record:
                yield record, lambda: node_at(self._schema, path), seen, path, names
                for inner in record.fields:
                    place = _place(inner, seen, any_case=self._is_any_case)
                    if place is not None:
                        below = path + path_segment(inner.key)
                        inside = names if is_made(inner) else (*names, inner.name)
                        yield from self._within(inner.type, place, below, inside)
            case Array(item=item):
                yield from self._within(item.type, _items(seen), f"{path}[]", names)
            case Map(value=value):
                yield from self._within(value.type, seen.any_value(), f"{path}{{}}", names)
            case _:
                pass


def _by_path(entry: Node, path: str) -> Node:
    """Return a field of the outermost record that reads the member at a path."""
    entry = {name: value for name, value in entry.items() if name != "jsonName"}
    return entry | {"path": path}


def _is_better(after: Trial, before: Trial, path: str) -> bool:
    """Say whether fewer documents fail at a path; the same may fail elsewhere, and not more."""
    left, was = (trial.misfits.get(path) for trial in (after, before))
    fewer = (left.count if left else 0) < (was.count if was else 0)
    return fewer and len(after.bad) <= len(before.bad)


def _place(field: Field, seen: Seen, *, any_case: bool) -> Seen | None:
    """Return what was seen of a field, by any of the keys that it reads; None if nothing was."""
    keys = {key.casefold() if any_case else key for key in field.keys}
    found = [
        inner for key, inner in seen.keys.items() if (key.casefold() if any_case else key) in keys
    ]
    together = found[0] if found else None
    for inner in found[1:]:
        together = merged(inner, together)
    return together


def _items(seen: Seen) -> Seen:
    """Return what was seen of an array's items; `_rest` has them in an object, by their index."""
    together = seen.item or Seen()
    for key, inner in seen.keys.items():
        if key.isdecimal():
            together = merged(together, inner)
    return together


def _ceased(kind: Type, seen: Seen, path: str, *, any_case: bool) -> Iterator[str]:
    """Yield the fields of which no value was seen, null aside, in objects that were."""
    match kind:
        case Record() as record if seen.objects:
            for inner in record.fields:
                below = path + path_segment(inner.key)
                place = _place(inner, seen, any_case=any_case)
                if seen.many is not None:
                    continue
                if place is None or place.present == place.nulls:
                    yield below
                else:
                    yield from _ceased(inner.type, place, below, any_case=any_case)
        case Array(item=item) if seen.item is not None:
            yield from _ceased(item.type, seen.item, f"{path}[]", any_case=any_case)
        case Map(value=value):
            yield from _ceased(value.type, seen.any_value(), f"{path}{{}}", any_case=any_case)
        case _:
            pass
