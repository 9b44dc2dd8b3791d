"""The folder of the datasets: a directory, or a copy of what is on S3."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import DatasetError

_S3 = "s3:"
_OF_LAMBDA = "AWS_LAMBDA_LOG_STREAM_NAME"
"""Lambda's name for an execution environment, whose /tmp outlives the processes in it."""


@contextlib.contextmanager
def schema_folder(place: str) -> Iterator[Path]:
    """Yield the folder that `PIPELINE_SCHEMAS` names; of `s3://bucket/prefix`, a copy.

    The copy stays for as long as this process does, and in Lambda for as long as the execution
    environment: a process that Lambda starts anew there works with the same schemas. A
    `DatasetError` of whoever reads the folder names the place, and not the copy. Raises
    `StoreError`, and `DatasetError` where there is nothing to copy.
    """
    if not place.startswith(_S3):
        yield Path(place)
        return
    # Nobody but those who have their schemas there needs a client to start with.
    from pipeline.adapters.aws.schemas import copy_schemas  # noqa: PLC0415

    folder = copy_schemas(place, Path(tempfile.gettempdir()), os.environ.get(_OF_LAMBDA))
    try:
        yield folder
    except DatasetError as error:
        text = str(error).replace(str(folder), place.rstrip("/"))
        raise DatasetError(text) from error
