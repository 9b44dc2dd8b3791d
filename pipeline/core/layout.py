"""Object keys: a function of the batch's place on its stream, so that a replay overwrites.

{dataset}/{format}/{partition path}/{shard}-{first}-{last}-{source8}[-{part}].{suffix}[.gz]
{dataset or unrouted}/date=…/hour=…/{shard}-{first}-{last}-{source8}[-{part}].jsonl.gz

A file's progress stands beside the rows, under `_parts/`, which readers of the tables never meet.
"""

import hashlib
import re

from pipeline.core.dataset import Dataset
from pipeline.core.formats import Format
from pipeline.core.records import Batch

_DEAD_LETTERS_SUFFIX = "jsonl.gz"
_SUFFIXES = [
    re.escape(suffix)
    for suffix in (*(as_format.suffix for as_format in Format), "csv.gz", _DEAD_LETTERS_SUFFIX)
]
# Kept free for the file's name in every key: its length changes with the batch's cut, and what
# fits a partition must not.
FILE_NAME_BYTES = 255
PROGRESS = "_parts/"
ARCHIVE = "_redriven/"
"""Of the dead letters' store: where those are kept that were sent again."""
_OURS = re.compile(
    rf"({PROGRESS}|{ARCHIVE}).*|[a-z][a-z0-9_]*/({'|'.join(Format)}|date=[^/]+)/(.*/)?"
    rf"[^/]*-[0-9a-f]{{8,16}}(-[0-9]+)?\.({'|'.join(_SUFFIXES)})",
    re.DOTALL,
)


def path_bytes(dataset: Dataset, key_bytes: int) -> int:
    """How long a partition path may be, that every key of this dataset fits in `key_bytes`."""
    longest_format = max(map(len, dataset.formats))
    return key_bytes - FILE_NAME_BYTES - len(f"{dataset.name}//") - longest_format - 1


def data_key(batch: Batch, dataset: Dataset, as_format: Format, partition: str, part: int) -> str:
    """Key of the rows of one partition; the batch's first part has no number."""
    folder = "/".join(filter(None, (dataset.name, as_format, partition)))
    return f"{folder}/{_file_name(batch, part)}.{dataset.suffix_of(as_format)}"


def dead_letter_key(batch: Batch, dataset: str, hour: str, part: int) -> str:
    """Key of the dead letters of one dataset that arrived within one hour (`date=…/hour=…`)."""
    return f"{dataset}/{hour}/{_file_name(batch, part)}.{_DEAD_LETTERS_SUFFIX}"


def _file_name(batch: Batch, part: int) -> str:
    name = batch.key_stem or batch_name(batch)
    return f"{name}-{part}" if part else name


def batch_name(batch: Batch) -> str:
    """Name a batch by its place on the stream."""
    source8 = hashlib.sha256(batch.source.encode()).hexdigest()[:8]
    return f"{batch.shard}-{batch.first}-{batch.last}-{source8}"


def progress_folder(source: str) -> str:
    """Where the progress of one file stands: `_parts/{digest of its identity}/`."""
    return f"{PROGRESS}{hashlib.sha256(source.encode()).hexdigest()[:32]}/"


def is_pipeline_key(key: str) -> bool:
    """Say whether a key of the output, or of the dead letters, is one that this program writes."""
    return bool(_OURS.fullmatch(key))
