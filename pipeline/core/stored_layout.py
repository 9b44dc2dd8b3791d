"""How a dataset's stored rows lie: what a reader of all of them has to find unchanged.

It is recorded in `schemas/<dataset>/layout.toml`, beside the schema versions, and every Parquet
file has its `partition_by` in its metadata. A dataset whose settings would put new rows elsewhere
than the old ones is refused: Athena would not look for the old ones, and other readers would refuse
the table.
"""

import json
import tomllib
from collections.abc import Iterable

import msgspec

from pipeline.core.dataset import REST, Dataset
from pipeline.core.errors import DatasetError
from pipeline.core.formats import Format

LAYOUT_FILE = "layout.toml"
_HEAD = """\
# How stored rows lie, as `pipeline check --write` recorded it: what would make readers miss them is
# refused. See schemas/README.md.
"""
_REMEDY = (
    "Readers of the table would miss the one or the other, or refuse both. Leave it as it was, or "
    "give the new layout a dataset of its own: a folder of another name."
)


class StoredLayout(msgspec.Struct, frozen=True):
    """`partition_by` in full, the formats, and whether CSV has the column `_rest`."""

    partition_by: tuple[str, ...]
    formats: tuple[str, ...]
    csv_has_rest: bool = False

    def text(self) -> str:
        """Return the text of layout.toml."""
        return (
            f"{_HEAD}partition_by = {_listed(self.partition_by)}\n"
            f"formats = {_listed(self.formats)}\n"
            f"csv_has_rest = {json.dumps(self.csv_has_rest)}\n"
        )


def layout_of(dataset: Dataset) -> StoredLayout:
    """Return how a dataset's rows are stored now."""
    csv_has_rest = Format.CSV in dataset.formats and REST.name in dataset.schema.names
    return StoredLayout(levels(dataset), tuple(sorted(map(str, dataset.formats))), csv_has_rest)


def levels(dataset: Dataset) -> tuple[str, ...]:
    """Return a dataset's `partition_by`, each level in one way only."""
    return tuple(column.text for column in dataset.partition_by)


def check_recorded(dataset: Dataset, text: str) -> None:
    """Hold a dataset against its layout.toml. Raises `DatasetError`."""
    here = f"schemas/{dataset.name}"
    recorded, now = _read(text, f"{here}/{LAYOUT_FILE}"), layout_of(dataset)
    for name in StoredLayout.__struct_fields__:
        was, is_ = getattr(recorded, name), getattr(now, name)
        if was != is_:
            message = (
                f"{here}/dataset.toml: {_said(name, is_)}, and rows are stored already with "
                f"{_said(name, was)}, says {LAYOUT_FILE} beside it. {_REMEDY} If no rows are "
                f"stored, or they were moved away, delete {LAYOUT_FILE}, and record it anew by "
                "`pipeline check --write`."
            )
            raise DatasetError(message)


def _read(text: str, path: str) -> StoredLayout:
    try:
        found = msgspec.convert(tomllib.loads(text), StoredLayout)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = (
            f"{path} is not what `pipeline check --write` records: {str(error).rstrip('.')}. "
            "Delete it, and record it anew from the settings that the stored rows were made with."
        )
        raise DatasetError(message) from None
    return msgspec.structs.replace(found, formats=tuple(sorted(found.formats)))


def check_found(
    dataset: Dataset, place: str, found: list[str], made_by: tuple[str, ...] | None
) -> None:
    """Hold a dataset against rows that were found: the directories above a file of theirs.

    `made_by` is their `partition_by` from the file's metadata, if it is there. Raises
    `DatasetError`.
    """
    names = [folder.partition("=")[0] for folder in found]
    expected = [column.name for column in dataset.partition_by]
    was = made_by if made_by is not None else names
    now = levels(dataset) if made_by is not None else expected
    if names != expected or list(was) != list(now):
        message = (
            f"schemas/{dataset.name}/dataset.toml: partition_by makes {_path(expected)} of "
            f"{_listed(levels(dataset))}, and the rows in {place} are stored as "
            f"{_path(names)}{f' of {_listed(made_by)}' if made_by is not None else ''}. {_REMEDY} "
            "Or write to another output, or move the stored rows away."
        )
        raise DatasetError(message)


def check_formats_found(dataset: Dataset, place: str, found: Iterable[Format]) -> None:
    """Hold a dataset against the formats that rows were found in. Raises `DatasetError`."""
    for as_format in found:
        if as_format not in dataset.formats:
            message = (
                f"schemas/{dataset.name}/dataset.toml: formats are {_listed(dataset.formats)}, and "
                f"rows are stored in {place} as {as_format}, whose readers would miss all new "
                f"ones. Leave {as_format} among the formats, write to another output, or move them "
                "away."
            )
            raise DatasetError(message)


def _path(names: list[str]) -> str:
    return "/".join(f"{name}=…" for name in names) or "no directories"


def _said(name: str, value: object) -> str:
    if name == "csv_has_rest":
        return f"CSV {'with' if value else 'without'} the column {REST.name}"
    return f"{name} = {_listed(value if isinstance(value, tuple) else ())}"


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(json.dumps(str(text), ensure_ascii=False) for text in texts)}]"
