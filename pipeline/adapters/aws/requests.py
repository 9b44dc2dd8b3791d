"""What requests of any client say of themselves and of what they carry."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pipeline.core.formats import Format

_PROJECT: Final = "kinesis-s3-pipeline"
_CONTENT_TYPES: Final = {
    **{as_format.suffix: as_format.content_type for as_format in Format},
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    # A gzip file, and no Content-Encoding: with one, HTTP clients would unpack it on the way, and
    # readers that go by the name ".gz" would try to do so again.
    "gz": "application/gzip",
}


def content_type_of(key: str) -> str:
    """Return the media type of an object, by the end of its key."""
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def user_agent() -> str:
    """Return what AWS' logs show of this program; the Lambda artifact has no metadata."""
    try:
        return f"{_PROJECT}/{version(_PROJECT)}"
    except PackageNotFoundError:
        return _PROJECT
