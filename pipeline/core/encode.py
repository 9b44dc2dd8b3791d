"""A partition to the bytes of a file: Parquet or CSV, from the same table.

Equal tables in other chunks encode to other Parquet bytes, so each column is made one chunk
first; nothing of the clock or the machine goes in.
"""

import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pybase64

from pipeline.core.dataset import Dataset, Format
from pipeline.core.records import Rows


def encode(rows: Rows, dataset: Dataset, as_format: Format) -> bytes:
    """Encode rows of a dataset as one file."""
    return _ENCODERS[as_format](rows, dataset)


def _parquet(rows: Rows, dataset: Dataset) -> bytes:
    """zstd, microseconds, and where the rows came from in the file's metadata."""
    batch = rows.chunk.positions.batch
    metadata = {
        "pipeline.dataset": dataset.name,
        "pipeline.schema_version": str(dataset.version),
        "pipeline.schema_fingerprint": dataset.fingerprint,
        "pipeline.rows": str(len(rows)),
        "pipeline.source": batch.source,
        "pipeline.first_sequence_number": batch.first,
        "pipeline.last_sequence_number": batch.last,
    }
    table = rows.table.combine_chunks().replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", coerce_timestamps="us")
    return bytes(sink.getvalue())


def _csv(rows: Rows, dataset: Dataset) -> bytes:
    """RFC 4180 with LF and a header; records flattened with dots, arrays and maps as JSON.

    Text is always quoted, so that null (nothing) and the empty string ("") stay apart.
    """
    del dataset
    columns: dict[str, pa.Array] = {}
    for field, column in zip(rows.table.schema, rows.table.combine_chunks().columns, strict=True):
        _flatten(field.name, _one_chunk(column), columns)
    sink = io.BytesIO()
    pa_csv.write_csv(pa.table(columns), sink)
    return sink.getvalue()


_ENCODERS: dict[Format, Callable[[Rows, Dataset], bytes]] = {"parquet": _parquet, "csv": _csv}


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _flatten(name: str, array: pa.Array, columns: dict[str, pa.Array]) -> None:
    """Add a field's CSV columns; a record's fields become columns of their own."""
    if not pa.types.is_struct(array.type):
        columns[name] = _cells(array)
        return
    for field in array.type:
        _flatten(f"{name}.{field.name}", pc.struct_field(array, field.name), columns)


def _cells(array: pa.Array) -> pa.Array:
    """One column as Arrow's CSV writer is to print it: our text, or its own for numbers."""
    of = array.type
    if pa.types.is_list(of) or pa.types.is_map(of):
        return _json_cells(array)
    if pa.types.is_timestamp(of):
        return _iso(array)
    if pa.types.is_decimal(of):
        return _digits(array)
    if pa.types.is_binary(of) or pa.types.is_fixed_size_binary(of):
        texts = [None if v is None else pybase64.b64encode(v).decode() for v in array.to_pylist()]
        return pa.array(texts, pa.string())
    if pa.types.is_date(of) or pa.types.is_time(of):
        return array.cast(pa.string())
    return array


def _iso(array: pa.Array) -> pa.Array:
    """`2026-11-23T09:30:00.123456Z`, without the Z for local time."""
    local = array.cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    text = pc.utf8_replace_slice(local, 10, 11, "T")
    return text if array.type.tz is None else pc.binary_join_element_wise(text, "Z", "")


def _digits(array: pa.Array) -> pa.Array:
    """Decimals without an exponent, which Arrow writes for small ones."""
    text = array.cast(pa.string())
    if not pc.any(pc.match_substring(text, "E")).as_py():
        return text
    plain = [None if value is None else f"{value:f}" for value in array.to_pylist()]
    return pa.array(plain, pa.string())


def _json_cells(array: pa.Array) -> pa.Array:
    """Arrays and maps as JSON text, their values written as a document would hold them."""
    write = _json_writer(array.type)
    encode_json = msgspec.json.encode
    cells = [
        None if value is None else encode_json(write(value)).decode()
        for value in array.to_pylist(maps_as_pydicts="strict")
    ]
    return pa.array(cells, pa.string())


def _json_writer(of: pa.DataType) -> Callable[[Any], Any]:
    """Return what turns a Python value of an Arrow type into what JSON can say."""
    if pa.types.is_struct(of):
        writers = {field.name: _json_writer(field.type) for field in of}
        return lambda value: value and {key: writers[key](item) for key, item in value.items()}
    if pa.types.is_map(of):
        item_writer = _json_writer(of.item_type)
        return lambda value: value and {key: item_writer(item) for key, item in value.items()}
    if pa.types.is_list(of):
        element_writer = _json_writer(of.value_type)
        return lambda value: value and [element_writer(item) for item in value]
    if pa.types.is_decimal(of):
        return lambda value: value if value is None else msgspec.Raw(_plain(value))
    if pa.types.is_temporal(of):
        return lambda value: value if value is None else _cells(pa.array([value], of))[0].as_py()
    if pa.types.is_binary(of) or pa.types.is_fixed_size_binary(of):
        return lambda value: value if value is None else pybase64.b64encode(value).decode()
    return lambda value: value


def _plain(value: Decimal) -> bytes:
    return f"{value:f}".encode()
