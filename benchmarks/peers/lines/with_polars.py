"""polars: one read of the file, under a schema."""

from collections.abc import Callable

from benchmarks.peers.with_polars import parquet_of


def prepare(path: str) -> Callable[[], list[bytes]]:
    return lambda: [parquet_of(path)]
