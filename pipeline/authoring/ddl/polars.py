"""polars: a snippet of Python that reads the files by the schema.

Left to itself polars takes the columns of the first file, refuses files that have others, and
guesses the path's types.
"""

import json

import pyarrow as pa

from pipeline.authoring.ddl.columns import IDENTITY_NAMES, path_columns
from pipeline.authoring.ddl.dialect import (
    holds,
    is_wide,
    local_path,
    python_comment,
    python_name,
    scalars,
)
from pipeline.core.dataset import ARRIVED_AT, Dataset
from pipeline.core.formats import Format


def statements(dataset: Dataset, location: str) -> str:
    """Write the snippet over the Parquet files."""
    name = python_name(dataset.name)
    kept = [field for field in dataset.schema if not holds(field.type, is_wide)]
    columns = [f"    {json.dumps(field.name)}: {_spelled(field.type)}," for field in kept]
    keys = [
        f"    {json.dumps(column.name)}: {_spelled(column.type)},"
        for column in path_columns(dataset)
    ]
    folder = json.dumps(local_path(location) + f"/{dataset.name}/{Format.PARQUET}/")
    return "\n".join([
        python_comment(*_notes(dataset, name)),
        "import polars",
        "",
        f"location = {folder}",
        "path = {",
        *keys,
        "}",
        "schema = {",
        *columns,
        "}",
        f"{name} = polars.scan_parquet(",
        "    location, glob=False, schema=schema,",
        f"    hive_partitioning={bool(keys)}, hive_schema={'path' if keys else None},",
        '    missing_columns="insert", extra_columns="ignore",',
        "    cast_options=polars.ScanCastOptions(",
        '        missing_struct_fields="insert", extra_struct_fields="ignore"',
        "    ),",
        ")",
        f'{name}_once = {name}.sort("{ARRIVED_AT.name}", maintain_order=True).unique(',
        f"    {json.dumps(list(IDENTITY_NAMES))},",
        '    keep="first", maintain_order=True,',
        ")",
    ])  # fmt: skip


def _notes(dataset: Dataset, name: str) -> list[str]:
    use = f"Lazy: {name}.collect() reads. {name}_once has each identity once."
    notes = [f"{use} A filter on the path's columns skips files."]
    lacking = [
        f"{path} (decimal of {kind.precision} digits)"
        for field in dataset.schema
        for path, kind in scalars(field)
        if is_wide(kind)
    ]
    if lacking:
        notes.append(f"Left out, as polars has no such type: {', '.join(lacking)}.")
    return notes


def _spelled(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        members = ", ".join(f"{json.dumps(one.name)}: {_spelled(one.type)}" for one in kind)
        return f"polars.Struct({{{members}}})"
    if pa.types.is_list(kind):
        return f"polars.List({_spelled(kind.value_type)})"
    if pa.types.is_map(kind):
        return f"polars.Map(polars.String, {_spelled(kind.item_type)})"
    if pa.types.is_decimal(kind):
        return f"polars.Decimal({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return f'polars.Datetime("us"{", " + json.dumps(kind.tz) if kind.tz else ""})'
    if pa.types.is_time(kind):
        return "polars.Time"
    if pa.types.is_fixed_size_binary(kind):
        return "polars.Binary"
    return _SCALARS[kind]


_SCALARS = {
    pa.bool_(): "polars.Boolean", pa.int32(): "polars.Int32", pa.int64(): "polars.Int64",
    pa.float32(): "polars.Float32", pa.float64(): "polars.Float64", pa.string(): "polars.String",
    pa.binary(): "polars.Binary", pa.date32(): "polars.Date",
}  # fmt: skip
