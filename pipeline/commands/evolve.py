"""`pipeline evolve`: what has drifted since a dataset's schema, and its next version."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.options import Commands, add_schemas, existing, s3_of
from pipeline.commands.reporting import add_json
from pipeline.commands.sampling import (
    Text,
    add_sampling,
    fill,
    limits_of_environment,
    misfit_report,
    place_in_words,
    texts_of,
)
from pipeline.core.errors import DatasetError

if TYPE_CHECKING:
    from pipeline.adapters.store import ObjectStore
    from pipeline.authoring.evolve import Drift, Texts
    from pipeline.authoring.infer import Sample, Samples
    from pipeline.core.dataset import Dataset
    from pipeline.core.records import Limits

_PARQUET = ".parquet"


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evolve",
        help="draft the next version of a dataset's schema, from what has drifted",
        description="Hold fresh documents, dead letters and the members that were kept in _rest "
        "against a dataset's schema: show new fields, what does not fit any more, and fields that "
        "ceased; write the next version, N+1.avsc, with only such changes as leave old files "
        "readable and samples as they should be; and say which dead letters a redrive would then "
        "bring back.",
    )
    parser.add_argument("dataset", metavar="DATASET", help="a dataset of --schemas")
    parser.add_argument(
        "--from",
        dest="sources",
        metavar="URI",
        action="append",
        default=[],
        help="documents (as pipeline infer reads them), dead letters, or the output with its "
        "_rest columns: a file, a directory or s3://…; may be given several times",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing; say what would be written"
    )
    add_schemas(parser, "refused")
    add_sampling(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Find what has drifted, write the next version, and report; return the exit code."""
    show_drift(options, options.dataset, options.sources, write=not options.dry_run)
    return 0


def show_drift(
    options: argparse.Namespace, name: str, sources: Sequence[str], *, write: bool
) -> None:
    """Find what has drifted since a dataset's schema, and report; write the next version."""
    from pipeline.adapters.schemas import read_datasets
    from pipeline.authoring.evolve import Evidence, evolve

    limits = limits_of_environment()
    folder = Path(options.schemas)
    datasets = read_datasets(folder)
    dataset = next((dataset for dataset in datasets if dataset.name == name), None)
    if dataset is None:
        names = ", ".join(dataset.name for dataset in datasets)
        message = f"There is no dataset {name!r} in {folder}; there are {names}."
        raise DatasetError(message)
    found = _Found(options, dataset, datasets, limits)
    found.read(sources)
    texts = _texts(folder / name)
    documents = [*found.fresh, *found.dead]
    if not documents and not found.rest:
        message = f"There is nothing of {name} to look at: no document, dead letter or _rest."
        raise DatasetError(message)
    evidence = Evidence(documents, found.rest, len(found.fresh), _good(folder / name))
    drift = evolve(dataset, texts, evidence, _Judge(folder / name, dataset, datasets), limits)
    found.show()
    options.report = {**found.report(), **_drift_report(drift)}
    _show(drift, dataset.version + 1, len(found.fresh))
    if drift.avsc is None or drift.dataset is None:
        print("\nthe schema stays as it is")
    else:
        file = folder / name / f"{dataset.version + 1}.avsc"
        if write:
            with file.open("x", encoding="utf-8", newline="\n") as opened:
                opened.write(drift.avsc)
        print(f"\n{'wrote' if write else 'would write'} {file}")
        options.report |= {"file": str(file), "written": write}
        if write:
            print(f"read and correct it, then: pipeline check {folder}")
    if found.letters:
        sent, rows = _would_redrive(found.letters, drift.dataset or dataset, datasets, limits)
        _show_redrive(sent, rows)
        options.report["redrive"] = [
            {"reason": reason, "dead_letters": count, "rows": rows[reason]}
            for reason, count in sent.most_common()
        ]


@dataclass(slots=True)
class _Found:
    """What was found of one dataset: fresh documents, dead letters, and what is in `_rest`."""

    options: argparse.Namespace
    dataset: "Dataset"
    datasets: "Sequence[Dataset]"
    limits: "Limits"
    fresh: "list[Sample]" = field(default_factory=list)
    dead: "list[Sample]" = field(default_factory=list)
    rest: list[bytes] = field(default_factory=list)
    letters: "list[ObjectStore]" = field(default_factory=list)
    elsewhere: int = 0
    skipped: int = 0
    more: bool = False

    def read(self, sources: Sequence[str]) -> None:
        """Read all sources, and the stream if there is one."""
        from pipeline.attempt import open_retrying_store

        files = list[str]()
        for source in sources:
            if not _is_folder(source):
                files.append(source)
                continue
            store = open_retrying_store(existing(source), s3_of(self.options))
            keys = list(store.list())
            if any(key.endswith(".jsonl.gz") and "date=" in key for key in keys):
                self._read_letters(store)
            elif any(key.endswith(_PARQUET) for key in keys):
                self._read_rest(store, keys)
            else:
                files += [_file_of(store, source, key) for key in keys]
        if files or self.options.stream:
            self._add(_samples(self.options, files, self.limits, self), self.fresh)

    def show(self) -> None:
        """Say how much was looked at."""
        print(f"{self.dataset.name}, schema version {self.dataset.version}")
        first = " (the first ones; more were not looked at)" if self.more else ""
        print(
            f"{len(self.fresh):,} documents{first}, {len(self.dead):,} dead letters and "
            f"{len(self.rest):,} rows with a _rest looked at"
        )
        if self.elsewhere:
            print(f"{self.elsewhere:,} documents are of other datasets")
        if self.skipped:
            print(f"{self.skipped:,} are not JSON objects within the limits")

    def report(self) -> dict[str, Any]:
        """Return how much was looked at as JSON has it."""
        return {
            "dataset": self.dataset.name,
            "version": self.dataset.version,
            "documents": len(self.fresh),
            "more": self.more,
            "dead_letters": len(self.dead),
            "rest": len(self.rest),
            "of_other_datasets": self.elsewhere,
            "skipped": self.skipped,
        }

    def _read_letters(self, store: "ObjectStore") -> None:
        from pipeline.authoring.infer import Place, Samples
        from pipeline.core.deadletter import decode_dead_letters
        from pipeline.redrive import redrivable

        self.letters.append(store)
        samples = Samples(None, self.limits)
        for key, is_batch in redrivable(store).items():
            if is_batch:
                continue
            for letter in decode_dead_letters(store.get(key), f"{store.uri}/{key}"):
                # What stands for private values is nothing to go by.
                if letter.dataset == self.dataset.name and not letter.redacted:
                    place = f"{letter.source}, sequence number {letter.sequence_number}"
                    samples.add(letter.payload, Place(place))
        self.skipped += samples.skipped_documents
        self.dead += samples.kept

    def _read_rest(self, store: "ObjectStore", keys: Sequence[str]) -> None:
        """Read the column of what no field reads, of files of this dataset that have it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for key in keys:
            if not key.endswith(_PARQUET) or not _is_of(key, store.uri, self.dataset.name):
                continue
            file = pq.ParquetFile(pa.BufferReader(store.get(key)))
            if "_rest" in file.schema_arrow.names and len(self.rest) < self.options.documents:
                column = file.read(["_rest"]).column(0).drop_null()
                self.rest += [text.encode() for text in column.to_pylist()]

    def _add(self, samples: "Samples", into: "list[Sample]") -> None:
        """Add the documents that are routed to the dataset."""
        from pipeline.authoring.infer.trial import chunk_of
        from pipeline.core.routing import Router

        chunk = chunk_of([sample.text for sample in samples.kept])
        parts, _ = Router(self.datasets).route(chunk)
        own = [part for dataset, part in parts if dataset.name == self.dataset.name]
        into += [samples.kept[unit] for part in own for unit in part.unit]
        self.elsewhere += len(samples.kept) - sum(map(len, own))
        self.skipped += samples.skipped_documents


def _samples(
    options: argparse.Namespace, files: Sequence[str], limits: "Limits", found: _Found
) -> "Samples":
    from pipeline.authoring.infer import Samples

    samples = Samples(None, limits)
    texts: Iterator[Text] = texts_of(options, files, limits)
    found.more = fill(samples, texts, options.documents)
    return samples


def _is_folder(source: str) -> bool:
    """Say whether a source is a directory, or looks like a prefix of S3."""
    if source.startswith("s3://"):
        name = source.rstrip("/").rpartition("/")[2]
        return source.endswith("/") or "." not in name
    return "://" in source or Path(source).is_dir()


def _file_of(store: "ObjectStore", source: str, key: str) -> str:
    return f"{store.uri}/{key}" if store.uri.startswith("s3://") else str(Path(source) / key)


def _is_of(key: str, uri: str, name: str) -> bool:
    """Say whether a file is one of a dataset's, from the root of the output or from inside it."""
    return f"/{name}/parquet/" in f"{uri}/{key}"


def _texts(folder: Path) -> "Texts":
    from pipeline.adapters.schemas import read_texts
    from pipeline.authoring.evolve import Texts

    schemas, config = read_texts(folder)
    return Texts(schemas[max(schemas)], config)


def _good(folder: Path) -> "list[Sample]":
    """Return the dataset's good samples, which the next version has to accept, too."""
    from pipeline.authoring.infer import Place, Sample

    file = folder / "good.ndjson"
    if not file.is_file():
        return []
    lines = file.read_bytes().splitlines()
    return [Sample(line, Place(str(file))) for line in lines if line.strip()]


class _Judge:
    """Holds a next version against the dataset's samples: no more of them may be wrong."""

    def __init__(self, folder: Path, dataset: "Dataset", datasets: "Sequence[Dataset]") -> None:
        self._folder = folder
        self._datasets = datasets
        self._known = frozenset(self._faults(dataset))

    def __call__(self, dataset: "Dataset") -> list[str]:
        return [fault for fault in self._faults(dataset) if fault not in self._known]

    def _faults(self, dataset: "Dataset") -> tuple[str, ...]:
        from pipeline.samples import run_samples

        return run_samples(self._folder, dataset, _with(self._datasets, dataset)).faults


def _with(datasets: "Sequence[Dataset]", dataset: "Dataset") -> "tuple[Dataset, ...]":
    return tuple(dataset if other.name == dataset.name else other for other in datasets)


def _show(drift: "Drift", version: int, fresh: int) -> None:
    from pipeline.commands.table import print_table

    if drift.new:
        print("\nnew fields:")
        rows = [
            [
                new.path,
                new.type or "none",
                f"{new.count:,}",
                f"not added: {new.refused}" if new.refused else "; ".join(new.notes),
            ]
            for new in drift.new
        ]
        print_table(["field", "type", "seen", "notes"], rows, numbers=["seen"], prose="notes")
    if drift.changed:
        print("\nwhat does not fit:")
    for change in drift.changed:
        misfit = change.misfit
        now = f"version {version} reads it: {change.now}" if change.now else "stays so"
        print(
            f"  {misfit.count:,} x {misfit.reason} at {misfit.path}: {misfit.message} {now}\n"
            f"    the first: {place_in_words(misfit.place)}"
        )
    if drift.ceased:
        print(f"\nnot seen any more in {fresh:,} documents:")
        for path in drift.ceased:
            print(f"  {path}")


def _drift_report(drift: "Drift") -> dict[str, Any]:
    """Return what has drifted as JSON has it."""
    return {
        "new": [
            {
                "path": new.path,
                "type": new.type or None,
                "documents": new.count,
                "notes": new.notes,
                "not_added": new.refused or None,
            }
            for new in drift.new
        ],
        "misfits": [
            {**misfit_report(change.misfit), "now": change.now or None} for change in drift.changed
        ],
        "ceased": drift.ceased,
        "file": None,
        "written": False,
    }


def _would_redrive(
    stores: "Sequence[ObjectStore]",
    dataset: "Dataset",
    datasets: "Sequence[Dataset]",
    limits: "Limits",
) -> tuple[Counter[str], Counter[str]]:
    """Count dead letters, and which would be rows now, by reason: a redrive that writes nothing."""
    from pipeline.adapters.memory import MemoryStore
    from pipeline.adapters.privacy_key import protection_for_trials
    from pipeline.core.routing import Router
    from pipeline.flow import Pipeline
    from pipeline.redrive import redrivable, redrive_letters

    router, protection = (
        Router(_with(datasets, dataset)),
        protection_for_trials(_with(datasets, dataset)),
    )
    pipeline = Pipeline(router, limits, MemoryStore(), MemoryStore(), protection=protection)
    sent, rows = Counter[str](), Counter[str]()
    for store in stores:
        for key, is_batch in redrivable(store).items():
            if is_batch:
                continue
            for reason in _reasons(store, key, dataset.name):
                outcome = redrive_letters(
                    store,
                    key,
                    pipeline,
                    lambda letter, reason=reason: (  # type: ignore[misc]  # of this turn
                        letter.dataset == dataset.name
                        and letter.reason == reason
                        and not letter.redacted  # whose originals take a key to open
                    ),
                    dry_run=True,
                )
                for report in outcome.reports if outcome is not None else ():
                    sent[reason] += report.total("documents")
                    rows[reason] += report.total("rows")
    return sent, rows


def _show_redrive(sent: Counter[str], rows: Counter[str]) -> None:
    from pipeline.commands.table import print_table

    print("\ndead letters that a redrive would now bring back:")
    listed = [
        [reason, f"{count:,}", f"{rows[reason]:,}", f"{count - rows[reason]:,}"]
        for reason, count in sent.most_common()
    ]
    names = ("dead letters", "= rows", "+ still fail")
    print_table(["reason", *names], listed, numbers=names)


def _reasons(store: "ObjectStore", key: str, name: str) -> list[str]:
    """Return the reasons of a dataset's dead letters in one file."""
    from pipeline.core.deadletter import decode_dead_letters

    letters = decode_dead_letters(store.get(key), f"{store.uri}/{key}")
    return sorted({letter.reason for letter in letters if letter.dataset == name})
