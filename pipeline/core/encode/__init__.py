"""A partition to the bytes of a file, in any of the formats, from the same table.

Equal tables in other chunks encode to other Parquet bytes, so each column is made one chunk
first; nothing of the clock or the machine goes in.
"""

from typing import assert_never

from pipeline.core.dataset import Dataset
from pipeline.core.encode.csv_file import encode_csv
from pipeline.core.encode.parquet_file import encode_parquet
from pipeline.core.formats import Format
from pipeline.core.records import Rows


def encode(rows: Rows, dataset: Dataset, as_format: Format, census: bytes = b"") -> bytes:
    """Encode rows of a dataset as one file, which carries their batch's census if it can."""
    match as_format:
        case Format.PARQUET:
            return encode_parquet(rows, dataset, census)
        case Format.CSV:
            return encode_csv(rows, dataset.csv)
        case _:
            assert_never(as_format)
