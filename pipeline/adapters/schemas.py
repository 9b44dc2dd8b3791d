"""Datasets from the folder that holds them, `schemas/<dataset>/`."""

import re
from pathlib import Path

from pipeline.core.dataset import Dataset, check_together, parse_dataset
from pipeline.core.errors import DatasetError
from pipeline.core.stored_layout import LAYOUT_FILE, check_recorded
from pipeline.core.stream import NAME, Stream, parse_stream

_PRESETS = Path(__file__).parent / "presets"
_VERSION = re.compile(r"([1-9][0-9]{0,8})\.avsc")


def read_datasets(folder: Path) -> tuple[Dataset, ...]:
    """Read every dataset of a folder. Raises `DatasetError` for the first that cannot be used."""
    return check_together(read_dataset(path) for path in dataset_folders(folder))


def read_stream(folder: Path) -> Stream:
    """Read what stands beside the datasets of their stream, if anything. Raises `DatasetError`."""
    path = folder / NAME
    if not path.exists():
        return Stream()
    return parse_stream(_text(path), str(path), read_preset, preset_names())


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that there are."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.toml")))


def read_preset(name: str) -> str | None:
    """Return the text of a preset; None where there is none of this name."""
    return _text(_PRESETS / f"{name}.toml") if name in preset_names() else None


def dataset_folders(folder: Path) -> list[Path]:
    """List the datasets' folders. Raises `DatasetError` where there is no such directory.

    A name that begins with _ is of what a dataset is not, as of the writers' schemas.
    """
    if not folder.is_dir():
        message = f"{folder} is not a directory; it should hold a folder for each dataset."
        raise DatasetError(message)
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")


def read_dataset(folder: Path) -> Dataset:
    """Read one dataset's folder. Raises `DatasetError`, also where rows are stored otherwise."""
    dataset = parse_dataset(folder.name, *read_texts(folder))
    recorded = folder / LAYOUT_FILE
    if recorded.exists():
        check_recorded(dataset, _text(recorded))
    return dataset


def read_texts(folder: Path) -> tuple[dict[int, str], str]:
    """Read a dataset's schemas by version, and its dataset.toml. Raises `DatasetError`."""
    config = folder / "dataset.toml"
    if not config.is_file():
        message = f"{config} is missing; it says how the dataset is partitioned and written."
        raise DatasetError(message)
    schemas: dict[int, str] = {}
    for path in folder.glob("*.avsc"):
        version = _VERSION.fullmatch(path.name)
        if not version:
            message = f"{path} is not named by its version: 1.avsc, 2.avsc, and so on."
            raise DatasetError(message)
        schemas[int(version[1])] = _text(path)
    return schemas, _text(config)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 (byte {error.start})."
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
    raise DatasetError(message)
