"""`pipeline infer`: drafts of datasets from sample documents."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.options import Commands, add_schemas, positive_integer
from pipeline.commands.reporting import add_json
from pipeline.commands.sampling import (
    add_sampling,
    fill,
    limits_of_environment,
    misfit_report,
    place_in_words,
    texts_of,
)
from pipeline.commands.unwrapping import open_preset

if TYPE_CHECKING:
    from pipeline.authoring.infer import Draft, DraftOptions, Misfit, Samples


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "infer",
        help="draft a dataset from sample documents",
        description="Draft 1.avsc and dataset.toml from documents in any framing (files, plain, "
        "gzip, zlib or zstd; s3://bucket/key, or a prefix that ends with /; - is standard input; "
        "or a stream), say what was guessed, and keep a few documents as good.ndjson. A type is "
        "guessed if all documents fit it, or of 100 and more at least 99 %: the others would be "
        "dead letters, and are named. No field is left out, and no number is rounded: what has no "
        "one type is kept as JSON text.",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="where documents are")
    parser.add_argument(
        "--name", metavar="NAME", help="the dataset's name (default: after the first file's)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="schemas",
        help="the folder that holds the datasets (default: ./schemas)",
    )
    parser.add_argument(
        "--preset",
        action="append",
        metavar="NAME",
        help="the documents stand in envelopes, as cloudwatch-logs, dms or debezium make them: see "
        "docs/envelopes.md; give it again for each preset that follows",
    )
    parser.add_argument(
        "--match-field",
        metavar="F",
        help="the member that tells the datasets of a stream apart, as type, "
        "metadata.table-name or $['a.b'].c; it must have the same value in all documents",
    )
    parser.add_argument(
        "--split-by",
        metavar="KEY",
        help="draft a dataset for each value of this member (default: one whose few values plainly "
        "tell documents of different kinds apart, if there is one)",
    )
    parser.add_argument(
        "--one", action="store_true", help="draft one dataset, of whatever kinds the documents are"
    )
    parser.add_argument(
        "--max-columns",
        metavar="N",
        type=positive_integer,
        default=500,
        help="columns of a dataset; beyond it, deeper objects are JSON text (default: 500)",
    )
    parser.add_argument(
        "--max-partitions",
        metavar="N",
        type=positive_integer,
        default=100,
        help="partitions that the samples may make; beyond it, coarser ones are drafted (default: "
        "100)",
    )
    parser.add_argument(
        "--against",
        metavar="DATASET",
        help="draft nothing; say what has changed since this dataset's schema, as pipeline evolve "
        "would, and write nothing",
    )
    add_schemas(parser, "refused")
    add_sampling(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, guess, write and report; return the exit code."""
    from pipeline.authoring.infer import DraftOptions, Samples, check_name
    from pipeline.core.errors import SettingsError

    if options.against:
        from pipeline.commands.evolve import show_drift

        show_drift(options, options.against, options.files, write=False)
        return 0
    given = [options.match_field, options.split_by, options.one]
    if sum(map(bool, given)) > 1:
        raise SettingsError("Give one of --match-field, --split-by and --one.")
    name = options.name or name_of(options)
    check_name(name, options.match_field or options.split_by)
    _check_absent(Path(options.out) / name)
    limits = limits_of_environment()
    samples = Samples(options.match_field, limits)
    texts = texts_of(options, options.files, limits)
    preset = open_preset(options.preset, limits) if options.preset else None
    more = fill(samples, preset.documents(texts) if preset else texts, options.documents)
    wanted = DraftOptions(options.max_columns, options.max_partitions)
    drafts = drafts_of(samples, name, options, wanted)
    folders = [Path(options.out) / draft.name for draft in drafts]
    for folder in folders:
        _check_absent(folder)
    for draft, folder in zip(drafts, folders, strict=True):
        write_draft(draft, folder)
    _report(samples, drafts, folders, more=more)
    options.report = {
        "documents": samples.documents,
        "more": more,
        "skipped": {why: skipped.count for why, skipped in samples.skipped.items()},
        "datasets": [
            {**report_of(draft), "folder": str(folder)}
            for draft, folder in zip(drafts, folders, strict=True)
        ],
        "fault": _fault_together(folders[0].parent),
    }
    if preset:
        preset.report(Path(options.out))
    return 0


def name_of(options: argparse.Namespace) -> str:
    """Name the dataset after the first file, or the stream."""
    from pipeline.authoring.infer import dataset_name

    first = options.files[0] if options.files else (options.stream or "").rpartition("/")[2]
    return dataset_name(first.rstrip("/"))


def _check_absent(folder: Path) -> None:
    from pipeline.core.errors import DatasetError

    if folder.exists() or folder.is_symlink():
        message = (
            f"{folder} exists already, and nothing in it was changed: give another --name or "
            "--out, or move it away."
        )
        raise DatasetError(message)


def drafts_of(
    samples: "Samples", name: str, options: argparse.Namespace, wanted: "DraftOptions"
) -> "list[Draft]":
    """Draft one dataset, or one for each kind of document."""
    from pipeline.authoring.infer.names import kind_names
    from pipeline.authoring.infer.split import MOST_KINDS
    from pipeline.core.errors import DatasetError

    key = options.split_by
    if key is None and not options.match_field and not options.one:
        key = samples.find_key()
    if key is None or not samples.documents:
        return [samples.draft(name, wanted)]
    groups = samples.split(key)
    if all(match is None for match, _ in groups):
        message = (
            f"The documents cannot be told apart by {key!r}: it is absent in all of them, or not a "
            "string, an integer or a boolean. It must be a key of the outermost object."
        )
        raise DatasetError(message)
    if len(groups) > MOST_KINDS:
        message = (
            f"{key!r} has {len(groups):,} different values, and a dataset for each would be too "
            f"many ({MOST_KINDS} at most): choose another key with --split-by."
        )
        raise DatasetError(message)
    values = [None if match is None else match.value for match, _ in groups]
    names = kind_names(values, name, prefix=options.name is not None)
    return [
        group.draft(kind, wanted)
        for kind, (_, group) in zip(names, groups, strict=True)
    ]  # fmt: skip


def write_draft(draft: "Draft", folder: Path) -> None:
    """Write the whole folder, or nothing under its name."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        (partial / "1.avsc").write_text(draft.avsc, "utf-8", newline="\n")
        (partial / "dataset.toml").write_text(draft.config, "utf-8", newline="\n")
        (partial / "good.ndjson").write_bytes(b"".join(text + b"\n" for text in draft.good))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _report(
    samples: "Samples", drafts: "Sequence[Draft]", folders: Sequence[Path], *, more: bool
) -> None:
    """Print what was drafted, and what to do next."""
    first = " (the first ones; more were not looked at)" if more else ""
    print(f"{samples.documents:,} documents looked at{first}")
    for why, skipped in samples.skipped.items():
        print(
            f"{skipped.count:,} documents would be dead letters: {why}; "
            f"the first: {place_in_words(skipped.place)}"
        )
    for draft, folder in zip(drafts, folders, strict=True):
        _report_draft(draft, several=len(drafts) > 1)
        print(f"\nwrote 1.avsc, dataset.toml and good.ndjson to {folder}")
    if len(drafts) > 1:
        print("\none dataset for each kind of document; --one drafts one of all")
    folder = folders[0].parent
    fault = _fault_together(folder)
    if fault:
        print(f"\nnot yet usable beside what is in {folder} already: {fault}")
    print(f"read and correct them, then: pipeline check {folder}")


def _fault_together(folder: Path) -> str | None:
    """Return what is wrong with the folder's datasets together, as those that were there before."""
    from pipeline.adapters.schemas import read_datasets
    from pipeline.core.errors import DatasetError

    try:
        read_datasets(folder)
    except DatasetError as error:
        return str(error)
    return None


def report_of(draft: "Draft") -> dict[str, Any]:
    """Return a draft as JSON has it."""
    return {
        "dataset": draft.name,
        "documents": draft.documents,
        "dead_letters": draft.bad,
        "partition_by": [level.text for level in draft.dataset.partition_by],
        "partitions": draft.partitions,
        "fields": [
            {"path": line.path, "type": line.type, "notes": line.notes} for line in draft.lines
        ],
        "misfits": [misfit_report(misfit) for misfit in draft.misfits],
        "without_column": [{"path": place.path, "why": place.why} for place in draft.rest],
    }


def _report_draft(draft: "Draft", *, several: bool) -> None:
    from pipeline.commands.table import print_table

    print(f"\n{draft.name}: {draft.documents:,} documents" if several else "")
    rows = [(line.path, line.type, "; ".join(line.notes)) for line in draft.lines]
    print_table(["field", "type", "notes"], rows, prose="notes")
    for misfit in draft.misfits:
        print(f"\n{_misfit(misfit)}")
    if draft.rest:
        print("\nwithout a column:")
        for place in draft.rest:
            print(f"  {place.path} {place.why}")


def _misfit(misfit: "Misfit") -> str:
    """Say what is wrong with some documents; nothing of their values is shown."""
    return (
        f"{misfit.count:,} documents would be dead letters, {misfit.reason} at {misfit.path}: "
        f"{misfit.message}\n  the first: {place_in_words(misfit.place)}"
    )
