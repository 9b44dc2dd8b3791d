"""`pipeline check`: whether a folder of datasets can be used, and what it makes."""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="check schemas, their versions and their samples",
        description="Check a folder of datasets: that each can be used, that a new version of a "
        "schema leaves readers of old files standing, and that good.ndjson and bad.ndjson become "
        "what they should. Then print each dataset's table.",
    )
    parser.add_argument("schemas", metavar="SCHEMAS", help="the folder that holds the datasets")
    parser.add_argument("--quiet", action="store_true", help="do not print the tables")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check everything, tell every fault; return the exit code."""
    from pipeline.adapters.schemas import dataset_folders, read_dataset
    from pipeline.core.dataset import check_together
    from pipeline.core.errors import DatasetError

    faults: list[str] = []
    datasets = []
    for folder in dataset_folders(Path(options.schemas)):
        try:
            dataset = read_dataset(folder)
            datasets.append((folder, dataset))
            positional = any(as_format.positional for as_format in dataset.formats)
            faults += _versions(folder, positional=positional)
        except DatasetError as error:
            faults.append(str(error))
    together = _together(datasets, check_together, faults)
    for folder, dataset in datasets:
        if not options.quiet:
            print("\n".join(_table(dataset)))
        print(_samples(folder, dataset, together, faults))
    for fault in faults:
        print(f"FAULT  {fault}")
    print(f"{len(datasets)} datasets, {len(faults)} faults")
    return 1 if faults else 0


def _together(datasets: Any, check_together: Any, faults: list[str]) -> Any:
    from pipeline.core.errors import DatasetError

    try:
        return check_together(dataset for _, dataset in datasets)
    except DatasetError as error:
        if datasets or not faults:
            faults.append(str(error))
        return None


def _versions(folder: Path, *, positional: bool) -> list[str]:
    """Hold each version of a schema against the one before it."""
    from pipeline.adapters.schemas import read_texts
    from pipeline.authoring.evolution import changes_refused
    from pipeline.core.dataset import parse_dataset

    schemas, _ = read_texts(folder)
    # Without dataset.toml, which is about the current version: it may name fields that are new.
    versions = [
        parse_dataset(folder.name, {number: schemas[number]}, "") for number in sorted(schemas)
    ]
    return [
        f"{folder}/{new.version}.avsc after {old.version}.avsc: {change}"
        for old, new in pairwise(versions)
        for change in changes_refused(old.record, new.record, positional=positional)
    ]


def _samples(folder: Path, dataset: Any, together: Any, faults: list[str]) -> str:
    from pipeline.core.errors import DatasetError
    from pipeline.core.schema.values import timestamp
    from pipeline.samples import SAMPLES_ARRIVED_AT, run_samples

    try:
        alone = together or (dataset,)
        ran = run_samples(folder, dataset, alone, timestamp(SAMPLES_ARRIVED_AT))
    except DatasetError as error:
        faults.append(str(error))
        return f"{dataset.name}: samples cannot be read\n"
    faults += ran.faults
    verdict = f"{len(ran.faults)} of them wrong" if ran.faults else "all as they should be"
    return f"{dataset.name}: {ran.good} good and {ran.bad} bad samples, {verdict}\n"


def _table(dataset: Any) -> Iterator[str]:
    """Describe a dataset's table as its readers see it."""
    yield f"{dataset.name}, schema version {dataset.version}"
    match = "what no other dataset takes"
    if dataset.match is not None:
        match = f"documents whose {dataset.match.key!r} equals {dataset.match.value!r}"
    yield f"  takes       {match}"
    yield f"  formats     {', '.join(dataset.formats)}"
    columns = [
        of.name if of.part == "value" else f"{of.name} of {of.field or 'arrival'}"
        for of in dataset.partition_by
    ]
    yield f"  partitions  {', '.join(columns) or 'none'}"
    rows = [["column", "type", "", "JSON"], *_columns(dataset)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"    {'  '.join(cells)}".rstrip()


def _columns(dataset: Any) -> Iterator[list[str]]:
    """One row for each column, and for each part of a nested one."""
    for field in list(dataset.schema)[: -len(dataset.record.fields)]:
        yield [field.name, _short(field.type), "", ""]
    for field in dataset.record.fields:
        yield from _place(field.name, field.key, field)


def _place(name: str, key: str, slot: Any) -> Iterator[list[str]]:
    from pipeline.core.schema.types import NO_DEFAULT, Array, Map, Record

    kinds: dict[type, str] = {Record: "record", Array: "array", Map: "map"}
    kind = kinds.get(type(slot.type))
    note = "may be null" if slot.nullable else "" if slot.default is NO_DEFAULT else "has a default"
    yield [name, kind or _short(slot.arrow), note, key]
    match slot.type:
        case Record() as record:
            for field in record.fields:
                yield from _place(f"{name}.{field.name}", f"{key}.{field.key}", field)
        case Array(item=inner):
            yield from _place(f"{name}[]", f"{key}[]", inner)
        case Map(value=inner):
            yield from _place(f"{name}{{}}", f"{key}{{}}", inner)
        case _:
            pass


def _short(arrow: Any) -> str:
    """Name an Arrow type as short as is clear."""
    text = str(arrow)
    for long, short in (("timestamp[us, tz=UTC]", "timestamp, UTC"), ("timestamp[us]", "timestamp"),
                        ("decimal128", "decimal"), ("decimal256", "decimal")):  # fmt: skip
        text = text.replace(long, short)
    return text
