"""Ways from a file of documents, one a line, to Parquet; see `benchmarks.files`.

Every module here offers `prepare(path)`, which returns what the modules of `peers` return.
"""

from benchmarks.peers import Peer

PEERS: dict[str, Peer] = {
    "ours": Peer("lines.ours", "`pipeline convert`, all laws on, into a directory", "nothing"),
    "the kernels": Peer("lines.kernels", "Arrow's read_json and write_table", "validation"),
    "polars": Peer("lines.with_polars", "read_ndjson, write_parquet", "validation"),
    "duckdb": Peer("lines.with_duckdb", "COPY read_json TO Parquet", "validation"),
}
