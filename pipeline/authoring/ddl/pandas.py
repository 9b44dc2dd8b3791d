"""pandas, and pyarrow beneath it: a snippet of Python that reads the files by the schema.

Left to themselves both take the columns of the first file, and guess the path's types.
"""

import json

import pyarrow as pa

from pipeline.authoring.ddl.columns import IDENTITY_NAMES, path_columns
from pipeline.authoring.ddl.dialect import local_path, python_comment, python_name
from pipeline.core.dataset import ARRIVED_AT, Dataset
from pipeline.core.formats import Format

_TYPES = (
    "Columns have pandas' Arrow types, which hold every value exactly: nulls, decimals, dates of "
    "any year. A filter on the path's columns skips files, as in read_parquet(…, "
    'filters=[("date", ">=", datetime.date(2026, 11, 1))]).'
)
_PYARROW = (
    "pyarrow alone: pyarrow.dataset.dataset(location, schema=schema, partitioning=partitioning)."
)


def statements(dataset: Dataset, location: str) -> str:
    """Write the snippet over the Parquet files."""
    name, path = python_name(dataset.name), path_columns(dataset)
    columns = [f"    {_field(field.name, field.type)}," for field in dataset.schema]
    keys = [f"    {_field(column.name, column.type)}," for column in path]
    folder = json.dumps(local_path(location) + f"/{dataset.name}/{Format.PARQUET}")
    partitioning = 'pyarrow.dataset.partitioning(path, flavor="hive")' if path else "None"
    once = f"{name}_once has each identity once."
    return "\n".join([
        python_comment(once, _TYPES, _PYARROW),
        "import pandas",
        "import pyarrow",
        "import pyarrow.dataset",
        "",
        f"location = {folder}",
        "path = pyarrow.schema([",
        *keys,
        "])",
        "schema = pyarrow.schema([",
        *columns,
        "    *path,",
        "])",
        f"partitioning = {partitioning}",
        f"{name} = pandas.read_parquet(",
        '    location, engine="pyarrow", schema=schema, partitioning=partitioning,',
        '    dtype_backend="pyarrow",',
        ")",
        f'{name}_once = {name}.sort_values("{ARRIVED_AT.name}", kind="stable").drop_duplicates([',
        *(f"    {json.dumps(identity)}," for identity in IDENTITY_NAMES),
        "])",
    ])  # fmt: skip


def _field(name: str, kind: pa.DataType) -> str:
    """Spell a column. All may be null: files of older versions lack the newer ones."""
    return f"({json.dumps(name)}, {_spelled(kind)})"


def _spelled(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        members = ", ".join(_field(inner.name, inner.type) for inner in kind)
        return f"pyarrow.struct([{members}])"
    if pa.types.is_list(kind):
        return f"pyarrow.list_({_spelled(kind.value_type)})"
    if pa.types.is_map(kind):
        return f"pyarrow.map_(pyarrow.string(), {_spelled(kind.item_type)})"
    if pa.types.is_decimal(kind):
        return f"pyarrow.decimal{kind.bit_width}({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return f'pyarrow.timestamp("us"{", " + json.dumps(kind.tz) if kind.tz else ""})'
    if pa.types.is_time(kind):
        return f'pyarrow.time{kind.bit_width}("{kind.unit}")'
    if pa.types.is_fixed_size_binary(kind):
        return f"pyarrow.binary({kind.byte_width})"
    return _SCALARS[kind]


_SCALARS = {
    pa.bool_(): "pyarrow.bool_()", pa.int32(): "pyarrow.int32()", pa.int64(): "pyarrow.int64()",
    pa.float32(): "pyarrow.float32()", pa.float64(): "pyarrow.float64()",
    pa.string(): "pyarrow.string()", pa.binary(): "pyarrow.binary()",
    pa.date32(): "pyarrow.date32()",
}  # fmt: skip
