"""A draft: guessed, written, and tried on its samples until it holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.authoring.infer.good import good_samples
from pipeline.authoring.infer.guess import Bounds, Guess, Guesser, Line, Rest
from pipeline.authoring.infer.observed import DEEPEST, MOST_KEYS, Seen, is_most
from pipeline.authoring.infer.render import Partitioning, avsc_text, config_text, partitionings
from pipeline.authoring.infer.sample import Sample
from pipeline.authoring.infer.split import LIKELY_KEYS
from pipeline.authoring.infer.trial import Misfit, Trial, try_draft
from pipeline.core.dataset import Dataset, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.jsontext import read_exactly
from pipeline.core.matching import Match, UnusableMatch, read_key
from pipeline.core.records import Limits

_MOST_TOP_KEYS = 20 * MOST_KEYS
_SMALLEST_SCHEMA = '{"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}]}'


@dataclass(frozen=True, slots=True)
class DraftOptions:
    """What a draft may be: `columns` of values at most, and so many `partitions` of its samples."""

    columns: int = 500
    partitions: int = 100


@dataclass(frozen=True, slots=True)
class Draft:
    """The texts of a dataset's folder, and what to say about them.

    `misfits` are the documents that would be dead letters, `bad` of them; the samples would make
    so many `partitions`.
    """

    name: str
    documents: int
    avsc: str
    config: str
    good: tuple[bytes, ...]
    lines: tuple[Line, ...]
    rest: tuple[Rest, ...]
    misfits: tuple[Misfit, ...]
    bad: int
    partitions: int
    dataset: Dataset


def check_name(name: str, match_field: str | None = None) -> None:
    """Refuse what cannot be a dataset's name or the key of its [match]. Raises `DatasetError`.

    It needs no documents, so that a wrong name is refused before any is read.
    """
    parse_dataset(name, {1: _SMALLEST_SCHEMA}, "")
    if match_field is None:
        return
    try:
        read_key(match_field)
    except UnusableMatch as error:
        message = f"The documents cannot be matched by {match_field!r}: {error}"
        raise DatasetError(message) from None


def draft_from(
    name: str,
    samples: Sequence[Sample],
    match: Match | None,
    options: DraftOptions,
    limits: Limits,
) -> Draft:
    """Draft a dataset from at least one document. Raises `DatasetError` if there is none."""
    seen = observe(read_exactly(text) for text, _ in samples)
    if seen.many:
        message = (
            f"The documents of {name} have more than {_MOST_TOP_KEYS:,} different keys: such keys "
            "are data, and a table has a column for each. Put them into an object under one key."
        )
        raise DatasetError(message)
    return _Drafter(name, samples, seen, match, options, limits).draft()


def observe(documents: Iterable[dict[str, Any]]) -> Seen:
    """Fold documents into what was seen at each place."""
    seen = Seen(most_keys=_MOST_TOP_KEYS)
    for document in documents:
        seen.add(document)
    return seen


class _Drafter:
    """Guesses, tries, and guesses again within narrower bounds, until the draft holds."""

    def __init__(
        self,
        name: str,
        samples: Sequence[Sample],
        seen: Seen,
        match: Match | None,
        options: DraftOptions,
        limits: Limits,
    ) -> None:
        self._name = name
        self._samples = samples
        self._seen = seen
        self._match = match
        self._options = options
        self._limits = limits

    def draft(self) -> Draft:
        bounds = self._within_columns()
        while True:
            record = self._guess(bounds)
            ways = [way for way in partitionings(record) if self._can_be(record, way)]
            datasets = [self._dataset(record, way) for way in ways]
            trial = try_draft(datasets, self._samples, self._limits)
            narrower = self._narrower(bounds, trial)
            if narrower == bounds:
                return self._finished(record, ways, trial)
            bounds = narrower

    def _within_columns(self) -> Bounds:
        """Find how deep objects may have columns of their own."""
        bounds = Bounds()
        most = self._options.columns
        count = self._width(bounds)
        if count > most:
            depth = min(DEEPEST, _depth(self._seen))
            for levels in range(depth - 1, -1, -1):
                bounds = Bounds(levels=levels)
                count = self._width(bounds)
                if count <= most:
                    break
        return bounds if count <= most else replace(bounds, columns=most)

    def _width(self, bounds: Bounds) -> int:
        return len([line for line in self._guess(bounds).lines if line.is_leaf])

    def _narrower(self, bounds: Bounds, trial: Trial) -> Bounds:
        """Return bounds in which no more documents are misfits than may be."""
        total = len(self._samples)
        left = len(trial.bad)
        strict, as_json = set(bounds.strict), set(bounds.as_json)
        for misfit in sorted(trial.misfits.values(), key=lambda misfit: -misfit.count):
            if is_most(total - left, total):
                break
            left -= misfit.count
            if misfit.path not in strict:
                strict.add(misfit.path)
            else:
                as_json.add(_field_of(misfit.path))
        return replace(bounds, strict=frozenset(strict), as_json=frozenset(as_json))

    def _guess(self, bounds: Bounds) -> Guess:
        record = Guesser(self._name, bounds).document(self._seen)
        if isinstance(record, str):
            message = f"No key of the documents can be a column of {self._name}."
            raise DatasetError(message)
        return record

    def _texts(self, record: Guess, way: Partitioning) -> tuple[str, str]:
        config = config_text(record, self._match, self._likely_matches(), way)
        return avsc_text(record, len(self._samples)), config

    def _dataset(self, record: Guess, way: Partitioning) -> Dataset:
        avsc, config = self._texts(record, way)
        return parse_dataset(self._name, {1: avsc}, config)

    def _can_be(self, record: Guess, way: Partitioning) -> bool:
        """Say whether a dataset can be partitioned in a way; the first one always can."""
        if way.is_certain:
            return True
        try:
            self._dataset(record, way)
        except DatasetError:
            return False
        return True

    def _finished(self, record: Guess, ways: Sequence[Partitioning], trial: Trial) -> Draft:
        counts = [len(partitions) for partitions in trial.partitions]
        most = self._options.partitions
        chosen = next(
            (number for number, count in enumerate(counts) if count <= most), len(ways) - 1
        )
        way = ways[chosen].coarser_than(ways[:chosen], counts[:chosen])
        avsc, config = self._texts(record, way)
        good = [
            sample.text for number, sample in enumerate(self._samples) if number not in trial.bad
        ]
        return Draft(
            name=self._name,
            documents=len(self._samples),
            avsc=avsc,
            config=config,
            good=good_samples(good, [line.keys for line in record.lines if line.keys]),
            lines=record.lines,
            rest=record.rest,
            misfits=tuple(trial.misfits.values()),
            bad=len(trial.bad),
            partitions=counts[chosen],
            dataset=parse_dataset(self._name, {1: avsc}, config),
        )

    def _likely_matches(self) -> list[Match]:
        """Return the keys that have one value in all documents, of the usual names only."""
        if self._match is not None:
            return []
        likely = []
        for key in LIKELY_KEYS:
            seen = self._seen.keys.get(key)
            if seen is None or seen.texts is None or seen.texts.count != len(self._samples):
                continue
            if seen.texts.symbols and len(seen.texts.symbols) == 1:
                likely.append(Match(key, next(iter(seen.texts.symbols))))
        return likely


def _depth(seen: Seen) -> int:
    inner = [*seen.keys.values(), *(place for place in (seen.item, seen.many) if place)]
    return 1 + max(map(_depth, inner), default=0)


def _field_of(path: str) -> str:
    """Return the path of the field that a path is in: an array's or a map's, of its items."""
    while path.endswith(("[]", "{}")):
        path = path[:-2]
    return path
