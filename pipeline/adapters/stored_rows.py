"""Whether the rows that are in a store lie as its datasets are partitioned now."""

import json
from collections.abc import Iterable

import pyarrow as pa

# The class behind pyarrow.parquet, which is not in the artifact and takes long to import.
from pyarrow._parquet import ParquetReader

from pipeline.adapters.store import ObjectStore
from pipeline.core.dataset import Dataset
from pipeline.core.encode.parquet_file import PARTITION_BY
from pipeline.core.errors import StoreError
from pipeline.core.formats import Format
from pipeline.core.stored_layout import check_formats_found, check_found


def check_stored_rows(store: ObjectStore, datasets: Iterable[Dataset]) -> None:
    """Hold each dataset against the first file of its rows. Raises `DatasetError`.

    A store that may not be listed, or read, is left alone: the writes that follow speak for
    themselves.
    """
    for dataset in datasets:
        found = {as_format: _first(store, dataset, as_format) for as_format in Format}
        place = f"{store.uri}/{dataset.name}/"
        check_formats_found(dataset, place, [one for one, key in found.items() if key is not None])
        for as_format, key in found.items():
            if key is not None:
                made_by = _made_by(store, key) if as_format is Format.PARQUET else None
                check_found(dataset, place, key.split("/")[2:-1], made_by)


def _first(store: ObjectStore, dataset: Dataset, as_format: Format) -> str | None:
    """Return the first key of a dataset's rows in a format."""
    try:
        keys = store.list(f"{dataset.name}/{as_format}/")
        return next((key for key in keys if f".{as_format.suffix}" in key.rpartition("/")[2]), None)
    except StoreError:
        return None


def _made_by(store: ObjectStore, key: str) -> tuple[str, ...] | None:
    """Return the `partition_by` that a file was written with; None if it does not say."""
    try:
        reader = ParquetReader()
        reader.open(pa.BufferReader(store.get(key)))
    except (StoreError, pa.ArrowException):
        return None
    text = (reader.metadata.metadata or {}).get(PARTITION_BY.encode())
    return None if text is None else tuple(json.loads(text))
