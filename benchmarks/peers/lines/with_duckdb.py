"""duckdb: one COPY from file to file."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.with_duckdb import connected, copy


def prepare(path: str) -> Callable[[], list[bytes]]:
    connection = connected()

    def run() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            parquet = Path(folder, "documents.parquet")
            copy(connection, Path(path), parquet)
            return [parquet.read_bytes()]

    return run
