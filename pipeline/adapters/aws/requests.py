"""What requests of any client say of themselves and of what they carry."""

from typing import Final

from pipeline.core.formats import Format

PROJECT: Final = "kinesis-s3-pipeline"
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
    from importlib.metadata import (  # noqa: PLC0415 - 15 ms, which boto3 imports, too
        PackageNotFoundError,
        version,
    )

    try:
        return f"{PROJECT}/{version(PROJECT)}"
    except PackageNotFoundError:
        return PROJECT
