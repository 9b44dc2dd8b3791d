"""The floor: the kernels of the libraries that no design on these libraries can do without.

base64, MD5, protobuf, one columnar parse, one Parquet encode, and one CSV encode where CSV is
asked for; nothing of ours, no check of any value, no identity, no partitions.
"""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq
import pybase64

from benchmarks.corpora import Corpus
from benchmarks.report import Plan, Section, Table, ms
from benchmarks.schemas import arrow_fields
from pipeline.core.kpl import _messages
from pipeline.measure.runs import interleaved

_SCHEMA = pa.schema(list(arrow_fields(pa).items()))
_WHAT = "What no design on these libraries can do without; no check of a value, no identity."
_REPEATING = ["kind", "referrer", "count", "device.os", "device.width", "tags.list.element"]
_FROM, _TO = 4, -16  # an aggregate between its magic and its MD5


def whole(event: Any) -> bytes:
    """Take a typical event's documents to one Parquet file."""
    return encode_parquet(parse(documents(event)))


def documents(event: Any) -> list[bytes]:
    """Return the documents of an event of aggregates."""
    return user_records(bodies(unbase64(event)))


def unbase64(event: Any) -> list[bytes]:
    return [pybase64.b64decode(item["kinesis"]["data"], validate=True) for item in event["Records"]]


def bodies(records: list[bytes]) -> list[bytes]:
    """Check each aggregate's MD5."""
    cut = [record[_FROM:_TO] for record in records]
    for body, record in zip(cut, records, strict=True):
        assert hashlib.md5(body, usedforsecurity=False).digest() == record[_TO:]
    return cut


def user_records(cut: list[bytes]) -> list[bytes]:
    return [
        record.data
        for body in cut
        for record in _messages.AggregatedRecord.FromString(body).records
    ]


def parse(payloads: list[bytes]) -> pa.Table:
    text = b"\n".join(payloads)
    return pa_json.read_json(
        pa.BufferReader(text),
        read_options=pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pa_json.ParseOptions(
            explicit_schema=_SCHEMA, unexpected_field_behavior="ignore"
        ),
    )


def encode_parquet(table: pa.Table) -> bytes:
    """Write as fast as Parquet can be: with dictionaries of what repeats, and of nothing else."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=_REPEATING)
    return bytes(sink.getvalue())


def encode_csv(table: pa.Table) -> bytes:
    """Write the flat columns; Arrow's writer knows no arrays."""
    sink = io.BytesIO()
    pa_csv.write_csv(table.flatten().drop_columns(["tags"]), sink)
    return sink.getvalue()


def kernels(corpus: Corpus) -> dict[str, Callable[[], Any]]:
    """Return each kernel on a typical event, alone."""
    event = corpus.event
    records = unbase64(event)
    cut = bodies(records)
    payloads = user_records(cut)
    table = parse(payloads)
    assert table.num_rows == corpus.documents
    return {
        "base64": lambda: unbase64(event),
        "MD5": lambda: bodies(records),
        "protobuf": lambda: user_records(cut),
        "columnar parse": lambda: parse(payloads),
        "Parquet encode": lambda: encode_parquet(table),
        "CSV encode, flat columns": lambda: encode_csv(table),
    }


def runs(plan: Plan) -> int:
    return 6 * (plan.rounds + 1)


def measure(plan: Plan, corpus: Corpus) -> Section:
    """Time each kernel."""
    found = interleaved(kernels(corpus), plan.rounds, advance=plan.advance)
    parquet = sum(spread.median for name, spread in found.items() if not name.startswith("CSV"))
    rows = [[name, ms(spread), f"{spread.median / parquet:.0%}"] for name, spread in found.items()]
    rows.append(["to Parquet, together", f"{parquet * 1e3:,.1f}", "100%"])
    note = f"{corpus.documents:,} typical documents. {_WHAT}"
    return Section("The floor", [Table(["kernel", "ms", "share"], rows, note)])
