"""Files of tables as pyiceberg writes them: once, when they are closed, and never by the collector."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from pipeline.adapters.iceberg.file_io import Output
from pipeline.core.errors import StoreThrottled


class Refusing:
    """Files that cannot be written; what is tried is counted."""

    def __init__(self) -> None:
        self.tried: list[bytes] = []

    def create(self, uri: str, body: bytes) -> None:
        self.tried.append(body)
        message = f"{uri} is not written, in this test."
        raise StoreThrottled(message)


def output(files: Any) -> Any:
    return Output("s3://lake/tables/things/metadata/1.avro", files).create()


def test_what_could_not_be_written_is_not_written_again_when_it_is_collected() -> None:
    # It was: while whatever just then held its locks, which hung a committer for good.
    files = Refusing()
    stream = output(files)
    stream.write(b"whole")
    with pytest.raises(StoreThrottled):
        stream.close()
    assert stream.closed
    del stream
    gc.collect()
    assert files.tried == [b"whole"]


def test_what_nobody_closed_is_not_written() -> None:
    files = Refusing()
    stream = output(files)
    stream.write(b"half")
    del stream
    gc.collect()
    assert files.tried == []


def test_what_ends_in_an_error_is_not_written() -> None:
    files = Refusing()
    stream = output(files)
    with pytest.raises(ZeroDivisionError), stream:
        stream.write(b"%d" % (1 // 0))
    assert files.tried == []
