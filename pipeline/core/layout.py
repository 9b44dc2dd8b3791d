"""Object keys: a function of what the batch holds, so that a replay, and nothing else, overwrites.

{dataset}/{format}/{partition path}/{shard}-{first}-{last}-{count}-{digest}[-{part}].{suffix}[.gz]
{dataset or unrouted}/date=…/hour=…/{shard}-{first}-{last}-{count}-{digest}[-{part}].jsonl.gz

`first`, `last` and `count` are of the batch's stream records, and are there for people. What tells
objects apart is `digest`, 128 bits over the source, every sequence number and the path: a batch
with a hole has other names than the whole one, and two partitions of a batch have other names than
each other, even where a file system takes their directories for one. What is sent again is named
`…-{count}-redrive-{digest}`, and its digest is over what is sent, too.

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
# fits a partition must not. No file system takes a longer one.
FILE_NAME_BYTES = 255
PROGRESS = "_parts/"
ARCHIVE = "_redriven/"
"""Of the dead letters' store: where those are kept that were sent again."""
JOURNAL = ".sending"
"""What the name of an archived file ends with while its dead letters are sent."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_SHARD_BYTES = 64
_DIGITS = 32  # of a digest: 128 bits, so that nobody finds two batches of one name
_REDRIVE = "redrive-"
_LONGEST_PART = len("-9999999999")
_LONGEST_SUFFIX = len(f".{_DEAD_LETTERS_SUFFIX}{JOURNAL}")
_STEM_BYTES = FILE_NAME_BYTES - len(f"-{_REDRIVE}") - _DIGITS - _LONGEST_PART - _LONGEST_SUFFIX
_OURS = re.compile(
    rf"({PROGRESS}|{ARCHIVE}).*|[a-z][a-z0-9_]*/({'|'.join(Format)}|date=[^/]+)/(.*/)?"
    rf"[^/]*[0-9]-[0-9]+-[0-9]+-({_REDRIVE})?[0-9a-f]{{{_DIGITS}}}(-[0-9]+)?\.({'|'.join(_SUFFIXES)})",
    re.DOTALL,
)


def path_bytes(dataset: Dataset, key_bytes: int) -> int:
    """How long a partition path may be, that every key of this dataset fits in `key_bytes`."""
    longest_format = max(map(len, dataset.formats))
    return key_bytes - FILE_NAME_BYTES - len(f"{dataset.name}//") - longest_format - 1


class ObjectKeys:
    """The keys of one batch's objects.

    The batch is hashed once; for each path there is little left to do.
    """

    def __init__(self, batch: Batch) -> None:
        numbers = "\n".join([record.sequence_number for record in batch.records])
        replayed = batch.replayed or ""
        # Of a name's parts, the length says where one ends, and no number holds a NUL.
        identity = f"{_measured(batch.source)}{_measured(replayed)}{numbers}\0"
        self._digest = hashlib.sha256(identity.encode())
        self.digest = self._digest.hexdigest()[:_DIGITS]
        """Tells this batch from all others: what its census is known by."""
        self._stem = _stem(batch) + ("-" if batch.replayed is None else f"-{_REDRIVE}")
        self.owner = hash(identity)
        """Tells this batch from others, within this process; see `ledger.Names`."""

    def rows(self, dataset: Dataset, as_format: Format, partition: str, part: int) -> str:
        """Key of the rows of one partition; the batch's first part has no number."""
        folder = "/".join(filter(None, (dataset.name, as_format, partition)))
        return f"{folder}/{self._file_name(partition, part)}.{dataset.suffix_of(as_format)}"

    def dead_letters(self, dataset: str, hour: str, part: int) -> str:
        """Key of the dead letters of one dataset that arrived in one hour (`date=…/hour=…`)."""
        folder = f"{dataset}/{hour}"
        return f"{folder}/{self._file_name(folder, part)}.{_DEAD_LETTERS_SUFFIX}"

    def _file_name(self, path: str, part: int) -> str:
        digest = self._digest.copy()
        digest.update(path.encode())
        name = self._stem + digest.hexdigest()[:_DIGITS]
        return f"{name}-{part}" if part else name


def _stem(batch: Batch) -> str:
    """Say where a batch stands on its stream, or in a file, as far as there is room for it."""
    shown = _NOT_IN_NAMES.sub("_", batch.shard.rpartition("?")[0] or batch.shard)
    # Athena and Spark hide what begins with "_" or ".", and would not show these rows.
    shown = shown[-_SHARD_BYTES:].rstrip(".").lstrip("._-") or "file"
    stem = f"{shown}-{batch.first}-{batch.last}-{len(batch.records)}"
    return stem[-_STEM_BYTES:].lstrip("-")


def _measured(text: str) -> str:
    return f"{len(text)}:{text}"


def progress_folder(source: str) -> str:
    """Where the progress of one file stands: `_parts/{digest of its identity}/`."""
    return f"{PROGRESS}{hashlib.sha256(source.encode()).hexdigest()[:_DIGITS]}/"


def is_pipeline_key(key: str) -> bool:
    """Say whether a key of the output, or of the dead letters, is one that this program writes."""
    return bool(_OURS.fullmatch(key))
