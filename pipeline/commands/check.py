"""`pipeline check`: whether a folder of datasets can be used, and the tables it makes."""

import argparse
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.options import (
    Commands,
    add_schemas,
)
from pipeline.commands.reporting import add_json

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.core.dataset import Dataset
    from pipeline.core.partitioning import PartitionColumn
    from pipeline.core.schema.types import FieldType
    from pipeline.core.stream import Stream


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="check schemas, their versions and their samples",
        description="Check a folder of datasets: that each can be used, that readers of old files "
        "can read what a new version of a schema makes, and that good.ndjson and bad.ndjson become "
        "what they should. Then print each dataset's table, with remarks on what works but is "
        "seldom meant, such as a partition for each document.",
    )
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", help="the same as --schemas, which it goes before"
    )
    add_schemas(parser, "refused")
    parser.add_argument(
        "--write",
        action="store_true",
        help="record how each dataset's rows are stored, in its layout.toml, where none is: a "
        "later change that readers would trip over is then refused here and at the start",
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the tables")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say what stream.toml does with a document, rule by rule, and print the rules of its "
        "presets, to copy and to change",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check everything and print every fault; return the exit code."""
    from pipeline.adapters.schemas import dataset_folders, read_dataset, read_stream
    from pipeline.adapters.writer_schemas import open_decoder
    from pipeline.core.errors import DatasetError
    from pipeline.core.stored_layout import LAYOUT_FILE

    options.schemas = options.folder or options.schemas
    faults = list[str]()
    try:
        stream = read_stream(Path(options.schemas))
        open_decoder(stream.payload, Path(options.schemas))
        _show_stream(stream, options)
    except DatasetError as error:
        faults += str(error).splitlines()
    datasets: list[tuple[Path, Dataset]] = []
    for folder in dataset_folders(Path(options.schemas)):
        try:
            dataset = read_dataset(folder)
            datasets.append((folder, dataset))
            positional = any(as_format.positional for as_format in dataset.formats)
            faults += _versions(folder, positional=positional)
        except DatasetError as error:
            faults.append(str(error))
    tables = list[dict[str, Any]]()
    together = _together([dataset for _, dataset in datasets], faults)
    faults += _catalog([dataset for _, dataset in datasets])
    for folder, dataset in datasets:
        if options.write:
            _record(folder, dataset)
        if not options.quiet:
            _show_table(dataset, recorded=(folder / LAYOUT_FILE).exists())
        remarks = [
            *dataset.remarks,
            *_fine_partitions(folder, dataset),
            *_lookalikes(folder, dataset),
        ]
        for remark in remarks:
            print(f"REMARK  {remark}")
        print(_samples(folder, dataset, together, faults))
        tables.append(_table(dataset) | {"remarks": remarks})
    options.report = {"datasets": tables, "faults": faults}
    for fault in faults:
        print(f"FAULT  {fault}")
    print(f"{len(datasets)} datasets, {len(faults)} faults")
    return 1 if faults else 0


def _show_stream(stream: "Stream", options: argparse.Namespace) -> None:
    """Say what payloads are, and what is taken out of documents; with `--explain`, how."""
    from pipeline.adapters.schemas import read_preset

    if stream.payload and not options.quiet:
        print(f"stream.toml: {stream.payload}\n")
    if not stream.rules or options.quiet:
        return
    presets = f", with those of {' and '.join(stream.presets)}" if stream.presets else ""
    print(f"stream.toml: {len(stream.rules)} rules for envelopes{presets}")
    if options.explain:
        for rule in stream.rules:
            print(f"  {rule.origin.rpartition('/')[2]}, {rule}")
        for name in stream.presets:
            print(f"\n{textwrap.indent(read_preset(name) or '', '  ')}")
    print()


def _together(datasets: list["Dataset"], faults: list[str]) -> tuple["Dataset", ...] | None:
    """Return the datasets in the order of routing; None where they cannot serve one stream."""
    from pipeline.core.dataset import check_together
    from pipeline.core.errors import DatasetError

    try:
        return check_together(datasets)
    except DatasetError as error:
        if datasets or not faults:
            faults.append(str(error))
        return None


def _catalog(datasets: list["Dataset"]) -> list[str]:
    """Return the fault of the catalog that this shell would commit tables to, if it has one."""
    import os

    from pipeline.core.lake_settings import catalog_fault

    uri = os.environ.get("PIPELINE_LAKE")
    if not uri or all(dataset.lake is None for dataset in datasets):
        return []
    fault = catalog_fault(uri)
    return [] if fault is None else [f"PIPELINE_LAKE: {fault}"]


def _versions(folder: Path, *, positional: bool) -> list[str]:
    """Compare each version of a schema with the one before it; print remarks, return faults."""
    from pipeline.adapters.schemas import read_texts
    from pipeline.authoring.evolution import changes_refused, privacy_changes
    from pipeline.core.dataset import parse_dataset

    schemas, _ = read_texts(folder)
    # Without dataset.toml, which is about the current version: it may name fields that are new.
    versions = [
        parse_dataset(folder.name, {number: schemas[number]}, "") for number in sorted(schemas)
    ]
    for old, new in pairwise(versions):
        for remark in privacy_changes(old.record, new.record):
            print(f"REMARK  {folder}/{new.version}.avsc after {old.version}.avsc: {remark}")
    return [
        f"{folder}/{new.version}.avsc after {old.version}.avsc: {change}"
        for old, new in pairwise(versions)
        for change in changes_refused(old.record, new.record, positional=positional)
    ]


def _samples(
    folder: Path,
    dataset: "Dataset",
    together: tuple["Dataset", ...] | None,
    faults: list[str],
) -> str:
    """Run a dataset's samples, add what is wrong to `faults`, and return the verdict."""
    from pipeline.authoring.cardinality import fine_samples
    from pipeline.core.errors import DatasetError
    from pipeline.samples import run_samples

    try:
        ran = run_samples(folder, dataset, together or (dataset,))
    except DatasetError as error:
        faults.append(str(error))
        return f"{dataset.name}: samples cannot be read\n"
    faults += ran.faults
    fine = fine_samples(ran.rows, ran.partitions)
    if fine is not None:
        print(f"REMARK  {folder}/good.ndjson: {fine}")
    verdict = f"{len(ran.faults)} of them wrong" if ran.faults else "all as they should be"
    return f"{dataset.name}: {ran.good} good and {ran.bad} bad samples, {verdict}\n"


def _fine_partitions(folder: Path, dataset: "Dataset") -> Iterator[str]:
    """Yield a sentence for each level of the path that may have as many values as documents."""
    from pipeline.authoring.cardinality import fine_partitions

    for sentence in fine_partitions(dataset):
        yield f"{folder}/dataset.toml, {sentence}"


def _lookalikes(folder: Path, dataset: "Dataset") -> Iterator[str]:
    """Yield a sentence for each field that is named as a private one, and is not private."""
    from pipeline.core.schema.privacy import lookalikes

    for path, private in lookalikes(dataset.record):
        yield (
            f"{folder}/{dataset.version}.avsc, field {path} has the key of {private}, which is "
            "private, and is stored as it is; give it a privacy, too, unless that is meant."
        )


def _record(folder: Path, dataset: "Dataset") -> None:
    """Write a dataset's layout.toml, unless there is one, which then says the same."""
    from pipeline.core.stored_layout import LAYOUT_FILE, layout_of

    if not (folder / LAYOUT_FILE).exists():
        (folder / LAYOUT_FILE).write_text(layout_of(dataset).text(), "utf-8", newline="\n")
        print(f"wrote {folder / LAYOUT_FILE}")


def _table(dataset: "Dataset") -> dict[str, Any]:
    """Return a dataset's table as JSON has it."""
    names = ("name", "type", "notes", "json")
    return {
        "dataset": dataset.name,
        "version": dataset.version,
        "formats": list(dataset.formats),
        "partitions": [_partition(column) for column in dataset.partition_by],
        "columns": [dict(zip(names, row, strict=True)) for row in _columns(dataset)],
    }


def _show_table(dataset: "Dataset", *, recorded: bool) -> None:
    """Print a dataset's table as its readers see it."""
    from pipeline.commands.table import print_table
    from pipeline.core.partitioning import remark_on

    print(f"{dataset.name}, schema version {dataset.version}")
    match = "what no other dataset accepts"
    if dataset.match is not None:
        match = f"documents whose {dataset.match}"
    print(f"  accepts     {match}")
    print(f"  formats     {', '.join(dataset.formats)}")
    columns = [_partition(column) for column in dataset.partition_by]
    print(f"  partitions  {', '.join(columns) or 'none'}")
    if dataset.lake is not None:
        by = ", ".join(map(str, dataset.lake.partition_by))
        print(f"  lake        a table, by {by}" if by else "  lake        a table")
    print(f"  layout      {'recorded' if recorded else 'not recorded; see --write'}")
    for column in dataset.partition_by:
        remark = remark_on(column, dataset.record)
        if remark is not None:
            print(
                textwrap.fill(
                    remark, 96, initial_indent="  remark      ", subsequent_indent=" " * 14
                )
            )
    print_table(["column", "type", "", "JSON"], list(_columns(dataset)), indent=4)
    if dataset.private is not None:
        print(f"  private     {', '.join(_private(dataset))}")
        print(f"  dead letters of it show none of these; originals: {_ORIGINALS[dataset.withheld]}")


_ORIGINALS = {
    "encrypt": "encrypted for whoever has the key",
    "digest": "a digest alone, and so they cannot be sent again",
}


def _private(dataset: "Dataset") -> Iterator[str]:
    """Yield each private field, and what is stored of it."""
    from pipeline.core.schema.privacy import private_paths

    for path, privacy in private_paths(dataset.record):
        yield f"{path} ({privacy})"


def _partition(column: "PartitionColumn") -> str:
    """Say what a level of the path is made of, where its name is not enough."""
    if column.part == "value":
        return column.name
    zone = f" in {column.zone}" if column.zone else ""
    return f"{column.name} of {column.field or 'arrival'}{zone}"


def _columns(dataset: "Dataset") -> Iterator[list[str]]:
    """Yield a row for each column, and for each field of a nested one."""
    from pipeline.core.member_path import written

    for field in list(dataset.schema)[: -len(dataset.stored.fields)]:
        yield [field.name, _short(field.type), "", ""]
    for field in dataset.stored.fields:
        yield from _rows(field.name, written(field.path) if field.above else field.key, field)


def _rows(name: str, key: str, field_type: "FieldType") -> Iterator[list[str]]:
    from pipeline.core.schema.types import NO_DEFAULT, Array, Field, Map, Record

    kinds: dict[type, str] = {Record: "record", Array: "array", Map: "map"}
    kind = kinds.get(type(field_type.type)) or _short(field_type.arrow)
    has_default = field_type.default is not NO_DEFAULT
    notes = ["may be null"] * field_type.nullable + ["has a default"] * has_default
    if isinstance(field_type, Field) and field_type.privacy is not None:
        notes.append(f"private: {field_type.privacy}")
    note = ", ".join(notes)
    yield [name, kind, note, key]
    match field_type.type:
        case Record() as record:
            for field in record.fields:
                yield from _rows(f"{name}.{field.name}", f"{key}.{field.key}", field)
        case Array(item=inner):
            yield from _rows(f"{name}[]", f"{key}[]", inner)
        case Map(value=inner):
            yield from _rows(f"{name}{{}}", f"{key}{{}}", inner)
        case _:
            pass


def _short(arrow: "pa.DataType") -> str:
    """Name an Arrow type as briefly as is clear."""
    text = str(arrow)
    for long, short in (("timestamp[us, tz=UTC]", "timestamp, UTC"), ("timestamp[us]", "timestamp"),
                        ("decimal128", "decimal"), ("decimal256", "decimal")):  # fmt: skip
        text = text.replace(long, short)
    return text
