"""duckdb: the documents as a file, and one COPY to another."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.peers.deaggregate import user_records

_COPY = """
COPY (
    FROM read_json('{documents}', format = 'newline_delimited', columns = {{
        id: 'VARCHAR', "at": 'TIMESTAMPTZ', "user": 'BIGINT', kind: 'VARCHAR',
        amount: 'DECIMAL(9, 2)', url: 'VARCHAR', referrer: 'VARCHAR', score: 'DOUBLE',
        "count": 'INTEGER', ok: 'BOOLEAN', device: 'STRUCT(os VARCHAR, width INTEGER)',
        tags: 'VARCHAR[]'}})
) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)
"""


def prepare(
    event: Any, records: Callable[[Any], list[bytes]] = user_records
) -> Callable[[], list[bytes]]:
    connection = connected()

    def run() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            documents, parquet = Path(folder, "documents.ndjson"), Path(folder, "documents.parquet")
            documents.write_bytes(b"\n".join(records(event)))
            copy(connection, documents, parquet)
            return [parquet.read_bytes()]

    return run


def connected() -> duckdb.DuckDBPyConnection:
    """Connect, to work in one thread."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def copy(connection: duckdb.DuckDBPyConnection, documents: Path, parquet: Path) -> None:
    """Take a file of documents, one a line, to a Parquet file."""
    connection.execute(_COPY.format(documents=documents, parquet=parquet))
