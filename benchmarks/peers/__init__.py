"""Other ways to the same Parquet file, each as well written as its users would write it.

Every module here offers `prepare(event)`: it returns a function that turns the event into
the bodies of its Parquet files. Each runs in a process of its own (worker.py), so that neither its memory nor
its garbage is another's; `check.py` reads what it wrote, with a reader it did not write with.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One way: what it does and what it leaves out; an `extra` one needs requirements/bench.txt."""

    module: str
    does: str
    leaves_out: str
    extra: bool = False


_NO_LAWS = "identity, conservation, dead letters, limits, repeatable keys"

PEERS: dict[str, Peer] = {
    "ours": Peer("ours", "the handler, all laws on", "nothing"),
    "ours by rows": Peer("rows", "the same without the columnar path", "nothing"),
    "the floor": Peer("kernels", "the libraries' kernels alone", f"validation, {_NO_LAWS}"),
    "usual recipe": Peer(
        "recipe",
        "aws_kinesis_agg, json.loads, fastavro validate, from_pylist, write_table",
        f"partitions, {_NO_LAWS}; one bad document fails the batch",
    ),
    "Powertools": Peer(
        "powertools",
        "the usual recipe on its batch processor",
        f"partitions, {_NO_LAWS}; one bad document fails its aggregate",
        extra=True,
    ),
    "awswrangler": Peer(
        "wrangler",
        "aws_kinesis_agg, json.loads, DataFrame, s3.to_parquet(dataset=True)",
        f"validation, {_NO_LAWS}; its file names are random",
        extra=True,
    ),
    "polars": Peer(
        "with_polars",
        "aws_kinesis_agg, read_ndjson, write_parquet",
        f"validation, partitions, {_NO_LAWS}; one bad document fails the batch",
    ),
    "polars, fast deaggregation": Peer(
        "polars_fast",
        "protobuf and MD5 as ours, read_ndjson, write_parquet",
        f"validation, partitions, {_NO_LAWS}; one bad document fails the batch",
    ),
    "duckdb, fast deaggregation": Peer(
        "duckdb_fast",
        "protobuf and MD5 as ours, a file, COPY read_json TO Parquet",
        f"validation, partitions, {_NO_LAWS}; one bad document fails the batch",
    ),
    "duckdb": Peer(
        "with_duckdb",
        "aws_kinesis_agg, a file, COPY read_json TO Parquet",
        f"validation, partitions, {_NO_LAWS}; one bad document fails the batch",
    ),
}
