"""CSV: RFC 4180 with LF and a header; records flattened with dots, arrays and maps as JSON."""

import codecs
import gzip
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipeline.core.cells import flattened
from pipeline.core.csv_options import FORMULA_STARTS, CsvOptions
from pipeline.core.records import Rows

_FORMULA = rf"\A([{FORMULA_STARTS}])"
_NUL = {"remove": "", "replace": "\N{REPLACEMENT CHARACTER}"}


def encode_csv(rows: Rows, options: CsvOptions) -> bytes:
    """Encode rows as one file.

    Text is always quoted, so that null (nothing) and the empty string ("") stay apart.
    """
    columns: dict[str, pa.Array] = {}
    for field, column in zip(rows.table.schema, rows.table.combine_chunks().columns, strict=True):
        cells = flattened(field.name, column.combine_chunks())
        for name in _texts(field.name, field.type):
            cells[name] = _text_for(options, cells[name])
        columns |= cells
    sink = io.BytesIO()
    if options.byte_order_mark:
        sink.write(codecs.BOM_UTF8)
    pa_csv.write_csv(pa.table(columns), sink)
    body = sink.getvalue()
    # As dead letters are: the same bytes at every run, and more of a size than of a wait.
    return gzip.compress(body, compresslevel=3, mtime=0) if options.suffix else body


def _texts(name: str, kind: pa.DataType) -> list[str]:
    """Return those of a field's CSV columns whose values are a producer's text."""
    if pa.types.is_struct(kind):
        return [path for inner in kind for path in _texts(f"{name}.{inner.name}", inner.type)]
    return [name] if pa.types.is_string(kind) else []


def _text_for(options: CsvOptions, text: pa.Array) -> pa.Array:
    """Return text as the readers that the options are for take it."""
    if options.nul != "keep":
        text = pc.replace_substring(text, "\0", _NUL[options.nul])
    if options.formula_guard:
        text = pc.replace_substring_regex(text, _FORMULA, r"'\1")
    return text
