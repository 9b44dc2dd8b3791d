"""Those who change a table and know nothing of us: compaction, expiry, an append of their own."""

from __future__ import annotations

import io
import random
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.exceptions import NoSuchTableError, ValidationException

from pipeline.adapters.iceberg.catalogs import LakeCatalog
from pipeline.adapters.iceberg.table import LakeTable, load_table
from pipeline.core.lake.partitions import split
from pipeline.core.lake.schemas import fitted


def compact(catalog: LakeCatalog, name: str, chance: random.Random) -> bool:
    """Rewrite the files of one partition into one."""
    lake = load_table(catalog, name)
    if lake is None or lake.snapshot is None:
        return False
    by_partition = defaultdict(list)
    for file in lake.files():
        by_partition[file.partition].append(file)
    candidates = [files for files in by_partition.values() if len(files) > 1]
    if not candidates:
        return False
    files = chance.choice(sorted(candidates, key=lambda found: found[0].path))
    bodies = [lake.io.files(file.path).read(file.path) for file in files]
    tables = [fitted(pq.ParquetFile(io.BytesIO(body)).read(), lake.schema) for body in bodies]
    transaction = lake.table.transaction()
    try:
        with transaction.update_snapshot().overwrite() as overwrite:
            for file in files:
                overwrite.delete_data_file(file.file)
            overwrite.append_data_file(_written(lake, pa.concat_tables(tables), files[0].partition))
        transaction.commit_transaction()
    except ValidationException:
        # Its threads share what they evaluate manifests with: see `checked_rewrite`.
        return False
    return True


def _written(lake: LakeTable, rows: pa.Table, partition: tuple[object, ...]) -> Any:
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    uri = lake.new_file(f"{uuid.uuid4().hex}.parquet", partition)
    lake.io.files(uri).create(uri, sink.getvalue())
    metadata = pq.read_metadata(io.BytesIO(sink.getvalue()))
    return lake.data_file(uri, partition, len(sink.getvalue()), metadata)


def expire(catalog: LakeCatalog, name: str) -> bool:
    """Expire all snapshots but the current one; their files stay."""
    try:
        table = catalog.catalog.load_table(catalog.identifier(name))
    except NoSuchTableError:
        return False
    current = table.current_snapshot()
    if current is None:
        return False
    old = [one.snapshot_id for one in table.snapshots() if one.snapshot_id != current.snapshot_id]
    if not old:
        return False
    table.maintenance.expire_snapshots().by_ids(old).commit()
    return True


def append_rows(catalog: LakeCatalog, name: str) -> bool:
    """Append a row, as any writer does."""
    lake = load_table(catalog, name)
    if lake is None:
        return False
    row = {
        "_source": "them", "_sequence_number": "1", "_sub_sequence_number": 0, "_document": 0,
        "_arrived_at": datetime(2026, 11, 23, tzinfo=UTC), "n": 0, "country": "DE",
    }  # fmt: skip
    rows = fitted(pa.Table.from_pylist([row], _only(lake.schema, row)), lake.schema)
    ((partition, rows),) = split(rows, lake.partition_by)
    transaction = lake.table.transaction()
    with transaction.update_snapshot().fast_append() as append:
        append.append_data_file(_written(lake, rows, partition))
    transaction.commit_transaction()
    return True


def _only(schema: pa.Schema, row: dict[str, Any]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name in row])
