"""Arrow's kernels alone, in blocks as large as ours."""

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from benchmarks.schemas import arrow_fields
from pipeline.files.blocks import CUT

_SCHEMA = pa.schema(list(arrow_fields(pa).items()))


def prepare(path: str) -> Callable[[], list[bytes]]:
    def run() -> list[bytes]:
        table = pa_json.read_json(
            path,
            read_options=pa_json.ReadOptions(use_threads=False, block_size=CUT.block_bytes),
            parse_options=pa_json.ParseOptions(
                explicit_schema=_SCHEMA, unexpected_field_behavior="ignore"
            ),
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return [sink.getvalue()]

    return run
